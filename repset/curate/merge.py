"""Labels of every origin and the ledger into one label a target: a pure function of its arguments.

Precedence: latest valid human decision > dataset > accepted proposal > automatic. Decisions are replayed in order of
time, whatever files they came from, so that branches merged in either order give the same result.

- A decision finds its label by target: equal keys, intervals by overlap (IoU ≥ 0.5); one that `supersedes` another
  finds what that one found, however far the interval has moved since.
- Only an accept goes stale: when the proposal it speaks of (same origin) is there again but differs beyond tolerance.
  If that proposal is gone, the accept stands with the value it stored.
- A dataset labels a sample completely: where it labels a sample, other labels there count only by a person's decision.
- A person's interval is that person's word on the whole stretch: untouched labels that lie mostly in it give way.
- A reject removes what the person was shown; a dataset label stays if something else was rejected beside it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from repset.curate.decision import NOTHING, Decision
from repset.curate.slots import PROPOSED, Row, Slot, find, gather_slots, order
from repset.curate.targets import BACKGROUND, as_dict, interval_of, key_of, overlap_s, within_tolerance
from repset.errors import DataError
from repset.records import canonical_json

_COVERED = 0.5  # an untouched label that lies for more than this within a person's interval gives way
_SHOWN_BESIDE = ("mediapipe", "rule", "model")  # origins whose reject says nothing about the dataset's own label


@dataclass
class MergeReport:
    """What the merge did, all of it JSON-ready and sorted.

    Attributes:
        status: decision id → applied | overruled | stale | undone | undo | nothing | probe.
        conflicts: targets where reviewers disagreed: who said what, and the id of the decision that holds.
        stale: accepts that no longer hold: the decision in brief, and what is proposed now.
        unmatched: ids of decisions whose label is gone; accept, edit and new stand with their own value.
        left_out: reason → number of candidate labels.
    """

    status: dict[str, str] = field(default_factory=dict)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    stale: list[dict[str, Any]] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def merge(rows: Iterable[Mapping[str, Any]], decisions: Iterable[Decision], task: str) -> tuple[list[Row], MergeReport]:
    """One label a target.

    Args:
        rows: candidate labels of one task in any order, with at least the columns repset.curate.slots.LABEL_COLUMNS,
            tiers gold | accepted | auto | proposed. Rows of an earlier merge may come in again.
        decisions: any order, doubles allowed; those on other tasks are ignored.
    Returns: rows with LABEL_COLUMNS, sorted by sample, time and target, and the report.
    Raises: DataError if undo lines undo one another in a circle.
    """
    slots, report = merge_slots(rows, decisions, task)
    return sorted((slot.row for slot in slots if slot.row is not None), key=order), report


def merge_slots(
    rows: Iterable[Mapping[str, Any]], decisions: Iterable[Decision], task: str
) -> tuple[list[Slot], MergeReport]:
    """As `merge`, but with everything that was said about each target (for `repset why`)."""
    report = MergeReport()
    by_id = {decision.id: decision for decision in decisions if decision.task == task}
    slots = gather_slots(rows)
    _replay(_in_order(_active(by_id, report), by_id), slots, report)
    for sample_slots in slots.values():
        _resolve(sample_slots, report)
    report.stale.sort(key=canonical_json)
    report.unmatched.sort()
    report.conflicts.sort(key=canonical_json)
    return [slot for sample_id in sorted(slots) for slot in slots[sample_id]], report


# --- which decisions count -------------------------------------------------------------------------------------------


def _active(by_id: Mapping[str, Decision], report: MergeReport) -> list[Decision]:
    """Decisions that are neither undone, nor undo lines, nor say that there is nothing, nor probes."""
    undone = undone_ids(by_id.values())
    active = []
    for decision_id, decision in sorted(by_id.items()):
        if decision_id in undone:
            report.status[decision_id] = "undone"
        elif decision.action in ("undo", NOTHING):
            report.status[decision_id] = decision.action
        elif decision.probe:
            report.status[decision_id] = "probe"
        else:
            active.append(decision)
    return active


def undone_ids(decisions: Iterable[Decision]) -> set[str]:
    """Ids of decisions that an undo holds off; an undo that is itself undone holds off nothing.

    Raises: DataError if undo lines undo one another in a circle.
    """
    undos: dict[str, list[str]] = defaultdict(list)
    for decision in decisions:
        if decision.action == "undo" and decision.supersedes is not None:
            undos[decision.supersedes].append(decision.id)
    known: dict[str, bool] = {}

    def is_undone(decision_id: str, path: tuple[str, ...]) -> bool:
        if decision_id in path:
            raise DataError("the ledger", "undo lines in a chain", f"a circle at {decision_id}", "Restore it from git")
        if decision_id not in known:
            known[decision_id] = any(not is_undone(undo, (*path, decision_id)) for undo in undos.get(decision_id, ()))
        return known[decision_id]

    return {decision_id for decision_id in list(undos) if is_undone(decision_id, ())}


def _in_order(active: Sequence[Decision], by_id: Mapping[str, Decision]) -> list[Decision]:
    """By time and id, but never before what it supersedes, even if a clock was wrong."""
    keys: dict[str, tuple[datetime, int]] = {}

    def key(decision: Decision) -> tuple[datetime, int]:
        if decision.id not in keys:
            earlier = by_id.get(decision.supersedes or "")
            keys[decision.id] = (decision.time, 0)
            if earlier is not None and (after := key(earlier)) >= keys[decision.id]:
                keys[decision.id] = (after[0], after[1] + 1)
        return keys[decision.id]

    return sorted(active, key=lambda decision: (*key(decision), decision.id))


# --- which label a decision speaks of --------------------------------------------------------------------------------


def _replay(ordered: Sequence[Decision], slots: dict[str, list[Slot]], report: MergeReport) -> None:
    """Let each decision act on its slot, oldest first."""
    found: dict[str, Slot] = {}
    for decision in ordered:
        key, interval = key_of(decision.sample_id, decision.target), interval_of(decision.target)
        here = slots[decision.sample_id]
        slot = found.get(decision.supersedes or "") or find(here, key, interval)
        now = _changed(decision, slot, here) if decision.action == "accept" else None
        if slot is None:
            slot = Slot(key, interval)
            here.append(slot)
            if decision.action != "new" and now is None:
                report.unmatched.append(decision.id)
        found[decision.id] = slot
        if now is not None:
            report.status[decision.id] = "stale"
            report.stale.append({**_brief(decision), "now": now})
            slot.stale.append(decision)
            continue
        slot.tier = _tier(decision, slot)
        if decision.action != "reject":
            slot.interval = interval
        slot.decisions.append(decision)


def _changed(decision: Decision, slot: Slot | None, here: Iterable[Slot]) -> list[str] | None:
    """What is proposed now where an accept no longer holds (values or targets); None while it holds."""
    origin = decision.proposal.origin if decision.proposal else ""
    said, interval = _as_row(decision), interval_of(decision.target)
    if slot is not None:
        again = [row for row in slot.candidates if row["origin"] == origin]
        if not again or any(within_tolerance(said, row) for row in again):
            return None
        return [f"{row['value'] or 'mask'} {row['target']}" for row in again]
    if interval is None:
        return None
    recut = []  # no label matches, but the same stretch is now cut in another way: another count
    for other in here:
        for row in other.candidates:
            now = interval_of(as_dict(row["target"]))
            same = row["origin"] == origin and other.key == key_of(decision.sample_id, decision.target)
            if same and now is not None and overlap_s(now, interval) > 0:
                recut.append(f"{row['value'] or 'mask'} {row['target']}")
    return recut or None


def _tier(decision: Decision, slot: Slot) -> str:
    """How far the decision's label is trusted; '' for a reject.

    What a person made without a model's proposal is truth; what began as a proposal never becomes it.
    """
    if decision.action == "reject":
        return ""
    dataset, origin = slot.dataset, decision.proposal.origin if decision.proposal else None
    if origin == "human":
        return slot.tier or "edited"
    if decision.action == "accept":
        return "gold" if origin == "dataset" else "accepted"
    if decision.action == "edit" and origin != "dataset":
        return "edited"
    if dataset is not None:
        return "gold_corrected" if _differs(_as_row(decision), dataset) else "gold"
    return "gold_corrected" if origin == "dataset" else "gold"


# --- what holds ------------------------------------------------------------------------------------------------------


def _resolve(slots: Sequence[Slot], report: MergeReport) -> None:
    """Set `row` and `note` of one sample's slots."""
    complete = any(slot.dataset is not None for slot in slots)
    human = [slot for slot in slots if slot.tier]
    for slot in slots:
        if slot.decisions:
            _decide(slot, report)
            continue
        best = slot.best
        if best is None:
            slot.note = "only proposed"
        elif _is_covered(slot, human):
            slot.note = "a person labelled this stretch"
        elif complete and best["tier"] != "gold":
            slot.note = "the dataset labels this sample"
        else:
            slot.row = best
        for row in slot.candidates:
            if row is not slot.row and row["tier"] != PROPOSED:
                report.left_out[f"{row['tier']}: {slot.note or _outranked(slot.row)}"] += 1


def _outranked(row: Row | None) -> str:
    return f"{row['tier'] if row else 'no'} label of the same target"


def _is_covered(slot: Slot, human: Iterable[Slot]) -> bool:
    """Whether a person's interval takes up most of this one."""
    if slot.interval is None or slot.key.label == BACKGROUND:
        return False
    most = _COVERED * (slot.interval[1] - slot.interval[0])
    return any(
        other.key == slot.key and other.interval is not None and overlap_s(other.interval, slot.interval) > most
        for other in human
    )


def _decide(slot: Slot, report: MergeReport) -> None:
    """The outcome of a slot that a person decided."""
    last, dataset = slot.decisions[-1], slot.dataset
    for decision in slot.decisions[:-1]:
        report.status[decision.id] = "overruled"
    report.status[last.id] = "applied"
    _note_conflict(slot, report)
    if last.action == "reject":
        shown = last.proposal.origin if last.proposal else ""
        slot.row = dataset if shown in _SHOWN_BESIDE else None
        slot.note = "" if slot.row is not None else "rejected by a person"
    else:
        slot.row = _human_row(last, slot)
    for row in slot.candidates:
        if row is not slot.row and row["tier"] != PROPOSED:
            report.left_out[f"{row['tier']}: {slot.note or 'decided by a person'}"] += 1


def _human_row(decision: Decision, slot: Slot) -> Row:
    """The label a decision gives, with the dataset's own value beside it where it differs."""
    row, dataset = _as_row(decision), slot.dataset
    row["tier"] = slot.tier
    target = as_dict(row["target"])
    like = next((c for c in slot.candidates if interval_of(as_dict(c["target"])) == interval_of(target)), None)
    if like is not None:  # the same stretch: keep what the label said beside it (frames, rule)
        target = {**as_dict(like["target"]), **target}
    if dataset is not None and _differs(row, dataset):
        row["original_value"], row["original_blob"] = dataset["value"], dataset["blob"]
        was = as_dict(dataset["target"])
        if interval_of(was) != interval_of(target):
            target["original_interval_s"], target["original_frames"] = was["interval_s"], was.get("frames")
    row["target"] = canonical_json(target)
    return row


def _as_row(decision: Decision) -> Row:
    """A decision's value as a label without a tier; an accepted label keeps its origin."""
    shown = decision.proposal
    return {
        "sample_id": decision.sample_id,
        "task": decision.task,
        "target": canonical_json({name: of for name, of in decision.target.items() if name != "blank"}),
        "value": None if decision.value is None else canonical_json(decision.value),
        "blob": decision.png,
        "tier": "",
        "origin": shown.origin if shown is not None and decision.action == "accept" else "human",
        "origin_hash": shown.origin_hash if shown is not None else None,
        "reviewer": decision.reviewer,
        "original_value": None,
        "original_blob": None,
    }


def _differs(a: Row, b: Row) -> bool:
    """Exactly: value, mask or interval."""
    intervals = [interval_of(as_dict(row["target"])) for row in (a, b)]
    return (a["value"], a["blob"], intervals[0]) != (b["value"], b["blob"], intervals[1])


def _note_conflict(slot: Slot, report: MergeReport) -> None:
    """Each reviewer's last word; reported where they disagree beyond tolerance."""
    words = {decision.reviewer: decision for decision in slot.decisions}
    last = slot.decisions[-1]
    if any(_disagree(decision, last) for decision in words.values()):
        said = [{**_brief(decision), "value": decision.value} for _, decision in sorted(words.items())]
        report.conflicts.append({"said": said, "holds": last.id})


def _disagree(a: Decision, b: Decision) -> bool:
    if a.action == "reject" or b.action == "reject":
        return a.action != b.action
    return not within_tolerance(_as_row(a), _as_row(b))


def _brief(decision: Decision) -> dict[str, Any]:
    return {
        "sample_id": decision.sample_id,
        "target": dict(decision.target),
        "reviewer": decision.reviewer,
        "action": decision.action,
        "at": decision.at,
        "decision": decision.id,
    }
