"""What an autolabel job works on: anyone's files and folders, or the samples of a source's index."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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

Kind = Literal["video", "image", "clip", "photo", "poses"]


@dataclass(frozen=True)
class Task:
    """One clip or picture: the unit of work of one process.

    Attributes:
        number: place in the output.
        sample_id: as in every table.
        media: how summary.csv names it.
        kind: video, image: a file; clip, photo: images in an index; poses: the index's own poses.
        path: the file, or the index folder.
        fps: where the media does not say (clip, poses).
        frames: of a clip; an estimate for a video file.
        stretches: the exercises where they are known; None where they are to be recognised.
        size: width and height of poses without images, pixels; 0 where the set does not say.
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
    """

    tasks: tuple[Task, ...]
    problems: tuple[Problem, ...]
    ignored: dict[str, int]


def find_media(paths: Sequence[Path]) -> Found:
    """Videos and images among files and folders (searched to the bottom; hidden files are left out).

    A folder's files are named `<folder>/<path inside it>`, a file by its own name. A file named on its own is taken
    whatever its suffix.
    Raises: DataError if a path does not exist or a folder holds neither videos nor images.
    """
    files: list[tuple[str, Path]] = []
    ignored: Counter[str] = Counter()
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p.relative_to(path)))
            media = [p for p in inside if p.suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES]
            others = Counter(p.suffix.lower() or p.name for p in inside if p not in set(media))
            if not media:
                listed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
                found = f"only other files ({listed})" if others else "no file"
                raise DataError(path, "a folder with videos or images", found, "Check the path")
            files += [(f"{path.resolve().name}/{p.relative_to(path).as_posix()}", p) for p in media]
            ignored += others
        elif path.is_file():
            files.append((path.name, path))
        else:
            raise DataError(path, "a video, an image or a folder of them", "no such path", "Check the path")
    tasks: list[Task] = []
    problems: list[Problem] = []
    for name, path in sorted(_unique(files).items()):
        try:
            tasks.append(_file_task(len(tasks), name, path))
        except RepsetError as error:
            problems.append(Problem(name, str(error)))
    return Found(tuple(tasks), tuple(problems), dict(sorted(ignored.items())))


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
    return Task(number, name, name, "video", path, None, info.frames, None)


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
