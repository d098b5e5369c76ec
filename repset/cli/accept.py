"""`repset accept`."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from repset.curate.acceptance import accept
from repset.curate.acceptance_items import COUNT
from repset.params import load_params
from repset.project import TASKS, find_project


@click.command()
@click.argument("task", type=click.Choice((*TASKS, COUNT)))
@click.argument("source")
def command(task: str, source: str) -> None:
    """Take over proposals whose error is bounded, without a person.

    A threshold of the score is sought on labels that no model learned from, so that at most `accept.max_error` of what
    it takes is wrong. Where these are too few nothing is taken, and it is said how many are missing. A source without
    labels is audited first: review what stands under `audit` in the report.

    `count` needs no model: it says which sets' automatic counts may be believed, and it learns from the dataset's own
    counts, or from repetitions reviewed in Label Studio.

    \b
    Example:
        repset accept muscle_mask sample_roboflow
        repset accept count sample_mmfit
    """
    project = find_project()
    params = load_params(project).accept
    built = accept(project, task, source, params)
    report, console = built.report, Console()
    promise = f"at most {params.max_error:.0%} wrong at {params.confidence:.0%}"
    table = Table("classes", "threshold", "bound", "accepted", "wrong on held-out gold", title=f"{source}: {promise}")
    for pool in report["pools"]:
        table.add_row(*_pool_cells(pool))
    if report["pools"]:
        console.print(table)
    counts = Table("proposals", "number", title=f"{task} on {source}")
    counts.add_row("accepted", f"{report['accepted']} of {report['candidates']} without a label")
    for reason, count in report["refused"].items():
        counts.add_row(f"refused: {reason}", str(count))
    console.print(counts)
    if (audit := report["audit"]) is not None:
        console.print(_audit_sentence(task, source, audit, built.path), soft_wrap=True)
    console.print(f"written: {built.path}", soft_wrap=True)


def _pool_cells(pool: dict[str, Any]) -> tuple[str, ...]:
    held_out = pool["held_out"]
    bound = f"{pool['bound']:.3f}" if pool["bound"] is not None else "unknown"
    if pool["groups_missing"]:
        bound = f"{pool['groups_missing']} of {pool['groups_needed']} groups are missing"
    return (
        ", ".join(pool["classes"]),
        f"{pool['threshold']:.3f}" if pool["threshold"] is not None else "none",
        bound,
        f"{pool['accepted']} of {pool['candidates']}",
        f"{held_out['wrong']} of {held_out['items']}" if held_out["items"] else "none to compare",
    )


def _audit_sentence(task: str, source: str, audit: dict[str, Any], table: Path) -> str:
    if audit["drawn"] < audit["wanted"]:
        return (
            f"{source} has no gold label to calibrate on, and {audit['drawn']} independent candidates where an audit "
            f"needs {audit['wanted']}: nothing can be accepted. Label the fold calibration, or add media."
        )
    how = f" Go through their repetitions: repset labelstudio push {source}" if task == COUNT else ""
    return (
        f"{source} has no gold label to calibrate on: people have judged {audit['judged']} of {audit['wanted']} drawn "
        f"at random. The open ones are listed in {table.with_name('report.json')}, under audit.{how}"
    )
