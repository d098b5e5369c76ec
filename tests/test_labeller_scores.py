"""The labeller's report card, on joints whose distance from the truth is written out."""

import json

import numpy as np
import pytest

from repset.autolabel import agreement
from repset.autolabel.joint_error import angle_scores, joint_scores, pair_poses
from repset.autolabel.labeller_scores import build_scores
from repset.landmarks import BLAZEPOSE_33, PENN_13, JointState
from repset.project import Project
from repset.records import TABLES, pose_table, read_json, table_from_rows, write_table

FRAMES = 20
TRUNK = 100.0  # pixels, mid-shoulder to mid-hip
BODY = {
    "head": (0, -150), "left_shoulder": (20, -100), "right_shoulder": (-20, -100), "left_elbow": (30, -60),
    "right_elbow": (-30, -60), "left_wrist": (30, -20), "right_wrist": (-30, -20), "left_hip": (15, 0),
    "right_hip": (-15, 0), "left_knee": (15, 60), "right_knee": (-15, 60), "left_ankle": (15, 120),
    "right_ankle": (-15, 120),
}  # fmt: skip


def penn(sample: str = "s/1", hidden: tuple[str, ...] = ()) -> object:
    """Annotated joints, the same in every frame."""
    xy = np.array([BODY[joint] for joint in PENN_13.joints], np.float32)[None].repeat(FRAMES, 0) + np.float32(300)
    state = np.full((FRAMES, 13), JointState.LABELLED, np.int8)
    for joint in hidden:
        state[:, PENN_13.index(joint)] = JointState.OCCLUDED
    ones = np.ones((FRAMES, 13), np.float32)
    return pose_table(sample, "penn_13", np.arange(FRAMES), np.arange(FRAMES) / 30, xy, ones, state, "dataset")


def blazepose(sample: str = "s/1", frames: int = FRAMES, swap: bool = False, **moved: tuple[float, float]) -> object:
    """What the detector found: the truth, with some joints moved; the head is the mean of the ears."""
    xy = np.full((frames, 33, 2), np.nan, np.float32)
    for joint, point in BODY.items():
        place = np.array(point) + 300 + np.array(moved.get(joint, (0, 0)))
        for name in ("left_ear", "right_ear") if joint == "head" else (joint,):
            xy[:, BLAZEPOSE_33.index(name)] = place
    if swap:
        xy = xy[:, list(BLAZEPOSE_33.mirror)]
    visible = np.where(np.isfinite(xy[..., 0]), 1, np.nan).astype(np.float32)
    state = np.zeros((frames, 33), np.int8)
    return pose_table(
        sample, "blazepose_33", np.arange(frames), np.arange(frames) / 30, xy, visible, state, "mediapipe"
    )


def scores(found: object, truth: object | None = None) -> dict[str, object]:
    (pairs,) = pair_poses(truth if truth is not None else penn(), found)  # type: ignore[arg-type]
    result = joint_scores(pairs)
    assert result is not None
    return result


def test_the_same_joints_score_one() -> None:
    card = scores(blazepose())
    overall = card["overall"]
    assert overall == {
        "n": FRAMES * 13, "coverage": 1.0, "pck_torso_0.1": 1.0, "pck_torso_0.2": 1.0, "pck_bbox_0.1": 1.0,
        "pck_bbox_0.2": 1.0, "pck_torso_0.2_interval": None, "median_error_torso": 0.0, "mirrored_fits_better": 0.0,
    }  # fmt: skip


def test_a_joint_fifteen_hundredths_of_the_trunk_off_counts_at_a_fifth_and_not_at_a_tenth() -> None:
    elbow = scores(blazepose(left_elbow=(15, 0)))["per_joint"]["left_elbow"]  # type: ignore[index]
    assert (elbow["pck_torso_0.1"], elbow["pck_torso_0.2"], elbow["median_error_torso"]) == (0.0, 1.0, 0.15)
    # the box is 270 pixels high: 27 and 54 pixels
    assert (elbow["pck_bbox_0.1"], elbow["pck_bbox_0.2"]) == (1.0, 1.0)


def test_a_constant_offset_is_told_apart_from_error() -> None:
    head = scores(blazepose(head=(0, -25)))["per_joint"]["head"]  # type: ignore[index]
    assert (head["pck_torso_0.2"], head["pck_torso_0.2_without_offset"]) == (0.0, 1.0)
    assert (head["offset_torso"], head["derived"]) == (0.25, True)


def test_exchanged_sides_are_noticed() -> None:
    assert scores(blazepose(swap=True))["overall"]["mirrored_fits_better"] == 1.0  # type: ignore[index]


def test_frames_without_a_pose_and_hidden_joints_are_reported_apart() -> None:
    (pairs,) = pair_poses(penn(hidden=("left_wrist",)), blazepose(frames=15))  # type: ignore[arg-type]
    assert len(pairs.missing) == 5
    card = joint_scores(pairs)
    assert card is not None
    assert (card["overall"]["n"], card["occluded"]["n"]) == (15 * 12, 15)


def test_angle_errors_are_degrees_with_number_and_coverage() -> None:
    """The left arm is 14.04° (atan 10/40) off straight in truth; the labels say 20° more in half of the frames."""
    (pairs,) = pair_poses(penn(), blazepose())  # type: ignore[arg-type]
    truth = 180 - np.degrees(np.arctan2(10, 40))
    values = [truth - 20] * 10 + [float("nan")] * 10
    rows = [
        {"sample_id": "s/1", "frame": frame, "person": 0, "name": "left_elbow", "value_deg": value}
        for frame, value in enumerate(values)
    ]
    cells = angle_scores(pairs, table_from_rows("angles", rows))
    assert cells is not None
    # both elbows are known in truth: 40 angles, of which 10 have a label
    assert cells["elbow"] == {
        "n": 10, "coverage": 0.25, "mean_deg": 20.0, "mean_interval_deg": None, "median_deg": 20.0, "p95_deg": 20.0,
        "bias_deg": -20.0,
    }  # fmt: skip


def rep(number: int, start: int, end: int, **more: object) -> dict[str, object]:
    turn = (start + end) // 2
    return {"rep": number, "start": start, "turn": turn, "end": end, "turn_s": turn / 30, "exercise": "squat"} | more


def test_counts_are_compared_set_by_set() -> None:
    own = [
        {"start": 0, "end": 100, "exercise": "squat", "reps": 5},
        {"start": 120, "end": 200, "exercise": "squat", "reps": 3},
    ]
    found = [
        {"start": 2, "end": 99, "exercise": "squat", "reps": 4},
        {"start": 118, "end": 205, "exercise": "squat", "reps": 3},
    ]
    pairs = agreement.count_pairs(own, [], found, [])
    assert pairs == [{"exercise": "squat", "truth": 5, "found": 4}, {"exercise": "squat", "truth": 3, "found": 3}]
    assert agreement.count_scores(pairs) == {
        "n": 2, "coverage": 1.0, "true_reps": 8, "mean_absolute_error": 0.5,
        "mean_absolute_error_interval": [0.0, 1.48],  # 0.5 + 1.96 · 0.7071 / √2
        "exact": 0.5, "exact_interval": [0.0945, 0.9055], "off_by_one": 1.0, "off_by_one_interval": [0.3424, 1.0],
        "bias": -0.5,
    }  # fmt: skip


def test_without_sets_a_clips_repetitions_are_its_count() -> None:
    own = [rep(0, 0, 30), rep(1, 30, 60)]
    found = [{"start": 0, "end": 90, "exercise": "squat", "reps": None}]
    assert agreement.count_pairs([], own, found, []) == [{"exercise": "squat", "truth": 2, "found": None}]
    assert agreement.count_scores(agreement.count_pairs([], own, found, [])) == {
        "n": 1, "coverage": 0.0, "true_reps": 2, "mean_absolute_error": None, "mean_absolute_error_interval": None,
        "exact": None, "exact_interval": None, "off_by_one": None, "off_by_one_interval": None, "bias": None,
    }  # fmt: skip


def test_repetitions_are_matched_by_overlap_not_by_number() -> None:
    own = [
        rep(0, 0, 30, verdict="correct", level="rep", rule_id=None),
        rep(1, 40, 70, verdict="incorrect", level="rep", rule_id="shallow"),
    ]
    found = [rep(0, 42, 69, verdict="incorrect", level="rep", view="side")]
    pairs = agreement.verdict_pairs(own, found)
    assert [(pair["truth"], pair["found"]) for pair in pairs] == [
        ("correct", "not_counted"),
        ("incorrect", "incorrect"),
    ]
    assert agreement.verdict_scores(pairs) == {
        "n": 2, "coverage": 0.5, "agreement": 1.0, "agreement_interval": [0.2065, 1.0], "faults_found": 1.0,
        "false_alarms": None,
    }  # fmt: skip
    assert agreement.confusion(pairs) == {
        "correct": {"correct": 0, "incorrect": 0, "unscorable": 0, "not_counted": 1},
        "incorrect": {"correct": 0, "incorrect": 1, "unscorable": 0, "not_counted": 0},
    }
    assert agreement.turn_scores([error for _, error in agreement.turn_errors(own, found)]) == {
        "n": 2, "found": 0.5, "turn_error_median_s": 0.0,
    }  # fmt: skip


def write_source(project: Project, truth: bool) -> None:
    """Index and labels of a source of one clip; without truth all of the set's own tables are empty."""
    index, labels = project.index("sample_penn_action"), project.labels("sample_penn_action")
    samples = [{"sample_id": "s/1", "exercise": "squat", "source": "sample_penn_action", "kind": "clip"}]
    own = {"samples": samples, "sets": [], "reps": [], "form": []}
    if truth:
        full = {
            "sample_id": "s/1",
            "person": 0,
            "set": 0,
            "start_s": 0.0,
            "end_s": 0.6,
            "complete": True,
            "origin": "dataset",
        }
        own["reps"] = [rep(0, 0, 20) | full]
        own["form"] = [
            {"sample_id": "s/1", "level": "rep", "rep": 0, "start": 0, "end": 20, "exercise": "squat",
             "verdict": "correct", "origin": "dataset"}
        ]  # fmt: skip
    for name, rows in own.items():
        write_table(index / f"{name}.parquet", name, rows)
    write_table(index / "poses.parquet", "poses", penn() if truth else [])  # type: ignore[arg-type]
    found = {"sample_id": "s/1", "set": 0, "start": 0, "end": 20, "exercise": "squat"}
    write_table(labels / "poses.parquet", "poses", blazepose())  # type: ignore[arg-type]
    write_table(labels / "angles.parquet", "angles", TABLES["angles"].empty_table())
    write_table(labels / "sets.parquet", "sets", [found | {"reps": 1, "origin": "dataset"}])
    write_table(labels / "reps.parquet", "reps", [found | {"rep": 0, "turn": 10, "turn_s": 10 / 30, "origin": "rule"}])
    verdict = {"level": "rep", "rep": 0, "verdict": "unscorable", "view": "side", "origin": "rule"}
    write_table(labels / "form.parquet", "form", [found | verdict])


def test_a_report_card_is_written_with_all_that_is_known(project: Project) -> None:
    write_source(project, truth=True)
    card = build_scores(project, "sample_penn_action")
    assert read_json(project.labeller_scores("sample_penn_action")) == json.loads(json.dumps(card))
    assert (card["data"], card["samples"]) == ("rendered sample", 1)
    assert card["pose"]["penn_13"]["per_exercise"]["squat"]["pck_torso_0.2"] == 1.0
    assert card["pose"]["penn_13"]["detected_share"] == 1.0
    assert card["reps"]["overall"]["exact"] == 1.0
    assert card["turns"]["per_exercise"]["squat"]["found"] == 1.0
    assert card["form"]["confusion"]["correct"]["unscorable"] == 1
    assert card["form"]["overall"]["coverage"] == 0.0


def test_what_a_set_has_no_truth_for_is_null_and_no_error(project: Project) -> None:
    write_source(project, truth=False)
    card = build_scores(project, "sample_penn_action")
    assert {key: card[key] for key in ("pose", "angles", "reps", "turns", "form")} == {
        "pose": None, "angles": None, "reps": None, "turns": None, "form": None,
    }  # fmt: skip


def test_the_same_labels_give_the_same_bytes(project: Project) -> None:
    write_source(project, truth=True)
    build_scores(project, "sample_penn_action")
    first = project.labeller_scores("sample_penn_action").read_bytes()
    build_scores(project, "sample_penn_action")
    assert project.labeller_scores("sample_penn_action").read_bytes() == first


@pytest.mark.parametrize("number", [0, 1])
def test_a_missing_joint_does_not_reach_the_json_as_nan(project: Project, number: int) -> None:
    write_source(project, truth=True)
    poses = penn(hidden=("left_wrist", "right_wrist")[: number + 1])
    write_table(project.index("sample_penn_action") / "poses.parquet", "poses", poses)  # type: ignore[arg-type]
    build_scores(project, "sample_penn_action")
    assert "NaN" not in project.labeller_scores("sample_penn_action").read_text()
