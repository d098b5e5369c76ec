"""One label file of Penn Action (`labels/0001.mat`): checked, and turned into the terms of the tables.

A label file holds x, y, visibility (T, 13), bbox (T, 4), action, pose, train (1 or -1), nframes and dimensions
(rows, columns, frames). Positions count from 1 in the set and from 0 here. Boxes are corners (x, y, x, y) there and
corner, width and height here.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.io

from repset.errors import DataError
from repset.landmarks import PENN_13, JointState
from repset.records import sha256_bytes
from repset.sources.untrusted import plain_mat

JOINTS = len(PENN_13.joints)
PARKED_PX = 3.0
"""A hidden joint this near to the corner, in both x and y, was never placed. Most are parked at (1, 1), but in clips
whose positions were scaled with the image the mark was scaled too: 11,780 of the 139,454 joints of the label files lie
at (1.5, 1.5) or (2, 2). Every other joint of the set, hidden or not, is more than
8 px away."""
FIX_LABEL = "Take this file from the original set, or leave it out with --on-error skip"
_KEYS = ("x", "y", "visibility", "action", "train", "nframes", "dimensions")


@dataclass(frozen=True)
class Clip:
    """One label file.

    Attributes:
        marked_px: (T, 13, 2) pixels from 1, as the file has them; visible: (T, 13) 0 or 1, as the file has it.
        corners_px: (T, 4) left, top, right, bottom from 1, NaN where the file has none; boxes: how many rows it has.
    """

    action: str
    official_split: str
    width: int
    height: int
    marked_px: npt.NDArray[np.float32]
    visible: npt.NDArray[np.float32]
    corners_px: npt.NDArray[np.float64]
    boxes: int
    sha256: str

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.marked_px)


@dataclass(frozen=True)
class Joints:
    """What label files say, in the terms of the tables.

    Attributes:
        xy_px: (T, 13, 2) pixels from 0, NaN where absent; visibility: (T, 13) 0 or 1, NaN where absent.
        state: (T, 13) repset.landmarks.JointState.
        box_px: (T, 4) left, top, width, height, NaN where a frame has none.
    """

    xy_px: npt.NDArray[np.float32]
    visibility: npt.NDArray[np.float32]
    state: npt.NDArray[np.int8]
    box_px: npt.NDArray[np.float32]


def parse_label(data: bytes, where: str) -> Clip:
    """One `.mat` file, checked. Raises: DataError."""
    try:
        content = scipy.io.loadmat(io.BytesIO(plain_mat(data)))
    except (ValueError, TypeError, KeyError, IndexError, OSError, NotImplementedError, EOFError, OverflowError,
            scipy.io.matlab.MatReadError) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:120].rstrip(".")
        raise DataError(where, "a MATLAB label file", f"one that cannot be read ({reason})", FIX_LABEL) from error
    if missing := [key for key in _KEYS if key not in content or not content[key].size]:
        raise DataError(where, f"the entries {', '.join(_KEYS)}", f"no {missing[0]}", FIX_LABEL)
    try:
        frames, train = (int(content[key].ravel()[0]) for key in ("nframes", "train"))
        height, width = (int(value) for value in content["dimensions"].ravel()[:2])
        action = str(content["action"].ravel()[0])
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(where, "numbers in nframes, train and dimensions", "something else", FIX_LABEL) from error
    for key in ("x", "y", "visibility"):
        shape = content[key].shape
        if len(shape) != 2 or shape[1] != JOINTS or content[key].dtype.kind not in "fiub":
            joints = f"{shape[1]} joints" if len(shape) == 2 else f"shape {shape}"
            raise DataError(where, f"{JOINTS} joints in {key}", joints, FIX_LABEL)
        if shape[0] != frames:
            raise DataError(where, f"{frames} frames (nframes) in {key}", str(shape[0]), FIX_LABEL)
    if train not in (1, -1):
        raise DataError(where, "train = 1 or -1", str(train), FIX_LABEL)
    marked = np.empty((frames, JOINTS, 2), np.float32)
    marked[..., 0], marked[..., 1] = content["x"], content["y"]
    corners, count = _corners(content.get("bbox"), frames)
    split = "train" if train == 1 else "test"
    visible = content["visibility"].astype(np.float32)
    return Clip(action, split, width, height, marked, visible, corners, count, sha256_bytes(data))


def _corners(corners: npt.NDArray[Any] | None, frames: int) -> tuple[npt.NDArray[np.float64], int]:
    """(T, 4) as Clip has them, and how many rows the file has."""
    if corners is None or corners.ndim != 2 or corners.shape[1] != 4 or corners.dtype.kind not in "fiu":
        return np.full((frames, 4), np.nan), 0
    if len(corners) == frames:
        return corners.astype(np.float64), frames
    out = np.full((frames, 4), np.nan)
    count = min(frames, len(corners))
    out[:count] = corners[:count]
    return out, count


def joints_of(clips: Sequence[Clip]) -> Joints:
    """The joints and boxes of some clips, one after the other (many at once cost hardly more than one).

    Visibility 0 means three things in the set: never placed (parked at the corner, see PARKED_PX), placed outside the
    image, and placed though hidden.
    """
    xy = np.concatenate([clip.marked_px for clip in clips]) - 1.0
    visibility = np.concatenate([clip.visible for clip in clips])
    size = np.repeat([(clip.width, clip.height) for clip in clips], [clip.frames for clip in clips], axis=0)
    x, y = xy[..., 0], xy[..., 1]
    hidden = visibility == 0
    absent = (hidden & (x <= PARKED_PX - 1) & (y <= PARKED_PX - 1)) | ~(np.isfinite(x) & np.isfinite(y))
    outside = (x < 0) | (y < 0) | (x >= size[:, :1]) | (y >= size[:, 1:])
    state = np.full(hidden.shape, JointState.LABELLED, np.int8)
    state[hidden] = JointState.OCCLUDED
    state[hidden & outside] = JointState.OUTSIDE
    state[absent] = JointState.ABSENT
    xy[absent], visibility[absent] = np.nan, np.nan
    corners = np.concatenate([clip.corners_px for clip in clips]) - 1.0
    box = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    box[~(box[:, 2:] > 0).all(axis=1)] = np.nan  # not real; False for NaN, too
    return Joints(xy, visibility, state, box.astype(np.float32))
