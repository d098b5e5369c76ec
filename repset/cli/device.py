"""The option --device, the same for every command that runs a network."""

import click

device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto takes a GPU where there is one. Another device rounds differently: same score, other bytes.",
)
