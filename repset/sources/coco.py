"""Reads the masks of a COCO segmentation file: polygons, and run lengths plain or compressed.

Category and image numbers hold for one file only. A polygon list is the union of its polygons, as the COCO API
takes it; a run-length mask can hold holes. Rasterising a polygon does not give back the mask it was traced from.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from repset.errors import DataError, ShapeError
from repset.shapes import Mask, polygon_mask, runs_mask, unpack_runs
from repset.sources.untrusted import read_json_bytes

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
        content = read_json_bytes(data)
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
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        found = f"one that does not fit ({type(error).__name__}: {error})"
        raise DataError(where, "a COCO file with images, categories, annotations", found, _EXPORT_AGAIN) from error
    return CocoFile(categories, images)


def _rasterise(segmentation: Any, width: int, height: int, where: str) -> Mask:
    try:
        if isinstance(segmentation, list):
            return polygon_mask(segmentation, width, height)
        if isinstance(segmentation, dict) and list(segmentation["size"]) == [height, width]:
            counts = segmentation["counts"]
            return runs_mask(unpack_runs(counts) if isinstance(counts, str) else list(counts), width, height)
    except (ShapeError, ValueError, KeyError, TypeError):
        pass
    expected = "polygons, or run lengths that fill the image, in every annotation"
    raise DataError(where, expected, f"{str(segmentation)[:60]!r}", _EXPORT_AGAIN)
