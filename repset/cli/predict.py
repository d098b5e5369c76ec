"""`repset predict`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from repset.cli.device import device_option
from repset.cli.progress import meter
from repset.errors import RepsetError
from repset.exercises import NONE, default_muscles
from repset.project import find_project
from repset.records import read_table, write_json

EVIDENCE = "expected prime movers (free-exercise-db), not measured activation"


@click.command("predict")
@click.argument("media", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for predictions and overlays.")
@click.option("--exercise", default="auto", show_default=True, help="What is done in every video; auto recognises it.")
@click.option(
    "--masks", type=click.Path(path_type=Path), help="Segmentation model; default: models/segmentation/final."
)
@click.option("--muscles", type=click.Path(path_type=Path), help="Muscle model; default: models/muscles/final.")
@click.option("--jobs", type=click.IntRange(1), help="Processes for the poses.  [default: one a core]")
@device_option
def command(media: tuple[Path, ...], out: Path, exercise: str, masks: Path | None, muscles: Path | None,
            jobs: int | None, device: str) -> None:  # fmt: skip
    """Everything the models say of images, videos and folders: exercise, repetitions, muscles, masks, overlays.

    Writes OUT/predictions.json (one entry a file), OUT/labels (as repset autolabel, with overlay videos) and, where
    there is a segmentation model, OUT/masks (as repset segment). A model that is not there is left out, and it says so.

    \b
    Example:
        repset predict my_videos/ --out predicted/
    """
    from repset.learn.segment_media import media_files

    files = media_files(media)
    segmenter = _folder(masks, "segmentation", "masks", "repset train segmentation")
    scorer = _folder(muscles, "muscles", "muscle scores", "repset muscles train SOURCE")
    _label(files, out / "labels", exercise, jobs)
    shares = _segment(files, segmenter, out / "masks", device) if segmenter else {}
    entries = [
        _entry(path, sets, shares.get(path.name), scores) for path, sets, scores in _sets(files, out / "labels", scorer)
    ]
    write_json(out / "predictions.json", {"muscles_are": EVIDENCE, "media": entries})
    for entry in entries:
        named = "; ".join(_sentence(one) for one in entry["sets"]) or "no exercise"
        click.echo(f"{entry['media']}: {named}")
    click.echo(f"written: {out}")


def _folder(given: Path | None, model: str, what: str, train: str) -> Path | None:
    """The model's folder; None, with a note, where nobody asked for one and there is none."""
    if given:
        return given
    try:
        folder = find_project().model(model) / "final"
    except RepsetError:
        folder = None
    if folder and (folder / "card.json").is_file():
        return folder
    click.echo(f"note: no {what}, for there is no trained model ({train}).", err=True)
    return None


def _label(files: Sequence[Path], out: Path, exercise: str, jobs: int | None) -> None:
    from repset.autolabel.job import label_files
    from repset.cli.autolabel import bar
    from repset.params import AutolabelParams

    params = AutolabelParams(rule_set="default", model="full", min_visibility=0.5)
    with bar() as watch:
        label_files(list(files), out, params, exercise=exercise, overlay=True, jobs=jobs, watch=watch)


def _segment(files: Sequence[Path], model: Path, out: Path, device: str) -> dict[str, dict[str, float]]:
    """File name → muscle → share of the pixels."""
    from repset.learn.segment_media import segment_media
    from repset.learn.segmenter import Segmenter

    segmenter = Segmenter(model, device)
    if segmenter.card.data_kind != "real":
        click.echo(f"note: the masks' model learned from data of the kind: {segmenter.card.data_kind}.", err=True)
    with meter() as progress:
        return {found.path.name: found.share for found in segment_media(files, segmenter, out, progress)}


def _sets(
    files: Sequence[Path], labels: Path, model: Path | None
) -> list[tuple[Path, list[dict[str, Any]], list[dict[str, float]]]]:
    """Each file with its sets (rows of summary and table) and, for each set, the muscle model's scores."""
    import csv

    from repset.learn.muscles_model import MuscleModel

    with (labels / "summary.csv").open(encoding="utf-8", newline="") as handle:
        summary = [row for row in csv.DictReader(handle) if row["exercise"] != NONE and row["start_s"]]
    scorer = MuscleModel(model) if model else None
    if scorer and scorer.card.data_kind != "real":
        click.echo(f"note: the muscle model learned from data of the kind: {scorer.card.data_kind}.", err=True)
    tracks = _tracks(labels / "poses.parquet") if scorer else {}
    found = []
    for path in files:
        rows = [row for row in summary if Path(row["media"]).name == path.name]
        scores = []
        for row in rows if scorer else ():
            track = _stretch(tracks, path, float(row["start_s"]), float(row["end_s"]))
            scores.append(scorer.score(track) if scorer and track else {})
        found.append((path, rows, scores))
    return found


def _tracks(poses: Path) -> dict[str, Any]:
    """File name → pose track of the person that was labelled."""
    from repset.learn.exercise_data import tracks_of

    table = read_table(poses, "poses")
    names = table["sample_id"].unique().to_pylist()
    return {Path(name).name: track for name, (_, track) in tracks_of(table, names).items()}


def _stretch(tracks: dict[str, Any], path: Path, start_s: float, end_s: float) -> Any:
    from repset.learn.exercise_data import cut

    track = tracks.get(path.name) or tracks.get(path.stem)
    if track is None:
        return None
    inside = (track.time_s >= start_s - 1e-6) & (track.time_s <= end_s + 1e-6)
    return cut(track, inside) if inside.any() else None


def _entry(
    path: Path, rows: Sequence[dict[str, Any]], share: dict[str, float] | None, scores: Sequence[dict[str, float]]
) -> dict[str, Any]:
    """What predictions.json says of one file; null where there is no model for it."""
    sets = []
    for number, row in enumerate(rows):
        muscles = default_muscles(row["exercise"])
        sets.append({
            "exercise": row["exercise"],
            "exercise_p": float(row["exercise_p"]) if row["exercise_p"] else None,
            "start_s": float(row["start_s"]), "end_s": float(row["end_s"]),
            "reps": int(row["reps"] or 0), "reps_complete": int(row["reps_complete"] or 0),
            "correct": int(row["correct"] or 0), "unscorable": int(row["unscorable"] or 0),
            "muscles": {"primary": list(muscles.primary), "secondary": list(muscles.secondary)} if muscles else None,
            "muscle_scores": {group: round(score, 4) for group, score in scores[number].items()} if scores else None,
        })  # fmt: skip
    return {"media": path.name, "sets": sets, "mask_share": share}


def _sentence(one: dict[str, Any]) -> str:
    works = ", ".join(group.replace("_", " ") for group in one["muscles"]["primary"]) if one["muscles"] else "not known"
    count = f"{one['reps']} repetition{'s' * (one['reps'] != 1)}"
    return f"{one['exercise'].replace('_', ' ')} ({count}) should work: {works}"
