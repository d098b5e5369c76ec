"""`repset bootstrap`."""

import click

from repset.cli.device import device_option, devices_option
from repset.cli.progress import meter
from repset.project import find_project


@click.command("bootstrap")
@click.argument("model")
@device_option
@devices_option
def command(model: str, device: str, devices: int) -> None:
    """Train MODEL on datasets/seed and write models/MODEL/bootstrap, the model that proposes labels.

    It has seen dataset labels, and people's decisions only up to the last closed round, so a decision never retrains
    the model whose proposal it judged.

    \b
    Example:
        repset bootstrap segmentation
    """
    from repset.learn import processes
    from repset.learn.stages import train_model

    processes.share(devices, device)
    with meter() as progress:
        folder = train_model(find_project(), model, "bootstrap", device, progress)
    if processes.rank() == 0:
        click.echo(f"written: {folder}")
