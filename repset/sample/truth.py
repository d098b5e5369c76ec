"""The truth that the real formats have no place for: `truth.json` beside each archive of the rendered sample.

Layout: {"about": str, "family": str, "fps": 30, "reps": [...], "form": [...], "sets": [...], "angles": [...]}.
Rows carry the columns of repset.records.TABLES of the same name, with `native_id` ("0001", "w03") in place of
`sample_id`; a column that is missing from a row is null. Frames count from 0, intervals are half-open. A repetition
begins and ends in the start position (`end` is the frame that reaches it) and turns where the signal is extreme.

`angles` and `reps` of Penn clips hold the counted signal in the image, from the exact projected joints, in pixels.
`form` is judged on the true 3-D angles, against the limits each row states.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repset.angles import interior_deg
from repset.records import canonical_json, write_text
from repset.sample.catalogue import Motion
from repset.sample.course import Course, Rep
from repset.sample.geometry import Array
from repset.sample.motions import signal_deg
from repset.sample.skeleton import Solved

FPS = 30.0
RULE_SET = "sample_truth"
Row = dict[str, Any]


@dataclass(frozen=True)
class Measure:
    """A measured quantity and its limit: low is a minimum, high a maximum (degrees)."""

    rule_id: str
    signal: str
    value_deg: float
    low_deg: float | None
    high_deg: float | None

    @property
    def holds(self) -> bool:
        """Whether the value is within the limit."""
        above = self.low_deg is None or self.value_deg >= self.low_deg
        return above and (self.high_deg is None or self.value_deg <= self.high_deg)


EXTRA_LIMITS = {"trunk_lean": ("trunk_lean", None, 50.0), "hip_sag": ("body_line", 165.0, None),
                "elbow_drift": ("shoulder", None, 32.0)}  # fmt: skip
"""Fault channel → signal, lowest and highest allowed value over the repetition."""


def trunk_lean_deg(solved: Solved) -> Array:
    """Angle of mid-hip → neck to the vertical in 3-D: (T,)."""
    trunk = solved.joint("neck") - (solved.joint("left_hip") + solved.joint("right_hip")) / 2
    return np.asarray(np.degrees(np.arccos(np.clip(trunk[:, 1] / np.linalg.norm(trunk, axis=1), -1, 1))), float)


def _body_line_deg(solved: Solved) -> Array:
    sides = [
        [solved.joint(f"{side}_{j}").astype(np.float32) for j in ("shoulder", "hip", "ankle")]
        for side in ("left", "right")
    ]
    return np.asarray(np.mean([interior_deg(*side) for side in sides], axis=0), float)


def measures(motion: Motion, solved: Solved, rep: Rep) -> list[Measure]:
    """What the verdict on one repetition looks at, in the order in which faults are named."""
    signal = signal_deg(solved, motion.signal)
    last = min(rep.end, len(signal) - 1)
    limit, lock = motion.tempo.turn_limit, motion.tempo.lock_limit
    found = []
    if limit is not None:
        low, high = (limit, None) if motion.effort == "max" else (None, limit)
        found.append(Measure("shallow", motion.signal, float(signal[rep.turn]), low, high))
    if lock is not None:
        found.append(Measure("no_lockout", motion.signal, float(signal[last]), lock, None))
    for fault in motion.tempo.faults:
        if fault.extra:
            name, low, high = EXTRA_LIMITS[fault.extra[0]]
            whole = {"trunk_lean": trunk_lean_deg, "body_line": _body_line_deg}.get(name)
            values = (whole(solved) if whole else signal_deg(solved, name))[rep.start : rep.end]
            value = values.min() if low is not None else values.max()
            found.append(Measure(fault.name, name, float(value), low, high))
    return found


def rep_rows(
    native_id: str, set_: int, motion: Motion, course: Course, solved: Solved, first: int, view: str
) -> tuple[list[Row], list[Row]]:
    """Rows of `reps` and `form` of one set whose frame 0 is frame `first` of the clip."""
    reps: list[Row] = []
    form: list[Row] = []
    signal = signal_deg(solved, motion.signal)
    for number, planned in enumerate(course.reps):
        inside = signal[planned.start : planned.end]
        turn = planned.start + int(inside.argmin() if motion.effort == "min" else inside.argmax())
        rep = Rep(planned.start, turn, planned.end, planned.turn_deg, planned.lock_deg, planned.fault)
        times = {
            f"{name}_s": round((first + at) / FPS, 6)
            for name, at in (("start", rep.start), ("turn", turn), ("end", rep.end))
        }
        about = {"native_id": native_id, "person": 0, "set": set_, "rep": number, "exercise": motion.exercise}
        frames = {"start": first + rep.start, "turn": first + turn, "end": first + rep.end}
        reps.append(
            about
            | frames
            | times
            | {"complete": True, "range_deg": round(float(np.ptp(inside)), 3), "origin": "dataset"}
        )
        looked = measures(motion, solved, rep)
        if not looked:
            continue
        broken = [m for m in looked if not m.holds]
        shown = broken[0] if broken else looked[0]
        messages = {fault.name: fault.message for fault in motion.tempo.faults}
        message = messages.get(shown.rule_id, "Return to the start position") if broken else None
        del frames["turn"]
        form.append(about | frames | {
            "level": "rep", "verdict": "incorrect" if broken else "correct", "rule_set": RULE_SET,
            "rule_id": shown.rule_id if broken else None, "signal": shown.signal,
            "value_deg": round(shown.value_deg, 3), "low_deg": shown.low_deg, "high_deg": shown.high_deg,
            "view": view, "message": message, "origin": "dataset",
        })  # fmt: skip
    return reps, form


def view_name(azimuth_deg: float) -> str:
    """front | three_quarter | side | back, from the camera's azimuth (0 faces the athlete)."""
    away = abs((azimuth_deg + 180) % 360 - 180)
    return "front" if away < 25 else "three_quarter" if away < 62 else "side" if away < 118 else "back"


def write_truth(path: Path, family: str, rows: Iterable[dict[str, list[Row]]]) -> Path:
    """Gather the rows of all clips, in their order, one row a line."""
    tables: dict[str, list[Row]] = {"reps": [], "form": [], "sets": [], "angles": []}
    for part in rows:
        for name, extra in part.items():
            tables[name] += extra
    lines = [f'{{"about":"Truth of the rendered sample: drawn, not filmed.","family":"{family}","fps":30']
    for name, table in tables.items():
        body = ",\n".join(canonical_json(row) for row in table)
        lines.append(f',"{name}":[\n{body}]')
    return write_text(path, "\n".join(lines) + "}\n")
