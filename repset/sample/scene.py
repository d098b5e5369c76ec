"""A room, a camera and a light; one clip of an athlete in it becomes pictures with exact masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from repset.sample import raster, room
from repset.sample.athlete import CHANNELS, MUSCLE_OF, RGB_OF, Mesh
from repset.sample.geometry import Array, unit, vec
from repset.sample.raster import Camera, Hits

Floats = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]


def camera(
    target: Array, azimuth_deg: float, elevation_deg: float, distance: float, fov_deg: float, size: tuple[int, int]
) -> Camera:
    """A camera that looks at `target`; azimuth 0 is ahead of the athlete, 90 at the left hand; size (width, height)."""
    a, e = np.radians(azimuth_deg), np.radians(elevation_deg)
    away = vec(np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e))
    position = target + away * distance
    position[1] = max(position[1], 0.15)
    forward = unit(target - position)
    right = unit(np.cross(forward, vec(0, 1, 0)))
    width, height = size
    focal = 0.5 * max(width, height) / np.tan(np.radians(fov_deg) / 2)
    return Camera(
        position,
        np.stack([right, np.cross(forward, right), forward]),
        float(focal),
        (width / 2, height / 2),
        width,
        height,
    )


def fit_camera(
    points: Array, azimuth_deg: float, elevation_deg: float, fov_deg: float, size: tuple[int, int], margin: float,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Camera:  # fmt: skip
    """The camera that fills the image with the points (N, 3), leaving `margin` of each side (negative: cut off).

    Args:
        shift: where the points' centre goes, as a share of width and height off the image's centre.
    """
    width, height = size
    centre, distance = (points.min(0) + points.max(0)) / 2, 4.0
    for _ in range(8):
        view = camera(centre, azimuth_deg, elevation_deg, distance, fov_deg, size)
        xy, _ = view.project(points)
        span = np.ptp(xy, axis=0) / (np.array([width, height]) * (1 - 2 * margin))
        distance *= float(span.max()) ** 0.9
    view = camera(centre, azimuth_deg, elevation_deg, distance, fov_deg, size)
    xy, _ = view.project(points)
    middle = (xy.min(0) + xy.max(0)) / 2
    at = (width - middle[0] + shift[0] * width, height - middle[1] + shift[1] * height)
    return Camera(view.position, view.axes, view.focal_px, (float(at[0]), float(at[1])), width, height)


@dataclass(frozen=True)
class Picture:
    """One rendered frame.

    Attributes:
        image: (H, W, 3) BGR uint8. person: (H, W) bool. muscles: (H, W) uint8, 0 none, else 1 + index of MUSCLES.
        depth: (H, W) nearest depth in body units, infinity where nothing stands.
    """

    image: Image
    person: npt.NDArray[np.bool_]
    muscles: Image
    depth: Floats


class Scene:
    """Everything of a clip that does not move; `render` adds the athlete."""

    def __init__(self, view: Camera, rng: np.random.Generator, furniture: Sequence[Mesh], supersample: int = 2) -> None:
        self.view, self.scale = view, supersample
        self._size = (view.height * supersample, view.width * supersample)
        self._light = _draw_light(view, rng)
        background = room.draw_room(view, rng, supersample)
        self._buffer = raster.empty_buffer(self._size[1], self._size[0])
        self._backdrop = background
        if furniture:
            mesh = raster.join(*furniture)
            xy, depth = self._project(mesh.vertices)
            raster.draw(self._buffer, self._size, xy, depth, mesh.triangles)
            found = raster.hits(self._buffer, self._size[1], xy, mesh.triangles)
            self._shadow_into(background, mesh.vertices, 0.8)
            background.reshape(-1, 3)[found.pixel] = self._shade(mesh, found)[0]
            self._buffer = raster.freeze(self._buffer)
        self._noise = rng.normal(0, rng.uniform(0.005, 0.016), (view.height + 61, view.width + 61, 1)).astype(
            np.float32
        )
        self._grade = (
            rng.uniform(0.35, 0.6),
            rng.uniform(0.80, 1.0),
            np.array([rng.uniform(0.92, 1.02), rng.uniform(0.97, 1), 1]),
        )

    def render(self, person: Mesh, props: Sequence[Mesh], frame: int, working: Sequence[bool]) -> Picture:
        """Draw one frame.

        Args:
            person: the posed athlete. props: what moves with the hands. frame: chooses the sensor noise.
            working: whether each of MUSCLES works in this frame; only those are marked.
        """
        height, width = self._size
        mesh = raster.join(person, *props)
        xy, depth = self._project(mesh.vertices)
        buffer = self._buffer.copy()
        raster.draw(buffer, self._size, xy, depth, mesh.triangles)
        found = raster.hits(buffer, width, xy, mesh.triangles)
        image = self._backdrop.copy()
        self._shadow_into(image, person.vertices, 1.0)
        own = mesh.triangles[found.face, 0] < len(person.vertices)
        rgb, table = self._shade(mesh, found)
        rgb *= self._occlusion(buffer, found)[:, None]
        image.reshape(-1, 3)[found.pixel] = rgb
        body = np.zeros(height * width, np.float32)
        body[found.pixel[own]] = 1
        muscles = self._muscle_image(found, table, own, working)
        near = raster.depths(buffer).reshape(self._size)[:: self.scale, :: self.scale]
        return Picture(self._develop(image, frame), self._shrink(body) > 0.5, muscles, near)

    def _project(self, vertices: Floats) -> tuple[Floats, Floats]:
        xy, depth = self.view.project(vertices)
        return (xy * self.scale).astype(np.float32), depth.astype(np.float32)

    def _shade(self, mesh: Mesh, found: Hits) -> tuple[Floats, Floats]:
        """Linear colour of the covered pixels, (N, 3) BGR, and their attributes."""
        light = self._light
        geometry = np.concatenate([mesh.normals, mesh.vertices, mesh.attributes], axis=1)
        values = raster.interpolate(found, mesh.triangles, geometry)
        normal = values[:, :3]
        normal = normal / (_length(normal) + 1e-9)
        toward = self.view.position.astype(np.float32) - values[:, 3:6]
        toward /= _length(toward)
        table = values[:, 6:]
        rgb = _surface_colour(table, mesh.palette)
        lambert = normal @ light.key
        wrapped = np.clip((lambert + 0.25) / 1.25, 0, None)
        half = toward + light.key
        half /= _length(half)
        shine = np.clip(np.einsum("ij,ij->i", normal, half), 0, 1) ** 24 * table[:, CHANNELS["gloss"]]
        rim = np.clip(1 - np.einsum("ij,ij->i", normal, toward), 0, 1)
        open_ = table[:, CHANNELS["open"]]
        sky = light.ambient * (0.68 + 0.32 * normal[:, 1]) * (0.35 + 0.65 * open_)
        level = (sky + light.strength * wrapped * (0.6 + 0.4 * open_)) * (1 - 0.25 * rim**2)
        fill = light.fill * np.clip(normal @ light.fill_from, 0, None)
        lit = rgb * (level[:, None] * light.tint + fill[:, None] * light.fill_tint) + 0.5 * shine[:, None]
        return lit[:, ::-1].astype(np.float32), table

    def _occlusion(self, buffer: npt.NDArray[np.int64], found: Hits) -> Floats:
        """Darker where something near stands in front of the surroundings: an unsharp mask of depth."""
        width = self._size[1]
        rows, columns = found.pixel // width, found.pixel % width
        if not len(rows):
            return np.zeros(0, np.float32)
        reach = 10 * self.scale
        top, left = max(int(rows.min()) - reach, 0), max(int(columns.min()) - reach, 0)
        window = np.s_[top : int(rows.max()) + reach, left : int(columns.max()) + reach]
        far = float(found.depth.max()) + 0.15
        depth = np.minimum(raster.depths(buffer.reshape(self._size)[window]), far)
        smooth = cv2.blur(depth, (reach, reach))
        return np.asarray(1 - 0.9 * np.clip(found.depth - smooth[rows - top, columns - left], 0, 0.35), np.float32)

    def _shadow_into(self, image: Floats, vertices: Floats, strength: float) -> None:
        """Soft shadow of the vertices on the floor: along the key light, and straight down for contact."""
        width, height = self.view.width, self.view.height
        points = vertices[::3].astype(np.float64)
        cast = points - self._light.key * (points[:, 1] / self._light.key[1])[:, None]
        low = points[points[:, 1] < 0.35] * np.array([1, 0, 1])
        mask = np.zeros((height, width), np.float32)
        for spots, weight, spread in ((cast, 0.36, 3.0), (low, 0.42, 2.2)):
            layer = np.zeros((height, width), np.float32)
            xy, depth = self.view.project(spots)
            at = np.round(xy[depth > 0.1]).astype(np.int64)
            at = at[(at >= 0).all(1) & (at[:, 0] < width) & (at[:, 1] < height)]
            layer[at[:, 1], at[:, 0]] = 1
            soft = cv2.GaussianBlur(cv2.dilate(layer, np.ones((5, 5), np.uint8)), (0, 0), spread)
            mask = np.maximum(mask, weight * soft).astype(np.float32)
        dark = np.flatnonzero((mask > 1e-3).any(axis=1))
        if len(dark):
            rows = slice(int(dark[0]) * self.scale, (int(dark[-1]) + 1) * self.scale)
            full = cv2.resize(mask, (self._size[1], self._size[0]), interpolation=cv2.INTER_LINEAR)[rows]
            image[rows] *= (1 - strength * full)[..., None]

    def _muscle_image(self, found: Hits, table: Floats, own: npt.NDArray[np.bool_], working: Sequence[bool]) -> Image:
        marks = np.zeros((self.view.height, self.view.width), np.uint8)
        for number, works in enumerate(working):
            if not works:
                continue
            field = table[:, MUSCLE_OF][:, number]
            inside = own & (field > 0) & (table[:, CHANNELS["cover"]] <= 0)
            layer = np.zeros(self._size[0] * self._size[1], np.float32)
            layer[found.pixel[inside]] = 1
            marks[self._shrink(layer) > 0.5] = number + 1
        return marks

    def _shrink(self, flat: Floats) -> Floats:
        size = (self.view.width, self.view.height)
        return np.asarray(cv2.resize(flat.reshape(self._size), size, interpolation=cv2.INTER_AREA), np.float32)

    def _develop(self, image: Floats, frame: int) -> Image:
        """Lens blur, grading, sensor noise, 8 bits."""
        blur, gamma, tint = self._grade
        small = cv2.resize(image, (self.view.width, self.view.height), interpolation=cv2.INTER_AREA)
        small = np.clip(cv2.GaussianBlur(small, (0, 0), blur) * tint, 0, 1).astype(np.float32)
        dy, dx = (37 * frame) % 61, (23 * frame) % 61
        grain = self._noise[dy : dy + self.view.height, dx : dx + self.view.width]
        bright: Image = np.clip((cv2.pow(small, gamma) + grain) * 255, 0, 255).astype(np.uint8)
        return bright


def _surface_colour(table: Floats, palette: Floats) -> Floats:
    """Skin and objects as painted; cloth from the palette, split where its fields change sign: (N, 3)."""
    top, bottom, accent = palette
    layer = np.where(table[:, CHANNELS["layer"], None] > 0, top, bottom)
    cloth = np.where(table[:, CHANNELS["accent"], None] > 0, accent, layer) * table[:, CHANNELS["shade"], None]
    return np.where(table[:, CHANNELS["cover"], None] > 0, cloth, table[:, RGB_OF])


def _length(v: Floats) -> Floats:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", v, v))[:, None], np.float32)


@dataclass(frozen=True)
class _Light:
    key: Floats
    strength: float
    ambient: float
    tint: Floats
    fill: float
    fill_from: Floats
    fill_tint: Floats


def _draw_light(view: Camera, rng: np.random.Generator) -> _Light:
    """Key light from above and the camera's side, a weak coloured fill from the other."""
    toward = unit(-view.axes[2] * np.array([1.0, 0.0, 1.0]))
    right = view.axes[0]
    side = rng.uniform(0.25, 0.9) * (1 if rng.random() < 0.5 else -1)
    key = unit(right * side + vec(0, 1.15, 0) + toward * rng.uniform(0.5, 0.9))
    fill = unit(-right * np.sign(side) + vec(0, 0.1, 0) - toward * 0.4)
    warm = rng.uniform(0.90, 1.0)
    return _Light(
        key.astype(np.float32), float(rng.uniform(0.70, 0.92)), float(rng.uniform(0.48, 0.62)),
        np.array([1.0, 0.5 + 0.5 * warm, warm], np.float32), float(rng.uniform(0.10, 0.26)), fill.astype(np.float32),
        np.array([0.8, 0.9, 1.1], np.float32) if rng.random() < 0.6 else np.array([1.1, 0.9, 0.75], np.float32),
    )  # fmt: skip


def visible(picture: Picture, view: Camera, joints: Array, radius: Array) -> npt.NDArray[np.bool_]:
    """Whether each joint (K, 3) is inside the image and not hidden behind anything but its own flesh (radius, (K,))."""
    xy, depth = view.project(joints)
    column, row = np.floor(xy[:, 0]).astype(int), np.floor(xy[:, 1]).astype(int)
    inside = (column >= 0) & (column < view.width) & (row >= 0) & (row < view.height)
    near = picture.depth[np.clip(row, 0, view.height - 1), np.clip(column, 0, view.width - 1)]
    return np.asarray(inside & (near > depth - radius), np.bool_)


def in_image(view: Camera, xy: Array) -> npt.NDArray[np.bool_]:
    """Whether pixel positions (..., 2) lie inside the image."""
    return np.asarray((xy >= 0).all(-1) & (xy[..., 0] < view.width) & (xy[..., 1] < view.height), np.bool_)
