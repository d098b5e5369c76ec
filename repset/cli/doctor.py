"""`repset doctor`: is the environment whole, and how to mend what is not."""

import click

from repset.doctor import CHECKS, run_check


@click.command()
def command() -> None:
    """Check the environment: one line a check, and for each fault the command that mends it.

    \b
    Example:
        repset doctor
    """
    from rich.console import Console

    console, faults = Console(highlight=False), 0
    for check in CHECKS:
        result = run_check(check)
        colour = {"ok": "green", "absent": "yellow", "fault": "red"}[result.state]
        console.print(f"[{colour}]{result.state:>6}[/]  {check.title}: {result.found}", soft_wrap=True)
        if result.mend:
            console.print(f"        → {result.mend}", soft_wrap=True)
        faults += result.state == "fault"
    if faults:
        console.print(f"{faults} fault{'s' if faults > 1 else ''}.")
        raise click.exceptions.Exit(1)
