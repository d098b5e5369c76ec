"""A track in, labels out: figures drawn here, and real joints where the data is at hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repset.autolabel.label import TrackLabels, count_stretch, label_track, to_whole_reps
from repset.autolabel.ruleset import load_rules
from repset.autolabel.smooth import clean
from repset.landmarks import SKELETONS, convert, mirror_name
from repset.records import TABLES, table_from_rows
from repset.schema import PoseTrack, Stretch

RULES = load_rules("default")
BLAZEPOSE = SKELETONS["blazepose_33"].joints


def knee_curve(bottoms: list[float], fps: float = 30.0) -> np.ndarray:
    """Squats of 2 s with 0.3 s held at each bottom and 0.5 s of standing around them.

    At 30 frames a second: 15 frames of rest, then for each squat 26 down, 9 held, 26 up, 15 of rest.
    """
    rest, hold = np.full(round(0.5 * fps), 174.0), round(0.3 * fps)
    way = (1 - np.cos(np.pi * np.arange(round(0.85 * fps)) / round(0.85 * fps))) / 2
    parts = [rest]
    for bottom in bottoms:
        down = 174 - (174 - bottom) * way
        parts += [down, np.full(hold, bottom), down[::-1], rest]
    return np.concatenate(parts)


def squatter(knee_deg: np.ndarray, fps: float = 30.0, visible: tuple[float, float] = (0.9, 0.99)) -> PoseTrack:
    """A person seen from the side, facing right, thigh and shank 100 pixels long, right side towards us."""
    turn = np.radians(180 - knee_deg)
    shank, thigh, trunk = 0.4 * turn, -0.6 * turn, 0.35 * turn
    points: dict[str, np.ndarray] = {}
    for side, shift in (("left", 6.0), ("right", 0.0)):
        ankle = np.tile([400 + shift, 500.0], (len(turn), 1))
        knee = ankle + 100 * np.stack([np.sin(shank), -np.cos(shank)], -1)
        hip = knee + 100 * np.stack([np.sin(thigh), -np.cos(thigh)], -1)
        shoulder = hip + 120 * np.stack([np.sin(trunk), -np.cos(trunk)], -1)
        elbow, wrist = shoulder + np.array([10.0, 60]), shoulder + np.array([50.0, 90])
        joints = {"ankle": ankle, "knee": knee, "hip": hip, "shoulder": shoulder, "elbow": elbow, "wrist": wrist,
                  "ear": shoulder + np.array([5.0, -40]), "heel": ankle + np.array([-10.0, 8]),
                  "foot_index": ankle + np.array([30.0, 10]), "index": wrist + np.array([8.0, 5])}  # fmt: skip
        points |= {f"{side}_{name}": value for name, value in joints.items()}
    centre = points["right_ear"]
    xy = np.stack([points.get(name, centre) for name in BLAZEPOSE], 1).astype(np.float32)
    seen = {"left": visible[0], "right": visible[1]}
    visibility = np.array([seen.get(name.split("_")[0], 0.95) for name in BLAZEPOSE], np.float32)
    return PoseTrack("blazepose_33", np.arange(len(xy)) / fps, xy, np.tile(visibility, (len(xy), 1)), 800, 600)


def mirrored(track: PoseTrack) -> PoseTrack:
    """The picture flipped: x reversed, left and right joints exchanged."""
    order = list(SKELETONS[track.skeleton].mirror)
    xy = (track.xy_px * np.float32([-1, 1]) + np.float32([track.width, 0]))[:, order]
    return PoseTrack(track.skeleton, track.time_s, xy, track.visibility[:, order], track.width, track.height)


def label(track: PoseTrack, exercise: str = "squat", rules: str = "default") -> TrackLabels:
    whole = [Stretch(0, len(track.time_s), exercise, None, "given")]
    return label_track("s/1", track, whole, load_rules(rules), 0.5)


def verdicts(labels: TrackLabels, level: str = "rep") -> list[str]:
    return [row["verdict"] for row in labels.form if row["level"] == level]


def test_deep_squats_are_counted_and_correct() -> None:
    labels = label(squatter(knee_curve([80, 85, 75])))
    assert (labels.view, labels.status, labels.reason, labels.detected_share) == ("side", "ok", "", 1.0)
    assert [row["complete"] for row in labels.reps] == [True, True, True]
    assert labels.sets == [
        dict(sample_id="s/1", set=0, start=0, end=243, exercise="squat", exercise_p=None, reps=3, origin="given")
    ]
    assert verdicts(labels) == ["correct"] * 3
    assert verdicts(labels, "clip") == ["correct"]


def test_a_shallow_squat_is_incorrect_with_its_value_limit_and_message() -> None:
    labels = label(squatter(knee_curve([80, 120, 80])))
    assert verdicts(labels) == ["correct", "incorrect", "correct"]
    row = next(row for row in labels.form if row["verdict"] == "incorrect" and row["level"] == "rep")
    assert (row["rep"], row["rule_id"], row["signal"], row["view"]) == (1, "depth", "knee", "side")
    assert row["value_deg"] == pytest.approx(120, abs=3)
    assert (row["low_deg"], row["high_deg"]) == (None, 105)
    assert row["message"] == "Not deep enough - lower until the thighs are level."
    assert (row["rule_set"], row["rules_sha256"], row["origin"]) == ("default", RULES.sha256, "rule")
    assert verdicts(labels, "clip") == ["incorrect"]


def test_range_of_motion_and_times_of_a_repetition() -> None:
    (row,) = label(squatter(knee_curve([80]))).reps
    assert row["range_deg"] == pytest.approx(94, abs=3)
    assert row["turn_s"] == pytest.approx(0.5 + 0.85 + 0.15, abs=0.17)  # anywhere in the hold
    assert row["start_s"] == pytest.approx(0.5 + 0.85 * 0.205, abs=0.1)  # ten per cent of the way down
    assert row["end_s"] == pytest.approx(2.5 - 0.85 * 0.205, abs=0.1)


def test_rows_fit_the_tables_of_the_contract() -> None:
    labels = label(squatter(knee_curve([80, 120])))
    for name, rows in (("sets", labels.sets), ("reps", labels.reps), ("form", labels.form)):
        assert table_from_rows(name, rows).num_rows == len(rows) > 0
    assert labels.angles.schema.equals(TABLES["angles"])


def test_the_angle_table_has_a_row_for_every_frame_and_angle() -> None:
    track = squatter(knee_curve([90]))
    table = label(track).angles
    rows = table.to_pylist()
    names = [row["name"] for row in rows if row["frame"] == 0]
    assert {"left_knee", "right_knee", "left_elbow", "trunk_lean", "right_ankle", "neck"} <= set(names)
    assert len(rows) == len(track.time_s) * len(names)
    first = next(row for row in rows if row["frame"] == 0 and row["name"] == "right_knee")
    assert first["value_deg"] == pytest.approx(174, abs=0.5)


def test_an_elbow_whose_forearm_points_at_the_camera_is_unknown_in_the_table() -> None:
    track = squatter(knee_curve([90]))
    half = len(track.time_s) // 2
    for side in ("left", "right"):  # a trunk of 120 px: a forearm below 25.6 px is seen end-on
        wrist, elbow = (BLAZEPOSE.index(f"{side}_{joint}") for joint in ("wrist", "elbow"))
        track.xy_px[half:, wrist] = track.xy_px[half:, elbow] + np.float32([8, 6])
    rows = label(track).angles.to_pylist()
    elbow_deg = np.array([row["value_deg"] for row in rows if row["name"] == "right_elbow"], float)
    assert np.isfinite(elbow_deg[: half - 8]).all()
    assert np.isnan(elbow_deg[half + 8 :]).all()  # the filter blurs what lies between


def test_a_mirrored_body_has_the_mirrored_side_and_the_same_verdicts() -> None:
    track = squatter(knee_curve([80, 120, 85]), visible=(0.6, 0.99))
    one, other = label(track), label(mirrored(track))
    assert (one.side, other.side) == ("right", "left")
    assert verdicts(one) == verdicts(other) == ["correct", "incorrect", "correct"]
    assert [row["turn"] for row in one.reps] == [row["turn"] for row in other.reps]
    values = {(row["frame"], row["name"]): row["value_deg"] for row in one.angles.to_pylist()}
    for row in other.angles.to_pylist():
        assert row["value_deg"] == pytest.approx(values[row["frame"], mirror_name(row["name"])], abs=0.05, nan_ok=True)


@pytest.mark.parametrize("fps", [5.0, 10.0, 60.0])
def test_the_frame_rate_changes_neither_count_nor_verdict(fps: float) -> None:
    labels = label(squatter(knee_curve([80, 120, 80], fps), fps))
    assert verdicts(labels) == ["correct", "incorrect", "correct"]


def test_uneven_frame_times_change_neither_count_nor_verdict() -> None:
    track = squatter(knee_curve([80, 120, 80]))
    keep = np.sort(np.random.default_rng(5).choice(len(track.time_s), 150, replace=False))
    uneven = PoseTrack(
        track.skeleton, track.time_s[keep], track.xy_px[keep], track.visibility[keep], track.width, track.height
    )
    assert verdicts(label(uneven)) == ["correct", "incorrect", "correct"]


def test_a_leg_that_is_hidden_is_unscorable_never_good() -> None:
    labels = label(squatter(knee_curve([80, 80]), visible=(0.3, 0.4)))
    assert verdicts(labels) == ["unscorable", "unscorable"]
    assert verdicts(labels, "clip") == ["unscorable"]
    assert labels.form[0]["message"] == "knee can be measured in 0% of the frames"


def test_a_clip_that_ends_while_rising_is_reported_incomplete_and_unscorable() -> None:
    track = squatter(knee_curve([80, 80])[: 15 + 76 + 26 + 9 + 13])
    labels = label(track)
    assert [row["complete"] for row in labels.reps] == [True, False]
    assert verdicts(labels) == ["correct", "unscorable"]
    assert [row["message"] for row in labels.form if row["level"] == "rep"][1] == "the end is not in the clip"


def test_standing_still_has_no_repetition_and_no_good_verdict() -> None:
    labels = label(squatter(np.full(150, 172.0)))
    assert (labels.reps, labels.sets[0]["reps"]) == ([], 0)
    assert verdicts(labels, "clip") == ["unscorable"]
    assert labels.form[0]["message"] == "no repetition was found"


def walker(steps: int = 8, fps: float = 30.0) -> PoseTrack:
    """A person who walks through the picture, seen from the side: thigh ± 25°, the swinging knee bends by 60°."""
    time_s = np.arange(round(steps * 0.55 * fps)) / fps
    track = squatter(np.full(len(time_s), 174.0), fps)
    pelvis = np.stack([100 + 70 * time_s, 300 + 4 * np.cos(2 * np.pi * time_s / 0.55)], -1)
    for side, phase in (("left", 0.0), ("right", np.pi)):
        cycle = 2 * np.pi * time_s / 1.1 + phase
        thigh = np.radians(25) * np.sin(cycle)
        bend = np.radians(8 + 55 * np.clip(np.cos(cycle), 0, 1) ** 2)
        knee = pelvis + 100 * np.stack([np.sin(thigh), np.cos(thigh)], -1)
        ankle = knee + 100 * np.stack([np.sin(thigh - bend), np.cos(thigh - bend)], -1)
        for joint, place in (("hip", pelvis), ("knee", knee), ("ankle", ankle), ("heel", ankle), ("foot_index", ankle)):
            track.xy_px[:, BLAZEPOSE.index(f"{side}_{joint}")] = place
        arm = np.radians(20) * -np.sin(cycle)
        shoulder = pelvis + np.array([0, -120])
        elbow = shoulder + 60 * np.stack([np.sin(arm), np.cos(arm)], -1)
        wrist = elbow + 55 * np.stack([np.sin(arm + 0.4), np.cos(arm + 0.4)], -1)
        for joint, place in (("shoulder", shoulder), ("elbow", elbow), ("wrist", wrist), ("index", wrist)):
            track.xy_px[:, BLAZEPOSE.index(f"{side}_{joint}")] = place
    return track


@pytest.mark.parametrize("exercise", ["squat", "lunge", "push_up", "pull_up", "sit_up", "bicep_curl", "shoulder_press",
                                      "lateral_raise", "jumping_jack", "clean_and_jerk", "bench_press"])  # fmt: skip
def test_walking_has_no_repetition_of_anything(exercise: str) -> None:
    assert label(walker(), exercise).reps == []


@pytest.mark.parametrize(("spread_px", "reps"), [(0, 0), (10, 0), (60, 3)])
def test_arms_alone_are_no_jumping_jack(spread_px: float, reps: int) -> None:
    """A trunk is 120 px long; arms swing from the thighs to over the head three times in six seconds."""
    time_s = np.arange(180) / 30.0
    up = (1 - np.cos(np.pi * time_s)) / 2
    track = squatter(np.full(180, 176.0))
    for side, sign in (("left", 1), ("right", -1)):
        hip = np.stack([100 + 20 * sign + 0 * up, 300 + 0 * up], -1)
        ankle = hip + np.stack([sign * spread_px / 2 * up, 200 + 0 * up], -1)
        shoulder, raised = hip + np.array([0, -120]), np.radians(5 + 160 * up)
        arm = np.stack([sign * np.sin(raised), np.cos(raised)], -1)
        places = {"hip": hip, "knee": (hip + ankle) / 2, "ankle": ankle, "heel": ankle, "foot_index": ankle,
                  "shoulder": shoulder, "elbow": shoulder + 60 * arm, "wrist": shoulder + 115 * arm,
                  "index": shoulder + 120 * arm}  # fmt: skip
        for joint, place in places.items():
            track.xy_px[:, BLAZEPOSE.index(f"{side}_{joint}")] = place
    assert len(label(track, "jumping_jack").reps) == reps


def test_a_plank_has_no_push_up() -> None:
    track = squatter(np.full(150, 174.0))
    turned = track.xy_px[..., ::-1] * np.float32([1, 1]) + np.random.default_rng(0).normal(0, 1, track.xy_px.shape)
    lying = PoseTrack("blazepose_33", track.time_s, turned.astype(np.float32), track.visibility, 0, 0)
    labels = label(lying, "push_up")
    assert (labels.reps, verdicts(labels, "clip")) == ([], ["unscorable"])


def test_nobody_in_the_picture() -> None:
    track = squatter(np.full(30, 170.0))
    track.xy_px[:] = np.nan
    track.visibility[:] = np.nan
    labels = label(track)
    assert (labels.status, labels.reason) == ("no_person", "no person was found in any frame")
    assert (labels.view, labels.detected_share, labels.angles.num_rows) == ("unknown", 0.0, 0)
    assert labels.sets[0]["reps"] is None


def test_a_photo_has_angles_and_no_count() -> None:
    labels = label(squatter(np.full(1, 90.0)))
    assert (labels.status, labels.reason) == ("too_short", "1 frames are too few to count a repetition")
    knee = next(row for row in labels.angles.to_pylist() if row["name"] == "right_knee")
    assert knee["value_deg"] == pytest.approx(90, abs=0.1)


def test_rest_has_none_and_an_unknown_exercise_an_unknown_number_of_repetitions() -> None:
    track = squatter(knee_curve([80, 80]))
    parts = [Stretch(0, 50, "none", None, "dataset"), Stretch(50, 165, "golf_swing", None, "dataset")]
    labels = label_track("s/1", track, parts, RULES, 0.5)
    assert [row["reps"] for row in labels.sets] == [0, None]
    assert (labels.reps, labels.form, labels.status) == ([], [], "ok")


def test_frames_of_a_later_set_are_those_of_the_clip() -> None:
    curve = np.concatenate([knee_curve([80, 80]), np.full(60, 174.0), knee_curve([80])])
    parts = [Stretch(0, 150, "squat", None, "dataset"), Stretch(200, len(curve), "squat", 0.9, "model")]
    labels = label_track("s/1", squatter(curve), parts, RULES, 0.5)
    assert [(row["set"], row["rep"]) for row in labels.reps] == [(0, 0), (0, 1), (1, 0)]
    bottom = len(knee_curve([80, 80])) + 60 + 45
    assert labels.reps[2]["turn"] == pytest.approx(bottom, abs=5)
    assert labels.findings[1, 0][0].frame == pytest.approx(bottom, abs=5)


def test_a_border_inside_a_repetition_moves_to_its_end_but_not_into_the_next_set() -> None:
    track = squatter(knee_curve([80, 80, 80]))
    last = label(track).reps[2]
    within = last["start"] + (last["end"] - last["start"]) // 2
    cut_off = Stretch(0, within, "squat", 0.9, "model")
    assert [(one.start, one.end) for one in to_whole_reps([cut_off], track)] == [(0, last["end"])]
    following = Stretch(within + 2, len(track.time_s), "bicep_curl", 0.9, "model")
    assert to_whole_reps([cut_off, following], track)[0].end <= following.start
    barely = Stretch(0, last["start"] + 2, "squat", 0.9, "model")
    assert to_whole_reps([barely], track) == [barely]


def test_an_exercise_without_rules_is_unscorable_with_the_reason() -> None:
    labels = label(squatter(knee_curve([80, 80])), "tricep_extension")
    assert verdicts(labels, "clip") == ["unscorable"]
    assert labels.form[0]["message"] == RULES.of("tricep_extension").reason != ""


def test_a_frame_wise_rule_set_judges_frames() -> None:
    labels = label(squatter(knee_curve([50, 80])), rules="gympose")
    frames = verdicts(labels, "frame")
    assert len(frames) == 15 + 2 * 76
    assert frames[45] == "incorrect"  # 50° is below the range
    assert frames[45 + 76] == "correct"
    assert verdicts(labels) == ["incorrect", "correct"]
    assert verdicts(labels, "clip") == ["incorrect"]


@pytest.mark.parametrize("skeleton", ["coco_17", "coco_18", "penn_13"])
def test_other_skeletons_are_labelled_alike(skeleton: str) -> None:
    track = squatter(knee_curve([80, 120, 80]))
    xy = convert(track.xy_px, "blazepose_33", skeleton)
    visibility = np.where(np.isfinite(xy[..., 0]), 1, np.nan).astype(np.float32)
    other = PoseTrack(skeleton, track.time_s, xy, visibility, 800, 600)
    assert verdicts(label(other)) == ["correct", "incorrect", "correct"]


@settings(max_examples=4, deadline=None)
@given(st.floats(0.3, 3), st.floats(-200, 200))
def test_labels_do_not_depend_on_size_and_place(size: float, shift: float) -> None:
    track = squatter(knee_curve([80, 120]))
    xy = (track.xy_px * size + shift).astype(np.float32)
    moved = PoseTrack(track.skeleton, track.time_s, xy, track.visibility, 0, 0)
    labels = label(moved)
    assert verdicts(labels) == ["correct", "incorrect"]
    assert [row["turn"] for row in labels.reps] == pytest.approx([row["turn"] for row in label(track).reps], abs=4)


# --- real joints --------------------------------------------------------------------------------------------------


@pytest.mark.real
def test_the_published_squat_baseline_has_three_repetitions_of_which_two_return(shared_data: Path) -> None:
    """squat_1.mp4, 5 frames a second: counted by eye 3, complete 2 (its last repetition is cut while rising)."""
    frames = json.loads((shared_data / "blazepose_baseline" / "pose_squats.full.json").read_text())
    xy = np.array(frames, np.float32)[..., :2]
    track = PoseTrack("blazepose_33", np.arange(len(xy)) / 5.0, xy, np.ones(xy.shape[:2], np.float32), 720, 1280)
    labels = label(track)
    assert [row["complete"] for row in labels.reps] == [True, True, False]
    assert verdicts(labels) == ["correct", "correct", "unscorable"]


@pytest.fixture(scope="module")
def penn(shared_data: Path) -> dict[str, list[PoseTrack]]:
    """Penn Action's own joints of three actions at 30 frames a second; hidden joints keep visibility 0."""
    from repset.sources.penn_labels import joints_of, parse_label

    tracks: dict[str, list[PoseTrack]] = {"pushup": [], "pullup": [], "squat": []}
    for path in sorted((shared_data / "penn_action" / "labels").glob("*.mat")):
        if not (1149 <= int(path.stem) <= 1558 or 1661 <= int(path.stem) <= 1889):  # the set is ordered by action
            continue
        clip = parse_label(path.read_bytes(), path.name)
        if clip.action in tracks:
            time_s, found = np.arange(clip.frames) / 30, joints_of([clip])
            tracks[clip.action].append(
                PoseTrack("penn_13", time_s, found.xy_px, found.visibility, clip.width, clip.height)
            )
    return tracks


@pytest.mark.real
def test_gymposes_push_up_range_calls_half_of_the_frames_and_hardly_a_clip_correct(
    penn: dict[str, list[PoseTrack]],
) -> None:
    """On the annotated joints of the 152 push-up clips; frames enter where an elbow's three joints are marked visible
    (7,201 of 7,600 frames), clips that have such a frame (146). The published figures are 53 % and 1.4 %."""
    labels = [label(track, "push_up", "gympose") for track in penn["pushup"]]
    frames = [verdict for one in labels for verdict in verdicts(one, "frame") if verdict != "unscorable"]
    clips = [verdict for one in labels for verdict in verdicts(one, "clip") if verdict != "unscorable"]
    assert (len(labels), len(frames), len(clips)) == (152, 7201, 146)
    assert round(frames.count("correct") / len(frames), 2) == 0.53
    assert round(clips.count("correct") / len(clips), 3) == 0.014


@pytest.mark.real
@pytest.mark.parametrize(("action", "exercise"), [("squat", "squat"), ("pushup", "push_up"), ("pullup", "pull_up")])
def test_penn_clips_of_one_repetition_are_counted_as_one(
    penn: dict[str, list[PoseTrack]], action: str, exercise: str
) -> None:
    """Penn Action's clips are cut to one repetition; every third is counted here."""
    counts = [len(count_stretch(exercise, clean(track, 0.0))[1]) for track in penn[action][::3]]
    assert counts.count(1) / len(counts) >= 0.85
    assert max(counts) <= 2
