"""`repset roboflow`."""

from collections.abc import Sequence
from statistics import median

import click
from rich.console import Console
from rich.table import Table

from repset.cli.progress import meter, track
from repset.params import load_source
from repset.project import find_project
from repset.records import write_csv
from repset.review.roboflow_plan import Shape, plan_push
from repset.review.roboflow_push import STATES, push_images, record_path, sent_before

Measured = tuple[str, str, int, float]
"""Image, class, corners, overlap of one mask."""

SHOWN = 20  # rows of a list before "and n more"


@click.group()
def command() -> None:
    """Send corrected masks back to a Roboflow project.

    \b
    Example:
        repset roboflow push sample_roboflow --all --dry-run
    """


@command.command()
@click.argument("source")
@click.option("--to", help="workspace/project; the project that pipelines/SOURCE.yaml pulls from, if it names one.")
@click.option("--dry-run", is_flag=True, help="Only show what would be sent and what each mask would lose.")
@click.option("--all", "everything", is_flag=True, help="All curated images, not only those that a person reviewed.")
@click.option("--min-iou", type=click.FloatRange(0, 1), default=0.97, show_default=True,
              help="How much of a mask a simplified polygon must keep; 1 sends exact borders.")  # fmt: skip
@click.option("--batch", default="repset", show_default=True, help="Name under which Roboflow lists the images.")
@click.option("--overwrite", is_flag=True, help="Replace annotations that the project has already.")
@click.option("--yes", is_flag=True, help="Send without asking.")
def push(
    source: str, to: str | None, dry_run: bool, everything: bool, min_iou: float, batch: str, overwrite: bool, yes: bool
) -> None:
    """Send curated muscle masks as COCO polygons, with what each loses.

    Every image is shown and measured first and nothing leaves the machine before you agree. The key is read from
    ROBOFLOW_API_KEY and written nowhere. A push that was stopped goes on where it was. Roboflow re-encoded the images
    when it exported them, so it may take them for new ones: push to a project made for that.

    \b
    Example:
        repset roboflow push sample_roboflow --all --dry-run
    """
    project = find_project()
    spec = load_source(project, source)
    if to is None and spec.origin.startswith("roboflow:"):
        to = "/".join(spec.origin.removeprefix("roboflow:").split("/")[:2])
    if to is None and not dry_run:
        raise click.UsageError(
            f"pipelines/{source}.yaml names no Roboflow project: say where with --to WORKSPACE/PROJECT."
        )
    plan = plan_push(project, source, spec, everything, min_iou)
    known = sent_before(record_path(project, source), to) if to else {}
    images, masks = 0, list[Measured]()
    waiting = 0
    for image in track(plan, f"measure {source}"):
        images, waiting = images + 1, waiting + (known.get(image.key) != image.digest)
        masks += [(image.key, shape.label, _corners(shape), shape.iou) for shape in image.shapes]
    losses = record_path(project, source).with_suffix(".losses.csv")
    columns = ("image", "class", "corners", "iou")
    write_csv(losses, columns, [dict(zip(columns, (*row[:3], f"{row[3]:.4f}"), strict=True)) for row in masks])
    _show(masks, min_iou)
    click.echo(
        f"{images} images, {images - waiting} of them sent earlier; every mask: {losses.relative_to(project.root)}"
    )
    if dry_run or not waiting:
        click.echo("Nothing was sent." if dry_run else "Nothing to send: the project has all of it.")
        return
    if not yes:
        click.confirm(f"Send {waiting} images to {to}?", abort=True)
    with meter() as bar:
        done = push_images(
            project,
            source,
            str(to),
            plan_push(project, source, spec, everything, min_iou),
            batch,
            overwrite,
            lambda number, total: bar(number, total, f"push {source}"),
        )
    counts = ", ".join(f"{done.states[state]} {state}" for state in STATES if done.states[state])
    earlier = f", {done.before} sent earlier" if done.before else ""
    click.echo(f"{to}: {counts or 'nothing new'}{earlier}")
    for key, reason in done.refused[:SHOWN]:
        click.echo(f"  {key}: {reason}", err=True)
    if len(done.refused) > SHOWN:
        click.echo(f"  and {len(done.refused) - SHOWN} more", err=True)
    if done.states["already annotated"]:
        click.echo("Annotations that were there already stay as they are; --overwrite replaces them.", err=True)
    if done.states["failed"]:
        raise click.exceptions.Exit(1)


def _corners(shape: Shape) -> int:
    return sum(len(polygon) // 2 for polygon in shape.polygons)


def _show(masks: Sequence[Measured], min_iou: float) -> None:
    """A row a class, and the masks that lose more than was asked for."""
    table = Table("class", "masks", "corners, median", "IoU, median", "IoU, worst", title="masks as polygons")
    for label in sorted({row[1] for row in masks}):
        rows = [row for row in masks if row[1] == label]
        ious = [row[3] for row in rows]
        corners = f"{median(row[2] for row in rows):.0f}"
        table.add_row(label, str(len(rows)), corners, f"{median(ious):.4f}", f"{min(ious):.4f}")
    Console().print(table)
    worse = sorted((row for row in masks if row[3] < min_iou), key=lambda row: row[3])
    for key, label, _, iou in worse[:SHOWN]:
        click.echo(f"  {key}: {label} keeps {iou:.4f} of its mask")
    if len(worse) > SHOWN:
        click.echo(f"  and {len(worse) - SHOWN} more below {min_iou}")
