"""The report's table of repetitions: counts, verdicts, and medians over what was measured."""

from pathlib import Path
from typing import Any

from repset.params import load_source
from repset.project import Project
from repset.report.facts import Source
from repset.report.repetitions import verdict_tables

ROOT = Path(__file__).resolve().parent.parent


def rep(exercise: str, range_deg: float | None, *tempo_s: float | None) -> dict[str, Any]:
    phases = dict(zip(("eccentric_s", "pause_s", "concentric_s"), tempo_s, strict=True))
    return {"exercise": exercise, "range_deg": range_deg, **phases}


def verdict(exercise: str, name: str, level: str = "rep") -> dict[str, Any]:
    return {"exercise": exercise, "verdict": name, "level": level}


def test_repetitions_are_told_by_exercise_with_median_range_and_tempo() -> None:
    source = Source(Project(ROOT), "sample_mmfit", load_source(Project(ROOT), "sample_mmfit"))
    source.__dict__["reps"] = {
        "a": [rep("squat", 80, 1.0, 0.0, 0.5), rep("squat", 100, 2.0, None, 0.7)],
        "b": [rep("squat", None, 4.0, 0.2, None), rep("jump_rope", None, None, None, None)],
    }
    source.__dict__["form"] = {
        "a": [verdict("squat", "correct"), verdict("squat", "incorrect"), verdict("squat", "incorrect", "clip")],
        "b": [verdict("squat", "correct"), verdict("jump_rope", "unscorable")],
    }
    (table,) = verdict_tables(source)
    assert table.head == (
        "exercise", "repetitions", "correct", "incorrect", "unscorable", "range of motion", "down, pause, up (s)",
    )  # fmt: skip
    assert table.rows == [
        ["jump rope", "1", "0", "0", "1", "–", "–"],
        ["squat", "3", "2", "1", "0", "90°", "2.0, 0.1, 0.6"],
    ]
