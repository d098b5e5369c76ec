"""The angle table and the one function that evaluates it.

Interior angles at the middle joint, 0..180 degrees, in the image plane, from pixels (never from normalised
coordinates: on a frame that is not square these bend every angle). `trunk_lean` is the angle of the mid-hip →
mid-shoulder line to the image's vertical: 0 upright, 90 lying; `left_trunk_lean` the same of one side, for views in
which the other is hidden. An interior angle folds at 180: a straight joint of
178° reads about 174° under 5 % noise, so lock-out limits carry an allowance.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from repset.landmarks import DERIVED, SKELETONS, mirror_name

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Angle:
    """Interior angle a-b-c, at b. `vertical` as c means straight up in the image from b."""

    name: str
    a: str
    b: str
    c: str


_LEFT = (
    Angle("left_shoulder", "left_hip", "left_shoulder", "left_elbow"),
    Angle("left_elbow", "left_shoulder", "left_elbow", "left_wrist"),
    Angle("left_wrist", "left_elbow", "left_wrist", "left_index"),
    Angle("left_hip", "left_shoulder", "left_hip", "left_knee"),
    Angle("left_knee", "left_hip", "left_knee", "left_ankle"),
    Angle("left_ankle", "left_knee", "left_ankle", "left_foot_index"),
    Angle("left_body_line", "left_shoulder", "left_hip", "left_ankle"),
    Angle("left_trunk_lean", "left_shoulder", "left_hip", "vertical"),
)

ANGLES: tuple[Angle, ...] = (
    *_LEFT,
    *(Angle(*(mirror_name(part) for part in (a.name, a.a, a.b, a.c))) for a in _LEFT),
    Angle("trunk_lean", "neck", "pelvis", "vertical"),
    Angle("neck", "head", "neck", "pelvis"),
)
"""Every angle; the right side is generated from the left."""

SPACE = "_3d"
"""Ending of the name of an angle that was measured in space."""

BY_NAME = {angle.name: angle for angle in ANGLES}

BONES_TORSO = {"left_elbow": (0.646, 0.507), "right_elbow": (0.646, 0.507)}
"""Of an angle: its two bones (upper arm, forearm) in torso lengths, shoulder to hip: 0.186, 0.146 and 0.288 of stature
(Drillis and Contini 1966, as in Winter, Biomechanics and Motor Control of Human Movement)."""
END_ON_SHARE = 0.42
"""A bone that looks shorter than this share of its length is turned by more than 65° out of the image: it points at the
camera and has no direction to measure (`python tools/trust.py drawn` prints how wrong elbow angles are on both sides of
it). Only elbows are asked: legs are longer, and squats are judged from ahead."""


def interior_deg(a: Floats, b: Floats, c: Floats) -> Floats:
    """Angle at b between the rays to a and c.

    Args:
        a, b, c: points, shape (..., D), any one unit.
    Returns: shape (...), degrees in [0, 180]; NaN where a point is NaN or coincides with b.
    """
    u, v = (a - b).astype(np.float64), (c - b).astype(np.float64)
    nu, nv = np.linalg.norm(u, axis=-1), np.linalg.norm(v, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        # 2·atan2 of difference and sum of the unit vectors: exact near 0 and 180, where arccos is not.
        uu, vv = u / nu[..., None], v / nv[..., None]
        angle = 2 * np.arctan2(np.linalg.norm(uu - vv, axis=-1), np.linalg.norm(uu + vv, axis=-1))
    known = (nu > 0) & (nv > 0)
    return np.asarray(np.degrees(np.where(known, angle, np.nan)), np.float32)


def evaluate(name: str, xy_px: Floats, skeleton: str, torso_px: Doubles | None = None) -> Floats:
    """One angle of the table over frames.

    Args:
        name: a row of ANGLES, with its side.
        xy_px: shape (T, K, 2), pixels, y down, in the order of `skeleton`.
        torso_px: shape (T,), the body's size; where given, angles of BONES_TORSO with a bone seen end-on are NaN.
    Returns: shape (T,), degrees in [0, 180]; NaN where a joint is NaN or the skeleton lacks it.
    """
    angle = BY_NAME[name]
    a, b, c = (_point(joint, angle, xy_px, skeleton) for joint in (angle.a, angle.b, angle.c))
    degrees = interior_deg(a, b, c)
    if torso_px is not None and name in BONES_TORSO:
        for end, length in zip((a, c), BONES_TORSO[name], strict=True):
            degrees[np.linalg.norm(end - b, axis=-1) < END_ON_SHARE * length * torso_px] = np.nan
    return degrees


def evaluate_all(xy_px: Floats, skeleton: str, torso_px: Doubles | None = None) -> dict[str, Floats]:
    """Every angle of the table: name → shape (T,), as `evaluate` gives it."""
    return {angle.name: evaluate(angle.name, xy_px, skeleton, torso_px) for angle in ANGLES}


def evaluate_space(xyz_m: Floats, skeleton: str) -> dict[str, Floats]:
    """Every interior angle in space: name with `_3d` → shape (T,), as `evaluate` gives it.

    Not the leans: 3-D positions of a pose model know the camera's vertical only, as the image does.

    Args:
        xyz_m: shape (T, K, 3), metres, in the order of `skeleton`.
    """
    return {f"{angle.name}{SPACE}": evaluate(angle.name, xyz_m, skeleton) for angle in ANGLES if angle.c != "vertical"}


def trunk_px(xy_px: Floats | Doubles, skeleton: str) -> Doubles:
    """(T,) length of the trunk in the picture: mid-shoulder to mid-hip, or one side's where only that is seen."""
    joints = SKELETONS[skeleton].joints
    sides = [
        xy_px[:, joints.index(f"{side}_shoulder")] - xy_px[:, joints.index(f"{side}_hip")] for side in ("left", "right")
    ]
    both = np.linalg.norm((sides[0] + sides[1]) / 2, axis=-1)
    one = np.fmax(np.linalg.norm(sides[0], axis=-1), np.linalg.norm(sides[1], axis=-1))
    return np.asarray(np.where(np.isfinite(both), both, one), np.float64)


def _point(joint: str, angle: Angle, xy_px: Floats, skeleton: str) -> Floats:
    if joint == "vertical":
        return _point(angle.b, angle, xy_px, skeleton) + np.array([0.0, -1.0], np.float32)
    joints = SKELETONS[skeleton].joints
    if joint in joints:
        return xy_px[:, joints.index(joint)]
    parts = DERIVED.get(joint, ())
    if parts and all(part in joints for part in parts):
        return np.asarray(xy_px[:, [joints.index(part) for part in parts]].mean(axis=1), np.float32)
    return np.full((len(xy_px), xy_px.shape[-1]), np.nan, np.float32)
