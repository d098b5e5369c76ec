"""`repset cards`."""

import click

from repset.project import find_project
from repset.sources.cards import check_card, sources_with_cards


@click.command("cards")
@click.argument("source", required=False)
@click.option("--write", is_flag=True, help="Renew the counts from the index where there is one.")
def command(source: str | None, write: bool) -> None:
    """Check the cards of all sources (or of SOURCE), datasets/<source>/README.md, against index and rules.

    A card names origin, how to get it, licence, consent and known flaws; its counts come from the index. Exit code 1
    if one lacks any of these or its counts are stale.

    \b
    Example:
        repset cards --write
    """
    project = find_project()
    faults = 0
    for name in [source] if source else sources_with_cards(project):
        state = check_card(project, name, write)
        said = [f"lacks {gap}" for gap in state.gaps] + ["counts are stale (repset cards --write)"] * state.stale
        faults += bool(said)
        note = "counts as the index" if state.counted else "no index here, counts left as they are"
        click.echo(f"{name}: {'; '.join(said) or note}")
    if faults:
        raise click.exceptions.Exit(1)
