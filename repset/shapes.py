"""Masks, outlines and run lengths, in COCO's conventions: corners on pixel borders, runs down the columns.

An outline that follows the pixel borders gives back its mask to the pixel under COCO's own rasteriser (pycocotools),
which is why polygons are filled here and nowhere by `cv2.fillPoly` (it adds the border). Everything read is hostile:
pycocotools takes run lengths [5, -2] for 16 pixels without complaint and writes past its array, so run lengths are
checked and unpacked here; and it allots memory by the length of an outline, so that length is bounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from repset.errors import ShapeError

Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]

LONGEST_OUTLINE_PX = 4_000_000
"""Sum of the sides of one outline, above which it is refused: four million is every pixel border of a 1,000 × 1,000
checkerboard."""


@dataclass(frozen=True)
class Outline:
    """The border of a mask, as closed loops of corners (N, 2): x, y in pixels, on pixel borders.

    Attributes:
        outer: loops around the parts of the mask (parts touching at a corner only are two parts).
        holes: loops around what is left out inside them.
    """

    outer: tuple[Points, ...]
    holes: tuple[Points, ...]


def outline(mask: Mask) -> Outline:
    """The exact border of a mask (H, W). An empty mask has none."""
    loops = [_corners(loop) for loop in _loops(_border_steps(mask))]
    return Outline(
        tuple(loop for loop in loops if _signed_area(loop) > 0), tuple(loop for loop in loops if _signed_area(loop) < 0)
    )


def _border_steps(mask: Mask) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """From each corner of a border pixel where the border goes on, with the mask on its right (y down)."""
    padded = np.pad(mask, 1).astype(np.int8)
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    across = np.diff(padded[:, 1:-1], axis=0)
    for y, x in np.argwhere(across).tolist():
        a, b = ((x, y), (x + 1, y)) if across[y, x] > 0 else ((x + 1, y), (x, y))
        steps.setdefault(a, []).append(b)
    along = np.diff(padded[1:-1, :], axis=1)
    for y, x in np.argwhere(along).tolist():
        a, b = ((x, y + 1), (x, y)) if along[y, x] > 0 else ((x, y), (x, y + 1))
        steps.setdefault(a, []).append(b)
    return steps


def _loops(steps: dict[tuple[int, int], list[tuple[int, int]]]) -> list[list[tuple[int, int]]]:
    """Follow the steps until each is used; where two pixels touch at a corner, stay with the own pixel."""
    loops: list[list[tuple[int, int]]] = []
    for start in sorted(steps):
        while start in steps:
            loop, here = [], start
            before: tuple[int, int] | None = None
            while True:
                ways = steps[here]
                right = (here[0] - (here[1] - before[1]), here[1] + (here[0] - before[0])) if before else None
                way = right if right in ways else ways[0]
                assert way is not None
                ways.remove(way)
                if not ways:
                    del steps[here]
                loop.append(here)
                before, here = here, way
                if here == start:
                    break
            loops.append(loop)
    return loops


def _corners(loop: list[tuple[int, int]]) -> Points:
    """The loop without the points on its straight stretches."""
    points = np.asarray(loop, np.float64)
    turns = (points - np.roll(points, 1, axis=0) != np.roll(points, -1, axis=0) - points).any(axis=1)
    return np.asarray(points[turns])


def _signed_area(points: Points) -> float:
    x, y = points[:, 0], points[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y)) / 2


def polygon_mask(polygons: Sequence[Any], width: int, height: int) -> Mask:
    """Union of polygons as a mask (height, width), filled as the COCO API does.

    Args:
        polygons: each a flat list x1, y1, x2, y2 … or points (N, 2), in pixels; what lies outside the image is cut off.
    Raises: ShapeError for a polygon of under three corners, with a coordinate that is no finite number, or further
        outside the image than its own size.
    """
    from pycocotools import mask as coco

    flat: list[list[float]] = []
    for polygon in polygons:
        try:
            points = np.asarray(polygon, np.float64)
        except (TypeError, ValueError, OverflowError):
            raise ShapeError("a polygon that is no list of numbers") from None
        if points.size < 6 or points.size % 2:
            raise ShapeError(f"a polygon of {points.size} numbers")
        points = points.reshape(-1, 2)
        if not np.isfinite(points).all():
            raise ShapeError("a polygon with a corner that is no finite number")
        size = np.array([width, height])
        if (points < -size).any() or (points > 2 * size).any():
            raise ShapeError("a polygon with a corner far outside the image")
        if np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum() > LONGEST_OUTLINE_PX:
            raise ShapeError(f"a polygon longer than {LONGEST_OUTLINE_PX:,} px")
        flat.append(points.reshape(-1).tolist())
    if not flat:
        return np.zeros((height, width), bool)
    return np.asarray(coco.decode(coco.merge(coco.frPyObjects(flat, height, width))), bool)


def runs_of(mask: Mask) -> list[int]:
    """COCO run lengths of a mask (H, W), down the columns, beginning with what is outside it."""
    flat = np.asarray(mask, np.int8).T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat, prepend=np.int8(0), append=np.int8(2)))
    return [int(run) for run in np.diff(edges, prepend=0)]


def runs_mask(runs: Sequence[int], width: int, height: int) -> Mask:
    """The mask of run lengths. Raises: ShapeError unless they are whole, not negative and fill the image."""
    if not all(isinstance(run, int) and run >= 0 for run in runs) or sum(runs) != width * height:
        raise ShapeError("run lengths that do not fill the image")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(inside.reshape(width, height).T)


def unpack_runs(text: str) -> list[int]:
    """Run lengths from COCO's text: 5 bits a character, lowest first, the sixth says that more follow; from the fourth
    run on the difference to the run before the last one is stored.

    Raises: ShapeError for a character or a length that cannot stand there.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 40:
            raise ShapeError("run lengths that are no such text")
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ShapeError("run lengths that break off")
    return runs


def overlap(a: Mask, b: Mask) -> float:
    """Intersection over union of two masks; 1 where both are empty."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0
