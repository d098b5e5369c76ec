"""What the muscle model sees of a clip: plain numbers about how the body lies, what bends, and what rises with it.

A muscle works where a joint moves against a load, and the load is moved by what rises: the hands, the feet or the
body itself. So beside each joint's mean bend and range stands how its opening goes together with their rising. Left
and right are never told apart, and nothing depends on where the person is in the picture or how near.

Axis letters: W windows, N steps of a window, D numbers.
"""

import itertools

import numpy as np
import numpy.typing as npt

from repset import pose_features as features
from repset.pose_features import JOINTS, Floats, WindowSpec
from repset.schema import PoseTrack

SPEC = WindowSpec(2.0, 32)
"""The exercise model's windows."""

HOP_S = 0.5
SIDES = ("left", "right")
ANGLES = {
    "elbow": ("shoulder", "elbow", "wrist"),
    "shoulder": ("hip", "shoulder", "elbow"),
    "hip": ("shoulder", "hip", "knee"),
    "knee": ("hip", "knee", "ankle"),
}
POINTS = ("wrist", "elbow", "ankle", "knee", "shoulder")
SEGMENTS = ("trunk", "thigh", "shank")
LIFTED = ("hands", "body", "feet")
_BEND = ("mean", "most", "least", "range", "speed")
_POINT = ("rise", "sweep", "height", "apart", "above_shoulder")
_STILL = 3e-3
"""Keeps the correlation of two movements small where one of them hardly moves (body lengths or half turns a step)."""

NAMES: tuple[str, ...] = (
    *(f"{segment}_{what}" for segment in SEGMENTS for what in ("up", "up_range")),
    "trunk_across", "trunk_across_range",
    *(f"{angle}_{what}" for angle in ANGLES for what in (*_BEND, *(f"with_{lifted}" for lifted in LIFTED))),
    *(f"{angle}_more_{what}" for angle in ANGLES for what in ("mean", "range", *(f"with_{one}" for one in LIFTED))),
    *(f"{point}_{what}" for point in POINTS for what in _POINT),
    "body_rise", "seen", "knees_together", "wrists_together",
)  # fmt: skip
"""Name of each of the D numbers. `more`: mostly the side that bends more; `with`: opens and rises together, -1 to 1."""


def describe(track: PoseTrack) -> npt.NDArray[np.float32]:
    """(D,) numbers of one clip of one person: the mean over its windows; any skeleton."""
    windows, _ = features.track_windows(track, SPEC, HOP_S)
    return np.asarray(_windows(windows).mean(axis=0), np.float32)


def _windows(windows: Floats) -> Floats:
    """(W, CHANNELS, N) network input → (W, D)."""
    count, joints = len(windows), len(JOINTS)
    xy = windows[:, : 2 * joints].reshape(count, joints, 2, -1).transpose(1, 0, 3, 2)
    at = dict(zip(JOINTS, xy, strict=True))
    path = windows[:, features.PATH].transpose(0, 2, 1)
    seen = windows[:, features.SEEN]
    middle = {part: _both(at, part).mean(axis=0) for part in ("shoulder", "hip", "knee", "ankle")}
    trunk = middle["shoulder"] - middle["hip"]
    body = -(path[..., 1] + trunk[..., 1] / 2)
    parts = [
        *_mean_and_range(-trunk[..., 1]),
        *_mean_and_range(-(middle["hip"] - middle["knee"])[..., 1]),
        *_mean_and_range(-(middle["knee"] - middle["ankle"])[..., 1]),
        *_mean_and_range(np.abs(trunk[..., 0])),
    ]
    rising = [
        _rate(-(_both(at, "wrist")[..., 1] + path[..., 1])),
        np.repeat(_rate(body)[None], len(SIDES), axis=0),
        _rate(-(_both(at, "ankle")[..., 1] + path[..., 1])),
    ]
    bends = [_bend(at, chain, rising) for chain in ANGLES.values()]
    parts += list(itertools.chain.from_iterable(both for both, _ in bends))
    parts += list(itertools.chain.from_iterable(more for _, more in bends))
    for point in POINTS:
        parts += _point(_both(at, point), path, middle["shoulder"])
    parts += [body.std(axis=1), seen.mean(axis=(1, 2))]
    parts += [_together(*_rate(_both(at, part)[..., 1])) for part in ("knee", "wrist")]
    return np.asarray(np.nan_to_num(np.stack(parts, axis=1)), np.float32)


def _both(at: dict[str, Floats], part: str) -> Floats:
    return np.asarray(np.stack([at[f"{side}_{part}"] for side in SIDES]), np.float32)


def _mean_and_range(values: Floats) -> list[Floats]:
    return [values.mean(axis=1), np.ptp(values, axis=1)]


def _rate(values: Floats) -> Floats:
    return np.asarray(np.gradient(values, axis=-1), np.float32)


def _together(a: Floats, b: Floats) -> Floats:
    """Correlation of two movements about rest, over the last axis: -1 to 1, 0 where one is still."""
    scale = np.sqrt((a * a).mean(axis=-1) * (b * b).mean(axis=-1)) + _STILL**2
    return np.asarray((a * b).mean(axis=-1) / scale, np.float32)


def _bend(
    at: dict[str, Floats], chain: tuple[str, str, str], rising: list[Floats]
) -> tuple[list[Floats], list[Floats]]:
    """Numbers of one joint: the mean of both sides, and mostly of the side that bends more. Angles in half turns."""
    near, joint, far = (_both(at, part) for part in chain)
    u, v = near - joint, far - joint
    cross = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    angle = np.arctan2(np.abs(cross), (u * v).sum(axis=-1)) / np.pi
    rate = _rate(angle)
    bend = [angle.mean(axis=-1), angle.max(axis=-1), angle.min(axis=-1), np.ptp(angle, axis=-1),
            np.abs(rate).mean(axis=-1)]  # fmt: skip
    lifts = [_together(rate, one) for one in rising]
    share = bend[3] ** 4 + 1e-12
    share = share / share.sum(axis=0)
    chosen = [(share * values).sum(axis=0) for values in (bend[0], bend[3], *lifts)]
    return [values.mean(axis=0) for values in (*bend, *lifts)], chosen


def _point(xy: Floats, path: Floats, shoulders: Floats) -> list[Floats]:
    """Numbers of one pair of joints (2, W, N, 2): how far they travel, how high they are, how far apart."""
    moved = xy + path
    return [
        moved[..., 1].std(axis=-1).mean(axis=0),
        moved[..., 0].std(axis=-1).mean(axis=0),
        -xy[..., 1].mean(axis=(0, -1)),
        np.abs(xy[0, ..., 0] - xy[1, ..., 0]).mean(axis=-1),
        -(xy - shoulders)[..., 1].mean(axis=(0, -1)),
    ]
