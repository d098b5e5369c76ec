"""`repset split`."""

import click
from rich.console import Console
from rich.table import Table

from repset.cli.progress import meter
from repset.curate.splits import FOLDS, build_split, is_checked
from repset.params import load_params
from repset.project import find_project


@click.command()
@click.argument("source")
def command(source: str) -> None:
    """Divide a source into train, calibration, validation and test.

    No group (subject, video, source photo), no identical image and no near-duplicate lies in two folds; proof.json
    shows it. The set's own split stays beside ours, untouched, with its leaks listed. A source that was not checked
    since it was indexed is checked first (repset check).

    \b
    Example:
        repset split sample_penn_action
    """
    project = find_project()
    if not is_checked(project, source):
        from repset.curate.checks import check_source

        with meter() as progress:
            check_source(project, source, progress)
    proof = build_split(project, source, load_params(project).split).proof
    table = Table("fold", "groups", "samples", "classes", title=f"{source}: {proof['groups']} groups")
    for fold in FOLDS:
        row = proof["folds"][fold]
        classes = ", ".join(f"{name} {count}" for name, count in row["classes"].items())
        table.add_row(fold, str(row["groups"]), str(row["samples"]), classes)
    console = Console(soft_wrap=True)
    console.print(table, soft_wrap=False)
    console.print(f"groups shared between folds: {proof['groups_shared_between_folds']}")
    if (official := proof["official_split"]) is not None:
        console.print(
            f"the set's own split: {len(official['groups_shared'])} groups on more than one side, "
            f"{len(official['identical_images_shared'])} identical images, "
            f"{len(official['near_duplicates_shared'])} pairs of near-duplicates, "
            f"{len(official['samples_leaking'])} samples leak"
        )
    console.print(f"written: {project.split(source)}")
