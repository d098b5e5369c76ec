"""`repset seed`."""

import click

from repset.cli.counts import print_built
from repset.curate.build import build_seed
from repset.params import load_params
from repset.project import TASKS, find_project


@click.command()
@click.argument("task", type=click.Choice(TASKS))
@click.argument("source")
def command(task: str, source: str) -> None:
    """Gather what the bootstrap model may learn from: dataset labels, and decisions up to the closed round.

    The round is `loop.ledger_until` of the params (null: no decisions), so that a decision never retrains the model
    whose proposal it judged.

    \b
    Example:
        repset seed muscle_mask sample_roboflow
    """
    project = find_project()
    print_built(build_seed(project, task, source, load_params(project).loop.ledger_until))
