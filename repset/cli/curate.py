"""`repset curate`."""

import click

from repset.cli.counts import print_built
from repset.curate.build import build_curated
from repset.project import TASKS, find_project


@click.command()
@click.argument("task", type=click.Choice(TASKS))
@click.argument("source")
def command(task: str, source: str) -> None:
    """Merge dataset, automatic, accepted and human labels of one task into one table.

    Latest valid human decision > dataset > accepted proposal > automatic. report.json beside the table counts tiers,
    origins, folds and classes, agreement, conflicts, stale accepts, and what was left out and why.

    \b
    Example:
        repset curate exercise sample_penn_action
    """
    print_built(build_curated(find_project(), task, source))
