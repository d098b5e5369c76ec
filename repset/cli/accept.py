"""`repset accept`."""

import click
from rich.console import Console
from rich.table import Table

from repset.curate.acceptance import accept
from repset.params import load_params
from repset.project import TASKS, find_project


@click.command()
@click.argument("task", type=click.Choice(TASKS))
@click.argument("source")
def command(task: str, source: str) -> None:
    """Take over proposals that a stated rule accepts.

    Taken are proposals with at least the score `accept.<task>` of the params (null takes none), in the fold train,
    where the dataset has no label.

    \b
    Example:
        repset accept muscle_mask sample_roboflow
    """
    project = find_project()
    built = accept(project, task, source, load_params(project).accept)
    report = built.report
    table = Table("proposals", "number", title=f"{task} on {source}: threshold {report['threshold']}")
    table.add_row("accepted", str(report["accepted"]))
    for reason, count in report["refused"].items():
        table.add_row(f"refused: {reason}", str(count))
    console = Console()
    console.print(table)
    console.print(f"written: {built.path}", soft_wrap=True)
