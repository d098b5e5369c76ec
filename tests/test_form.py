"""Verdicts on repetitions whose angles are written out."""

from dataclasses import replace

import numpy as np
import pytest

from repset.autolabel import form, view
from repset.autolabel.counting import COUNTING, Signal
from repset.autolabel.form import CORRECT, INCORRECT, UNSCORABLE, Window
from repset.autolabel.posture import CHECKS, plausible
from repset.autolabel.reps import Rep
from repset.autolabel.ruleset import ExerciseRules, Limit, Rule, load_rules
from repset.autolabel.smooth import CleanTrack, clean
from repset.landmarks import COCO_17
from repset.schema import PoseTrack

DEPTH = Rule(
    id="depth", angle="knee", phase="turn", statistic="min", limits={"side": Limit(high_deg=95)}, tolerance_deg=10,
    message="Deeper.", source="a test",
)  # fmt: skip
LOCKOUT = DEPTH.model_copy(
    update={"id": "lockout", "phase": "end", "statistic": "max", "limits": {"side": Limit(low_deg=160)}}
)
LEAN = DEPTH.model_copy(
    update={"id": "lean", "angle": "trunk_lean", "statistic": "max", "limits": {"side": Limit(high_deg=40)},
            "required": False}
)  # fmt: skip


def legs(knee_deg: np.ndarray, lean_deg: float = 10.0, visible: tuple[float, float] = (1, 1)) -> CleanTrack:
    """Both knees at these angles, the trunk leaning; times 0.1 s apart, so that nothing is filtered away."""
    count = len(knee_deg)
    xy = np.full((count, 17, 2), np.nan, np.float32)
    visibility = np.full((count, 17), 1.0, np.float32)
    turn, lean = np.radians(knee_deg), np.radians(lean_deg)
    for side, seen in zip(("left", "right"), visible, strict=True):
        knee = np.tile(np.array([200.0, 300.0]), (count, 1))
        hip = knee - np.array([0, 50])
        points = {
            "knee": knee, "hip": hip, "ankle": knee + 50 * np.stack([np.sin(turn), -np.cos(turn)], -1),
            "shoulder": hip + 60 * np.array([np.sin(lean), -np.cos(lean)]),
        }  # fmt: skip
        for joint, points_of in points.items():
            xy[:, COCO_17.index(f"{side}_{joint}")] = points_of
            visibility[:, COCO_17.index(f"{side}_{joint}")] = seen
    return clean(PoseTrack("coco_17", np.arange(count) * 0.13, xy, visibility, 0, 0), 0.5)


KNEE = np.array([175, 175, 150, 120, 100, 90, 100, 120, 150, 172, 175, 175], float)
WINDOW = Window(Rep(1, 5, 10, True, True, True, True), 0, 12)


SIDE, FRONT = view.View("side", 80.0, 0.5), view.View("front", 5.0, 1.0)


def judge(*rules: Rule, knee: np.ndarray = KNEE, seen_from: view.View = SIDE, **body: object) -> list[form.Finding]:
    return form.judge_rep(ExerciseRules(rules=rules), WINDOW, legs(knee, **body), seen_from)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "inside"), [(105.0, True), (104.99, True), (105.01, False), (0.0, True), (np.nan, False)]
)
def test_the_limit_itself_and_its_tolerance_are_inside(value: float, inside: bool) -> None:
    assert bool(form.within(value, Limit(high_deg=95), 10)) is inside


def test_a_range_has_two_ends() -> None:
    values = np.array([84.9, 85.0, 165.0, 165.1])
    assert form.within(values, Limit(low_deg=90, high_deg=160), 5).tolist() == [False, True, True, False]
    assert form.applied(Limit(low_deg=2, high_deg=178), 5) == (0, 180)


def test_a_deep_repetition_is_correct_with_its_value_and_frame() -> None:
    (finding,) = judge(DEPTH)
    assert (finding.verdict, finding.frame) == (CORRECT, 5)
    assert finding.value_deg == pytest.approx(90, abs=0.01)
    assert (finding.low_deg, finding.high_deg) == (None, 105)
    assert finding.margin_deg == pytest.approx(15, abs=0.01)


@pytest.mark.parametrize(("bottom", "verdict"), [(104.9, CORRECT), (105.1, INCORRECT)])
def test_one_step_over_the_tolerance_is_incorrect(bottom: float, verdict: str) -> None:
    assert judge(DEPTH, knee=np.maximum(KNEE, bottom))[0].verdict == verdict


def test_the_change_that_flips_a_verdict_has_its_direction() -> None:
    assert judge(DEPTH)[0].flip_deg == pytest.approx(15, abs=0.01)  # 90°, at most 105°
    assert judge(DEPTH, knee=np.maximum(KNEE, 112.0))[0].flip_deg == pytest.approx(-7, abs=0.01)
    both = DEPTH.model_copy(update={"limits": {"side": Limit(low_deg=80, high_deg=95)}})
    assert judge(both)[0].flip_deg == pytest.approx(15, abs=0.01)  # 70° to 105°: the upper end is nearer
    free = DEPTH.model_copy(update={"limits": {"side": Limit(low_deg=0, high_deg=180)}})
    assert np.isnan(judge(free)[0].flip_deg)  # nothing passes 0 or 180°


def one_leg(other: float) -> CleanTrack:
    """The left knee as in KNEE, the right one never under `other`; NaN: not seen."""
    left, right = legs(KNEE), legs(np.maximum(KNEE, other) if np.isfinite(other) else KNEE)
    joints = [COCO_17.index(f"right_{joint}") for joint in ("hip", "knee", "ankle")]
    left.track.xy_px[:, joints] = right.track.xy_px[:, joints] if np.isfinite(other) else np.nan
    return left


EITHER = DEPTH.model_copy(update={"sides": "any", "limits": {"side": Limit(high_deg=85)}})  # 95° with the tolerance


def test_of_two_legs_one_in_range_is_enough() -> None:
    def verdict(rule: Rule, other: float) -> str:
        return form.judge_rep(ExerciseRules(rules=(rule,)), WINDOW, one_leg(other), SIDE)[0].verdict

    strict = EITHER.model_copy(update={"limits": {"side": Limit(high_deg=75)}})  # 85°: neither leg gets there
    assert verdict(EITHER, 130.0) == CORRECT
    assert verdict(EITHER, np.nan) == CORRECT
    assert verdict(strict, 130.0) == INCORRECT
    assert verdict(strict, np.nan) == UNSCORABLE  # the leg that is not seen may have been in range


def lunge(front: str, front_deg: float = 90, back_deg: float = 90, ahead: int = 1) -> CleanTrack:
    """Eight frames of a lunge: the knees at these angles, the front one `ahead` to the right (1) or left (-1)."""
    xy = np.full((8, 17, 2), np.nan, np.float32)
    hip, angle = np.array([200.0, 200.0]), {True: np.radians(front_deg), False: np.radians(back_deg)}
    for side in ("left", "right"):
        leads = side == front
        knee = hip + ((100 * ahead, 0) if leads else (0, 100))  # thigh level ahead, upright behind
        thigh = (hip - knee) / 100
        turn = -ahead * angle[leads]  # the front shank hangs down, the rear one lies behind
        shank = np.array([thigh[0] * np.cos(turn) - thigh[1] * np.sin(turn),
                          thigh[0] * np.sin(turn) + thigh[1] * np.cos(turn)])  # fmt: skip
        for joint, place in (("hip", hip), ("knee", knee), ("ankle", knee + 100 * shank)):
            xy[:, COCO_17.index(f"{side}_{joint}")] = place
    track = PoseTrack("coco_17", np.arange(8) * 0.13, xy, np.ones((8, 17), np.float32), 0, 0)
    return CleanTrack(track, ((0, 8),), np.full(8, 100.0), 0, 0, 0, 0)


@pytest.mark.parametrize("ahead", [1, -1])
@pytest.mark.parametrize("front", ["left", "right"])
def test_the_leg_ahead_is_told_from_the_leg_behind(front: str, ahead: int) -> None:
    body = lunge(front, 80, 120, ahead)
    assert form.left_leads(body.track).tolist() == [float(front == "left")] * 8
    for sides, angle in (("front", 80), ("back", 120)):
        (values,) = form.series(DEPTH.model_copy(update={"sides": sides}), body.track)
        assert values == pytest.approx(np.full(8, angle), abs=0.01)


@pytest.mark.parametrize(
    ("front_deg", "back_deg", "hidden", "verdict"),
    [
        (90, 90, None, CORRECT), (90, 130, None, INCORRECT), (130, 90, None, INCORRECT), (130, 130, None, INCORRECT),
        (90, 90, "left_knee", UNSCORABLE),
    ],
)  # fmt: skip
def test_both_knees_of_a_lunge_are_held_to_a_right_angle(
    front_deg: float, back_deg: float, hidden: str | None, verdict: str
) -> None:
    body = lunge("left", front_deg, back_deg)
    if hidden:
        body.track.xy_px[:, COCO_17.index(hidden)] = np.nan
    window = Window(Rep(1, 4, 7, True, True, True, True), 0, 8)
    rules = load_rules("default").of("lunge")
    assert form.decide(form.judge_rep(rules, window, body, SIDE))[0] == verdict


def test_a_lunge_whose_front_knee_hangs_on_the_view_is_unknown_however_deep_the_back_knee_is() -> None:
    body, window = lunge("left", 104, 90), Window(Rep(1, 4, 7, True, True, True, True), 0, 8)
    near = view.View("side", 63.0, 0.5)  # at most 100° from the side, 108° obliquely
    findings = form.judge_rep(load_rules("default").of("lunge"), window, body, near)
    assert [(f.rule.id, f.verdict) for f in findings] == [("depth", UNSCORABLE), ("back_knee", CORRECT)]
    assert form.decide(findings)[0] == UNSCORABLE


def test_the_frame_farthest_out_of_range_speaks_for_a_frame_rule() -> None:
    rule = DEPTH.model_copy(update={"id": "range", "limits": {"any": Limit(low_deg=100)}, "tolerance_deg": 0})
    frames = form.judge_frames([rule], legs(KNEE).track, SIDE)
    (found,) = form.farthest(frames)
    assert (found.verdict, found.frame) == (INCORRECT, 5)
    (calm,) = form.farthest(frames[:3])
    assert (calm.verdict, calm.frame) == (CORRECT, 2)
    unseen = form.judge_frames([rule], legs(KNEE, visible=(0.1, 0.1)).track, SIDE)
    assert [found.verdict for found in form.farthest(unseen)] == [UNSCORABLE]


def test_a_joint_that_is_not_seen_is_unknown_not_good() -> None:
    (finding,) = judge(DEPTH, visible=(0.2, 0.3))
    assert (finding.verdict, finding.frame) == (UNSCORABLE, -1)
    assert np.isnan(finding.value_deg)
    assert finding.reason == "knee can be measured in 0% of the frames"


def test_the_better_seen_side_is_judged() -> None:
    assert judge(DEPTH, visible=(0.2, 0.9))[0].verdict == CORRECT


def test_another_view_is_unknown_not_good() -> None:
    (finding,) = judge(DEPTH, seen_from=FRONT)
    assert finding.verdict == UNSCORABLE
    assert finding.reason == "depth needs the view side, not front"
    assert form.decide([finding]) == (UNSCORABLE, finding)


def test_a_rule_is_judged_near_a_border_only_where_it_holds_on_both_sides() -> None:
    near = view.View("side", 63.0, 0.5)
    (finding,) = judge(DEPTH, seen_from=near)
    assert finding.verdict == UNSCORABLE
    assert finding.reason == "depth needs the view side, and at 63° this one may be three_quarter"
    (frame, *_) = form.judge_frames([DEPTH], legs(KNEE).track, near)
    assert (frame.verdict, frame.reason) == (UNSCORABLE, finding.reason)
    both = DEPTH.model_copy(update={"limits": {"side": Limit(high_deg=95), "three_quarter": Limit(high_deg=60)}})
    (split,) = judge(both, seen_from=near)  # 90°: enough from the side, not obliquely
    assert (split.verdict, round(split.value_deg)) == (UNSCORABLE, 90)
    assert split.reason == "depth hangs on the view, and at 63° it may be side or three_quarter"
    assert judge(both, seen_from=SIDE)[0].verdict == CORRECT
    assert judge(both, seen_from=near, knee=np.maximum(KNEE, 120))[0].verdict == INCORRECT
    frames = form.judge_frames([both], legs(KNEE).track, near)
    assert [frames[k].verdict for k in (0, 5)] == [INCORRECT, UNSCORABLE]  # 175° and 90°
    assert (frames[0].reason, frames[5].reason) == ("", split.reason)


@pytest.mark.parametrize(("forearm_px", "verdict"), [(50, CORRECT), (10, UNSCORABLE)])
def test_an_elbow_that_points_at_the_camera_is_unknown_not_good(forearm_px: float, verdict: str) -> None:
    xy = np.full((12, 17, 2), np.nan, np.float32)
    arm = dict(shoulder=(0, 0), elbow=(60, 0), wrist=(60, forearm_px))  # 90°, the trunk 100 px long
    for joint, place in arm.items():
        xy[:, COCO_17.index(f"left_{joint}")] = place
    track = PoseTrack("coco_17", np.arange(12) * 0.13, xy, np.isfinite(xy).all(-1).astype(np.float32), 0, 0)
    seen = CleanTrack(track, ((0, 12),), np.full(12, 100.0), 0, 0, 0, 0)
    rule = DEPTH.model_copy(update={"angle": "elbow"})
    (finding,) = form.judge_rep(ExerciseRules(rules=(rule,)), WINDOW, seen, SIDE)
    assert finding.verdict == verdict
    assert finding.reason == ("" if verdict == CORRECT else "elbow can be measured in 0% of the frames")


def test_an_end_that_is_not_in_the_clip_is_unknown_not_wrong() -> None:
    cut_off = Window(Rep(1, 5, 8, False, True, True, False), 0, 12)
    (finding,) = form.judge_rep(ExerciseRules(rules=(LOCKOUT,)), cut_off, legs(KNEE), SIDE)
    assert (finding.verdict, finding.reason) == (UNSCORABLE, "the end is not in the clip")


def test_a_lock_out_is_looked_for_after_the_end_but_not_in_the_next_repetition() -> None:
    slow = np.array([175, 175, 150, 120, 100, 90, 100, 120, 140, 150, 172, 175], float)
    assert judge(LOCKOUT, knee=slow)[0].verdict == CORRECT
    crowded = Window(WINDOW.rep, 0, 10)
    (finding,) = form.judge_rep(ExerciseRules(rules=(LOCKOUT,)), crowded, legs(slow), SIDE)
    assert (finding.verdict, round(finding.value_deg)) == (CORRECT if finding.value_deg >= 150 else INCORRECT, 150)


def test_one_broken_rule_decides() -> None:
    findings = judge(DEPTH, LOCKOUT, knee=np.maximum(KNEE, 130))
    verdict, decided = form.decide(findings)
    assert verdict == INCORRECT
    assert decided is findings[0]


def test_a_required_rule_that_cannot_be_judged_makes_it_unscorable() -> None:
    other = LOCKOUT.model_copy(update={"limits": {"front": Limit(low_deg=160)}})
    verdict, decided = form.decide(judge(DEPTH, other))
    assert (verdict, decided.rule.id if decided else None) == (UNSCORABLE, "lockout")


def test_an_optional_rule_that_cannot_be_judged_is_told_and_changes_nothing() -> None:
    other = LEAN.model_copy(update={"limits": {"front": Limit(high_deg=40)}})
    findings = judge(DEPTH, other)
    assert form.decide(findings) == (CORRECT, None)
    assert form.not_judged(findings) == "not judged: lean"


def test_optional_rules_alone_do_not_make_a_repetition_good() -> None:
    assert form.decide(judge(LEAN, seen_from=FRONT)) == (UNSCORABLE, None)


def test_an_optional_rule_that_is_broken_counts() -> None:
    assert form.decide(judge(DEPTH, LEAN, lean_deg=60.0))[0] == INCORRECT


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [([], UNSCORABLE), ([CORRECT, CORRECT], CORRECT), ([CORRECT, UNSCORABLE], UNSCORABLE),
     ([UNSCORABLE, INCORRECT, CORRECT], INCORRECT)],
)  # fmt: skip
def test_the_verdict_of_a_set(verdicts: list[str], whole: str) -> None:
    assert form.summarise(verdicts) == whole


def test_frames_that_are_not_seen_are_left_out_of_a_frame_wise_verdict() -> None:
    assert form.summarise_frames([UNSCORABLE, CORRECT]) == CORRECT
    assert form.summarise_frames([UNSCORABLE, CORRECT, INCORRECT]) == INCORRECT
    assert form.summarise_frames([UNSCORABLE]) == UNSCORABLE


def test_frame_wise_rules_hold_each_frame_to_the_range() -> None:
    rule = load_rules("gympose").of("squat").rules[0]
    track = legs(np.array([59.0, 60.5, 120.0, 179.0])).track
    found = [finding.verdict for finding in form.judge_frames([rule], track, view.UNKNOWN)]
    assert found == [INCORRECT, CORRECT, CORRECT, CORRECT]


def test_frame_wise_an_unseen_joint_is_unscorable() -> None:
    rule = load_rules("gympose").of("squat").rules[0]
    hidden = legs(np.full(3, 120.0), visible=(0.1, 0.1)).track
    assert {finding.verdict for finding in form.judge_frames([rule], hidden, SIDE)} == {UNSCORABLE}


# --- posture ------------------------------------------------------------------------------------------------------


def test_a_limb_that_never_bends_is_not_counted() -> None:
    rep = Rep(0, 5, 12, True, True, True, True)
    reach, stiff, bent = np.linspace(-175, -125, 12), np.full(12, -170.0), np.linspace(-175, -125, 12)
    track = legs(KNEE)
    keep = plausible([rep], Signal(reach, bent, None, "both", 1.0), track, COUNTING["lunge"])
    drop = plausible([rep], Signal(reach, stiff, None, "both", 1.0), track, COUNTING["lunge"])
    assert (keep, drop) == ([rep], [])


def test_a_joint_that_trembles_goes_nowhere_between_the_rests() -> None:
    rep = Rep(0, 6, 13, True, True, True, True)
    reach = np.concatenate([np.linspace(-175, -125, 7), np.linspace(-133, -175, 6)])
    trembling = np.where(np.arange(13) % 4 == 0, -140.0, -170.0)  # 30° up and down, as high at the rests as between
    track = legs(KNEE)
    assert plausible([rep], Signal(reach, reach, None, "both", 1.0), track, COUNTING["lunge"]) == [rep]
    assert plausible([rep], Signal(reach, trembling, None, "both", 1.0), track, COUNTING["lunge"]) == []


@pytest.mark.parametrize(("slip", "held"), [(0.0, True), (1.9, True), (2.1, False), (10.0, False)])
def test_hands_hold_a_bar_unless_they_go_twice_as_far_as_the_shoulders(slip: float, held: bool) -> None:
    """Seen obliquely, MediaPipe's wrists wander along the bar; in a press they go and the shoulders stay."""
    track, rise = legs(np.full(13, 90.0)), 10 * np.sin(np.linspace(0, np.pi, 13))
    for side in ("left", "right"):
        track.track.xy_px[:, COCO_17.index(f"{side}_shoulder"), 1] = 100 - rise
        track.track.xy_px[:, COCO_17.index(f"{side}_wrist")] = np.stack([slip * rise, np.zeros(13)], axis=1)
    assert CHECKS["hands_hold"](track, Rep(0, 6, 13, True, True, True, True)) is held


@pytest.mark.parametrize(("travel_torso", "counts"), [(0.11, True), (0.09, False)])
def test_a_half_push_up_takes_the_shoulders_a_tenth_of_the_trunk_nearer(travel_torso: float, counts: bool) -> None:
    rep = Rep(0, 6, 13, True, True, True, True)
    bend = np.concatenate([np.linspace(-170, -140, 7), np.linspace(-145, -170, 6)])
    end = np.stack([np.zeros(13), 1 + travel_torso * (bend + 170) / 30], axis=1)
    signal = Signal(bend, bend, None, "right", 1.0, (end,))
    lying = replace(COUNTING["push_up"], postures=())
    assert bool(plausible([rep], signal, legs(KNEE), lying)) is counts


def test_where_both_limbs_must_work_the_one_seen_from_its_side_shows_the_bend() -> None:
    rep = Rep(0, 6, 13, True, True, True, True)
    bent = np.concatenate([np.linspace(-175, -125, 7), np.linspace(-133, -175, 6)])
    end_on = np.full(13, -175.0)
    joined = np.minimum(bent, end_on)
    signal = Signal(bent, joined, None, "both", 1.0, limbs_deg=(end_on, bent))
    assert plausible([rep], signal, legs(KNEE), COUNTING["squat"]) == [rep]
    assert plausible([rep], Signal(bent, joined, None, "both", 1.0), legs(KNEE), COUNTING["squat"]) == []


def test_a_press_whose_elbows_point_at_the_camera_is_counted_by_the_arms_length() -> None:
    rep = Rep(0, 6, 13, True, True, True, True)
    reach = np.concatenate([np.linspace(70, 170, 7), np.linspace(150, 70, 6)])
    track = legs(KNEE)
    for side in ("left", "right"):
        track.track.xy_px[:, COCO_17.index(f"{side}_wrist")] = (0, 0)  # above the shoulders
    for bend_deg, pressed in ((20.0, [rep]), (10.0, [])):  # 10° may be a camera that zooms
        elbow = 160 + bend_deg / 100 * (reach - 70)
        assert plausible([rep], Signal(reach, elbow, elbow, "both", 1.0), track, COUNTING["shoulder_press"]) == pressed
        assert plausible([rep], Signal(reach, elbow, elbow, "both", 1.0), track, COUNTING["lateral_raise"]) == []


def test_a_standing_person_does_no_push_ups() -> None:
    rep = Rep(0, 5, 12, True, True, True, True)
    signal = Signal(np.linspace(-175, -60, 12), np.linspace(-175, -60, 12), None, "both", 1.0)
    assert plausible([rep], signal, legs(KNEE, lean_deg=5), COUNTING["push_up"]) == []
    assert plausible([rep], signal, legs(KNEE, lean_deg=80), COUNTING["push_up"]) == [rep]


def test_a_lift_ends_with_the_arms_up_not_at_the_shoulders() -> None:
    rep = Rep(0, 5, 12, True, True, True, True)
    signal = Signal(np.linspace(-0.8, 0.9, 12), None, None, "both", 1.0)
    track = legs(KNEE)  # the trunk is 60 px long
    shoulder = track.track.xy_px[:, COCO_17.index("left_shoulder")]
    for over_px, kept in ((55, [rep]), (25, [])):
        for side in ("left", "right"):
            track.track.xy_px[:, COCO_17.index(f"{side}_wrist")] = shoulder - np.float32([0, over_px])
        assert plausible([rep], signal, track, COUNTING["clean_and_jerk"]) == kept
