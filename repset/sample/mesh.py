"""Signed distance shapes, blended smoothly and turned into quads by surface nets.

A body is a list of rounded cones and ellipsoids, each fixed to a bone. They are joined by an exponential soft
minimum (Quilez, "smooth minimum"), every shape being evaluated only where it matters: in its own box.
Surface nets: Gibson 1998, "Constrained elastic surface nets".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from repset.sample.geometry import Array, unit

Indices = npt.NDArray[np.int64]
_REACH = 6.0
"""A shape is ignored farther away than this many blend lengths: its share there is exp(-6) = 0.2 %."""


@dataclass(frozen=True)
class Shape:
    """A rounded cone from a to b (radii r0, r1), or an ellipsoid at a (semi-axes `axes`, orientation `turn`)."""

    bone: str
    a: Array
    b: Array
    r0: float = 0.0
    r1: float = 0.0
    axes: Array | None = None
    turn: Array | None = None

    def box(self) -> tuple[Array, Array]:
        """Lower and upper corner of a box around the surface."""
        if self.axes is not None:
            reach = self.axes if self.turn is None else np.abs(self.turn) @ self.axes
            return self.a - reach, self.a + reach
        low = np.minimum(self.a - self.r0, self.b - self.r1)
        return low, np.maximum(self.a + self.r0, self.b + self.r1)

    def distance(self, p: Array) -> Array:
        """Signed distance (an estimate for ellipsoids) of points (N, 3)."""
        if self.axes is not None:
            q = p - self.a
            q = q if self.turn is None else q @ self.turn
            k0 = np.sqrt(((q / self.axes) ** 2).sum(-1))
            k1 = np.sqrt(((q / self.axes**2) ** 2).sum(-1)) + 1e-9
            # The estimate vanishes at the very centre, which is as deep as the shortest semi-axis.
            return np.asarray(np.where(k0 < 1e-6, -self.axes.min(), k0 * (k0 - 1) / k1), np.float64)
        return self._cone(p)

    def _cone(self, p: Array) -> Array:
        # Distance to a cone with spherical ends in the plane of axis and point (Quilez, "round cone").
        axis = self.b - self.a
        squared = float(axis @ axis)
        slope = self.r0 - self.r1
        side = squared - slope * slope
        along = (p - self.a) @ axis
        beyond = along - squared
        x2 = ((p - self.a) * squared - along[:, None] * axis) ** 2
        off, y2, z2 = x2.sum(-1), along**2 * squared, beyond**2 * squared
        edge = np.sign(slope) * slope * slope * off
        body = (np.sqrt(off * side / squared) + along * slope) / squared - self.r0
        far = np.sqrt(off + z2) / squared - self.r1
        near = np.sqrt(off + y2) / squared - self.r0
        in_far, in_near = np.sign(beyond) * side * z2 > edge, np.sign(along) * side * y2 < edge
        return np.asarray(np.where(in_far, far, np.where(in_near, near, body)), np.float64)


@dataclass(frozen=True)
class Surface:
    """A closed mesh: vertices (V, 3), outward normals (V, 3), quads (Q, 4), openness 0..1 (V,) for ambient light."""

    vertices: Array
    normals: Array
    quads: Indices
    open: Array


def field(points: Array, shapes: Sequence[Shape], blend: float) -> Array:
    """Smoothly joined signed distance at scattered points (N, 3)."""
    total = np.zeros(len(points))
    for shape in shapes:
        low, high = shape.box()
        near = np.flatnonzero(((points > low - _REACH * blend) & (points < high + _REACH * blend)).all(axis=1))
        total[near] += np.exp(np.clip(-shape.distance(points[near]) / blend, -60, 60))
    return np.asarray(-blend * np.log(total + 1e-30), np.float64)


def bone_weights(points: Array, shapes: Sequence[Shape], blend: float, bones: Sequence[str]) -> Array:
    """Skin weights (N, B): each bone's share in the blend, so joints bend as smoothly as the surface joins."""
    weights = np.full((len(points), len(bones)), 1e-12)
    for shape in shapes:
        low, high = shape.box()
        near = np.flatnonzero(((points > low - _REACH * blend) & (points < high + _REACH * blend)).all(axis=1))
        weights[near, bones.index(shape.bone)] += np.exp(np.clip(-shape.distance(points[near]) / blend, -40, 40))
    weights /= weights.sum(axis=1, keepdims=True)
    weights[weights < 0.01] = 0
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float64)


def build(shapes: Sequence[Shape], cell: float, blend: float) -> Surface:
    """Mesh the joined shapes on a grid of `cell` and pull the vertices onto the exact surface."""
    values, origin = _sample(shapes, cell, blend)
    vertices, quads = _surface_nets(values, origin, cell)
    normals = np.zeros_like(vertices)
    for _ in range(2):
        distance, normals = _gradient(vertices, shapes, blend)
        vertices = vertices - normals * distance[:, None]
    openness = np.clip(field(vertices + normals * 0.05, shapes, blend) / 0.05, 0, 1)
    return Surface(vertices, normals, quads, openness)


def _sample(shapes: Sequence[Shape], cell: float, blend: float) -> tuple[Array, Array]:
    boxes = [shape.box() for shape in shapes]
    origin = np.min([low for low, _ in boxes], axis=0) - 3 * cell
    size = np.ceil((np.max([high for _, high in boxes], axis=0) + 3 * cell - origin) / cell).astype(int) + 1
    total = np.zeros(size)
    # Far from the surface only the sign matters, so the grid needs a shape's value no farther than its soft rim.
    for shape, (low, high) in zip(shapes, boxes, strict=True):
        first = np.maximum(np.floor((low - 3 * blend - origin) / cell).astype(int), 0)
        last = np.minimum(np.ceil((high + 3 * blend - origin) / cell).astype(int) + 1, size)
        axes = [origin[i] + cell * np.arange(first[i], last[i]) for i in range(3)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        block = np.exp(np.clip(-shape.distance(points.reshape(-1, 3)) / blend, -60, 60)).reshape(points.shape[:3])
        total[first[0] : last[0], first[1] : last[1], first[2] : last[2]] += block
    return -blend * np.log(total + 1e-30), origin


def _gradient(points: Array, shapes: Sequence[Shape], blend: float) -> tuple[Array, Array]:
    step = 1e-3
    stacked = np.concatenate([points, *(points + step * axis for axis in np.eye(3))])
    distance = field(stacked, shapes, blend).reshape(4, -1)
    return distance[0], unit((distance[1:] - distance[0]).T)


def _surface_nets(values: Array, origin: Array, cell: float) -> tuple[Array, Indices]:
    inside = values < 0
    corners = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    shape = np.array(values.shape) - 1
    count = np.zeros(shape, np.int8)
    for a, b, c in corners:
        count += inside[a : a + shape[0], b : b + shape[1], c : c + shape[2]]
    active = (count > 0) & (count < 8)
    number = np.full(shape, -1, np.int64)
    number[active] = np.arange(active.sum())
    cells = np.argwhere(active)
    total, crossings = np.zeros((len(cells), 3)), np.zeros(len(cells))
    for corner in corners:
        for axis in range(3):
            if corner[axis]:
                continue
            other = np.array(corner)
            other[axis] = 1
            v0, v1 = values[tuple((cells + corner).T)], values[tuple((cells + other).T)]
            crosses = (v0 < 0) != (v1 < 0)
            point = np.repeat(np.array(corner, float)[None], len(cells), axis=0)
            point[:, axis] += np.where(crosses, v0 / (v0 - v1 + 1e-15), 0)
            total += point * crosses[:, None]
            crossings += crosses
    vertices = origin + cell * (cells + total / crossings[:, None])
    quads = np.concatenate([_quads_along(inside, number, axis) for axis in range(3)])
    return vertices, quads[(quads >= 0).all(axis=1)]


def _quads_along(inside: npt.NDArray[np.bool_], number: Indices, axis: int) -> Indices:
    """One quad around every grid edge along `axis` that the surface crosses, wound outwards."""
    u, v = np.eye(3, dtype=int)[(axis + 1) % 3], np.eye(3, dtype=int)[(axis + 2) % 3]
    first, second = [slice(1, -1)] * 3, [slice(1, -1)] * 3
    first[axis], second[axis] = slice(0, -1), slice(1, None)
    here, there = inside[tuple(first)], inside[tuple(second)]
    edges = np.argwhere(here != there)
    leaving = here[tuple(edges.T)]
    offset = np.ones(3, int)
    offset[axis] = 0
    at = edges + offset
    around = (at - u - v, at - v, at, at - u)
    quads: Indices = np.stack([number[tuple(cell.T)] for cell in around], axis=1)
    quads[~leaving] = quads[~leaving][:, ::-1]
    return quads
