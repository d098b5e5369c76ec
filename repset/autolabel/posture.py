"""What the body must do for a turning point to be a repetition: the limb bends, the feet stay, the trunk lies.

A limb that swings towards the camera, a leg that steps and arms that wave move the counting signal too. These checks
only reject what contradicts the exercise; what cannot be measured passes.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from repset.autolabel.counting import SHALLOW_SHARE, Counting, Signal
from repset.autolabel.reps import Rep, repeated
from repset.autolabel.smooth import CleanTrack
from repset.landmarks import SKELETONS
from repset.schema import PoseTrack

Doubles = npt.NDArray[np.float64]

MIN_BEND_DEG = 25.0  # the joint's own angle goes so far in the best repetition, in the image or in space ...
SURE_REACH_DEG = 80.0  # ... or, without 3-D positions, the limb shortens so much that no turning explains it
END_TRAVEL_TORSO = 0.1  # 5 cm: the limb's end moves from its root by this, else a still joint trembles
SHALLOW_TRAVEL_TORSO = 0.05  # in a set that shows it: an arm of 1.1 torso lengths that bends by 30° from straight
FEET_TRAVEL_TORSO = 0.4  # the feet move apart or together by less than this where the exercise is done on the spot
FEET_PERCENTILE = (
    85  # feet that walk or jump are away most of the time, those of which one is taken for the other seldom
)
SINK_TORSO = 0.11  # 5.5 cm: the hips of a walker bob by 4 to 5 cm, those of a shallow lunge (130°) sink by 6
FEET_PART_TORSO = 0.3  # 75 of the 77 jumping jack clips of Penn Action with both ankles marked part them by more
SIDE_ON_TORSO = 0.25  # shoulders that look narrower than this (a third of their width) are seen from the side
MOSTLY = 0.8  # of a repetition's frames must show hips and feet
SEEN = 0.5  # visibility from which feet and hands are where they are shown
UPRIGHT_BELOW_DEG = 50.0  # a trunk nearer to the vertical than this does not lie
FORESHORTENED = 1.1  # trunk shorter than this times the shoulder width: seen along its axis, its lean says nothing
HALF_ARM_TORSO = 0.55  # an arm from shoulder to wrist is about 1.1 torso lengths
HANDS_SLIP = 2.0  # times as far as the shoulders may hands on a bar seem to move: obliquely their points wander on it
HANDS_BELOW_TORSO = 0.3  # hands this far below the shoulders do not hang from a bar


def plausible(reps: list[Rep], signal: Signal, clean: CleanTrack, spec: Counting) -> list[Rep]:
    """The repetitions that the rest of the body does not contradict; none if the joint never really bends."""
    best_deg = max((_bend(rep, signal) for rep in reps), default=0.0)
    keep = [
        rep
        for rep in reps
        if _moves(rep, signal, spec, best_deg) and all(CHECKS[name](clean, rep) for name in spec.postures)
    ]
    minimum = min(MIN_BEND_DEG, spec.min_range)
    shown = any(
        _shown(rep, signal, spec, best_deg) >= minimum and _travel(rep, signal) >= END_TRAVEL_TORSO for rep in keep
    )
    return repeated(keep, spec) if spec.height or shown else []


def _moves(rep: Rep, signal: Signal, spec: Counting, best_deg: float) -> bool:
    """The limb's end moves, and its joint bends at all: less than the best repetition must show.

    Args:
        best_deg: the largest `_bend` of the set.
    """
    if spec.height:
        return True
    return _travel(rep, signal) >= SHALLOW_TRAVEL_TORSO and _shown(rep, signal, spec, best_deg) >= spec.shallow_range


def _travel(rep: Rep, signal: Signal) -> float:
    """How far the limb's end moves from its root, in torso lengths; infinite where that is not known."""
    travels = [_way(end[rep.start : rep.end]) for end in signal.ends]
    return float(np.nanmax(travels)) if travels and not np.isnan(travels).all() else float("inf")


def _shown(rep: Rep, signal: Signal, spec: Counting, best_deg: float) -> float:
    """`_bend`, or by the limb's length where that tells and the joint at least follows it.

    Arms that press a weight up do not swing towards the camera, but their elbows often point at it (from the feet on a
    bench, from the side when standing), and then the image shows no angle.
    """
    bend = _bend(rep, signal)
    follows = best_deg >= spec.shortens_deg and bend >= spec.turn_share * best_deg
    return max(bend, _effort(signal.values, rep)) if follows else bend


def _bend(rep: Rep, signal: Signal) -> float:
    """How far the joint bends into a repetition and out of it: its own angle in the image or in space, the clearer."""
    joined = (signal.bend_deg, signal.bend_3d_deg)
    bends = [_effort(bend, rep) for bend in signal.limbs_deg or joined if bend is not None]
    reach = _span(signal.values[rep.start : rep.end])
    return max([reach if signal.bend_3d_deg is None and reach >= SURE_REACH_DEG else 0.0, *bends])


def _effort(values: Doubles, rep: Rep) -> float:
    """From the rests before and after to the most that is reached between: what trembles goes nowhere."""
    inside = values[rep.start : rep.end]
    known = inside[np.isfinite(inside)]
    if not len(known):
        return 0.0
    return float(known.max() - (known[0] + known[-1]) / 2)


def _span(values: Doubles) -> float:
    known = values[np.isfinite(values)]
    return float(np.ptp(known)) if len(known) else 0.0


def _feet_planted(clean: CleanTrack, rep: Rep) -> bool:
    """The feet keep their distance: walking and jumping jacks do not, whatever the arms do."""
    return not _feet_travel(clean, slice(rep.start, rep.end)) >= FEET_TRAVEL_TORSO


def _feet_travel(clean: CleanTrack, inside: slice) -> float:
    """How far the feet are moved against each other for a while, in torso lengths; NaN where they are not seen."""
    apart = _seen(clean.track, "left_ankle", inside) - _seen(clean.track, "right_ankle", inside)
    apart = apart[np.isfinite(apart).all(-1)]
    if not len(apart):
        return float("nan")
    away = np.linalg.norm(apart - np.median(apart, axis=0), axis=-1)
    return float(np.percentile(away, FEET_PERCENTILE)) / _size(clean, inside)


def _feet_part(clean: CleanTrack, rep: Rep) -> bool:
    """The feet jump apart and together again, or it cannot be seen: hidden, or along the line of sight."""
    inside = slice(rep.start, rep.end)
    size = _size(clean, inside)
    gaps = {
        joint: np.linalg.norm(
            _seen(clean.track, f"left_{joint}", inside) - _seen(clean.track, f"right_{joint}", inside), axis=-1
        )
        for joint in ("ankle", "shoulder")
    }
    feet, shoulders = gaps["ankle"], gaps["shoulder"][np.isfinite(gaps["shoulder"])]
    if np.isfinite(feet).mean() < MOSTLY or (len(shoulders) and np.median(shoulders) < SIDE_ON_TORSO * size):
        return True
    return not _span(feet) < FEET_PART_TORSO * size


def _hips_sink(clean: CleanTrack, rep: Rep) -> bool:
    """The hips come nearer to the lower foot, further than in any walk; half as far will do where the feet stand."""
    inside = slice(rep.start, rep.end)
    track = clean.track
    hips = np.stack([_seen(track, f"{side}_hip", inside)[:, 1] for side in ("left", "right")])
    feet = np.stack([_seen(track, f"{side}_ankle", inside)[:, 1] for side in ("left", "right")])
    height = np.fmax(*feet) - np.fmin(*hips)
    known = height[np.isfinite(height)]
    if len(known) < max(2.0, MOSTLY * len(height)):  # the lowest point may be among what is hidden
        return True
    least = (SHALLOW_SHARE if _feet_travel(clean, inside) < FEET_TRAVEL_TORSO else 1) * SINK_TORSO
    return not float(np.ptp(known)) < least * _size(clean, inside)


def _hands_hold(clean: CleanTrack, rep: Rep) -> bool:
    """The hands stay where they are while the shoulders move."""
    inside = slice(rep.start, rep.end)
    track = clean.track
    hands = [_way(_seen(track, f"{side}_wrist", inside)) for side in ("left", "right")]
    shoulders = [_way(_seen(track, f"{side}_shoulder", inside)) for side in ("left", "right")]
    if np.isnan(hands).all() or np.isnan(shoulders).all():
        return True
    return float(np.nanmin(hands)) <= HANDS_SLIP * float(np.nanmax(shoulders))


def _upright(clean: CleanTrack, rep: Rep) -> bool:
    """The trunk stands, and is not seen along its axis."""
    inside = slice(rep.start, rep.end)
    lean, foreshortened = _lean(clean.track, inside, 50)
    return not len(lean) or (not foreshortened and float(np.median(lean)) < UPRIGHT_BELOW_DEG)


def _lying(clean: CleanTrack, rep: Rep) -> bool:
    """The trunk is off the vertical at some time of the repetition, or is then seen along its axis."""
    inside = slice(rep.start, rep.end)
    lean, foreshortened = _lean(clean.track, inside, 10)
    return not len(lean) or foreshortened or float(np.percentile(lean, 90)) >= UPRIGHT_BELOW_DEG


def _lean(track: PoseTrack, inside: slice, percentile: float) -> tuple[Doubles, bool]:
    """Known angles of the trunk to the vertical, and whether its length (at that percentile) is too short for one."""
    up = _middle(track, "shoulder", inside) - _middle(track, "hip", inside)
    across = np.linalg.norm(_point(track, "left_shoulder", inside) - _point(track, "right_shoulder", inside), axis=-1)
    lean = np.degrees(np.arctan2(np.abs(up[:, 0]), -up[:, 1]))
    known = np.isfinite(lean)
    if not known.any():
        return lean[known], False
    short = np.percentile(np.linalg.norm(up[known], axis=-1), percentile) < FORESHORTENED * np.nanmedian(across)
    return lean[known], bool(short)


def _hanging(clean: CleanTrack, rep: Rep) -> bool:
    """At the start of the repetition and at its turn the hands are above the shoulders, or level with them."""
    inside = slice(rep.start, rep.end)
    track = clean.track
    height = _middle(track, "shoulder", inside)[:, 1] - _middle(track, "wrist", inside)[:, 1]
    relative = height / _trunk(track, inside)
    known = relative[np.isfinite(relative)]
    return not len(known) or float(min(known[0], np.median(known))) >= -HANDS_BELOW_TORSO


def _overhead(clean: CleanTrack, rep: Rep) -> bool:
    """At the turn a hand is above its shoulder."""
    turn = slice(rep.turn, rep.turn + 1)
    heights = [
        _point(clean.track, f"{side}_shoulder", turn)[0, 1] - _point(clean.track, f"{side}_wrist", turn)[0, 1]
        for side in ("left", "right")
    ]
    return bool(np.isnan(heights).all() or np.nanmax(heights) > 0)


def _arms_up(clean: CleanTrack, rep: Rep) -> bool:
    """At the turn the hands are above the shoulders by half an arm: at the shoulders they only hold something."""
    turn = slice(rep.turn, rep.turn + 1)
    height = _middle(clean.track, "shoulder", turn)[0, 1] - _middle(clean.track, "wrist", turn)[0, 1]
    return not height < HALF_ARM_TORSO * _size(clean, slice(rep.start, rep.end))


CHECKS: dict[str, Callable[[CleanTrack, Rep], bool]] = {
    "arms_up": _arms_up,
    "feet_part": _feet_part,
    "feet_planted": _feet_planted,
    "hands_hold": _hands_hold,
    "hanging": _hanging,
    "hips_sink": _hips_sink,
    "lying": _lying,
    "overhead": _overhead,
    "upright": _upright,
}


def _seen(track: PoseTrack, joint: str, inside: slice) -> Doubles:
    """(T, 2) place of a joint where it is seen, inside the picture; NaN elsewhere."""
    column = SKELETONS[track.skeleton].index(joint)
    points = track.xy_px[inside, column].astype(np.float64)
    points[~(track.visibility[inside, column] >= SEEN)] = np.nan
    if track.width and track.height:
        with np.errstate(invalid="ignore"):
            points[((points < 0) | (points > (track.width, track.height))).any(-1)] = np.nan
    return points


def _way(points: Doubles) -> float:
    """Length of the box that a point stays in; NaN where it is not seen."""
    known = points[np.isfinite(points).all(-1)]
    return float(np.linalg.norm(np.ptp(known, axis=0))) if len(known) else float("nan")


def _size(clean: CleanTrack, inside: slice) -> float:
    """Torso length in pixels; NaN where it is not known."""
    known = clean.scale_px[inside]
    known = known[np.isfinite(known)]
    return float(np.median(known)) if len(known) else float("nan")


def _point(track: PoseTrack, joint: str, inside: slice) -> Doubles:
    return track.xy_px[inside, SKELETONS[track.skeleton].index(joint)].astype(np.float64)


def _middle(track: PoseTrack, joint: str, inside: slice) -> Doubles:
    return (_point(track, f"left_{joint}", inside) + _point(track, f"right_{joint}", inside)) / 2


def _trunk(track: PoseTrack, inside: slice) -> Doubles:
    return np.asarray(np.linalg.norm(_middle(track, "shoulder", inside) - _middle(track, "hip", inside), axis=-1))
