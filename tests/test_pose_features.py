"""What the networks see of a pose must not depend on where the person stands, only on what the body does."""

import numpy as np
import pytest

from repset import pose_features as pf
from repset.landmarks import BLAZEPOSE_33, COCO_18, PENN_13, SKELETONS
from repset.schema import PoseTrack

SPEC = pf.WindowSpec(seconds=2.0, steps=16)

# A standing person, 200 px from shoulder to ankle: torso 80, thigh 60, shank 60.
STANDING = {
    "head": (100, 20), "neck": (100, 50), "left_shoulder": (120, 50), "right_shoulder": (80, 50),
    "left_elbow": (125, 90), "right_elbow": (75, 90), "left_wrist": (125, 125), "right_wrist": (75, 125),
    "left_hip": (115, 130), "right_hip": (85, 130), "left_knee": (115, 190), "right_knee": (85, 190),
    "left_ankle": (115, 250), "right_ankle": (85, 250), "nose": (100, 25), "left_ear": (105, 20), "right_ear": (95, 20),
}  # fmt: skip


def track(skeleton: str = "penn_13", frames: int = 90, fps: float = 30.0) -> PoseTrack:
    """A person who lifts the left hand once in three seconds; joints without a position are absent."""
    joints = SKELETONS[skeleton].joints
    xy = np.array([STANDING.get(joint, (np.nan, np.nan)) for joint in joints], np.float32)
    xy = np.repeat(xy[None], frames, axis=0)
    phase = np.sin(np.pi * np.arange(frames) / frames)
    for joint, reach in (("left_wrist", 100), ("left_elbow", 40)):
        xy[:, joints.index(joint), 1] -= (reach * phase).astype(np.float32)
    seen = np.where(np.isfinite(xy[..., 0]), 1, np.nan).astype(np.float32)
    return PoseTrack(skeleton, np.arange(frames) / fps, xy, seen, 300, 300)


def moved(source: PoseTrack, scale: float, shift: tuple[float, float]) -> PoseTrack:
    xy = (source.xy_px * scale + np.array(shift)).astype(np.float32)
    return PoseTrack(source.skeleton, source.time_s, xy, source.visibility, 0, 0)  # a picture of unknown size


def test_windows_do_not_change_when_the_person_moves_in_the_image_or_comes_closer() -> None:
    here, _ = pf.track_windows(track(), SPEC, 0.5)
    there, _ = pf.track_windows(moved(track(), 2.5, (900, -40)), SPEC, 0.5)
    assert here.shape == (3, pf.CHANNELS, 16)
    np.testing.assert_allclose(here, there, atol=1e-4)


def test_deepfit_frames_do_not_change_when_the_person_moves_in_the_image_or_comes_closer() -> None:
    here = pf.deepfit_frames(track("coco_18").xy_px, "coco_18")
    there = pf.deepfit_frames(moved(track("coco_18"), 0.4, (-70, 333)).xy_px, "coco_18")
    np.testing.assert_allclose(here, there, atol=1e-4)


def test_deepfit_frame_has_the_values_of_a_body_worked_out_by_hand() -> None:
    frame = pf.deepfit_frames(track("coco_18", frames=2).xy_px[:1], "coco_18").reshape(18, 2)
    # Neck (100, 50): ear 30.41 away (head), hip 81.39 (torso), 60 + 60 (leg): body length 231.81.
    # Eyes are absent, so 16 joints count: their mean is (100, 111.56) with the hand down.
    np.testing.assert_allclose(frame[COCO_18.index("neck")], [0, (50 - 111.5625) / 231.8081], atol=1e-4)
    np.testing.assert_allclose(
        frame[COCO_18.index("left_ankle")], [15 / 231.8081, (250 - 111.5625) / 231.8081], atol=1e-4
    )
    assert frame[COCO_18.index("left_eye")].tolist() == [0, 0]


def test_mirroring_the_image_exchanges_left_and_right_and_turns_x_round() -> None:
    xy, seen = pf.common_joints(track().xy_px, track().visibility, "penn_13")
    plain = pf.features(xy[None, ::6], seen[None, ::6], 0.2)[0].T
    flipped = pf.features(*pf.mirrored(xy[None, ::6], seen[None, ::6]), 0.2)[0].T
    joints = len(pf.JOINTS)
    positions, twin = plain[:, : 2 * joints].reshape(-1, joints, 2), list(pf.MIRROR)
    np.testing.assert_allclose(flipped[:, : 2 * joints].reshape(-1, joints, 2), positions[:, twin] * [-1, 1], atol=1e-5)
    np.testing.assert_allclose(
        *(pf.features(*pf.mirrored(*pf.mirrored(xy[None], seen[None])), 0.1), pf.features(xy[None], seen[None], 0.1))
    )


@pytest.mark.parametrize("skeleton", sorted(SKELETONS))
def test_every_skeleton_gives_the_same_limbs(skeleton: str) -> None:
    xy, seen = pf.common_joints(track(skeleton).xy_px, track(skeleton).visibility, skeleton)
    assert xy.shape == (90, 13, 2)
    np.testing.assert_allclose(xy[:, 1:], track().xy_px[:, 1:])
    assert (seen[:, 1:] == 1).all()


def test_head_is_the_middle_of_the_ears_or_else_the_nose() -> None:
    source = track("blazepose_33")
    assert pf.common_joints(source.xy_px, source.visibility, "blazepose_33")[0][0, 0].tolist() == [100, 20]
    source.xy_px[:, BLAZEPOSE_33.index("left_ear")] = np.nan
    assert pf.common_joints(source.xy_px, source.visibility, "blazepose_33")[0][0, 0].tolist() == [100, 25]


def test_a_missing_joint_is_zero_and_marked_as_missing() -> None:
    source = track()
    wrist = PENN_13.index("right_wrist")
    source.xy_px[:, wrist], source.visibility[:, wrist] = np.nan, np.nan
    windows, _ = pf.track_windows(source, SPEC, 0.5)
    joints = len(pf.JOINTS)
    assert np.isfinite(windows).all()
    assert not windows[:, [2 * wrist, 2 * wrist + 1]].any()
    assert not windows[:, pf.SEEN][:, wrist].any()
    whole, _ = pf.track_windows(track(), SPEC, 0.5)
    others = [i for i in range(2 * joints) if i // 2 != wrist]
    np.testing.assert_allclose(windows[:, others], whole[:, others], atol=1e-5)


def test_a_bone_is_the_direction_from_its_first_to_its_second_joint_and_its_change() -> None:
    """The left forearm turns from pointing right to pointing down in 16 steps of 0.0625 s, whatever else is missing."""
    xy = np.full((1, 16, len(pf.JOINTS), 2), np.nan, np.float32)
    turned = np.linspace(0, np.pi / 2, 16)
    xy[0, :, pf.JOINTS.index("left_elbow")] = (40, 60)
    xy[0, :, pf.JOINTS.index("left_wrist")] = np.stack([40 + 30 * np.cos(turned), 60 + 30 * np.sin(turned)], axis=1)
    seen = np.isfinite(xy[..., 0]).astype(np.float32)
    bones = pf.features(xy, seen, 0.0625)[0, pf.PATH.stop :].reshape(2, len(pf.BONES), 2, 16)
    forearm = pf.BONES.index(("left_elbow", "left_wrist"))
    np.testing.assert_allclose(bones[0, forearm], [np.cos(turned), np.sin(turned)], atol=1e-5)
    # a quarter turn in 15 steps of 0.0625 s: 1.6755 rad/s, which is the speed of the unit vector's tip
    speed = np.linalg.norm(bones[1, forearm, :, 1:-1], axis=0) * pf.TURN_UNIT
    np.testing.assert_allclose(speed, np.pi / 2 / (15 * 0.0625), rtol=0.01)
    assert not np.delete(bones, forearm, axis=1).any()


def test_a_track_without_any_joint_is_all_zero() -> None:
    source = track()
    source.xy_px[:], source.visibility[:] = np.nan, np.nan
    assert not pf.track_windows(source, SPEC, 0.5)[0].any()
    assert not pf.deepfit_frames(source.xy_px, "penn_13").any()


def test_a_placed_but_invisible_joint_is_seen_by_half() -> None:
    source = track()
    source.visibility[:, 3] = 0
    assert pf.common_joints(source.xy_px, source.visibility, "penn_13")[1][0, 2:5].tolist() == [1, 0.5, 1]


def test_a_joint_that_the_pose_model_only_guesses_is_absent() -> None:
    """MediaPipe's visibility is its own doubt; a person's `occluded` (0 in Penn Action) is none."""
    source = track("blazepose_33")
    wrist = BLAZEPOSE_33.index("left_wrist")
    source.visibility[0, wrist], source.visibility[1, wrist] = 0.14, 0.16
    xy, seen = pf.common_joints(source.xy_px, source.visibility, "blazepose_33")
    common = pf.JOINTS.index("left_wrist")
    assert np.isnan(xy[0, common]).all()
    np.testing.assert_allclose(xy[1, common], source.xy_px[1, wrist])
    np.testing.assert_allclose(seen[:3, common], [0, 0.58, 1])


def test_windows_follow_true_time_not_frame_numbers() -> None:
    dense, sparse = track(frames=90, fps=30.0), track(frames=90, fps=30.0)
    keep = np.arange(0, 90, 3)
    sparse = PoseTrack("penn_13", dense.time_s[keep], dense.xy_px[keep], dense.visibility[keep], 300, 300)
    at = pf.step_times(0.2, SPEC)
    xy, seen = pf.common_joints(dense.xy_px, dense.visibility, "penn_13")
    few = pf.sample_at(sparse.time_s, xy[keep], seen[keep], at)[0]
    np.testing.assert_allclose(pf.sample_at(dense.time_s, xy, seen, at)[0], few, atol=0.6)  # px, of a 100 px movement


def test_windows_of_many_tracks_are_those_of_each_alone() -> None:
    rng = np.random.default_rng(4)
    tracks, moments = [], []
    for count, begin_s in ((40, 0.0), (1, 7.0), (25, 900.0), (2, 3.0)):
        time_s = begin_s + np.cumsum(rng.uniform(0.02, 0.06, count))
        tracks.append((time_s, rng.normal(size=(count, 13, 2)).astype(np.float32), np.ones((count, 13), np.float32)))
        moments.append(np.sort(rng.uniform(time_s[0], time_s[-1], 8)))
    order = np.array([2, 0, 3, 1, 0])
    xy, seen = pf.TracksEndToEnd(tracks).sample_at(order, np.stack([moments[i] for i in order]))
    for row, i in enumerate(order):
        time_s, positions, _ = tracks[i]
        expected = [np.interp(moments[i], time_s, positions[:, joint, 0]) for joint in range(13)]
        np.testing.assert_allclose(xy[row, :, :, 0], np.array(expected).T, atol=1e-5)
        assert seen[row].all()


def test_nothing_is_invented_outside_the_track_or_in_a_long_gap() -> None:
    source = track()
    keep = (source.time_s < 1.0) | (source.time_s > 2.0)
    xy, seen = pf.common_joints(source.xy_px[keep], source.visibility[keep], "penn_13")
    at = np.array([-0.5, 0.5, 1.5, 2.5, 3.5])
    values, known = pf.sample_at(source.time_s[keep], xy, seen, at)
    assert np.isfinite(values[:, 1, 0]).tolist() == [False, True, False, True, False]
    assert known[:, 1].tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("seconds", "expected"), [(1.0, [-0.5]), (2.0, [0.0]), (3.0, [0.0, 0.5, 1.0]), (3.2, [0.0, 0.5, 1.0, 1.2])]
)
def test_windows_cover_the_whole_track(seconds: float, expected: list[float]) -> None:
    times = np.linspace(0, seconds, 50)
    np.testing.assert_allclose(pf.window_starts(times, SPEC, 0.5), expected, atol=1e-9)


def test_a_single_frame_is_a_window() -> None:
    one = track(frames=1)
    windows, starts = pf.track_windows(one, SPEC, 0.5)
    assert windows.shape == (1, pf.CHANNELS, 16)
    assert np.isfinite(windows).all()
    assert starts.tolist() == [-1.0]


def test_a_joint_well_outside_the_picture_is_absent_where_the_size_is_known() -> None:
    source = track()
    knee, ankle = PENN_13.index("left_knee"), PENN_13.index("left_ankle")
    joints = len(pf.JOINTS)
    cut = PoseTrack("penn_13", source.time_s, source.xy_px, source.visibility, 300, 200)  # knees at 190, ankles at 250
    seen = pf.track_windows(cut, SPEC, 0.5)[0][:, 4 * joints + 2 : 5 * joints + 2]
    assert seen[:, knee].all()
    assert not seen[:, ankle].any()
    unknown = PoseTrack("penn_13", source.time_s, source.xy_px, source.visibility, 0, 0)
    assert pf.track_windows(unknown, SPEC, 0.5)[0][:, 4 * joints + 2 + ankle].all()


def test_one_window_is_the_same_as_among_the_others() -> None:
    windows, starts = pf.track_windows(track(), SPEC, 0.5)
    for window, start in zip(windows, starts, strict=True):
        np.testing.assert_array_equal(pf.window_at(track(), SPEC, float(start)), window)
