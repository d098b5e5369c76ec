"""From what was shown and what a person left to decisions: accept, edit, reject, new, and how large an edit was."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from repset.curate.decision import NOTHING, Decision, Proposal
from repset.curate.merge import undone_ids
from repset.curate.targets import SAME_INTERVAL_IOU, interval_iou, interval_of, key_of
from repset.review.ls_answers import Answer, Got
from repset.review.ls_tasks import Item, Shown, mask_digest
from repset.review.ls_values import Mask

TOOL = "label_studio"
SAME_PX = 1e-6
"""Joints this near are untouched: percent and back moves a point by less than 1e-9 px."""

Masks = Callable[[Shown], Mask | None]
Png = Callable[[Shown | None, Mask], bytes]


@dataclass(frozen=True)
class Outcome:
    """One label after the person.

    Attributes:
        action: accept | edit | reject | new.
        shown: what was shown, None for new; got: what was left, None for reject.
        iou: of a mask or interval with the one shown; shift_px: mean of the joints that both have. Only for edits, and
            None where the task has no such size or the mask shown is nowhere any more.
    """

    action: str
    shown: Shown | None
    got: Got | None
    iou: float | None = None
    shift_px: float | None = None

    @property
    def task(self) -> str:
        """The ledger's task."""
        said = self.got or self.shown
        assert said is not None
        return said.task


def outcomes(item: Item, hashes: Mapping[str, str], answer: Answer, masks: Masks) -> list[Outcome]:
    """What the person did to each label; labels of a task with a fault are left undecided.

    Args:
        hashes: region → hash of the mask shown (`item_of`).
        masks: the mask of a label shown, None where it cannot be had any more (then an edit has no size).
    """
    if "any" in answer.faults:
        return []
    shown = [one for one in item.shown if one.task not in answer.faults]
    got = [one for one in answer.labels if one.task not in answer.faults]
    found = []
    for before, after in _pairs(shown, got):
        if before is None:
            found.append(Outcome("new", None, after))
        elif after is None:
            found.append(Outcome("reject", before, None))
        else:
            found.append(_compare(before, after, hashes, masks))
    return found


def _pairs(shown: Sequence[Shown], got: Sequence[Got]) -> list[tuple[Shown | None, Got | None]]:
    """Each label shown with what became of it: by region first, then by what it speaks of."""
    pairs: list[tuple[Shown | None, Got | None]] = []
    left = list(got)
    for by_region in (True, False):
        for before in shown:
            if any(pair[0] is before for pair in pairs):
                continue
            fitting = [one for one in left if _same(before, one) and (before.region in one.regions or not by_region)]
            if fitting:
                best = max(fitting, key=lambda one: _interval_iou(before, one))
                left = [one for one in left if one is not best]
                pairs.append((before, best))
    paired = [id(pair[0]) for pair in pairs]
    return [*pairs, *((one, None) for one in shown if id(one) not in paired), *((None, one) for one in left)]


def _same(before: Shown, after: Got) -> bool:
    """Whether both speak of one thing: equal keys, and intervals that overlap as the merge wants it."""
    if before.task != after.task or key_of("", before.target) != key_of("", after.target):
        return False
    return _interval_iou(before, after) >= SAME_INTERVAL_IOU


def _interval_iou(before: Shown, after: Got) -> float:
    return interval_iou(interval_of(before.target), interval_of(after.target))


def _compare(before: Shown, after: Got, hashes: Mapping[str, str], masks: Masks) -> Outcome:
    if after.mask is not None:
        if mask_digest(after.mask) == hashes[before.region]:
            return Outcome("accept", before, after)
        if not after.mask.any():
            return Outcome("reject", before, None)  # every pixel rubbed out
        old = masks(before)
        return Outcome("edit", before, after, iou=None if old is None else _mask_iou(old, after.mask))
    if before.task == "pose":
        return _compare_poses(before, after)
    if after.value == before.value and after.target.get("frames") == before.target.get("frames"):
        return Outcome("accept", before, after)
    return Outcome("edit", before, after, iou=_interval_iou(before, after))


def _mask_iou(a: Mask, b: Mask) -> float:
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else 1.0


def _compare_poses(before: Shown, after: Got) -> Outcome:
    old, new = before.value["joints"], after.value["joints"]
    shifts = {
        name: float(np.hypot(old[name][0] - at[0], old[name][1] - at[1])) for name, at in new.items() if name in old
    }
    states = {name: at[2] for name, at in old.items()} == {name: at[2] for name, at in new.items()}
    if states and all(shift <= SAME_PX for shift in shifts.values()):
        return Outcome("accept", before, after)
    exact = {name: [*old[name][:2], at[2]] if shifts.get(name, np.inf) <= SAME_PX else at for name, at in new.items()}
    kept = replace(after, value={**after.value, "joints": exact})
    return Outcome("edit", before, kept, shift_px=float(np.mean(list(shifts.values()))) if shifts else None)


def decision_of(outcome: Outcome, item: Item, reviewer: str, at: str, png: Png) -> Decision:
    """An outcome as a line of the ledger, without seconds.

    Args:
        at: UTC, as the ledger wants it; png: bytes of a mask, the dataset's own where the mask is unchanged.
    """
    shown, got = outcome.shown, outcome.got
    untouched = shown is not None and outcome.action in ("accept", "reject")
    said = shown if untouched else got
    assert said is not None
    target = dict(shown.target if shown is not None and (untouched or item.kind == "image") else said.target)
    if item.blank:
        target["blank"] = True  # what labels on screen are worth is measured by it
    mask = got.mask if got is not None else None
    if said.task == "muscle_mask" and mask is None:
        assert shown is not None
        assert shown.mask is not None  # the caller found it, or left the outcome out
        mask = shown.mask
    return Decision(
        reviewer=reviewer,
        tool=TOOL,
        sample_id=item.sample_id,
        task=said.task,
        target=target,
        action=outcome.action,
        value=said.value,
        png=None if mask is None else png(shown if untouched else None, mask),
        proposal=None if shown is None else Proposal(shown.origin, shown.origin_hash, shown.value_hash),
        media_sha256=item.sample_sha256,
        probe=shown is not None and shown.probe,
        at=at,
    )


def nothing_of(item: Item, reviewer: str, at: str) -> Decision:
    """The line of a blank task that was answered without a label, without seconds."""
    target: dict[str, Any] = {"interval_s": None, "blank": True}
    if item.kind == "image":
        target |= {"frame": item.frame, **({"variant": item.variant} if item.variant else {})}
    return Decision(reviewer, TOOL, item.sample_id, "exercise", target, NOTHING, media_sha256=item.sample_sha256, at=at)


def ledger_time(text: Any) -> str:
    """A server's time as the ledger writes it. Raises: ValueError if it is none or has no zone."""
    moment = datetime.fromisoformat(str(text))
    if moment.utcoffset() is None:
        raise ValueError(f"a time without a zone: {text}")
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


# --- what of it is news ----------------------------------------------------------------------------------------------


def news(
    found: Sequence[Decision], known: Sequence[Decision], note: "Note", lead_s: float | None, held: set[str]
) -> list[Decision]:
    """What of an annotation the ledger does not hold yet.

    A decision is known if the same reviewer's last word on the same label says the same, or if a line of the same
    moment does (it may have been undone since). What this annotation said at an earlier pull and says no more is
    undone. Seconds are shared out evenly, less what was booked before, so that their sum is the annotation's.

    Args:
        found: of this annotation. known: the ledger's lines on this sample. lead_s: seconds the server counted.
        held: tasks whose answer has a fault: nothing is undone there.
    """
    mine = [one for one in known if (one.reviewer, one.tool) == (note.reviewer, TOOL)]
    undone = undone_ids(known)
    active = [one for one in mine if one.id not in undone and one.action != "undo"]
    written = [(one.at, *_says(one)) for one in mine]
    fresh, spoken = [], set()
    for decision in found:
        before = _last(active, decision)
        if before is not None:
            spoken.add(before.id)
        if before is not None and (before.at > decision.at or _says(before) == _says(decision)):
            continue  # said already, or overruled by this reviewer's later word
        if (decision.at, *_says(decision)) not in written:
            fresh.append(replace(decision, supersedes=before.id if before else None))
    empty = [one for one in active if one.action == NOTHING and note.made <= one.at and note.could_say(one)]
    if fresh and empty and not fresh[0].supersedes:  # the same task, now with labels: one more line of its time
        fresh[0] = replace(fresh[0], supersedes=empty[-1].id)
    own = [one for one in active if note.made <= one.at < note.at and one.action not in ("reject", NOTHING)]
    own = [one for one in own if one.task not in held]
    own = [one for one in own if note.could_say(one)]
    if fresh and own and fresh[0].action == NOTHING:  # the same task, now without: its time stays with it
        fresh[0] = replace(fresh[0], supersedes=own[-1].id)
    undo = [_undo(one, note.at) for one in own if one.id not in spoken and _is_last(one, active)]
    booked = sum(one.seconds or 0.0 for one in mine if one.at >= note.made)
    each = None if lead_s is None else round(max(lead_s - booked, 0.0) / max(len(fresh), 1), 3)
    return [*(replace(one, seconds=each) for one in fresh), *undo]


@dataclass(frozen=True)
class Note:
    """An annotation without its content: who, when it was made and last changed (ledger times), on what."""

    reviewer: str
    made: str
    at: str
    item: Item

    def could_say(self, decision: Decision) -> bool:
        """Whether an annotation of this item can speak of the decision's label."""
        frame, variant = decision.target.get("frame"), decision.target.get("variant") or ""
        if self.item.kind == "clip":
            return frame is None and decision.task in ("form", "exercise")
        return variant == self.item.variant and (decision.task == "muscle_mask" or frame == self.item.frame)


def _is_last(decision: Decision, active: Sequence[Decision]) -> bool:
    return all(one.supersedes != decision.id for one in active)


def _last(active: Sequence[Decision], decision: Decision) -> Decision | None:
    """The reviewer's last word on the label of `decision`."""
    key, interval = key_of(decision.sample_id, decision.target), interval_of(decision.target)
    superseded = {one.supersedes for one in active}
    fitting = [
        one
        for one in active
        if one.task == decision.task
        and one.id not in superseded
        and key_of(one.sample_id, one.target) == key
        and interval_iou(interval_of(one.target), interval) >= SAME_INTERVAL_IOU
    ]
    return max(fitting, key=lambda one: (one.time, one.id), default=None)


def _says(decision: Decision) -> tuple[Any, ...]:
    """What a line says, without when and how long."""
    shown = decision.proposal
    hashes = None if shown is None else (shown.origin, shown.origin_hash, shown.value_hash)
    target = {name: value for name, value in decision.target.items() if value not in (None, "", 0)}
    return decision.action, decision.value, decision.blob, target, hashes, decision.probe


def _undo(decision: Decision, at: str) -> Decision:
    return replace(
        decision, action="undo", value=None, png=None, proposal=None, seconds=None, supersedes=decision.id, at=at
    )
