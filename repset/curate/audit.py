"""The ledger as a whole: what is in it, and whether every line, mask and round is as it was written."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

from repset.curate.decision import ACTIONS, Decision
from repset.curate.ledger import Ledger, check_references
from repset.curate.merge import undone_ids
from repset.errors import DataError


@dataclass(frozen=True)
class Effort:
    """What one reviewer decided on one task.

    Attributes:
        actions: action → number of lines.
        undone: decisions held off by an undo; probes: decisions on proposals that were wrong on purpose.
        median_s: median seconds per decision, None where no time was taken.
    """

    reviewer: str
    task: str
    actions: dict[str, int]
    undone: int
    probes: int
    samples: int
    median_s: float | None


@dataclass(frozen=True)
class Audit:
    """What `verify` found.

    Attributes:
        faults: what must be mended, a sentence each.
        remarks: what is harmless, a sentence each.
    """

    files: int
    lines: int
    masks: int
    rounds: int
    faults: list[str]
    remarks: list[str]


def stats(decisions: list[Decision]) -> list[Effort]:
    """One row per reviewer and task, sorted."""
    undone = undone_ids(decisions)
    groups: dict[tuple[str, str], list[Decision]] = defaultdict(list)
    for decision in decisions:
        groups[decision.reviewer, decision.task].append(decision)
    efforts = []
    for (reviewer, task), mine in sorted(groups.items()):
        seconds = [decision.seconds for decision in mine if decision.seconds is not None]
        efforts.append(
            Effort(
                reviewer,
                task,
                {action: sum(decision.action == action for decision in mine) for action in ACTIONS},
                sum(decision.id in undone for decision in mine),
                sum(decision.probe for decision in mine),
                len({decision.sample_id for decision in mine}),
                median(seconds) if seconds else None,
            )
        )
    return efforts


def verify(ledger: Ledger) -> Audit:
    """Check every line, reference, mask and round, and go on after a fault."""
    contents = ledger.contents()
    faults: list[str] = []
    decisions: dict[str, Decision] = {}
    places: dict[str, str] = {}
    remarks, lines = [], 0
    for where, decision in ledger.scan(contents):
        lines += 1
        if isinstance(decision, DataError):
            faults.append(str(decision))
        elif decision.id in decisions:
            remarks.append(f"{where}: the same decision as {places[decision.id]}; it counts once.")
        else:
            decisions[decision.id], places[decision.id] = decision, where
    faults += [str(error) for error in check_references(decisions, places)]
    rounds = sorted(ledger.round_path("x").parent.glob("*.json"))
    checks: list[Callable[[], object]] = [partial(ledger.contents_of_round, path.stem) for path in rounds]
    checks.append(partial(undone_ids, decisions.values()))
    for check in checks:
        try:
            check()
        except DataError as error:
            faults.append(str(error))
    used = {decision.blob for decision in decisions.values()}
    masks = sorted(ledger.blob_path("x").parent.glob("*.png"))
    if not faults:  # a line that cannot be read may be the one that names the mask
        remarks += [f"{path}: no decision names this mask." for path in masks if path.stem not in used]
    return Audit(len(contents), lines, len(masks), len(rounds), faults, remarks)
