"""The merge: precedence, tiers, staleness, conflicts, and that order never matters."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repset.curate.decision import Decision, Proposal
from repset.curate.gather import label_row
from repset.curate.ledger import Ledger
from repset.curate.merge import MergeReport, merge
from repset.errors import DataError

SLOW_MACHINE = [HealthCheck.too_slow]  # how fast a machine draws examples says nothing about the code
TRUTH = Proposal("dataset", None, None)
RULE = Proposal("rule", "r1", None)
MODEL = Proposal("model", "m1", None)
HUMAN = Proposal("human", None, None)


def rep(
    start: float, end: float, verdict: str, tier: str = "auto", origin: str = "rule", **target: Any
) -> dict[str, Any]:
    """A repetition's verdict on s/a."""
    place = {"person": 0, "interval_s": [start, end], "frames": [round(10 * start), round(10 * end)], **target}
    return label_row("s/a", "form", place, tier, origin, value=verdict)


def said(
    minute: int, action: str, start: float, end: float, value: Any = None, proposal: Proposal | None = None, **more: Any
) -> Decision:
    """A decision on a repetition of s/a, at 10:minute."""
    at = f"2026-11-21T10:{minute:02}:00Z"
    target = {"person": 0, "interval_s": [start, end]}
    who = more.pop("reviewer", "anna")
    return Decision(who, "t", "s/a", "form", target, action, value, proposal=proposal, at=at, **more)


def outcome(rows: list[dict[str, Any]], decisions: list[Decision]) -> list[tuple[Any, ...]]:
    """(interval, value, tier, origin, reviewer) of the merged labels."""
    merged, _ = merge(rows, decisions, "form")
    return [
        (json.loads(r["target"])["interval_s"], json.loads(r["value"]), r["tier"], r["origin"], r["reviewer"])
        for r in merged
    ]


def report(rows: list[dict[str, Any]], decisions: list[Decision]) -> MergeReport:
    return merge(rows, decisions, "form")[1]


GOLD = rep(0, 2, "correct", "gold", "dataset")
AUTO = rep(0, 2, "incorrect")


# --- precedence and tiers --------------------------------------------------------------------------------------------


def test_human_over_dataset_over_accepted_over_automatic() -> None:
    taken = rep(0, 2, "unscorable", "accepted", "model")
    edit = said(1, "edit", 0, 2, "incorrect", TRUTH)
    assert outcome([AUTO], []) == [([0, 2], "incorrect", "auto", "rule", None)]
    assert outcome([AUTO, taken], []) == [([0, 2], "unscorable", "accepted", "model", None)]
    assert outcome([AUTO, taken, GOLD], []) == [([0, 2], "correct", "gold", "dataset", None)]
    assert outcome([AUTO, taken, GOLD], [edit]) == [([0, 2], "incorrect", "gold_corrected", "human", "anna")]
    assert outcome([], [edit]) == [([0, 2], "incorrect", "gold_corrected", "human", "anna")]


@pytest.mark.parametrize(
    ("rows", "decision", "tier", "origin"),
    [
        ([GOLD], said(1, "accept", 0, 2, "correct", TRUTH), "gold", "dataset"),
        ([GOLD], said(1, "edit", 0, 2, "incorrect", TRUTH), "gold_corrected", "human"),
        ([GOLD], said(1, "edit", 0, 2, "incorrect", MODEL), "edited", "human"),
        ([GOLD], said(1, "accept", 0, 2, "incorrect", MODEL), "accepted", "model"),
        ([GOLD], said(1, "new", 0, 2, "incorrect"), "gold_corrected", "human"),
        ([GOLD], said(1, "new", 0, 2, "correct"), "gold", "human"),
        ([AUTO], said(1, "accept", 0, 2, "incorrect", RULE), "accepted", "rule"),
        ([AUTO], said(1, "edit", 0, 2, "correct", RULE), "edited", "human"),
        ([AUTO], said(1, "new", 0, 2, "correct"), "gold", "human"),
        ([], said(1, "accept", 0, 2, "incorrect", MODEL), "accepted", "model"),
    ],
)
def test_a_tier_says_where_a_human_label_began(
    rows: list[dict[str, Any]], decision: Decision, tier: str, origin: str
) -> None:
    assert [(row[2], row[3]) for row in outcome(rows, [decision])] == [(tier, origin)]


def test_an_edited_proposal_never_becomes_truth_by_further_hands() -> None:
    hands = [said(1, "edit", 0, 2, "correct", RULE), said(2, "edit", 0, 2, "unscorable", HUMAN, reviewer="bo")]
    hands.append(said(3, "accept", 0, 2, "unscorable", HUMAN, reviewer="cy"))
    assert outcome([AUTO], hands) == [([0, 2], "unscorable", "edited", "human", "cy")]


def test_the_datasets_own_value_and_interval_stay_beside_the_correction() -> None:
    (row,), _ = merge([GOLD], [said(1, "edit", 0.1, 2.2, "incorrect", TRUTH)], "form")
    assert row["original_value"] == '"correct"'
    assert json.loads(row["target"]) == {
        "person": 0, "interval_s": [0.1, 2.2], "original_interval_s": [0, 2], "original_frames": [0, 20],
    }  # fmt: skip


def test_a_reject_removes_what_was_shown_and_nothing_else() -> None:
    assert outcome([AUTO], [said(1, "reject", 0, 2, "incorrect", RULE)]) == []
    assert outcome([GOLD], [said(1, "reject", 0, 2, "correct", TRUTH)]) == []
    assert outcome([GOLD, AUTO], [said(1, "reject", 0, 2, "incorrect", RULE)]) == [
        ([0, 2], "correct", "gold", "dataset", None)
    ]


def test_where_the_dataset_labels_a_sample_automatic_labels_do_not_fill_in() -> None:
    rows = [GOLD, rep(5, 7, "correct"), rep(8, 9, "correct", "accepted", "model")]
    assert len(outcome(rows, [])) == 1
    assert report(rows, []).left_out == {
        "auto: the dataset labels this sample": 1,
        "accepted: the dataset labels this sample": 1,
    }
    assert len(outcome(rows, [said(1, "accept", 5, 7, "correct", RULE)])) == 2


# --- intervals -------------------------------------------------------------------------------------------------------


def test_intervals_match_by_overlap_not_by_number() -> None:
    rows = [rep(0, 1, "correct"), rep(1, 3, "correct"), rep(3, 5, "correct")]  # one more was counted in front
    assert outcome(rows, [said(1, "edit", 3.2, 5.1, "incorrect", RULE)])[2] == (
        [3.2, 5.1], "incorrect", "edited", "human", "anna"
    )  # fmt: skip
    assert [row[1] for row in outcome(rows, [])] == ["correct"] * 3


def test_labels_that_lie_in_a_persons_interval_give_way() -> None:
    cut = [rep(0, 1.4, "correct"), rep(1.4, 2.7, "correct"), rep(2.7, 4, "correct"), rep(4, 6, "correct")]
    assert outcome(cut, [said(1, "new", 0, 4, "incorrect")]) == [
        ([0, 4], "incorrect", "gold", "human", "anna"),
        ([4, 6], "correct", "auto", "rule", None),
    ]


def test_one_repetition_is_split_in_two_by_a_reject_and_two_new() -> None:
    hands = [
        said(1, "reject", 0, 4, "correct", RULE),
        said(2, "new", 0, 2, "correct"),
        said(3, "new", 2, 4, "incorrect"),
    ]
    assert [row[:2] for row in outcome([rep(0, 4, "correct")], hands)] == [([0, 2], "correct"), ([2, 4], "incorrect")]


def test_an_interval_moved_twice_is_still_one_label_when_each_step_names_the_last() -> None:
    first = said(1, "edit", 0.4, 2.4, "correct", RULE)
    second = said(2, "edit", 1.0, 3.0, "correct", HUMAN, supersedes=first.id)
    third = said(3, "edit", 1.8, 3.8, "correct", HUMAN, supersedes=second.id)
    assert outcome([AUTO], [third, first, second]) == [([1.8, 3.8], "correct", "edited", "human", "anna")]


def test_another_person_in_the_picture_is_another_target() -> None:
    other = replace(said(1, "edit", 0, 2, "correct", RULE), target={"person": 1, "interval_s": [0, 2]})
    rows, _ = merge([AUTO], [other], "form")
    assert {(json.loads(row["target"])["person"], row["value"]) for row in rows} == {
        (0, '"incorrect"'),
        (1, '"correct"'),
    }


# --- staleness -------------------------------------------------------------------------------------------------------


def test_only_an_accept_goes_stale() -> None:
    now = [rep(0, 2, "correct")]
    for action, value in (("edit", "unscorable"), ("new", "unscorable")):
        proposal = RULE if action == "edit" else None
        assert outcome(now, [said(1, action, 0, 2, value, proposal)])[0][1] == "unscorable"
    assert outcome(now, [said(1, "reject", 0, 2, "incorrect", RULE)]) == []
    accept = said(1, "accept", 0, 2, "incorrect", RULE)
    assert outcome(now, [accept]) == [([0, 2], "correct", "auto", "rule", None)]
    assert report(now, [accept]).status == {accept.id: "stale"}
    assert report(now, [accept]).stale[0]["decision"] == accept.id


@pytest.mark.parametrize(("end", "stale"), [(2.0, False), (2.2, False), (1.81, False), (2.3, True), (1.7, True)])
def test_an_accepted_interval_may_move_by_a_tenth(end: float, stale: bool) -> None:
    accept = said(1, "accept", 0, 2, "incorrect", RULE)
    rows = [rep(0, end, "incorrect")]
    assert (report(rows, [accept]).status[accept.id] == "stale") is stale
    assert outcome(rows, [accept])[0][0] == ([0, end] if stale else [0, 2])


def test_an_accept_is_stale_when_its_stretch_is_counted_in_another_way() -> None:
    accept = said(1, "accept", 0, 6, "correct", RULE)
    rows = [rep(0, 2, "correct"), rep(2, 4, "correct"), rep(4, 6, "correct")]
    assert [row[0] for row in outcome(rows, [accept])] == [[0, 2], [2, 4], [4, 6]]
    assert len(report(rows, [accept]).stale[0]["now"]) == 3


def test_an_accept_stands_when_its_proposal_is_gone_or_another_kind_speaks() -> None:
    accept = said(1, "accept", 0, 2, "correct", MODEL)
    assert outcome([], [accept]) == [([0, 2], "correct", "accepted", "model", "anna")]
    assert report([], [accept]).unmatched == [accept.id]
    assert outcome([AUTO], [accept]) == [([0, 2], "correct", "accepted", "model", "anna")]


def test_an_earlier_decision_holds_when_a_later_accept_is_stale() -> None:
    hands = [said(1, "edit", 0, 2, "unscorable", RULE), said(2, "accept", 0, 2, "incorrect", RULE)]
    assert outcome([rep(0, 2, "correct")], hands)[0][1:3] == ("unscorable", "edited")


def test_a_proposal_is_seen_for_staleness_but_never_comes_out() -> None:
    proposed = rep(0, 2, "correct", "proposed", "model")
    accept = said(1, "accept", 0, 2, "incorrect", MODEL)
    assert outcome([proposed], []) == []
    assert outcome([proposed], [accept]) == []
    assert report([proposed], [accept]).status == {accept.id: "stale"}


def test_probes_are_never_merged() -> None:
    waved_through = said(1, "accept", 0, 2, "unscorable", RULE, probe=True)
    assert outcome([AUTO], [waved_through])[0][1:3] == ("incorrect", "auto")
    assert report([AUTO], [waved_through]).status == {waved_through.id: "probe"}


# --- undo, conflicts -------------------------------------------------------------------------------------------------


def undo(minute: int, decision: Decision) -> Decision:
    return replace(decision, action="undo", value=None, png=None, proposal=None, supersedes=decision.id,
                   at=f"2026-11-21T11:{minute:02}:00Z")  # fmt: skip


def test_undo_restores_what_held_before_and_can_itself_be_undone() -> None:
    first, second = said(1, "edit", 0, 2, "correct", RULE), said(2, "edit", 0, 2, "unscorable", HUMAN)
    back = undo(1, second)
    again = undo(2, back)
    assert outcome([AUTO], [first, second])[0][1] == "unscorable"
    assert outcome([AUTO], [first, second, back])[0][1] == "correct"
    assert outcome([AUTO], [first, second, back, again])[0][1] == "unscorable"
    assert outcome([AUTO], [first, second, back, undo(3, first)]) == outcome([AUTO], [])
    assert report([AUTO], [first, second, back]).status == {first.id: "applied", second.id: "undone", back.id: "undo"}


def test_undo_lines_in_a_circle_are_an_error() -> None:
    # ids are hashes of content, so a true circle cannot be written; the check is for ids that were made to fit
    class Forged(Decision):
        @property
        def id(self) -> str:
            return self.tool

    a, b = (Forged(**{**said(1, "undo", 0, 2).__dict__, "tool": x, "supersedes": y}) for x, y in ("pq", "qp"))
    with pytest.raises(DataError) as caught:
        merge([], [a, b], "form")
    assert str(caught.value) == (
        "the ledger: expected undo lines in a chain, found a circle at q. Restore it from git."
    )


def test_reviewers_who_disagree_are_reported_and_the_latest_holds() -> None:
    anna, bo = said(1, "edit", 0, 2, "correct", RULE), said(2, "edit", 0, 2, "unscorable", RULE, reviewer="bo")
    assert outcome([AUTO], [bo, anna])[0][1] == "unscorable"
    (conflict,) = report([AUTO], [bo, anna]).conflicts
    assert conflict["holds"] == bo.id
    assert [(word["reviewer"], word["value"]) for word in conflict["said"]] == [
        ("anna", "correct"),
        ("bo", "unscorable"),
    ]
    assert report([AUTO], [bo, anna]).status == {anna.id: "overruled", bo.id: "applied"}
    assert report([AUTO], [anna, replace(anna, at="2026-11-21T10:30:00Z")]).conflicts == []
    assert report([AUTO], [anna, replace(bo, value="correct")]).conflicts == []


def test_a_wrong_clock_does_not_turn_round_who_supersedes_whom() -> None:
    first = said(30, "edit", 0, 2, "correct", RULE)
    second = said(1, "edit", 0, 2, "unscorable", HUMAN, supersedes=first.id)
    assert outcome([AUTO], [first, second])[0][1] == "unscorable"


# --- masks -----------------------------------------------------------------------------------------------------------


def mask(left: int, right: int) -> bytes:
    image = np.zeros((10, 20), np.uint8)
    image[:, left:right] = 255
    return bytes(cv2.imencode(".png", image)[1])


@pytest.mark.parametrize(("right", "status"), [(11, "applied"), (12, "stale")])  # IoU 10/11 = 0.91, 10/12 = 0.83
def test_an_accepted_mask_may_change_by_a_tenth_of_its_overlap(right: int, status: str) -> None:
    target = {"class": "calf", "person": 0, "variant": ""}
    accept = Decision("bo", "t", "s/a", "muscle_mask", target, "accept", png=mask(0, 10), proposal=MODEL,
                      at="2026-11-21T10:00:00Z")  # fmt: skip
    row = label_row("s/a", "muscle_mask", target, "accepted", "model", blob=mask(0, right))
    (label,), found = merge([row], [accept], "muscle_mask")
    assert found.status == {accept.id: status}
    assert label["blob"] == (mask(0, 10) if status == "applied" else mask(0, 12))


# --- properties ------------------------------------------------------------------------------------------------------

verdicts = st.sampled_from(["correct", "incorrect", "unscorable"])
starts = st.integers(0, 12).map(lambda n: n / 2)
lengths = st.integers(1, 8).map(lambda n: n / 4)
kinds = st.sampled_from([("gold", "dataset"), ("auto", "rule"), ("accepted", "model"), ("proposed", "model")])


@st.composite
def label_tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    rows = []
    for _ in range(draw(st.integers(0, 6))):
        start, (tier, origin) = draw(starts), draw(kinds)
        rows.append(rep(start, start + draw(lengths), draw(verdicts), tier, origin, person=draw(st.integers(0, 1))))
    return rows


@st.composite
def histories(draw: st.DrawFn) -> list[Decision]:
    made: list[Decision] = []
    for _ in range(draw(st.integers(0, 8))):
        minute, start, who = draw(st.integers(0, 59)), draw(starts), draw(st.sampled_from(["anna", "bo", "cy"]))
        number = draw(st.integers(-8, len(made) - 1))  # which earlier decision this one is about; below 0: none
        earlier = made[number] if number >= 0 else None
        if earlier is not None and draw(st.booleans()):
            made.append(replace(undo(minute, earlier), reviewer=who))
            continue
        action = draw(st.sampled_from(["accept", "edit", "reject", "new"]))
        shown = None if action == "new" else draw(st.sampled_from([TRUTH, RULE, MODEL, HUMAN]))
        decision = said(minute, action, start, start + draw(lengths), draw(verdicts), shown, reviewer=who)
        made.append(replace(decision, supersedes=earlier.id if earlier else None, probe=draw(st.integers(0, 9)) == 0))
    return made


@given(label_tables(), histories(), st.randoms(use_true_random=False))
@settings(max_examples=250, deadline=None, suppress_health_check=SLOW_MACHINE)
def test_order_of_rows_files_and_lines_changes_nothing(
    rows: list[dict[str, Any]], history: list[Decision], chance: random.Random
) -> None:
    expected = merge(rows, history, "form")
    shuffled, mixed = list(rows), [*history, *history[:3]]
    chance.shuffle(shuffled)
    chance.shuffle(mixed)
    assert merge(shuffled, mixed, "form") == expected


@given(label_tables(), histories())
@settings(max_examples=250, deadline=None, suppress_health_check=SLOW_MACHINE)
def test_merging_with_an_empty_ledger_or_undoing_everything_is_the_same(
    rows: list[dict[str, Any]], history: list[Decision]
) -> None:
    decided = [decision for decision in history if decision.action != "undo"]
    everything = decided + [undo(59, decision) for decision in decided]
    assert merge(rows, everything, "form")[0] == merge(rows, [], "form")[0]


@given(label_tables(), histories())
@settings(max_examples=250, deadline=None, suppress_health_check=SLOW_MACHINE)
def test_every_decision_is_accounted_for_and_no_proposal_comes_out(
    rows: list[dict[str, Any]], history: list[Decision]
) -> None:
    merged, found = merge(rows, history, "form")
    assert set(found.status) == {decision.id for decision in history}
    applied = {d.id for d in history if found.status[d.id] == "applied" and d.action != "reject"}
    assert len(applied) == sum(row["reviewer"] is not None for row in merged)
    assert all(row["tier"] != "proposed" for row in merged)


@given(label_tables(), st.lists(verdicts, max_size=4))
@settings(max_examples=150, deadline=None, suppress_health_check=SLOW_MACHINE)
def test_merging_what_was_merged_changes_nothing(rows: list[dict[str, Any]], values: list[str]) -> None:
    """People judge labels as they stand: the ordinary case, intervals untouched."""
    history = []
    for minute, (row, value) in enumerate(zip(merge(rows, [], "form")[0], values, strict=False)):
        target = json.loads(row["target"])
        shown = Proposal(row["origin"], None, None)
        action = "accept" if json.loads(row["value"]) == value else "edit"
        start, end = target["interval_s"]
        edit = said(minute, action, start, end, value, shown)
        history.append(replace(edit, target={"person": target["person"], "interval_s": target["interval_s"]}))
    once = merge(rows, history, "form")[0]
    assert merge(once, history, "form")[0] == once


@given(label_tables(), histories(), st.integers(0, 8))
@settings(max_examples=30, deadline=None, suppress_health_check=SLOW_MACHINE)
def test_branches_merged_in_either_order_give_the_same_result(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], history: list[Decision], cut: int
) -> None:
    results = []
    for order in (history, history[cut:] + history[:cut]):
        folder: Path = tmp_path_factory.mktemp("reviews")
        for decision in order:
            Ledger(folder).append(decision)
        results.append(merge(rows, Ledger(folder).read(), "form"))
    assert results[0] == results[1]
