"""Which frames and clips of one's own camera a person labels: spread over views, phases and clips, the same each time.

Frames come from the labeller's own repetitions (start, half-way, turn); where it found none, from the clip itself, so
that a camera on which nothing is counted is looked at as well.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from repset.landmarks import SKELETONS
from repset.records import read_rows, read_table, sha256_bytes

FRAMES, CLIPS = 40, 10
LONGEST_S, ROOM_S, SILENT_S = 25.0, 0.5, 15.0
"""Of a clip to count in; shown around a set; shown of a clip in which the labeller found no set."""

PHASES = ("start", "half-way", "turn")
SIDE_JOINTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
UNKNOWN, STILL = "unknown", "still"
MARGIN = 0.35  # around the body the labeller found, of its size, so that a joint it missed is still in the picture

Row = dict[str, Any]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Pick:
    """One frame or clip to label.

    Attributes:
        kind: frame | clip.
        sample_id: as in the labeller's tables. view, phase, exercise: as the labeller has them.
        frame: of a frame, else the first of a clip; end: behind the last of a clip. start_s, end_s: of a clip.
        joints: asked for, in the order to click them; () for a clip.
        box: left, top, width, height of what is shown; (0, 0, 0, 0): everything.
        counted: complete repetitions the labeller counts in a clip.
    """

    kind: str
    sample_id: str
    view: str
    phase: str
    exercise: str
    frame: int
    end: int = 0
    start_s: float = 0.0
    end_s: float = 0.0
    joints: tuple[str, ...] = ()
    box: Box = (0, 0, 0, 0)
    counted: int = 0

    @property
    def id(self) -> str:
        """Of what is looked at, not of what the labeller says about it: the same after it was run again."""
        return sha256_bytes(f"{self.kind}|{self.sample_id}|{self.frame}|{self.end}".encode())[:16]

    def about(self) -> Row:
        """What an answer says of it: everything but what the labeller counts."""
        return {name: value for name, value in asdict(self).items() if name not in ("counted", "joints")}


def picks(labels: Path, frames: int = FRAMES, clips: int = CLIPS, answered: Iterable[Pick] = ()) -> list[Pick]:
    """What to label of an autolabel job, frames first.

    Args:
        labels: the job's folder.
        frames, clips: at most so many.
        answered: what a person has labelled already, perhaps picked from another labeller's output; it stays, as far as
            its file is still there, and the rest is picked beside it.
    """
    sets = _by(read_rows(labels / "sets.parquet", "sets"))
    reps = _by(read_rows(labels / "reps.parquet", "reps"))
    views = _views(read_rows(labels / "form.parquet", "form"))
    times = _times(labels)
    candidates = [one for name, clock in sorted(times.items())
                  for one in _frames(name, clock, reps[name], sets[name], views)]  # fmt: skip
    kept = [one for one in answered if one.sample_id in times]
    names = {one.id for one in kept}
    mine = [one for one in kept if one.kind == "frame"]
    candidates = [one for one in candidates if one.id not in names]
    chosen = spread(candidates, frames - len(mine), lambda one: (one.view, one.phase))
    stretches = [one for name, clock in sorted(times.items()) if len(clock) > 1
                 for one in _clips(name, clock, reps[name], sets[name], views)]  # fmt: skip
    counted = [replace(one, counted=_counted(reps[one.sample_id], one.frame, one.end)) for one in kept
               if one.kind == "clip"]  # fmt: skip
    stretches = [one for one in stretches if one.id not in names]
    found = spread(stretches, clips - len(counted), lambda one: (one.view, one.exercise))
    return [*_in_order([*mine, *_with_bodies(labels, chosen)]), *_in_order([*counted, *found])]


def _in_order(found: Iterable[Pick]) -> list[Pick]:
    return sorted(found, key=lambda one: (one.sample_id, one.frame, one.end))


def _by(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["sample_id"]].append(row)
    return found


def _views(form: Iterable[Row]) -> dict[tuple[str, int], str]:
    """(sample, set) → view the verdicts were given in."""
    rows = (row for row in form if row["level"] in ("rep", "clip"))
    return {(row["sample_id"], row["set"]): str(row["view"] or UNKNOWN) for row in rows}


def _times(labels: Path) -> dict[str, list[float]]:
    """Sample → time of each labelled frame, seconds."""
    table = read_table(labels / "poses.parquet", "poses", ["sample_id", "frame", "time_s"])
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for name, frame, time_s in zip(*(table[column].to_pylist() for column in table.column_names), strict=True):
        found[name][frame] = time_s
    return {name: [clock[frame] for frame in sorted(clock)] for name, clock in found.items()}


def _frames(
    name: str, clock: Sequence[float], reps: Sequence[Row], sets: Sequence[Row], views: Mapping[tuple[str, int], str]
) -> list[Pick]:
    last = len(clock) - 1
    if last == 0:
        return [Pick("frame", name, views.get((name, 0), UNKNOWN), STILL, _exercise(sets), 0)]
    found = [
        Pick("frame", name, views.get((name, rep["set"]), UNKNOWN), phase, str(rep["exercise"]), min(frame, last))
        for rep in reps
        for phase, frame in zip(PHASES, (rep["start"], (rep["start"] + rep["turn"]) // 2, rep["turn"]), strict=True)
    ]
    if not found:
        found = [Pick("frame", name, UNKNOWN, "no repetition", _exercise(sets), last * n // 4) for n in (1, 2, 3)]
    return list({one.id: one for one in found}.values())


def _exercise(sets: Sequence[Row]) -> str:
    return str(sets[0]["exercise"]) if sets else "none"


def _clips(
    name: str, clock: Sequence[float], reps: Sequence[Row], sets: Sequence[Row], views: Mapping[tuple[str, int], str]
) -> list[Pick]:
    """Each set with room around it, cut behind a repetition where it is long; without a set the clip's beginning."""
    found = []
    for one in sets:
        mine = sorted((rep for rep in reps if rep["set"] == one["set"]), key=lambda rep: int(rep["start"]))
        start, end = _index(clock, clock[one["start"]] - ROOM_S), one["end"]
        if clock[min(end, len(clock) - 1)] - clock[start] > LONGEST_S:
            inside = [rep["end"] for rep in mine if clock[min(rep["end"], len(clock) - 1)] - clock[start] <= LONGEST_S]
            end = max(inside, default=_index(clock, clock[start] + LONGEST_S))
        else:
            end = _index(clock, clock[min(end, len(clock) - 1)] + ROOM_S) + 1
        view = views.get((name, one["set"]), UNKNOWN)
        found.append(_clip(name, clock, start, end, view, str(one["exercise"]), reps))
    return found or [_clip(name, clock, 0, _index(clock, SILENT_S) + 1, UNKNOWN, "none", reps)]


def _clip(
    name: str, clock: Sequence[float], start: int, end: int, view: str, exercise: str, reps: Sequence[Row]
) -> Pick:
    end = min(max(end, start + 1), len(clock))
    counted = _counted(reps, start, end)
    return Pick("clip", name, view, "", exercise, start, end, clock[start], clock[end - 1], counted=counted)


def _counted(reps: Iterable[Row], start: int, end: int) -> int:
    """Complete repetitions whose turn lies in frames [start, end)."""
    return sum(bool(rep["complete"]) and start <= rep["turn"] < end for rep in reps)


def _index(clock: Sequence[float], at_s: float) -> int:
    return int(np.clip(np.searchsorted(clock, at_s), 0, len(clock) - 1))


def spread(candidates: Sequence[Pick], wanted: int, cell: Callable[[Pick], tuple[str, ...]]) -> list[Pick]:
    """Candidates in turn from each cell, in each the clip that has given least so far; ties by the hash of the pick."""
    cells: dict[tuple[str, ...], list[Pick]] = defaultdict(list)
    for one in candidates:
        cells[cell(one)].append(one)
    given, chosen = Counter[str](), list[Pick]()
    while len(chosen) < wanted and any(cells.values()):
        for name in sorted(cells):
            if cells[name] and len(chosen) < wanted:
                best = min(cells[name], key=lambda one: (given[one.sample_id], one.id))
                cells[name].remove(best)
                given[best.sample_id] += 1
                chosen.append(best)
    return _in_order(chosen)


def _with_bodies(labels: Path, chosen: Sequence[Pick]) -> list[Pick]:
    """Frames with what to show and which joints to ask for: both sides, or the nearer one in a view from the side."""
    if not chosen:
        return []
    rows = read_table(labels / "poses.parquet", "poses",
                      ["sample_id", "frame", "skeleton", "x_px", "y_px", "visibility"],
                      filters=[("sample_id", "in", sorted({one.sample_id for one in chosen}) or [""])])  # fmt: skip
    places = {(one.sample_id, one.frame) for one in chosen}
    keys = zip(rows["sample_id"].to_pylist(), rows["frame"].to_pylist(), strict=True)
    kept = [number for number, key in enumerate(keys) if key in places]
    poses = {(row["sample_id"], row["frame"]): row for row in rows.take(kept).to_pylist()}
    return [_with_body(one, poses.get((one.sample_id, one.frame))) for one in chosen]


def _with_body(one: Pick, row: Row | None) -> Pick:
    sides: tuple[str, ...] = ("left", "right")
    box: Box = (0, 0, 0, 0)
    if row is not None:
        xy = np.array([row["x_px"], row["y_px"]], np.float64).T
        seen = xy[np.isfinite(xy).all(-1)]
        if one.view == "side":
            sides = (_nearer(row),)
        if len(seen) >= 4:
            low, high = seen.min(0), seen.max(0)
            room = MARGIN * float((high - low).max())
            left, top = np.floor(low - room).astype(int)
            width, height = np.ceil(high - low + 2 * room).astype(int)
            box = (int(left), int(top), int(width), int(height))
    joints = tuple(f"{side}_{name}" for side in sides for name in SIDE_JOINTS)
    return replace(one, joints=joints, box=box)


def _nearer(row: Row) -> str:
    """The side that the labeller sees better."""
    index = SKELETONS[row["skeleton"]].index
    seen = {side: float(np.nanmean([row["visibility"][index(f"{side}_{name}")] or 0.0 for name in SIDE_JOINTS]))
            for side in ("left", "right")}  # fmt: skip
    return max(seen, key=lambda side: (seen[side], side))
