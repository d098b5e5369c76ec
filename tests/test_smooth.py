"""Cleaning a track: what must survive, what must go, and what must stay unknown."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repset.autolabel import smooth
from repset.autolabel.smooth import clean, cut
from repset.landmarks import COCO_17, SKELETONS
from repset.schema import PoseTrack

STANDING = {
    "nose": (0, -170), "left_eye": (4, -175), "right_eye": (-4, -175), "left_ear": (8, -172), "right_ear": (-8, -172),
    "left_shoulder": (20, -140), "right_shoulder": (-20, -140), "left_elbow": (25, -110), "right_elbow": (-25, -110),
    "left_wrist": (26, -80), "right_wrist": (-26, -80), "left_hip": (12, -90), "right_hip": (-12, -90),
    "left_knee": (13, -45), "right_knee": (-13, -45), "left_ankle": (13, 0), "right_ankle": (-13, 0),
}  # fmt: skip


def track(frames: int = 90, fps: float = 30.0, time_s: np.ndarray | None = None) -> PoseTrack:
    """A person standing still, in COCO-17, 400 × 400 pixels; the trunk is 50 pixels long."""
    body = np.array([STANDING[joint] for joint in COCO_17.joints], np.float32) + np.float32([200, 300])
    times = np.arange(frames) / fps if time_s is None else time_s
    xy = np.repeat(body[None].astype(np.float32), len(times), 0)
    return PoseTrack("coco_17", times, xy, np.ones((len(times), 17), np.float32), 400, 400)


WRIST = COCO_17.index("left_wrist")


def test_a_one_hertz_movement_keeps_its_size_and_its_place_in_time() -> None:
    one = track(120)
    one.xy_px[:, WRIST, 0] += 30 * np.sin(2 * np.pi * one.time_s).astype(np.float32)
    found = clean(one, 0.5).track.xy_px[:, WRIST, 0]
    np.testing.assert_allclose(found, one.xy_px[:, WRIST, 0], atol=0.6)  # 2 % of 30 pixels


def test_a_tremor_of_twelve_hertz_goes() -> None:
    one = track(120)
    one.xy_px[:, WRIST, 0] += 5 * np.sin(2 * np.pi * 12 * one.time_s).astype(np.float32)
    found = clean(one, 0.5).track.xy_px[15:-15, WRIST, 0]
    assert np.abs(found - 226).max() < 0.5


def test_below_eight_frames_a_second_nothing_is_filtered() -> None:
    one = track(20, fps=5)
    one.xy_px[:, WRIST, 0] += np.tile([0, 9], 10).astype(np.float32)
    np.testing.assert_array_equal(clean(one, 0.5).track.xy_px, one.xy_px)


def test_a_single_far_off_frame_is_an_outlier_and_is_bridged() -> None:
    one = track()
    one.xy_px[40, WRIST] += 60
    done = clean(one, 0.5)
    assert (done.outliers, done.filled) == (1, 1)
    np.testing.assert_allclose(done.track.xy_px[40, WRIST], [226, 220], atol=0.5)


def test_a_real_turning_point_is_no_outlier() -> None:
    one = track()
    one.xy_px[:, WRIST, 1] -= (60 * np.abs(np.sin(np.pi * 1.5 * one.time_s))).astype(np.float32)
    assert clean(one, 0.5).outliers == 0


def test_a_short_gap_is_bridged_and_a_long_one_stays_unknown() -> None:
    one = track()
    one.xy_px[20:25, WRIST] = np.nan  # 0.17 s
    one.xy_px[50:65, WRIST] = np.nan  # 0.5 s
    found = clean(one, 0.5).track.xy_px[:, WRIST, 0]
    assert np.isfinite(found[20:25]).all()
    assert np.isnan(found[50:65]).all()


def test_nothing_is_invented_before_the_first_or_after_the_last_sighting() -> None:
    one = track()
    one.xy_px[:3, WRIST] = np.nan
    one.xy_px[-3:, WRIST] = np.nan
    found = clean(one, 0.5).track.xy_px[:, WRIST, 0]
    assert np.isnan(found[[0, 1, 2, -3, -2, -1]]).all()


def test_hidden_joints_and_those_outside_the_picture_are_unknown() -> None:
    one = track()
    one.visibility[:, WRIST] = 0.3
    one.xy_px[:, COCO_17.index("left_ankle"), 1] = 420
    done = clean(one, 0.5)
    assert np.isnan(done.track.xy_px[:, [WRIST, COCO_17.index("left_ankle")]]).all()
    assert done.hidden == 180
    assert np.isfinite(clean(one, 0.0).track.xy_px).all()


def test_a_camera_cut_is_found_and_not_smeared() -> None:
    one = track()
    one.xy_px[45:] += np.float32(80)  # 1.6 trunk lengths between two frames
    done = clean(one, 0.5)
    assert done.segments == ((0, 45), (45, 90))
    np.testing.assert_allclose(done.track.xy_px[44:46, WRIST, 0], [226, 306], atol=1e-3)


def test_a_jump_to_another_person_after_a_pause_is_a_cut() -> None:
    one = track()
    one.xy_px[40:46] = np.nan
    one.xy_px[46:] += np.float32(130)
    assert clean(one, 0.5).segments == ((0, 46), (46, 90))


def test_a_leap_over_feet_that_stand_is_no_cut() -> None:
    one = track()
    feet = [COCO_17.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("knee", "ankle")]
    standing = one.xy_px[:, feet].copy()
    one.xy_px[45:] += np.float32(40)  # 0.8 trunk lengths between two frames
    assert clean(one, 0.5).segments == ((0, 45), (45, 90))
    one.xy_px[:, feet] = standing
    assert clean(one, 0.5).segments == ((0, 90),)


def test_a_slip_of_the_detector_to_another_place_and_back_is_no_cut() -> None:
    one = track()
    expected = clean(one, 0.5).track.xy_px
    one.xy_px[45:47] += np.float32(80)
    done = clean(one, 0.5)
    assert done.segments == ((0, 90),)
    np.testing.assert_allclose(done.track.xy_px, expected, atol=3)


def test_walking_past_the_camera_is_no_cut() -> None:
    one = track()
    one.xy_px[:] += (np.arange(90, dtype=np.float32) * 2)[:, None, None] * [1, 0]  # 1.2 trunk lengths a second
    assert clean(one, 0.5).segments == ((0, 90),)


def test_a_slip_of_left_and_right_is_undone() -> None:
    one = track()
    expected = one.xy_px.copy()
    one.xy_px[30:40] = one.xy_px[30:40][:, list(COCO_17.mirror)]
    done = clean(one, 0.5)
    assert done.swapped == 10
    np.testing.assert_allclose(done.track.xy_px, expected, atol=1e-3)


def test_a_person_who_turned_round_is_left_alone() -> None:
    one = track()
    one.xy_px[30:80] = one.xy_px[30:80][:, list(COCO_17.mirror)]  # 1.7 s
    assert clean(one, 0.5).swapped == 0


def test_uneven_times_give_the_curve_of_even_ones() -> None:
    rng = np.random.default_rng(4)
    even = track(120)
    uneven = track(time_s=np.sort(np.r_[0.0, even.time_s[1:-1] + rng.uniform(-0.01, 0.01, 118), even.time_s[-1]]))
    for one in (even, uneven):
        one.xy_px[:, WRIST, 0] += (30 * np.sin(2 * np.pi * one.time_s)).astype(np.float32)
    found = clean(uneven, 0.5).track.xy_px[:, WRIST, 0]
    expected = np.interp(uneven.time_s, even.time_s, clean(even, 0.5).track.xy_px[:, WRIST, 0])
    np.testing.assert_allclose(found, expected, atol=0.8)


def test_the_body_size_ignores_a_trunk_that_leans_towards_the_camera() -> None:
    one = track()
    for joint in ("left_shoulder", "right_shoulder"):
        one.xy_px[40:50, COCO_17.index(joint), 1] += 30
    np.testing.assert_allclose(clean(one, 0.0).scale_px, 50, atol=1)


def test_cutting_keeps_times_and_moves_the_borders() -> None:
    one = track()
    one.xy_px[45:] += np.float32(80)
    part = clean(one, 0.5).cut(40, 60)
    assert part.segments == ((0, 5), (5, 20))
    assert part.track.time_s[0] == pytest.approx(40 / 30)
    assert len(cut(one, 10, 12).time_s) == 2


def test_an_empty_and_a_single_frame_pass() -> None:
    for frames in (0, 1, 2):
        assert len(clean(track(frames), 0.5).track.time_s) == frames


@settings(max_examples=20, deadline=None)
@given(st.floats(0.2, 4), st.floats(-100, 100), st.floats(-100, 100))
def test_cleaning_does_not_depend_on_size_and_place(size: float, right: float, down: float) -> None:
    rng = np.random.default_rng(2)
    one = track(45)
    one.xy_px[:] += rng.normal(0, 1.5, one.xy_px.shape).astype(np.float32)
    one.xy_px[20:23, 5] = np.nan
    one.xy_px[30, 9] += 70
    shift = np.array([right, down])
    moved = PoseTrack("coco_17", one.time_s, (one.xy_px * size + shift).astype(np.float32), one.visibility, 0, 0)
    still = PoseTrack("coco_17", one.time_s, one.xy_px, one.visibility, 0, 0)
    expected = clean(still, 0.5).track.xy_px * size + shift
    np.testing.assert_allclose(clean(moved, 0.5).track.xy_px, expected, atol=0.02 * size + 0.01)


def test_runs_are_half_open() -> None:
    assert smooth.runs(np.array([True, True, False, True])) == [(0, 2), (3, 4)]
    assert smooth.runs(np.zeros(3, bool)) == []


@pytest.mark.parametrize("skeleton", sorted(SKELETONS))
def test_any_skeleton_can_be_cleaned(skeleton: str) -> None:
    count = len(SKELETONS[skeleton].joints)
    xy = np.random.default_rng(0).normal(200, 20, (1, count, 2)).astype(np.float32).repeat(20, 0)
    one = PoseTrack(skeleton, np.arange(20) / 25, xy, np.ones((20, count), np.float32), 0, 0)
    np.testing.assert_allclose(clean(one, 0.5).track.xy_px, xy, atol=1e-2)


def test_what_comes_late_is_read_later_and_stays_where_nothing_follows() -> None:
    time_s = np.arange(6) * 0.04
    late = np.full((6, 1, 2), np.nan)
    late[:, 0] = (100 * (time_s - 0.02))[:, None]  # 100 px a second, seen 20 ms late
    late[3, 0] = np.nan
    found = smooth.undelay(late, time_s, 0.02)[:, 0, 0]
    # 4 px a frame; the frame before the gap and the last one have nothing to read
    np.testing.assert_allclose(found, [0, 4, 6, np.nan, 16, 18], atol=1e-9)
