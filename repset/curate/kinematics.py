"""What a pose track cannot be: joints outside the image, limbs that change their length, sides that swap, gaps.

All functions take one person's track on the 13 common joints (repset.landmarks.PENN_13) in pixels, NaN where absent,
and return frame positions (rows of the track), not frame numbers. Lengths are measured in body sizes: the median
diagonal of the box around the joints.
"""

import numpy as np
import numpy.typing as npt

from repset.landmarks import PENN_13

Floats = npt.NDArray[np.float32]
Frames = npt.NDArray[np.int64]

MARGIN_PX = 1.0
"""Joints this far outside the image are still at its border: annotators click on the last pixel."""
JUMP = 0.25
"""Change of a limb's length from one frame to the next, in body sizes, that no movement makes within MAX_STEP_S."""
MAX_STEP_S = 0.11
"""Frames farther apart are not compared (10 frames a second just are)."""
SWAP_GAIN = 0.35
"""A swap: with left and right exchanged the joints move at most this part of the way they seem to move."""
SWAP_WAY = 0.12
"""Body sizes that the limbs must seem to move each on average before a swap is looked for."""
SWAP_PAIRS = 3
"""Left-right pairs that must be there in both frames."""
GAP_S = 0.25
"""Shortest stretch without any joint that is named a gap."""

_LIMBS = np.array(
    [
        (PENN_13.index(f"{side}_{a}"), PENN_13.index(f"{side}_{b}"))
        for side in ("left", "right")
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
    ]
)
_LEFT = np.array([PENN_13.index(name) for name in PENN_13.joints if name.startswith("left_")])
_RIGHT = np.array(PENN_13.mirror)[_LEFT]


def body_size_px(xy_px: Floats) -> float:
    """Median over the frames of the diagonal of the box around the joints; 0 where there are too few."""
    some = xy_px[np.isfinite(xy_px[..., 0]).sum(axis=1) >= 4]
    if not len(some):
        return 0.0
    return float(np.median(np.linalg.norm(np.nanmax(some, axis=1) - np.nanmin(some, axis=1), axis=-1)))


def outside(xy_px: Floats, seen: npt.NDArray[np.bool_], width: int, height: int) -> tuple[Frames, Frames]:
    """Frames and joints that are labelled as seen and lie outside the image.

    Args:
        xy_px: (T, K, 2) of any skeleton; seen: (T, K) whether the label says that the joint is visible.
    """
    low, high = -MARGIN_PX, np.array([width, height], np.float32) - 1 + MARGIN_PX
    with np.errstate(invalid="ignore"):
        out = ((xy_px < low) | (xy_px > high)).any(axis=-1)
    frames, joints = np.nonzero(out & seen)
    return frames, joints


def limb_jumps(xy_px: Floats, time_s: npt.NDArray[np.float64]) -> tuple[Frames, Floats]:
    """Frames in which a limb is suddenly longer or shorter, and by how much (body sizes)."""
    size = body_size_px(xy_px)
    if size <= 0 or len(xy_px) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    length = np.linalg.norm(xy_px[:, _LIMBS[:, 0]] - xy_px[:, _LIMBS[:, 1]], axis=-1)
    change = np.nan_to_num(np.abs(np.diff(length, axis=0))).max(axis=1) / size
    at = np.flatnonzero((change > JUMP) & (np.diff(time_s) <= MAX_STEP_S))
    return at + 1, change[at].astype(np.float32)


def side_swaps(xy_px: Floats, time_s: npt.NDArray[np.float64]) -> Frames:
    """Frames from which left and right are named the other way round than in the frame before."""
    size = body_size_px(xy_px)
    if size <= 0 or len(xy_px) < 2:
        return np.zeros(0, np.int64)
    left, right = xy_px[:, _LEFT], xy_px[:, _RIGHT]

    def way(a: Floats, b: Floats) -> Floats:
        return np.asarray(np.linalg.norm(b - a, axis=-1), np.float32)

    as_named = way(left[:-1], left[1:]) + way(right[:-1], right[1:])
    exchanged = way(left[:-1], right[1:]) + way(right[:-1], left[1:])
    there = np.isfinite(as_named) & np.isfinite(exchanged)
    pairs = there.sum(axis=1)
    moved, moved_exchanged = (np.where(there, values, 0).sum(axis=1) for values in (as_named, exchanged))
    found = (pairs >= SWAP_PAIRS) & (moved > 2 * SWAP_WAY * size * pairs) & (moved_exchanged < SWAP_GAIN * moved)
    return np.flatnonzero(found & (np.diff(time_s) <= MAX_STEP_S)) + 1


def gaps(present: npt.NDArray[np.bool_], frame: Frames, frames: int, fps: float) -> list[tuple[int, int]]:
    """Stretches [start, end) of frame numbers without any joint, of at least GAP_S seconds.

    Args:
        present: (T,) whether a row has a joint; frame: (T,) its frame number; frames: of the whole clip.
    """
    known = np.sort(frame[present])
    edges = np.r_[-1, known, frames]
    wide = np.flatnonzero(np.diff(edges) - 1 >= max(1.0, GAP_S * fps))
    return [(int(edges[at]) + 1, int(edges[at + 1])) for at in wide.tolist()]
