"""`repset check`."""

from typing import Any

import click

from repset.cli.progress import meter
from repset.params import load_profile
from repset.project import find_project


@click.command("check")
@click.argument("source", required=False)
@click.option("--across", is_flag=True, help="Compare the checked sources of the profile with one another instead.")
@click.option("--code", default=None, help="Show every finding of this code.")
def command(source: str | None, across: bool, code: str | None) -> None:
    """Find what is wrong with SOURCE: faulty media, odd labels, copies and leaks.

    Writes datasets/checks/SOURCE: findings.parquet (one row a finding: code, severity, sample, frame, sentence),
    fingerprints.parquet and report.json. Nothing is left out: `repset split` keeps copies on one side. With --across,
    copies between sources that were checked before are listed.

    \b
    Example:
        repset check sample_penn_action
        repset check sample_roboflow --code near_duplicate
        repset check --across
    """
    from repset.curate.checks import CODES, check_across, check_source

    if (source is None) != across:
        raise click.UsageError("Name one SOURCE, or give --across.")
    if code is not None and code not in CODES:
        raise click.BadParameter(f"{code}: no such code. Codes: {', '.join(CODES)}.", param_hint="--code")
    project = find_project()
    with meter() as progress:
        if source is None:
            _show(check_across(project, list(load_profile(project).sources), progress), code)
            return
        checked = check_source(project, source, progress)
    _show(checked.findings, code)
    click.echo(f"written: {project.checks(source)}")


_SHOWN = 3


def _show(findings: list[dict[str, Any]], code: str | None) -> None:
    """Counts by code with the first few sentences, or every finding of one code."""
    from rich.console import Console
    from rich.table import Table

    if code is not None:
        for row in findings:
            if row["code"] == code:
                click.echo(f"{row['severity']}: {_where(row)}{row['sentence']}")
        return
    table = Table("code", "severity", "findings", "for example")
    for severity, name in dict.fromkeys((row["severity"], row["code"]) for row in findings):
        alike = [row for row in findings if (row["severity"], row["code"]) == (severity, name)]
        some = "\n".join(f"{_where(row)}{row['sentence']}" for row in alike[:_SHOWN])
        table.add_row(name, severity, f"{len(alike):,}", some)
    if findings:
        Console().print(table)
    else:
        click.echo("nothing found")


def _where(row: dict[str, Any]) -> str:
    frame = "" if row["frame"] is None else f" frame {row['frame']}"
    return f"{row['sample_id']}{frame}: " if row["sample_id"] else ""
