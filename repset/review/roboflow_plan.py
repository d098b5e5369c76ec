"""What `repset roboflow push` would send: curated muscle masks as COCO polygons, each with what it loses.

Roboflow takes polygons, not masks. A hole is joined to its border by a slit of no width, since polygons alone know no
holes. A border is simplified as far as the wanted overlap allows: thousands of corners cannot be edited by hand.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from repset.errors import DataError, RepsetError
from repset.params import SourceSpec
from repset.project import Project
from repset.records import canonical_json, read_rows, sha256_bytes
from repset.shapes import Mask, Points, outline, overlap, polygon_mask
from repset.video import FrameStore

TASK = "muscle_mask"
TOLERANCES_PX = (2.0, 1.0, 0.5, 0.0)
"""How far a simplified border may lie from the true one, tried in this order."""
_SPLITS = {"train": "train", "calibration": "train", "validation": "valid", "test": "test"}
_BACKGROUND = "background"


@dataclass(frozen=True)
class Shape:
    """One mask as polygons: flat lists x1, y1, x2, y2 … in pixels; `iou` with the mask it was made of."""

    label: str
    polygons: tuple[tuple[float, ...], ...]
    iou: float


@dataclass(frozen=True)
class PushImage:
    """One image and its masks.

    Attributes:
        key: `sample_id` and variant, which names it in the record of what was sent.
        name: file name it is sent under; split: train, valid or test.
        annotation: COCO JSON of this image alone; digest: of the image and the annotation.
    """

    key: str
    name: str
    split: str
    data: bytes
    annotation: str
    shapes: tuple[Shape, ...]
    digest: str


def plan_push(project: Project, source: str, spec: SourceSpec, everything: bool, min_iou: float) -> Iterator[PushImage]:
    """Images of a source with their curated masks, by sample and variant, one in memory at a time.

    Args:
        everything: all images; else those of which a person has decided something.
        min_iou: what a simplified border must keep of its mask.
    Raises: DataError without curated masks; RepsetError if nothing is to be sent.
    """
    path = project.curated(TASK, source) / "table.parquet"
    if not path.is_file():
        raise DataError(path, "the curated masks", "no file", f"Run: repset curate {TASK} {source}")
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in read_rows(path, "curated"):
        rows.setdefault((row["sample_id"], str(json.loads(row["target"]).get("variant") or "")), []).append(row)
    store, sent = FrameStore(project.index(source)), 0
    names = _names(spec.class_map or {})
    for key in sorted(rows):
        if not everything and not any(row["reviewer"] for row in rows[key]):
            continue
        stored = [frame for frame in store.rows(key[0]) if frame["variant"] == key[1]]
        if stored:
            sent += 1
            yield _image(key, rows[key], stored[0]["name"], store.data(stored[0]), names, min_iou)
    if not sent:
        todo = "Review some masks first, or send all: --all"
        raise RepsetError(f"{source}: expected images that a person has reviewed, found none. {todo}.")


def _names(class_map: Mapping[str, str]) -> dict[str, str]:
    """Canonical label → the set's own word, the first where it has several."""
    names: dict[str, str] = {}
    for word, label in class_map.items():
        names.setdefault(label, word)
    return names


def _image(
    key: tuple[str, str],
    rows: Sequence[Mapping[str, Any]],
    name: str,
    data: bytes,
    names: Mapping[str, str],
    min_iou: float,
) -> PushImage:
    shapes: list[Shape] = []
    size: tuple[int, int] | None = None
    for row in sorted(rows, key=lambda row: str(row["target"])):
        label = str(json.loads(row["target"])["class"])
        if label == _BACKGROUND or row["blob"] is None:
            continue
        mask = cv2.imdecode(np.frombuffer(row["blob"], np.uint8), cv2.IMREAD_GRAYSCALE) > 127
        size = (mask.shape[1], mask.shape[0])
        if mask.any():
            polygons, iou = mask_polygons(mask, min_iou)
            shapes.append(Shape(names.get(label, label), polygons, iou))
    if size is None:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        size = (image.shape[1], image.shape[0])
    text = coco_text(name, size, shapes)
    digest = sha256_bytes(canonical_json([sha256_bytes(data), text]).encode())
    split = _SPLITS.get(str(rows[0]["fold"]), "train")
    return PushImage("|".join(key).rstrip("|"), Path(name).name, split, data, text, tuple(shapes), digest)


def coco_text(name: str, size: tuple[int, int], shapes: Sequence[Shape]) -> str:
    """A COCO file for one image, one annotation a mask; the same text for the same masks."""
    labels = sorted({shape.label for shape in shapes})
    annotations = []
    for number, shape in enumerate(shapes, 1):
        points = np.concatenate([np.asarray(polygon).reshape(-1, 2) for polygon in shape.polygons])
        low, high = points.min(axis=0), points.max(axis=0)
        area = float(polygon_mask(shape.polygons, *size).sum())
        annotations.append(
            dict(id=number, image_id=1, category_id=labels.index(shape.label) + 1, iscrowd=0, area=area,
                 bbox=[*low.tolist(), *(high - low).tolist()], segmentation=[list(p) for p in shape.polygons])
        )  # fmt: skip
    image = dict(id=1, file_name=Path(name).name, width=size[0], height=size[1])
    categories = [dict(id=number, name=label, supercategory="muscle") for number, label in enumerate(labels, 1)]
    return json.dumps(dict(images=[image], categories=categories, annotations=annotations), separators=(",", ":"))


def mask_polygons(mask: Mask, min_iou: float) -> tuple[tuple[tuple[float, ...], ...], float]:
    """A mask (H, W) as few-cornered polygons, and their overlap with it under COCO's own rasteriser.

    The coarsest of TOLERANCES_PX that keeps `min_iou` is taken, else the exact border. What becomes of a slit is up to
    the rasteriser, so even an exact border with holes may lose a pixel: the overlap is measured, never assumed.
    """
    border = outline(mask)
    height, width = mask.shape
    best: tuple[tuple[tuple[float, ...], ...], float] = ((), 0.0)
    for tolerance in TOLERANCES_PX:
        holes = [_simple(loop, tolerance) for loop in border.holes]
        loops = _with_slits(
            [_simple(loop, tolerance) for loop in border.outer], [hole for hole in holes if len(hole) > 2]
        )
        polygons = tuple(tuple(loop.reshape(-1).tolist()) for loop in loops if len(loop) > 2)
        iou = overlap(polygon_mask(polygons, width, height), mask)
        if iou > best[1]:
            best = polygons, iou
        if iou >= min_iou:
            return polygons, iou
    return best


def _simple(loop: Points, tolerance_px: float) -> Points:
    if tolerance_px == 0:
        return loop
    points: npt.NDArray[Any] = cv2.approxPolyDP(loop.astype(np.float32)[:, None], tolerance_px, True)
    return np.asarray(points[:, 0], np.float64)


def _with_slits(outer: list[Points], holes: list[Points]) -> list[Points]:
    """Each hole joined to the border around it by a way there and back between their nearest corners."""
    loops = list(outer)
    for hole in holes:
        inside = [
            cv2.pointPolygonTest(loop.astype(np.float32)[:, None], tuple(map(float, hole[0])), True) for loop in loops
        ]
        around = [number for number, distance in enumerate(inside) if distance >= -1] if loops else []
        if not around:
            continue
        number = min(around, key=lambda n: float(_distances(loops[n], hole).min()))
        loop = loops[number]
        a, b = np.unravel_index(int(_distances(loop, hole).argmin()), (len(loop), len(hole)))
        turned = np.roll(hole, -int(b), axis=0)
        loops[number] = np.concatenate([loop[: a + 1], turned, turned[:1], loop[a:]])
    return loops


def _distances(loop: Points, hole: Points) -> npt.NDArray[np.float64]:
    return np.asarray(np.linalg.norm(loop[:, None] - hole[None], axis=2))
