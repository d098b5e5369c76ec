"""`repset export`."""

from pathlib import Path

import click

FORMATS = ("coco-keypoints", "coco-segmentation", "yolo-pose", "yolo-seg", "roboflow-masks", "csv", "trc", "mot", "c3d")


@click.command("export")
@click.argument("format_name", metavar="FORMAT", type=click.Choice(FORMATS))
@click.argument("name", metavar="SOURCE|TASK")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write; replaced if it is there.")
@click.option(
    "--labels",
    type=click.Choice(["curated", "dataset", "automatic"]),
    help="Whose labels; without it curated where there are some, else the dataset's own, else automatic.",
)
@click.option(
    "--split",
    type=click.Choice(["ours", "official", "none"]),
    help="What the split folders follow; without it ours where there is one.",
)
def command(format_name: str, name: str, out: Path, labels: str | None, split: str | None) -> None:
    """Write a source, or all sources of a curated task, in a format of other tools.

    \b
    coco-keypoints coco-segmentation yolo-pose yolo-seg   images and labels, to train with
    roboflow-masks                                        images and class images
    csv                                                   labels.csv and poses.csv beside the media
    trc mot c3d                                           markers in metres, angles in degrees, for biomechanists

    What the format cannot hold is counted, measured, printed, and stands in OUT/loss.json.

    \b
    Example:
        repset export coco-keypoints sample_penn_action --out exported/
    """
    from repset.export.run import export

    for done in export(format_name, name, out, labels, split):
        written = ", ".join(f"{count:,} {what}" for what, count in done.counts.items())
        click.echo(f"{done.source}: {written} ({done.labels} labels, split: {done.split}) → {done.folder}")
        for sentence in done.losses.sentences():
            click.echo(f"  lost: {sentence}")
        if not done.losses.as_rows():
            click.echo("  lost: nothing")
