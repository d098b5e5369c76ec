"""The options --device and --devices, the same for every command that runs a network."""

import click

device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto takes a GPU where there is one. Another device rounds differently: same score, other bytes.",
)

devices_option = click.option(
    "--devices",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="GPUs that share the training (with --device cpu: processes). Each takes a batch of its own in every step.",
)
