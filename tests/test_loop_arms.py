"""The loop's four arms on poses: who keeps gold, what the others learn from, differences by hand, and one short run."""

import importlib
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from repset.project import Project
from repset.records import read_rows
from tests.test_exercise import write_source

pytestmark = pytest.mark.train


@pytest.fixture
def arms(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parent.parent / "tools"))
    return importlib.import_module("loop_arms")


def rows_of(count: int) -> list[dict[str, Any]]:
    return [{"sample_id": f"penn_action/{n:04d}", "fold": "train", "group": str(n)} for n in range(count)]


def test_neighbours_are_one_group_on_one_side(arms: ModuleType) -> None:
    rows = arms.regrouped(rows_of(400), 4)
    assert [row["group"] for row in rows[:9]] == ["0000"] * 4 + ["0001"] * 4 + ["0002"]
    folds = {row["group"]: row["fold"] for row in rows}
    assert all(row["fold"] == folds[row["group"]] for row in rows)
    shares = {fold: list(folds.values()).count(fold) for fold in ("train", "calibration", "test")}
    assert sum(shares.values()) == 100
    assert all(20 <= n <= 50 for n in shares.values())


def test_differences_are_those_of_the_same_groups(arms: ModuleType) -> None:
    better = [{"a": [3, 4], "b": [1, 1]}, {"a": [4, 4], "b": [1, 1]}]
    worse = [{"a": [2, 4], "b": [1, 1]}, {"a": [2, 4], "b": [0, 1]}]
    assert arms.accuracy(better[0]) == pytest.approx(4 / 5)
    found = arms.difference(better, worse)
    assert found["mean"] == pytest.approx((1 / 5 + 3 / 5) / 2)
    # Drawing two groups: twice a gives 1.5 of 4, twice b gives 0.5 of 1.
    np.testing.assert_allclose(found["interval_95"], [0.375, 0.5], atol=1e-4)
    assert arms.difference(better, better) == {"mean": 0.0, "interval_95": [0.0, 0.0]}


def test_a_short_run_trains_each_arm_on_its_own_labels(
    arms: ModuleType, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = ("squat", "shoulder_press")
    clips = [(f"{n:04d}", "train", "penn_13", [(labels[n % 2], 70)]) for n in range(48)]
    table = write_source(project, "penn_action", clips)
    seed = project.seed("exercise", "penn_action")
    seed.mkdir(parents=True)
    shutil.copy(table, seed / "table.parquet")
    monkeypatch.chdir(project.root)
    out = tmp_path / "arms"
    monkeypatch.setattr(sys, "argv", ["loop_arms.py", str(out), "--seeds", "0", "--steps", "2"])
    arms.main()
    found = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    (taken,) = found["acceptance"]
    assert set(found["arms"]) == {"bootstrap", "accepted", "unfiltered", "oracle"}
    assert taken["accepted"] == 0  # far fewer than 59 groups
    learned = {
        arm: read_rows(out / "seed_0" / arm / "table.parquet", "curated")
        for arm in ("bootstrap", "unfiltered", "oracle")
    }
    assert {row["tier"] for row in learned["unfiltered"]} == {"gold", "accepted"}
    assert {row["tier"] for row in learned["oracle"]} == {"gold"}
    assert len(learned["oracle"]) == 48  # with the folds calibration and test
    assert 0 < sum(row["fold"] == "train" for row in learned["bootstrap"]) < 12
    assert found["differences"]["accepted - bootstrap"]["mean"] == 0.0
    times = {path: path.stat().st_mtime_ns for path in out.rglob("weights.safetensors")}
    arms.main()  # all is done already
    assert {path: path.stat().st_mtime_ns for path in times} == times
    monkeypatch.setattr(sys, "argv", ["loop_arms.py", str(out), "--seeds", "0", "--steps", "3"])
    arms.main()  # other steps are another training
    assert all(path.stat().st_mtime_ns > before for path, before in times.items())
