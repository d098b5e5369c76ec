"""The gym behind the athlete: floor and wall textures seen in perspective, and furniture out of focus."""

import cv2
import numpy as np
import numpy.typing as npt

from repset.sample.geometry import Array, unit, vec
from repset.sample.raster import Camera

Floats = npt.NDArray[np.float32]

_WALLS = (
    (0.86, 0.84, 0.80),
    (0.70, 0.76, 0.80),
    (0.80, 0.74, 0.66),
    (0.62, 0.64, 0.68),
    (0.74, 0.80, 0.74),
    (0.36, 0.38, 0.42),
)
_ACCENTS = ((0.75, 0.20, 0.16), (0.13, 0.32, 0.56), (0.90, 0.62, 0.16), (0.18, 0.46, 0.38), (0.24, 0.24, 0.27))
_DEPTH, _HALF_WIDTH, _HEIGHT = 1.5, 8.0, 4.2


def draw_room(view: Camera, rng: np.random.Generator, scale: int) -> Floats:
    """Background of a view: (H, W, 3) linear BGR at `scale` times the view's size."""
    forward = unit(view.axes[2] * np.array([1.0, 0.0, 1.0]))
    right = np.cross(forward, vec(0, 1, 0))
    back = forward * rng.uniform(1.7, 2.8)
    floor_texture, wall_texture = _floor(rng), _wall(rng)
    near = -forward * 4.0
    edge = right * _HALF_WIDTH
    floor = _project(view, scale, floor_texture, (back - edge, back + edge, near + edge, near - edge))
    top = vec(0, _HEIGHT, 0)
    wall = _project(view, scale, wall_texture, (back - edge + top, back + edge + top, back + edge, back - edge))
    image = np.empty_like(floor)
    image[:] = floor_texture.mean((0, 1))
    for layer in (floor, wall):
        seen = layer.sum(2) > 0
        image[seen] = layer[seen]
    _furnish(view, scale, rng, image, back, right, forward)
    _falloff(image, rng)
    return np.ascontiguousarray(cv2.GaussianBlur(image, (0, 0), scale * rng.uniform(0.6, 1.4))[..., ::-1])


def _project(view: Camera, scale: int, texture: Floats, corners: tuple[Array, Array, Array, Array]) -> Floats:
    """A textured rectangle in the room; the near edge may lie behind the camera."""
    height, width = texture.shape[:2]
    origin, along, down = ((corner - view.position) @ view.axes.T for corner in (corners[0], corners[1], corners[3]))
    plane = np.stack([(along - origin) / width, (down - origin) / height, origin], axis=1)
    lens = np.array(
        [
            [view.focal_px * scale, 0, view.centre_px[0] * scale],
            [0, view.focal_px * scale, view.centre_px[1] * scale],
            [0, 0, 1],
        ]
    )
    homography = lens @ plane
    size = (view.width * scale, view.height * scale)
    warped = cv2.warpPerspective(texture, homography, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    # A plane that passes behind the camera would come back mirrored above the horizon: keep what is ahead.
    inverse = np.linalg.inv(homography)
    x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    w = inverse[2, 0] * x + inverse[2, 1] * y + inverse[2, 2]
    warped[w <= 0] = 0
    return np.asarray(warped, np.float32)


def _smooth_noise(rng: np.random.Generator, height: int, width: int, cells: int) -> Floats:
    coarse = rng.random((max(2, height // cells), max(2, width // cells))).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None], np.float32)


def _floor(rng: np.random.Generator) -> Floats:
    """Rubber tiles, planks, concrete or turf; (rows towards the camera, columns across)."""
    height, width = 560, 1280
    kind = int(rng.integers(4))
    if kind == 0:
        floor = np.full((height, width, 3), rng.uniform(0.17, 0.32), np.float32)
        floor += 0.04 * rng.random((height, width, 1), np.float32)
        speckle = rng.random((height, width)) > 0.985
        floor[speckle] += rng.uniform(0.08, 0.25, 3)
        floor[::80] *= 0.6
        floor[:, ::80] *= 0.6
    elif kind == 1:
        base = np.array([0.66, 0.48, 0.31]) * rng.uniform(0.75, 1.1)
        planks = rng.uniform(0.82, 1.12, width // 20).repeat(20)[None, :, None]
        floor = (base * planks * (0.88 + 0.24 * _smooth_noise(rng, height, width, 90))).astype(np.float32)
        floor[:, ::20] *= 0.72
    elif kind == 2:
        floor = (rng.uniform(0.42, 0.62) * (0.85 + 0.3 * _smooth_noise(rng, height, width, 40)) * np.ones(3)).astype(
            np.float32
        )
        floor[::140] *= 0.85
        floor[:, ::140] *= 0.85
    else:
        base = np.array([0.16, 0.36, 0.20]) if rng.random() < 0.5 else np.array([0.16, 0.25, 0.40])
        floor = (base * (0.8 + 0.4 * rng.random((height, width, 1)))).astype(np.float32)
        floor[:, 200::360] = 0.82
        floor[:, 204::360] = 0.82
    return np.asarray(np.clip(floor * rng.uniform(0.9, 1.1), 0, 1), np.float32)


def _wall(rng: np.random.Generator) -> Floats:
    """Paint, brick or panels with a skirting, and windows, mirrors or posters."""
    height, width = 480, 1800
    base = np.array(_WALLS[int(rng.integers(len(_WALLS)))])
    accent = np.array(_ACCENTS[int(rng.integers(len(_ACCENTS)))])
    wall = (base * (0.94 + 0.12 * _smooth_noise(rng, height, width, 60))).astype(np.float32)
    kind = int(rng.integers(4))
    if kind == 0:
        for row, y in enumerate(range(0, height, 20)):
            wall[y : y + 2] *= 0.78
            for x in range(22 * (row % 2), width, 44):
                wall[y : y + 20, x : x + 2] *= 0.78
        wall *= (
            0.94
            + 0.12 * rng.random((height // 20 + 1, width // 44 + 1)).repeat(20, 0).repeat(44, 1)[:height, :width, None]
        )
    elif kind == 1:
        wall[int(height * 0.62) :] = accent * rng.uniform(0.7, 1.0)
    elif kind == 2:
        wall[int(height * 0.55) : int(height * 0.60)] = accent
        wall[int(height * 0.615) : int(height * 0.63)] = accent * 0.7
    x = int(rng.integers(0, 120))
    while x < width - 220:
        x = _hang(rng, wall, x, accent)
    wall[int(height * 0.965) :] *= 0.55
    wall *= np.linspace(1.04, 0.88, height, dtype=np.float32)[:, None, None]
    return np.asarray(np.clip(wall, 0, 1), np.float32)


def _hang(rng: np.random.Generator, wall: Floats, x: int, accent: Array) -> int:
    """Put a window, mirror, poster or nothing at column x; returns the next free column."""
    kind, wide, high = int(rng.integers(5)), int(rng.integers(90, 210)), int(rng.integers(90, 190))
    y = int(rng.integers(90, 250))
    spot = wall[y : y + high, x : x + wide]
    if kind == 0:
        glow = np.linspace(1.0, 0.8, spot.shape[0], dtype=np.float32)[:, None, None]
        spot[:] = glow * np.array([0.86, 0.94, 1.0], np.float32)
        spot[:, :: max(30, wide // 3)] = 0.35
        spot[:: max(40, high // 2)] = 0.35
    elif kind == 1:
        tall = wall[110:440, x : x + wide]
        tall[:] = tall * 0.35 + np.linspace(0.62, 0.38, tall.shape[0], dtype=np.float32)[:, None, None] * np.array(
            [0.92, 0.98, 1.0]
        )
        tall[:4] = tall[-4:] = 0.25
        tall[:, :4] = tall[:, -4:] = 0.25
    elif kind == 2:
        spot[:] = accent * 0.9
        centre = (spot.shape[1] // 2, spot.shape[0] // 2)
        cv2.circle(
            wall,
            (x + centre[0], y + centre[1]),
            min(wide, high) // 4,
            tuple((1 - accent * 0.6).tolist()),
            -1,
            cv2.LINE_AA,
        )
        spot[-16:-10, 12:-12] = 0.92
    return x + wide + int(rng.integers(30, 260))


def _furnish(
    view: Camera, scale: int, rng: np.random.Generator, image: Floats, back: Array, right: Array, forward: Array
) -> None:
    """Boxes, racks with dumbbells, balls and lockers along the wall."""
    x = -4.2
    while x < 4.2:
        kind, wide = int(rng.integers(6)), float(rng.uniform(0.35, 0.8))
        at = back + right * (x + wide / 2) - forward * float(rng.uniform(0.2, 0.45))
        rgb = np.array(_ACCENTS[int(rng.integers(len(_ACCENTS)))]) * rng.uniform(0.6, 1.0)
        if kind == 0:
            _slab(view, scale, image, at, right * wide, forward * 0.4, float(rng.choice([0.4, 0.6])), rgb)
        elif kind == 1:
            _slab(view, scale, image, at, right * wide, forward * 0.35, 0.05, np.array([0.2, 0.2, 0.22]), 0.42)
            _slab(view, scale, image, at, right * wide, forward * 0.35, 0.05, np.array([0.2, 0.2, 0.22]), 0.80)
            for level in (0.52, 0.90):
                for k in np.linspace(-0.4, 0.4, 5):
                    _disc(
                        view,
                        scale,
                        image,
                        at + right * wide * k + vec(0, level, 0),
                        0.055,
                        np.array([0.10, 0.10, 0.11]),
                    )
        elif kind == 2:
            _disc(view, scale, image, at + vec(0, 0.32, 0), 0.32, rgb)
        elif kind == 3:
            _slab(view, scale, image, at, right * 0.5, forward * 0.35, 1.7, rgb * 0.8 + 0.1)
        x += wide + float(rng.uniform(0.3, 1.6))


def _slab(
    view: Camera,
    scale: int,
    image: Floats,
    at: Array,
    across: Array,
    deep: Array,
    height: float,
    rgb: Array,
    base: float = 0.0,
) -> None:
    low, high = vec(0, base, 0), vec(0, base + height, 0)
    front = [at - across / 2 - deep / 2, at + across / 2 - deep / 2]
    rear = [at + across / 2 + deep / 2, at - across / 2 + deep / 2]
    sides = [(front[0], rear[1]), (front[1], rear[0])]
    for a, b in sides:
        _fill(view, scale, image, [a + low, b + low, b + high, a + high], rgb * 0.6)
    _fill(view, scale, image, [front[0] + high, front[1] + high, rear[0] + high, rear[1] + high], rgb * 1.15)
    _fill(view, scale, image, [front[0] + low, front[1] + low, front[1] + high, front[0] + high], rgb * 0.85)


def _fill(view: Camera, scale: int, image: Floats, corners: list[Array], rgb: Array) -> None:
    xy, depth = view.project(np.stack(corners))
    if depth.min() > 0.2:
        points = np.round(np.clip(xy, -4000, 4000) * scale * 8).astype(np.int32)
        cv2.fillConvexPoly(image, points, tuple(np.clip(rgb, 0, 1).tolist()), cv2.LINE_AA, 3)


def _disc(view: Camera, scale: int, image: Floats, at: Array, radius: float, rgb: Array) -> None:
    xy, depth = view.project(at)
    if depth > 0.2:
        size = view.focal_px * radius / float(depth) * scale
        for shrink, tone in ((1.0, 0.75), (0.8, 0.95), (0.5, 1.1)):
            centre = np.round((xy * scale - (1 - shrink) * 0.35 * size) * 8).astype(int)
            cv2.circle(
                image,
                (int(centre[0]), int(centre[1])),
                round(size * shrink * 8),
                tuple(np.clip(rgb * tone, 0, 1).tolist()),
                -1,
                cv2.LINE_AA,
                3,
            )


def _falloff(image: Floats, rng: np.random.Generator) -> None:
    """Uneven light over the picture."""
    height, width = image.shape[:2]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    centre = float(rng.uniform(-0.5, 0.5))
    image *= (1.08 - 0.16 * ((x - centre) ** 2 + 0.5 * y**2))[..., None]
