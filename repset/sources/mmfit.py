"""Reads MM-Fit (Strömbäck, Huang, Radu 2020): `w00/w00_labels.csv` and, where they came along, the pose arrays.

Labels: rows `start frame, end frame, repetitions, exercise`; the end is taken as the last frame of the set (the set's
documentation does not say, and the authors' own loader leaves both limits out), so a stretch here is [start, end + 1).
`w00_pose_2d.npy` is (2, T, 19): the frame number in column 0, then x and y in pixels of 18 joints; `w00_pose_3d.npy` is
(3, T, 18): the frame number, then 17 joints in millimetres. Frame numbers are those of the labels and are kept: a
recording's first frame is number 0 whether or not a pose was found in it. The poses are estimates (origin
`dataset_estimate`), a joint at (0, 0) was not found. `w00_sw_l_acc.npy` and its like are read where the source asks for
them (`inertial: true`): one row a reading, (N, 5), of frame number, milliseconds and three values; heart rate (N, 3).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from repset.errors import DataError
from repset.exercises import NONE, canonical
from repset.landmarks import COCO_18, H36M_17, JointState
from repset.params import SourceSpec
from repset.records import inertial_table, pose_table, sha256_bytes
from repset.sources.tree import Tree
from repset.sources.untrusted import read_csv_bytes, read_npy
from repset.sources.writer import IndexWriter, digest

EXPECTED = "an MM-Fit folder (w00/w00_labels.csv …)"
FPS = 30.0
"""Frame rate of the recordings, as the set's documentation states it."""

OFFICIAL_SPLIT: dict[str, str] = {
    workout: split
    for split, workouts in {
        "train": "01 02 03 04 06 07 08 16 17 18",
        "validation": "14 15 19",
        "test": "09 10 11",
        "unseen_test": "00 05 12 13 20",
    }.items()
    for workout in (f"w{number}" for number in workouts.split())
}
"""The authors' split by workout; `unseen_test`: people who are in no other part."""

_FILE = re.compile(r"^(w\d+)_(labels\.csv|pose_2d\.npy|pose_3d\.npy|(?:sw|sp|eb)_[lr]_(?:acc|gyr|mag|hr)\.npy)$")
_NUMBER = re.compile(r"[0-9]{1,8}")
_POSES = ("pose_2d.npy", "pose_3d.npy")
_LATEST = 10**8  # frames: a month of video
_FIX = "Take this file from the original set, or leave it out with --on-error skip"


@dataclass(frozen=True)
class Set:
    """One labelled set: frames [start, end)."""

    start: int
    end: int
    reps: int
    native: str
    exercise: str


Frames = npt.NDArray[np.int32]
Reading = tuple[str, str, Frames, npt.NDArray[np.float64], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Poses:
    """Frame numbers (T,), values (T, K, D) with NaN where nothing was found."""

    frame: npt.NDArray[np.int32]
    values: npt.NDArray[np.float32]


def wanted(name: str) -> bool:
    """Files the reader uses."""
    return _FILE.match(PurePosixPath(name).name) is not None


def essential(name: str) -> bool:
    """A file without which there is nothing to read."""
    return wanted(name) and name.endswith("_labels.csv")


def read(tree: Tree, spec: SourceSpec, out: IndexWriter, progress: Callable[[Iterable[str]], Iterator[str]]) -> None:
    """Put every workout into `out`, one in memory at a time.

    Raises: DataError naming the file: a label row that does not parse, overlapping sets, an unknown exercise, an array
        of another shape, arrays without labels.
    """
    workouts: dict[str, dict[str, str]] = {}
    for name in tree.names():
        match = _FILE.match(PurePosixPath(name).name)
        if match is None:
            continue
        files = workouts.setdefault(match[1], {})
        if match[2] in files:
            raise DataError(tree.at(name), f"one {match[1]}_{match[2]}", "a second one", "Remove one")
        files[match[2]] = name
    if not any("labels.csv" in files for files in workouts.values()):
        raise DataError(tree.where, EXPECTED, "no label file", "Pull the whole set")
    without: list[str] = []
    for workout in progress(sorted(workouts)):
        with out.item(workout):
            if not _add_workout(tree, workout, workouts[workout], spec, out):
                without.append(workout)
    out.notes |= {"workouts_without_poses": without, "sets": _count_sets(out)}


def _add_workout(tree: Tree, workout: str, files: dict[str, str], spec: SourceSpec, out: IndexWriter) -> bool:
    """One recording as one sample; returns whether it has poses."""
    fps = spec.fps or FPS
    if "labels.csv" not in files:
        where = tree.at(sorted(files.values())[0])
        raise DataError(where, f"{workout}_labels.csv beside it", "no such file", _FIX)
    content = {kind: tree.read(name) for kind, name in files.items() if kind in _POSES or kind == "labels.csv"}
    sets = parse_labels(content["labels.csv"], tree.at(files["labels.csv"]))
    flat = _array(content.get("pose_2d.npy"), 2, len(COCO_18.joints), tree, files.get("pose_2d.npy"))
    solid = _array(content.get("pose_3d.npy"), 3, len(H36M_17.joints), tree, files.get("pose_3d.npy"))
    readings = _inertial(tree, files, fps) if spec.inertial else []
    numbers = [poses.frame for poses in (flat, solid) if poses is not None]
    first = min((int(frame[0]) for frame in numbers), default=0)
    last = max([stretch.end for stretch in sets] + [int(frame[-1]) + 1 for frame in numbers])
    sample_id = out.add_sample(
        workout,
        kind="poses",
        fps=fps,
        frames=last,
        group=workout,  # which person did which workout is not in the archive
        official_split=OFFICIAL_SPLIT.get(workout),
        media_sha256=digest([sha256_bytes(content[kind]) for kind in sorted(content, reverse=True)]),
    )
    stretches = list(_stretches(sets, first, last, rest=not spec.labelled_only))
    out.rows["sets"] += [row | {"sample_id": sample_id} for row in stretches]
    if spec.labelled_only:
        flat, solid = (None if poses is None else _within(poses, sets, out) for poses in (flat, solid))
    for device, sensor, frame, time_s, value in readings:
        keep = _inside(frame, sets) if spec.labelled_only else np.ones(len(frame), np.bool_)
        out.inertial.add(inertial_table(sample_id, device, sensor, frame[keep], time_s[keep], value[keep]))
    if flat is not None:
        xy = np.where((flat.values == 0).all(axis=-1, keepdims=True), np.nan, flat.values)
        found = np.isfinite(xy).all(axis=-1)
        xy = np.where(found[..., None], xy, np.nan)
        _add_poses(out, sample_id, COCO_18.name, flat.frame, fps, xy, found, None)
    if solid is not None:
        # The pelvis is the origin, so a zero there is a place; only a skeleton that is all zeros was not found.
        xyz = np.where((solid.values == 0).all(axis=(1, 2), keepdims=True), np.nan, solid.values / 1000.0)
        found = np.isfinite(xyz).all(axis=-1)
        nowhere = np.full((*found.shape, 2), np.nan, np.float32)
        _add_poses(out, sample_id, H36M_17.name, solid.frame, fps, nowhere, found, xyz)
    return bool(numbers)


def _add_poses(
    out: IndexWriter,
    sample_id: str,
    skeleton: str,
    frame: npt.NDArray[np.int32],
    fps: float,
    xy: npt.NDArray[np.float32],
    found: npt.NDArray[np.bool_],
    xyz: npt.NDArray[np.float32] | None,
) -> None:
    """Rows of `poses`; the set gives no confidence, so a joint that was found counts as seen (visibility 1)."""
    visibility = np.where(found & np.isfinite(xy).all(axis=-1), 1.0, np.nan)
    state = np.where(found, JointState.LABELLED, JointState.ABSENT)
    out.poses.add(pose_table(sample_id, skeleton, frame, frame / fps, xy, visibility, state, "dataset_estimate", xyz))


def parse_labels(data: bytes, where: str) -> list[Set]:
    """Sets in time order. Raises: DataError naming the line."""
    sets: list[Set] = []
    try:
        rows = read_csv_bytes(data)
    except ValueError as error:
        raise DataError(where, "rows 'start, end, repetitions, exercise'", "a file that is no text", _FIX) from error
    for number, row in enumerate(rows, 1):
        if not row:
            continue
        line = f"{where}, line {number}"
        if len(row) != 4 or not all(_NUMBER.fullmatch(cell.strip()) for cell in row[:3]):
            raise DataError(line, "a row 'start, end, repetitions, exercise'", repr(",".join(row)[:80]), _FIX)
        start, end, reps = (int(cell) for cell in row[:3])
        exercise = canonical(row[3], "mmfit")
        if exercise is None:
            raise DataError(line, "an exercise of MM-Fit", repr(row[3].strip()), "Add it to repset.exercises")
        if end <= start:
            raise DataError(line, "an end after the start", f"frames {start} to {end}", _FIX)
        sets.append(Set(start, end + 1, reps, row[3].strip(), exercise))
    if not sets:
        raise DataError(where, "rows 'start, end, repetitions, exercise'", "none", _FIX)
    sets.sort(key=lambda stretch: stretch.start)
    for before, after in pairwise(sets):
        if after.start < before.end:
            found = f"{before.native} until {before.end - 1} and {after.native} from {after.start}"
            raise DataError(where, "sets that do not overlap", found, _FIX)
    return sets


def _inside(frame: npt.NDArray[np.int32], sets: list[Set]) -> npt.NDArray[np.bool_]:
    """Which frames lie in a set."""
    after = np.searchsorted([one.start for one in sets], frame, side="right") - 1
    ends = np.array([one.end for one in sets])
    return np.asarray((after >= 0) & (frame < ends[after]))


def _within(poses: Poses, sets: list[Set], out: IndexWriter) -> Poses:
    """The poses of labelled frames alone; the others are counted."""
    keep = _inside(poses.frame, sets)
    out.left_out["pose outside the sets (labelled_only)"] += int((~keep).sum())
    return Poses(poses.frame[keep], poses.values[keep])


def _inertial(tree: Tree, files: dict[str, str], fps: float) -> list[Reading]:
    """(device, sensor, frame, seconds, values) of every worn sensor."""
    return [
        (kind[:4], kind[5 : -len(".npy")], *_reading(tree.read(files[kind]), tree.at(files[kind]), fps))
        for kind in sorted(files)
        if kind not in _POSES and kind != "labels.csv"
    ]


def _reading(data: bytes, where: str, fps: float) -> tuple[Frames, npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Frames, seconds on the clock of the poses, and values of one sensor.

    The sensor's own clock may run faster or slower than the video's: the first reading of each frame stands at the time
    of that frame, those between are interpolated. So a time is right to within one interval between readings.
    """
    expected = "an array (N, 3) or (N, 5): frame number, milliseconds, values"
    try:
        array = read_npy(data)
    except ValueError as error:
        raise DataError(where, expected, "a file that is no whole NumPy array", _FIX) from error
    if array.ndim != 2 or array.shape[1] not in (3, 5) or not len(array) or array.dtype.kind not in "fiu":
        raise DataError(where, expected, f"shape {array.shape}", _FIX)
    frame, clock_ms = array[:, 0].astype(np.float64), array[:, 1].astype(np.float64)
    clock = np.isfinite(frame) & np.isfinite(clock_ms) & (np.abs(frame) < _LATEST)
    if not clock.all() or (frame < 0).any() or (np.diff(frame) < 0).any() or (np.diff(clock_ms) < 0).any():
        raise DataError(where, "frame numbers and milliseconds that never fall", "others", _FIX)
    number, first = np.unique(frame, return_index=True)
    time_s = np.interp(clock_ms, clock_ms[first], number / fps)
    time_s += np.maximum(clock_ms - clock_ms[first[-1]], 0) / 1000  # after the last frame's first reading
    return frame.astype(np.int32), time_s, array[:, 2:].astype(np.float32)


def _stretches(sets: list[Set], first: int, last: int, rest: bool) -> Iterator[dict[str, object]]:
    """Sets and the rest between them, from the recording's first frame to its last, numbered in time order."""
    rows: list[tuple[int, int, str, int]] = []
    at = first
    for one in sets:
        if one.start > at:
            rows.append((at, one.start, NONE, 0))
        rows.append((one.start, one.end, one.exercise, one.reps))
        at = max(at, one.end)
    if last > at:
        rows.append((at, last, NONE, 0))
    if not rest:
        rows = [row for row in rows if row[2] != NONE]
    for number, (start, end, exercise, reps) in enumerate(rows):
        yield dict(set=number, start=start, end=end, exercise=exercise, exercise_p=None, reps=reps, origin="dataset")


def _array(data: bytes | None, axes: int, joints: int, tree: Tree, name: str | None) -> Poses | None:
    """A pose array as frame numbers and (T, K, D) values; None where there is no file."""
    if data is None or name is None:
        return None
    where, expected = tree.at(name), f"an array ({axes}, T, {joints + 1}): frame number and {joints} joints"
    try:
        array = read_npy(data)
    except ValueError as error:
        raise DataError(where, expected, "a file that is no whole NumPy array", _FIX) from error
    if array.ndim != 3 or array.shape[0] != axes or array.shape[2] != joints + 1 or not array.shape[1]:
        raise DataError(where, expected, f"shape {array.shape}", _FIX)
    if array.dtype.kind not in "fiu":
        raise DataError(where, expected, f"values of type {array.dtype}", _FIX)
    frame = array[0, :, 0]
    bounded = np.isfinite(frame).all() and (frame >= 0).all() and (frame < _LATEST).all()
    if not bounded or (np.diff(frame) <= 0).any():
        raise DataError(where, "frame numbers that rise from row to row in column 0", "others", _FIX)
    return Poses(frame.astype(np.int32), np.moveaxis(array[:, :, 1:], 0, -1).astype(np.float32))


def _count_sets(out: IndexWriter) -> dict[str, dict[str, int]]:
    """Per exercise how many sets and repetitions."""
    counts: dict[str, dict[str, int]] = {}
    for row in out.rows["sets"]:
        one = counts.setdefault(row["exercise"], {"sets": 0, "reps": 0})
        one["sets"] += 1
        one["reps"] += row["reps"]
    return dict(sorted(counts.items()))
