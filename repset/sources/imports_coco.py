"""Reads COCO files: masks (`format: coco`: polygons, run lengths plain or packed) or joints (`format: coco-keypoints`).

An entry of our own exports also says which person is meant (`person`); other files' objects are counted by the index.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from repset.errors import DataError, ShapeError
from repset.params import SourceSpec
from repset.shapes import Mask, polygon_mask, runs_mask, unpack_runs
from repset.sources.imports import (
    FIX,
    Joints,
    Labelled,
    MaskObject,
    Names,
    PoseObject,
    joints_counted,
    joints_named,
    label_of,
    split_of,
)

Row = dict[str, Any]
_EXPECTED = "a COCO file with images, annotations and categories"


def read_coco(
    files: dict[str, bytes], names: Names, at: Callable[[str], str], spec: SourceSpec, source: str
) -> Labelled:
    """Every COCO file among `files` (JSON of another kind is counted); see repset.sources.imports.LabelReader."""
    labels = Labelled()
    for name in sorted(name for name in files if name.endswith(".json")):
        where = at(name)
        content = _parse(files[name], where)
        if not isinstance(content, dict) or not {"images", "annotations"} <= set(content):
            labels.left_out["JSON file that is no COCO file"] += 1
            continue
        _add(labels, content, name, where, names, spec, source)
    if not labels.images and not labels.missing:
        raise DataError(at("*.json"), _EXPECTED, "none", "Check format in the source's file under pipelines/")
    return labels


def _parse(data: bytes, where: str) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        found = "nesting too deep to read" if isinstance(error, RecursionError) else str(error)[:120].rstrip(".")
        raise DataError(where, "JSON", found, FIX) from error


def _add(labels: Labelled, content: Row, name: str, where: str, names: Names, spec: SourceSpec, source: str) -> None:
    try:
        categories = {int(row["id"]): row for row in content.get("categories", [])}
        images = {int(row["id"]): (str(row["file_name"]), int(row["width"]), int(row["height"])) for row in
                  content["images"]}  # fmt: skip
        annotations: dict[int, list[Row]] = {key: [] for key in images}
        strays = 0
        for row in content["annotations"]:
            if int(row["image_id"]) in annotations:
                annotations[int(row["image_id"])].append(row)
            else:
                strays += 1
        used = {int(row["category_id"]) for row in content["annotations"]}
        double = len(images) < len(content["images"])
    except (ValueError, KeyError, TypeError, OverflowError, AttributeError) as error:
        found = f"one that does not fit ({type(error).__name__}: {str(error)[:80]})"
        raise DataError(where, _EXPECTED, found, FIX) from error
    if double:
        raise DataError(where, "one image for each id", "an id twice", FIX)
    if unknown := sorted(used - set(categories)):
        raise DataError(where, "categories that the file lists", f"the category {unknown[0]}", FIX)
    if strays:
        labels.left_out["annotation of an image that its file does not list"] += strays
    reader = partial(_poses if spec.format == "coco-keypoints" else _masks, labels, spec, source, categories)
    folder = str(PurePosixPath(name).parent)
    for key, (stated, width, height) in images.items():
        try:
            image = names.find(stated, folder, where)
        except DataError as error:
            labels.missing.append((stated, error))
            continue
        if image in labels.images:
            raise DataError(where, "one entry for each image", f"a second one for {stated[:120]}", FIX)
        labels.images[image] = partial(_objects, reader, annotations[key], (width, height), f"{where}, {stated}")
        if split := split_of(str(PurePosixPath(image).parent)) or split_of(name):
            labels.splits[image] = split


def _objects(
    reader: Callable[..., Iterator[Any]], rows: list[Row], stated: tuple[int, int], where: str, size: tuple[int, int]
) -> Iterator[MaskObject | PoseObject]:
    if stated != size:
        expected = f"an image of {stated[0]} × {stated[1]} px, as the file says"
        raise DataError(where, expected, f"{size[0]} × {size[1]}", FIX)
    for row in rows:
        yield from reader(row, size, where)


def _masks(
    labels: Labelled, spec: SourceSpec, source: str, categories: dict[int, Row], row: Row, size: tuple[int, int],
    where: str,
) -> Iterator[MaskObject]:  # fmt: skip
    if row.get("keypoints"):
        labels.left_out["keypoints (read them with format: coco-keypoints)"] += 1
    if not row.get("segmentation"):
        labels.left_out["annotation without a mask"] += 1
        return
    label = label_of(_category_name(categories, row), spec, source, where)
    if label is None:
        labels.left_out["annotation of the background"] += 1
        return
    yield MaskObject(label, _mask(row["segmentation"], size, f"{where}, annotation {row.get('id')}"), _person(row))


def _mask(segmentation: Any, size: tuple[int, int], where: str) -> Mask:
    width, height = size
    try:
        if isinstance(segmentation, list):
            flat = segmentation and not isinstance(segmentation[0], list)
            return polygon_mask([segmentation] if flat else segmentation, width, height)
        counts = segmentation["counts"]
        if list(segmentation["size"]) != [height, width]:
            raise ShapeError(f"run lengths for {str(segmentation['size'])[:40]}")
        return runs_mask(unpack_runs(counts) if isinstance(counts, str) else list(counts), width, height)
    except (ShapeError, KeyError, TypeError) as error:
        found = str(error) if isinstance(error, ShapeError) else f"{str(segmentation)[:60]!r}"
        raise DataError(where, "polygons, or run lengths that fill the image", found, FIX) from error


def _poses(
    labels: Labelled, spec: SourceSpec, source: str, categories: dict[int, Row], row: Row, size: tuple[int, int],
    where: str,
) -> Iterator[PoseObject]:  # fmt: skip
    if row.get("segmentation"):
        labels.left_out["mask (read it with format: coco)"] += 1
    if not row.get("keypoints"):
        labels.left_out["annotation without keypoints"] += 1
        return
    here = f"{where}, annotation {row.get('id')}"
    try:
        values = np.asarray(row["keypoints"], np.float64).reshape(-1, 3)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(here, "keypoints x, y, v, x, y, v …", "something else", FIX) from error
    joints = _joints(categories[int(row["category_id"])], len(values), where)
    if len(values) != len(joints.places):
        raise DataError(here, f"{len(joints.places)} keypoints, as the category names", str(len(values)), FIX)
    if not np.isfinite(values).all() or not np.isin(values[:, 2], (0, 1, 2)).all():
        raise DataError(here, "finite positions with v = 0, 1 or 2", "others", FIX)
    yield joints.pose(values[:, :2], values[:, 2].astype(np.int8), size, _person(row))


def _joints(category: Row, count: int, where: str) -> Joints:
    names = category.get("keypoints")
    return joints_named(names, where) if isinstance(names, list) and names else joints_counted(count, where)


def _category_name(categories: dict[int, Row], row: Row) -> str:
    return str(categories[int(row["category_id"])].get("name", ""))


def _person(row: Row) -> int | None:
    person = row.get("person")
    return person if isinstance(person, int) and 0 <= person < 1 << 31 else None
