"""Counts accepted without a person: what is proposed, what is known of the truth, and what is taken."""

from typing import Any

import pytest
from click.testing import CliRunner

from repset.cli import cli
from repset.curate.acceptance import accept
from repset.curate.acceptance_counts import count_slots, counted_sets, evenness
from repset.curate.decision import Decision, Proposal
from repset.curate.ledger import Ledger
from repset.errors import DataError
from repset.params import AcceptParams
from repset.project import Project
from repset.records import TABLES, canonical_json, read_rows, sha256_bytes, write_table

PARAMS = AcceptParams(max_error=0.05, confidence=0.95, pool_below_groups=100, audit=60, seed=7)
GYM, FPS, PERIOD = "gym", 10.0, 20


def full(table: str, **columns: Any) -> dict[str, Any]:
    return dict.fromkeys(TABLES[table].names) | columns


def rep(name: str, number: int, start: int, end: int, range_deg: float | None = 80.0) -> dict[str, Any]:
    """A repetition of set 0 that turns half-way."""
    turn = (start + end) // 2
    return full("reps", sample_id=name, person=0, set=0, rep=number, exercise="squat", start=start, turn=turn, end=end,
                start_s=start / FPS, turn_s=turn / FPS, end_s=end / FPS, complete=True, range_deg=range_deg,
                origin="rule")  # fmt: skip


def write(project: Project, clips: dict[str, tuple[str, int, int | None]]) -> None:
    """Clips with a set of squats: name → (fold, repetitions of 2 s that the labeller found, the dataset's count)."""
    samples, split, true, sets, reps, form = [], [], [], [], [], []
    for name, (fold, found, count) in clips.items():
        end = max(1, found) * PERIOD
        samples.append(full("samples", sample_id=name, source=GYM, kind="clip", group=name, fps=FPS, frames=end,
                            media_sha256=sha256_bytes(name.encode())))  # fmt: skip
        split.append(full("split", sample_id=name, group=name, fold=fold))
        stretch = full("sets", sample_id=name, set=0, start=0, end=end, exercise="squat")
        if count is not None:
            true.append({**stretch, "reps": count, "origin": "dataset"})
        sets.append({**stretch, "origin": "model"})
        for n in range(found):
            mine = rep(name, n, n * PERIOD, (n + 1) * PERIOD)
            reps.append(mine)
            form.append(full("form", sample_id=name, person=0, set=0, level="rep", rep=n, start=mine["start"],
                             end=mine["end"], exercise="squat", verdict="correct", origin="rule"))  # fmt: skip
    tables = {project.index(GYM): {"samples": samples, "sets": true, "form": [], "reps": []},
              project.labels(GYM): {"sets": sets, "reps": reps, "form": form}}  # fmt: skip
    for folder, content in tables.items():
        for table, rows in content.items():
            write_table(folder / f"{table}.parquet", table, rows)
    write_table(project.split(GYM) / "split.parquet", "split", split)


def say(project: Project, name: str, start: int, end: int, action: str, tool: str = "label_studio") -> None:
    """One line of the ledger on a repetition, [start, end) in frames."""
    shown = None if action == "new" else Proposal("rule", None, sha256_bytes(canonical_json("correct").encode()))
    target = {"person": 0, "interval_s": [start / FPS, end / FPS]}
    Ledger(project.reviews).append(Decision("bo", tool, name, "form", target, action, "correct", proposal=shown))


@pytest.mark.parametrize(
    ("reps", "score"),
    [
        ([], 0.0),
        ([rep("a", 0, 0, 20)], 0.0),  # nothing to compare it with
        ([rep("a", 0, 0, 20), rep("a", 1, 20, 40)], 1.0),
        ([rep("a", 0, 0, 20, 80.0), rep("a", 1, 20, 40, 80.0), rep("a", 2, 40, 60, 20.0)], 0.25),
        ([rep("a", 0, 0, 20), rep("a", 1, 20, 40), rep("a", 2, 60, 80)], 0.5),  # one was missed: 4 s between turns
        ([rep("a", 0, 0, 20, None), rep("a", 1, 20, 40)], 0.0),
    ],
)
def test_a_repetition_that_stands_out_lowers_the_score(reps: list[dict[str, Any]], score: float) -> None:
    assert evenness(reps) == pytest.approx(score)


def test_sets_are_proposed_with_their_count(project: Project) -> None:
    write(project, {f"{GYM}/a": ("train", 3, None), f"{GYM}/b": ("train", 0, None)})
    first, second = counted_sets(project, GYM)
    assert (first["value"], first["score"], first["task"], first["origin"]) == ("3", 1.0, "count", "rule")
    assert first["target"] == canonical_json({"exercise": "squat", "frames": [0, 60], "interval_s": [0.0, 6.0]})
    assert (second["value"], second["score"]) == ("0", 0.0)


def test_counts_are_taken_where_the_datasets_own_bear_them_out(project: Project) -> None:
    known = {f"{GYM}/k{n:02d}": ("calibration", 4, 4) for n in range(60)}
    held_out = {f"{GYM}/t{n}": ("test", 4, 5 if n == 0 else 4) for n in range(4)}
    write(project, known | held_out | {f"{GYM}/new": ("train", 6, None), f"{GYM}/one": ("train", 1, None)})
    built = accept(project, "count", GYM, PARAMS)
    (row,) = read_rows(built.path, "proposals")
    assert (row["sample_id"], row["value"]) == (f"{GYM}/new", "6")
    (pool,) = built.report["pools"]
    assert pool["classes"] == ["squat"]
    assert pool["held_out"] == {"items": 4, "wrong": 1, "error": 0.25}
    assert built.report["refused"] == {"score below the threshold": 1, "the dataset has a label": 64}


def test_off_by_one_is_an_error(project: Project) -> None:
    known = {f"{GYM}/k{n:02d}": ("calibration", 4, 5 if n < 12 else 4) for n in range(60)}
    write(project, known | {f"{GYM}/new": ("train", 4, None)})
    report = accept(project, "count", GYM, PARAMS).report
    assert (report["accepted"], report["pools"][0]["error"]) == (0, pytest.approx(0.2))


def test_people_say_the_count_by_going_through_the_repetitions(project: Project) -> None:
    names = [f"{GYM}/{letter}" for letter in "abcd"]
    write(project, {name: ("train", 3, None) for name in names})
    for n in range(3):
        say(project, names[0], n * PERIOD, (n + 1) * PERIOD, "accept")
        say(project, names[1], n * PERIOD, (n + 1) * PERIOD, "reject" if n == 1 else "accept")
        say(project, names[2], n * PERIOD, (n + 1) * PERIOD, "accept", "rep_bench")  # sees no missed repetition
    say(project, names[0], 25, 28, "new")  # one that the labeller missed
    say(project, names[3], 0, PERIOD, "accept")  # two are still open
    proposals = counted_sets(project, GYM)
    slots = count_slots(project, GYM, proposals)
    assert {name: [slot.row and slot.row["value"] for slot in found] for name, found in slots.items() if found} == {
        names[0]: ["4"],
        names[1]: ["2"],
    }


def test_a_persons_count_goes_before_the_datasets(project: Project) -> None:
    name = f"{GYM}/a"
    write(project, {name: ("calibration", 2, 5)})
    for n in range(2):
        say(project, name, n * PERIOD, (n + 1) * PERIOD, "accept")
    (slot,) = count_slots(project, GYM, counted_sets(project, GYM))[name]
    assert slot.dataset is not None
    assert slot.row is not None
    assert (slot.dataset["value"], slot.row["value"], slot.row["tier"]) == ("5", "2", "gold_corrected")


def test_repetitions_that_the_dataset_marks_are_its_count(project: Project) -> None:
    """Of two sets in one clip: 2 s and 4 s of automatic repetitions, of which the dataset has two and one."""
    name = f"{GYM}/a"
    write(project, {name: ("calibration", 3, None)})
    halves = [full("sets", sample_id=name, set=n, start=a, end=b, exercise="squat", origin="model")
              for n, (a, b) in enumerate(((0, 40), (40, 60)))]  # fmt: skip
    write_table(project.labels(GYM) / "sets.parquet", "sets", halves)
    given = [{**rep(name, n, a, b), "origin": "dataset"} for n, (a, b) in enumerate(((0, 18), (20, 38), (41, 59)))]
    write_table(project.index(GYM) / "reps.parquet", "reps", given)
    slots = count_slots(project, GYM, counted_sets(project, GYM))[name]
    assert [(slot.interval, slot.row and slot.row["value"]) for slot in slots] == [((0.0, 4.0), "2"), ((4.0, 6.0), "1")]


def test_an_audit_of_counts_is_answered_in_label_studio(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{GYM}/{n:02d}" for n in range(62)]
    write(project, {name: ("train", 2, None) for name in names})
    report = accept(project, "count", GYM, PARAMS).report
    assert (report["known_by"], report["audit"]["drawn"], report["accepted"]) == ("audit", 60, 0)
    monkeypatch.setenv("REPSET_ROOT", str(project.root))
    said = CliRunner().invoke(cli, ["accept", "count", GYM])
    assert said.exit_code == 0, said.output
    assert f"Go through their repetitions: repset labelstudio push {GYM}" in said.output
    asked = [one.split(" ")[0] for one in report["audit"]["open"]]
    for name in asked:
        for n in range(2):
            say(project, name, n * PERIOD, (n + 1) * PERIOD, "accept")
    report = accept(project, "count", GYM, PARAMS).report
    assert (report["audit"]["judged"], report["audit"]["open"], report["accepted"]) == (60, [], 62)
    outside = next(name for name in names if name not in asked)
    for n in range(2):  # somebody looks at one more, and deletes a repetition
        say(project, outside, n * PERIOD, (n + 1) * PERIOD, "reject" if n else "accept")
    built = accept(project, "count", GYM, PARAMS)
    assert built.report["refused"] == {"people found it wrong": 1}
    assert outside not in {row["sample_id"] for row in read_rows(built.path, "proposals")}


def test_a_source_without_automatic_labels_is_told_what_to_do(project: Project) -> None:
    with pytest.raises(DataError) as error:
        accept(project, "count", GYM, PARAMS)
    labels = project.labels(GYM)
    assert str(error.value) == f"{labels}: expected automatic labels, found none. Run repset autolabel {GYM}."
