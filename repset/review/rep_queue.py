"""The repetitions of a source that wait for a person's verdict, and what a key press writes into the ledger."""

import getpass
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from repset.curate.decision import VERDICTS, Decision, Proposal
from repset.curate.doubt import margin_deg, rep_verdicts
from repset.curate.gather import gather
from repset.curate.ledger import Ledger
from repset.curate.merge import merge_slots
from repset.curate.queue import build_queue
from repset.curate.slots import Slot
from repset.curate.targets import SAME_INTERVAL_IOU, as_dict, interval_iou, interval_of, key_of
from repset.errors import ConfigError, RepsetError
from repset.project import Project
from repset.records import read_rows, sha256_bytes
from repset.review.probes import TURNED, share_of, value_digest

TOOL = "rep_bench"
ORDERS = ("doubtful", "queue", "clip")
LONGEST_S = 3600.0  # of one decision; more is a page left open, not time spent

Row = dict[str, Any]


@dataclass(frozen=True)
class Repetition:
    """One repetition to look at.

    Attributes:
        id: of sample, person and interval: the same in every session.
        sample: row of table samples; start, end: frames [start, end).
        verdict: what holds now; origin, origin_hash, value_hash: of the label shown.
        why: the verdict's row of table form, {} where there is none.
        target: of the label shown, for an accept.
        earlier: this reviewer's last decision on it, None if there is none.
        probe: the verdict shown is wrong on purpose.
    """

    id: str
    sample: Row
    person: int
    start: int
    end: int
    exercise: str
    verdict: str
    origin: str
    origin_hash: str | None
    value_hash: str
    why: Row
    target: Row
    earlier: str | None
    probe: bool = False

    @property
    def margin_deg(self) -> float:
        """From the measured value to the nearest limit; 0 where nothing could be judged, inf without a value."""
        margin = margin_deg(self.why)
        if margin is None:
            return 0.0 if self.verdict == "unscorable" else float("inf")
        return margin


def default_reviewer() -> str:
    """The person's name on this machine, as the ledger writes names."""
    return re.sub(r"[^a-z0-9_.-]+", "_", getpass.getuser().lower()).strip("_.-") or "reviewer"


def repetitions(
    project: Project,
    source: str,
    reviewer: str,
    order: str = "doubtful",
    again: bool = False,
    probe_share: float = 0.0,
) -> list[Repetition]:
    """Repetitions of a source, in the order to look at them.

    Args:
        order: doubtful (nearest to its limit first), queue (as `repset queue` has it) or clip (by clip and time).
        again: also those that this reviewer has decided.
        probe_share: of the set's own verdicts that nobody has judged is shown wrong on purpose (repset.review.probes).
    Raises: RepsetError where the source has none.
    """
    samples = {row["sample_id"]: row for row in read_rows(project.index(source) / "samples.parquet", "samples")}
    rows = gather(project, "form", source, automatic=True).rows
    decisions = [d for d in Ledger(project.reviews).read() if d.sample_id.split("/", 1)[0] == source]
    why = rep_verdicts(project, source)
    probed = [d for d in decisions if d.probe and d.task == "form"]
    found, untouched = [], set()
    for slot in merge_slots(rows, decisions, "form")[0]:
        sample = samples.get(slot.key.sample_id)
        if sample is None or slot.row is None or slot.interval is None or not sample["fps"]:
            continue
        mine = [d.id for d in slot.decisions if d.reviewer == reviewer]
        if mine and not again:
            continue
        found.append(_repetition(slot, sample, why, mine[-1] if mine else None))
        if not slot.decisions and not any(_same_stretch(one, slot) for one in probed):
            untouched.add(found[-1].id)
    if not found and not decisions:
        raise RepsetError(
            f"{source}: expected repetitions with a verdict, found none. "
            f"Run: repset autolabel {source}, or name another source."
        )
    if order == "queue":
        places = _places(project, source)
        found.sort(key=_doubt)  # those that nothing speaks for come last, as they would without a queue
        found.sort(key=lambda one: places.get(_place_key(one.sample["sample_id"], one.target), len(places)))
    else:
        found.sort(key=_in_time if order == "clip" else _doubt)
    words = _usual_words(found)
    return [_probe(one, words) if one.id in untouched and _is_drawn(one, probe_share) else one for one in found]


def _same_stretch(decision: Decision, slot: Slot) -> bool:
    if key_of(decision.sample_id, decision.target) != slot.key:
        return False
    return interval_iou(interval_of(decision.target), slot.interval) >= SAME_INTERVAL_IOU


def _is_drawn(one: Repetition, share: float) -> bool:
    return one.origin == "dataset" and one.verdict in TURNED and share_of("probe", one.id) < share


def _usual_words(found: Iterable[Repetition]) -> dict[tuple[str, str], str]:
    """(exercise, verdict) → the message that most of these come with."""
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in found:
        counts[one.exercise, one.verdict][str(one.why.get("message") or "")] += 1
    return {key: words.most_common(1)[0][0] for key, words in counts.items()}


def _probe(one: Repetition, words: Mapping[tuple[str, str], str]) -> Repetition:
    """With the other verdict, and with nothing beside it that gives the true one away."""
    wrong = TURNED[one.verdict]
    why: Row = {name: value for name, value in one.why.items() if name in ("signal", "view")}
    why |= {"message": words.get((one.exercise, wrong), "")} if why else {}
    return replace(one, verdict=wrong, value_hash=value_digest(wrong), why=why, probe=True)


def _places(project: Project, source: str) -> dict[tuple[Any, ...], int]:
    """Of each repetition its place in the queue."""
    return {_place_key(one.sample_id, one.target): one.place for one in build_queue(project, [source], ["form"])}


def _place_key(sample_id: str, target: Mapping[str, Any]) -> tuple[Any, ...]:
    return key_of(sample_id, target), interval_of(target)


def _in_time(one: Repetition) -> tuple[str, int]:
    return one.sample["sample_id"], one.start


def _doubt(one: Repetition) -> tuple[float, str, int]:
    return one.margin_deg, one.sample["sample_id"], one.start


def _repetition(slot: Slot, sample: Row, why: Mapping[Any, list[Row]], earlier: str | None) -> Repetition:
    assert slot.row is not None
    assert slot.interval is not None
    target, row = as_dict(slot.row["target"]), slot.row
    frames = target.get("frames") or [round(at * sample["fps"]) for at in slot.interval]
    start, end = max(int(frames[0]), 0), min(int(frames[1]), int(sample["frames"]))
    verdict = str(row["value"]).strip('"')
    rows = why.get((sample["sample_id"], slot.key.person), [])
    same = [one for one in rows if (one["start"], one["end"], one["verdict"]) == (start, end, verdict)]
    same = [one for one in same if one["rule_id"] == target.get("rule_id")] or same
    text = f"{sample['sample_id']}|{slot.key.person}|{start}|{end}"
    return Repetition(
        id=sha256_bytes(text.encode())[:16],
        sample=sample,
        person=slot.key.person,
        start=start,
        end=max(end, start + 1),
        exercise=str(target.get("exercise") or sample["exercise"] or ""),
        verdict=verdict,
        origin=str(row["origin"]),
        origin_hash=row["origin_hash"],
        value_hash=sha256_bytes(str(row["value"]).encode()),
        why=same[0] if same else {},
        target=target,
        earlier=earlier,
    )


def usual_limits(items: Iterable[Repetition]) -> dict[tuple[str, str], Row]:
    """(exercise, view) → the limit that verdicts there are held against, for those that name none themselves."""
    counts: dict[tuple[str, str], Counter[tuple[Any, ...]]] = defaultdict(Counter)
    for one in items:
        why = one.why
        if why.get("signal") and (why.get("low_deg") is not None or why.get("high_deg") is not None):
            counts[one.exercise, why["view"]][why["signal"], why["low_deg"], why["high_deg"]] += 1
    names = ("signal", "low_deg", "high_deg")
    return {key: dict(zip(names, found.most_common(1)[0][0], strict=True)) for key, found in counts.items()}


class Desk:
    """What one reviewer decides in one sitting; safe with several requests at once.

    Attributes:
        done: repetition id → verdict given here (`rejected` where it is none).
    """

    def __init__(self, ledger: Ledger, reviewer: str, items: Sequence[Repetition]) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", reviewer):
            raise ConfigError(f"reviewer: expected a name of a-z 0-9 _ . -, found {reviewer!r}. Choose such a name.")
        self.items = {one.id: one for one in items}
        self.reviewer, self.done = reviewer, dict[str, str]()
        self._ledger, self._lock = ledger, threading.Lock()
        self._written: list[tuple[str, Decision]] = []
        self._answers: dict[str, Row] = {}

    def decide(self, asked: Mapping[str, Any]) -> Row:
        """Write one decision.

        Args:
            asked: `id`, `verdict` (a verdict, or `reject`: no repetition), `start`, `end` (frames), `seconds`, `nonce`
                (of the key press: the same one again changes nothing).
        Raises: ConfigError for anything else; then nothing was written.
        """
        with self._lock:
            if (before := self._answers.get(str(asked.get("nonce")))) is not None:
                return before
            one, verdict = self.items.get(str(asked.get("id"))), asked.get("verdict")
            if one is None or verdict not in (*VERDICTS, "reject") or not isinstance(asked.get("nonce"), str):
                raise ConfigError("decide: expected a repetition and a verdict, found others. Reload the page.")
            start, end = asked.get("start"), asked.get("end")
            if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= one.sample["frames"]):
                raise ConfigError(f"decide: expected frames of the clip, found {start} to {end}. Reload the page.")
            decision = self._decision(one, str(verdict), start, end, asked.get("seconds"))
            decision = self._ledger.append(decision)
            self._written.append((one.id, decision))
            self.done[one.id] = "rejected" if verdict == "reject" else str(verdict)
            self._answers[asked["nonce"]] = {"action": decision.action, "done": len(self.done)}
            return self._answers[asked["nonce"]]

    def undo(self, nonce: str) -> Row:
        """Hold off the last decision of this sitting; the repetition it was about, None if there is none."""
        with self._lock:
            if (before := self._answers.get(nonce)) is not None:
                return before
            if not self._written:
                return {"id": None, "done": len(self.done)}
            repetition, last = self._written.pop()
            undo = Decision(self.reviewer, TOOL, last.sample_id, last.task, last.target, "undo",
                            media_sha256=last.media_sha256, supersedes=last.id)  # fmt: skip
            self._ledger.append(undo)
            earlier = [d for key, d in self._written if key == repetition]
            self.done.pop(repetition, None)
            if earlier:
                self.done[repetition] = "rejected" if earlier[-1].action == "reject" else str(earlier[-1].value)
            self._answers[nonce] = {"id": repetition, "done": len(self.done)}
            return self._answers[nonce]

    def _decision(self, one: Repetition, verdict: str, start: int, end: int, seconds: Any) -> Decision:
        mine = [d for key, d in self._written if key == one.id]
        moved = (start, end) != (one.start, one.end)
        same = verdict == one.verdict and not moved
        target = dict(one.target)
        if moved and verdict != "reject":
            fps = one.sample["fps"]
            target |= {"interval_s": [round(start / fps, 6), round(end / fps, 6)], "frames": [start, end]}
        if verdict not in (one.verdict, "reject"):
            target.pop("rule_id", None)  # the rule said something else
        timed = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds <= LONGEST_S
        return Decision(
            reviewer=self.reviewer,
            tool=TOOL,
            sample_id=one.sample["sample_id"],
            task="form",
            target=target,
            action="reject" if verdict == "reject" else "accept" if same else "edit",
            value=one.verdict if verdict == "reject" else verdict,
            proposal=Proposal(one.origin, one.origin_hash, one.value_hash),
            media_sha256=one.sample["media_sha256"],
            seconds=round(float(seconds), 3) if timed else None,
            supersedes=mine[-1].id if mine else one.earlier,
            probe=one.probe,
        )
