"""Counts of sets for the stage `accept`: how many repetitions the labeller finds in a set, and how many there are.

A count is of one set. It is proposed from datasets/<source>/labels. The truth is the dataset's own count of a set that
overlaps it, or the repetitions that the dataset marks in it; and before that what people made of the set's repetitions
in Label Studio, where a missed one can be drawn and a false one deleted.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import median

from repset.curate.acceptance_items import COUNT
from repset.curate.gather import gather, interval_s, label_row
from repset.curate.ledger import Ledger
from repset.curate.merge import merge_slots
from repset.curate.slots import Row, Slot, find
from repset.curate.targets import Interval, as_dict, interval_of, key_of
from repset.errors import DataError
from repset.exercises import NONE
from repset.project import Project
from repset.records import canonical_json, read_rows, sha256_bytes

_COMPLETE = "label_studio"
"""The tool in which a person sees a whole clip and can add what is missing."""


def counted_sets(project: Project, source: str) -> list[Row]:
    """The labeller's counts as rows of the table `proposals`, sorted by sample and set.

    Their score is `evenness`: a repetition that was missed, halved or counted twice stands out among the others.

    Raises: DataError if the source has no index or no automatic labels.
    """
    if not project.labels(source).is_dir():
        raise DataError(project.labels(source), "automatic labels", "none", f"Run repset autolabel {source}")
    samples = _samples(project, source)
    reps: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in read_rows(project.labels(source) / "reps.parquet", "reps"):
        reps[row["sample_id"], row["set"]].append(row)
    rows = []
    for one in read_rows(project.labels(source) / "sets.parquet", "sets"):
        if one["sample_id"] in samples and one["exercise"] not in (None, NONE):
            mine = sorted(reps[one["sample_id"], one["set"]], key=lambda row: int(row["turn"]))
            rows.append(_proposal(samples[one["sample_id"]], one, mine))
    return rows


def evenness(reps: Sequence[Row]) -> float:
    """How alike the repetitions of a set are, 0..1; 0 for fewer than two, of which nothing can be compared.

    The smaller of: least to median range of motion; shortest to longest time, among the repetitions' own times and the
    times from turn to turn.

    Args:
        reps: rows of the table `reps`, in order of time.
    """
    if len(reps) < 2 or any(row["range_deg"] is None for row in reps):
        return 0.0
    turns = [row["turn_s"] for row in reps]
    times = [row["end_s"] - row["start_s"] for row in reps] + [b - a for a, b in pairwise(turns)]
    ranges = [row["range_deg"] for row in reps]
    middle = median(ranges)
    if not (middle > 0 and max(times) > 0):
        return 0.0
    return float(max(0.0, min(min(ranges) / middle, min(times) / max(times))))


def count_slots(project: Project, source: str, proposals: Sequence[Row]) -> dict[str, list[Slot]]:
    """Sample → what is known of the counts of its sets: a slot each, with the true count as its row.

    Args:
        proposals: of `counted_sets`.
    """
    samples = _samples(project, source)
    slots: dict[str, list[Slot]] = defaultdict(list)
    for one in read_rows(project.index(source) / "sets.parquet", "sets"):
        if one["reps"] is not None and one["exercise"] not in (None, NONE) and one["sample_id"] in samples:
            target = _target(samples[one["sample_id"]], one)
            row = label_row(one["sample_id"], COUNT, target, "gold", one["origin"], value=one["reps"])
            slots[one["sample_id"]].append(_slot(row))
    given = {name: middles for name, middles in _given_reps(project, source).items() if name not in slots}
    judged = _judged_reps(project, source)
    for proposed in proposals:
        name, target = proposed["sample_id"], as_dict(proposed["target"])
        if name in given:
            inside = sum(_inside(middle_s, interval_of(target)) for middle_s in given[name])
            slots[name].append(_slot(label_row(name, COUNT, target, "gold", "dataset", value=inside)))
        found = _within(judged.get(name, ()), interval_of(target))
        if not found or not all(any(d.tool == _COMPLETE for d in slot.decisions) for slot in found):
            continue
        here = find(slots[name], key_of(name, target), interval_of(target))
        if here is None:
            here = Slot(key_of(name, target), interval_of(target))
            slots[name].append(here)
        here.decisions = [slot.decisions[-1] for slot in found]
        here.row = label_row(
            name, COUNT, target, "gold_corrected", "human", value=sum(slot.row is not None for slot in found)
        )
    return slots


def _samples(project: Project, source: str) -> dict[str, Row]:
    rows = read_rows(project.index(source) / "samples.parquet", "samples")
    return {row["sample_id"]: row for row in rows if row["kind"] != "image"}


def _proposal(sample: Row, one: Row, reps: Sequence[Row]) -> Row:
    value = canonical_json(len(reps))
    return {
        "sample_id": one["sample_id"],
        "task": COUNT,
        "target": canonical_json(_target(sample, one)),
        "value": value,
        "blob": None,
        "score": evenness(reps),
        "origin": "rule",
        "origin_hash": None,
        "value_hash": sha256_bytes(value.encode()),
    }


def _target(sample: Row, one: Row) -> dict[str, object]:
    start, end = int(one["start"]), int(one["end"])
    return {"interval_s": interval_s(sample, start, end), "frames": [start, end], "exercise": one["exercise"]}


def _slot(row: Row) -> Slot:
    """A slot in which the dataset's count holds."""
    target = as_dict(row["target"])
    return Slot(key_of(row["sample_id"], target), interval_of(target), [row], row=row)


def _given_reps(project: Project, source: str) -> dict[str, list[float]]:
    """Sample → the middle, in seconds, of each repetition that the dataset itself marks."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in read_rows(project.index(source) / "reps.parquet", "reps"):
        if row["origin"] == "dataset" and row["start_s"] is not None:
            found[row["sample_id"]].append((row["start_s"] + row["end_s"]) / 2)
    return found


def _judged_reps(project: Project, source: str) -> Mapping[str, Sequence[Slot]]:
    """Sample → its repetitions with what people said of them; samples without a word of Label Studio are left out."""
    decisions = [d for d in Ledger(project.reviews).read() if d.task == "form"]
    seen = {d.sample_id for d in decisions if d.tool == _COMPLETE}
    if not any(name.startswith(f"{source}/") for name in seen):
        return {}
    gathered = gather(project, "form", source, automatic=True)
    mine = [d for d in decisions if d.sample_id in seen & gathered.samples.keys()]
    rows = [row for row in gathered.rows if row["sample_id"] in seen]
    slots: dict[str, list[Slot]] = defaultdict(list)
    for slot in merge_slots(rows, mine, "form")[0]:
        slots[slot.key.sample_id].append(slot)
    return slots


def _within(slots: Iterable[Slot], stretch: Interval | None) -> list[Slot]:
    """The repetitions whose middle lies in a stretch."""
    return [slot for slot in slots if slot.interval is not None and _inside(sum(slot.interval) / 2, stretch)]


def _inside(at_s: float, stretch: Interval | None) -> bool:
    """Whether a moment lies in a stretch (None: the whole clip)."""
    return stretch is None or stretch[0] <= at_s < stretch[1]
