"""`repset ledger`."""

import json
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from repset.curate.audit import stats as ledger_stats
from repset.curate.audit import verify as ledger_verify
from repset.curate.decision import ACTIONS
from repset.curate.disagreements import disagreements
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
    """Decisions per reviewer and task; columns without a number but 0 are left out.

    \b
    Example:
        repset ledger stats
    """
    decisions = Ledger(find_project().reviews).read()
    rows = ledger_stats(decisions)
    counts = {action: [row.actions[action] for row in rows] for action in ACTIONS}
    counts |= {"undone": [row.undone for row in rows], "probes": [row.probes for row in rows]}
    counts = {name: values for name, values in counts.items() if any(values)}
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("reviewer", "task", *counts, "samples", "median s"):
        table.add_column(name, overflow="fold", justify="left" if name in ("reviewer", "task") else "right")
    for number, row in enumerate(rows):
        seconds = "" if row.median_s is None else f"{row.median_s:.1f}"
        mine = [str(values[number]) for values in counts.values()]
        table.add_row(row.reviewer, row.task, *mine, str(row.samples), seconds)
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


@command.command()
@click.option("--json", "json_wanted", is_flag=True, help="Print them as JSON.")
def conflicts(json_wanted: bool) -> None:
    """Where reviewers disagree (the latest decision holds), and accepts whose proposal has changed since.

    \b
    Example:
        repset ledger conflicts
    """
    found, stale = disagreements(find_project())
    if json_wanted:
        plain = {"conflicts": [vars(one) for one in found], "stale": [vars(one) for one in stale]}
        click.echo(json.dumps(plain, indent=2, ensure_ascii=False))
        return
    for conflict in found:
        click.echo(f"{conflict.task} of {_place(conflict.said[0])}")
        for one in conflict.said:
            value = "" if one["value"] is None else f" {json.dumps(one['value'], ensure_ascii=False)[:80]}"
            holds = "  holds" if one["decision"] == conflict.holds else ""
            click.echo(f"  {one['at'][:16]} {one['reviewer']}: {one['action']}{value}{holds}")
    for old in stale:
        click.echo(f"{old.task} of {_place(old.said)}")
        now = "; ".join(old.now)[:160]
        click.echo(f"  {old.said['at'][:16]} {old.said['reviewer']}: accept, stale; proposed now: {now}")
    click.echo(f"{len(found)} conflicts, {len(stale)} stale accepts")


def _place(said: Mapping[str, Any]) -> str:
    target = said["target"]
    interval = target.get("interval_s")
    parts = [target.get("class"), target.get("variant"), f"frame {target['frame']}" if target.get("frame") else None,
             f"{interval[0]:.2f}–{interval[1]:.2f} s" if interval else None]  # fmt: skip
    return ", ".join([said["sample_id"], *(str(part) for part in parts if part)])
