"""A depth-buffered triangle rasteriser in numpy: triangles of like size are drawn together, without a loop over them.

Every pixel keeps one integer, depth above face number, so that drawing is a minimum and the nearest face wins.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from repset.sample.athlete import Mesh

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

_FACE_BITS = 20
_FACE = (1 << _FACE_BITS) - 1
_STEPS = 1 << 17
"""Depth steps per body unit: under 8 micrometres on an average adult."""
_NEAREST = 0.05
"""Faces nearer to the camera than this are left out."""
EMPTY = np.iinfo(np.int64).max
STATIC = _FACE
"""Face number of the fixed scenery."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        position: (3,). axes: rows right, down, forward. focal_px; centre_px (x, y); width, height in pixels.
    """

    position: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    focal_px: float
    centre_px: tuple[float, float]
    width: int
    height: int

    def project(
        self, points: npt.NDArray[np.float64] | Floats
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Pixel positions (..., 2) with (0, 0) at the top-left corner of the image, and depths (...)."""
        q = (points - self.position) @ self.axes.T
        depth = q[..., 2]
        safe = np.maximum(depth, 1e-3)
        x = self.focal_px * q[..., 0] / safe + self.centre_px[0]
        y = self.focal_px * q[..., 1] / safe + self.centre_px[1]
        return np.stack([x, y], axis=-1), depth


@dataclass(frozen=True)
class Hits:
    """Covered pixels: flat index, face, barycentric weights (N, 3) float32, depth (N,)."""

    pixel: Indices
    face: Indices
    weights: Floats
    depth: Floats


def empty_buffer(width: int, height: int) -> Indices:
    """A buffer in which nothing is drawn yet, flat (H*W,)."""
    return np.full(width * height, EMPTY, np.int64)


def draw(buffer: Indices, shape: tuple[int, int], xy: Floats, depth: Floats, triangles: Indices) -> None:
    """Draw the front faces (counter-clockwise on screen) into the buffer.

    Args:
        shape: height and width of the buffer. xy: (V, 2) pixels. depth: (V,). triangles: (F, 3).
    """
    height, width = shape
    (ax, ay), (bx, by), (cx, cy) = (xy[triangles[:, i]].T for i in range(3))
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    near = np.minimum(np.minimum(depth[triangles[:, 0]], depth[triangles[:, 1]]), depth[triangles[:, 2]])
    faces = np.flatnonzero((area < -1e-6) & (near > _NEAREST))
    area, triangles = area[faces], triangles[faces]
    ax, ay, bx, by, cx, cy = (values[faces] for values in (ax, ay, bx, by, cx, cy))
    left = np.maximum(np.ceil(np.minimum(np.minimum(ax, bx), cx) - 0.5), 0).astype(np.int64)
    right = np.minimum(np.floor(np.maximum(np.maximum(ax, bx), cx) - 0.5), width - 1).astype(np.int64)
    top = np.maximum(np.ceil(np.minimum(np.minimum(ay, by), cy) - 0.5), 0).astype(np.int64)
    bottom = np.minimum(np.floor(np.maximum(np.maximum(ay, by), cy) - 0.5), height - 1).astype(np.int64)
    size = np.maximum(right - left, bottom - top) + 1
    seen = (right >= left) & (bottom >= top)
    corners = np.stack([ax, ay, bx, by, cx, cy], axis=1).reshape(-1, 3, 2)
    done = 0
    for limit in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1024, 2048):
        group = np.flatnonzero(seen & (size > done) & (size <= limit))
        done = limit
        chunk = max(1, 400_000 // (limit * limit))
        for start in range(0, len(group), chunk):
            part = group[start : start + chunk]
            _draw_group(buffer, width, corners[part], depth[triangles[part]], area[part],
                        (left[part], right[part], top[part], bottom[part]), faces[part], limit)  # fmt: skip


def _draw_group(
    buffer: Indices, width: int, corners: Floats, depth: Floats, area: Floats,
    bounds: tuple[Indices, Indices, Indices, Indices], faces: Indices, size: int,
) -> None:  # fmt: skip
    left, right, top, bottom = bounds
    step = np.arange(size, dtype=np.int64)
    ix, iy = left[:, None] + step, top[:, None] + step
    px = (ix + 0.5).astype(np.float32)
    py = (iy + 0.5).astype(np.float32)
    inside = ((ix <= right[:, None])[:, None, :]) & ((iy <= bottom[:, None])[:, :, None])
    edges = []
    for i in range(3):
        a, b = corners[:, (i + 1) % 3], corners[:, (i + 2) % 3]
        dx, dy = (b - a).T / area
        edge = (dx[:, None] * (py - a[:, 1:2]))[:, :, None] - (dy[:, None] * (px - a[:, 0:1]))[:, None, :]
        inside &= edge >= 0
        edges.append(edge.reshape(-1))
    cell = np.flatnonzero(inside)
    which, within = np.divmod(cell, size * size)
    row, column = np.divmod(within, size)
    z = sum(edge[cell] * depth[which, i] for i, edge in enumerate(edges))
    key = ((z * _STEPS).astype(np.int64) << _FACE_BITS) | faces[which]
    np.minimum.at(buffer, (top[which] + row) * width + left[which] + column, key)


def freeze(buffer: Indices) -> Indices:
    """The buffer with all faces renumbered STATIC: scenery that later drawing can pass in front of or behind."""
    return np.where(buffer == EMPTY, EMPTY, buffer | _FACE)


def hits(buffer: Indices, width: int, xy: Floats, triangles: Indices) -> Hits:
    """Where a face other than the scenery is seen, with its barycentric weights there."""
    face = buffer & _FACE
    pixel = np.flatnonzero((face != STATIC) & (buffer != EMPTY))
    face = face[pixel]
    corners = xy[triangles[face]]
    px, py = (pixel % width + 0.5).astype(np.float32), (pixel // width + 0.5).astype(np.float32)
    (ax, ay), (bx, by), (cx, cy) = (corners[:, i].T for i in range(3))
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    w0 = ((cx - bx) * (py - by) - (cy - by) * (px - bx)) / area
    w1 = ((ax - cx) * (py - cy) - (ay - cy) * (px - cx)) / area
    weights = np.stack([w0, w1, 1 - w0 - w1], axis=1).astype(np.float32)
    return Hits(pixel, face, weights, depths(buffer[pixel]))


def depths(buffer: Indices) -> Floats:
    """Depth of every drawn pixel; infinity where nothing is drawn."""
    steps = (buffer >> _FACE_BITS).astype(np.float64) / _STEPS
    return np.where(buffer == EMPTY, np.inf, steps).astype(np.float32)


def interpolate(found: Hits, triangles: Indices, table: Floats) -> Floats:
    """Vertex attributes (V, C) at the covered pixels: (N, C)."""
    corner = triangles[found.face]
    out = table[corner[:, 0]] * found.weights[:, 0:1]
    out += table[corner[:, 1]] * found.weights[:, 1:2]
    out += table[corner[:, 2]] * found.weights[:, 2:3]
    return np.asarray(out, np.float32)


def join(*meshes: Mesh) -> Mesh:
    """Several meshes as one; the clothes are the first one's."""
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, starts, strict=False)]),
        np.concatenate([mesh.attributes for mesh in meshes]),
        meshes[0].palette,
    )
