"""Muscle masks proposed from the pose alone, for a set that has no mask yet: sectors of limbs and trunk.

A limb or the trunk is taken for a round column between two joints. A muscle is a part of its length and a sector of its
girth; what of that sector faces the camera is marked, where MediaPipe sees a person. Which way is "front" of a limb
follows from the joint next to it: the forearm bends towards the biceps, the shank towards the hamstrings, the foot
points away from the calf. These are proposals for people to correct: no anatomy of this person was seen, and a muscle
is marked because exercise and phase are *expected* to work it, not because any activation was measured.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from repset.angles import interior_deg
from repset.autolabel.people import Joints
from repset.autolabel.pose import outline_image
from repset.exercises import BY_NAME, default_muscles
from repset.landmarks import BLAZEPOSE_33
from repset.video import Image

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sector:
    """Where a muscle lies.

    Attributes:
        group: name in repset.exercises.MUSCLE_GROUPS, by which an exercise works it.
        column: upper_arm | forearm | thigh | shank | trunk | shoulder | hip.
        begin, end: along the column, 0 at its upper joint, 1 at its lower one.
        towards: +1 front of the column, -1 back; 0 all around.
        half_deg: half the angle of the sector.
    """

    muscle: str
    group: str
    column: str
    begin: float
    end: float
    towards: int
    half_deg: float


SECTORS = (
    Sector("biceps", "biceps", "upper_arm", 0.30, 0.92, 1, 75),
    Sector("triceps", "triceps", "upper_arm", 0.22, 0.90, -1, 90),
    Sector("forearm", "forearms", "forearm", 0.05, 0.70, 0, 180),
    Sector("quadriceps", "quadriceps", "thigh", 0.20, 0.95, 1, 90),
    Sector("hamstring", "hamstring", "thigh", 0.20, 0.92, -1, 75),
    Sector("calf", "calves", "shank", 0.05, 0.60, -1, 95),
    Sector("chest", "chest", "trunk", 0.04, 0.36, 1, 70),
    Sector("abdominals", "upper_abdominis", "trunk", 0.45, 0.98, 1, 45),
    Sector("lat", "latissimus", "trunk", 0.22, 0.72, -1, 95),
    Sector("shoulder", "shoulder", "shoulder", -0.18, 0.28, 0, 180),
    Sector("glute", "gluteus", "hip", -0.30, 0.20, -1, 85),
)
"""Lengths and angles drawn by hand after common anatomical plates; what they reach on the rendered sample stands in
models/segmentation/README.md."""

MUSCLES = tuple(sector.muscle for sector in SECTORS)

_JOINTS = {
    "upper_arm": ("shoulder", "elbow", "wrist"),
    "shoulder": ("shoulder", "elbow", "wrist"),
    "forearm": ("elbow", "wrist", "index"),
    "thigh": ("hip", "knee", "ankle"),
    "hip": ("hip", "knee", "ankle"),
    "shank": ("knee", "ankle", "foot_index"),
}
"""Column → upper joint, lower joint, and the joint that tells front from back."""

_RADIUS_M = {"upper_arm": 0.054, "shoulder": 0.070, "forearm": 0.044, "thigh": 0.085, "hip": 0.105, "shank": 0.063,
             "trunk": 0.165}  # fmt: skip
"""Radii of columns: the mean circumferences of adults in NHANES (arm 34, thigh 53, calf 38 cm) and by eye for the
rest."""

_FRONT = {"upper_arm": 1, "forearm": 1, "thigh": -1, "shank": 1}
"""Whether the third joint lies to the front (the forearm bends forward, the shank backward)."""

_UNLOADED_DEG = {
    "bicep_curl": 150.0, "dumbbell_row": 150.0, "squat": 150.0, "lunge": 150.0, "sit_up": 140.0, "lateral_raise": 35.0,
    "jumping_jack": 35.0,
}  # fmt: skip
"""Exercise whose rest lets go of the muscles → angle of its signal up to which it rests (about a fifth of the way).
In the others the load stays on: whoever is up in a push-up or hangs from a bar does not rest."""

_SIGNAL = {"elbow": ("shoulder", "elbow", "wrist"), "knee": ("hip", "knee", "ankle"),
           "hip": ("shoulder", "hip", "knee"), "shoulder": ("hip", "shoulder", "elbow")}  # fmt: skip

SECONDARY = 0.7
"""Confidence of a muscle that the exercise works second, and of one that is marked without a known exercise."""

_BENT = 0.35
"""Sine of the bend of a joint from which it tells front from back by itself."""

LEAST_VISIBILITY = 0.3
_PERSON = 0.5


@dataclass(frozen=True)
class Proposed:
    """One muscle of one side.

    Attributes:
        mask: (H, W). confidence: 0..1, not calibrated: the least visibility of the joints, times how clearly front and
        back can be told, times SECONDARY where that applies.
    """

    muscle: str
    side: str
    mask: Bools
    confidence: float


def propose_muscles(joints: Joints, person: npt.NDArray[np.float32], exercise: str | None = None) -> list[Proposed]:
    """Masks of the muscles expected to work.

    Args:
        joints: (33, 6) of `repset.autolabel.pose.outline_image`: pixels, visibility, metres.
        person: (H, W) 0..1, how likely a pixel is the person's.
        exercise: canonical name; None: all muscles that are seen.
    Returns: biceps of the left arm, then of the right, and so on in the order of SECTORS; a muscle that is turned away,
        not seen or at rest is not in it.
    """
    body = _Body(joints, person > _PERSON)
    found = []
    for sector in SECTORS:
        for side in ("left", "right") if sector.column != "trunk" else ("",):
            worth = _worked(body, sector.group, side, exercise)
            if worth == 0:
                continue
            mask, sure = body.sector(sector, side)
            if mask.any():
                found.append(Proposed(sector.muscle, side, mask, round(worth * sure, 4)))
    return found


def _worked(body: "_Body", group: str, side: str, exercise: str | None) -> float:
    """1 for a prime mover past the rest, SECONDARY for a helper or where nothing is known of the exercise, else 0."""
    if exercise is None:
        return SECONDARY
    muscles = default_muscles(exercise)
    if muscles is None or group not in (*muscles.primary, *muscles.secondary):
        return 0.0
    entry = BY_NAME.get(exercise)
    if entry is not None and (limit := _UNLOADED_DEG.get(exercise)) is not None:
        angles = [body.angle(entry.signal, name) for name in ((side,) if side else ("left", "right"))]
        past = [angle < limit if entry.effort == "min" else angle > limit for angle in angles if not np.isnan(angle)]
        if not any(past):
            return 0.0
    return 1.0 if group in muscles.primary else SECONDARY


class PoseSegmenter:
    """Labels images as a trained model does, from the pose alone. Overlapping muscles: the smaller one wins."""

    classes = ("background", *MUSCLES)

    def __init__(self, exercise: str | None = None, model: str = "full") -> None:
        self._exercise, self._model = exercise, model

    def label(self, images: Sequence[Image]) -> Iterator[npt.NDArray[np.uint8]]:
        """For each BGR image its (H, W) indices into `classes`."""
        for image in images:
            labels = np.zeros(image.shape[:2], np.uint8)
            found = outline_image(image, self._model)
            proposed = [] if found is None else propose_muscles(*found, self._exercise)
            for one in sorted(proposed, key=lambda one: -int(np.count_nonzero(one.mask))):
                labels[one.mask] = self.classes.index(one.muscle)
            yield labels


class _Body:
    """One person's joints as columns in pixels, all three axes on one scale."""

    def __init__(self, joints: Joints, person: Bools) -> None:
        self._at = {name: row for name, row in zip(BLAZEPOSE_33.joints, joints.astype(np.float64), strict=True)}
        self._person = person
        self._px_per_m = _scale(joints)

    def angle(self, signal: str, side: str) -> float:
        """Degrees in space; NaN where a joint is not seen."""
        rows = [self._at[f"{side}_{name}"] for name in _SIGNAL[signal]]
        if min(row[2] for row in rows) < LEAST_VISIBILITY:
            return float("nan")
        return float(interior_deg(*(row[3:].astype(np.float32) for row in rows)))

    def sector(self, sector: Sector, side: str) -> tuple[Bools, float]:
        """(H, W) mask and confidence of one sector; an empty mask where it is not seen."""
        nothing = np.zeros_like(self._person), 0.0
        column = self._column(sector.column, side)
        if column is None:
            return nothing
        top, bottom, front, seen, told = column
        if seen < LEAST_VISIBILITY:
            return nothing
        radius = _RADIUS_M[sector.column] * self._px_per_m
        mask = _shade(top, bottom, front * (sector.towards or 1), radius, sector, self._person.shape) & self._person
        mask &= ~self._hidden(sector.column, side, (top[2] + bottom[2]) / 2)
        if np.count_nonzero(mask) < 0.02 * radius * max(1.0, float(np.hypot(*(bottom - top)[:2]))):
            return nothing
        return mask, seen * (told if sector.towards else 1.0)

    def _column(self, column: str, side: str) -> tuple[Floats, Floats, Floats, float, float] | None:
        """Top, bottom (pixels, depth too), unit vector to the front, visibility, and how clear front and back are."""
        if column == "trunk":
            tops, bottoms = ([self._point(f"{s}_{n}") for s in ("left", "right")] for n in ("shoulder", "hip"))
            seen = min(self._at[f"{s}_{n}"][2] for s in ("left", "right") for n in ("shoulder", "hip"))
            return np.mean(tops, axis=0), np.mean(bottoms, axis=0), self._forward(), float(seen), 0.9
        upper, lower, third = (f"{side}_{name}" for name in _JOINTS[column])
        top, bottom = self._point(upper), self._point(lower)
        seen = float(min(self._at[upper][2], self._at[lower][2]))
        axis = _unit(bottom - top)
        way = (self._point(third) - bottom) * _FRONT.get(column, 1)
        if column in ("shoulder", "hip"):
            way = self._forward()
        across = _beside(way, axis) / max(1e-6, float(np.linalg.norm(way)))
        bend = float(np.linalg.norm(across))
        if column in ("thigh", "shank") or bend < _BENT:
            # A leg faces where the trunk does, and nearly straight joints tell little: their depth is mostly error.
            across = _beside(self._front(column, axis), axis) + 0.5 * across
        if not np.linalg.norm(across) > 0:
            return None
        return top, bottom, _unit(across), seen, 0.5 + 0.5 * min(1.0, bend)

    def _point(self, name: str) -> Floats:
        """x, y in pixels and the depth in pixels' length (towards the camera is negative)."""
        row = self._at[name]
        return np.array([row[0], row[1], row[5] * self._px_per_m])

    def _forward(self) -> Floats:
        """Where the chest points: across the shoulders × up the trunk."""
        left, right = self._point("left_shoulder"), self._point("right_shoulder")
        down = (self._point("left_hip") + self._point("right_hip") - left - right) / 2
        return _unit(np.cross(left - right, -down))

    def _front(self, column: str, axis: Floats) -> Floats:
        """Where the front of a straight limb faces. The biceps of a raised arm turns with it: up, then to the back."""
        forward = self._forward()
        if column != "upper_arm":
            return forward
        left, right = self._point("left_shoulder"), self._point("right_shoulder")
        up = np.cross(forward, _unit(_beside(left - right, forward)))
        ahead, raised = float(axis @ forward), float(axis @ up)
        if np.hypot(ahead, raised) < 0.5:  # spread to the side
            return forward
        flexion = np.arctan2(ahead, -raised)
        return np.asarray(forward * np.cos(flexion) + up * np.sin(flexion))

    def _hidden(self, column: str, side: str, depth: float) -> Bools:
        """Pixels of the person's other columns that lie nearer to the camera."""
        covered = np.zeros(self._person.shape, np.uint8)
        for name, where in self._others(column, side):
            top, bottom = self._point(where[0]), self._point(where[1])
            margin = 0.5 * (_RADIUS_M[name] + _RADIUS_M[column]) * self._px_per_m
            if (top[2] + bottom[2]) / 2 < depth - margin:
                width = max(1, round(1.8 * _RADIUS_M[name] * self._px_per_m))
                cv2.line(covered, _pixel(top), _pixel(bottom), (1,), width)
        return np.asarray(covered > 0)

    def _others(self, column: str, side: str) -> Iterator[tuple[str, tuple[str, str]]]:
        own = {"shoulder": "upper_arm", "hip": "thigh"}.get(column, column)
        for name in ("upper_arm", "forearm", "thigh", "shank"):
            for other in ("left", "right"):
                if (name, other) != (own, side):
                    yield name, (f"{other}_{_JOINTS[name][0]}", f"{other}_{_JOINTS[name][1]}")


def _shade(
    top: Floats, bottom: Floats, towards: Floats, radius: float, sector: Sector, shape: tuple[int, ...]
) -> Bools:
    """(H, W): where the column's surface that faces the camera lies within the sector.

    At `s` radii beside the axis, the surface of a round column looks s to the side and √(1 - s²) to the camera.
    """
    y, x = np.mgrid[: shape[0], : shape[1]]
    along = (bottom - top)[:2]
    length = float(np.hypot(*along))
    if length < 1e-6:
        return np.zeros(shape, bool)
    axis = along / length
    side = np.array([-axis[1], axis[0]])
    t = ((x - top[0]) * axis[0] + (y - top[1]) * axis[1]) / length
    s = ((x - top[0]) * side[0] + (y - top[1]) * side[1]) / radius
    middle, half = (sector.begin + sector.end) / 2, (sector.end - sector.begin) / 2
    # A muscle is a spindle: full in the middle, narrow at its ends.
    belly = np.sqrt(np.clip(1 - np.abs((t - middle) / half) ** 3, 0, 1))
    facing = s * float(side @ towards[:2]) - np.sqrt(np.clip(1 - s**2, 0, 1)) * towards[2]
    inside = (np.abs(s) <= belly) & (np.abs(t - middle) <= half)
    return np.asarray(inside & (facing >= np.cos(np.radians(sector.half_deg)) - 1e-9))


def _scale(joints: Joints) -> float:
    """Pixels a metre: the ratio of distances in the image and in space over pairs of joints that are seen, the median
    of the longer half (a short one is mostly error)."""
    seen = joints[joints[:, 2] >= LEAST_VISIBILITY].astype(np.float64)
    if len(seen) < 2:
        return 1e-6
    flat = np.linalg.norm(seen[:, None, :2] - seen[None, :, :2], axis=-1)
    space = np.linalg.norm(seen[:, None, 3:5] - seen[None, :, 3:5], axis=-1)
    long = space >= np.median(space[space > 0]) if (space > 0).any() else space > 0
    return float(np.median(flat[long] / space[long])) if long.any() else 1e-6


def _beside(vector: Floats, axis: Floats) -> Floats:
    """The part of a vector that is square to a unit vector."""
    return np.asarray(vector - axis * float(vector @ axis))


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(1e-9, float(np.linalg.norm(vector))))


def _pixel(point: Floats) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
