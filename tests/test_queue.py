"""What to look at next: chances, worth, variety, budget, and what a decision does to the queue."""

import csv
import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from repset.cli import cli
from repset.curate.decision import Decision, Proposal
from repset.curate.doubt import ANGLE_ERROR_DEG, Doubt, chance_beyond, margin_deg
from repset.curate.ledger import Ledger
from repset.curate.queue import Wanted, build_queue, ranked, seconds_per_task
from repset.project import Project
from repset.records import TABLES, write_table
from repset.review.rep_queue import repetitions

Row = dict[str, Any]


def png(left: int, right: int) -> bytes:
    image = np.zeros((8, 10), np.uint8)
    image[:, left:right] = 255
    return bytes(cv2.imencode(".png", image)[1])


def sample(sample_id: str, kind: str = "clip", **more: Any) -> Row:
    row = {"sample_id": sample_id, "source": sample_id.split("/")[0], "kind": kind, "width": 10, "height": 8}
    row |= {"group": sample_id, "fps": 10.0, "frames": 100} if kind == "clip" else {"group": sample_id, "frames": 1}
    return row | more


def rep(sample_id: str, start: int, verdict: str, value: float | None, limit: float | None, **more: Any) -> Row:
    row = {"sample_id": sample_id, "person": 0, "set": 0, "level": "rep", "rep": start, "start": start,
           "end": start + 10, "exercise": "squat", "verdict": verdict, "rule_id": "depth", "value_deg": value,
           "high_deg": limit, "origin": "rule", "rules_sha256": "a" * 64}  # fmt: skip
    return row | more


def write(project: Project, source: str, samples: list[Row], labels: dict[str, list[Row]] | None = None,
          **tables: list[Row]) -> None:  # fmt: skip
    folders = [(project.index(source), ("samples", "frames", "masks", "sets", "form"), tables | {"samples": samples})]
    if labels is not None:
        folders.append((project.labels(source), ("sets", "form"), labels))
    for folder, names, given_rows in folders:
        for name in names:
            rows = [dict.fromkeys(TABLES[name].names) | row for row in given_rows.get(name, [])]
            write_table(folder / f"{name}.parquet", name, rows)


def propose(project: Project, task: str, source: str, rows: list[Row]) -> None:
    full = [dict.fromkeys(TABLES["proposals"].names) | {"task": task, "origin": "model", "origin_hash": "m" * 64} | row
            for row in rows]  # fmt: skip
    write_table(project.proposals(task, source) / "table.parquet", "proposals", full)


def said(queue: list[Wanted]) -> list[tuple[str, str, str]]:
    return [(one.sample_id, one.label, one.reason) for one in queue]


def test_a_verdict_is_doubtful_by_how_near_its_limit_lies(project: Project) -> None:
    form = [rep("gym/a", 0, "incorrect", 96.0, 95.0), rep("gym/a", 20, "incorrect", 124.0, 95.0),
            rep("gym/a", 40, "unscorable", None, None, rule_id=None),
            rep("gym/a", 60, "correct", None, None, rule_id=None)]  # fmt: skip
    write(project, "gym", [sample("gym/a", exercise="squat")], {"form": form})
    queue = build_queue(project, ["gym"], ["form"])
    by_start = {one.target["frames"][0]: one for one in queue}
    # a normal error of 7°: 1° beyond is φ(1/7) = 0.4432, 29° beyond is 0.00002
    assert by_start[0].chance == pytest.approx(0.4432, abs=1e-4)
    assert by_start[20].chance == pytest.approx(0.0, abs=1e-4)
    assert by_start[40].chance == pytest.approx(0.4)
    assert by_start[60].chance == pytest.approx(0.1)
    assert [one.target["frames"][0] for one in queue][-1] == 20
    assert by_start[0].reason == "incorrect by 1.0° from the limit of depth"
    assert ANGLE_ERROR_DEG == 7.0
    assert chance_beyond(0.0) == 0.5


def test_the_margin_is_to_the_nearer_limit_and_unknown_without_a_value() -> None:
    assert margin_deg({"value_deg": 100.0, "low_deg": 60.0, "high_deg": 95.0}) == 5.0
    assert margin_deg({"value_deg": 62.0, "low_deg": 60.0, "high_deg": 95.0}) == 2.0
    assert margin_deg({"value_deg": math.nan, "low_deg": 60.0, "high_deg": None}) is None
    assert margin_deg({}) is None


def test_who_contradicts_whom(project: Project) -> None:
    """A model against the set, a mask against a mask, and a proposal where nothing is."""
    write(project, "gym", [sample("gym/a", exercise="squat"), sample("gym/b", exercise="squat"), sample("gym/c")])
    whole = '{"interval_s":null}'
    rows = [{"sample_id": "gym/a", "target": whole, "value": '"lunge"', "score": 0.7},
            {"sample_id": "gym/b", "target": whole, "value": '"squat"', "score": 0.9},
            {"sample_id": "gym/c", "target": whole, "value": '"lunge"', "score": 0.6}]  # fmt: skip
    propose(project, "exercise", "gym", rows)
    queue = {one.sample_id: one for one in build_queue(project, ["gym"], ["exercise"])}
    assert queue["gym/a"].chance == pytest.approx(1 - 0.97 * 0.3)
    assert queue["gym/a"].reason == "model says lunge at 0.70, dataset squat"
    assert queue["gym/b"].chance == pytest.approx(0.03)
    assert queue["gym/c"].chance == pytest.approx(0.3)
    assert queue["gym/c"].reason == "a model proposes lunge at 0.60 where no label is"
    write(project, "photos", [sample("photos/a", "image")],
          masks=[{"sample_id": "photos/a", "variant": "", "person": 0, "label": "biceps", "png": png(0, 5),
                  "origin": "dataset"}])  # fmt: skip
    target = '{"class":"biceps","person":0,"variant":""}'
    row = {"sample_id": "photos/a", "target": target, "blob": png(0, 10), "score": 0.8}
    propose(project, "muscle_mask", "photos", [row])
    (mask,) = build_queue(project, ["photos"], ["muscle_mask"])
    assert mask.chance == pytest.approx(1 - 0.97 * (1 - 0.5 * 0.8))  # half of the pixels agree
    assert mask.reason == "model and dataset overlap by 0.50 only"


def test_a_clip_nobody_named_waits_and_findings_add_to_a_doubt(project: Project) -> None:
    write(project, "gym", [sample("gym/a"), sample("gym/b", exercise="squat")])
    finding = {"code": "label_gap", "severity": "warning", "sample_id": "gym/b", "sentence": "3 s without a label."}
    rows = [dict.fromkeys(TABLES["findings"].names) | finding]
    write_table(project.checks("gym") / "findings.parquet", "findings", rows)
    first, second = build_queue(project, ["gym"], ["exercise"])
    assert (first.sample_id, first.label, first.reason) == ("gym/a", "", "nothing is known of it")
    assert second.chance == pytest.approx(1 - 0.97 * 0.7)
    assert second.reason == "3 s without a label"


def accept(sample_id: str, reviewer: str = "anna", **more: Any) -> Decision:
    shown = Proposal("dataset", None, None)
    fields = {"action": "accept", "value": "squat", "proposal": shown, "at": "2026-11-20T10:00:00Z"} | more
    return Decision(reviewer, "rep_bench", sample_id, "exercise", {"interval_s": None}, **fields)


def test_what_a_person_settled_leaves_and_comes_back_when_it_is_contested_probed_or_changed(project: Project) -> None:
    names = ("settled", "contested", "probed", "changed", "fresh")
    write(project, "gym", [sample(f"gym/{name}", exercise=None if name == "changed" else "squat") for name in names])
    row = {"sample_id": "gym/changed", "target": '{"interval_s":null}', "value": '"lunge"', "score": 0.9}
    propose(project, "exercise", "gym", [row])
    ledger = Ledger(project.reviews)
    ledger.append(accept("gym/settled"))
    ledger.append(accept("gym/contested"))
    ledger.append(accept("gym/contested", "bert", action="edit", value="lunge", at="2026-11-20T11:00:00Z"))
    ledger.append(accept("gym/probed", probe=True, value="lunge"))
    ledger.append(accept("gym/changed", proposal=Proposal("model", "0" * 64, None)))
    queue = {one.sample_id: one for one in build_queue(project, ["gym"], ["exercise"])}
    assert set(queue) == {"gym/contested", "gym/probed", "gym/changed", "gym/fresh"}
    assert queue["gym/contested"].reason == "anna and bert disagree"
    assert queue["gym/probed"].chance == 1.0
    assert queue["gym/probed"].reason == "was shown wrong on purpose: the true label is still to be seen"
    assert queue["gym/changed"].doubts[0].words == "what was accepted has changed since"
    ledger.append(accept("gym/probed", at="2026-11-20T12:00:00Z"))
    assert "gym/probed" not in {one.sample_id for one in build_queue(project, ["gym"], ["exercise"])}


def item(number: int, **more: Any) -> Wanted:
    fields = {"source": "s", "sample_id": f"s/{number:03d}", "task": "form", "target": {"n": number}, "label": "x",
              "kind": "squat correct", "origin": "rule", "tier": "auto", "fold": "train", "group": f"g{number}",
              "exercise": "squat", "doubts": (Doubt(0.5, "why"),), "seconds": 60.0} | more  # fmt: skip
    return Wanted(**fields)


def test_the_same_group_and_the_same_class_give_way() -> None:
    """Three of one person and kind, one of another person, one of another kind; the chances are almost equal."""
    items = [item(1, group="a"), item(2, group="a"), item(3, group="a"), item(4, group="b"),
             item(5, group="c", kind="lunge correct", doubts=(Doubt(0.49, ""),))]  # fmt: skip
    # first 1 (ties by sample); then 5: 0.49, 4: 0.5/√2 = 0.354, 2: 0.5/2/√2 = 0.177; then 4, then 2 before 3
    assert [one.sample_id for one in ranked(items)] == ["s/001", "s/005", "s/004", "s/002", "s/003"]


def test_a_rare_class_is_worth_more_and_time_counts(project: Project) -> None:
    form = [rep(f"gym/{n:02d}", 0, "unscorable", None, None, rule_id=None) for n in range(9)]
    form.append(rep("gym/09", 0, "unscorable", None, None, rule_id=None, exercise="lunge"))
    write(project, "gym", [sample(f"gym/{n:02d}", exercise="squat") for n in range(10)], {"form": form})
    queue = build_queue(project, ["gym"], ["form"])
    # of the two classes 9 and 1, the median is 5: √(5/9) = 0.745 and √5, which is bounded by 2
    assert queue[0].sample_id == "gym/09"
    assert queue[0].worth == 2.0
    assert queue[1].worth == pytest.approx(math.sqrt(5 / 9))
    slow, quick = item(1, seconds=30.0), item(2, seconds=3.0)
    assert [one.sample_id for one in ranked([slow, quick])] == ["s/002", "s/001"]


def test_seconds_are_the_ledgers_own_once_there_are_enough() -> None:
    timed = [accept(f"gym/{n}", seconds=10.0 + n) for n in range(8)]
    assert seconds_per_task(timed[:7])["exercise"] == 5.0
    assert seconds_per_task(timed)["exercise"] == 13.5


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.floats(0, 1), st.sampled_from([3.0, 5.0, 30.0])),
             max_size=25),
    st.floats(0.1, 5), st.randoms(use_true_random=False),
)  # fmt: skip
def test_the_budget_holds_the_order_of_input_changes_nothing_and_the_heap_is_the_plain_greedy(
    drawn: list[tuple[int, int, float, float]], minutes: float, rng: random.Random
) -> None:
    items = [item(n, group=f"g{g}", kind=f"k{k}", doubts=(Doubt(c, ""),), seconds=s)
             for n, (g, k, c, s) in enumerate(drawn)]  # fmt: skip
    shuffled = list(items)
    rng.shuffle(shuffled)
    queue = ranked(items, minutes)
    assert ranked(shuffled, minutes) == queue
    assert sum(one.seconds for one in queue) <= 60 * minutes + 1e-6
    left = [one for one in items if one.sample_id not in {o.sample_id for o in queue}]
    spent = sum(one.seconds for one in queue)
    assert all(one.seconds > 60 * minutes - spent - 1e-6 for one in left)  # nothing that still fits is left out
    # the whole order, found again by looking at every item at every step
    expected, groups, kinds, waiting = [], dict[str, int](), dict[str, int](), list(items)
    while waiting:

        def value(one: Wanted) -> float:
            variety = 1 / (1 + groups.get(one.group, 0)) / math.sqrt(1 + kinds.get(one.kind, 0))
            return one.chance / one.seconds * max(variety, 0.25)

        best = max(waiting, key=value)
        expected.append(value(best))
        waiting.remove(best)
        groups[best.group] = groups.get(best.group, 0) + 1
        kinds[best.kind] = kinds.get(best.kind, 0) + 1
    got, groups, kinds = [], {}, {}
    for one in ranked(items):
        variety = 1 / (1 + groups.get(one.group, 0)) / math.sqrt(1 + kinds.get(one.kind, 0))
        got.append(one.chance / one.seconds * max(variety, 0.25))
        groups[one.group] = groups.get(one.group, 0) + 1
        kinds[one.kind] = kinds.get(one.kind, 0) + 1
    assert got == pytest.approx(expected) or len({round(v, 12) for v in expected}) < len(expected)


def test_the_bench_takes_its_order_from_the_queue(project: Project) -> None:
    form = [rep("gym/a", 0, "incorrect", 124.0, 95.0), rep("gym/a", 20, "incorrect", 96.0, 95.0),
            rep("gym/b", 0, "unscorable", None, None, rule_id=None)]  # fmt: skip
    write(project, "gym", [sample("gym/a", exercise="squat"), sample("gym/b", exercise="squat")], {"form": form})
    wanted = [(one.sample_id, one.target["frames"]) for one in build_queue(project, ["gym"], ["form"])]
    found = [(one.sample["sample_id"], [one.start, one.end]) for one in repetitions(project, "gym", "anna", "queue")]
    assert found == wanted
    # unscorable is the rarer of the two kinds: 0.4 × √(1.5 / 1) goes before 0.443 × √(1.5 / 2)
    assert [(name, start) for name, (start, _) in found] == [("gym/b", 0), ("gym/a", 20), ("gym/a", 0)]


def test_the_command_prints_why_writes_the_list_and_is_the_same_twice(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = [rep("gym/a", 0, "incorrect", 96.0, 95.0), rep("gym/b", 0, "unscorable", None, None, rule_id=None)]
    write(project, "gym", [sample("gym/a", exercise="squat"), sample("gym/b", exercise="squat")], {"form": form})
    monkeypatch.setenv("REPSET_ROOT", str(project.root))
    result = CliRunner().invoke(cli, ["queue", "gym", "--task", "form", "--minutes", "0.1"], catch_exceptions=False)
    assert "2 labels of 2 groups" in result.output
    assert "2 × form: repset review reps gym --order queue" in result.output
    with (project.cache / "queue.csv").open() as handle:
        first, second = csv.DictReader(handle)
    assert (first["place"], first["sample_id"], first["label"], first["minutes"]) == ("1", "gym/a", "incorrect", "0.05")
    assert second["reason"] == "the rules could not judge it"
    again = CliRunner().invoke(cli, ["queue", "gym", "--task", "form", "--json", "--out", str(project.root / "q.csv")])
    assert [row["sample_id"] for row in json.loads(again.stdout)] == ["gym/a", "gym/b"]
    assert (project.root / "q.csv").read_bytes() == (project.cache / "queue.csv").read_bytes()


def test_without_an_indexed_source_the_command_says_what_to_run(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPSET_ROOT", str(project.root))
    result = CliRunner().invoke(cli, ["queue"])
    assert str(result.exception) == (
        "queue: expected an indexed source, found none. Run: dvc repro, or repset index SOURCE"
    )
    assert Path(project.root / ".repset").exists() is False
    assert replace(item(1), place=3).place == 3
