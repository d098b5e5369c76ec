"""The estimators of review: simulated reviewers whose truth is known, and counts written out by hand."""

import json
import math
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from repset.cli.review_report import command
from repset.curate.decision import Decision, Proposal
from repset.curate.ledger import Ledger
from repset.curate.review_worth import (
    Outcome,
    Timed,
    as_json,
    outcomes,
    probed,
    saving,
    share_interval,
    timed_tasks,
    winsorised,
)
from repset.project import Project
from repset.records import sha256_bytes

MODEL = "ab" * 32
SHOWN = {word: sha256_bytes(f'"{word}"'.encode()) for word in ("correct", "incorrect", "unscorable")}


def said(number: int, action: str = "accept", **more: Any) -> Decision:
    """A verdict on repetition `number`; what was shown is `shown`, `correct` unless said otherwise."""
    word = more.pop("shown", "correct")
    proposal = None if action in ("new", "undo") else Proposal("model", MODEL, SHOWN[word])
    fields: dict[str, Any] = {"reviewer": "anna", "tool": "label_studio", "sample_id": f"gym/{number:03d}",
              "task": "form", "target": {"person": 0, "interval_s": [0.0, 2.0]}, 
              "value": None if action == "undo" else word,
              "proposal": proposal, "at": f"2026-11-20T10:{number % 60:02d}:00Z"}  # fmt: skip
    return Decision(action=action, **(fields | more))


# --- what people did -------------------------------------------------------------------------------------------------


def test_outcomes_are_counted_by_what_was_shown() -> None:
    """Twelve called correct: 8 kept, 3 turned, 1 thrown out; a probe, an undone one and a new one do not count."""
    lines = [said(n) for n in range(8)]
    lines += [said(n, "edit", value="incorrect") for n in range(8, 11)] + [said(11, "reject")]
    lines += [said(12, probe=True), said(13), said(14, "new")]
    lines.append(said(13, "undo", supersedes=lines[13].id, at="2026-11-20T11:00:00Z"))
    first = said(20, shown="incorrect")
    lines += [first, said(20, "reject", shown="incorrect", supersedes=first.id, at="2026-11-20T12:00:00Z")]
    version = "model@abababababab"
    assert outcomes(lines) == [
        Outcome(version, "form", "correct", 8, 3, 1),
        Outcome(version, "form", "incorrect", 0, 0, 1),
    ]
    assert outcomes([]) == []


def test_masks_count_by_class_and_a_dataset_has_no_hash() -> None:
    mask = Decision("anna", "label_studio", "photos/a", "muscle_mask", {"class": "calf"}, "accept", png=b"x",
                    proposal=Proposal("dataset", None, "0" * 64), at="2026-11-20T10:00:00Z")  # fmt: skip
    assert outcomes([mask]) == [Outcome("dataset", "muscle_mask", "calf", 1, 0, 0)]


def test_wilsons_interval_is_the_published_one() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3: 81/263, 15/148, 0/20, 1/29
    for part, whole, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
                                   (1, 29, 0.0061, 0.1718)):  # fmt: skip
        assert share_interval(part, whole) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert all(math.isnan(value) for value in share_interval(0, 0))


# --- how long it took ------------------------------------------------------------------------------------------------


def simulate(rng: np.random.Generator, saved: float, idle: float = 0.0, tasks: int = 60) -> list[Timed]:
    """Three reviewers of very different pace, the slow one with more blank tasks than the others.

    Blank tasks take 40, 80 or 160 s in the mean, labels on screen save each of them `saved` seconds; a share `idle` of
    all tasks was left open for twenty minutes.
    """
    found = []
    for number, (pace, share) in enumerate(((40.0, 0.1), (80.0, 0.2), (160.0, 0.5))):
        for _ in range(tasks):
            blank = bool(rng.random() < share)
            mean = pace if blank else pace - saved
            seconds = mean * rng.lognormal(-0.045, 0.3)  # mean 1
            seconds += 1200.0 if rng.random() < idle else 0.0
            found.append(Timed(f"r{number}", "photos", blank, float(seconds)))
    return found


def test_the_estimate_is_right_in_the_mean_and_its_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    found = [saving(simulate(rng, 15.0)) for _ in range(300)]
    estimates = [one.saved_s for one in found if one]
    assert np.mean(estimates) == pytest.approx(15.0, abs=1.5)
    holds = np.mean([one.low_s <= 15.0 <= one.high_s for one in found if one])
    assert 0.90 <= holds <= 0.99  # 95 % of 300: ± 2.5 % by chance, and times are skewed


def test_whoever_does_not_compare_within_reviewers_finds_something_else_in_the_same_data() -> None:
    """The slow reviewer got most of the blank tasks; who pools them finds three times as much as there is."""
    rng = np.random.default_rng(4)
    tasks = [task for _ in range(20) for task in simulate(rng, 15.0)]
    pooled = np.mean([t.seconds for t in tasks if t.blank]) - np.mean([t.seconds for t in tasks if not t.blank])
    assert pooled > 45.0
    found = saving(tasks)
    assert found is not None
    assert found.saved_s == pytest.approx(15.0, abs=2.0)
    assert found.cells == 3


def test_pages_left_open_do_not_turn_the_answer() -> None:
    rng = np.random.default_rng(5)
    clean, idle = [], []
    for _ in range(100):
        one, other = saving(simulate(rng, 15.0)), saving(simulate(rng, 15.0, idle=0.05))
        assert one is not None
        assert other is not None
        assert other.cut > 0
        clean.append(one.saved_s)
        idle.append(other.saved_s)
    assert np.mean(idle) == pytest.approx(np.mean(clean), abs=3.0)  # uncut, a single open page in fifty adds 24 s
    assert np.std(idle) < 2 * np.std(clean)


def test_nothing_saved_is_not_called_a_saving() -> None:
    rng = np.random.default_rng(6)
    found = [saving(simulate(rng, 0.0)) for _ in range(200)]
    assert np.mean([one.low_s > 0 for one in found if one]) <= 0.06


def test_a_difference_written_out() -> None:
    """Anna: 10, 12, 14 with labels, 20, 24 blank. n·m/(n+m) is the only weight; variances 4/3 and 8/2."""
    tasks = [Timed("anna", "gym", False, s) for s in (10.0, 12.0, 14.0)]
    tasks += [Timed("anna", "gym", True, s) for s in (20.0, 24.0)] + [Timed("bert", "gym", True, 900.0)]
    found = saving(tasks)
    assert found is not None
    assert (found.shown, found.blank, found.shown_s, found.blank_s, found.saved_s) == (3, 2, 12.0, 22.0, 10.0)
    # Welch: var 4/3 + 4 = 5.333; freedom 5.333² / ((4/3)²/2 + 4²/1) = 1.684; t = 5.17 (between 12.71 and 4.30)
    assert (found.low_s, found.high_s) == (pytest.approx(-1.94, abs=0.1), pytest.approx(21.94, abs=0.1))
    assert saving([task for task in tasks if task.blank]) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.1, 1000), max_size=40))
def test_cutting_never_lengthens_and_keeps_the_order(seconds: list[float]) -> None:
    (values, none), cut = winsorised(seconds, [])
    assert len(none) == 0
    assert np.all(values <= np.asarray(seconds))
    assert cut == np.count_nonzero(values < np.asarray(seconds))
    assert np.all(
        np.argsort(values, kind="stable") == np.argsort(np.minimum(seconds, values.max(initial=0)), kind="stable")
    )


def test_lines_of_one_answer_are_one_task_and_a_second_answer_belongs_to_it() -> None:
    a1, a2 = said(1, seconds=3.0), said(1, "new", seconds=3.0, target={"frame": 0, "person": 0})
    later = said(1, "edit", value="incorrect", seconds=4.0, supersedes=a1.id, at="2026-11-20T12:00:00Z")
    blank = said(2, "new", seconds=9.0, target={"person": 0, "interval_s": [0.0, 2.0], "blank": True})
    probe, nothing = said(3, seconds=5.0, probe=True), said(4, "new", seconds=5.0)
    bench = said(5, seconds=2.0, tool="rep_bench")
    assert timed_tasks([a1, a2, later, blank, probe, nothing, bench]) == [
        Timed("anna", "gym", False, 10.0), Timed("anna", "gym", True, 9.0),
    ]  # fmt: skip


# --- what they let through -------------------------------------------------------------------------------------------


def test_probes_waved_through_and_owed() -> None:
    lines = [said(n, probe=True) for n in range(3)] + [said(n, "reject", probe=True) for n in range(3, 10)]
    lines += [said(0, at="2026-11-21T10:00:00Z"), said(5, at="2026-11-19T10:00:00Z")]  # seen since; seen before
    lines.append(said(1, probe=True, reviewer="bert", at="2026-11-20T10:30:00Z"))
    anna, bert = probed(lines)
    assert (anna.reviewer, anna.task, anna.shown, anna.waved, anna.owed) == ("anna", "form", 10, 3, 9)
    assert anna.interval == (pytest.approx(0.1078, abs=1e-3), pytest.approx(0.6032, abs=1e-3))
    assert (bert.shown, bert.waved, bert.owed) == (1, 1, 1)


def test_a_reviewer_who_looks_at_seven_in_ten_is_told_so() -> None:
    """The share waved through comes back, and its interval holds the truth."""
    rng = np.random.default_rng(8)
    holds = []
    for _ in range(100):
        lines = [said(n, "accept" if rng.random() < 0.3 else "reject", probe=True) for n in range(40)]
        (one,) = probed(lines)
        holds.append(one.interval[0] <= 0.3 <= one.interval[1])
    assert 0.9 <= np.mean(holds) <= 1.0


def test_the_command_tells_all_three(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPSET_ROOT", str(project.root))
    run = CliRunner()
    assert (
        run.invoke(command, [], catch_exceptions=False).output
        == "The ledger is empty: nobody has decided anything yet.\n"
    )
    ledger = Ledger(project.reviews)
    ledger.append(said(0, seconds=10.0))
    out = run.invoke(command, [], catch_exceptions=False).output
    assert "time: nothing to compare yet" in out
    assert "attention: no label was shown wrong on purpose" in out
    for n in range(1, 5):
        ledger.append(said(n, seconds=10.0 + n))
        ledger.append(
            said(10 + n, "new", seconds=30.0 + n, target={"person": 0, "interval_s": [0.0, 2.0], "blank": True})
        )
        ledger.append(said(20 + n, "accept", probe=True))
    lines = run.invoke(command, ["--source", "gym"], catch_exceptions=False).output
    assert "time: 12.0 s a task with labels on screen (5 tasks), 32.5 s blank (4)" in lines
    assert "saved: 20.5 s a task, 95 % interval" in lines
    assert "4 true labels wait to be seen" in lines
    found = json.loads(run.invoke(command, ["--json"], catch_exceptions=False).output)
    assert found["probes"][0]["waved"] == 4
    assert found == json.loads(json.dumps(as_json(ledger.read())))
