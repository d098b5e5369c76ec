"""One athlete as a skinned mesh with clothes, skin, face and muscle regions; built once, posed per frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from repset.sample import anatomy
from repset.sample.geometry import Array
from repset.sample.identity import ATHLETES, RGB, Identity
from repset.sample.mesh import Shape, Surface, bone_weights, build
from repset.sample.paint import Wear, dress, muscle_regions, paint_face
from repset.sample.skeleton import BONE, BONES, Frame, Solved

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

MUSCLES = ("biceps", "triceps", "calf")
CHANNELS: dict[str, int] = {"cover": 3, "layer": 4, "accent": 5, "shade": 6, "open": 10, "gloss": 11}
RGB_OF, MUSCLE_OF = slice(0, 3), slice(7, 10)
"""Columns of a vertex's attributes, interpolated over each face: skin or object colour (RGB_OF), the cloth fields
and folds of `paint.Wear`, signed muscle regions (MUSCLE_OF, > 0: inside), openness to ambient light, gloss."""
WIDTH = 12
_SOCK: RGB = (0.86, 0.86, 0.85)
_SOLE: RGB = (0.80, 0.80, 0.79)


@dataclass(frozen=True)
class Mesh:
    """What is drawn, in float32: vertices (V, 3), normals (V, 3, nearly unit), triangles (F, 3), attributes;
    palette (3, 3): colours of top, bottom and accent."""

    vertices: Floats
    normals: Floats
    triangles: Indices
    attributes: Floats
    palette: Floats = field(default_factory=lambda: np.zeros((3, 3), np.float32))


@dataclass(frozen=True)
class _Part:
    surface: Surface
    attributes: Array


def triangles_of(quads: Indices) -> Indices:
    """Two triangles a quad, same winding."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def attributes_of(count: int, rgb: RGB | Array, open_: Array | float = 1.0, gloss: float = 0.2) -> Array:
    """Attributes of plain, unclothed, muscle-less vertices."""
    table = np.zeros((count, WIDTH))
    table[:, RGB_OF], table[:, MUSCLE_OF] = rgb, -1
    table[:, CHANNELS["cover"]] = table[:, CHANNELS["accent"]] = -1
    table[:, CHANNELS["open"]], table[:, CHANNELS["gloss"]] = open_, gloss
    return table


class Athlete:
    """The mesh of one identity at rest.

    Args:
        who: the identity.
        cell: grid of the body mesh in body units (0.012 = 12 mm on an average adult).
    """

    def __init__(self, who: Identity, cell: float = 0.0125) -> None:
        self.who, self.frame = who, Frame.of(who)
        body = self._body(cell)
        head = self._head()
        fixed = [body, head, *self._hair()]
        counts = np.cumsum([0] + [len(part.surface.vertices) for part in fixed])
        self._rest = np.concatenate([part.surface.vertices for part in fixed]).astype(np.float32)
        self._normals = np.concatenate([part.surface.normals for part in fixed]).astype(np.float32)
        quads = [part.surface.quads + start for part, start in zip(fixed, counts, strict=False)]
        self._quads = np.concatenate(quads)
        self._hands = {
            (side, kind): self._hand(shapes, sign)
            for side, sign in (("left", 1.0), ("right", -1.0))
            for kind, shapes in (("fist", anatomy.fist_shapes), ("flat", anatomy.flat_shapes))
        }
        self.parts = fixed

    def _body(self, cell: float) -> _Part:
        shapes = anatomy.body_shapes(self.who, self.frame)
        surface = build(shapes, cell, 0.011)
        weights = bone_weights(surface.vertices, shapes, 0.013, BONES)
        wear = dress(self.who, self.frame, surface, weights)
        attributes = attributes_of(len(surface.vertices), wear.skin, surface.open, 0.22)
        for name, values in (
            ("cover", wear.cover),
            ("layer", wear.layer),
            ("accent", wear.accent),
            ("shade", wear.shade),
        ):
            attributes[:, CHANNELS[name]] = values
        attributes[:, MUSCLE_OF] = muscle_regions(self.frame, surface.vertices, weights)
        attributes[:, CHANNELS["gloss"]] = np.where(wear.cover > 0, 0.04, 0.22)
        self._weights = [weights]
        moved = Surface(surface.vertices + surface.normals * wear.lift[:, None], surface.normals, surface.quads,
                        surface.open)  # fmt: skip
        self.wear: Wear = wear
        return _Part(moved, attributes)

    def _head(self) -> _Part:
        shapes = anatomy.head_shapes(self.who, self.frame)
        surface = build(shapes, 0.0052, 0.006)
        self._weights.append(bone_weights(surface.vertices, shapes, 0.012, BONES))
        rgb = paint_face(self.who, self.frame, surface)
        attributes = attributes_of(len(rgb), rgb, surface.open, 0.22)
        return _Part(surface, attributes)

    def _hair(self) -> list[_Part]:
        shapes = anatomy.hair_shapes(self.who, self.frame)
        if not shapes:
            return []
        surface = build(shapes, 0.0085, 0.010)
        x, y, z = surface.vertices.T
        strands = np.sin(x * 330 + 4 * np.sin(z * 60)) * np.sin(z * 250 + y * 90)
        tone = 1 + (0.30 if self.who.hair == "afro" else 0.22) * strands
        attributes = attributes_of(
            len(x), np.clip(np.array(self.who.hair_rgb) * tone[:, None], 0, 1), surface.open, 0.18
        )
        weights = np.zeros((len(x), len(BONES)))
        weights[:, BONE["head"]] = 1
        self._weights.append(weights)
        lifted = surface.vertices + surface.normals * (0.004 * strands)[:, None]
        part = Surface(lifted, surface.normals, surface.quads, surface.open)
        return [_Part(part, attributes)]

    def _hand(self, shapes: Callable[[float], list[Shape]], sign: float) -> _Part:
        surface = build(shapes(sign), 0.0085, 0.004)
        y = surface.vertices[:, 1]
        rgb = (
            np.array(self.who.skin) * (1 - 0.10 * np.clip((y - 0.06) / 0.06, 0, 1))[:, None] * np.array([1, 0.97, 0.96])
        )
        return _Part(surface, attributes_of(len(rgb), rgb, surface.open, 0.15))

    @property
    def skin_weights(self) -> Floats:
        """(V, B) of the skinned part."""
        return np.concatenate(self._weights).astype(np.float32)

    def dressed(self, outfit: int) -> "Dressed":
        """The athlete in one of the identity's outfits."""
        return Dressed(self, outfit)


class Dressed:
    """An athlete in an outfit, ready to be posed."""

    def __init__(self, athlete: Athlete, outfit: int) -> None:
        self.athlete = athlete
        top, bottom, accent, shoe = athlete.who.outfits[outfit % len(athlete.who.outfits)]
        self._palette = np.array([top, bottom, accent], np.float32)
        body, *others = (part.attributes for part in athlete.parts)
        painted = body.copy()
        foot = athlete.wear.foot[:, None]
        for number, rgb in ((1, shoe), (2, _SOCK), (3, _SOLE)):
            painted[:, RGB_OF] = np.where(foot == number, rgb, painted[:, RGB_OF])
        self._fixed = np.concatenate([painted, *others]).astype(np.float32)
        self._weights = athlete.skin_weights
        self._cache: dict[tuple[str, str], tuple[Indices, Floats]] = {}

    def pose(self, solved: Solved, transforms: Array, frame: int, flex: Sequence[float]) -> Mesh:
        """The mesh at one frame.

        Args:
            transforms: `solved.transforms()`, computed once per clip.
            flex: how far biceps, triceps and calf bulge, 0..1 each.
        """
        a = self.athlete
        count = len(a._rest)
        rest = a._rest
        if any(flex):
            region = np.clip(self._fixed[:, MUSCLE_OF], 0, 1) @ np.array(flex, np.float32)
            rest = rest + a._normals * (0.009 * region)[:, None]
        blend = (self._weights @ transforms[frame].reshape(len(BONES), 12).astype(np.float32)).reshape(count, 3, 4)
        vertices = np.einsum("vij,vj->vi", blend[:, :, :3], rest) + blend[:, :, 3]
        normals = np.einsum("vij,vj->vi", blend[:, :, :3], a._normals)
        meshes, bends, start = [vertices], [normals], count
        for side in ("left", "right"):
            kind, turn = solved.hands[side]
            hand = a._hands[side, kind].surface
            at = solved.origin[frame, BONE[f"hand_{side}"]]
            meshes.append((hand.vertices @ turn[frame].T + at).astype(np.float32))
            bends.append((hand.normals @ turn[frame].T).astype(np.float32))
            start += len(hand.vertices)
        triangles, attributes = self._topology(solved.hands["left"][0], solved.hands["right"][0])
        return Mesh(np.concatenate(meshes), np.concatenate(bends), triangles, attributes, self._palette)

    def _topology(self, left: str, right: str) -> tuple[Indices, Floats]:
        if (left, right) not in self._cache:
            a = self.athlete
            hands = [a._hands["left", left], a._hands["right", right]]
            first = len(a._rest)
            second = first + len(hands[0].surface.vertices)
            quads = np.concatenate([a._quads, hands[0].surface.quads + first, hands[1].surface.quads + second])
            table = np.concatenate([self._fixed, *(hand.attributes.astype(np.float32) for hand in hands)])
            self._cache[left, right] = triangles_of(quads), table
        return self._cache[left, right]


@lru_cache(maxsize=3)
def athlete(number: int, bare: bool = False) -> Athlete:
    """The athlete at a position of `ATHLETES`, built on first use; `bare` in a sleeveless top and shorts."""
    who = ATHLETES[number]
    if bare:
        who = replace(who, sleeve=0.0, trousers=min(who.trousers, 0.72))
    return Athlete(who)
