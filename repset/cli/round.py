"""`repset round`."""

import click

from repset.curate.ledger import Ledger
from repset.curate.rounds import close_round
from repset.project import find_project


@click.group()
def command() -> None:
    """Close a review round, so that the next bootstrap may learn from it.

    \b
    Example:
        repset round close first
    """


@command.command()
@click.argument("name")
def close(name: str) -> None:
    """Write datasets/reviews/rounds/NAME.json, once: which lines of the ledger stood there.

    \b
    Example:
        repset round close first
    """
    closed = close_round(Ledger(find_project().reviews), name)
    click.echo(f"{closed.lines} lines in {closed.files} files; written: {closed.path}")
    click.echo(f"Let the bootstrap learn from it: set loop.ledger_until to {name} in the params file, then dvc repro")
