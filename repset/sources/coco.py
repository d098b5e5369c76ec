"""Reads the masks of a COCO segmentation file: polygons, and run lengths plain or compressed.

Category and image numbers hold for one file only. A polygon list is the union of its polygons, as the COCO API
takes it; a run-length mask can hold holes. Rasterising a polygon does not give back the mask it was traced from.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from repset.errors import DataError

Mask = npt.NDArray[np.bool_]
_EXPORT_AGAIN = "Export it again as coco-segmentation"


@dataclass(frozen=True)
class CocoFile:
    """One `_annotations.coco.json`.

    Attributes:
        categories: number → name of the categories that annotations use.
        images: file name → (width, height, annotations).
    """

    categories: dict[int, str]
    images: dict[str, tuple[int, int, list[dict[str, Any]]]]

    def masks(self, image: str, size: tuple[int, int], where: str) -> Iterator[tuple[int, Mask]]:
        """Category number and mask (H, W) of each object in one image of `size` (width, height)."""
        if image not in self.images:
            raise DataError(where, "an entry in _annotations.coco.json", "none", _EXPORT_AGAIN)
        width, height, annotations = self.images[image]
        if (width, height) != size:
            stated = f"{width} × {height} px, as _annotations.coco.json says"
            raise DataError(where, stated, f"{size[0]} × {size[1]}", _EXPORT_AGAIN)
        for annotation in annotations:
            yield int(annotation["category_id"]), _rasterise(annotation.get("segmentation"), width, height, where)


def read_coco(data: bytes, where: str) -> CocoFile:
    """Parse and check one file. Raises: DataError."""
    try:
        content = json.loads(data)
        names = {int(row["id"]): str(row["name"]) for row in content["categories"]}
        by_image: dict[int, list[dict[str, Any]]] = {int(row["id"]): [] for row in content["images"]}
        for row in content["annotations"]:
            by_image[int(row["image_id"])].append(row)
        used = {int(row["category_id"]) for row in content["annotations"]}
        categories = {key: names[key] for key in sorted(used)}  # number 0 is the project's group, used by none
        images = {
            str(row["file_name"]): (int(row["width"]), int(row["height"]), by_image[int(row["id"])])
            for row in content["images"]
        }
    except (ValueError, KeyError, TypeError) as error:
        found = f"one that does not fit ({type(error).__name__}: {error})"
        raise DataError(where, "a COCO file with images, categories, annotations", found, _EXPORT_AGAIN) from error
    return CocoFile(categories, images)


def _rasterise(segmentation: Any, width: int, height: int, where: str) -> Mask:
    try:
        if isinstance(segmentation, list):
            return _polygons(segmentation, width, height)
        if isinstance(segmentation, dict):
            counts = segmentation["counts"]
            runs = _uncompress(counts) if isinstance(counts, str) else [int(count) for count in counts]
            if list(segmentation["size"]) == [height, width] and sum(runs) == width * height and min(runs) >= 0:
                values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
                return values.reshape(width, height).T  # COCO counts down the columns
    except (ValueError, KeyError, TypeError, IndexError):
        pass
    expected = "polygons, or run lengths that fill the image, in every annotation"
    raise DataError(where, expected, f"{str(segmentation)[:60]!r}", _EXPORT_AGAIN)


def _polygons(polygons: list[Any], width: int, height: int) -> Mask:
    mask = np.zeros((height, width), np.uint8)
    for polygon in polygons:
        points = np.asarray(polygon, np.float64).reshape(-1, 2)
        # Polygon corners lie on pixel borders, fillPoly's on pixel centres; 4 fractional bits.
        cv2.fillPoly(mask, [np.round((points - 0.5) * 16).astype(np.int32)], [1], shift=4)
    return mask.astype(bool)


def _uncompress(text: str) -> list[int]:
    """Run lengths from COCO's text form: 5 bits a character, lowest first, bit 6 says more follow; from the fourth
    run on the difference to the run before the last one is stored."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
