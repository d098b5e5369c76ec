"""COCO: one `annotations/<split>.json` over `images/<split>/`, for masks or for joints.

Masks are polygons along the pixel borders, which COCO's own rasteriser turns back into the same mask, or run lengths
where a mask has holes. Joints have COCO's flags: 0 not placed, 1 placed though hidden or outside, 2 seen. Entries carry
one key more than COCO has, `person`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from repset.export.losses import Losses
from repset.export.selection import MaskRow, Picture, Selection, Track, decode_mask, picture_name
from repset.landmarks import SKELETONS, JointState
from repset.records import write_text
from repset.shapes import Mask, outline, runs_of

Row = dict[str, Any]


class CocoFiles:
    """The files of one export, one a split."""

    def __init__(self, categories: list[Row]) -> None:
        self._categories = categories
        self._files: dict[str, dict[str, list[Row]]] = {}

    def image(self, split: str, name: str, size: tuple[int, int]) -> int:
        """Enter an image; returns its id."""
        images = self._files.setdefault(split, {"images": [], "annotations": []})["images"]
        images.append(dict(id=len(images) + 1, file_name=name, width=size[0], height=size[1]))
        return len(images)

    def annotation(self, split: str, image: int, columns: Row) -> None:
        """Enter one object."""
        rows = self._files[split]["annotations"]
        rows.append(dict(id=len(rows) + 1, image_id=image, iscrowd=0) | columns)

    def write(self, folder: Path) -> dict[str, int]:
        """Write the files; returns images and annotations in all."""
        for split, content in sorted(self._files.items()):
            text = json.dumps(content | {"categories": self._categories}, separators=(",", ":"), allow_nan=False)
            write_text(folder / "annotations" / f"{split}.json", text + "\n")
        return {name: sum(len(content[name]) for content in self._files.values()) for name in ("images", "annotations")}


def put_image(folder: Path, split: str, picture: Picture) -> str:
    """Write an image below `images/<split>`; returns its name there."""
    name = f"{picture.name}{picture.suffix}"
    path = folder / "images" / split / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture.data)
    return name


def write_coco_segmentation(selection: Selection, folder: Path, losses: Losses) -> dict[str, int]:
    """Masks of all images; images without one are entered too."""
    masks = selection.masks()
    labels = sorted({label for rows in masks.values() for label, _, _ in rows})
    files = CocoFiles([dict(id=i, name=name, supercategory="muscle") for i, name in enumerate(labels, 1)])
    for picture, rows in images_with_masks(selection, masks, losses):
        split = selection.folders[picture.sample["sample_id"]]
        height, width = rows[0].mask.shape if rows else (picture.sample["height"], picture.sample["width"])
        image = files.image(split, put_image(folder, split, picture), (width, height))
        for row in rows:
            columns = dict(category_id=labels.index(row.label) + 1, person=row.person)
            files.annotation(split, image, columns | segmentation(row.mask))
    lost_facts(selection, losses)
    return files.write(folder)


def images_with_masks(
    selection: Selection, masks: dict[tuple[str, str], list[tuple[str, int, bytes]]], losses: Losses
) -> Iterator[tuple[Picture, list[MaskRow]]]:
    """Every stored image with its masks, decoded."""
    waiting = set(masks)
    for picture in selection.pictures(("image",)):
        key = (picture.sample["sample_id"], picture.variant)
        waiting.discard(key)
        rows = [MaskRow(label, person, decode_mask(png, key[0])) for label, person, png in masks.get(key, ())]
        yield picture, rows
    losses.add("masks whose image is not stored", sum(len(masks[key]) for key in waiting))


def segmentation(mask: Mask) -> Row:
    """The entries segmentation, bbox (x, y, width, height) and area of a mask."""
    border = outline(mask)
    if border.holes:
        content: Any = {"size": list(mask.shape), "counts": runs_of(mask)}
    else:
        content = [loop.reshape(-1).tolist() for loop in border.outer]
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = [int(xs[0]), int(ys[0]), int(xs[-1] - xs[0]) + 1, int(ys[-1] - ys[0]) + 1] if len(xs) else [0, 0, 0, 0]
    return dict(segmentation=content, bbox=box, area=int(mask.sum()))


# --- joints --------------------------------------------------------------------------------------------------------


def write_coco_keypoints(selection: Selection, folder: Path, losses: Losses) -> dict[str, int]:
    """Poses of all images and frames; frames without a pose are entered too, poses without pictures by name alone."""
    categories: list[Row] = []
    files = CocoFiles(categories)
    entered: dict[tuple[str, int], tuple[str, int]] = {}
    variants = 0
    for picture in selection.pictures():
        sample_id = picture.sample["sample_id"]
        if (sample_id, picture.frame) in entered:
            variants += 1  # a pose belongs to the first copy of an augmented photo
            continue
        split = selection.folders[sample_id]
        size = (picture.sample["width"], picture.sample["height"])
        entered[sample_id, picture.frame] = split, files.image(split, put_image(folder, split, picture), size)
    losses.add("augmented copies of images (poses are of the first)", variants)
    skeletons: list[str] = []
    for track in selection.tracks(solid=False):
        if track.skeleton not in skeletons:
            skeletons.append(track.skeleton)
            categories.append(_category(len(skeletons), track.skeleton))
        losses.add("3-D positions of joints", int(np.isfinite(track.xyz_m).all(axis=-1).sum()))
        _enter_track(selection, track, skeletons.index(track.skeleton) + 1, files, entered, losses)
    lost_facts(selection, losses)
    return files.write(folder)


def _category(number: int, skeleton: str) -> Row:
    joints = SKELETONS[skeleton].joints
    bones = [[joints.index(a) + 1, joints.index(b) + 1] for a, b in SKELETONS[skeleton].bones]
    return dict(id=number, name="person", supercategory="person", keypoints=list(joints), skeleton=bones)


def _enter_track(
    selection: Selection,
    track: Track,
    category: int,
    files: CocoFiles,
    entered: dict[tuple[str, int], tuple[str, int]],
    losses: Losses,
) -> None:
    sample_id = track.sample["sample_id"]
    flags = coco_flags(track, losses)
    for row, frame in enumerate(track.frame.tolist()):
        if not flags[row].any():
            losses.add("poses without a joint", 1)
            continue
        if (sample_id, frame) not in entered:
            name = picture_name(track.sample, selection.native(sample_id), frame, "")
            split = selection.folders[sample_id]
            size = (track.sample["width"] or 0, track.sample["height"] or 0)
            entered[sample_id, frame] = split, files.image(split, f"{name}.jpg", size)
            losses.add("pictures (the source has poses only): entries name images that are not there", 1)
        split, image = entered[sample_id, frame]
        files.annotation(split, image, dict(category_id=category, person=track.person) | _joints(track, flags, row))


def _joints(track: Track, flags: npt.NDArray[np.int8], row: int) -> Row:
    placed = flags[row] > 0
    xy = np.where(placed[:, None], track.xy_px[row], 0.0)
    triples = [number for (x, y), v in zip(xy.tolist(), flags[row].tolist(), strict=True) for number in (x, y, v)]
    low, high = xy[placed].min(axis=0), xy[placed].max(axis=0)
    box = [*low.tolist(), *(high - low).tolist()]
    return dict(keypoints=triples, num_keypoints=int(placed.sum()), bbox=box, area=float(box[2] * box[3]))


def coco_flags(track: Track, losses: Losses) -> npt.NDArray[np.int8]:
    """COCO's flag of every joint, (T, K): 0 not placed, 1 hidden, 2 seen; what they cannot tell is counted."""
    placed = np.isfinite(track.xy_px).all(axis=-1)
    seen = placed & (track.state == JointState.LABELLED)
    flags = (placed.astype(np.int8) + seen).astype(np.int8)
    size = np.array([track.sample["width"] or np.inf, track.sample["height"] or np.inf])
    outside = (track.xy_px < 0).any(axis=-1) | (track.xy_px >= size).any(axis=-1)
    back = np.where(seen, JointState.LABELLED, np.where(outside, JointState.OUTSIDE, JointState.OCCLUDED))
    differs = int((placed & (track.visibility != seen)).sum())
    losses.add("visibility of joints (kept as seen or hidden)", differs, of=int(placed.sum()))
    losses.add("state of joints (hidden and outside are told by place)", int((placed & (back != track.state)).sum()))
    return np.asarray(flags, np.int8)


def lost_facts(selection: Selection, losses: Losses) -> None:
    """What no image format of labels has a place for."""
    samples = selection.samples
    native = {row["sample_id"]: selection.native(row["sample_id"]) for row in samples}
    losses.add("groups of samples", sum(row["group"] != native[row["sample_id"]] for row in samples))
    losses.add("exercises of samples", sum(row["exercise_native"] is not None for row in samples))
    losses.add("frame rates of clips", sum(row["kind"] != "image" and bool(row["fps"]) for row in samples))
    official = sum(row["official_split"] is not None for row in samples)
    losses.add("official split of samples", official if selection.split != "official" else 0)
    losses.add("file form of videos (frames are JPEG again)", sum(bool(row["media"]) for row in samples))
