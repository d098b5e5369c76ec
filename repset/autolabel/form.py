"""Verdicts: rules held against true interior angles, at the phases of each repetition, in the views where they hold.

Three states. A repetition is incorrect when a rule is broken beyond its tolerance; correct when every required rule
was measured and held; unscorable otherwise: hidden joint, wrong view, end not seen. Unknown is never good.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from repset import angles
from repset.autolabel.counting import reach_deg
from repset.autolabel.reps import Rep
from repset.autolabel.ruleset import ExerciseRules, Limit, Rule
from repset.autolabel.smooth import CleanTrack
from repset.autolabel.view import View, better_side
from repset.landmarks import SKELETONS
from repset.schema import PoseTrack

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

CORRECT, INCORRECT, UNSCORABLE = "correct", "incorrect", "unscorable"

TURN_SHARE = 0.15  # of a repetition's length, on both sides of its turn
REST_SHARE = 0.25  # of its length before its start and after its end, where start and lock-out are measured
REST_MIN_S = 0.3


@dataclass(frozen=True)
class Finding:
    """What one rule says about one repetition (or frame).

    Attributes:
        value_deg: the measured statistic; NaN where it could not be measured.
        low_deg, high_deg: the range as applied, tolerance included; None: open, or no limit for this view.
        frame: where it was measured, counted in the clip; -1 where it was not.
        reason: why it is unscorable, else empty.
    """

    rule: Rule
    verdict: str
    value_deg: float
    low_deg: float | None
    high_deg: float | None
    frame: int
    reason: str = ""

    @property
    def flip_deg(self) -> float:
        """Smallest change of the angle that would flip the verdict, with its sign; NaN where none can.

        A correct angle moves to the limit it is nearest to, an incorrect one to the limit it broke. A limit of 0 or
        180° cannot be passed.
        """
        limits = [limit for limit in (self.low_deg, self.high_deg) if limit is not None and 0 < limit < 180]
        return min((limit - self.value_deg for limit in limits), key=abs, default=float("nan"))

    @property
    def margin_deg(self) -> float:
        """Size of the smallest change that would flip the verdict; NaN where there is none."""
        return abs(self.flip_deg)


@dataclass(frozen=True)
class Window:
    """A repetition with room to its neighbours: frames [before, after) lie between the neighbours' turns."""

    rep: Rep
    before: int
    after: int


def judge_rep(rules: ExerciseRules, window: Window, clean: CleanTrack, view: View) -> list[Finding]:
    """Every rule's finding on one repetition.

    Args:
        clean: the stretch's track, gated by visibility; frames of `window` count within it.
        view: a rule is judged only where it has a limit for it, and where the limit of the view that it may be as well
            (`View.beside`) says the same.
    """
    return [_judge(rule, window, clean, view) for rule in rules.rules]


def decide(findings: Sequence[Finding]) -> tuple[str, Finding | None]:
    """Verdict of a repetition and the finding that decided it (None: every rule held)."""
    for finding in findings:
        if finding.verdict == INCORRECT:
            return INCORRECT, finding
    for finding in findings:
        if finding.verdict == UNSCORABLE and finding.rule.required:
            return UNSCORABLE, finding
    return (CORRECT, None) if any(f.verdict == CORRECT for f in findings) else (UNSCORABLE, None)


def not_judged(findings: Sequence[Finding]) -> str | None:
    """What a verdict says nothing about: rules that are not required and could not be judged."""
    names = [f.rule.id for f in findings if f.verdict == UNSCORABLE and not f.rule.required]
    return f"not judged: {', '.join(names)}" if names else None


def summarise(verdicts: Sequence[str]) -> str:
    """Verdict of a whole set: one wrong repetition makes it incorrect, one unknown makes it unscorable."""
    if INCORRECT in verdicts:
        return INCORRECT
    return CORRECT if verdicts and UNSCORABLE not in verdicts else UNSCORABLE


def windows(reps: Sequence[Rep], frames: int) -> list[Window]:
    """Each repetition with the frames that no neighbour's turn claims."""
    turns = [-1, *(rep.turn for rep in reps), frames]
    return [Window(rep, turns[k] + 1, turns[k + 2]) for k, rep in enumerate(reps)]


def phase_frames(phase: str, window: Window, time_s: Doubles) -> Indices:
    """Frames of a phase; none where the clip does not show it."""
    rep = window.rep
    last = min(rep.end - 1, len(time_s) - 1)
    length = float(time_s[last] - time_s[rep.start])
    if phase == "whole":
        return np.arange(rep.start, rep.end)
    if phase == "turn":
        near = np.abs(time_s - time_s[rep.turn]) <= TURN_SHARE * length
        return np.flatnonzero(near[: rep.end]) if near.any() else np.array([rep.turn])
    room = max(REST_MIN_S, REST_SHARE * length)
    if phase == "start":
        inside = (time_s >= time_s[rep.start] - room) & (time_s <= time_s[rep.start] + 1e-9)
    else:
        inside = (time_s >= time_s[last] - 1e-9) & (time_s <= time_s[last] + room)
    frames = np.flatnonzero(inside)
    return frames[(frames >= window.before) & (frames < window.after)]


def whole_movement(window: Window, time_s: Doubles) -> slice:
    """Frames of a repetition with the rest on both sides of it."""
    frames = np.concatenate([phase_frames(phase, window, time_s) for phase in ("start", "whole", "end")])
    return slice(int(frames.min()), int(frames.max()) + 1)


def series(rule: Rule, track: PoseTrack, torso_px: Doubles | None = None) -> list[Doubles]:
    """The rule's angle over time, (T,) degrees: of the side that it asks for, or of both apart for `sides: any`.

    Args:
        torso_px: (T,) the body's size: angles with a bone seen end-on are unknown (`repset.angles.evaluate`).
    """
    track = gate(track, rule.min_visibility)
    sided = f"left_{rule.angle}" in angles.BY_NAME
    if not sided:
        return [_angle(rule.angle, track, torso_px)]
    sides = [f"{side}_{rule.angle}" for side in ("left", "right")]
    reach = rule.measure == "reach"
    both = [_reach(name, track) if reach else _angle(name, track, torso_px) for name in sides]
    if rule.sides == "any":
        return both
    if rule.sides != "seen":
        leads = left_leads(track)
        mine = leads == (1 if rule.sides == "front" else 0)
        return [np.where(np.isnan(leads), np.nan, np.where(mine, *both))]
    joints = angles.BY_NAME[f"left_{rule.angle}"]
    names = [joint.removeprefix("left_") for joint in (joints.a, joints.b, joints.c) if joint.startswith("left_")]
    side = better_side(track, tuple(names))
    if side != "both":
        return [both[0 if side == "left" else 1]]
    if rule.angle in angles.BY_NAME:  # seen from ahead the midline is surer than either side
        return [_angle(rule.angle, track, torso_px)]
    left, right = both
    mean = (left + right) / 2
    return [np.where(np.isfinite(mean), mean, np.where(np.isfinite(left), left, right))]


def left_leads(track: PoseTrack) -> Doubles:
    """(T,) which foot stands ahead: 1 the left one, 0 the right one, NaN where a leg is not seen whole.

    Ahead is where the knees point, away from the lines between hip and ankle.
    """
    skeleton = SKELETONS[track.skeleton]
    names = [f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle")]
    if any(name not in skeleton.joints for name in names):
        return np.full(len(track.time_s), np.nan)
    columns = [skeleton.index(name) for name in names]
    legs = track.xy_px[:, columns].astype(np.float64).reshape(-1, 2, 3, 2)
    hips, knees, ankles = legs.transpose(2, 0, 1, 3)
    ahead = (knees - (hips + ankles) / 2).sum(1)
    along = ((ankles[:, 0] - ankles[:, 1]) * ahead).sum(-1)
    return np.where(np.isnan(along), np.nan, np.where(along > 0, 1.0, 0.0))


def gate(track: PoseTrack, min_visibility: float) -> PoseTrack:
    """The track with joints seen less than this unknown."""
    if min_visibility <= 0:
        return track
    xy = np.where((track.visibility >= min_visibility)[..., None], track.xy_px, np.float32(np.nan))
    return PoseTrack(track.skeleton, track.time_s, xy, track.visibility, track.width, track.height, track.xyz_m)


def within(value: float | Doubles, limit: Limit, tolerance_deg: float) -> npt.NDArray[np.bool_]:
    """Whether values lie in the range, its ends and the tolerance included; NaN does not."""
    low, high = applied(limit, tolerance_deg)
    values = np.asarray(value, np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(
            (values >= (-np.inf if low is None else low)) & (values <= (np.inf if high is None else high)), np.bool_
        )


def applied(limit: Limit, tolerance_deg: float) -> tuple[float | None, float | None]:
    """Range with the tolerance added, inside 0..180."""
    low = None if limit.low_deg is None else max(0.0, limit.low_deg - tolerance_deg)
    high = None if limit.high_deg is None else min(180.0, limit.high_deg + tolerance_deg)
    return low, high


def _angle(name: str, track: PoseTrack, torso_px: Doubles | None) -> Doubles:
    return angles.evaluate(name, track.xy_px, track.skeleton, torso_px).astype(np.float64)


def _reach(name: str, track: PoseTrack) -> Doubles:
    angle, skeleton = angles.BY_NAME[name], SKELETONS[track.skeleton]
    if any(joint not in skeleton.joints for joint in (angle.a, angle.b, angle.c)):
        return np.full(len(track.time_s), np.nan)
    a, b, c = (track.xy_px[:, skeleton.index(joint)].astype(np.float64) for joint in (angle.a, angle.b, angle.c))
    return reach_deg(a, b, c, track.time_s)


def _limit(rule: Rule, view: View) -> tuple[Limit | None, str]:
    """The range that holds from a view, or None and why it is not judged from there."""
    limit, needs = rule.limit(view.name), f"{rule.id} needs the view {', '.join(rule.limits)}"
    if limit is None:
        return None, f"{needs}, not {view.name}"
    if view.beside is not None and rule.limit(view.beside) is None:
        return None, f"{needs}, and at {view.yaw_deg:.0f}° this one may be {view.beside}"
    return limit, ""


def _judge(rule: Rule, window: Window, clean: CleanTrack, view: View) -> Finding:
    limit, why = _limit(rule, view)
    if limit is None:
        return Finding(rule, UNSCORABLE, float("nan"), None, None, -1, why)
    low, high = applied(limit, rule.tolerance_deg)
    if (rule.phase == "end" and not window.rep.ends) or (rule.phase == "start" and not window.rep.starts):
        return Finding(rule, UNSCORABLE, float("nan"), low, high, -1, f"the {rule.phase} is not in the clip")
    frames = phase_frames(rule.phase, window, clean.track.time_s)
    measured = series(rule, clean.track, clean.scale_px)

    def held(limit: Limit) -> Finding:
        found = [_hold(rule, limit, values[frames], frames) for values in measured]
        # of two sides one in range is enough, so one out of range says nothing while the other is not seen
        return min(found, key=lambda finding: _ANY_SIDE[finding.verdict])

    finding, beyond = held(limit), _beyond(rule, view)
    if beyond is not None and held(beyond).verdict != finding.verdict:
        return replace(finding, verdict=UNSCORABLE, reason=_either(rule, view))
    return finding


def _beyond(rule: Rule, view: View) -> Limit | None:
    """The range that holds in the view beside this one; None: there is no such view, or none for it."""
    return rule.limit(view.beside) if view.beside else None


def _either(rule: Rule, view: View) -> str:
    return f"{rule.id} hangs on the view, and at {view.yaw_deg:.0f}° it may be {view.name} or {view.beside}"


_ANY_SIDE = {CORRECT: 0, UNSCORABLE: 1, INCORRECT: 2}


def _hold(rule: Rule, limit: Limit, values: Doubles, frames: Indices) -> Finding:
    """One side's angle in the frames of the phase, held against the range."""
    low, high = applied(limit, rule.tolerance_deg)
    known = np.isfinite(values)
    if not known.any() or known.mean() < rule.min_known:
        share = f"{known.mean() if len(known) else 0:.0%}"
        return Finding(
            rule, UNSCORABLE, float("nan"), low, high, -1, f"{rule.joint} can be measured in {share} of the frames"
        )
    value, frame = _statistic(rule.statistic, values, frames)
    verdict = CORRECT if within(value, limit, rule.tolerance_deg) else INCORRECT
    return Finding(rule, verdict, value, low, high, frame)


def _statistic(name: str, values: Doubles, frames: Indices) -> tuple[float, int]:
    """The statistic and the frame that shows it best."""
    if name == "min":
        at = int(np.nanargmin(values))
    elif name == "max":
        at = int(np.nanargmax(values))
    else:
        middle = float(np.nanmedian(values))
        return middle, int(frames[int(np.nanargmin(np.abs(values - middle)))])
    return float(values[at]), int(frames[at])


def judge_frames(rules: Sequence[Rule], track: PoseTrack, view: View) -> list[Finding]:
    """One finding a frame: the first rule that is broken, else the first that cannot be judged, else the last held.

    Args:
        track: gated by visibility, not filtered: frame-wise demonstrations saw the detector's joints as they came.
    """
    per_rule = [_frame_findings(rule, track, view) for rule in rules]
    rank = {INCORRECT: 0, UNSCORABLE: 1, CORRECT: 2}
    return [min(found, key=lambda finding: rank[finding.verdict]) for found in zip(*per_rule, strict=True)]


def _frame_findings(rule: Rule, track: PoseTrack, view: View) -> list[Finding]:
    """A frame is correct when a side that is seen lies in the range."""
    limit, why = _limit(rule, view)
    low, high = applied(limit, rule.tolerance_deg) if limit else (None, None)
    both = np.stack(series(rule, track))
    known = np.isfinite(both).any(0)
    good = within(both, limit, rule.tolerance_deg) if limit else np.zeros(both.shape, np.bool_)
    shown = np.where(good.any(0), np.argmax(good, axis=0), np.argmax(np.isfinite(both), axis=0))
    values = both[shown, np.arange(both.shape[1])]
    verdict = np.where(good.any(0), CORRECT, np.where(known & (limit is not None), INCORRECT, UNSCORABLE))
    reasons = np.where(verdict == UNSCORABLE, why or f"{rule.joint} not seen", "")
    if limit is not None and (beyond := _beyond(rule, view)) is not None:
        split = within(both, beyond, rule.tolerance_deg).any(0) != good.any(0)
        verdict, reasons = np.where(split, UNSCORABLE, verdict), np.where(split, _either(rule, view), reasons)
    return [Finding(rule, str(verdict[k]), float(values[k]), low, high, k, str(reasons[k])) for k in range(len(values))]


def summarise_frames(verdicts: Sequence[str]) -> str:
    """Verdict over frames: those that cannot be judged are left out; none left is unscorable."""
    judged = [verdict for verdict in verdicts if verdict != UNSCORABLE]
    if not judged:
        return UNSCORABLE
    return INCORRECT if INCORRECT in judged else CORRECT


def farthest(findings: Sequence[Finding]) -> list[Finding]:
    """Of each rule the frame that tells most: farthest out of the range, else nearest to leaving it.

    A frame that cannot be judged stands for its rule only where no other does.
    """

    def inside(finding: Finding) -> tuple[bool, float]:
        sign = {CORRECT: 1, INCORRECT: -1, UNSCORABLE: 0}[finding.verdict]
        margin = finding.margin_deg if np.isfinite(finding.margin_deg) else float("inf")
        return sign == 0, sign * margin if sign else 0.0

    ids = dict.fromkeys(finding.rule.id for finding in findings)
    return [min((f for f in findings if f.rule.id == rule), key=inside) for rule in ids]
