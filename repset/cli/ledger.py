"""`repset ledger`."""

import click
from rich.console import Console
from rich.table import Table

from repset.curate.audit import stats as ledger_stats
from repset.curate.audit import verify as ledger_verify
from repset.curate.decision import ACTIONS
from repset.curate.ledger import Ledger
from repset.project import find_project


@click.group()
def command() -> None:
    """Count the human decisions, or check that every one is as it was written.

    \b
    Example:
        repset ledger verify
    """


@command.command()
def stats() -> None:
    """Decisions per reviewer and task.

    \b
    Example:
        repset ledger stats
    """
    decisions = Ledger(find_project().reviews).read()
    table = Table("reviewer", "task", *ACTIONS, "undone", "probes", "samples", "median s", title="the ledger")
    for row in ledger_stats(decisions):
        counts = [row.actions[action] for action in ACTIONS] + [row.undone, row.probes, row.samples]
        table.add_row(row.reviewer, row.task, *map(str, counts), "" if row.median_s is None else f"{row.median_s:.1f}")
    Console().print(table if decisions else "The ledger is empty: nobody has decided anything yet.")


@command.command()
def verify() -> None:
    """Check every line, reference, mask and round; exit code 1 if something must be mended.

    \b
    Example:
        repset ledger verify
    """
    audit = ledger_verify(Ledger(find_project().reviews))
    for remark in audit.remarks:
        click.echo(f"note: {remark}")
    for fault in audit.faults:
        click.echo(fault, err=True)
    click.echo(f"{audit.files} files, {audit.lines} lines, {audit.masks} masks, {audit.rounds} rounds: ", nl=False)
    click.echo(f"{len(audit.faults)} faults" if audit.faults else "all as they were written")
    if audit.faults:
        raise click.exceptions.Exit(1)
