"""Reads Penn Action (Zhang, Zhu, Derpanis 2013): `labels/0001.mat`, and `frames/0001/000001.jpg` where they came along.

A label file holds x, y, visibility (T, 13), bbox (T, 4), action, pose, train (1 or -1), nframes and dimensions
(rows, columns, frames). Positions count from 1 in the set and from 0 here. Bounding boxes are not taken over: they
follow from the joints. Without frames a clip is indexed as `poses`.
"""

import io
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import scipy.io

from repset.errors import DataError
from repset.exercises import canonical
from repset.landmarks import PENN_13, JointState
from repset.params import SourceSpec
from repset.records import pose_table, sha256_bytes
from repset.sources.tree import Tree
from repset.sources.writer import IndexWriter, check_image, digest

EXPECTED = "a Penn Action folder (labels/0001.mat …)"
JOINTS = len(PENN_13.joints)
PARKED_PX = 3.0
"""A hidden joint this near to the corner, in both x and y, was never placed. Most are parked at (1, 1), but in clips
whose positions were scaled with the image the mark was scaled too: 11,780 of the 139,454 joints of the label files lie
at (1.5, 1.5) or (2, 2). Every other joint of the set, hidden or not, is more than
8 px away."""
_LABEL = re.compile(r"(?:^|/)labels/(\d+)\.mat$")
_FRAME = re.compile(r"(?:^|/)frames/(\d+)/(\d+)\.jpe?g$", re.IGNORECASE)
_FIX_LABEL = "Take this file from the original set, or leave it out with --on-error skip"
_KEYS = ("x", "y", "visibility", "action", "train", "nframes", "dimensions")


@dataclass(frozen=True)
class Clip:
    """One label file.

    Attributes:
        xy_px: (T, 13, 2) pixels from 0, NaN where absent; visibility: (T, 13) 0 or 1, NaN where absent.
        state: (T, 13) repset.landmarks.JointState.
    """

    action: str
    official_split: str
    width: int
    height: int
    xy_px: npt.NDArray[np.float32]
    visibility: npt.NDArray[np.float32]
    state: npt.NDArray[np.int8]
    sha256: str

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.xy_px)


@dataclass(frozen=True)
class Media:
    """What the frames of a clip add."""

    sha256: str


def wanted(name: str) -> bool:
    """Files the reader uses."""
    return essential(name) or _FRAME.search(name) is not None


def essential(name: str) -> bool:
    """A file without which there is nothing to read."""
    return _LABEL.search(name) is not None


def read(tree: Tree, spec: SourceSpec, out: IndexWriter, progress: Callable[[list[str]], Iterator[str]]) -> None:
    """Put every clip into `out`; `spec.actions` says which, `spec.fps` how fast (the set does not say).

    Two passes over the archive: labels, then the frames of the clips that are taken, one clip in memory at a time.
    Raises: DataError naming the file: a wrong joint count, a frame count that differs from the label's, an image that
        does not decode, frames without a label.
    """
    clips, known = _read_labels(tree, spec, out)
    fps = spec.fps or 30.0
    media = _read_frames(tree, clips, known, out)
    for native in progress(sorted(clips)):
        clip = clips[native]
        with out.item(native):
            if media and native not in media:
                if native not in media.failed:
                    where = tree.at(f"frames/{native}")
                    raise DataError(where, f"{clip.frames} frames", "none", _FIX_LABEL)
                continue
            _add_clip(native, clip, media.get(native), fps, out)
    out.notes["joint_states"] = _count_states(clips[native] for native in sorted(clips))


class _MediaTable(dict[str, Media]):
    """Clips whose frames are stored, and those whose frames were at fault (already reported)."""

    def __init__(self) -> None:
        super().__init__()
        self.failed: set[str] = set()


def _read_labels(tree: Tree, spec: SourceSpec, out: IndexWriter) -> tuple[dict[str, Clip], set[str]]:
    """Clips to take, and the ids of all label files."""
    clips: dict[str, Clip] = {}
    known: set[str] = set()
    for name, data in tree.walk(essential):
        native = _native(name, _LABEL)
        if native in known:
            raise DataError(tree.at(name), "one label file for each clip", f"a second one for {native}", "Remove one")
        known.add(native)
        with out.item(native):
            clip = parse_label(data, tree.at(name))
            if spec.actions is None or clip.action in spec.actions:
                clips[native] = clip
            else:
                out.left_out[f"action {clip.action} not in pipelines/{out.source}.yaml"] += 1
    if not known:
        raise DataError(tree.where, EXPECTED, "no label file", "Pull the whole set")
    return clips, known


def parse_label(data: bytes, where: str) -> Clip:
    """One `.mat` file, checked. Raises: DataError."""
    try:
        content = scipy.io.loadmat(io.BytesIO(data))
    except (ValueError, TypeError, KeyError, IndexError, OSError, NotImplementedError, EOFError, zlib.error,
            scipy.io.matlab.MatReadError) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:120].rstrip(".")
        raise DataError(where, "a MATLAB label file", f"one that cannot be read ({reason})", _FIX_LABEL) from error
    if missing := [key for key in _KEYS if key not in content or not np.size(content[key])]:
        raise DataError(where, f"the entries {', '.join(_KEYS)}", f"no {missing[0]}", _FIX_LABEL)
    frames = int(content["nframes"].ravel()[0])
    for key in ("x", "y", "visibility"):
        shape = content[key].shape
        if len(shape) != 2 or shape[1] != JOINTS:
            joints = f"{shape[1]} joints" if len(shape) == 2 else f"shape {shape}"
            raise DataError(where, f"{JOINTS} joints in {key}", joints, _FIX_LABEL)
        if shape[0] != frames:
            raise DataError(where, f"{frames} frames (nframes) in {key}", str(shape[0]), _FIX_LABEL)
    train = int(content["train"].ravel()[0])
    if train not in (1, -1):
        raise DataError(where, "train = 1 or -1", str(train), _FIX_LABEL)
    height, width = (int(value) for value in content["dimensions"].ravel()[:2])
    raw = np.stack([content["x"], content["y"]], axis=-1).astype(np.float32)
    xy, visibility, state = _joint_states(raw, content["visibility"], width, height)
    action = str(content["action"].ravel()[0])
    split = "train" if train == 1 else "test"
    return Clip(action, split, width, height, xy, visibility, state, sha256_bytes(data))


def _joint_states(
    raw: npt.NDArray[np.float32], visible: npt.NDArray[np.uint8], width: int, height: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int8]]:
    """Positions from 0 and what is known of each joint.

    Visibility 0 means three things in the set: never placed (parked at the corner, see PARKED_PX), placed outside the
    image, and placed though hidden.
    """
    xy = raw - 1.0
    visibility = visible.astype(np.float32)
    hidden = visible == 0
    absent = (hidden & (raw <= PARKED_PX).all(axis=-1)) | ~np.isfinite(raw).all(axis=-1)
    outside = (xy < 0).any(axis=-1) | (xy[..., 0] >= width) | (xy[..., 1] >= height)
    state = np.full(visible.shape, JointState.LABELLED, np.int8)
    state[hidden] = JointState.OCCLUDED
    state[hidden & outside] = JointState.OUTSIDE
    state[absent] = JointState.ABSENT
    xy[absent], visibility[absent] = np.nan, np.nan
    return xy, visibility, state


def _read_frames(tree: Tree, clips: dict[str, Clip], known: set[str], out: IndexWriter) -> _MediaTable:
    """Store the frames of the clips to take, a clip at a time."""
    media = _MediaTable()

    def needed(name: str) -> bool:
        match = _FRAME.search(name)
        return match is not None and (match[1] in clips or match[1] not in known)

    for native, members in groupby(tree.walk(needed), key=lambda member: _native(member[0], _FRAME)):
        frames = sorted((int(_match(_FRAME, name)[2]), name, data) for name, data in members)
        with out.item(native):
            media.failed.add(native)
            if native not in clips:
                where = tree.at(f"labels/{native}.mat")
                raise DataError(where, "a label file for the frames", "no such file", _FIX_LABEL)
            media[native] = _store_frames(tree, native, clips[native], frames, out)
            media.failed.discard(native)
    return media


def _store_frames(tree: Tree, native: str, clip: Clip, frames: list[tuple[int, str, bytes]], out: IndexWriter) -> Media:
    where = tree.at(f"frames/{native}")
    if len(frames) != clip.frames:
        raise DataError(where, f"{clip.frames} frames, as labels/{native}.mat says", str(len(frames)), _FIX_LABEL)
    if [number for number, _, _ in frames] != list(range(1, clip.frames + 1)):
        raise DataError(where, f"frames numbered 1 to {clip.frames}", "a gap or a double", _FIX_LABEL)
    first = check_image(frames[0][2], tree.at(frames[0][1]))
    if first != (clip.width, clip.height):
        wanted_size = f"{clip.width} × {clip.height} px, as labels/{native}.mat says"
        raise DataError(tree.at(frames[0][1]), wanted_size, f"{first[0]} × {first[1]}", _FIX_LABEL)
    eighth = (-(-first[0] // 8), -(-first[1] // 8))
    for _, name, data in frames:
        found = check_image(data, tree.at(name), reduced=True)
        if found != eighth:
            size = f"{first[0]} × {first[1]} px, as the first frame"
            raise DataError(tree.at(name), size, f"about {found[0] * 8} × {found[1] * 8}", _FIX_LABEL)
    for number, name, data in frames:
        out.shards.add(out.sample_id(native), number - 1, "", "/".join(name.split("/")[-2:]), data)
    return Media(digest([sha256_bytes(data) for _, _, data in frames]))


def _add_clip(native: str, clip: Clip, media: Media | None, fps: float, out: IndexWriter) -> None:
    sample_id = out.add_sample(
        native,
        kind="clip" if media else "poses",
        width=clip.width,
        height=clip.height,
        fps=fps,
        frames=clip.frames,
        group=native,  # the set names no subjects; a clip is a video
        official_split=clip.official_split,
        exercise=canonical(clip.action, "penn_action"),
        exercise_native=clip.action,
        media_sha256=media.sha256 if media else clip.sha256,
    )
    frame = np.arange(clip.frames)
    out.poses.add(
        pose_table(
            sample_id, PENN_13.name, frame, frame / fps, clip.xy_px, clip.visibility, clip.state, origin="dataset"
        )
    )


def _count_states(clips: Iterator[Clip]) -> dict[str, int]:
    counts: Counter[int] = Counter()
    for clip in clips:
        counts.update(clip.state.ravel().tolist())
    return {state.name.lower(): counts[state.value] for state in JointState}


def _match(pattern: re.Pattern[str], name: str) -> re.Match[str]:
    match = pattern.search(name)
    assert match is not None, name
    return match


def _native(name: str, pattern: re.Pattern[str]) -> str:
    return _match(pattern, name)[1]
