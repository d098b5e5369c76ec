"""`repset review report`."""

import json
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table

from repset.curate.ledger import Ledger
from repset.curate.review_worth import Outcome, Probed, Saving, as_json, outcomes, probed, saving, timed_tasks
from repset.project import find_project


@click.command("report")
@click.option("--source", help="Only decisions on this source.")
@click.option("--json", "json_wanted", is_flag=True, help="Print it as JSON.")
def command(source: str | None, json_wanted: bool) -> None:
    """Say what review is worth: what people did to proposals, how long they took, what they let through.

    Time is only compared where tasks went out blank on purpose (labelstudio push --blank-share 0.1), and attention
    only where labels were wrong on purpose (--probe-share 0.05). Everything is read from the ledger.

    \b
    Example:
        repset review report
    """
    decisions = Ledger(find_project().reviews).read()
    if source is not None:
        decisions = [d for d in decisions if d.sample_id.split("/", 1)[0] == source]
    if json_wanted:
        click.echo(json.dumps(as_json(decisions), indent=2))
        return
    if not decisions:
        click.echo("The ledger is empty: nobody has decided anything yet.")
        return
    _outcomes(outcomes(decisions))
    _time(saving(timed_tasks(decisions)))
    _probes(probed(decisions))


def _table(*names: str) -> Table:
    """Nothing of it is cut off, however narrow the terminal."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=name in ("task", "class"))
    return table


def _outcomes(found: Sequence[Outcome]) -> None:
    click.echo("what people did to what they were shown")
    table = _table("proposed by", "task", "class", "accepted", "edited", "rejected", "accepted share")
    for one in found:
        low, high = one.interval
        share = f"{one.accepted / one.judged:.0%} ({low:.0%}–{high:.0%})"
        table.add_row(one.version, one.task, one.name, str(one.accepted), str(one.edited), str(one.rejected), share)
    Console().print(table if found else "Nobody has judged a proposal yet.")


def _time(found: Saving | None) -> None:
    if found is None:
        click.echo("time: nothing to compare yet: a reviewer needs two tasks of each kind on one source "
                   "(repset labelstudio push SOURCE --blank-share 0.1)")  # fmt: skip
        return
    cells = "reviewer and source" if found.cells == 1 else "pairs of reviewer and source"
    cut = f", {found.cut} idle times cut" if found.cut else ""
    click.echo(
        f"time: {found.shown_s:.1f} s a task with labels on screen ({found.shown} tasks), {found.blank_s:.1f} s blank "
        f"({found.blank}), within {found.cells} {cells}{cut}"
    )
    sure = "" if found.low_s > 0 or found.high_s < 0 else "; the interval holds zero, so nothing is shown either way"
    click.echo(
        f"      saved: {found.saved_s:.1f} s a task, 95 % interval {found.low_s:.1f} to {found.high_s:.1f} s{sure}"
    )


def _probes(found: Sequence[Probed]) -> None:
    if not found:
        click.echo("attention: no label was shown wrong on purpose (repset labelstudio push SOURCE --probe-share 0.05)")
        return
    click.echo("attention: labels that were wrong on purpose; none of them is merged")
    table = _table("reviewer", "task", "shown wrong", "waved through", "share", "still to be seen")
    for one in found:
        low, high = one.interval
        share = f"{one.waved / one.shown:.0%} ({low:.0%}–{high:.0%})"
        table.add_row(one.reviewer, one.task, str(one.shown), str(one.waved), share, str(one.owed))
    Console().print(table)
    if owed := sum(one.owed for one in found):
        click.echo(f"{owed} true labels wait to be seen: the next repset labelstudio push sends them, repset queue "
                   "and the next repset review reps have them")  # fmt: skip
