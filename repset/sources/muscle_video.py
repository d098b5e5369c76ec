"""Reads sets of videos with muscle groups: MuscleMap136, Muscle-UCF90, Muscle-HMDB41 (Peng et al. 2023).

What is handed out after the agreement: videos, and for each of train, val_seen, val_unseen, test_seen and test_unseen a
pickled list of paths and a pickled list, as long, of lists of group numbers 0 to 19. Which pickle is which is told by
its content, its split by its name; a path is that of the authors' machine, so a video is found by the end of it. That
number n is the n-th group of MuscleMap's figure is an assumption: nothing public says it.

UCF101 and HMDB51 bring official lists of train and test in text files, which give a video's class and side. Without
pickles the muscles are the default of the class (repset/muscle_map.yaml, origin `rule`).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypeGuard

from repset.errors import DataError
from repset.exercises import MUSCLE_GROUPS, canonical, default_muscles
from repset.params import SourceSpec
from repset.records import sha256_bytes
from repset.sources.tree import Tree
from repset.sources.untrusted import read_pickle
from repset.sources.video_lists import LIST, Listed, list_number, read_list
from repset.sources.writer import IndexWriter
from repset.video import probe_video

EXPECTED = "videos (.mp4, .avi …) with the lists of MuscleMap, UCF101 or HMDB51"
VIDEO_SUFFIXES = frozenset((".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"))
SPLITS = {
    "train": "train",
    "valseen": "validation",
    "valunseen": "unseen_validation",
    "testseen": "test",
    "testunseen": "unseen_test",
}
"""MuscleMap's names, without marks, → official split; `unseen`: activities that are not in train."""
_SPLIT = re.compile(r"(train|val[_-]?unseen|val[_-]?seen|test[_-]?unseen|test[_-]?seen)", re.IGNORECASE)
_PICKLES = (".pkl", ".pickle")
_UCF_GROUP = re.compile(r"^v_(\w+_g\d+)_c\d+$")
_MOST_ROWS = 1_000_000  # of a list; a pickle can name one thing again and again for two bytes
_MOST_GROUPS = 100  # of a row
_FIX = "Take the files as the authors hand them out"


@dataclass
class Video:
    """What is known of one video: its official split, class and muscle groups (None: no pickle names it)."""

    split: str | None = None
    word: str | None = None
    groups: tuple[str, ...] | None = None
    evidence: str = ""


@dataclass
class _Pair:
    """The two pickles of one split."""

    paths: list[str] | None = None
    labels: list[list[int]] | None = None
    names: dict[str, str] = field(default_factory=dict)


def wanted(name: str) -> bool:
    """Files the reader uses."""
    return essential(name) or name.lower().endswith(_PICKLES) or LIST.search(name) is not None


def essential(name: str) -> bool:
    """A file without which there is nothing to read."""
    return PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES


def read(tree: Tree, spec: SourceSpec, out: IndexWriter, progress: Callable[[Iterable[str]], Iterator[str]]) -> None:
    """Put every listed video into `out`, one in memory at a time; without any list, every video.

    Raises: DataError naming the file: a pickle that could do anything, lists of different length, a group that is none
        of the twenty, a path that fits no video or several, a video that does not open.
    """
    names = tree.names()
    files = {_native(name): name for name in names if essential(name)}
    if not files:
        raise DataError(tree.where, EXPECTED, "no video", "Check the path")
    videos: dict[str, Video] = {}
    for split, pair in _read_pairs(tree, names).items():
        _add_pair(tree, split, pair, files, videos, out)
    listed = _read_lists(tree, names, spec)
    if not videos:
        natives = _by_stem(files)
        videos = {native: Video() for native in files if not listed or PurePosixPath(native).name in listed}
        _report_missing(tree, listed, natives, out)
    for native, video in videos.items():
        if one := listed.get(PurePosixPath(native).name):
            video.word = one.word
            video.split = video.split or one.split
    out.left_out["video in none of the lists"] += len(files) - len(videos)
    for native in progress(sorted(videos)):
        with out.item(native):
            _add_video(tree, native, files[native], videos[native], spec, out)
    with_groups = {row["sample_id"] for row in out.rows["muscles"]}
    out.notes["without_muscles"] = sum(row["sample_id"] not in with_groups for row in out.rows["samples"])
    if not out.left_out["video in none of the lists"]:
        del out.left_out["video in none of the lists"]


def _native(name: str) -> str:
    return name[: -len(PurePosixPath(name).suffix)]


def _by_stem(files: dict[str, str]) -> set[str]:
    return {PurePosixPath(native).name for native in files}


def _report_missing(tree: Tree, listed: dict[str, Listed], stems: set[str], out: IndexWriter) -> None:
    """Listed videos that are not there, each a fault of its own; a class without a single video was left out."""
    there = {one.word for stem, one in listed.items() if stem in stems}
    for stem, one in sorted(listed.items()):
        if one.word not in there:
            out.left_out["listed video of a class that is not here"] += 1
        elif stem not in stems:
            with out.item(stem):
                raise DataError(one.where, f"the video {stem}", "no such file", "Add it, or go on with --on-error skip")


# --- pickles -----------------------------------------------------------------------------------------------------


def _read_pairs(tree: Tree, names: list[str]) -> dict[str, _Pair]:
    """Paths and labels of each split."""
    pairs: dict[str, _Pair] = {}
    for name in names:
        if not name.lower().endswith(_PICKLES):
            continue
        match = _SPLIT.search(PurePosixPath(name).name)
        if match is None:
            known = "train, val_seen, val_unseen, test_seen or test_unseen"
            raise DataError(tree.at(name), f"a file name with {known}", "none of them", _FIX)
        split = SPLITS[re.sub(r"[_-]", "", match[1].lower())]
        pair, content = pairs.setdefault(split, _Pair()), read_pickle(tree.read(name), tree.at(name))
        kind = "paths" if _is_paths(content) else "labels" if _is_labels(content) else ""
        if not kind:
            raise DataError(tree.at(name), "a list of paths, or of lists of group numbers", "something else", _FIX)
        if kind in pair.names:
            raise DataError(tree.at(name), f"one list of {kind} for {split}", f"a second one, {pair.names[kind]}", _FIX)
        pair.names[kind] = tree.at(name)
        if kind == "paths":
            pair.paths = list(content)
        else:
            pair.labels = [[row] if isinstance(row, int) else list(row) for row in content]
    for split, pair in pairs.items():
        where = next(iter(pair.names.values()))
        if pair.paths is None or pair.labels is None:
            raise DataError(where, f"two pickles for {split}, paths and labels", "one", _FIX)
        if len(pair.paths) != len(pair.labels):
            found = f"{len(pair.labels):,}"
            raise DataError(pair.names["labels"], f"{len(pair.paths):,} rows, as the list of paths", found, _FIX)
    return pairs


def _is_list(content: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    return isinstance(content, list | tuple) and 0 < len(content) <= _MOST_ROWS


def _is_paths(content: object) -> bool:
    return _is_list(content) and all(isinstance(row, str) for row in content)


def _is_labels(content: object) -> bool:
    def numbers(row: object) -> bool:
        if not isinstance(row, list | tuple):
            return isinstance(row, int)
        return len(row) <= _MOST_GROUPS and all(isinstance(one, int) for one in row)

    return _is_list(content) and all(numbers(row) for row in content)


def _add_pair(
    tree: Tree, split: str, pair: _Pair, files: dict[str, str], videos: dict[str, Video], out: IndexWriter
) -> None:
    """The rows of one split, each put to its video."""
    assert pair.paths is not None
    assert pair.labels is not None
    ends: dict[str, list[str]] = {}
    for native, name in files.items():
        ends.setdefault(PurePosixPath(name).name, []).append(native)
    for number, (path, groups) in enumerate(zip(pair.paths, pair.labels, strict=True)):
        where = f"{pair.names['paths']}, row {number}"
        with out.item(f"{split}/{path}"):
            native = _find(path, ends, files, where)
            if native in videos:
                raise DataError(where, "each video once", f"{native} again", _FIX)
            wrong = [group for group in groups if not 0 <= group < len(MUSCLE_GROUPS)]
            if wrong:
                at = f"{pair.names['labels']}, row {number}"
                raise DataError(at, f"groups 0 to {len(MUSCLE_GROUPS) - 1}", str(wrong[0])[:20], _FIX)
            labels = tuple(MUSCLE_GROUPS[group] for group in sorted(set(groups)))
            videos[native] = Video(split, groups=labels, evidence=pair.names["labels"].removeprefix(f"{tree.where}:"))


def _find(path: str, ends: dict[str, list[str]], files: dict[str, str], where: str) -> str:
    """The video that a path of the authors' machine ends like."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    fitting = ends.get(parts[-1], []) if parts else []
    for depth in range(2, len(parts) + 1):
        closer = [native for native in fitting if files[native].split("/")[-depth:] == list(parts[-depth:])]
        if len(fitting) <= 1 or not closer:
            break
        fitting = closer
    if len(fitting) != 1:
        found = f"{len(fitting)} of them" if fitting else "no such file"
        raise DataError(where, f"one video {path[-80:]!r}", found, "Add it, or go on with --on-error skip")
    return fitting[0]


# --- lists and samples -------------------------------------------------------------------------------------------


def _read_lists(tree: Tree, names: list[str], spec: SourceSpec) -> dict[str, Listed]:
    """Stem of a video → what the official lists say, those of `spec.list_number`."""
    listed: dict[str, Listed] = {}
    for name in names:
        if list_number(name) != (spec.list_number or 1):
            continue
        for stem, one in read_list(name, tree.read(name), tree.at(name)).items():
            if stem in listed and listed[stem].split != one.split:
                raise DataError(one.where, "each video on one side", f"{stem} on both", _FIX)
            listed[stem] = one
    return listed


def _add_video(tree: Tree, native: str, name: str, video: Video, spec: SourceSpec, out: IndexWriter) -> None:
    data = tree.read(name)
    media, path = out.add_video(native, PurePosixPath(name).suffix, data)
    try:
        info = probe_video(path)
    except DataError as error:
        path.unlink()
        raise DataError(tree.at(name), error.expected, error.found, error.todo) from error
    word = video.word or (PurePosixPath(native).parent.name or None)
    exercise = canonical(word, spec.format) if word else None
    sample_id = out.add_sample(
        native,
        kind="clip",
        media=media,
        width=info.width,
        height=info.height,
        fps=info.fps,
        frames=info.frames,
        group=_group(PurePosixPath(native).name, word),
        official_split=video.split,
        exercise=exercise,
        exercise_native=word,
        media_sha256=sha256_bytes(data),
    )
    for label, role, evidence, origin in _muscles(video, exercise, word, spec.format):
        row = dict(sample_id=sample_id, label=label, role=role, evidence=evidence, origin=origin)
        out.rows["muscles"].append(row)


def _muscles(
    video: Video, exercise: str | None, word: str | None, family: str | None
) -> Iterator[tuple[str, str | None, str, str]]:
    """(group, role, evidence, origin) of a video: the set's own, else the default of its class."""
    if video.groups is not None:
        yield from ((label, None, video.evidence, "dataset") for label in video.groups)
    elif (muscles := default_muscles(exercise, word, family)) is not None:
        evidence = f"free-exercise-db:{muscles.entry}"
        yield from ((label, "primary", evidence, "rule") for label in muscles.primary)
        yield from (
            (label, "secondary", evidence, "rule") for label in muscles.secondary if label not in muscles.primary
        )


def _group(stem: str, word: str | None) -> str:
    """What must not straddle a split: UCF101 numbers its groups (`_g01_`), HMDB51 puts the film before the class."""
    if match := _UCF_GROUP.match(stem):
        return match[1]
    if word and f"_{word}_" in stem:
        return stem[: stem.rindex(f"_{word}_")]
    return stem
