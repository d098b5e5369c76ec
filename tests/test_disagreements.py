"""`repset ledger conflicts`: who disagrees with whom, what holds, and which accepts are stale."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from repset.cli import cli
from repset.curate.decision import Decision, Proposal
from repset.curate.ledger import Ledger
from repset.project import Project
from repset.records import TABLES, write_table

WHOLE: dict[str, Any] = {"interval_s": None}


def line(reviewer: str, sample_id: str, action: str, value: str, at: str, **more: Any) -> Decision:
    shown = None if action == "new" else Proposal("model", "a" * 64, None)
    fields = {"target": WHOLE, "proposal": shown} | more
    return Decision(
        reviewer, "t", sample_id, "exercise", action=action, value=value, at=f"2026-11-20T{at}:00Z", **fields
    )


def test_both_words_and_the_one_that_holds_are_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPSET_ROOT", str(project.root))
    rows = [dict.fromkeys(TABLES["samples"].names) | {"sample_id": f"gym/{name}", "source": "gym", "kind": "clip",
            "frames": 40, "fps": 10.0, "group": name} for name in "abc"]  # fmt: skip
    write_table(project.index("gym") / "samples.parquet", "samples", rows)
    for name in ("sets", "form", "frames", "masks"):
        write_table(project.index("gym") / f"{name}.parquet", name, [])
    proposal = dict.fromkeys(TABLES["proposals"].names) | {
        "sample_id": "gym/b", "task": "exercise", "target": '{"interval_s":null}', "value": '"lunge"',
        "origin": "model"}  # fmt: skip
    write_table(project.proposals("exercise", "gym") / "table.parquet", "proposals", [proposal])
    ledger = Ledger(project.reviews)
    ledger.append(line("anna", "gym/a", "new", "squat", "10:00"))
    last = ledger.append(line("ben", "gym/a", "new", "lunge", "11:00"))
    ledger.append(line("anna", "gym/b", "accept", "squat", "10:00"))
    ledger.append(line("anna", "gym/c", "new", "squat", "10:00"))
    ledger.append(line("ben", "gym/c", "new", "squat", "11:00"))  # the same word: no conflict
    pose = {"skeleton": "penn_13", "joints": {"left_knee": [1.0, 2.0, "labelled"]}}
    far = {"skeleton": "penn_13", "joints": {"left_knee": [9.0, 2.0, "labelled"]}}
    for reviewer, value, at in (("anna", pose, "10"), ("ben", far, "11")):
        ledger.append(
            Decision(reviewer, "t", "away/x", "pose", {"frame": 3}, "new", value, at=f"2026-11-20T{at}:00:00Z")
        )
    result = CliRunner().invoke(cli, ["ledger", "conflicts"], catch_exceptions=False)
    assert result.output.splitlines() == [
        "pose of away/x, frame 3",
        '  2026-11-20T10:00 anna: new {"joints": {"left_knee": [1.0, 2.0, "labelled"]}, "skeleton": "penn_13"}',
        '  2026-11-20T11:00 ben: new {"joints": {"left_knee": [9.0, 2.0, "labelled"]}, "skeleton": "penn_13"}  holds',
        "exercise of gym/a",
        '  2026-11-20T10:00 anna: new "squat"',
        '  2026-11-20T11:00 ben: new "lunge"  holds',
        "exercise of gym/b",
        '  2026-11-20T10:00 anna: accept, stale; proposed now: "lunge" {"interval_s":null}',
        "2 conflicts, 1 stale accepts",
    ]
    found = json.loads(CliRunner().invoke(cli, ["ledger", "conflicts", "--json"], catch_exceptions=False).stdout)
    assert found["conflicts"][1]["holds"] == last.id
    assert [one["said"]["sample_id"] for one in found["stale"]] == ["gym/b"]
