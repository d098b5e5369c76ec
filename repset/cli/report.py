"""`repset report`."""

from pathlib import Path

import click

from repset.project import find_project


@click.command()
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to write it (default: report.html)."
)
def command(out: Path | None) -> None:
    """Write one HTML page with pictures of everything above.

    The page holds everything in itself and opens in any browser, online or not. A stage that has not run yet is named
    with the command that runs it.

    \b
    Example:
        repset report --out report.html
    """
    from repset.report.build import write_report

    project = find_project()
    path = write_report(project, out or project.root / "report.html")
    click.echo(f"written: {path} ({path.stat().st_size / 1e6:.1f} MB)")
