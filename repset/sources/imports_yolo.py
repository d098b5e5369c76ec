"""Reads YOLO label files: polygons (`format: yolo-seg`) or joints (`format: yolo-pose`), as Ultralytics lays them out.

`data.yaml` names the classes (and `kpt_shape`, `kpt_names`); the labels of `…/images/a.jpg` are `…/labels/a.txt`, or
lie beside the image. Positions are fractions of the image. An image without a label file shows nothing, as Ultralytics
has it; its count is noted.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from repset.errors import DataError, ShapeError
from repset.params import SourceSpec
from repset.shapes import polygon_mask
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
from repset.sources.untrusted import read_yaml_bytes

_NUMBER = re.compile("[0-9]{1,9}")
DATA = ("data.yaml", "dataset.yaml", "data.yml")


@dataclass(frozen=True)
class _Data:
    """data.yaml: class number → name, and for poses the joints and numbers a joint."""

    classes: dict[int, str]
    joints: Joints | None
    depth: int


def read_yolo(
    files: dict[str, bytes], names: Names, at: Callable[[str], str], spec: SourceSpec, source: str
) -> Labelled:
    """Every label file among `files`; see repset.sources.imports.LabelReader."""
    found = sorted(name for name in files if PurePosixPath(name).name in DATA)
    if len(found) != 1:
        listed = ", ".join(found[:3]) or "none"
        raise DataError(
            at(DATA[0]), "one data.yaml that names the classes", listed, "Export it again with its data.yaml"
        )
    data = _data(files[found[0]], at(found[0]), spec.format == "yolo-pose")
    labels = Labelled()
    texts = {name for name in files if name.endswith(".txt")}
    used: set[str] = set()
    for image in names.all:
        label = next((name for name in _label_names(image) if name in texts), None)
        if label is None:
            labels.notes["images_without_a_label_file"] += 1
            labels.images[image] = _nothing
        else:
            used.add(label)
            labels.images[image] = partial(_objects, labels, data, files[label], at(label), spec, source)
        if split := split_of(str(PurePosixPath(image).parent)):
            labels.splits[image] = split
    for name in sorted(texts - used):
        if "labels" in PurePosixPath(name).parts[:-1]:
            error = DataError(at(name), "an image of the same name", "a label file alone", FIX)
            labels.missing.append((name, error))
        else:
            labels.left_out["text file that belongs to no image"] += 1
    return labels


def _label_names(image: str) -> Iterator[str]:
    """Where the labels of an image may lie: Ultralytics' place (the last `images` becomes `labels`), or beside it."""
    path = PurePosixPath(image).with_suffix(".txt")
    parts = list(path.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[:-1][::-1].index("images")] = "labels"
        yield "/".join(parts)
    yield str(path)


def _nothing(size: tuple[int, int]) -> Iterator[MaskObject | PoseObject]:
    return iter(())


def _data(content: bytes, where: str, pose: bool) -> _Data:
    expected = "a data.yaml with names (and kpt_shape for poses)"
    try:
        data = read_yaml_bytes(content)
    except ValueError as error:
        raise DataError(where, expected, " ".join(str(error).split())[:120].rstrip("."), FIX) from error
    data = data if isinstance(data, dict) else {}
    listed: Any = data.get("names")
    if isinstance(listed, list):
        listed = dict(enumerate(listed))
    if not isinstance(listed, dict) or not all(_NUMBER.fullmatch(str(key)) for key in listed):
        raise DataError(where, expected, "no names", FIX)
    classes = {int(key): str(name) for key, name in listed.items()}
    if not pose:
        return _Data(classes, None, 0)
    shape = data.get("kpt_shape")
    if not (isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape) and shape[1] in (2, 3)):
        raise DataError(where, "kpt_shape: [number of joints, 2 or 3]", f"{str(shape)[:40]!r}", FIX)
    named = data.get("kpt_names")
    if isinstance(named, dict):  # class number → names; one person class
        named = next(iter(named.values()), None)
    joints = joints_named(named, where) if isinstance(named, list) else joints_counted(shape[0], where)
    if len(joints.places) != shape[0]:
        raise DataError(where, f"{shape[0]} kpt_names, as kpt_shape says", str(len(joints.places)), FIX)
    return _Data(classes, joints, shape[1])


def _objects(
    labels: Labelled, data: _Data, content: bytes, where: str, spec: SourceSpec, source: str, size: tuple[int, int]
) -> Iterator[MaskObject | PoseObject]:
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(where, "lines of numbers", "a file that is no text", FIX) from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield from _line(labels, data, line, f"{where}, line {number}", spec, source, size)


def _line(
    labels: Labelled, data: _Data, line: str, where: str, spec: SourceSpec, source: str, size: tuple[int, int]
) -> Iterator[MaskObject | PoseObject]:
    try:
        values = np.asarray(line.split(), np.float64)
    except ValueError as error:
        raise DataError(where, "a class number and fractions of the image", repr(line[:60]), FIX) from error
    if not np.isfinite(values).all() or values[0] not in data.classes:
        known = ", ".join(str(key) for key in list(data.classes)[:20])
        raise DataError(where, f"a class of data.yaml ({known}) and finite numbers", repr(line[:60]), FIX)
    if data.joints is not None:
        yield _pose(data, values, where, size)
        return
    if len(values) == 5:
        labels.left_out["box without a polygon"] += 1
        return
    if len(values) < 7 or len(values) % 2 == 0:
        raise DataError(where, "a class number and three corners or more", f"{len(values)} numbers", FIX)
    label = label_of(data.classes[int(values[0])], spec, source, where)
    if label is None:
        labels.left_out["polygon of the background"] += 1
        return
    try:
        mask = polygon_mask([values[1:].reshape(-1, 2) * size], *size)
    except ShapeError as error:
        raise DataError(where, "a polygon inside the image", str(error), FIX) from error
    yield MaskObject(label, mask)


def _pose(data: _Data, values: npt.NDArray[np.float64], where: str, size: tuple[int, int]) -> PoseObject:
    assert data.joints is not None
    count = len(data.joints.places)
    if len(values) != 5 + count * data.depth:
        expected = f"{5 + count * data.depth} numbers (class, box, {count} joints of {data.depth})"
        raise DataError(where, expected, str(len(values)), FIX)
    joints = values[5:].reshape(count, data.depth)
    # Two numbers a joint: one at (0, 0) is not placed, as Ultralytics reads it.
    flags = joints[:, 2] if data.depth == 3 else np.where((joints == 0).all(axis=1), 0, 2)
    if not np.isin(flags, (0, 1, 2)).all():
        raise DataError(where, "visibilities 0, 1 or 2", "others", FIX)
    return data.joints.pose(joints[:, :2] * size, flags.astype(np.int8), size, None)
