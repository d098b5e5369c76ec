"""Counting: curves whose number of repetitions is known because they were drawn so."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repset import exercises
from repset.autolabel.counting import COUNTING, Counting, Signal, counting_signal, from_upright_deg, reach_deg
from repset.autolabel.posture import plausible
from repset.autolabel.reps import Rep, count
from repset.autolabel.smooth import CleanTrack, clean
from repset.landmarks import BLAZEPOSE_33, COCO_17
from repset.schema import PoseTrack

SQUAT = COUNTING["squat"]  # the effort is the larger value: minus the knee angle
CURL = COUNTING["bicep_curl"]


def bends(number: int, fps: float = 30.0, period_s: float = 2.0, low: float = 80.0, rest_s: float = 0.5) -> np.ndarray:
    """Knee angle of `number` squats from 175° to `low`, with rest before, between and after."""
    rest = np.full(round(rest_s * fps), 175.0)
    phase = np.arange(round(period_s * fps)) / round(period_s * fps)
    one = 175 - (175 - low) * (1 - np.cos(2 * np.pi * phase)) / 2
    return np.concatenate([rest, *([one, rest] * number)])


def times(values: np.ndarray, fps: float = 30.0) -> np.ndarray:
    return np.arange(len(values)) / fps


def counted(angle: np.ndarray, fps: float = 30.0, spec: Counting = SQUAT) -> list[tuple[int, bool]]:
    """Turning frame and completeness of each repetition."""
    return [(rep.turn, rep.complete) for rep in count(-angle, times(angle, fps), spec)]


def test_every_exercise_of_the_ontology_can_be_counted() -> None:
    assert set(COUNTING) == set(exercises.NAMES)


@pytest.mark.parametrize("number", [1, 2, 5, 12])
def test_every_bend_is_a_repetition_and_turns_where_it_is_deepest(number: int) -> None:
    assert counted(bends(number)) == [(15 + 30 + k * 75, True) for k in range(number)]


def test_start_and_end_are_where_the_rest_is_left_and_reached_again() -> None:
    rep = count(-bends(1), times(bends(1)), SQUAT)[0]
    # ten per cent of the way down: 0.1 = (1 - cos x) / 2, x = 36.9°, frame 15 + 6.1; half-open at the other end
    assert (rep.start, rep.turn, rep.end) == (21, 45, 70)


@pytest.mark.parametrize("fps", [5.0, 8.0, 12.5, 24.0, 59.94])
def test_the_frame_rate_does_not_matter(fps: float) -> None:
    assert len(counted(bends(4, fps), fps)) == 4


@pytest.mark.parametrize("period_s", [0.6, 1.0, 4.0, 8.0])
def test_the_tempo_does_not_matter(period_s: float) -> None:
    assert len(counted(bends(4, period_s=period_s))) == 4


def test_a_pause_inside_a_set_is_no_repetition() -> None:
    angle = np.concatenate([bends(2), np.full(300, 175.0), bends(2)])
    assert len(counted(angle)) == 4


def test_a_pause_at_the_bottom_is_one_repetition() -> None:
    down = bends(1)[:46]
    angle = np.concatenate([down, np.full(90, 80.0), down[::-1]])
    assert len(counted(angle)) == 1


@pytest.mark.parametrize("wobble", [0.0, 4.0, 10.0])
def test_a_static_hold_has_no_repetition(wobble: float) -> None:
    rng = np.random.default_rng(1)
    hold = 90 + wobble * np.sin(np.arange(300) / 12) + rng.normal(0, 1, 300)
    assert counted(hold) == []


def test_putting_the_arms_up_once_is_no_repetition() -> None:
    up = np.concatenate([np.full(30, 175.0), np.linspace(175, 40, 20), np.full(60, 40.0)])
    assert counted(up, spec=COUNTING["pull_up"]) == []


def test_a_slow_drift_is_no_repetition() -> None:
    assert counted(np.linspace(175, 90, 300)) == []


def test_a_clip_that_ends_while_rising_reports_an_incomplete_repetition() -> None:
    angle = bends(3)[: 195 + 15]  # half a second after the third turn: risen half of the way
    assert counted(angle) == [(45, True), (120, True), (195, False)]
    last = count(-angle, times(angle), SQUAT)[-1]
    assert (last.whole, last.starts, last.ends) == (True, True, False)


def test_a_clip_that_starts_at_the_bottom_counts_the_rise_it_shows() -> None:
    angle = bends(3)[45:]
    assert counted(angle) == [(0, False), (75, True), (150, True)]


def test_a_clip_that_ends_at_the_bottom_shows_no_rise_to_count() -> None:
    assert counted(bends(3)[: 195 + 1]) == [(45, True), (120, True)]


def test_a_curl_is_counted_at_its_top_though_the_clip_ends_there() -> None:
    assert counted(bends(2, low=40)[: 120 + 1], spec=CURL) == [(45, True), (120, False)]


def test_a_half_repetition_among_full_ones_is_counted() -> None:
    angle = np.concatenate([bends(2), bends(1, low=128), bends(2)])  # half of the way to 80
    assert len(counted(angle)) == 5


def test_a_shallow_repetition_counts_beside_a_clear_one_but_not_alone() -> None:
    shallow = bends(1, low=155)  # 20°, below the 25° that a squat must have
    assert counted(shallow) == []
    assert len(counted(np.concatenate([bends(2, low=120), shallow]))) == 3  # the clear ones go 55°


def test_a_tremble_among_full_repetitions_is_not() -> None:
    angle = np.concatenate([bends(2), bends(1, low=155), bends(2)])
    assert len(counted(angle)) == 4


def test_half_a_return_is_a_turn_but_not_complete() -> None:
    first, second = bends(1)[:46], bends(1)[45:]
    between = np.linspace(80, 130, 20)
    angle = np.concatenate([first, between, between[::-1], second])
    assert [complete for _, complete in counted(angle)] == [False, False]


def test_gaps_hide_no_repetition_that_is_seen_around_them() -> None:
    angle = bends(4)
    angle[[*range(30, 40), *range(100, 112), *range(200, 206)]] = np.nan
    assert len(counted(angle)) == 4


def test_what_is_never_seen_is_not_counted() -> None:
    assert counted(np.full(200, np.nan)) == []


def test_a_glitch_of_two_frames_is_no_repetition() -> None:
    angle = np.full(120, 175.0)
    angle[60:62] = 60
    assert counted(angle) == []


def test_nothing_is_joined_across_a_camera_cut() -> None:
    angle = np.concatenate([bends(2), bends(2)])
    halves = ((0, len(angle) // 2), (len(angle) // 2, len(angle)))
    assert len(count(-angle, times(angle), SQUAT, halves)) == 4


def test_two_turns_closer_than_a_body_can_move_are_one() -> None:
    assert len(counted(bends(3, period_s=0.3, rest_s=0.0), spec=SQUAT)) < 3
    assert len(counted(bends(3, period_s=0.45, rest_s=0.1), spec=COUNTING["push_up"])) == 3


def test_a_lunge_whose_legs_are_mistaken_at_the_bottom_turns_once() -> None:
    """After a clean one, two lowest points 0.4 s apart with 30° between: two more squats, but one more lunge."""
    down, dip = bends(1)[:46], np.linspace(80, 110, 7)
    angle = np.concatenate([bends(1), down, dip[1:], dip[::-1][1:], down[::-1][1:]])
    assert [len(counted(angle, spec=COUNTING[name])) for name in ("squat", "lunge")] == [3, 2]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.floats(0.8, 5), st.floats(45, 120), st.floats(0, 3), st.integers(0, 9))
def test_noise_does_not_change_the_count(number: int, period_s: float, low: float, noise: float, seed: int) -> None:
    angle = bends(number, period_s=period_s, low=low)
    angle += np.random.default_rng(seed).normal(0, noise, len(angle))
    assert len(counted(angle)) == number


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.floats(45, 130))
def test_played_backwards_the_count_is_the_same(number: int, low: float) -> None:
    angle = bends(number, low=low)
    assert len(counted(angle[::-1])) == len(counted(angle)) == number


def limb(angle_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A limb of bones 40 and 30 pixels that bends in the image plane."""
    turn = np.radians(angle_deg)
    zero = np.zeros_like(turn)
    return np.stack([zero + 40, zero], -1), np.stack([zero, zero], -1), 30 * np.stack([np.cos(turn), np.sin(turn)], -1)


def test_the_reach_angle_is_the_joint_angle_where_nothing_is_foreshortened() -> None:
    angle = np.linspace(175, 60, 50)
    np.testing.assert_allclose(reach_deg(*limb(angle), np.arange(50) / 30), angle, atol=1e-3)


def test_the_reach_angle_sees_a_bend_towards_the_camera() -> None:
    """Hip over ankle, knee bending straight at the camera: the interior angle stays 180°, the reach does not.

    The bones are taken as long as they look when best seen, so a rest at 175° looks like 180°.
    """
    angle = bends(2)
    half = np.sin(np.radians(angle) / 2)
    hip, knee, ankle = (np.stack([np.zeros_like(half), y], -1) for y in (-40 * half, 0 * half, 40 * half))
    found = reach_deg(hip, knee, ankle, times(angle))
    np.testing.assert_allclose(found, angle, atol=5.1)
    assert found.min() == pytest.approx(80, abs=0.2)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 20), st.floats(-1000, 1000))
def test_the_reach_angle_does_not_depend_on_size_and_place(size: float, shift: float) -> None:
    angle = bends(1)
    moved = [point * size + shift for point in limb(angle)]
    np.testing.assert_allclose(reach_deg(*moved, times(angle)), reach_deg(*limb(angle), times(angle)), atol=1e-3)


def seen_pressing(own_deg: tuple[float, ...]) -> Signal:
    """Presses that shorten the arm by 80, 40 and 40° while the elbow's own angle in the image moves by `own_deg`."""
    lows = (90.0, 130.0, 130.0)
    length = np.concatenate([bends(1, low=low) for low in lows])
    own = np.concatenate([bends(1, low=175 - deg) for deg in own_deg])
    hand = np.stack([np.zeros_like(length), 1.1 * np.sin(np.radians(length) / 2)], -1)  # an arm of 1.1 torso lengths
    return Signal(-length, -own, None, "left", 1.0, (hand,), (-own,))


@pytest.mark.parametrize(
    ("own_deg", "exercise", "number"),
    [
        ((24.0, 9.0, 9.0), "bench_press", 3),  # the elbow points at the camera: the arm's length shows the bend
        ((24.0, 9.0, 2.0), "bench_press", 2),  # the last one is in the length alone: the wrist was mistaken
        ((80.0, 40.0, 9.0), "bench_press", 2),
        ((24.0, 9.0, 9.0), "push_up", 0),  # a straight arm that swings looks so, too
    ],
)
def test_arms_that_press_bend_when_they_look_shorter(own_deg: tuple[float, ...], exercise: str, number: int) -> None:
    signal, spec = seen_pressing(own_deg), replace(COUNTING[exercise], postures=())
    reps = count(signal.values, times(signal.values), spec)
    assert len(reps) == 3
    assert len(plausible(reps, signal, nowhere(len(signal.values)), spec)) == number


def nowhere(frames: int) -> CleanTrack:
    """A track of which nothing is known: no posture contradicts anything."""
    empty = np.full((frames, 33, 2), np.nan, np.float32)
    track = PoseTrack("blazepose_33", np.arange(frames) / 30, empty, np.zeros((frames, 33), np.float32), 400, 400)
    return clean(track, 0.0)


@pytest.mark.parametrize(
    ("gap_px", "kept"),
    [
        (lambda t: np.where((t > 0.5) & (t < 0.6), -40.0, 40.0), 1),  # one foot taken for the other in 3 of 31 frames
        (lambda t: np.where(t > 0.7, -40.0, 40.0), 0),  # a step of 0.8 torso lengths
        (lambda t: 60 * np.cos(2 * np.pi * t), 0),  # a walk
    ],
)
def test_feet_that_leap_for_a_moment_stand_and_feet_that_step_do_not(
    gap_px: Callable[[np.ndarray], np.ndarray], kept: int
) -> None:
    seconds = np.arange(31) / 30
    places = dict(left_shoulder=(200, 100), right_shoulder=(180, 100), left_hip=(200, 200), right_hip=(180, 200))
    xy = np.full((31, 33, 2), np.nan, np.float32)
    for joint, place in places.items():
        xy[:, BLAZEPOSE_33.index(joint)] = place
    for side, sign in (("left", 0.5), ("right", -0.5)):
        xy[:, BLAZEPOSE_33.index(f"{side}_ankle")] = np.stack([190 + sign * gap_px(seconds), np.full(31, 380)], -1)
    standing = clean_as_is(PoseTrack("blazepose_33", seconds, xy, np.ones((31, 33), np.float32), 400, 400))
    curl = bends(1, period_s=31 / 30, rest_s=0)
    rep = Rep(0, int(np.argmin(curl)), 31, True, True, True, True)
    signal = Signal(-curl, -curl, None, "left", 1.0)
    assert len(plausible([rep], signal, standing, COUNTING["bicep_curl"])) == kept


def clean_as_is(track: PoseTrack) -> CleanTrack:
    """Nothing filtered: the torso is 100 px long."""
    frames = len(track.time_s)
    return CleanTrack(track, ((0, frames),), np.full(frames, 100.0), 0, 0, 0, 0)


def test_of_two_curling_arms_the_one_seen_from_its_side_shows_the_bend() -> None:
    frames, seconds = 60, np.arange(60) / 30
    bend = np.radians(75) * (1 - np.cos(2 * np.pi * seconds)) / 2  # two curls from straight to 105°
    xyz = np.zeros((frames, 33, 3), np.float32)
    for side, x, turned in (("left", 40.0, 0.0), ("right", -40.0, np.radians(85))):
        xyz[:, BLAZEPOSE_33.index(f"{side}_shoulder")] = (x, 0, 0)
        xyz[:, BLAZEPOSE_33.index(f"{side}_hip")] = (x * 0.7, 100, 0)
        elbow = np.array([x, 55, 0])
        xyz[:, BLAZEPOSE_33.index(f"{side}_elbow")] = elbow
        reach = 50 * np.stack([np.sin(bend) * np.cos(turned), np.cos(bend), np.sin(bend) * np.sin(turned)], -1)
        xyz[:, BLAZEPOSE_33.index(f"{side}_wrist")] = elbow + reach
    track = PoseTrack("blazepose_33", seconds, xyz[..., :2] + 200, np.ones((frames, 33), np.float32), 400, 400)
    signal = counting_signal("bicep_curl", clean_as_is(track))
    assert signal.side == "both"
    swings = [np.ptp(limb) for limb in signal.limbs_deg]
    assert swings[0] == pytest.approx(75, abs=0.5)
    # the other forearm swings towards the camera: sin 75° cos 85° aside for cos 75° down
    assert swings[1] == pytest.approx(18, abs=0.5)


def test_a_bar_that_comes_down_past_the_shoulders_is_one_repetition() -> None:
    """The hands go from an arm's length above the shoulders to a little below them, far out to their side at the end:
    their distance from the shoulders is least halfway, their height is not."""
    phase = np.arange(150) / 75
    lowered = (1 - np.cos(2 * np.pi * phase)) / 2  # 0 at the top, 1 at the bottom, twice
    shoulder, wrist = np.zeros((150, 2)), np.stack([80 * lowered**8, -100 + 110 * lowered], axis=1)
    out = wrist[:, ::-1] * (1, -1) / np.linalg.norm(wrist, axis=1)[:, None]  # square to the line shoulder-wrist
    elbow = wrist / 2 + out * np.sqrt(np.maximum(50**2 - (wrist**2).sum(1) / 4, 0))[:, None]  # bones of 50

    upward = reach_deg(shoulder, elbow, wrist, times(lowered), upward=True)
    reach = np.maximum(1 - 1.1 * lowered, 0)  # of two equal bones
    np.testing.assert_allclose(upward, 2 * np.degrees(np.arcsin(reach)), atol=1e-6)
    assert len(count(-reach_deg(shoulder, elbow, wrist, times(lowered)), times(lowered), COUNTING["bench_press"])) == 4
    xy = np.full((150, 17, 2), np.nan, np.float32)
    for side in ("left", "right"):
        for joint, place in (
            ("shoulder", shoulder),
            ("elbow", elbow),
            ("wrist", wrist),
            ("hip", shoulder + np.array([100, 0])),
        ):
            xy[:, COCO_17.index(f"{side}_{joint}")] = place
    track = PoseTrack("coco_17", times(lowered), xy, np.ones((150, 17), np.float32), 0, 0)
    signal = counting_signal("bench_press", clean_as_is(track))
    turns = [rep.turn for rep in count(signal.values, track.time_s, COUNTING["bench_press"])]
    assert turns == pytest.approx([37.5, 112.5], abs=1)


@pytest.mark.parametrize(("rest_deg", "counts"), [(170.0, 1), (150.0, 1), (120.0, 0), (float("nan"), 0)])
def test_the_joints_own_angle_may_show_the_way_back(rest_deg: float, counts: int) -> None:
    """The reach comes back by 40 of 100°; the joint itself by 100, 80, 50 of 100°, or nobody knows."""
    reach, bend = (np.concatenate([np.linspace(170, 70, 30), np.linspace(70, end, 30)]) for end in (110, rest_deg))
    assert len(count(-reach, times(reach), COUNTING["pull_up"], bend_deg=-bend)) == counts
    assert count(-reach, times(reach), COUNTING["pull_up"]) == []


def test_the_turn_of_an_angle_that_stands_at_its_end_is_the_middle_of_it() -> None:
    assert counted(np.maximum(bends(2), 120.0)) == [(45, True), (120, True)]


def test_a_push_up_that_starts_before_the_arms_are_straight_again_counts() -> None:
    """Down to 80°, up to 145° only, down to 130° and up: 15° of the 72° that a swing typically has."""
    parts = [(175, 80), (80, 145), (145, 130), (130, 175)]
    angle = np.concatenate([np.linspace(*part, 30) for part in parts])
    assert len(counted(angle, spec=COUNTING["push_up"])) == 2
    assert len(counted(angle, spec=COUNTING["pull_up"])) == 1


@pytest.mark.parametrize("yaw_deg", [0.0, 40.0, 90.0])
def test_a_trunk_that_rises_is_measured_alike_from_the_feet_and_from_the_side(yaw_deg: float) -> None:
    from_upright = 90 * (1 + np.cos(np.arange(150) / 150 * 4 * np.pi)) / 2  # lies, sits, lies, sits, lies
    level, up = np.sin(np.radians(from_upright)), np.cos(np.radians(from_upright))
    shoulder = 100 * np.stack([level * np.sin(np.radians(yaw_deg)), -up], axis=1)
    found = from_upright_deg(np.zeros((150, 2)), shoulder, times(level))
    np.testing.assert_allclose(found, from_upright, atol=3)  # the best-seen tenth is taken for the whole length
    assert len(count(-found, times(level), COUNTING["sit_up"])) == 2


def test_a_sit_up_filmed_from_the_feet_is_counted_by_the_trunk_that_rises() -> None:
    """From there thighs and trunk lie in one line, an angle of 0 at the hip all the time, and the trunk looks long
    in most frames of a repetition."""
    from_upright = np.radians(85 * (1 + np.cos(np.arange(150) / 150 * 4 * np.pi)) / 2)
    xyz = np.full((150, 17, 3), np.nan, np.float32)
    for side, x in (("left", 12.0), ("right", -12.0)):
        xyz[:, COCO_17.index(f"{side}_shoulder")] = np.stack(
            [np.full(150, x), -60 * np.cos(from_upright), 60 * np.sin(from_upright)], axis=1
        )
        xyz[:, COCO_17.index(f"{side}_hip")] = (x, 0, 0)
        xyz[:, COCO_17.index(f"{side}_knee")] = (x, -30, -30)
    seen = np.ones((150, 17), np.float32)
    track = clean_as_is(PoseTrack("coco_17", times(from_upright), xyz[..., :2] + 200, seen, 400, 400, xyz))
    signal, spec = counting_signal("sit_up", track), COUNTING["sit_up"]
    reps = count(signal.values, track.track.time_s, spec)
    assert len(plausible(reps, signal, track, spec)) == 2
