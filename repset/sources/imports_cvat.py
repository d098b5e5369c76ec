"""Reads CVAT's XML for images (version 1.1): polygons and painted masks as masks, skeletons as joints.

The file is parsed by defusedxml, which refuses document types, entities and references. Shapes that have no
place in our tables (boxes, polylines, ellipses, cuboids, tags, loose points) are counted, by their kind.
"""

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, ParseError  # types only; parsing is defusedxml's

import numpy as np

from repset.errors import DataError, ShapeError
from repset.params import SourceSpec
from repset.shapes import Mask, polygon_mask
from repset.sources.imports import (
    FIX,
    Labelled,
    MaskObject,
    Names,
    PoseObject,
    joints_named,
    label_of,
    split_of,
)

_EXPECTED = "CVAT's XML for images 1.1"
_EXPORT = "Export it as 'CVAT for images 1.1'"


def read_cvat(
    files: dict[str, bytes], names: Names, at: Callable[[str], str], spec: SourceSpec, source: str
) -> Labelled:
    """Every XML file among `files`; see repset.sources.imports.LabelReader."""
    labels = Labelled()
    listings = sorted(name for name in files if name.endswith(".xml"))
    if not listings:
        raise DataError(at("*.xml"), _EXPECTED, "no XML file", "Check format in the source's file under pipelines/")
    for listing in listings:
        where = at(listing)
        for element in _images(files[listing], where):
            stated = element.get("name", "")
            try:
                image = names.find(stated, str(PurePosixPath(listing).parent), where)
            except DataError as error:
                labels.missing.append((stated, error))
                continue
            if image in labels.images:
                raise DataError(where, "one entry for each image", f"a second one for {stated[:120]}", FIX)
            labels.images[image] = partial(_objects, labels, element, f"{where}, {stated}", spec, source)
            split = split_of(element.get("subset") or "") or split_of(str(PurePosixPath(image).parent))
            if split:
                labels.splits[image] = split
    return labels


def _images(data: bytes, where: str) -> Iterator[Element]:
    """The <image> elements, one after the other."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    depth, count = 0, 0
    try:
        for event, element in iterparse(io.BytesIO(data), events=("start", "end"), forbid_dtd=True):
            depth += 1 if event == "start" else -1
            if depth > 16:
                raise DataError(where, _EXPECTED, "elements nested deeper than 16", _EXPORT)
            if event == "start" and depth == 1 and element.tag != "annotations":
                raise DataError(where, _EXPECTED, f"the root <{str(element.tag)[:40]}>", _EXPORT)
            if event == "end" and depth == 1:
                if element.tag == "track":
                    raise DataError(where, _EXPECTED, "tracks (CVAT's XML for video)", _EXPORT)
                if element.tag == "image":
                    count += 1
                    yield element
    except ParseError as error:
        raise DataError(where, _EXPECTED, f"one that does not parse ({error})", _EXPORT) from error
    except DefusedXmlException as error:  # a ValueError, so before the next
        found = f"a document type or an entity ({type(error).__name__})"
        raise DataError(
            where, "XML that is safe to read", found, "Do not use it unless you made it yourself"
        ) from error
    except (LookupError, ValueError) as error:
        raise DataError(where, _EXPECTED, "an encoding that cannot be read", "Save it as UTF-8") from error
    if not count:
        raise DataError(where, _EXPECTED, "no image in it", _EXPORT)


def _objects(
    labels: Labelled, image: Element, where: str, spec: SourceSpec, source: str, size: tuple[int, int]
) -> Iterator[MaskObject | PoseObject]:
    stated = (image.get("width"), image.get("height"))
    if stated != (str(size[0]), str(size[1])):
        expected = f"an image of {stated[0]} × {stated[1]} px, as the file says"
        raise DataError(where, expected, f"{size[0]} × {size[1]}", FIX)
    for shape in image:
        if shape.tag == "skeleton":
            yield _skeleton(shape, size, where)
        elif shape.tag in ("polygon", "mask"):
            label = label_of(shape.get("label", ""), spec, source, where)
            if label is None:
                labels.left_out[f"{shape.tag} of the background"] += 1
                continue
            yield MaskObject(label, (_polygon if shape.tag == "polygon" else _painted)(shape, size, where))
        else:
            labels.left_out[f"CVAT {str(shape.tag)[:40]} (no table holds it)"] += 1


def _polygon(shape: Element, size: tuple[int, int], where: str) -> Mask:
    try:
        return polygon_mask([_points(shape)], *size)
    except (ValueError, ShapeError) as error:
        raise _fault(shape, where, "a polygon 'x,y;x,y;x,y' inside the image") from error


def _points(shape: Element) -> list[list[float]]:
    points = [[float(number) for number in pair.split(",")] for pair in shape.get("points", "").split(";")]
    if any(len(point) != 2 for point in points):
        raise ValueError("a point of other than two numbers")
    return points


def _painted(shape: Element, size: tuple[int, int], where: str) -> Mask:
    """A painted mask: run lengths along the rows of a box, beginning with what is outside."""
    mask = np.zeros((size[1], size[0]), bool)
    try:
        left, top, width, height = (int(shape.get(key, "")) for key in ("left", "top", "width", "height"))
        runs = [int(run) for run in shape.get("rle", "").split(",")]
        inside = left >= 0 and top >= 0 and left + width <= size[0] and top + height <= size[1]
        if not inside or min(runs) < 0 or sum(runs) != width * height or width < 1:
            raise ValueError("runs that do not fill their box")
    except ValueError as error:
        raise _fault(shape, where, "run lengths that fill a box inside the image") from error
    painted = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    mask[top : top + height, left : left + width] = painted
    return mask


def _skeleton(shape: Element, size: tuple[int, int], where: str) -> PoseObject:
    points = [one for one in shape if one.tag == "points"]
    joints = joints_named([one.get("label", "") for one in points], where)
    try:
        places = [_points(one) for one in points]
        if any(len(place) != 1 for place in places):
            raise ValueError("several points in the place of one")
        xy = np.asarray([place[0] for place in places], np.float64)
        if not np.isfinite(xy).all():
            raise ValueError("a position that is no number")
    except ValueError as error:
        raise _fault(shape, where, "one finite point 'x,y' a joint") from error
    flags = [0 if one.get("outside") == "1" else 1 if one.get("occluded") == "1" else 2 for one in points]
    return joints.pose(xy, np.asarray(flags, np.int8), size, None)


def _fault(shape: Any, where: str, expected: str) -> DataError:
    text = shape.get("points") or shape.get("rle") or ""
    return DataError(where, expected, f"the {shape.tag} {text[:60]!r}", FIX)
