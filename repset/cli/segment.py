"""`repset segment`."""

from pathlib import Path

import click

from repset.cli.device import device_option
from repset.cli.progress import meter
from repset.project import find_project


@click.command("segment")
@click.argument("media", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), help="Model folder [default: models/segmentation/final].")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for overlays and masks.")
@device_option
def command(media: tuple[Path, ...], model: Path | None, out: Path, device: str) -> None:
    """Mark the muscles expected to work in images and videos, MEDIA being files or folders of them.

    Images give an overlay and an index mask (PNG), videos an overlay that plays in a browser (MP4). What is marked is
    what the model learned to expect, not measured activation.

    \b
    Example:
        repset segment photos/ --out segmented/
    """
    from repset.learn.segment_media import media_files, segment_media
    from repset.learn.segmentation import Segmenter

    files = media_files(media)
    segmenter = Segmenter(model or find_project().model("segmentation") / "final", device)
    if segmenter.card.data_kind != "real":
        click.echo(f"note: this model learned from data of the kind: {segmenter.card.data_kind}.", err=True)
    with meter() as progress:
        for found in segment_media(files, segmenter, out, progress):
            shares = ", ".join(f"{name} {share:.1%}" for name, share in found.share.items())
            click.echo(f"{found.path.name}: {shares}")
    click.echo(f"written: {out}")
