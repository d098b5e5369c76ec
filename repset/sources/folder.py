"""Reads any folder of images, videos or image sequences, with labels where there are some.

Labels: `labels.csv` (or the file that `labels` in the source's file names), and one of FORMATS (`format` there). With
`sequences: true` the images of each folder are the frames of one clip, in the order of the numbers in their names.
Nothing is taken for a label that was not given: a folder's name is no exercise.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from repset.errors import DataError
from repset.params import SourceSpec
from repset.records import pose_table, sha256_bytes
from repset.shapes import Mask
from repset.sources.imports import Labelled, LabelReader, Names, PoseObject, native_ids
from repset.sources.imports_coco import read_coco
from repset.sources.imports_csv import Facts, MediaRows, events_of, facts_of, read_label_csv
from repset.sources.imports_cvat import read_cvat
from repset.sources.imports_yolo import read_yolo
from repset.sources.tree import Tree
from repset.sources.writer import IndexWriter, check_image, digest
from repset.video import encode_png, probe_video

EXPECTED = "a folder with images or videos"
FORMATS: dict[str, LabelReader] = {
    "coco": read_coco,
    "coco-keypoints": read_coco,
    "yolo-seg": read_yolo,
    "yolo-pose": read_yolo,
    "cvat": read_cvat,
}
"""`format` → reader of its label files."""

LABELS = "labels.csv"
IMAGES = (".jpg", ".jpeg", ".png")
OTHER_IMAGES = (".bmp", ".gif", ".heic", ".tif", ".tiff", ".webp")
"""Seen, and refused with a sentence rather than passed over."""

VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm")
TEXTS = (".csv", ".json", ".txt", ".xml", ".yaml", ".yml")
_FIX = "Mend the folder and pull it again"


def wanted(name: str) -> bool:
    """Files the reader uses."""
    return essential(name) or _suffix(name) in TEXTS


def essential(name: str) -> bool:
    """A file without which there is nothing to read."""
    return _suffix(name) in IMAGES + OTHER_IMAGES + VIDEOS


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


@dataclass
class _Clip:
    """One image sequence, or one image, while its files go by."""

    where: str
    key: str  # what the label CSV calls it
    frames: dict[str, int]  # image name → frame
    sequence: bool
    size: tuple[int, int] | None = None
    hashes: dict[int, str] = field(default_factory=dict)
    poses: dict[int, list[tuple[int, PoseObject]]] = field(default_factory=dict)  # person → frames
    masks: dict[tuple[str, int], Mask] = field(default_factory=dict)
    failed: bool = False


def read(tree: Tree, spec: SourceSpec, out: IndexWriter, progress: Callable[[Iterable[str]], Iterator[str]]) -> None:
    """Put every clip and image into `out`, one file in memory at a time.

    Objects of one label in one image are joined to one mask, unless the label file numbers the persons.
    Raises: DataError naming the file: an image that does not decode, a video without frames, two files of one name, a
        label file that does not fit, labels for media that are not there.
    """
    _Reading(tree, spec, out).run(progress)


class _Reading:
    """One pass over a folder: what is in it, what is said about it, and what came of it so far."""

    def __init__(self, tree: Tree, spec: SourceSpec, out: IndexWriter) -> None:
        self.tree, self.spec, self.out = tree, spec, out
        names = tree.names()
        self.videos = {name for name in names if _suffix(name) in VIDEOS}
        self.labelled = self._labels(names)
        listed = [name for name in names if _suffix(name) in IMAGES]
        if self.labelled is not None:
            self.out.left_out["image that the label files do not list"] += len(
                [name for name in listed if name not in self.labelled.images]
            )
            listed = [name for name in listed if name in self.labelled.images]
        self.rows = self._label_rows(names)
        self.clips = self._clips(listed)
        self.clip_of = {name: native for native, clip in self.clips.items() for name in clip.frames}
        self.joined = 0
        for name in names:
            if _suffix(name) in OTHER_IMAGES:
                with out.item(name):
                    found = f"a file {_suffix(name)}"
                    raise DataError(tree.at(name), "a JPEG or PNG image", found, "Convert it and pull the folder again")

    def run(self, progress: Callable[[Iterable[str]], Iterator[str]]) -> None:
        """Read every file; a clip is added once its last frame is there."""
        self._report_strays()
        media = sorted(self.videos | set(self.clip_of))
        for (name, data), _ in zip(self.tree.walk(set(media).__contains__), progress(media), strict=True):
            if name in self.videos:
                with self.out.item(name):
                    self._add_video(name, data)
                continue
            native = self.clip_of[name]
            clip = self.clips[native]
            if not clip.failed:
                with self.out.item(native):
                    clip.failed = True  # until it went well
                    self._add_frame(native, clip, name, data)
                    if len(clip.hashes) == len(clip.frames):
                        self._add_clip(native, clip)
                    clip.failed = False
        lost = {self.out.sample_id(native) for native, clip in self.clips.items() if clip.failed}
        self.out.shards.rows[:] = [row for row in self.out.shards.rows if row["sample_id"] not in lost]
        self.out.left_out = +self.out.left_out
        keys = {*self.videos, *(clip.key for clip in self.clips.values())}
        self.out.notes |= {
            "media_without_a_row_of_labels": len(keys - set(self.rows)) if self.rows else None,
            "objects_joined_to_one_mask": self.joined,
            **(self.labelled.notes if self.labelled else {}),
        }
        if self.labelled:
            self.out.left_out.update(self.labelled.left_out)

    # --- what is there, and what is said about it --------------------------------------------------------------

    def _labels(self, names: list[str]) -> Labelled | None:
        if self.spec.format is None:
            return None
        if self.spec.format not in FORMATS:
            file = f"pipelines/{self.out.source}.yaml"
            raise DataError(file, f"format among {', '.join(FORMATS)}", repr(self.spec.format), "Mend this key")
        texts = dict(self.tree.walk(lambda name: _suffix(name) in TEXTS))
        images = Names([name for name in names if _suffix(name) in IMAGES])
        return FORMATS[self.spec.format](texts, images, self.tree.at, self.spec, self.out.source)

    def _label_rows(self, names: list[str]) -> dict[str, MediaRows]:
        name = self.spec.labels or LABELS
        if name in names:
            return read_label_csv(self.tree.read(name), self.tree.at(name))
        if self.spec.labels:
            todo = f"Mend labels in pipelines/{self.out.source}.yaml"
            raise DataError(self.tree.at(name), "the label file", "no such file", todo)
        return {}

    def _clips(self, images: list[str]) -> dict[str, _Clip]:
        """Native id → image or sequence."""
        paths: dict[str, list[str]] = {}
        for name in images:
            path = PurePosixPath(name)
            paths.setdefault(str(path.parent if self.spec.sequences else path.with_suffix("")), []).append(name)
        if self.spec.sequences and "." in paths:
            raise DataError(
                self.tree.where, "a folder for each sequence", f"images beside the folders ({paths['.'][0]})", _FIX
            )
        natives = native_ids(sorted(paths), self.labelled is not None)
        for video in self.videos:
            stem = str(PurePosixPath(video).with_suffix(""))
            paths.setdefault(stem, []).append(video)
            natives.setdefault(stem, stem)
        clips: dict[str, _Clip] = {}
        for place, members in sorted(paths.items()):
            if not self.spec.sequences or set(members) & self.videos:
                if len(members) > 1:
                    found = " and ".join(sorted(members)[:3])
                    raise DataError(self.tree.where, "files that differ by more than their suffix", found, "Rename one")
                if members[0] in self.videos:
                    continue
            frames = self._numbered(members) if self.spec.sequences else {members[0]: 0}
            key = place if self.spec.sequences else members[0]
            clips[natives[place]] = _Clip(self.tree.at(key), key, frames, bool(self.spec.sequences))
        return clips

    def _numbered(self, members: list[str]) -> dict[str, int]:
        """Frames in the order of the numbers in their names."""
        ordered = sorted(members, key=_number_key)
        numbers = [int(found[-1]) for name in ordered if (found := re.findall(r"\d{1,12}", PurePosixPath(name).stem))]
        if len(numbers) == len(ordered) and numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            missing = next(a + 1 for a, b in pairwise(numbers) if b != a + 1)
            where = self.tree.at(str(PurePosixPath(ordered[0]).parent))
            raise DataError(where, "frames numbered without a gap", f"none (or two) at {missing}", _FIX)
        return {name: frame for frame, name in enumerate(ordered)}

    def _report_strays(self) -> None:
        """Label rows and entries whose media is not there."""
        for name, fault in self.labelled.missing if self.labelled else ():
            with self.out.item(name):
                raise fault
        keys = {*self.videos, *(clip.key for clip in self.clips.values())}
        for key in sorted(set(self.rows) - keys):
            with self.out.item(key):
                raise DataError(self.rows[key].rows[0][0], "media of this folder", repr(key[:120]), "Mend the row")

    # --- what becomes of it ------------------------------------------------------------------------------------

    def _add_frame(self, native: str, clip: _Clip, name: str, data: bytes) -> None:
        where, frame = self.tree.at(name), clip.frames[name]
        size = check_image(data, where)
        if clip.size not in (None, size):
            assert clip.size is not None
            expected = f"{clip.size[0]} × {clip.size[1]} px, as the frames before"
            raise DataError(where, expected, f"{size[0]} × {size[1]}", _FIX)
        clip.size = size
        persons = 0
        objects = self.labelled.images[name](size) if self.labelled else ()
        for one in objects:
            if isinstance(one, PoseObject):
                person = persons if one.person is None else one.person
                track = clip.poses.setdefault(person, [])
                if track and track[-1][0] == frame:
                    raise DataError(where, "one pose of each person in an image", f"two of person {person}", _FIX)
                track.append((frame, one))
                persons += 1
            elif clip.sequence:
                self.out.left_out["mask in a frame of a clip (the table holds masks of images)"] += 1
            else:
                key = (one.label, one.person or 0)
                self.joined += key in clip.masks
                clip.masks[key] = clip.masks[key] | one.mask if key in clip.masks else one.mask
        clip.hashes[frame] = sha256_bytes(data)
        self.out.shards.add(self.out.sample_id(native), frame, "", PurePosixPath(name).name, data)

    def _add_clip(self, native: str, clip: _Clip) -> None:
        assert clip.size is not None
        facts = facts_of(self.rows.get(clip.key, MediaRows()))
        fps = (facts.fps or self.spec.fps) if clip.sequence else None
        if clip.sequence and not fps:
            todo = f"State fps in pipelines/{self.out.source}.yaml or in the label file"
            raise DataError(clip.where, "a frame rate for the sequence", "none", todo)
        media = digest([clip.hashes[frame] for frame in sorted(clip.hashes)])
        splits = {self.labelled.splits.get(name) for name in clip.frames} if self.labelled else {None}
        split = splits.pop() if len(splits) == 1 else None
        shape = dict(width=clip.size[0], height=clip.size[1], fps=fps, frames=len(clip.frames))
        kind = "clip" if clip.sequence else "image"
        self._add_events(native, clip.key, facts, len(clip.frames), fps, kind)
        sample_id = self._add_sample(native, facts, split, kind=kind, media_sha256=media, **shape)
        for (label, person), mask in sorted(clip.masks.items()):
            png = encode_png(np.where(mask, 255, 0).astype(np.uint8))
            row = dict(sample_id=sample_id, variant="", person=person, label=label, png=png, origin="dataset")
            if mask.any():
                self.out.rows["masks"].append(row)
            else:
                self.out.left_out["mask without a pixel"] += 1
        for person, track in sorted(clip.poses.items()):
            self._add_poses(sample_id, person, track, fps)

    def _add_poses(self, sample_id: str, person: int, track: list[tuple[int, PoseObject]], fps: float | None) -> None:
        for skeleton in sorted({pose.skeleton for _, pose in track}):
            rows = sorted(((frame, pose) for frame, pose in track if pose.skeleton == skeleton), key=lambda row: row[0])
            frame = np.array([number for number, _ in rows])
            poses = [pose for _, pose in rows]
            self.out.poses.add(
                pose_table(
                    sample_id,
                    skeleton,
                    frame,
                    frame / (fps or 1.0),
                    np.stack([pose.xy_px for pose in poses]),
                    np.stack([pose.visibility for pose in poses]),
                    np.stack([pose.state for pose in poses]),
                    "dataset",
                    person=person,
                )
            )

    def _add_video(self, name: str, data: bytes) -> None:
        native = str(PurePosixPath(name).with_suffix(""))
        facts = facts_of(self.rows.get(name, MediaRows()))
        media, path = self.out.add_video(native, _suffix(name), data)
        try:
            info = probe_video(path)
            fps = info.fps or facts.fps or self.spec.fps
            self._add_events(native, name, facts, info.frames, fps, "clip")
        except DataError as error:
            path.unlink()
            where = self.tree.at(name) if error.where == str(path) else error.where
            raise DataError(where, error.expected, error.found, error.todo) from error
        shape = dict(width=info.width, height=info.height, fps=fps, frames=info.frames)
        self._add_sample(native, facts, None, kind="clip", media=media, media_sha256=sha256_bytes(data), **shape)

    def _add_sample(self, native: str, facts: Facts, split: str | None, **columns: Any) -> str:
        return self.out.add_sample(
            native,
            group=facts.group or native,
            official_split=facts.official_split or split,
            exercise=facts.exercise,
            exercise_native=facts.exercise_native,
            **columns,
        )

    def _add_events(self, native: str, key: str, facts: Facts, frames: int, fps: float | None, kind: str) -> None:
        events = events_of(self.rows.get(key, MediaRows()), facts, frames, fps)
        if kind == "image" and (events.sets or events.reps):
            where = self.rows[key].rows[0][0]
            raise DataError(where, "a clip for sets and repetitions", "a single image", "Remove start, end and reps")
        own = {"sample_id": self.out.sample_id(native), "origin": "dataset"}
        for name in ("sets", "reps", "form"):
            self.out.rows[name] += [row | own for row in getattr(events, name)]


def _number_key(name: str) -> list[Any]:
    """Sorts 2.jpg before 10.jpg: text and numbers by turns."""
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]{1,12})", name)]
