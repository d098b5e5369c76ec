"""`repset queue`."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from repset.curate.queue import COLUMNS, Wanted, build_queue, sources_of
from repset.project import TASKS, find_project
from repset.records import write_csv

_BENCHES = {
    "form": "repset review reps {source} --order queue",
    "exercise": "repset labelstudio push {source} --queue",
    "muscle_mask": "repset labelstudio push {source} --queue",
}


@click.command("queue")
@click.argument("source", required=False)
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=20.0, show_default=True,
              help="The time there is; what does not fit is left out.")  # fmt: skip
@click.option(
    "--task", "tasks", type=click.Choice(TASKS), multiple=True, help="Only this kind of label.  [default: all]"
)
@click.option("--out", type=click.Path(path_type=Path), help="The whole list as CSV.  [default: .repset/queue.csv]")
@click.option("--show", type=click.IntRange(0), default=12, show_default=True, help="Lines to print.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON in place of a table.")
def command(source: str | None, minutes: float, tasks: tuple[str, ...], out: Path | None, show: int,
            as_json: bool) -> None:  # fmt: skip
    """List what to look at next: most gain a minute first, spread over people and exercises.

    A label waits here if looking may change it: a model is unsure, a measured angle lies near its limit, two labels
    contradict each other, two reviewers disagree, an accepted label has changed, or nothing is known. Rare classes
    count for more. The same state gives the same list. SOURCE defaults to every source of the profile.

    \b
    Example:
        repset queue sample_penn_action --minutes 20
        repset queue --task form --json
    """
    project = find_project()
    with Console(stderr=True).status("weighing labels"):
        queue = build_queue(project, sources_of(project, source), tasks or TASKS, minutes)
    rows = [one.row() for one in queue]
    path = write_csv(out or project.cache / "queue.csv", COLUMNS, rows)
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    if not queue:
        click.echo("Nothing waits: a person has settled every label, or none fits into the time.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("", "sample", "task", "says", "chance"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("", "chance") else "left")
    table.add_column("why", overflow="fold")
    for one in queue[:show]:
        what = one.label or "nothing yet"
        interval = one.target.get("interval_s")
        what += f" {interval[0]:.1f}–{interval[1]:.1f} s" if interval else ""
        table.add_row(str(one.place), one.sample_id, one.task, what, f"{one.chance:.0%}", one.reason)
    Console(highlight=False).print(table)
    _summary(queue, show, path)


def _minutes(value: float) -> str:
    return f"{value:.0f} minutes" if value >= 10 else f"{value:.1f} minutes"


def _summary(queue: Sequence[Wanted], show: int, path: Path) -> None:
    more = f", {len(queue) - show} more" if len(queue) > show else ""
    groups = len({(one.source, one.group) for one in queue})
    click.echo(f"{len(queue)} labels of {groups} groups, {_minutes(queue[-1].minutes)}{more} in {path}")
    counts = Counter((one.source, one.task) for one in queue)
    for (source, task), count in sorted(counts.items()):
        click.echo(f"  {count} × {task}: {_BENCHES[task].format(source=source)}")
