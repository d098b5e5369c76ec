"""`repset splits`."""

import json

import click

from repset.cli.device import device_option
from repset.cli.progress import meter
from repset.project import find_project


@click.group("splits")
def command() -> None:
    """What a split is worth.

    \b
    Example:
        repset splits leak-cost
    """


@command.command("leak-cost")
@click.option(
    "--max-steps", default=400, show_default=True, help="Steps of a training; DeepFit takes ten times as many."
)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
@device_option
def leak_cost_command(max_steps: int, as_json: bool, device: str) -> None:
    """Train the exercise networks on a random split of frames as well, and say how much it flatters.

    Both arms learn from and are scored on the same frames (DeepFit) and windows (temporal network), dealt once by
    group and once at random. Needs the curated tables of the profile's model exercise; writes nothing.

    \b
    Example:
        repset splits leak-cost
    """
    from rich.console import Console
    from rich.table import Table

    from repset.learn.leak_cost import leak_cost

    with meter() as progress:
        result = leak_cost(find_project(), max_steps, device, progress)
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    clips = ", ".join(f"{count} {fold}" for fold, count in result["clips"].items())
    table = Table(
        "network", "items", "score", "split by group", "random frames", "flattered by",
        title=f"clips: {clips}; split in force: {result['split']}",
    )  # fmt: skip
    for name in ("deepfit", "temporal"):
        scores = result[name]
        for key in ("accuracy", "macro_f1"):
            table.add_row(
                name, f"{scores['train']:,} train, {scores['test']:,} test {scores['items']}", key.replace("_", " "),
                f"{scores['honest'][key]:.3f}", f"{scores['naive'][key]:.3f}", f"{scores['flattered'][key]:+.3f}",
            )  # fmt: skip
    Console().print(table)
