"""`repset train`."""

import click

from repset.cli.device import device_option, devices_option
from repset.cli.progress import meter
from repset.project import find_project


@click.command("train")
@click.argument("model")
@device_option
@devices_option
def command(model: str, device: str, devices: int) -> None:
    """Train MODEL on datasets/curated and write models/MODEL/final.

    Everything learned so far counts: dataset labels, people's decisions, accepted proposals. A training that was
    stopped goes on from its last whole epoch.

    \b
    Example:
        repset train segmentation
    """
    from repset.learn import processes
    from repset.learn.stages import train_model

    processes.share(devices, device)
    with meter() as progress:
        folder = train_model(find_project(), model, "train", device, progress)
    if processes.rank() == 0:
        click.echo(f"written: {folder}")
