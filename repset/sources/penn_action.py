"""Reads Penn Action (Zhang, Zhu, Derpanis 2013): `labels/0001.mat`, and `frames/0001/000001.jpg` where they came along.

A label file holds x, y, visibility (T, 13), bbox (T, 4), action, pose, train (1 or -1), nframes and dimensions
(rows, columns, frames). Positions count from 1 in the set and from 0 here. Boxes are corners (x, y, x, y) there and
corner, width and height here. Without frames a clip is indexed as `poses`.
"""

import io
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.io

from repset.errors import DataError
from repset.exercises import canonical
from repset.landmarks import PENN_13, JointState
from repset.params import SourceSpec
from repset.records import box_table, pose_table, sha256_bytes
from repset.sources.tree import TarTree, Tree
from repset.sources.untrusted import plain_mat
from repset.sources.writer import IndexWriter, check_image, digest, stated_size

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
        box_px: (T, 4) left, top, width, height, NaN where the file has none; boxes: how many rows the file has.
    """

    action: str
    official_split: str
    width: int
    height: int
    xy_px: npt.NDArray[np.float32]
    visibility: npt.NDArray[np.float32]
    state: npt.NDArray[np.int8]
    box_px: npt.NDArray[np.float32]
    boxes: int
    sha256: str

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.xy_px)


_Frame = tuple[int, str, bytes]
"""Number, name and content."""
_LARGEST_CLIP = 512 << 20
"""Bytes: a clip is held in memory as a whole, and the set's longest has 663 frames."""
_BATCH = 128  # clips whose poses become one table
_STORING = 2  # clips that wait for the worker


def wanted(name: str) -> bool:
    """Files the reader uses."""
    return essential(name) or _FRAME.search(name) is not None


def essential(name: str) -> bool:
    """A file without which there is nothing to read."""
    return _LABEL.search(name) is not None


def read(tree: Tree, spec: SourceSpec, out: IndexWriter, progress: Callable[[list[str]], Iterator[str]]) -> None:
    """Put every clip into `out`; `spec.actions` says which, `spec.fps` how fast (the set does not say).

    A tar.gz is unpacked once, whichever of labels and frames lie first in it, with one clip's frames in memory.
    Raises: DataError naming the file: a wrong joint count, a frame count that differs from the label's, an image that
        is cut off or of another size, frames without a label.
    """
    clips = _Clips(tree, spec, out)
    clips.gather()
    fps = spec.fps or 30.0
    exercises = {action: canonical(action, "penn_action") for action in {clip.action for clip in clips.taken.values()}}
    batch: list[tuple[str, Clip]] = []
    for native in progress(sorted(clips.taken)):
        clip, footage = clips.taken[native], clips.footage.get(native)
        with out.item(native):
            if clips.footage and footage is None:
                where = tree.at(f"frames/{native}")
                raise DataError(where, f"{clip.frames} frames", "none", _FIX_LABEL)
            _add_sample(native, clip, footage, exercises[clip.action], fps, out)
            batch.append((native, clip))
        if len(batch) == _BATCH:
            _add_poses(batch, fps, out)
            batch = []
    if batch:
        _add_poses(batch, fps, out)
    taken = [clips.taken[native] for native in sorted(clips.taken)]
    out.notes["joint_states"] = _count_states(taken)
    out.notes["boxes_short"] = [native for native, clip in sorted(clips.taken.items()) if clip.boxes < clip.frames]


@dataclass(frozen=True)
class Footage:
    """The stored frames of a clip: their numbers, the size that each one's header states, and the hash of all."""

    numbers: tuple[int, ...]
    names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    sha256: str


class _Clips:
    """Labels and frames on their way in, in whatever order they come.

    Attributes:
        taken: clips to index; footage: frames stored, by clip.
    """

    def __init__(self, tree: Tree, spec: SourceSpec, out: IndexWriter) -> None:
        self.taken: dict[str, Clip] = {}
        self.footage: dict[str, Footage] = {}
        self._tree, self._spec, self._out = tree, spec, out
        self._labels: set[str] = set()  # clips whose label was met, taken or not
        self._failed: set[str] = set()  # clips left out for a fault, which is reported

    def gather(self) -> None:
        """Read everything; afterwards labels and frames agree. Raises: DataError."""
        with ThreadPoolExecutor(1) as worker:  # stores one clip while the next is unpacked
            if isinstance(self._tree, TarTree):
                self._consume(self._tree.walk(lambda name: essential(name) or self._needed(name)), worker)
            else:
                self._consume(self._tree.walk(essential), worker)
                self._consume(self._tree.walk(self._needed), worker)
        if not self._labels:
            raise DataError(self._tree.where, EXPECTED, "no label file", "Pull the whole set")
        for native in sorted(set(self.footage) - self._labels):
            with self._guard(native):
                where = self._tree.at(f"labels/{native}.mat")
                raise DataError(where, "a label file for the frames", "no such file", _FIX_LABEL)
        self._out.drop_images(set(self.footage) - set(self.taken) | self._failed)
        for native in self._failed:
            self.taken.pop(native, None)

    def _needed(self, name: str) -> bool:
        """Whether a frame is of a clip that is taken, as far as is known yet."""
        match = _FRAME.search(name)
        return match is not None and (match[1] in self.taken or match[1] not in self._labels)

    def _consume(self, members: Iterator[tuple[str, bytes]], worker: ThreadPoolExecutor) -> None:
        native, frames, size = "", list[_Frame](), 0  # the clip whose frames come in
        storing: deque[tuple[str, Future[Footage]]] = deque()

        def store() -> None:
            if frames:
                storing.append((native, worker.submit(self._store, native, frames)))
            while len(storing) > (_STORING if frames else 0):
                self._take_footage(*storing.popleft())

        for name, data in members:
            if label := _LABEL.search(name):
                self._add_label(label[1], name, data)
                continue
            frame = _FRAME.search(name)
            assert frame is not None, name
            if frame[1] != native:
                store()
                native, frames, size = frame[1], [], 0
            frames.append((int(frame[2]), name, data))
            size += len(data)
            if size > _LARGEST_CLIP:
                where = self._tree.at(f"frames/{native}")
                raise DataError(where, f"a clip of at most {_LARGEST_CLIP:,} bytes", "more", _FIX_LABEL)
        store()
        frames = []
        store()

    @contextmanager
    def _guard(self, native: str) -> Iterator[None]:
        """As IndexWriter.item, and a clip with a fault is remembered."""
        with self._out.item(native):
            try:
                yield
            except DataError:
                self._failed.add(native)
                raise

    def _add_label(self, native: str, name: str, data: bytes) -> None:
        if native in self._labels:
            where, found = self._tree.at(name), f"a second one for {native}"
            raise DataError(where, "one label file for each clip", found, "Remove one")
        self._labels.add(native)
        with self._guard(native):
            clip = parse_label(data, self._tree.at(name))
            if self._spec.actions is not None and clip.action not in self._spec.actions:
                self._out.left_out[f"action {clip.action} not in pipelines/{self._out.source}.yaml"] += 1
                return
            self.taken[native] = clip
            if native in self.footage:
                _check_footage(self._tree, native, clip, self.footage[native])

    def _store(self, native: str, frames: list[_Frame]) -> Footage:
        """The worker's part: look at the frames of a clip and store them."""
        frames.sort()
        sizes = tuple(stated_size(data, self._tree.at(name)) for _, name, data in frames)
        check_image(frames[0][2], self._tree.at(frames[0][1]), reduced=True)
        sample_id, add = self._out.sample_id(native), self._out.shards.add
        hashes = [add(sample_id, n - 1, "", "/".join(name.split("/")[-2:]), data) for n, name, data in frames]
        return Footage(tuple(n for n, *_ in frames), tuple(name for _, name, _ in frames), sizes, digest(hashes))

    def _take_footage(self, native: str, stored: "Future[Footage]") -> None:
        with self._guard(native):
            footage = stored.result()
            if native in self.footage:
                where = self._tree.at(footage.names[0])
                raise DataError(where, "the frames of a clip in one stretch", "others in between", "Pack it again")
            self.footage[native] = footage
            if native in self.taken:
                _check_footage(self._tree, native, self.taken[native], footage)


def _check_footage(tree: Tree, native: str, clip: Clip, footage: Footage) -> None:
    """Frames and label agree. Raises: DataError."""
    where, count = tree.at(f"frames/{native}"), len(footage.numbers)
    if count != clip.frames:
        raise DataError(where, f"{clip.frames} frames, as labels/{native}.mat says", str(count), _FIX_LABEL)
    if footage.numbers != tuple(range(1, clip.frames + 1)):
        raise DataError(where, f"frames numbered 1 to {clip.frames}", "a gap or a double", _FIX_LABEL)
    for name, size in zip(footage.names, footage.sizes, strict=True):
        if size != (clip.width, clip.height):
            wanted_size = f"{clip.width} × {clip.height} px, as labels/{native}.mat says"
            raise DataError(tree.at(name), wanted_size, f"{size[0]} × {size[1]}", _FIX_LABEL)


def parse_label(data: bytes, where: str) -> Clip:
    """One `.mat` file, checked. Raises: DataError."""
    try:
        content = scipy.io.loadmat(io.BytesIO(plain_mat(data)))
    except (ValueError, TypeError, KeyError, IndexError, OSError, NotImplementedError, EOFError, OverflowError,
            scipy.io.matlab.MatReadError) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:120].rstrip(".")
        raise DataError(where, "a MATLAB label file", f"one that cannot be read ({reason})", _FIX_LABEL) from error
    if missing := [key for key in _KEYS if key not in content or not np.size(content[key])]:
        raise DataError(where, f"the entries {', '.join(_KEYS)}", f"no {missing[0]}", _FIX_LABEL)
    try:
        frames, train = (int(content[key].ravel()[0]) for key in ("nframes", "train"))
        height, width = (int(value) for value in content["dimensions"].ravel()[:2])
        action = str(content["action"].ravel()[0])
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(where, "numbers in nframes, train and dimensions", "something else", _FIX_LABEL) from error
    for key in ("x", "y", "visibility"):
        shape = content[key].shape
        if len(shape) != 2 or shape[1] != JOINTS or content[key].dtype.kind not in "fiub":
            joints = f"{shape[1]} joints" if len(shape) == 2 else f"shape {shape}"
            raise DataError(where, f"{JOINTS} joints in {key}", joints, _FIX_LABEL)
        if shape[0] != frames:
            raise DataError(where, f"{frames} frames (nframes) in {key}", str(shape[0]), _FIX_LABEL)
    if train not in (1, -1):
        raise DataError(where, "train = 1 or -1", str(train), _FIX_LABEL)
    raw = np.stack([content["x"], content["y"]], axis=-1).astype(np.float32)
    xy, visibility, state = _joint_states(raw, content["visibility"], width, height)
    boxes, count = _boxes(content.get("bbox"), frames)
    split = "train" if train == 1 else "test"
    return Clip(action, split, width, height, xy, visibility, state, boxes, count, sha256_bytes(data))


def _boxes(corners: npt.NDArray[Any] | None, frames: int) -> tuple[npt.NDArray[np.float32], int]:
    """(T, 4) left, top, width, height from the set's two corners, and how many rows the file has."""
    out = np.full((frames, 4), np.nan, np.float32)
    if corners is None or corners.ndim != 2 or corners.shape[1] != 4 or corners.dtype.kind not in "fiu":
        return out, 0
    count = min(frames, len(corners))
    corner, far = corners[:count, :2] - 1.0, corners[:count, 2:] - 1.0
    real = (far > corner).all(axis=1)  # False for NaN
    out[:count][real] = np.concatenate([corner, far - corner], axis=1)[real]
    return out, count


def _joint_states(
    raw: npt.NDArray[np.float32], visible: npt.NDArray[np.uint8], width: int, height: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int8]]:
    """Positions from 0 and what is known of each joint.

    Visibility 0 means three things in the set: never placed (parked at the corner, see PARKED_PX), placed outside the
    image, and placed though hidden.
    """
    xy = raw - 1.0
    x, y = xy[..., 0], xy[..., 1]
    visibility = visible.astype(np.float32)
    hidden = visible == 0
    absent = (hidden & (x <= PARKED_PX - 1) & (y <= PARKED_PX - 1)) | ~(np.isfinite(x) & np.isfinite(y))
    outside = (x < 0) | (y < 0) | (x >= width) | (y >= height)
    state = np.full(visible.shape, JointState.LABELLED, np.int8)
    state[hidden] = JointState.OCCLUDED
    state[hidden & outside] = JointState.OUTSIDE
    state[absent] = JointState.ABSENT
    xy[absent], visibility[absent] = np.nan, np.nan
    return xy, visibility, state


def _add_sample(
    native: str, clip: Clip, footage: Footage | None, exercise: str | None, fps: float, out: IndexWriter
) -> None:
    out.add_sample(
        native,
        kind="clip" if footage else "poses",
        width=clip.width,
        height=clip.height,
        fps=fps,
        frames=clip.frames,
        group=native,  # the set names no subjects; a clip is a video
        official_split=clip.official_split,
        exercise=exercise,
        exercise_native=clip.action,
        media_sha256=footage.sha256 if footage else clip.sha256,
    )


def _add_poses(batch: Sequence[tuple[str, Clip]], fps: float, out: IndexWriter) -> None:
    """Poses and boxes of many clips: a table costs the same for a hundred as for one."""
    frame = np.concatenate([np.arange(clip.frames) for _, clip in batch])
    ids = [sample_id for native, clip in batch for sample_id in [out.sample_id(native)] * clip.frames]
    xy, visibility, state, box = (
        np.concatenate([getattr(clip, name) for _, clip in batch])
        for name in ("xy_px", "visibility", "state", "box_px")
    )
    out.poses.add(pose_table(ids, PENN_13.name, frame, frame / fps, xy, visibility, state, origin="dataset"))
    boxed = np.flatnonzero(np.isfinite(box).all(axis=1))
    out.boxes.add(box_table([ids[row] for row in boxed], frame[boxed], box[boxed], origin="dataset"))


def _count_states(clips: Sequence[Clip]) -> dict[str, int]:
    counts = np.zeros(len(JointState), np.int64)
    for clip in clips:
        counts += np.bincount(clip.state.ravel(), minlength=len(JointState))
    return {state.name.lower(): int(counts[state.value]) for state in JointState}
