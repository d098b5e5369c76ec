"""What in the ledger wants a second look: reviewers who disagree, and accepts that no longer hold."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from repset.curate.decision import Decision
from repset.curate.gather import gather
from repset.curate.ledger import Ledger
from repset.curate.merge import merge
from repset.curate.pose_labels import pose_rows
from repset.project import TASKS, Project


@dataclass(frozen=True)
class Conflict:
    """One label on which reviewers disagree beyond tolerance; attributes as in MergeReport.conflicts."""

    task: str
    said: list[dict[str, Any]]
    holds: str


@dataclass(frozen=True)
class Stale:
    """One accept whose proposal is another now; `now` says what is proposed."""

    task: str
    said: Mapping[str, Any]
    now: list[str]


def disagreements(project: Project) -> tuple[list[Conflict], list[Stale]]:
    """Over every source and task that somebody has decided on, sorted; poses too.

    A source without an index is merged from its decisions alone (no accept of it can be called stale).
    Raises: DataError for a broken table or ledger.
    """
    groups: dict[tuple[str, str], list[Decision]] = defaultdict(list)
    for decision in Ledger(project.reviews).read():
        groups[decision.sample_id.split("/", 1)[0], decision.task].append(decision)
    conflicts, stale = [], []
    for (source, task), decisions in sorted(groups.items()):
        known = task in TASKS and (project.index(source) / "samples.parquet").is_file()
        rows = gather(project, task, source, automatic=True).rows if known else pose_rows(project, source, decisions)
        report = merge(rows, decisions, task)[1]
        conflicts += [Conflict(task, one["said"], one["holds"]) for one in report.conflicts]
        stale += [Stale(task, {k: v for k, v in one.items() if k != "now"}, one["now"]) for one in report.stale]
    return conflicts, stale
