"""`repset segment`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from repset.cli.device import device_option
from repset.cli.progress import meter
from repset.errors import ConfigError
from repset.exercises import NAMES
from repset.project import find_project

if TYPE_CHECKING:
    from repset.learn.segment_media import Labeller


@click.command("segment")
@click.argument("media", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), help="Model folder [default: models/segmentation/final].")
@click.option("--from-pose", is_flag=True, help="No model: muscles as parts of limbs and trunk, from the pose.")
@click.option("--exercise", type=click.Choice(NAMES), help="With --from-pose: mark only what this exercise works.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for overlays and masks.")
@device_option
def command(
    media: tuple[Path, ...], model: Path | None, from_pose: bool, exercise: str | None, out: Path, device: str
) -> None:
    """Mark the muscles expected to work in images and videos, MEDIA being files or folders of them.

    Images give an overlay and an index mask (PNG), videos an overlay that plays in a browser (MP4). What is marked is
    what the model learned to expect, not measured activation. --from-pose needs no model and no mask to learn from: it
    proposes eleven muscles of one person, to be corrected by people.

    \b
    Example:
        repset segment photos/ --from-pose --exercise bicep_curl --out proposed/
        repset segment photos/ --out segmented/
    """
    from repset.learn.segment_media import media_files, segment_media

    if from_pose and model is not None:
        raise ConfigError("--from-pose: expected no --model beside it, found one. Leave one of the two out.")
    if exercise is not None and not from_pose:
        raise ConfigError("--exercise: expected --from-pose beside it, found none. Add it, or leave --exercise out.")
    files = media_files(media)
    labeller: Labeller
    if from_pose:
        from repset.autolabel.muscle_proposals import PoseSegmenter

        labeller = PoseSegmenter(exercise)
        click.echo(
            "note: proposed from the pose's geometry; what is marked is expected to work, not measured.", err=True
        )
    else:
        from repset.learn.segmenter import Segmenter

        labeller = segmenter = Segmenter(model or find_project().model("segmentation") / "final", device)
        if segmenter.card.data_kind != "real":
            click.echo(f"note: this model learned from data of the kind: {segmenter.card.data_kind}.", err=True)
    with meter() as progress:
        for found in segment_media(files, labeller, out, progress):
            shares = ", ".join(f"{name} {share:.1%}" for name, share in found.share.items())
            click.echo(f"{found.path.name}: {shares}")
    click.echo(f"written: {out}")
