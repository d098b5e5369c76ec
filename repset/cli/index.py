"""`repset index`."""

import click

from repset.cli.progress import track
from repset.params import load_params, load_source
from repset.project import find_project
from repset.sources.index import index_source


@click.command("index")
@click.argument("source")
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="Stop at the first faulty item, or leave faulty items out and count them in report.json.",
)
def command(source: str, on_error: str) -> None:
    """Read what was pulled into the tables of the data contract.

    Writes datasets/SOURCE/index in one step: Parquet tables, image shards, videos, report.json. The old index stays
    where something is wrong.

    \b
    Example:
        repset index sample_penn_action
    """
    project = find_project()
    spec = load_source(project, source)
    report = index_source(
        project,
        source,
        spec,
        load_params(project).index.shard_mb,
        skip=on_error == "skip",
        progress=lambda items: track(items, f"index {source}"),
    )
    counts = ", ".join(f"{count:,} {name}" for name, count in report["counts"].items() if count)
    click.echo(f"{source}: {counts} → {project.index(source).relative_to(project.root)}")
    for reason, count in report["left_out"].items():
        click.echo(f"  left out: {count} ({reason})")
    for row in report["skipped"]:
        click.echo(f"  skipped {row['item']}: {row['reason']}", err=True)
