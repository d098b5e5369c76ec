"""Overlays: what is drawn, what is not, and that it stays inside the frame."""

import math
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repset.angles import BY_NAME
from repset.draw import (
    ClipLabels,
    contact_sheet,
    draw_angle,
    draw_masks,
    draw_overlay,
    draw_skeleton,
    draw_verdict,
    mask_colours,
    measurement,
    overlay_frames,
)
from repset.draw.body import draw_signal
from repset.draw.canvas import fit_text, put_text, text_size, wrap_text
from repset.landmarks import COCO_17, PENN_13
from repset.schema import PoseTrack

GREY = 120


def blank(height: int = 240, width: int = 320) -> np.ndarray[Any, Any]:
    return np.full((height, width, 3), GREY, np.uint8)


def standing() -> np.ndarray[Any, Any]:
    """A person of 13 joints, upright, about 160 px high."""
    points = {
        "head": (160, 40), "left_shoulder": (180, 70), "right_shoulder": (140, 70), "left_elbow": (190, 100),
        "right_elbow": (130, 100), "left_wrist": (195, 130), "right_wrist": (125, 130), "left_hip": (172, 130),
        "right_hip": (148, 130), "left_knee": (174, 165), "right_knee": (146, 165), "left_ankle": (176, 200),
        "right_ankle": (144, 200),
    }  # fmt: skip
    return np.array([points[joint] for joint in PENN_13.joints], np.float32)


def track(frames: int = 6, scale: float = 1.0) -> PoseTrack:
    xy = np.repeat(standing()[None] * np.float32(scale), frames, axis=0)
    size = (round(320 * scale), round(240 * scale))
    return PoseTrack("penn_13", np.arange(frames) / 10, xy, np.ones((frames, 13), np.float32), *size)


REPS = [
    {"set": 0, "rep": 0, "exercise": "squat", "start": 0, "turn": 1, "end": 3, "complete": True},
    {"set": 0, "rep": 1, "exercise": "squat", "start": 3, "turn": 4, "end": 6, "complete": True},
]
FORM = [
    {"level": "rep", "set": 0, "rep": 0, "start": 0, "end": 3, "verdict": "correct", "signal": "knee",
     "value_deg": 88.0, "low_deg": None, "high_deg": 95.0, "message": None},
    {"level": "rep", "set": 0, "rep": 1, "start": 3, "end": 6, "verdict": "incorrect", "signal": "knee",
     "value_deg": 121.0, "low_deg": None, "high_deg": 95.0, "message": "Go deeper."},
]  # fmt: skip


def changed(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return (before != after).any(axis=-1)


@pytest.mark.parametrize(("height", "width"), [(240, 320), (320, 180), (1080, 1920), (48, 64), (241, 319)])
def test_overlay_has_the_size_of_its_input_and_leaves_the_input_alone(height: int, width: int) -> None:
    image = blank(height, width)
    out = list(overlay_frames([image] * 6, track(scale=height / 240), REPS, FORM, "squat"))
    assert [frame.shape for frame in out] == [(height, width, 3)] * 6
    assert out[0].dtype == np.uint8
    assert (image == GREY).all()
    assert changed(image, out[0]).any()


def test_overlay_streams_one_frame_at_a_time() -> None:
    asked = 0

    def images() -> Any:
        nonlocal asked
        for _ in range(6):
            asked += 1
            yield blank()

    frames = overlay_frames(images(), track(), REPS, FORM, "squat")
    next(frames)
    assert asked == 1
    next(frames)
    assert asked == 2


def test_frames_past_the_end_of_the_track_still_come_back() -> None:
    assert len(list(overlay_frames([blank()] * 9, track(6), REPS, FORM, "squat"))) == 9


def test_pixels_change_at_a_joint_only_if_it_is_seen_well_enough() -> None:
    xy, seen = standing(), np.ones(13, np.float32)
    wrist, elbow = PENN_13.index("left_wrist"), PENN_13.index("left_elbow")
    seen[wrist] = 0.49
    image = blank()
    draw_skeleton(image, xy, seen, "penn_13", min_visibility=0.5)
    touched = changed(blank(), image)
    for joint in range(13):
        x, y = xy[joint].astype(int)
        near = touched[y - 4 : y + 5, x - 4 : x + 5]
        assert near.any() == (joint != wrist), PENN_13.joints[joint]
    seen[wrist], seen[elbow] = 0.5, 1.0
    draw_skeleton(image, xy, seen, "penn_13", min_visibility=0.5)
    x, y = xy[wrist].astype(int)
    assert changed(blank(), image)[y, x]


def test_nothing_is_drawn_far_from_the_bones() -> None:
    image = blank()
    draw_skeleton(image, standing(), np.ones(13, np.float32), "penn_13")
    bones = np.full((240, 320), 255, np.uint8)
    for a, b in PENN_13.bones:
        ends = [tuple(int(v) for v in standing()[PENN_13.index(joint)]) for joint in (a, b)]
        cv2.line(bones, ends[0], ends[1], 0, 1)
    far = cv2.distanceTransform(bones, cv2.DIST_L2, 5) > 8
    assert not (changed(blank(), image) & far).any()


def test_nan_joints_draw_nothing() -> None:
    image = blank()
    draw_skeleton(image, np.full((13, 2), np.nan, np.float32), np.full(13, np.nan, np.float32), "penn_13")
    draw_angle(image, *(np.array([np.nan, np.nan], np.float32),) * 3)
    assert (image == GREY).all()


def test_a_joint_with_a_position_but_no_visibility_draws_nothing() -> None:
    image = blank()
    draw_skeleton(image, standing(), np.full(13, np.nan, np.float32), "penn_13", min_visibility=0.0)
    assert (image == GREY).all()


def test_a_track_without_any_joint_gives_frames_without_a_skeleton() -> None:
    empty = PoseTrack("penn_13", np.arange(3) / 10, np.full((3, 13, 2), np.nan, np.float32),
                      np.full((3, 13), np.nan, np.float32), 320, 240)  # fmt: skip
    frames = list(overlay_frames([blank()] * 3, empty, [], [], ""))
    assert [changed(blank(), frame)[:200].any() for frame in frames] == [False] * 3


@pytest.mark.filterwarnings("error")
def test_the_lean_of_the_trunk_is_drawn_though_a_joint_is_hidden_and_nothing_where_none_is_seen() -> None:
    rows = [BY_NAME["trunk_lean"]]
    xy, seen = standing(), np.ones(13, np.float32)
    xy[[PENN_13.index(f"{side}_shoulder") for side in ("left", "right")], 0] += 40  # leans to the image's right
    xy[PENN_13.index("left_wrist")] = np.nan
    some, none = blank(), blank()
    draw_signal(some, rows, xy, seen, "penn_13", 0.5, 160.0)
    draw_signal(none, rows, np.full((13, 2), np.nan, np.float32), seen, "penn_13", 0.5, 160.0)
    assert changed(blank(), some)[100:125, 155:175].any()  # above the pelvis at (160, 130), between up and the trunk
    assert (none == GREY).all()


def test_the_arc_of_an_elbow_that_points_at_the_camera_is_not_drawn() -> None:
    xy = standing()
    xy[PENN_13.index("left_elbow")] = (181, 80)  # 10 px of an upper arm of 39: 0.646 of a trunk of 60
    for torso_px, drawn in ((60.0, False), (float("nan"), True)):
        image = blank()
        draw_signal(image, [BY_NAME["left_elbow"]], xy, np.ones(13, np.float32), "penn_13", 0.5, 160.0, torso_px)
        assert changed(blank(), image).any() == drawn


@pytest.mark.parametrize(("elbow", "arc"), [((190, 100), True), ((181, 80), False)])
def test_an_overlay_knows_the_length_of_the_trunk_and_so_which_elbow_is_seen_end_on(
    elbow: tuple[int, int], arc: bool
) -> None:
    one = track(2)
    one.xy_px[:, PENN_13.index("left_elbow")] = elbow
    bare, named = (next(overlay_frames([blank()], one, [], [], name)) for name in ("", "bicep_curl"))
    around = np.s_[elbow[1] - 12 : elbow[1] + 12, elbow[0] - 6 : elbow[0] + 6]
    assert changed(bare, named)[around].any() == arc


def test_the_degrees_of_the_fault_and_of_what_is_counted_do_not_cover_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boxes: list[tuple[int, ...]] = []

    def noted(*args: Any, **named: Any) -> Any:
        boxes.append(box := draw_angle(*args, **named))
        return box

    monkeypatch.setattr("repset.draw.body.draw_angle", noted)
    one = track(2)
    for side in ("left", "right"):  # sitting back: the angle of the hip opens upwards, as the trunk's lean does
        hip = one.xy_px[:, PENN_13.index(f"{side}_hip")]
        one.xy_px[:, PENN_13.index(f"{side}_shoulder")] = hip + np.float32([-30, -52])
        one.xy_px[:, PENN_13.index(f"{side}_knee")] = hip + np.float32([20, -35])
    lean = {**FORM[1], "rep": None, "level": "frame", "start": 0, "end": 2, "signal": "trunk_lean"}
    next(overlay_frames([blank()], one, [], [lean], "sit_up"))
    written = [box for box in boxes if box]
    assert len(written) > 1
    for k, (left, top, right, bottom) in enumerate(written):
        for x0, y0, x1, y1 in written[:k]:
            assert right <= x0 or left >= x1 or bottom <= y0 or top >= y1


def test_an_angle_is_drawn_beside_its_joint() -> None:
    image = blank()
    draw_angle(image, np.array([160.0, 60.0]), np.array([160.0, 120.0]), np.array([220.0, 120.0]))
    touched = changed(blank(), image)
    assert touched[110:119, 162:170].any()  # inside the right angle
    assert not touched[:, :150].any()  # and nowhere on its other side


def test_a_verdict_on_the_clip_is_shown_only_where_no_repetition_is_judged() -> None:
    clip = {**FORM[1], "level": "clip", "rep": None, "start": 0, "end": 6}
    late = [REPS[1]]
    alone, beside = (
        next(overlay_frames([blank()], track(), late, form, "squat")) for form in ([clip], [clip, FORM[1]])
    )
    banner = np.s_[205:230]
    assert changed(blank(), alone)[banner, 200:].any()
    assert not changed(blank(), beside)[banner, 200:].any()


def test_the_counter_counts_turns_of_the_set_under_way() -> None:
    second = [
        {**row, "set": 1, "start": row["start"] + 10, "turn": row["turn"] + 10, "end": row["end"] + 10} for row in REPS
    ]
    clip = ClipLabels(track(20), [*second, *REPS], FORM, "squat")
    assert [clip.counted_at(t) for t in (0, 1, 3, 4, 9, 10, 11, 14)] == [0, 1, 1, 2, 2, 0, 1, 2]


SETS = [
    {"set": 0, "start": 0, "end": 6, "exercise": "squat"},
    {"set": 1, "start": 10, "end": 16, "exercise": "lunge"},
]


def test_each_set_has_its_own_name_and_count_and_the_rest_between_has_none() -> None:
    second = [{**row, "set": 1, **{key: row[key] + 10 for key in ("start", "turn", "end")}} for row in REPS]
    clip = ClipLabels(track(20), [*REPS, *second], FORM, "", sets=SETS)
    assert [clip.exercise_at(t) for t in (0, 5, 6, 9, 10, 15, 16)] == ["squat", "squat", "", "", "lunge", "lunge", ""]
    assert [clip.counted_at(t) for t in (0, 1, 5, 6, 10, 11, 15, 16)] == [0, 1, 2, 0, 0, 1, 2, 0]


def test_the_frame_on_which_a_rule_was_measured_is_no_verdict_of_its_own() -> None:
    measured = [{**FORM[1], "level": "frame", "start": 8, "end": 9}]
    assert ClipLabels(track(10), [], measured, "squat").verdict_at(8) is None
    assert ClipLabels(track(10), [], [{**measured[0], "rep": None}], "squat").verdict_at(8) is not None


def test_two_angles_never_write_over_each_other() -> None:
    image = blank()
    corner = [np.array(point, np.float64) for point in ((160, 60), (160, 120), (220, 120))]
    first = draw_angle(image, *corner)
    assert first is not None
    second = draw_angle(image, *(point + np.array([2.0, 0.0]) for point in corner), taken=[first])
    assert second is not None
    assert second[2] <= first[0] or second[0] >= first[2] or second[3] <= first[1] or second[1] >= first[3]
    assert draw_angle(image, *corner, taken=[first, second]) is None


def test_a_face_is_left_uncovered() -> None:
    points = {"nose": (160, 40), "left_eye": (166, 34), "left_ear": (172, 38), "left_shoulder": (190, 80),
              "right_shoulder": (130, 80)}  # fmt: skip
    xy = np.full((17, 2), np.nan, np.float32)
    for joint, at in points.items():
        xy[COCO_17.index(joint)] = at
    image = blank()
    draw_skeleton(image, xy, np.ones(17, np.float32), "coco_17")
    touched = changed(blank(), image)
    assert not touched[28:38, 166:180].any()
    assert touched[55:70, 155:165].any()  # the neck, from the nose to between the shoulders


def test_a_short_banner_takes_no_more_room_than_its_words() -> None:
    short, long = blank(), blank()
    draw_verdict(short, FORM[0] | {"value_deg": None})
    draw_verdict(long, FORM[1] | {"message": "A long message " * 8})
    assert not changed(blank(), short)[:, 160:].any()
    assert changed(blank(), long)[:, 300].any()


def test_a_verdict_stays_a_while_after_its_repetition_and_then_goes() -> None:
    clip = ClipLabels(track(40), REPS, FORM, "squat")  # ten frames a second
    shown = [(clip.verdict_at(t) or {}).get("verdict") for t in (0, 2, 3, 5, 16, 17)]
    assert shown == ["correct", "correct", "incorrect", "incorrect", "incorrect", None]


def test_the_worst_of_several_verdicts_on_a_repetition_is_shown() -> None:
    rows = [{**FORM[0], "verdict": verdict} for verdict in ("correct", "incorrect", "unscorable")]
    found = ClipLabels(track(), REPS, rows, "squat").verdict_of(REPS[0])
    assert found is not None
    assert found["verdict"] == "incorrect"


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (40.0, 155.0, "knee 121°, limit 40–155°"),
        (None, 95.0, "knee 121°, at most 95°"),
        (160.0, None, "knee 121°, at least 160°"),
        (None, None, "knee 121°"),
    ],
)
def test_a_measurement_names_its_limit(low: float | None, high: float | None, text: str) -> None:
    assert measurement({"signal": "knee", "value_deg": 121.2, "low_deg": low, "high_deg": high}) == text


@pytest.mark.parametrize("value", [None, math.nan])
def test_an_unknown_measurement_is_not_written(value: float | None) -> None:
    assert measurement({"signal": "knee", "value_deg": value, "low_deg": None, "high_deg": 95.0}) == ""


@settings(max_examples=40, deadline=None)
@given(st.integers(16, 400), st.integers(16, 400), st.text("aglö°✓ ", max_size=30), st.integers(-500, 900))
def test_text_never_raises_and_stays_inside(height: int, width: int, text: str, at: int) -> None:
    image = blank(height, width)
    put_text(image, text, at, at, 12, (255, 255, 255))
    assert image.shape == (height, width, 3)


def test_text_that_fits_is_whole_wherever_it_is_put() -> None:
    inside, corner = blank(), blank()
    put_text(inside, "87°", 100, 100, 20, (255, 255, 255), bold=True)
    put_text(corner, "87°", 9999, -9999, 20, (255, 255, 255), bold=True)
    assert changed(blank(), inside).sum() == changed(blank(), corner).sum() > 100


def test_long_text_is_broken_and_cut_to_its_width() -> None:
    lines = wrap_text("Keep the chest up: the trunk leans too far forward over the hips", 14, 150, 2)
    assert len(lines) == 2
    assert lines[1].endswith("…")
    assert all(text_size(line, 14)[0] <= 150 for line in lines)
    assert fit_text("knee", 14, 150) == "knee"


@pytest.mark.parametrize("width", [96, 180, 640])
def test_a_verdict_banner_fits_any_width(width: int) -> None:
    image = blank(240, width)
    draw_verdict(image, FORM[1] | {"message": "A long message " * 8})
    assert image.shape == (240, width, 3)
    assert changed(blank(240, width), image)[-60:].any()


def test_on_a_tiny_image_the_message_gives_way_to_the_counter() -> None:
    tiny, small = blank(96, 170), blank(240, 320)
    for image in (tiny, small):
        draw_verdict(image, FORM[1])
    assert not changed(blank(96, 170), tiny)[:40].any()
    assert changed(blank(), small)[180:200].any()


def test_a_single_picture_has_neither_count_nor_time() -> None:
    clip, moving, still = ClipLabels(track(), [], FORM, "squat"), blank(), blank()
    draw_overlay(moving, 4, clip)
    draw_overlay(still, 4, clip, still=True)
    assert changed(blank(), moving)[-2:].any()
    assert not changed(blank(), still)[-2:].any()
    assert changed(blank(), still)[:30, :60].any()  # the exercise is named
    assert changed(blank(), moving)[35:50, :30].any()  # the count stands below it
    assert not changed(blank(), still)[35:50, :30].any()


def test_masks_colour_their_pixels_and_an_absent_muscle_nothing() -> None:
    biceps = np.zeros((240, 320), np.uint8)
    biceps[50:90, 60:120] = 255
    image = blank()
    draw_masks(image, {"biceps": biceps, "calf": np.zeros_like(biceps)}, legend=False)
    touched = changed(blank(), image)
    assert touched[55:85, 65:115].all()
    assert not touched[100:].any()


def test_a_label_keeps_its_colour_whatever_stands_beside_it() -> None:
    assert mask_colours(["calf", "biceps"])["biceps"] == mask_colours(["biceps"])["biceps"] == (0, 94, 213)
    assert len(set(mask_colours(["biceps", "triceps", "calf", "glute"]).values())) == 4


def test_a_contact_sheet_holds_every_picture_undistorted() -> None:
    tall, wide = np.zeros((300, 100, 3), np.uint8), np.zeros((100, 300, 3), np.uint8)
    sheet = contact_sheet([tall, wide, tall], ["a", "b", "c"], 2, (120, 90), gap_px=4)
    dark = (sheet == 0).all(-1)
    assert dark[4:94, 4:124].sum() == 30 * 90
    assert dark[4:94, 128:248].sum() == 120 * 40


def test_the_same_frame_is_drawn_the_same_twice() -> None:
    clip, frames = ClipLabels(track(), REPS, FORM, "squat"), [blank(), blank()]
    for frame in frames:
        draw_overlay(frame, 4, clip)
    assert (frames[0] == frames[1]).all()
