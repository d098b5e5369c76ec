"""Muscles from the pose: columns whose sectors can be worked out by hand, gates, and the command on a drawn athlete."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from repset.autolabel.muscle_proposals import SECONDARY, SECTORS, Proposed, propose_muscles
from repset.cli import cli
from repset.exercises import MUSCLE_GROUPS
from repset.landmarks import BLAZEPOSE_33
from repset.video import encode_png

SIZE = 400
STANDING = {
    # x, y, depth in metres from the mid-hip, y down, facing the camera: the person's left is on the image's right.
    "shoulder": (0.18, -0.50, 0.0), "elbow": (0.26, -0.22, 0.0), "wrist": (0.26, 0.02, 0.0), "index": (0.26, 0.1, 0.0),
    "hip": (0.10, 0.0, 0.0), "knee": (0.11, 0.42, 0.0), "ankle": (0.11, 0.82, 0.02), "foot_index": (0.12, 0.9, -0.12),
}  # fmt: skip
BENT = STANDING | {"wrist": (0.26, -0.22, -0.24), "index": (0.26, -0.22, -0.32)}
"""The forearms point at the camera."""


def joints(body: dict[str, tuple[float, float, float]], turn_deg: float = 0.0, seen: float = 0.9) -> npt.NDArray:
    """(33, 6) at 200 px a metre, turned about the vertical; joints that are not named are not seen."""
    rows = np.zeros((33, 6), np.float32)
    turn = np.radians(turn_deg)
    for name, (x, y, z) in body.items():
        for side, sign in (("left", 1), ("right", -1)):
            at = np.array([sign * x * np.cos(turn) + z * np.sin(turn), y, -sign * x * np.sin(turn) + z * np.cos(turn)])
            rows[BLAZEPOSE_33.joints.index(f"{side}_{name}")] = (*(200 * at[:2] + (200, 150)), seen, *at)
    return rows


EVERYWHERE = np.ones((SIZE, SIZE), np.float32)


def found(proposed: list[Proposed], muscle: str) -> list[Proposed]:
    return [one for one in proposed if one.muscle == muscle]


def middle(mask: npt.NDArray[np.bool_]) -> tuple[float, float]:
    y, x = np.nonzero(mask)
    return float(x.mean()), float(y.mean())


def test_every_sector_belongs_to_a_group_an_exercise_can_work() -> None:
    assert {sector.group for sector in SECTORS} <= set(MUSCLE_GROUPS)
    assert [sector.muscle for sector in SECTORS] == [
        "biceps", "triceps", "forearm", "quadriceps", "hamstring", "calf", "chest", "abdominals", "lat", "shoulder",
        "glute",
    ]  # fmt: skip


def test_facing_the_camera_the_front_is_seen_and_the_back_is_not() -> None:
    seen = {one.muscle for one in propose_muscles(joints(BENT), EVERYWHERE)}
    assert {"biceps", "quadriceps", "chest", "abdominals"} <= seen
    assert not {"hamstring", "glute"} & seen
    behind = {one.muscle for one in propose_muscles(joints(BENT, 180), EVERYWHERE)}
    assert {"hamstring", "calf", "lat", "glute"} <= behind
    assert not {"biceps", "quadriceps", "chest", "abdominals"} & behind


def test_from_the_side_front_and_back_lie_on_either_side_of_the_limb() -> None:
    """Turned so that the left side is near and the chest points to the image's left."""
    proposed = propose_muscles(joints(BENT, 90), EVERYWHERE)
    for front, back in (("biceps", "triceps"), ("quadriceps", "hamstring")):
        ahead, behind = (
            middle(next(one for one in found(proposed, name) if one.side == "left").mask)[0] for name in (front, back)
        )
        assert ahead < behind
    near = next(one for one in found(proposed, "biceps") if one.side == "left")
    assert 150 - 0.5 * 200 < middle(near.mask)[1] < 150 - 0.22 * 200  # between shoulder and elbow


def test_a_curl_works_the_biceps_once_the_arm_has_left_its_rest() -> None:
    muscles = {one.muscle: one.confidence for one in propose_muscles(joints(BENT, 40), EVERYWHERE, "bicep_curl")}
    assert set(muscles) == {"biceps", "forearm"}
    assert muscles["forearm"] == pytest.approx(0.9 * SECONDARY)
    assert propose_muscles(joints(STANDING), EVERYWHERE, "bicep_curl") == []


def test_a_push_down_works_the_triceps_and_nothing_else() -> None:
    proposed = propose_muscles(joints(BENT, 120), EVERYWHERE, "tricep_extension")
    assert {one.muscle for one in proposed} == {"triceps"}


def test_only_the_person_is_marked_and_only_joints_that_are_seen() -> None:
    left_half = EVERYWHERE.copy()
    left_half[:, 200:] = 0
    assert {one.side for one in propose_muscles(joints(BENT), left_half, "bicep_curl")} == {"right"}
    assert propose_muscles(joints(BENT, seen=0.1), EVERYWHERE) == []
    assert propose_muscles(joints(BENT), 0 * EVERYWHERE) == []


def test_the_nearer_arm_hides_the_farther_one() -> None:
    """From the side both upper arms project onto one place: only the near one is marked."""
    sides = [one.side for one in found(propose_muscles(joints(BENT, 90), EVERYWHERE), "biceps")]
    assert sides == ["left"]


def test_the_command_needs_no_model(tmp_path: Path) -> None:
    picture = np.full((120, 90, 3), 128, np.uint8)  # nobody
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "empty.png").write_bytes(encode_png(picture))
    out = tmp_path / "out"
    shown = CliRunner().invoke(cli, ["segment", str(tmp_path / "in"), "--from-pose", "--out", str(out)])
    assert shown.exit_code == 0, shown.output
    assert not cv2.imread(str(out / "empty_mask.png"), cv2.IMREAD_UNCHANGED).any()
    assert (out / "_classes.csv").read_text().splitlines()[1:3] == ["0, background", "1, biceps"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--from-pose", "--model", "x"],
         "--from-pose: expected no --model beside it, found one. Leave one of the two out."),
        (["--exercise", "squat"],
         "--exercise: expected --from-pose beside it, found none. Add it, or leave --exercise out."),
    ],
)  # fmt: skip
def test_options_that_contradict_each_other_are_one_sentence(tmp_path: Path, options: list[str], sentence: str) -> None:
    shown = CliRunner().invoke(cli, ["segment", str(tmp_path), "--out", str(tmp_path / "o"), *options])
    assert shown.exit_code == 1
    assert str(shown.exception) == sentence
