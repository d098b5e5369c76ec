"""What an autolabel job works on: anyone's files and folders, or the samples of a source's index."""

import glob
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from repset.autolabel import sequences
from repset.errors import DataError, RepsetError
from repset.exercises import NONE
from repset.records import read_rows
from repset.schema import Stretch
from repset.video import probe_video

VIDEO_SUFFIXES = frozenset(
    (".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv",
     ".ts", ".vob", ".webm", ".wmv")
)  # fmt: skip
IMAGE_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))

Kind = Literal["video", "image", "sequence", "clip", "photo", "poses"]


@dataclass(frozen=True)
class Task:
    """One clip or picture: the unit of work of one process.

    Attributes:
        number: place in the output.
        sample_id: as in every table.
        media: how summary.csv names it.
        kind: video, image: a file; sequence: image files; clip, photo: images in an index; poses: the index's own.
        path: the file, the folder of a sequence, or the index folder.
        fps: of a video as it says; as a person or the index says for the others; None for pictures.
        frames: of a clip; an estimate for a video file.
        stretches: the exercises where they are known; None where they are to be recognised.
        size: width and height of poses without images, pixels; 0 where the set does not say.
        files: of a sequence, in order.
    """

    number: int
    sample_id: str
    media: str
    kind: Kind
    path: Path
    fps: float | None
    frames: int
    stretches: tuple[Stretch, ...] | None
    size: tuple[int, int] = (0, 0)
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Problem:
    """A file that cannot be labelled, and the sentence that says why."""

    media: str
    reason: str


@dataclass(frozen=True)
class Found:
    """Everything under some paths.

    Attributes:
        tasks: by name; `number` is the place.
        problems: files that are no video from their first frame on.
        ignored: how many other files lay in the folders, by suffix.
        hints: what the person may have meant otherwise, a sentence each.
    """

    tasks: tuple[Task, ...]
    problems: tuple[Problem, ...]
    ignored: dict[str, int]
    hints: tuple[str, ...] = ()


def find_media(paths: Sequence[Path], sequence_fps: float | None = None) -> Found:
    """Videos and images among files, folders (searched to the bottom; hidden files are left out) and patterns.

    A folder's files are named `<folder>/<path inside it>`, a file by its own name. A file named on its own is taken
    whatever its suffix. A path that does not exist may be a pattern: `*`, `?`, `[…]` and `**` as a shell has them (of
    what matches, media alone are taken), or `%05d` for the numbers of an image sequence.

    Images are pictures, each for itself, however they are named: the names of a camera's photos look like those of a
    clip's frames, and no file says at which rate frames were taken. They are a clip where a person gives the rate.

    Args:
        sequence_fps: images in one folder whose names differ in their last number alone are the frames of a clip,
            so many a second; a number left out is a frame left out.
    Raises: DataError if a path does not exist, a folder or pattern holds neither videos nor images, or a `%d` pattern
        comes without a rate.
    """
    files: list[tuple[str, Path]] = []
    ignored: Counter[str] = Counter()
    for path in paths:
        if path.is_dir():
            files += _inside(path, ignored)
        elif path.is_file():
            files.append((path.name, path))
        elif sequences.NUMBER.search(path.name):
            files += [(one.name, one) for one in sequences.matching(path, sequence_fps)]
        elif glob.has_magic(str(path)):
            files += _matching(path, ignored)
        else:
            raise DataError(path, "a video, an image or a folder of them", "no such path", "Check the path")
    unique = _unique(files)
    runs = sequences.runs({name: path for name, path in unique.items() if path.suffix.lower() in IMAGE_SUFFIXES})
    tasks: list[Task] = []
    problems: list[Problem] = []
    if sequence_fps is not None:
        for run in runs:
            unique = {name: path for name, path in unique.items() if path not in set(run.files)}
        unique |= {run.name: run.files[0] for run in runs}
    by_name = {run.name: run for run in runs}
    for name, path in sorted(unique.items()):
        try:
            if name in by_name and sequence_fps is not None:
                tasks.append(_sequence_task(len(tasks), by_name[name], sequence_fps))
            else:
                tasks.append(_file_task(len(tasks), name, path))
        except RepsetError as error:
            problems.append(Problem(name, str(error)))
    hints = () if sequence_fps is not None else tuple(run.hint() for run in runs if run.like_frames())
    return Found(tuple(tasks), tuple(problems), dict(sorted(ignored.items())), hints)


def _inside(folder: Path, ignored: Counter[str]) -> list[tuple[str, Path]]:
    files, others = _listing(folder)
    if not files:
        listed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
        found = f"only other files ({listed})" if others else "no file"
        raise DataError(folder, "a folder with videos or images", found, "Check the path")
    ignored.update(others)
    return files


def _matching(pattern: Path, ignored: Counter[str]) -> list[tuple[str, Path]]:
    """Files that a pattern matches, and what lies in folders that it matches."""
    matches = [Path(name) for name in sorted(glob.glob(str(pattern), recursive=True))]  # noqa: PTH207
    media, others = _media([path for path in matches if path.is_file()])
    files = [(path.name, path) for path in media]
    for folder in (path for path in matches if path.is_dir() and "**" not in pattern.parts):
        found, more = _listing(folder)
        files += found
        others.update(more)
    if not files:
        raise DataError(pattern, "a pattern that matches videos or images", "no match", "Check the path")
    ignored.update(others)
    return files


def _listing(folder: Path) -> tuple[list[tuple[str, Path]], Counter[str]]:
    """Named media of a folder, to the bottom, and how many other files, by suffix."""
    inside = sorted(p for p in folder.rglob("*") if p.is_file() and not _hidden(p.relative_to(folder)))
    media, others = _media(inside)
    return [(f"{folder.resolve().name}/{p.relative_to(folder).as_posix()}", p) for p in media], others


def _media(files: Sequence[Path]) -> tuple[list[Path], Counter[str]]:
    """Those with a suffix of videos or images, and how many others, by suffix."""
    media = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES]
    return media, Counter(path.suffix.lower() or path.name for path in files if path not in set(media))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _unique(files: list[tuple[str, Path]]) -> dict[str, Path]:
    """One name a file: names that two files share give way to the paths as typed; a file named twice counts once."""
    by_name: dict[str, list[Path]] = defaultdict(list)
    seen: set[Path] = set()
    for name, path in files:
        if path.resolve() not in seen:
            seen.add(path.resolve())
            by_name[name].append(path)
    return {
        (name if len(found) == 1 else path.as_posix().lstrip("/")): path
        for name, found in by_name.items()
        for path in found
    }


def _file_task(number: int, name: str, path: Path) -> Task:
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return Task(number, name, name, "image", path, None, 1, ())
    info = probe_video(path)
    return Task(number, name, name, "video", path, info.fps or None, info.frames, None)


def _sequence_task(number: int, run: sequences.Run, fps: float) -> Task:
    if len(set(run.numbers)) < len(run.numbers):
        twice = next(a for a, b in pairwise(run.numbers) if a == b)
        raise DataError(run.name, "one image a number", f"two of number {twice}", "Rename or remove one")
    return Task(number, run.name, run.name, "sequence", run.files[0].parent, fps, len(run.files), None, files=run.files)


def source_tasks(index: Path) -> list[Task]:
    """One task for every sample of an index, by sample_id.

    A clip's exercises are the set's own: its `sets`, else the exercise of the whole clip; they are recognised only
    where the set says nothing at all. A sample of several augmented images stands for its first one, since the table
    of poses knows no variants.
    """
    sets: dict[str, list[Stretch]] = defaultdict(list)
    for row in read_rows(index / "sets.parquet", "sets"):
        sets[row["sample_id"]].append(
            Stretch(row["start"], row["end"], row["exercise"], row["exercise_p"], row["origin"])
        )
    tasks: list[Task] = []
    for row in sorted(read_rows(index / "samples.parquet", "samples"), key=lambda row: str(row["sample_id"])):
        kind: Kind = "photo" if row["kind"] == "image" else row["kind"]
        stretches = () if kind == "photo" else _known(row, sets[row["sample_id"]])
        name, size = str(row["sample_id"]), (row["width"] or 0, row["height"] or 0)
        if row["media"]:  # a file, named from the project's root; the index is datasets/<source>/index
            path = index.parents[2] / row["media"]
            tasks.append(Task(len(tasks), name, name, "video", path, None, row["frames"] or 0, stretches))
            continue
        tasks.append(Task(len(tasks), name, name, kind, index, row["fps"], row["frames"] or 1, stretches, size))
    return tasks


def _known(sample: dict[str, Any], sets: list[Stretch]) -> tuple[Stretch, ...] | None:
    if sets:
        return tuple(stretch for stretch in sets if stretch.exercise != NONE)
    if sample["exercise"] is not None:
        return (Stretch(0, sample["frames"], sample["exercise"], None, "dataset"),)
    return () if sample["exercise_native"] is not None else None
