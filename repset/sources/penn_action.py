"""Reads Penn Action (Zhang, Zhu, Derpanis 2013): `labels/0001.mat`, and `frames/0001/000001.jpg` where they came along.

Without frames a clip is indexed as `poses`.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from repset.errors import DataError
from repset.exercises import canonical
from repset.landmarks import PENN_13, JointState
from repset.params import SourceSpec
from repset.records import box_table, pose_table
from repset.sources.penn_labels import FIX_LABEL, Clip, joints_of, parse_label
from repset.sources.tree import TarTree, Tree
from repset.sources.writer import IndexWriter, check_image, digest, stated_size

EXPECTED = "a Penn Action folder (labels/0001.mat …)"
_LABEL = re.compile(r"(?:^|/)labels/(\d+)\.mat$")
_FRAME = re.compile(r"(?:^|/)frames/(\d+)/(\d+)\.jpe?g$", re.IGNORECASE)


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


def read(tree: Tree, spec: SourceSpec, out: IndexWriter, progress: Callable[[Iterable[str]], Iterator[str]]) -> None:
    """Put every clip into `out`; `spec.actions` says which, `spec.fps` how fast (the set does not say).

    A tar.gz is unpacked once, whichever of labels and frames lie first in it, with one clip's frames in memory.
    Raises: DataError naming the file: a wrong joint count, a frame count that differs from the label's, an image that
        is cut off or of another size, frames without a label.
    """
    clips, rows = _Clips(tree, spec, out), _Rows(spec.fps or 30.0, out)
    for native in progress(clips.gather()):
        if clips.labels_alone:  # nothing more will be learned of it: its rows go out at once
            rows.add(native, clips.taken[native], None)
    for native in () if clips.labels_alone else sorted(clips.taken):
        clip, footage = clips.taken[native], clips.footage.get(native)
        with out.item(native):
            if clips.footage and footage is None:
                where = tree.at(f"frames/{native}")
                raise DataError(where, f"{clip.frames} frames", "none", FIX_LABEL)
            rows.add(native, clip, footage)
    rows.finish()
    out.notes["joint_states"] = {state.name.lower(): int(rows.states[state.value]) for state in JointState}
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
        labels_alone: the tree has no frames (known of a folder or zip, whose names can be had beforehand).
    """

    def __init__(self, tree: Tree, spec: SourceSpec, out: IndexWriter) -> None:
        self.taken: dict[str, Clip] = {}
        self.footage: dict[str, Footage] = {}
        self._tree, self._spec, self._out = tree, spec, out
        self._labels: set[str] = set()  # clips whose label was met, taken or not
        self._failed: set[str] = set()  # clips left out for a fault, which is reported
        self.labels_alone = not isinstance(tree, TarTree) and not any(map(_FRAME.search, tree.names()))

    def gather(self) -> Iterator[str]:
        """Read everything, naming each clip that came in; afterwards labels and frames agree. Raises: DataError."""
        with ThreadPoolExecutor(1) as worker:  # stores one clip while the next is unpacked
            if isinstance(self._tree, TarTree):
                yield from self._consume(self._tree.walk(lambda name: essential(name) or self._needed(name)), worker)
            else:
                yield from self._consume(self._tree.walk(essential), worker)
                yield from self._consume(self._tree.walk(self._needed), worker)
        if not self._labels:
            raise DataError(self._tree.where, EXPECTED, "no label file", "Pull the whole set")
        for native in sorted(set(self.footage) - self._labels):
            with self._guard(native):
                where = self._tree.at(f"labels/{native}.mat")
                raise DataError(where, "a label file for the frames", "no such file", FIX_LABEL)
        self._out.drop_images(set(self.footage) - set(self.taken) | self._failed)
        for native in self._failed:
            self.taken.pop(native, None)

    def _needed(self, name: str) -> bool:
        """Whether a frame is of a clip that is taken, as far as is known yet."""
        match = _FRAME.search(name)
        return match is not None and (match[1] in self.taken or match[1] not in self._labels)

    def _consume(self, members: Iterator[tuple[str, bytes]], worker: ThreadPoolExecutor) -> Iterator[str]:
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
                if label[1] in self.taken:
                    yield label[1]
                continue
            frame = _FRAME.search(name)
            assert frame is not None, name
            if frame[1] != native:
                store()
                native, frames, size = frame[1], [], 0
                yield native
            frames.append((int(frame[2]), name, data))
            size += len(data)
            if size > _LARGEST_CLIP:
                where = self._tree.at(f"frames/{native}")
                raise DataError(where, f"a clip of at most {_LARGEST_CLIP:,} bytes", "more", FIX_LABEL)
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
        raise DataError(where, f"{clip.frames} frames, as labels/{native}.mat says", str(count), FIX_LABEL)
    if footage.numbers != tuple(range(1, clip.frames + 1)):
        raise DataError(where, f"frames numbered 1 to {clip.frames}", "a gap or a double", FIX_LABEL)
    for name, size in zip(footage.names, footage.sizes, strict=True):
        if size != (clip.width, clip.height):
            wanted_size = f"{clip.width} × {clip.height} px, as labels/{native}.mat says"
            raise DataError(tree.at(name), wanted_size, f"{size[0]} × {size[1]}", FIX_LABEL)


class _Rows:
    """The clips' rows; those of their poses are made and written for many clips at a time.

    Attributes:
        states: how many joints are in each repset.landmarks.JointState.
    """

    def __init__(self, fps: float, out: IndexWriter) -> None:
        self.states = np.zeros(len(JointState), np.int64)
        self._fps, self._out = fps, out
        self._exercises = dict[str, str | None]()
        self._batch: list[tuple[str, Clip]] = []

    def add(self, native: str, clip: Clip, footage: Footage | None) -> None:
        """Rows of one clip. Raises: DataError for an action that is no exercise of the ontology's list."""
        if clip.action not in self._exercises:
            self._exercises[clip.action] = canonical(clip.action, "penn_action")
        _add_sample(native, clip, footage, self._exercises[clip.action], self._fps, self._out)
        self._batch.append((native, clip))
        if len(self._batch) == _BATCH:
            self.finish()

    def finish(self) -> None:
        """Write what is waiting."""
        if not self._batch:
            return
        batch, self._batch = self._batch, []
        joints = joints_of([clip for _, clip in batch])
        frame = np.concatenate([np.arange(clip.frames) for _, clip in batch])
        ids = [sample_id for native, clip in batch for sample_id in [self._out.sample_id(native)] * clip.frames]
        self.states += np.bincount(joints.state.ravel(), minlength=len(JointState))
        self._out.poses.add(
            pose_table(ids, PENN_13.name, frame, frame / self._fps, joints.xy_px, joints.visibility, joints.state,
                       origin="dataset")
        )  # fmt: skip
        boxed = np.flatnonzero(np.isfinite(joints.box_px).all(axis=1))
        self._out.boxes.add(
            box_table([ids[row] for row in boxed], frame[boxed], joints.box_px[boxed], origin="dataset")
        )


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
