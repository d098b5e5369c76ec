"""Vectors, rotations and two-bone limbs for whole clips at once: every array has the frames in front.

World axes: x to the athlete's left, y up, z to where the athlete faces; lengths in body units (the rest skeleton of
`repset.sample.skeleton` is 1.755 high), angles in degrees.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def vec(*parts: Array | float) -> Array:
    """Components, each a number or (T,), as vectors of shape (3,) or (T, 3)."""
    return np.stack(np.broadcast_arrays(*(np.asarray(part, np.float64) for part in parts)), axis=-1)


def unit(v: Array) -> Array:
    """Vectors of length 1; a zero vector stays zero."""
    return np.asarray(v / (np.linalg.norm(v, axis=-1, keepdims=True) + 1e-12), np.float64)


def lerp(a: Array | float, b: Array | float, s: Array | float) -> Array:
    """Linear blend: a at s = 0, b at s = 1."""
    return np.asarray(np.asarray(a) + (np.asarray(b) - np.asarray(a)) * s, np.float64)


def dot(a: Array, b: Array) -> Array:
    """Inner products over the last axis."""
    return np.asarray((a * b).sum(axis=-1), np.float64)


def apply(matrix: Array, v: Array) -> Array:
    """Matrices (..., 3, 3) on vectors (..., 3)."""
    return np.asarray((matrix * v[..., None, :]).sum(axis=-1), np.float64)


def rotation(axis: Array, angle_deg: Array | float) -> Array:
    """Right-handed rotation about unit axes (..., 3) by angles (...): shape (..., 3, 3)."""
    axis, angle = np.broadcast_arrays(axis, np.radians(np.asarray(angle_deg, np.float64))[..., None])
    x, y, z, t = axis[..., 0], axis[..., 1], axis[..., 2], angle[..., 0]
    c, s = np.cos(t), np.sin(t)
    rows = [
        [c + x * x * (1 - c), x * y * (1 - c) - z * s, x * z * (1 - c) + y * s],
        [y * x * (1 - c) + z * s, c + y * y * (1 - c), y * z * (1 - c) - x * s],
        [z * x * (1 - c) - y * s, z * y * (1 - c) + x * s, c + z * z * (1 - c)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def rot_x(angle_deg: Array | float) -> Array:
    """Bend forward for positive angles (y towards z)."""
    return rotation(vec(1.0, 0.0, 0.0), angle_deg)


def rot_y(angle_deg: Array | float) -> Array:
    """Turn to the athlete's left for positive angles (z towards x)."""
    return rotation(vec(0.0, 1.0, 0.0), angle_deg)


def rot_z(angle_deg: Array | float) -> Array:
    """Lean to the athlete's right for positive angles (x towards y)."""
    return rotation(vec(0.0, 0.0, 1.0), angle_deg)


def between(a: Array, b: Array) -> Array:
    """The rotation half-way from a to b, shape (..., 3, 3)."""
    relative = np.swapaxes(a, -1, -2) @ b
    trace = np.clip((np.trace(relative, axis1=-2, axis2=-1) - 1) / 2, -1, 1)
    axis = vec(
        relative[..., 2, 1] - relative[..., 1, 2],
        relative[..., 0, 2] - relative[..., 2, 0],
        relative[..., 1, 0] - relative[..., 0, 1],
    )
    return np.asarray(a @ rotation(unit(axis), np.degrees(np.arccos(trace)) / 2), np.float64)


def basis(y: Array, x: Array) -> Array:
    """Rotation whose second column is y and whose first lies nearest to x: shape (..., 3, 3)."""
    y = unit(y)
    x = unit(x - y * dot(x, y)[..., None])
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def chord(upper: float, lower: float, angle_deg: Array | float) -> Array:
    """Distance from root to tip of a two-bone limb whose middle joint has this interior angle."""
    squared = upper**2 + lower**2 - 2 * upper * lower * np.cos(np.radians(np.asarray(angle_deg, np.float64)))
    return np.asarray(np.sqrt(squared), np.float64)


def two_bones(root: Array, target: Array, upper: float, lower: float, pole: Array) -> tuple[Array, Array]:
    """Middle joint and tip of a limb that reaches for `target`, its middle joint towards `pole`.

    A target out of reach is approached along the straight line to it.
    """
    reach = target - root
    length = np.linalg.norm(reach, axis=-1)
    along = reach / (length + 1e-9)[..., None]
    length = np.clip(length, 0.08, (upper + lower) * 0.9995)
    cosine = np.clip((upper**2 + length**2 - lower**2) / (2 * upper * length), -1, 1)
    side = unit(pole - along * dot(pole, along)[..., None])
    middle = root + along * (upper * cosine)[..., None] + side * (upper * np.sqrt(1 - cosine**2))[..., None]
    return np.asarray(middle, np.float64), np.asarray(root + along * length[..., None], np.float64)
