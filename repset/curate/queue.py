"""What a person should look at next: labels by expected gain a minute, spread over groups and classes.

    gain = chance that looking changes the label × what a label of its class is worth
    order = greedy by gain ÷ seconds × variety, variety = 1 ÷ (1 + picks of its group) ÷ √(1 + picks of its class)

Variety never falls below a quarter, so that a good reason in a known group still goes before none in a new one. The
chances are in repset.curate.doubt. Classes that are rarer than the median one are worth more, by the square root of
how much. Seconds are the ledger's median for the task, once it has measured some. Everything is a pure function of
tables and ledger: the same state, the same queue.
"""

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from repset.curate.build import class_of
from repset.curate.decision import NOTHING, Decision
from repset.curate.doubt import Beside, Doubt, doubts_of, read_known
from repset.curate.gather import Gathered, gather
from repset.curate.ledger import Ledger
from repset.curate.merge import merge_slots
from repset.curate.slots import Row, Slot
from repset.curate.targets import BACKGROUND, as_dict, key_of
from repset.errors import RepsetError
from repset.params import load_profile
from repset.project import TASKS, Project
from repset.records import canonical_json, read_rows

SECONDS = {"muscle_mask": 30.0, "exercise": 5.0, "form": 3.0}
"""Of one decision, until the ledger has measured this task: the project's own guess (form: 400 in 20 minutes)."""

MEASURED_FROM = 8  # timed decisions on a task from which their median stands in for the guess
LEAST_VARIETY = 0.25
RAREST, COMMONEST = 2.0, 0.5  # bounds of what a class is worth, so that one odd clip does not lead the queue

_COUNTS = 0.1  # a second doubt from this chance on is named too

COLUMNS = (
    "place", "minutes", "source", "sample_id", "task", "target", "label", "origin", "tier", "fold", "group", "exercise",
    "chance", "worth", "seconds", "gain_per_min", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """One label that waits for a person.

    Attributes:
        target, label: what it is about, and what it says now ('' where nothing is said yet).
        kind: what it counts as for variety: class of a mask, exercise, or exercise and verdict.
        doubts: why, the strongest first.
        worth, seconds: of its class, and of the decision.
        place, minutes: in the queue, from 1, and the time it is done by; 0 before it has been ordered.
    """

    source: str
    sample_id: str
    task: str
    target: Mapping[str, Any]
    label: str
    kind: str
    origin: str
    tier: str
    fold: str
    group: str
    exercise: str
    doubts: tuple[Doubt, ...]
    worth: float = 1.0
    seconds: float = 1.0
    place: int = 0
    minutes: float = 0.0

    @property
    def chance(self) -> float:
        """That looking changes something: one minus the chance that every doubt is unfounded."""
        return 1.0 - math.prod(1.0 - one.chance for one in self.doubts)

    @property
    def gain(self) -> float:
        """Expected gain."""
        return self.chance * self.worth

    @property
    def reason(self) -> str:
        """The strongest doubt in words, and the next one where it counts."""
        return "; ".join(one.words for n, one in enumerate(self.doubts[:2]) if n == 0 or one.chance >= _COUNTS)

    def row(self) -> dict[str, Any]:
        """As a row of the queue's table, columns COLUMNS."""
        plain = {name: getattr(self, name) for name in COLUMNS if name not in ("target", "gain_per_min")}
        numbers = {name: round(float(plain[name]), 3) for name in ("minutes", "chance", "worth", "seconds")}
        rate = round(60 * self.gain / self.seconds, 3)
        row = {**plain, **numbers, "target": canonical_json(dict(self.target)), "gain_per_min": rate}
        return {name: row[name] for name in COLUMNS}


def sources_of(project: Project, source: str | None) -> list[str]:
    """The source that was named, or every indexed one of the profile.

    Raises: RepsetError where there is none.
    """
    if source is not None:
        return [source]
    found = [name for name in load_profile(project).sources if project.index(name).is_dir()]
    if not found:
        raise RepsetError("queue: expected an indexed source, found none. Run: dvc repro, or repset index SOURCE")
    return found


def build_queue(
    project: Project, sources: Sequence[str], tasks: Sequence[str] = TASKS, minutes: float | None = None
) -> list[Wanted]:
    """The queue over these sources and tasks.

    Args:
        minutes: the time there is; None: everything that waits.
    Raises: DataError for a source without an index, or a broken table or ledger.
    """
    decisions = Ledger(project.reviews).read()
    found: list[Wanted] = []
    holding: dict[str, Counter[str]] = defaultdict(Counter)
    for source in sources:
        folds = _folds(project, source)
        known = read_known(project, source)
        mine = [d for d in decisions if d.sample_id.split("/", 1)[0] == source]
        for task in tasks:
            gathered = gather(project, task, source, automatic=True)
            slots, report = merge_slots(gathered.rows, mine, task)
            contested = {str(conflict["holds"]) for conflict in report.conflicts}
            probed = [d for d in mine if d.task == task and report.status[d.id] == "probe"]
            slots = [slot for slot in slots if slot.key.label != BACKGROUND]
            slots += _silent(gathered, slots, task)
            by_sample: dict[str, list[Slot]] = defaultdict(list)
            for slot in slots:
                by_sample[slot.key.sample_id].append(slot)
                if slot.row is not None:
                    holding[task][_kind(slot.row, gathered.samples)] += 1
            beside = {sample_id: Beside(mine_of) for sample_id, mine_of in by_sample.items()}
            for slot in slots:
                doubts = doubts_of(slot, beside[slot.key.sample_id], task, known, contested, probed)
                if doubts and slot.key.sample_id in gathered.samples:
                    found.append(_wanted(slot, task, source, gathered, folds, doubts))
    seconds = seconds_per_task(decisions)
    worth = {task: _worth(counts) for task, counts in holding.items()}
    weighed = [
        replace(
            one, worth=worth.get(one.task, {}).get(one.kind, RAREST if one.kind else 1.0), seconds=seconds[one.task]
        )
        for one in found
    ]
    return ranked(weighed, minutes)


def _folds(project: Project, source: str) -> dict[str, Row]:
    path = project.split(source) / "split.parquet"
    return {row["sample_id"]: row for row in read_rows(path, "split")} if path.is_file() else {}


def _silent(gathered: Gathered, slots: Iterable[Slot], task: str) -> list[Slot]:
    """Clips of which nobody has said what is done in them, as empty slots."""
    if task != "exercise":
        return []
    named = {slot.key.sample_id for slot in slots}
    silent = [key for key, row in sorted(gathered.samples.items()) if row["kind"] != "image" and key not in named]
    return [Slot(key_of(sample_id, {}), None) for sample_id in silent]


def _label_row(slot: Slot) -> Row | None:
    """The label that holds, else what is proposed, else what a model once said and a person refused."""
    return slot.row or (slot.candidates[0] if slot.candidates else None)


def _kind(row: Row, samples: Mapping[str, Row]) -> str:
    if row["task"] != "form":
        return class_of(row)
    sample = samples.get(row["sample_id"]) or {}
    return f"{as_dict(row['target']).get('exercise') or sample.get('exercise') or ''} {class_of(row)}".strip()


def _wanted(
    slot: Slot, task: str, source: str, gathered: Gathered, folds: Mapping[str, Row], doubts: Sequence[Doubt]
) -> Wanted:
    sample, row = gathered.samples[slot.key.sample_id], _label_row(slot)
    fold = folds.get(slot.key.sample_id, {"fold": "", "group": sample["group"]})
    target = as_dict(row["target"]) if row is not None else {"interval_s": None}
    exercise = target.get("exercise") or sample["exercise"] or ""
    return Wanted(
        source=source,
        sample_id=slot.key.sample_id,
        task=task,
        target=target,
        label="" if row is None else class_of(row),
        kind="" if row is None else _kind(row, gathered.samples),
        origin="" if row is None else str(row["origin"]),
        tier="" if slot.row is None else str(slot.row["tier"]),
        fold=str(fold["fold"] or ""),
        group=str(fold["group"] or slot.key.sample_id),
        exercise=str(class_of(row) if task == "exercise" and row is not None else exercise),
        doubts=tuple(sorted(doubts, key=lambda one: (-one.chance, one.words))),
    )


def _worth(counts: Mapping[str, int]) -> dict[str, float]:
    """Class → worth: the square root of how much rarer it is than the median class, bounded."""
    middle = median(counts.values()) if counts else 1.0
    return {name: min(RAREST, max(COMMONEST, math.sqrt(middle / count))) for name, count in counts.items()}


def seconds_per_task(decisions: Iterable[Decision]) -> dict[str, float]:
    """Task → seconds of a decision: the ledger's median, or SECONDS where it has measured fewer than MEASURED_FROM."""
    timed: dict[str, list[float]] = defaultdict(list)
    for one in decisions:
        if one.seconds and one.action not in ("undo", NOTHING):
            timed[one.task].append(one.seconds)
    return {
        task: max(0.5, median(timed[task])) if len(timed[task]) >= MEASURED_FROM else guess
        for task, guess in SECONDS.items()
    }


def ranked(items: Iterable[Wanted], minutes: float | None = None) -> list[Wanted]:
    """Items in the order to look at them, with place and minutes; those for which there is no time are left out.

    Items of one group and kind lose the same by what was picked before them, so only the best of each such bucket
    competes; what a bucket's best is worth only falls, so a stale entry of the heap is put back and looked at later.
    """
    buckets: dict[tuple[str, str], list[Wanted]] = defaultdict(list)
    for one in items:
        buckets[f"{one.source}|{one.group}", f"{one.task}|{one.kind}"].append(one)
    for bucket in buckets.values():
        bucket.sort(key=_rank, reverse=True)  # the best at the end
    groups, kinds = Counter[str](), Counter[str]()

    def value(name: tuple[str, str]) -> float:
        best = buckets[name][-1]
        variety = 1.0 / (1 + groups[name[0]]) / math.sqrt(1 + kinds[name[1]])
        return best.gain / best.seconds * max(variety, LEAST_VARIETY)

    heap = [(-value(name), _rank(buckets[name][-1]), name) for name in buckets]
    heapq.heapify(heap)
    left, queue = math.inf if minutes is None else 60.0 * minutes, list[Wanted]()
    spent = 0.0
    while heap:
        believed, _, name = heapq.heappop(heap)
        now = value(name)
        if heap and now < -believed and -heap[0][0] > now:
            heapq.heappush(heap, (-now, _rank(buckets[name][-1]), name))
            continue
        one = buckets[name].pop()
        if one.seconds <= left - spent + 1e-9:
            spent += one.seconds
            queue.append(replace(one, place=len(queue) + 1, minutes=spent / 60.0))
            groups[name[0]] += 1
            kinds[name[1]] += 1
        if buckets[name]:
            heapq.heappush(heap, (-value(name), _rank(buckets[name][-1]), name))
    return queue


def _rank(one: Wanted) -> tuple[Any, ...]:
    """Within a bucket by gain a second; ties by sample, task and target, so that the order is always the same."""
    return -one.gain / one.seconds, one.sample_id, one.task, canonical_json(dict(one.target))
