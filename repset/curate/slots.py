"""Candidate labels gathered by target: a slot is everything that was said about one thing."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from repset.curate.decision import Decision
from repset.curate.targets import SAME_INTERVAL_IOU, Interval, Key, as_dict, interval_iou, interval_of, key_of
from repset.records import canonical_json

Row = dict[str, Any]

LABEL_COLUMNS = (
    "sample_id", "task", "target", "value", "blob", "tier", "origin", "origin_hash", "reviewer", "original_value",
    "original_blob",
)  # fmt: skip
"""The columns of a label here; group, fold and the like are joined on later (repset.curate.build)."""

PROPOSED = "proposed"
"""The tier of candidates that are shown to the merge only to tell stale accepts; they never come out."""

TIERS = ("gold", "gold_corrected", "edited", "accepted", "auto")
_RANK = {"gold": 0, "gold_corrected": 0, "edited": 1, "accepted": 1, "auto": 2, PROPOSED: 3}


@dataclass
class Slot:
    """One target.

    Attributes:
        candidates: labels without a person, by precedence.
        decisions: valid ones in order of time; the last holds.
        stale: accepts that no longer hold.
        tier: of the human label, '' while there is none or it is a reject.
        row: the label that comes out, None where there is none; `note` says why.
    """

    key: Key
    interval: Interval | None
    candidates: list[Row] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    stale: list[Decision] = field(default_factory=list)
    tier: str = ""
    row: Row | None = None
    note: str = ""

    @property
    def dataset(self) -> Row | None:
        """The dataset's own label."""
        return next((row for row in self.candidates if row["tier"] == "gold"), None)

    @property
    def best(self) -> Row | None:
        """The label of highest precedence without a person."""
        return next((row for row in self.candidates if row["tier"] != PROPOSED), None)


def order(row: Row) -> tuple[Any, ...]:
    """Sorting key of labels: sample, time, target, value."""
    interval = interval_of(as_dict(row["target"]))
    return (row["sample_id"], interval or (-1.0, -1.0), row["target"], row["value"] or "")


def gather_slots(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Slot]]:
    """Sample → its slots; a candidate joins the slot of an earlier one (by precedence) that it matches."""
    slots: dict[str, list[Slot]] = defaultdict(list)
    for row in sorted(
        map(_candidate, rows), key=lambda row: (_RANK[row["tier"]], order(row), row["origin"], row["blob"] or b"")
    ):
        target = as_dict(row["target"])
        slot = find(slots[row["sample_id"]], key_of(row["sample_id"], target), interval_of(target))
        if slot is None:
            slot = Slot(key_of(row["sample_id"], target), interval_of(target))
            slots[row["sample_id"]].append(slot)
        slot.candidates.append(row)
    return slots


def _candidate(row: Mapping[str, Any]) -> Row:
    """A row as a candidate: what a person decided in an earlier merge becomes again what the person was shown."""
    plain = {column: row[column] for column in LABEL_COLUMNS}
    if plain["reviewer"] is None:
        return plain
    plain["reviewer"] = None
    if plain["original_value"] is not None or plain["original_blob"] is not None:
        target = as_dict(plain["target"])
        if "original_interval_s" in target:
            target["interval_s"], target["frames"] = target.pop("original_interval_s"), target.pop("original_frames")
        before = {"target": canonical_json(target), "tier": "gold", "origin": "dataset", "origin_hash": None}
        value = {"value": plain["original_value"], "blob": plain["original_blob"]}
        return {**plain, **before, **value, "original_value": None, "original_blob": None}
    return plain if (plain["tier"], plain["origin"]) == ("gold", "dataset") else {**plain, "tier": PROPOSED}


def find(slots: Iterable[Slot], key: Key, interval: Interval | None) -> Slot | None:
    """The slot with this key that overlaps most, from IoU 0.5; the earlier of equals."""
    best, best_iou = None, 0.0
    for slot in slots:
        if _apart(slot.interval, interval):  # most of a long clip's are, and this is quicker than the rest
            continue
        iou = interval_iou(slot.interval, interval) if slot.key == key else 0.0
        if iou >= SAME_INTERVAL_IOU and (
            iou > best_iou or (best is not None and iou == best_iou and _before(slot, best))
        ):
            best, best_iou = slot, iou
    return best


def _apart(a: Interval | None, b: Interval | None) -> bool:
    """Whether two targets share no time."""
    if a is None or b is None:
        return a is not b
    return (a[1] <= b[0] or b[1] <= a[0]) and a != b


def _before(a: Slot, b: Slot) -> bool:
    return (a.interval or (0.0, 0.0)) < (b.interval or (0.0, 0.0))
