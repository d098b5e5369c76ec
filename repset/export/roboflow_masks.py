"""Roboflow's export for semantic segmentation: `<split>/<photo>.jpg`, `<photo>_mask.png` beside it, `_classes.csv`.

A mask image holds one class a pixel: where masks overlap the smaller one is drawn last, and what it covers is measured.
"""

import csv
import io
from pathlib import Path

import numpy as np

from repset.errors import RepsetError
from repset.export.coco import images_with_masks, lost_facts
from repset.export.losses import Losses
from repset.export.selection import MaskRow, Selection
from repset.records import write_text
from repset.shapes import overlap
from repset.video import Image, encode_png

_SPLITS = {"train": "train", "calibration": "train", "validation": "valid", "test": "test", "unseen_test": "test",
           "all": "train"}  # fmt: skip


def write_roboflow_masks(selection: Selection, folder: Path, losses: Losses) -> dict[str, int]:
    """Images with their class images. Raises: RepsetError for more classes than an 8-bit image tells apart."""
    masks = selection.masks()
    labels = sorted({label for rows in masks.values() for label, _, _ in rows})
    if len(labels) > 255:
        raise RepsetError(f"{selection.source}: expected at most 255 classes, found {len(labels)}. Export as COCO.")
    counts = {"images": 0, "masks": 0}
    taken: set[str] = set()
    for picture, rows in images_with_masks(selection, masks, losses):
        fold = selection.folders[picture.sample["sample_id"]]
        split = _SPLITS.get(fold, "train")
        losses.add("folds that Roboflow has no folder for (put into train)", int(fold == "calibration"))
        flat = picture.name.replace("/", "__")
        losses.add("folders in the names of photos (joined by __)", int(flat != picture.name))
        if f"{split}/{flat}" in taken:
            raise RepsetError(
                f"{selection.source}: expected photos of different names, found {flat} twice. Rename one."
            )
        taken.add(f"{split}/{flat}")
        (folder / split).mkdir(parents=True, exist_ok=True)
        (folder / split / f"{flat}{picture.suffix}").write_bytes(picture.data)
        size = rows[0].mask.shape if rows else (picture.sample["height"], picture.sample["width"])
        image = _index_image(rows, labels, (size[0], size[1]), losses)
        (folder / split / f"{flat}_mask.png").write_bytes(encode_png(image))
        counts["images"] += 1
        counts["masks"] += len(rows)
    for split in sorted({name.split("/")[0] for name in taken}):
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerows([["Pixel Value", " Class"], [0, " background"]])
        writer.writerows([[value, f" {label}"] for value, label in enumerate(labels, 1)])
        write_text(folder / split / "_classes.csv", buffer.getvalue())
    lost_facts(selection, losses)
    return counts


def _index_image(rows: list[MaskRow], labels: list[str], size: tuple[int, int], losses: Losses) -> Image:
    image = np.zeros(size, np.uint8)
    for row in sorted(rows, key=lambda row: (-int(row.mask.sum()), row.label, row.person)):
        image[row.mask] = labels.index(row.label) + 1
    for row in rows:
        kept = image == labels.index(row.label) + 1
        shared = [other.mask for other in rows if other.label == row.label]
        whole = np.any(shared, axis=0)
        if not np.array_equal(kept, whole):
            what = "parts of masks under another (the measure is the overlap with the mask)"
            losses.add(what, worst=overlap(kept, whole))
        losses.add("persons told apart in one class", int(len(shared) > 1))
    return image
