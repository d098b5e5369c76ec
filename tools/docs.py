"""Renders the README's pictures into docs/images/, from the rendered sample only: never from third-party footage.

    python tools/docs.py [PROJECT]

PROJECT (default: this repository) must hold sample_penn_action, labelled, sample_roboflow, curated, and the final
segmentation model: `dvc repro` leaves it so. Every picture stays under 100 kB; the same project gives the same bytes.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from repset.charts import save
from repset.draw import contact_sheet, draw_overlay
from repset.draw.canvas import Image
from repset.errors import RepsetError
from repset.learn.data import BACKGROUND, TASK, MediaReader, read_masked_images
from repset.learn.segmenter import MODEL, Segmenter
from repset.params import load_source
from repset.project import Project
from repset.records import atomic_path
from repset.report.facts import Source
from repset.report.pictures import (
    chosen_clips,
    clip_labels,
    curve_figure,
    exercise_of,
    fit_long,
    masked_photo,
    scaled_track,
    turn_frame,
)
from repset.video import encode_png

ROOT = Path(__file__).resolve().parent.parent
LIMIT_BYTES = 100_000


def rendered(project: Project, name: str) -> Source:
    """A source of the project; refuses any that is not the rendered sample."""
    source = Source(project, name, load_source(project, name))
    if not source.spec.rendered:
        raise RepsetError(
            f"{name}: expected the rendered sample, found real material. Its pictures are not ours to show."
        )
    if not source.indexed:
        raise RepsetError(f"{project.index(name)}: expected an index, found none. Run: dvc repro")
    return source


def bodies(source: Source) -> Image:
    """Twelve clips' first frames: different bodies, clothes and rooms."""
    rows = [row for row in source.samples if row["kind"] == "clip"]
    rows = [rows[n * len(rows) // 12] for n in range(12)] if len(rows) > 12 else rows
    images = [image for row in rows if (image := source.image(row, 0)) is not None]
    return contact_sheet(images, [exercise_of(row).replace("_", " ") for row in rows], 4, (220, 165))


def overlays(source: Source) -> Image:
    """The automatic labels of four clips at a repetition's turn."""
    stills = []
    for row in chosen_clips(source, 4):
        t = turn_frame(source, row)
        image, track = source.image(row, t), source.track(row["sample_id"], automatic=True)
        if image is None or track is None:
            continue
        big, scale = fit_long(image, 560)
        draw_overlay(big, t, clip_labels(source, row, scaled_track(track, scale, big)))
        stills.append(big)
    return grid(stills, 2)


def muscles(source: Source) -> Image:
    """Test photos in the order of their names, two of each muscle: the set's masks above, the final model's below."""
    table = source.project.curated(TASK, source.name) / "table.parquet"
    model = Segmenter(source.project.model(MODEL) / "final", "cpu")
    samples, reader = {row["sample_id"]: row for row in source.samples}, MediaReader(source.project)
    wanted = [name for name in model.classes if name != BACKGROUND for _ in range(2)]
    seen: set[str] = set()
    true, found = [], []
    photos = [item for item in read_masked_images(table, source.name, model.classes) if item.fold == "test"]
    for item in photos:
        if item.group in seen or not (name := next((name for name in wanted if name in item.masks), None)):
            continue
        seen.add(item.group)
        wanted.remove(name)
        labels = next(model.label([reader.image(item)]))
        answer = [(name, encode_png(np.uint8(255) * (labels == k))) for k, name in enumerate(model.classes) if k]
        truth = [(name, png) for name, blobs in item.masks.items() for png in blobs]
        row = samples[item.sample_id]
        for images, masks in ((true, truth), (found, answer)):
            image = masked_photo(source, row, item.variant, masks, 240)
            if image is not None:
                images.append(image)
    return grid(true + found, len(true))


def grid(images: Sequence[Image], columns: int, gap_px: int = 6) -> Image:
    """Images of one size in rows, with white between."""
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    out = np.full((rows * (height + gap_px) - gap_px, columns * (width + gap_px) - gap_px, 3), 255, np.uint8)
    for n, image in enumerate(images):
        y, x = n // columns * (height + gap_px), n % columns * (width + gap_px)
        out[y : y + height, x : x + width] = image
    return out


def write_jpeg(path: Path, image: Image) -> None:
    """The best quality that stays under the limit."""
    for quality in range(90, 20, -5):
        data = bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])[1])
        if len(data) < LIMIT_BYTES:
            break
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    print(f"{path.relative_to(ROOT)}: {len(data):,} bytes, quality {quality}")


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, nargs="?", default=ROOT)
    project, folder = Project(parser.parse_args().project.resolve()), ROOT / "docs" / "images"
    clips, photos = rendered(project, "sample_penn_action"), rendered(project, "sample_roboflow")
    needed = (
        project.labels(clips.name),
        project.curated(TASK, photos.name),
        project.model(MODEL) / "final",
    )
    for made in needed:
        if not made.is_dir():
            raise RepsetError(f"{made}: expected what dvc repro leaves there, found none. Run: dvc repro")
    write_jpeg(folder / "bodies.jpg", bodies(clips))
    write_jpeg(folder / "overlay.jpg", overlays(clips))
    write_jpeg(folder / "muscles.jpg", muscles(photos))
    row = chosen_clips(clips, 1)[0]
    found = curve_figure(clips, row, exercise_of(row), 0, int(row["frames"]))
    if found is not None:
        path = save(found[0], folder / "angles.png")
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    try:
        main()
    except RepsetError as error:
        sys.exit(f"docs: {error}")
