"""`repset diff`."""

import json

import click
from rich.console import Console

from repset.curate.diff import compare
from repset.curate.diff_versions import open_version
from repset.curate.diff_words import as_json, as_markdown, as_text
from repset.project import find_project


@click.command("diff")
@click.argument("before", metavar="REV")
@click.argument("after", metavar="[REV]", required=False)
@click.option("--markdown", is_flag=True, help="As Markdown, for a pull request.")
@click.option("--json", "json_wanted", is_flag=True, help="Everything as JSON, each change with its sample and target.")
def command(before: str, after: str | None, markdown: bool, json_wanted: bool) -> None:
    """Say what changed between two versions of the curated set, in words and numbers.

    A version is a git revision whose dvc.lock names the data (read from the DVC cache), or a folder. The second one
    defaults to the working tree. Masks edited, verdicts flipped, boundaries moved, samples added, dropped or moved in
    the split.

    \b
    Example:
        repset diff HEAD
        repset diff main HEAD --markdown
    """
    project = find_project()
    if markdown and json_wanted:
        raise click.UsageError("choose one of --markdown and --json")
    with Console(stderr=True).status("comparing"):
        diff = compare(open_version(project, before), open_version(project, after))
    if json_wanted:
        click.echo(json.dumps(as_json(diff), indent=2, ensure_ascii=False))
    else:
        click.echo(as_markdown(diff) if markdown else as_text(diff))
