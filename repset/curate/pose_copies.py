"""Pose sequences that repeat one another: copies (rescaled, mirrored, trimmed), and clips of one recording.

Copies. A pose is centred and scaled by its own joints, so position and size in the image do not count; some frames of
one sequence (KEYS) are looked for among all frames of the other, mirrored too. Where two thirds of them are found, the
sequences are laid over each other at the lag they agree on and compared frame by frame.

Neighbours. The next repetition of one person before one camera is no copy, but it tells a model as much. Two clips
whose names are numbers at most REACH apart, of one image size and one exercise, are neighbours if their STILL calmest
joints rest in the same places: feet in a squat, hips in a sit-up.

How the thresholds were chosen, on the 1,807 label files of Penn Action: of 21,153 pairs of one exercise and one image
size whose numbers lie over 50 apart 1 % pass NEIGHBOURS, of the 987 with consecutive numbers 8 % (1656 of train and
1657 of test among them).
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from repset.curate.near_duplicates import REACH, SHARE, Pair, are_neighbours, silent
from repset.landmarks import PENN_13, SKELETONS, convert

COPIES = 0.05
"""Mean distance of two sequences of unit poses below which one is a copy of the other."""
FOUND = 0.10
"""Distance at which one pose counts as found in the other sequence."""
NEIGHBOURS = 0.05
"""Mean distance of the calmest joints, in body sizes, below which two clips show one person at one place."""
STILL = 6
"""Calmest joints that are compared, of the 13."""
KEYS = 6
OVERLAP = 0.5
"""Part of the shorter sequence that must lie inside the other."""
LEAST = 8
"""Frames below which a sequence is too short to say anything."""

Floats = npt.NDArray[np.float32]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Sequence_:
    """One person's poses on the 13 common joints.

    Attributes:
        frame: (T,) frame numbers; time_s: (T,) seconds; xy_px: (T, 13, 2), NaN where absent.
    """

    sample_id: str
    frame: npt.NDArray[np.int64]
    time_s: npt.NDArray[np.float64]
    xy_px: Floats


def sequences(poses: pa.Table) -> list[Sequence_]:
    """The first person of every sample of table `poses`, by sample_id; skeletons without image positions aside.

    Args:
        poses: with the columns sample_id, frame, time_s, person, skeleton, x_px and y_px.
    """
    keys = ("sample_id", "person", "skeleton")
    table = poses.sort_by([(name, "ascending") for name in (*keys, "frame")])
    columns = [table[name].to_numpy(zero_copy_only=False) for name in keys]
    changed = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    bounds = np.flatnonzero(np.r_[True, changed, True]) if table.num_rows else np.zeros(0, np.int64)
    found: dict[str, Sequence_] = {}
    for start, end in itertools.pairwise(bounds.tolist()):
        name, skeleton = str(columns[0][start]), str(columns[2][start])
        part = table.slice(start, end - start)
        width = len(SKELETONS[skeleton].joints)
        if name in found or part["x_px"].null_count:
            continue
        x, y = (pc.list_flatten(part[column]).to_numpy().reshape(-1, width) for column in ("x_px", "y_px"))
        if np.isfinite(x).any():
            xy = convert(np.stack([x, y], axis=-1).astype(np.float32), skeleton, PENN_13.name)
            found[name] = Sequence_(name, part["frame"].to_numpy().astype(np.int64), part["time_s"].to_numpy(), xy)
    return [found[name] for name in sorted(found)]


def find_pairs(
    tracks: Sequence[Sequence_], samples: Iterable[Row], progress: Callable[[int, int, str], None] = silent
) -> list[Pair]:
    """Copies and neighbours among pose sequences, sorted."""
    about = {row["sample_id"]: row for row in samples}
    found = {(pair.a, pair.b): pair for pair in _neighbours(tracks, about)}
    found |= {(pair.a, pair.b): pair for pair in _copies(tracks, progress)}
    return [found[key] for key in sorted(found)]


# --- neighbours ---------------------------------------------------------------------------------------------------


def _neighbours(tracks: Sequence[Sequence_], about: Mapping[str, Row]) -> list[Pair]:
    ordered = sorted(tracks, key=lambda track: (len(track.sample_id), track.sample_id))
    resting = [_resting(track.xy_px) for track in ordered]
    pairs = []
    for here, first in enumerate(ordered):
        for there in range(here + 1, min(here + 1 + REACH, len(ordered))):
            second = ordered[there]
            if not are_neighbours(first.sample_id, second.sample_id):
                continue
            a, b = about[first.sample_id], about[second.sample_id]
            if any(a[key] != b[key] for key in ("width", "height", "exercise_native")) or not a["exercise_native"]:
                continue
            distance = _calmest(*resting[here], *resting[there])
            if distance < NEIGHBOURS:
                names = sorted((first.sample_id, second.sample_id))
                pairs.append(Pair(names[0], names[1], "video_neighbours", 0, round(distance, 4), False))
    return pairs


def _resting(xy_px: Floats) -> tuple[Floats, float]:
    """(13, 2) where each joint mostly is, NaN where it never is, and the body's size: diagonal of the joints' box."""
    present = np.isfinite(xy_px[..., 0])
    place = np.full(xy_px.shape[1:], np.nan, np.float32)
    for joint in np.flatnonzero(present.any(axis=0)).tolist():
        place[joint] = np.median(xy_px[present[:, joint], joint], axis=0)
    some = xy_px[present.sum(axis=1) >= 2]
    if not len(some):
        return place, 0.0
    return place, float(np.median(np.linalg.norm(np.nanmax(some, axis=1) - np.nanmin(some, axis=1), axis=-1)))


def _calmest(here: Floats, size: float, there: Floats, other_size: float) -> float:
    distance = np.linalg.norm(here - there, axis=-1)
    distance = np.sort(distance[np.isfinite(distance)])[:STILL]
    if len(distance) < STILL or size <= 0 or other_size <= 0:
        return float("inf")
    return float(distance.mean() / np.sqrt(size * other_size))


# --- copies -------------------------------------------------------------------------------------------------------


def unit_poses(xy_px: Floats) -> Floats:
    """(T, 13, 2) pixels → (T, 26): centred on its joints and of length 1; a missing joint lies in the centre.

    A frame with fewer than 4 joints is all zero, which is near to nothing.
    """
    present = np.isfinite(xy_px).all(axis=-1)
    count = present.sum(axis=1)
    filled = np.where(present[..., None], xy_px, 0)
    centre = filled.sum(axis=1) / np.maximum(count, 1)[:, None]
    flat = np.where(present[..., None], xy_px - centre[:, None], 0).reshape(len(xy_px), -1)
    length = np.linalg.norm(flat, axis=1)
    flat = flat / np.maximum(length, 1e-6)[:, None]
    flat[(count < 4) | (length < 1e-3)] = 0
    return np.asarray(flat, np.float32)


def _mirrored(poses: Floats) -> Floats:
    """Unit poses of the mirror image: x turned round, left and right exchanged."""
    joints = poses.reshape(len(poses), -1, 2)[:, list(PENN_13.mirror)]
    return np.asarray((joints * np.array([-1, 1], np.float32)).reshape(len(poses), -1), np.float32)


def _copies(tracks: Sequence[Sequence_], progress: Callable[[int, int, str], None]) -> list[Pair]:
    tracks = [track for track in tracks if len(track.frame) >= LEAST]
    if len(tracks) < 2:
        return []
    units = [unit_poses(track.xy_px) for track in tracks]
    every = np.concatenate(units)
    starts = np.cumsum([0, *(len(unit) for unit in units)])
    pairs: dict[tuple[str, str], Pair] = {}
    for number, (track, unit) in enumerate(zip(tracks, units, strict=True)):
        keys = np.linspace(0.05, 0.95, KEYS) * (len(unit) - 1)
        at = np.unique(np.round(keys).astype(np.int64))
        for mirrored in (False, True):
            likeness = (_mirrored(unit[at]) if mirrored else unit[at]) @ every.T
            near = np.sqrt(np.maximum(2 - 2 * np.maximum.reduceat(likeness, starts[:-1], axis=1), 0)) < FOUND
            for rival in np.flatnonzero(near.mean(axis=0) >= SHARE - 1e-9).tolist():
                if rival == number:
                    continue
                where = likeness[:, starts[rival] : starts[rival + 1]].argmax(axis=1)
                pair = _laid_over(track, unit, tracks[rival], units[rival], at, where, mirrored)
                if pair is not None and (pair.a, pair.b) not in pairs:
                    pairs[pair.a, pair.b] = pair
        progress(number + 1, len(tracks), "comparing poses")
    return list(pairs.values())


def _laid_over(
    a: Sequence_,
    poses_a: Floats,
    b: Sequence_,
    poses_b: Floats,
    at: npt.NDArray[np.int64],
    where: npt.NDArray[np.int64],
    mirrored: bool,
) -> Pair | None:
    """The pair, if at one of the lags that the keys propose the sequences are the same frame by frame."""
    other = _mirrored(poses_b) if mirrored else poses_b
    shorter = min(a.time_s[-1] - a.time_s[0], b.time_s[-1] - b.time_s[0])
    best, frame = float("inf"), 0
    for lag in np.unique(np.round(b.time_s[where] - a.time_s[at], 2)).tolist():
        inside = (a.time_s + lag >= b.time_s[0] - 1e-3) & (a.time_s + lag <= b.time_s[-1] + 1e-3)
        mine = np.flatnonzero(inside)
        if len(mine) < LEAST or a.time_s[mine[-1]] - a.time_s[mine[0]] < OVERLAP * shorter:
            continue
        theirs = np.abs(np.searchsorted(b.time_s, a.time_s[mine] + lag - 0.5 * _step(b)).clip(0, len(b.time_s) - 1))
        distance = float(np.linalg.norm(poses_a[mine] - other[theirs], axis=1).mean())
        if distance < best:
            best, frame = distance, int(mine[0])
    if best >= COPIES:
        return None
    first, last = (a, b) if a.sample_id < b.sample_id else (b, a)
    at_frame = int(a.frame[frame]) if first is a else 0
    return Pair(first.sample_id, last.sample_id, "near_duplicate", at_frame, round(best, 4), mirrored)


def _step(track: Sequence_) -> float:
    return float(np.median(np.diff(track.time_s)))
