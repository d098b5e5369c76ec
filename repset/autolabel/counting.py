"""What is counted: one row per exercise, and the signal that it makes of a track.

Counting is kept apart from judging. What is counted is a *reach angle*: the angle a limb would have, had its two
bones in every frame the length they show when best seen (law of cosines on the distance of the limb's ends). Unlike
the interior angle it does not jump when the middle joint points at the camera, and being made of ratios it does not
depend on the size of the person in the picture. Where cameras often hide it, what rises is counted instead. Judging
uses the true interior angles (repset.autolabel.form).
All shares and minima below are the project's own choice, set on what a body can do and checked on clips counted by eye.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from repset import angles, exercises
from repset.autolabel.smooth import CleanTrack, rolling_median, rolling_scale
from repset.autolabel.view import mean_visibility
from repset.landmarks import SKELETONS
from repset.schema import Floats, PoseTrack

Doubles = npt.NDArray[np.float64]

Combine = Literal["mean", "both", "active"]
Posture = Literal[
    "lying", "upright", "hanging", "hands_hold", "feet_planted", "feet_part", "hips_sink", "overhead", "arms_up"
]

SHALLOW_SHARE = 0.5  # of an exercise's minimum: enough for a repetition of a set in which another reaches it all
BOTH_SIDES_SHARE = 0.5  # the worse-seen side takes part when it is seen at least this well, relative to the better
HOP_HALF_WINDOW_S = 0.75  # of the median that is the body's place without its hops
MIN_SEEN = 0.15  # mean visibility of the limb below which nothing is counted


@dataclass(frozen=True)
class Counting:
    """How one exercise is counted.

    Attributes:
        combine: the two sides as their mean; or the lesser of both (both limbs must work: a walking person always has
            one straight leg); or, for work with one arm, the arm that moves.
        min_range: absolute minimum of a set's swings, degrees (torso lengths for a height).
        min_period_s: two turning points are at least this far apart.
        lift_first: the lifting (concentric) phase comes before the turn (curl, press), not after it (squat).
        postures: what the body must do meanwhile (repset.autolabel.posture).
        height: count the height of this joint over another, in torso lengths, instead of the reach angle.
        max_period_s: a repetition never takes longer.
        min_reps: fewer are something else.
        turn_share: of the typical swing: a smaller one is neither a turn nor a return. Arms that stand on the floor
            tremble less than others.
        shortens_deg: in a set whose best repetition bends the joint by this, a limb that looks shorter has bent;
            elsewhere it may have swung towards the camera, or the camera zooms.
        upward: of the limb's length only what points up counts. Hands that come down beside the chest pass the
            shoulders, and their distance from them grows again.
        trunk_rises: where that swings more, count how far the trunk is from upright, by how high the shoulders are over
            the hips: from the feet a hip shows no bend.
    """

    combine: Combine
    min_range: float
    min_period_s: float
    lift_first: bool
    postures: tuple[Posture, ...] = ()
    height: tuple[str, str] | None = None
    max_period_s: float = float("inf")
    min_reps: int = 1
    turn_share: float = 0.25
    shortens_deg: float = float("inf")
    upward: bool = False
    trunk_rises: bool = False

    @property
    def shallow_range(self) -> float:
        """What counts in a set that has a swing of `min_range`; a height has nothing but its minimum against tremor."""
        return self.min_range if self.height else SHALLOW_SHARE * self.min_range


COUNTING: dict[str, Counting] = {
    "squat": Counting("both", 25, 0.3, False, ("feet_planted", "hips_sink")),
    "lunge": Counting("mean", 25, 0.6, False, ("hips_sink",)),
    "push_up": Counting("mean", 25, 0.3, False, ("lying", "hands_hold"), turn_share=0.15),
    "pull_up": Counting("mean", 25, 0.3, True, ("hanging", "hands_hold")),
    "sit_up": Counting("mean", 20, 0.3, True, ("lying",), trunk_rises=True),
    "bench_press": Counting("mean", 25, 0.3, False, ("lying",), turn_share=0.2, shortens_deg=0, upward=True),
    "bicep_curl": Counting("active", 30, 0.3, True, ("feet_planted",)),
    "tricep_extension": Counting("active", 25, 0.3, False, ("feet_planted",)),
    "dumbbell_row": Counting("active", 25, 0.3, True, ("feet_planted",)),
    "shoulder_press": Counting("mean", 25, 0.3, True, ("feet_planted", "overhead"), shortens_deg=15),
    "lateral_raise": Counting("mean", 25, 0.3, True, ("feet_planted",)),
    "jumping_jack": Counting("mean", 40, 0.3, True, ("upright", "feet_part")),
    "jump_rope": Counting("mean", 0.06, 0.2, True, ("upright", "feet_planted"), ("hip", ""), 1.2, 2),
    "clean_and_jerk": Counting("both", 0.8, 1.0, True, ("hips_sink", "arms_up"), ("wrist", "shoulder")),
}
"""One row per exercise of the ontology (a test insists). Heights: the wrist over the shoulder tells a lift overhead
from any pull; a hop is the hip's rise over its own slow path, which no interior angle shows."""


@dataclass(frozen=True)
class Signal:
    """What is counted.

    Attributes:
        values: (T,), larger = more effort, degrees (torso lengths for a height); NaN = unknown.
        bend_deg: (T,) interior angle of the same limbs in the image, same direction; None where a height is counted.
        bend_3d_deg: (T,) the same in space; None where there are no 3-D positions.
        side: left | right | both | none.
        seen: mean visibility of the better-seen limb.
        ends: (T, 2) for each limb that is counted: where its end is from its root, in torso lengths.
        limbs_deg: (T,) for each limb: its own interior angle in the image, and likewise in space; only where both limbs
            must work, or arms work by themselves, or the body lies over one, so that the other can show the bend.
    """

    values: Doubles
    bend_deg: Doubles | None
    bend_3d_deg: Doubles | None
    side: str
    seen: float
    ends: tuple[Doubles, ...] = ()
    limbs_deg: tuple[Doubles, ...] = ()


def counting_signal(exercise: str, clean: CleanTrack) -> Signal:
    """The signal of one exercise over a clip; `clean` is made with visibility 0: hidden joints count, never judge."""
    spec, row = COUNTING[exercise], exercises.BY_NAME[exercise]
    track = clean.track
    sign = 1.0 if row.effort == "max" or spec.height else -1.0
    quality = {side: mean_visibility(track, _joints(spec, row.signal, side)) for side in ("left", "right")}
    values = {side: sign * _one_side(spec, row.signal, side, clean) for side in ("left", "right")}
    best = max(quality.values())
    used = [side for side in ("left", "right") if quality[side] >= max(BOTH_SIDES_SHARE * best, MIN_SEEN)]
    used = [side for side in used if np.isfinite(values[side]).any()]
    if spec.combine == "active" and len(used) == 2:
        used = _active(values)
    if not used:
        return Signal(np.full(len(track.time_s), np.nan), None, None, "none", best)
    side = used[0] if len(used) == 1 else "both"
    if spec.height:
        return Signal(_join(values, used, spec.combine), None, None, side, best)
    kinds = [_bends(points, row.signal, track, sign) for points in (track.xy_px, track.xyz_m) if points is not None]
    bends = [_join(kind, used, spec.combine) for kind in kinds]
    either = spec.combine != "mean" or "lying" in spec.postures
    return Signal(
        _join(values, used, spec.combine), bends[0], bends[1] if len(bends) > 1 else None, side, best,
        tuple(_end(row.signal, one, clean) for one in used),
        tuple(kind[one] for kind in kinds for one in used) if either else (),
    )  # fmt: skip


def join_signals(parts: Sequence[Signal]) -> Signal:
    """One signal of several in a row; its side is that of the longest part in which a limb is seen."""
    seen = [part for part in parts if part.side != "none"] or list(parts)
    side = max(seen, key=lambda part: len(part.values)).side
    best = max((part.seen for part in parts), default=0.0)
    image, space = _row(parts, [p.bend_deg for p in parts]), _row(parts, [p.bend_3d_deg for p in parts])
    return Signal(np.concatenate([part.values for part in parts]), image, space, side, best)


def _row(parts: Sequence[Signal], bends: list[Doubles | None]) -> Doubles | None:
    if all(bend is None for bend in bends):
        return None
    filled = [np.full(len(p.values), np.nan) if b is None else b for p, b in zip(parts, bends, strict=True)]
    return np.asarray(np.concatenate(filled))


def _end(signal: str, side: str, clean: CleanTrack) -> Doubles:
    """(T, 2) from the root of a limb to its end, in torso lengths."""
    angle, names = angles.BY_NAME[f"{side}_{signal}"], SKELETONS[clean.track.skeleton].joints
    root, end = (clean.track.xy_px[:, names.index(joint)].astype(np.float64) for joint in (angle.a, angle.c))
    return np.asarray((end - root) / clean.scale_px[:, None])


def _bends(points: Floats, signal: str, track: PoseTrack, sign: float) -> dict[str, Doubles]:
    """Interior angle of each side in the image or in space, in the direction of effort."""
    return {
        side: sign * angles.evaluate(f"{side}_{signal}", points, track.skeleton).astype(np.float64)
        for side in ("left", "right")
    }


def _join(values: dict[str, Doubles], used: list[str], combine: Combine) -> Doubles:
    if len(used) == 1:
        return np.asarray(values[used[0]], np.float64)
    left, right = _level_gaps(values["left"], values["right"])
    return np.asarray(np.minimum(left, right) if combine == "both" else (left + right) / 2, np.float64)


def _joints(spec: Counting, signal: str, side: str) -> tuple[str, ...]:
    if spec.height:
        return tuple(f"{side}_{name}" for name in spec.height if name)
    angle = angles.BY_NAME[f"{side}_{signal}"]
    return (angle.a, angle.b, angle.c)


def _one_side(spec: Counting, signal: str, side: str, clean: CleanTrack) -> Doubles:
    track = clean.track
    names = SKELETONS[track.skeleton].joints
    if spec.height:
        joint, over = spec.height
        height = -track.xy_px[:, names.index(f"{side}_{joint}"), 1].astype(np.float64)
        base = (
            -track.xy_px[:, names.index(f"{side}_{over}"), 1]
            if over
            else rolling_median(height, track.time_s, HOP_HALF_WINDOW_S)
        )
        return (height - base) / clean.scale_px
    angle = angles.BY_NAME[f"{side}_{signal}"]
    if any(joint not in names for joint in (angle.a, angle.b, angle.c)):
        return np.full(len(track.time_s), np.nan)
    a, b, c = (track.xy_px[:, names.index(joint)].astype(np.float64) for joint in (angle.a, angle.b, angle.c))
    reach = reach_deg(a, b, c, track.time_s, spec.upward)
    return max(reach, from_upright_deg(b, a, track.time_s), key=_spread) if spec.trunk_rises else reach


def reach_deg(a: Doubles, b: Doubles, c: Doubles, time_s: Doubles, upward: bool = False) -> Doubles:
    """(T,) angle at b of a limb whose bones had their best-seen length in every frame; degrees, NaN unknown.

    Args:
        a, b, c: (T, 2) pixels. Best-seen: 90th percentile around the frame (`smooth.rolling_scale`), so a person who
            walks towards the camera does not seem to bend.
        upward: the limb reaches only as far as c is above a; 0 where it is below.
    """
    upper = rolling_scale(np.linalg.norm(a - b, axis=-1), time_s)
    lower = rolling_scale(np.linalg.norm(c - b, axis=-1), time_s)
    span = np.maximum(a[:, 1] - c[:, 1], 0.0) if upward else np.linalg.norm(a - c, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (upper**2 + lower**2 - span**2) / (2 * upper * lower)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))), np.float64)


def from_upright_deg(root: Doubles, end: Doubles, time_s: Doubles) -> Doubles:
    """(T,) angle of a bone to the vertical, 0 pointing up, had it in every frame the length it shows when best seen.

    Args:
        root, end: (T, 2) pixels, NaN unknown.
    """
    length = rolling_scale(np.linalg.norm(end - root, axis=-1), time_s)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.degrees(np.arccos(np.clip((root[:, 1] - end[:, 1]) / length, -1, 1))), np.float64)


def _active(values: dict[str, Doubles]) -> list[str]:
    """Both arms where they move together, else the one that moves more."""
    left, right = values["left"], values["right"]
    known = np.isfinite(left) & np.isfinite(right)
    spread = {side: _spread(values[side]) for side in values}
    if known.sum() > 2 and min(spread.values()) > 0:
        together = float(np.corrcoef(left[known], right[known])[0, 1])
        if together > 0.3 and min(spread.values()) > 0.4 * max(spread.values()):
            return ["left", "right"]
    return [max(("left", "right"), key=lambda side: spread[side])]


def _spread(values: Doubles) -> float:
    """From the 5th to the 95th percentile of what is known; 0 where nothing is."""
    return float(np.subtract(*np.nanpercentile(values, (95, 5)))) if np.isfinite(values).any() else 0.0


def _level_gaps(left: Doubles, right: Doubles) -> tuple[Doubles, Doubles]:
    """Where one side is unknown the other stands in, shifted by their usual difference."""
    known = np.isfinite(left) & np.isfinite(right)
    shift = float(np.median((left - right)[known])) if known.any() else 0.0
    return np.where(np.isfinite(left), left, right + shift), np.where(np.isfinite(right), right, left - shift)
