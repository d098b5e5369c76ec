"""What FiftyOne shows of a source: the label that holds of every target, and what was said beside it.

All of this is pure: tables and ledger in, labels out. A label's id is made of what it speaks of, so that a click in the
App finds its way back to the decision that it asks for.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any

from repset.curate.decision import NOTHING, Decision
from repset.curate.doubt import Beside, Doubt, Known, doubts_of, read_known
from repset.curate.gather import gather
from repset.curate.ledger import Ledger
from repset.curate.merge import merge_slots, undone_ids
from repset.curate.pose_labels import pose_rows
from repset.curate.slots import Row, Slot
from repset.curate.targets import BACKGROUND, Interval, as_dict, interval_of, key_of, mask_iou, overlap_s
from repset.project import TASKS, Project
from repset.records import canonical_json, read_rows, sha256_bytes
from repset.review.fiftyone_final import final_rows

PREDICTED = "predicted_"
"""Before the name of a field: what models and rules say beside the label that holds."""

FINAL = "final_"
"""… and what the final model says."""

LOW_IOU = 0.5
"""Masks that overlap less are said to disagree (the usual threshold of a match in detection, as in PASCAL VOC)."""

_AUTOMATIC = ("mediapipe", "rule", "model")


@dataclass(frozen=True)
class Label:
    """One label on screen.

    Attributes:
        field: of the FiftyOne sample: masks, sets, reps, exercise, form or pose, with PREDICTED or FINAL before it.
        sample_id, variant: what it is on; task, target: as in the ledger.
        value: JSON-ready; None where it is a mask, whose PNG is `png`.
        tier: '' for what does not hold; reviewer: None where no person has spoken.
        score: 0..1, None where its model gives none.
        said: what people decided on the target, in order of time.
    """

    field: str
    sample_id: str
    variant: str
    task: str
    target: dict[str, Any]
    value: Any
    origin: str
    origin_hash: str | None = None
    tier: str = ""
    reviewer: str | None = None
    png: bytes | None = attribute(default=None, repr=False)
    score: float | None = None
    said: tuple[Decision, ...] = ()

    @property
    def id(self) -> str:
        """24 hex digits, as FiftyOne's ids are."""
        parts = [self.sample_id, self.variant, self.field, self.target, self.origin, self.origin_hash]
        return sha256_bytes(canonical_json(parts).encode())[:24]

    @property
    def value_hash(self) -> str:
        """As the ledger's proposal wants it."""
        return sha256_bytes(self.png if self.png is not None else canonical_json(self.value).encode())

    @property
    def words(self) -> str:
        """What it says, for a list to choose from."""
        what = str(self.target["class"] if self.task == "muscle_mask" else self.value or "").replace("_", " ")
        if self.task == "pose":
            what = f"joints of person {self.target.get('person') or 0}"
        interval = interval_of(self.target)
        when = "" if interval is None else f"{interval[0]:.1f}-{interval[1]:.1f} s "
        return f"{when}{what} ({self.origin}{'' if self.holds else ', beside'})"

    @property
    def holds(self) -> bool:
        """Whether it is what counts, not what is said beside it."""
        return not self.field.startswith((PREDICTED, FINAL))


@dataclass(frozen=True)
class Disagreement:
    """Two origins that say different things of one target; size 0..1."""

    who: str
    size: float
    words: str


def field_of(task: str, target: Row) -> str:
    """The field of the sample that a target's label stands in."""
    timed = target.get("interval_s") is not None
    if task == "exercise":
        return "sets" if timed else "exercise"
    if task == "form":
        return "reps" if timed else "form"
    return {"muscle_mask": "masks", "pose": "pose"}[task]


class Said:
    """Everything that files say of one source, by sample.

    Raises: RepsetError for a source without an index, or a broken table or ledger.
    """

    def __init__(self, project: Project, source: str) -> None:
        self.project, self.source = project, source
        rows = read_rows(project.index(source) / "samples.parquet", "samples")
        self.samples = {row["sample_id"]: row for row in rows}
        self.known: Known = read_known(project, source)
        self._rows: dict[str, dict[str, list[Row]]] = {}
        for task in TASKS:
            by_sample: dict[str, list[Row]] = defaultdict(list)
            for row in gather(project, task, source, automatic=True).rows:
                by_sample[row["sample_id"]].append(row)
            self._rows[task] = by_sample
        self._finals: dict[str, list[Row]] = defaultdict(list)
        for row in final_rows(project, source):
            self._finals[row["sample_id"]].append(row)
        self._slots: dict[str, dict[str, list[Slot]]] = {}
        self.poses: dict[str, list[Slot]] = {}
        self.decisions: dict[str, list[Decision]] = {}
        self.refresh()

    def refresh(self, only: Iterable[str] | None = None) -> None:
        """Read the ledger again and merge anew, `only` these samples or all."""
        wanted = self.samples.keys() if only is None else set(only) & self.samples.keys()
        mine = [d for d in Ledger(self.project.reviews).read() if d.sample_id in wanted]
        for sample_id in wanted:
            self.decisions[sample_id] = []
            self.poses[sample_id] = []
        undone = undone_ids(mine)
        for one in mine:
            if one.id not in undone and one.action not in ("undo", NOTHING) and not one.probe:
                self.decisions[one.sample_id].append(one)
        self._contested, self._probed = set[str](), dict[str, list[Decision]]()
        for task in TASKS:
            rows = [row for sample_id in wanted for row in self._rows[task].get(sample_id, ())]
            slots, report = merge_slots(rows, mine, task)
            self._contested |= {str(conflict["holds"]) for conflict in report.conflicts}
            self._probed[task] = [d for d in mine if d.task == task and report.status[d.id] == "probe"]
            found: dict[str, list[Slot]] = {sample_id: [] for sample_id in wanted}
            for slot in slots:
                if slot.key.label != BACKGROUND and slot.key.sample_id in found:
                    found[slot.key.sample_id].append(slot)
            self._slots.setdefault(task, {}).update(found)
        posed = [d for d in mine if d.task == "pose"]
        for slot in merge_slots(pose_rows(self.project, self.source, posed), posed, "pose")[0]:
            self.poses[slot.key.sample_id].append(slot)

    def slots(self, task: str, sample_id: str, variant: str = "") -> list[Slot]:
        """Targets of one task on one picture or clip; what names no variant speaks of every one."""
        found = self._slots[task].get(sample_id, [])
        return [slot for slot in found if slot.key.variant in ("", variant) or not variant]

    def labels(self, sample_id: str, variant: str = "") -> list[Label]:
        """Every label of a picture or clip but its automatic joints, those that hold first."""
        found: list[Label] = []
        for task in TASKS:
            for slot in self.slots(task, sample_id, variant):
                found += self._of_slot(task, slot, variant)
        found += [label for slot in self.poses[sample_id] for label in _pose_labels(slot, variant)]
        found += [label for row in self._finals.get(sample_id, ()) if (label := _final(row, variant)) is not None]
        return sorted(found, key=lambda label: (not label.holds, label.task, interval_of(label.target) or (-1.0, -1.0)))

    def _of_slot(self, task: str, slot: Slot, variant: str) -> Iterable[Label]:
        held = slot.row
        if held is not None:
            yield self._label(task, slot, held, variant, True)
        seen = set()
        for row in slot.candidates:
            said = (row["value"], row["blob"], row["origin"])
            same = held is not None and said == (held["value"], held["blob"], held["origin"])
            name = (row["target"], row["origin"], row["origin_hash"])
            if row["origin"] in _AUTOMATIC and name not in seen and not same:
                seen.add(name)
                yield self._label(task, slot, row, variant, False)

    def _label(self, task: str, slot: Slot, row: Row, variant: str, holds: bool) -> Label:
        target = as_dict(row["target"])
        return Label(
            ("" if holds else PREDICTED) + field_of(task, target),
            slot.key.sample_id,
            variant,
            task,
            target,
            None if row["value"] is None else json.loads(row["value"]),
            str(row["origin"]),
            row["origin_hash"],
            str(row["tier"]) if holds else "",
            row["reviewer"] if holds else None,
            row["blob"],
            self.known.scores.get((slot.key.sample_id, task, row["target"], row["origin_hash"])),
            tuple(slot.decisions),
        )

    def doubts(self, sample_id: str, variant: str = "") -> list[Doubt]:
        """Reasons to look at a sample, the strongest first."""
        found = []
        for task in TASKS:
            slots = self.slots(task, sample_id, variant)
            beside = Beside(slots)
            for slot in slots:
                found += doubts_of(slot, beside, task, self.known, self._contested, self._probed[task])
        return sorted(found, key=lambda one: (-one.chance, one.words))

    def stale(self, sample_id: str, variant: str = "") -> int:
        """Accepts that no longer hold."""
        slots = [slot for task in TASKS for slot in self.slots(task, sample_id, variant)]
        slots += [slot for slot in self.poses[sample_id] if slot.key.variant == variant]
        return sum(len(slot.stale) for slot in slots)

    def why(self, label: Label) -> Row:
        """The row of table form that a verdict was taken from, {} where there is none."""
        rows = self.known.verdicts.get((label.sample_id, int(label.target.get("person") or 0)), ())
        frames = label.target.get("frames")
        same = [one for one in rows if [one["start"], one["end"]] == frames and one["verdict"] == label.value]
        named = [one for one in same if one["rule_id"] == label.target.get("rule_id")]
        return dict((named or same or [{}])[0])


def _final(row: Row, variant: str) -> Label | None:
    """A final model's proposal; None for one on another copy of the picture, or on the background."""
    target = as_dict(row["target"])
    if target.get("class") == BACKGROUND or (target.get("variant") or "") not in ("", variant):
        return None
    value = None if row["value"] is None else json.loads(row["value"])
    return Label(FINAL + field_of(row["task"], target), row["sample_id"], variant, row["task"], target, value,
                 str(row["origin"]), row["origin_hash"], png=row["blob"], score=row["score"])  # fmt: skip


def _pose_labels(slot: Slot, variant: str) -> Iterable[Label]:
    """The joints that a person left in one frame; nothing where they were refused."""
    last = slot.decisions[-1] if slot.decisions else None
    if last is not None and last.action != "reject" and slot.key.variant == variant:
        target, said = dict(last.target), tuple(slot.decisions)
        origin = last.proposal.origin if last.proposal is not None and last.action == "accept" else "human"
        tier = slot.tier or "edited"
        yield Label("pose", slot.key.sample_id, variant, "pose", target, last.value, origin, tier=tier,
                    reviewer=last.reviewer, said=said)  # fmt: skip


def disagreements(labels: Sequence[Label], clip_s: float | None) -> list[Disagreement]:
    """Where what is said beside a label differs from it.

    Args:
        clip_s: length of the clip; None for a picture.
    """
    said = [one for one in labels if one.task != "pose"]
    held = [one for one in said if one.holds and not one.said]
    beside = [one for one in said if one.field.startswith(PREDICTED)]
    final = [one for one in said if one.field.startswith(FINAL)]
    found = [
        _differing(f"{other.origin} against {one.origin}", other, one)
        for one in held
        for other in beside
        if other.origin != one.origin and _same(one, other, clip_s)
    ]
    found += [
        _differing("bootstrap against final", one, other)
        for one in beside
        for other in final
        if one.origin == other.origin and _same(one, other, clip_s)
    ]
    return sorted((one for one in found if one is not None), key=lambda one: (-one.size, one.words))


def _differing(who: str, one: Label, other: Label) -> Disagreement | None:
    """How `one` differs from `other` on the same thing; None where it does not."""
    if one.png is not None and other.png is not None:
        iou = mask_iou(one.png, other.png)
        words = f"{who}: {one.target['class']} overlaps by {iou:.2f}"
        return Disagreement(who, 1.0 - iou, words) if iou < 1.0 else None
    if one.value == other.value or "unscorable" in (one.value, other.value):
        return None
    return Disagreement(who, 1.0 if one.score is None else one.score, f"{who}: {one.value}, not {other.value}")


def _same(held: Label, other: Label, clip_s: float | None) -> bool:
    """Whether both speak of one thing: equal task and keys, and half of the held stretch in common."""
    if held.task != other.task or key_of("", held.target) != key_of("", other.target):
        return False
    whole: Interval = (0.0, clip_s or 0.0)
    a, b = interval_of(held.target) or whole, interval_of(other.target) or whole
    return a == b or 2 * overlap_s(a, b) >= a[1] - a[0] > 0
