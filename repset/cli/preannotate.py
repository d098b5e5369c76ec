"""`repset preannotate`."""

import click

from repset.cli.device import device_option
from repset.cli.progress import meter
from repset.project import TASKS, find_project


@click.command("preannotate")
@click.argument("task", type=click.Choice(TASKS))
@click.argument("source")
@device_option
def command(task: str, source: str, device: str) -> None:
    """Propose labels of TASK for every sample of SOURCE with the bootstrap model.

    Labelled samples get proposals too, so that a disagreement between model and label can be shown and looked into.
    Nothing proposed becomes a label by itself: see `repset accept` and the review tools.

    \b
    Example:
        repset preannotate muscle_mask sample_roboflow
    """
    from repset.learn.stages import preannotate

    with meter() as progress:
        path, count = preannotate(find_project(), task, source, device, progress)
    click.echo(f"{count} proposals written: {path}")
