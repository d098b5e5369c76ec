"""Where each label of one sample comes from: every candidate, every decision and what became of it."""

from dataclasses import dataclass
from typing import Any

from repset.curate.decision import LEDGER_TASKS, NOTHING, Decision
from repset.curate.gather import gather
from repset.curate.ledger import Ledger
from repset.curate.merge import merge_slots
from repset.curate.pose_labels import pose_rows
from repset.curate.slots import Row, Slot
from repset.curate.targets import BACKGROUND
from repset.errors import DataError
from repset.project import RESERVED, TASKS, Project
from repset.records import read_rows


@dataclass(frozen=True)
class TaskChain:
    """One task of a sample.

    Attributes:
        slots: what was said about each target, candidates by precedence and decisions by time, with the outcome.
        status: decision id → what became of it.
        aside: decisions that are undone, undo lines, answers that found nothing and probes.
        notes: inputs that were not there.
    """

    task: str
    slots: list[Slot]
    status: dict[str, str]
    aside: list[Decision]
    notes: list[str]


@dataclass(frozen=True)
class Chain:
    """Everything about one sample: its rows of the tables samples and split (None: not split yet), its tasks."""

    sample: Row
    split: Row | None
    tasks: list[TaskChain]


def trace(project: Project, sample_id: str) -> Chain:
    """The chain of a sample, from the same functions that curate it.

    Raises: DataError if no source has the sample, or for a broken table or ledger.
    """
    source = sample_id.split("/", 1)[0]
    path = project.index(source) / "samples.parquet"
    if "/" not in sample_id or source in RESERVED or not path.is_file():
        raise DataError(sample_id, "<source>/<native id> of an indexed source", "no such source", _how(project))
    found = read_rows(path, "samples", filters=[("sample_id", "=", sample_id)])
    if not found:
        ids = [row["sample_id"] for row in read_rows(path, "samples", ["sample_id"])]
        example = f", for example {min(ids)}" if ids else ""
        raise DataError(sample_id, f"a sample of {source}", "none", f"Name one of its {len(ids)} samples{example}")
    decisions = [d for d in Ledger(project.reviews).read() if d.sample_id == sample_id]
    tasks = [_task(project, task, source, sample_id, [d for d in decisions if d.task == task]) for task in LEDGER_TASKS]
    return Chain(found[0], _fold(project, source, sample_id), [t for t in tasks if t.slots or t.aside])


def _how(project: Project) -> str:
    sources = sorted(path.parent.name for path in project.index("x").parent.parent.glob("*/index"))
    return f"Name a sample of {', '.join(sources)}" if sources else "Run: repset index SOURCE"


def _fold(project: Project, source: str, sample_id: str) -> Row | None:
    path = project.split(source) / "split.parquet"
    rows: list[dict[str, Any]] = []
    if path.is_file():
        rows = read_rows(path, "split", filters=[("sample_id", "=", sample_id)])
    return rows[0] if rows else None


def _task(project: Project, task: str, source: str, sample_id: str, decisions: list[Decision]) -> TaskChain:
    if task not in TASKS:  # poses have no curated table: only frames in which somebody said something
        slots, report = merge_slots(pose_rows(project, source, decisions), decisions, task)
        return TaskChain(task, slots, report.status, _aside(decisions, report.status), [])
    gathered = gather(project, task, source, automatic=True)
    mine = [row for row in gathered.rows if row["sample_id"] == sample_id]
    slots, report = merge_slots(mine, decisions, task)
    slots = [slot for slot in slots if slot.key.label != BACKGROUND]
    slots.sort(key=lambda slot: (slot.interval or (-1.0, -1.0), slot.key))
    return TaskChain(task, slots, report.status, _aside(decisions, report.status), gathered.notes)


def _aside(decisions: list[Decision], status: dict[str, str]) -> list[Decision]:
    return [decision for decision in decisions if status[decision.id] in ("undone", "undo", NOTHING, "probe")]
