"""YOLO as Ultralytics lays it out: `images/<split>/…`, `labels/<split>/….txt`, `data.yaml`.

Positions are fractions of the image. Polygons run along the pixel borders; each part of a mask is a polygon of its own
and holes have no place. A joint has COCO's flag; one outside its image is refused by Ultralytics and thus not placed.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from repset.export.coco import coco_flags, images_with_masks, lost_facts, put_image
from repset.export.losses import Losses
from repset.export.selection import Picture, Selection, Track
from repset.landmarks import SKELETONS
from repset.records import write_text
from repset.shapes import outline, overlap, polygon_mask

HOLES = "holes of masks (filled; the measure is the overlap with the mask)"
_KEYS = (("train", ("train", "all")), ("val", ("validation",)), ("test", ("test",)),
         ("calibration", ("calibration",)), ("unseen_test", ("unseen_test",)))  # fmt: skip
"""Key of data.yaml → split folders, the first that is there; Ultralytics looks at the first three."""


def write_yolo_seg(selection: Selection, folder: Path, losses: Losses) -> dict[str, int]:
    """Masks of all images; an image without one has an empty label file."""
    masks = selection.masks()
    labels = sorted({label for rows in masks.values() for label, _, _ in rows})
    counts = {"images": 0, "polygons": 0}
    for picture, rows in images_with_masks(selection, masks, losses):
        lines: list[str] = []
        for row in rows:
            height, width = row.mask.shape
            border = outline(row.mask)
            for loop in border.outer:
                points = (loop / (width, height)).reshape(-1)
                lines.append(f"{labels.index(row.label)} {' '.join(f'{value:.8g}' for value in points.tolist())}")
            if border.holes:
                losses.add(HOLES, worst=overlap(polygon_mask(border.outer, width, height), row.mask))
            counts["polygons"] += len(border.outer)
        losses.add("numbers of persons", sum(row.person != 0 for row in rows))
        _put(selection, folder, picture, lines)
        counts["images"] += 1
    _data_yaml(folder, labels, {})
    lost_facts(selection, losses)
    return counts


def write_yolo_pose(selection: Selection, folder: Path, losses: Losses) -> dict[str, int]:
    """Poses of all images and frames in the skeleton most of them have."""
    lines, skeleton = _pose_lines(selection, losses)
    counts, seen = {"images": 0, "persons": 0}, set()
    for picture in selection.pictures():
        key = (picture.sample["sample_id"], picture.frame)
        if key in seen:
            losses.add("augmented copies of images (poses are of the first)")
            continue
        seen.add(key)
        _put(selection, folder, picture, lines.get(key, []))
        counts["images"] += 1
        counts["persons"] += len(lines.get(key, []))
    lost = sum(len(found) for key, found in lines.items() if key not in seen)
    losses.add("poses whose image is not stored", lost)
    joints = SKELETONS[skeleton].joints
    shape: dict[str, Any] = {"kpt_shape": [len(joints), 3], "flip_idx": list(SKELETONS[skeleton].mirror)}
    _data_yaml(folder, ["person"], shape | {"kpt_names": {0: list(joints)}})
    lost_facts(selection, losses)
    return counts


def _pose_lines(selection: Selection, losses: Losses) -> tuple[dict[tuple[str, int], list[str]], str]:
    """(sample_id, frame) → label lines, and the skeleton they are in."""
    rows: dict[str, int] = {}
    for track in selection.tracks(solid=False):
        rows[track.skeleton] = rows.get(track.skeleton, 0) + len(track.frame)
    skeleton = max(sorted(rows), key=lambda name: rows[name])
    others = sum(count for name, count in rows.items() if name != skeleton)
    losses.add(f"poses in another skeleton than {skeleton}", others)
    lines: dict[tuple[str, int], list[str]] = {}
    for track in selection.tracks(solid=False):
        if track.skeleton != skeleton:
            continue
        if not track.sample["width"]:
            losses.add("poses of samples without an image size", len(track.frame))
            continue
        losses.add("3-D positions of joints", int(np.isfinite(track.xyz_m).all(axis=-1).sum()))
        for frame, line in zip(track.frame.tolist(), _track_lines(track, losses), strict=True):
            key = (track.sample["sample_id"], frame)
            if line is None:
                losses.add("poses without a joint inside the image")
                continue
            losses.add("numbers of persons", int(len(lines.setdefault(key, [])) != track.person))
            lines[key].append(line)
    return lines, skeleton


def _track_lines(track: Track, losses: Losses) -> Iterable[str | None]:
    """One line a frame: class, box around the placed joints, then x, y, flag of each joint."""
    size = np.array([track.sample["width"], track.sample["height"]], np.float64)
    share = track.xy_px.astype(np.float64) / size
    flags = coco_flags(track, losses)
    outside = (flags > 0) & ((share < 0) | (share > 1)).any(axis=-1)
    losses.add("joints outside their image", int(outside.sum()), of=int((flags > 0).sum()))
    flags = np.where(outside, 0, flags)
    for row in range(len(flags)):
        yield _line(share[row], flags[row])


def _line(share: npt.NDArray[np.float64], flags: npt.NDArray[np.int8]) -> str | None:
    placed = flags > 0
    if not placed.any():
        return None
    xy = np.where(placed[:, None], share, 0.0)
    low, high = xy[placed].min(axis=0), xy[placed].max(axis=0)
    box = [*((low + high) / 2).tolist(), *(high - low).tolist()]
    joints = [f"{x!r} {y!r} {v}" for (x, y), v in zip(xy.tolist(), flags.tolist(), strict=True)]
    return f"0 {' '.join(f'{value:.8g}' for value in box)} {' '.join(joints)}"


def _put(selection: Selection, folder: Path, picture: Picture, lines: list[str]) -> None:
    split = selection.folders[picture.sample["sample_id"]]
    put_image(folder, split, picture)
    path = folder / "labels" / split / f"{picture.name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _data_yaml(folder: Path, names: list[str], more: dict[str, Any]) -> None:
    import yaml

    images = folder / "images"
    there = {path.name for path in images.iterdir()} if images.is_dir() else set()
    data: dict[str, Any] = {}  # without `path` Ultralytics looks beside this file
    for key, folders in _KEYS:
        if found := [name for name in folders if name in there]:
            data[key] = f"images/{found[0]}"
    data.setdefault("train", next(iter(data.values()), "images/all"))
    data.setdefault("val", data["train"])  # Ultralytics asks for both
    data |= {"names": dict(enumerate(names)), **more}
    write_text(folder / "data.yaml", yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
