"""Repetitions with a verdict from curated tables, and the numbers by which one is judged.

A repetition is told by its angles: how far the counted one goes at the turn, how far it opens at the ends, what the
other joints and the trunk do meanwhile. A number of its own says how much of that could be seen.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from repset import angles
from repset.exercises import BY_NAME
from repset.learn import exercise_data as poses
from repset.project import Project
from repset.records import read_rows
from repset.schema import PoseTrack

VERDICTS = ("correct", "incorrect", "unscorable")
GOLD = poses.GOLD
JOINTS = ("elbow", "shoulder", "hip", "knee", "body_line")
END_SHARE = 0.2
"""Of a repetition's frames, at each end: where it is at rest."""

MARGIN_S = 0.15
"""Frames this long before and after are looked at too: an arm is straight at the end, not inside."""

NAMES: tuple[str, ...] = (
    "turn", "rest", "travel", *(f"{joint}_{what}" for joint in JOINTS for what in ("least", "most", "at_turn")),
    "lean_least", "lean_most", "lean_at_turn", "seconds", "signal_seen", "seen",
)  # fmt: skip
"""`turn`, `rest` and `travel` are of the counted angle, turned so that more of `turn` is always less of a repetition;
angles are in half turns. `signal_seen` and `seen` are shares of frames and joints."""
DIRECTIONAL = ("turn", "rest", "travel")
SEEN = ("signal_seen", "seen")


@dataclass(frozen=True)
class Rep:
    """One repetition.

    Attributes:
        frames: [start, end); verdict: of VERDICTS; fault: the rule it breaks, "" where none is named.
        numbers: (D,) of NAMES, NaN where not seen.
    """

    sample_id: str
    source: str
    group: str
    fold: str
    tier: str
    exercise: str
    frames: tuple[int, int]
    verdict: str
    fault: str
    numbers: npt.NDArray[np.float32]

    @property
    def is_gold(self) -> bool:
        """Whether it may be evaluation truth."""
        return self.tier in GOLD


def load_reps(project: Project, tables: Mapping[str, Path]) -> tuple[list[Rep], dict[str, int]]:
    """Every judged repetition that has a pose, in the order of the tables.

    Poses are those that `repset autolabel` found, else the set's own.
    Returns: the repetitions, and for each source how many verdicts have no pose or no exercise of the ontology.
    """
    reps: list[Rep] = []
    without: dict[str, int] = {}
    for source, path in tables.items():
        rows = [row for row in read_rows(path, "curated", filters=[("task", "=", "form")]) if row["value"]]
        wanted = {row["sample_id"] for row in rows}
        automatic = project.labels(source) / "poses.parquet"
        tracks = poses.read_tracks(project, source, wanted, automatic) if automatic.is_file() else {}
        if rest := wanted - set(tracks):
            tracks |= poses.read_tracks(project, source, rest)
        found = [_rep(source, row, tracks) for row in rows]
        reps += [rep for rep in found if rep]
        without[source] = found.count(None)
    return reps, without


def _rep(source: str, row: Mapping[str, Any], tracks: Mapping[str, tuple[poses.Frames, PoseTrack]]) -> Rep | None:
    target, verdict = json.loads(row["target"]), json.loads(row["value"])
    exercise, limits = target.get("exercise"), target.get("frames")
    if row["sample_id"] not in tracks or exercise not in BY_NAME or verdict not in VERDICTS:
        return None
    frames, track = tracks[row["sample_id"]]
    if limits is None:
        inside = frames[_between(track.time_s, *(target.get("interval_s") or (0.0, np.inf)))]
        if not len(inside):
            return None
        limits = int(inside[0]), int(inside[-1]) + 1
    numbers = describe(frames, track, limits[0], limits[1], exercise)
    fault = (target.get("rule_id") or "") if verdict == "incorrect" else ""
    return Rep(row["sample_id"], source, row["group"], row["fold"], row["tier"], exercise,
               (limits[0], limits[1]), verdict, fault, numbers)  # fmt: skip


def _between(time_s: npt.NDArray[np.float64], start: float, end: float) -> npt.NDArray[np.bool_]:
    return np.asarray((time_s >= start - 1e-6) & (time_s < end - 1e-6))


def describe(frames: poses.Frames, track: PoseTrack, start: int, end: int, exercise: str) -> npt.NDArray[np.float32]:
    """(D,) numbers of the repetition in frames [start, end) of a clip; all NaN but `seen` where nothing was found."""
    room = round(MARGIN_S * (track.fps or 30.0))
    inside = (frames >= start - room) & (frames < end + room)
    numbers = dict.fromkeys(NAMES, np.nan) | {"signal_seen": 0.0, "seen": 0.0}
    if inside.any():
        part = poses.cut(track, inside)
        numbers |= _numbers(part, exercise)
    return np.array([numbers[name] for name in NAMES], np.float32)


def _numbers(part: PoseTrack, exercise: str) -> dict[str, float]:
    """Numbers of one stretch."""
    every = angles.evaluate_all(part.xy_px, part.skeleton)
    ontology = BY_NAME[exercise]
    sign = 1.0 if ontology.effort == "min" else -1.0
    both = {joint: _better(every, joint) / 180 for joint in {*JOINTS, ontology.signal}}
    lean = every["trunk_lean"] / 180
    signal = both[ontology.signal]
    out: dict[str, float] = {
        "seconds": float(part.time_s[-1] - part.time_s[0]),
        "signal_seen": float(np.isfinite(signal).mean()),
        "seen": float(np.nanmean(np.nan_to_num(part.visibility))),
    }
    known = np.flatnonzero(np.isfinite(signal))
    if len(known) < 3:
        return out
    turn = int(known[np.argmin(sign * signal[known])])
    ends = max(1, round(END_SHARE * len(signal)))
    edge = np.r_[signal[:ends], signal[-ends:]]
    at_turn, at_rest = sign * float(signal[turn]), float(np.nanmax(sign * edge)) if np.isfinite(edge).any() else np.nan
    out |= {"turn": at_turn, "rest": -at_rest, "travel": at_turn - at_rest}
    near = slice(max(0, turn - 2), turn + 3)
    for name, values in (*((joint, both[joint]) for joint in JOINTS), ("lean", lean)):
        if np.isfinite(values).any():
            middle = values[near]
            out |= {
                f"{name}_least": float(np.nanmin(values)),
                f"{name}_most": float(np.nanmax(values)),
                f"{name}_at_turn": float(np.nanmedian(middle)) if np.isfinite(middle).any() else np.nan,
            }
    return out


def _better(every: Mapping[str, npt.NDArray[np.float32]], name: str) -> npt.NDArray[np.float32]:
    """Mean of both sides, or the one that is seen."""
    left, right = every[f"left_{name}"], every[f"right_{name}"]
    return np.where(np.isnan(left), right, np.where(np.isnan(right), left, (left + right) / 2))
