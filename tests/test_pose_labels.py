"""Joints in the merge: an accepted pose holds while every joint stays within 5 px, and `repset why` shows it."""

from typing import Any

import pytest

from repset.curate.chain import trace
from repset.curate.decision import Decision, Proposal
from repset.curate.disagreements import disagreements
from repset.curate.ledger import Ledger
from repset.curate.pose_labels import pose_rows, pose_value
from repset.landmarks import PENN_13
from repset.project import Project
from repset.records import TABLES, write_table

Row = dict[str, Any]
KNEE = PENN_13.joints.index("left_knee")


def pose(frame: int, knee_x: float, origin: str = "mediapipe") -> Row:
    """Every joint but the left knee at (20, 20); the left wrist hidden, the right one absent."""
    x, state = [20.0] * 13, [0] * 13
    x[KNEE] = knee_x
    state[PENN_13.joints.index("left_wrist")] = 1
    state[PENN_13.joints.index("right_wrist")] = 3
    return dict.fromkeys(TABLES["poses"].names) | {
        "sample_id": "gym/a", "frame": frame, "time_s": frame / 10, "person": 0, "skeleton": PENN_13.name,
        "x_px": x, "y_px": [20.0] * 13, "visibility": [1.0] * 13, "state": state, "origin": origin}  # fmt: skip


def write(project: Project, labels: list[Row]) -> None:
    sample = dict.fromkeys(TABLES["samples"].names) | {
        "sample_id": "gym/a", "source": "gym", "kind": "clip", "width": 64, "height": 48, "fps": 10.0, "frames": 40,
        "group": "a"}  # fmt: skip
    write_table(project.index("gym") / "samples.parquet", "samples", [sample])
    for name in ("sets", "form", "frames", "masks", "poses"):
        write_table(project.index("gym") / f"{name}.parquet", name, [])
    for name, rows in (("sets", []), ("form", []), ("poses", labels)):
        write_table(project.labels("gym") / f"{name}.parquet", name, rows)


def accept(project: Project, knee_x: float) -> Decision:
    value = pose_value(pose(3, knee_x), 64, 48)
    shown = Proposal("mediapipe", None, None)
    made = Decision("anna", "t", "gym/a", "pose", {"frame": 3, "person": 0}, "accept", value, proposal=shown,
                    at="2026-11-20T10:00:00Z")  # fmt: skip
    return Ledger(project.reviews).append(made)


def test_a_row_becomes_the_ledgers_value() -> None:
    value = pose_value(pose(3, 70.0), 64, 48)
    assert value["skeleton"] == PENN_13.name
    assert value["joints"]["left_knee"] == [70.0, 20.0, "outside"]  # beyond the picture's edge
    assert value["joints"]["left_wrist"] == [20.0, 20.0, "occluded"]
    assert "right_wrist" not in value["joints"]
    assert len(value["joints"]) == 12


@pytest.mark.parametrize(("now", "status"), [(30.0, "applied"), (35.0, "applied"), (35.1, "stale")])
def test_an_accept_is_stale_from_five_pixels_on(project: Project, now: float, status: str) -> None:
    write(project, [pose(3, now), pose(4, 50.0)])
    made = accept(project, 30.0)
    (task,) = trace(project, "gym/a").tasks
    assert task.status == {made.id: status}
    assert [row["origin"] for slot in task.slots for row in slot.candidates] == ["mediapipe"]  # of frame 3 alone
    assert len(disagreements(project)[1]) == (status == "stale")


def test_an_accept_stands_when_its_pose_is_gone(project: Project) -> None:
    write(project, [])
    made = accept(project, 30.0)
    assert trace(project, "gym/a").tasks[0].status == {made.id: "applied"}
    assert pose_rows(project, "gym", []) == []
