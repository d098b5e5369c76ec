"""What the body must do for a turning point to be a repetition: the limb bends, the feet stay, the trunk lies or hangs.

A limb that swings towards the camera, a leg that steps and arms that wave move the counting signal too. These checks
only reject what contradicts the exercise; what cannot be measured passes.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from repset.autolabel.reps import Counting, Rep, Signal
from repset.autolabel.smooth import CleanTrack
from repset.landmarks import SKELETONS
from repset.schema import PoseTrack

Doubles = npt.NDArray[np.float64]

MIN_BEND_DEG = 40.0  # the joint's own angle spans this in the best repetition, in the image or in space ...
SURE_REACH_DEG = 80.0  # ... unless the limb shortens so much that no turning explains it
FEET_TRAVEL_TORSO = 0.4  # the feet move apart or together by less than this during a squat
UPRIGHT_BELOW_DEG = 50.0  # a trunk nearer to the vertical than this does not lie
FORESHORTENED = 1.1  # trunk shorter than this times the shoulder width: seen along its axis, its lean says nothing
HANDS_BELOW_TORSO = 0.3  # hands this far below the shoulders do not hang from a bar


def plausible(reps: list[Rep], signal: Signal, clean: CleanTrack, spec: Counting) -> list[Rep]:
    """The repetitions that the rest of the body does not contradict; none if the joint never really bends."""
    keep = [rep for rep in reps if CHECKS[spec.posture](clean.track, slice(rep.start, rep.end))]
    # who lies or hangs has shown the exercise already: there any countable swing will do
    minimum = spec.min_range if spec.posture == "lying" else MIN_BEND_DEG
    return keep if spec.height or any(_bends(rep, signal, minimum) for rep in keep) else []


def _bends(rep: Rep, signal: Signal, minimum: float) -> bool:
    inside = slice(rep.start, rep.end)
    angles = [bend[inside] for bend in (signal.bend_deg, signal.bend_3d_deg) if bend is not None]
    return _span(signal.values[inside]) >= SURE_REACH_DEG or any(_span(bend) >= minimum for bend in angles)


def _span(values: Doubles) -> float:
    known = values[np.isfinite(values)]
    return float(np.ptp(known)) if len(known) else 0.0


def _any(track: PoseTrack, inside: slice) -> bool:
    return True


def _feet_planted(track: PoseTrack, inside: slice) -> bool:
    """The feet keep their distance: a squat does not step, walking and jumping jacks do."""
    apart = _point(track, "left_ankle", inside) - _point(track, "right_ankle", inside)
    travel = np.linalg.norm(apart - apart[:1], axis=-1)
    size = _trunk(track, inside)
    known = np.isfinite(travel) & np.isfinite(size)
    return not known.any() or float(np.max(travel[known]) / np.max(size[known])) < FEET_TRAVEL_TORSO


def _lying(track: PoseTrack, inside: slice) -> bool:
    """The trunk is off the vertical at some time of the repetition, or is seen along its axis."""
    up = _middle(track, "shoulder", inside) - _middle(track, "hip", inside)
    across = np.linalg.norm(_point(track, "left_shoulder", inside) - _point(track, "right_shoulder", inside), axis=-1)
    lean = np.degrees(np.arctan2(np.abs(up[:, 0]), -up[:, 1]))
    known = np.isfinite(lean)
    if not known.any() or np.median(np.linalg.norm(up[known], axis=-1)) < FORESHORTENED * np.nanmedian(across):
        return True
    return float(np.percentile(lean[known], 90)) >= UPRIGHT_BELOW_DEG


def _hanging(track: PoseTrack, inside: slice) -> bool:
    """At the start of the repetition and at its turn the hands are above the shoulders, or level with them."""
    height = _middle(track, "shoulder", inside)[:, 1] - _middle(track, "wrist", inside)[:, 1]
    relative = height / _trunk(track, inside)
    known = relative[np.isfinite(relative)]
    return not len(known) or float(min(known[0], np.median(known))) >= -HANDS_BELOW_TORSO


CHECKS: dict[str, Callable[[PoseTrack, slice], bool]] = {
    "any": _any,
    "feet_planted": _feet_planted,
    "lying": _lying,
    "hanging": _hanging,
}


def _point(track: PoseTrack, joint: str, inside: slice) -> Doubles:
    return track.xy_px[inside, SKELETONS[track.skeleton].index(joint)].astype(np.float64)


def _middle(track: PoseTrack, joint: str, inside: slice) -> Doubles:
    return (_point(track, f"left_{joint}", inside) + _point(track, f"right_{joint}", inside)) / 2


def _trunk(track: PoseTrack, inside: slice) -> Doubles:
    return np.asarray(np.linalg.norm(_middle(track, "shoulder", inside) - _middle(track, "hip", inside), axis=-1))
