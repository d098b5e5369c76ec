"""Equipment: dumbbells, bars, rack, bench, mat, rope, racket, and the furniture of the room."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from repset.sample.athlete import Indices, Mesh, attributes_of, triangles_of
from repset.sample.geometry import Array, dot, unit, vec
from repset.sample.identity import RGB
from repset.sample.motions import BAR_HEIGHT, BENCH_HEIGHT
from repset.sample.skeleton import BONE, Solved

STEEL: RGB = (0.58, 0.58, 0.61)
IRON: RGB = (0.13, 0.13, 0.14)
RUBBER: RGB = (0.07, 0.07, 0.08)
PLATES: tuple[RGB, ...] = ((0.12, 0.12, 0.13), (0.66, 0.12, 0.12), (0.12, 0.26, 0.58), (0.80, 0.64, 0.14))
MATS: tuple[RGB, ...] = ((0.15, 0.30, 0.55), (0.38, 0.20, 0.46), (0.16, 0.44, 0.34), (0.22, 0.22, 0.24))


def _mesh(vertices: Array, normals: Array, quads: Indices, rgb: RGB | Array, gloss: float) -> Mesh:
    """A mesh whose quads are turned so that they face along their normals."""
    corner = vertices[quads]
    facing = dot(np.cross(corner[:, 2] - corner[:, 0], corner[:, 3] - corner[:, 1]), normals[quads].sum(axis=1))
    quads = np.where((facing < 0)[:, None], quads[:, ::-1], quads)
    table = attributes_of(len(vertices), rgb, 1.0, gloss)
    return Mesh(vertices.astype(np.float32), normals.astype(np.float32), triangles_of(quads), table.astype(np.float32))


def tube(
    a: Array, b: Array, radius: float, rgb: RGB, sides: int = 10, parts: int = 1, gloss: float = 0.35
) -> list[Mesh]:
    """A closed cylinder from a to b, cut into `parts` along its length."""
    axis = unit(b - a)
    u = unit(np.cross(axis, vec(0.31, 0.87, 0.24)))
    w = np.cross(axis, u)
    turn = 2 * np.pi * np.arange(sides) / sides
    ring = u * np.cos(turn)[:, None] + w * np.sin(turn)[:, None]
    steps = np.linspace(0, 1, parts + 1)
    vertices = np.concatenate([a + (b - a) * t + radius * ring for t in steps])
    meshes = [_mesh(vertices, np.tile(ring, (parts + 1, 1)), _bands(sides, parts), rgb, gloss)]
    for end, sign in ((a, -1.0), (b, 1.0)):
        meshes.append(_disc(end, radius * ring, sign * axis, rgb, gloss))
    return meshes


def _disc(centre: Array, spokes: Array, normal: Array, rgb: RGB, gloss: float) -> Mesh:
    """A flat disc in rings: small faces are drawn much faster than long ones."""
    sides, rings = len(spokes), max(1, len(spokes) // 6)
    steps = np.linspace(0, 1, rings + 1)
    vertices = np.concatenate([centre + spokes * t for t in steps])
    quads = _bands(sides, rings)
    normals = np.repeat(normal[None], len(vertices), 0)
    return _mesh(vertices, normals, quads, rgb, gloss)


def _bands(sides: int, parts: int) -> Indices:
    """Quads between `parts` + 1 closed rings of `sides` vertices each."""
    k = np.arange(sides)
    after = (k + 1) % sides
    bands = [
        np.stack([k + i * sides, after + i * sides, after + (i + 1) * sides, k + (i + 1) * sides], 1)
        for i in range(parts)
    ]
    return np.concatenate(bands)


def box(
    centre: Array, size: Array, rgb: RGB, turn: Array | None = None, parts: int = 1, gloss: float = 0.1
) -> list[Mesh]:
    """A box with its faces cut into parts x parts quads."""
    turn = np.eye(3) if turn is None else turn
    grid = np.linspace(-0.5, 0.5, parts + 1)
    meshes = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            points = np.zeros(((parts + 1) ** 2, 3))
            points[:, axis] = 0.5 * sign
            points[:, u], points[:, v] = np.repeat(grid, parts + 1), np.tile(grid, parts + 1)
            normal = np.zeros(3)
            normal[axis] = sign
            i = (np.arange(parts)[:, None] * (parts + 1) + np.arange(parts)).ravel()
            quads = np.stack([i, i + 1, i + parts + 2, i + parts + 1], 1)
            normals = np.repeat((turn @ normal)[None], len(points), 0)
            meshes.append(_mesh(points * size @ turn.T + centre, normals, quads, rgb, gloss))
    return meshes


def dumbbell(centre: Array, axis: Array, big: float, rgb: RGB = IRON) -> list[Mesh]:
    """Handle and two heads; `big` scales the heads."""
    meshes = tube(centre - axis * 0.08, centre + axis * 0.08, 0.015, STEEL, 8)
    for sign in (-1.0, 1.0):
        head = tube(
            centre + axis * sign * 0.065, centre + axis * sign * (0.115 + 0.03 * big), 0.042 + 0.015 * big, rgb, 12
        )
        meshes += head
    return meshes


def barbell(centre: Array, axis: Array, half: float, load: float) -> list[Mesh]:
    """A bar of 2 x `half` with a plate or two on each side."""
    meshes = tube(centre - axis * half, centre + axis * half, 0.014, STEEL, 8, 12)
    rgb = PLATES[int(load * 3.99)]
    radius = 0.15 + 0.07 * load
    for sign in (-1.0, 1.0):
        inner = half - 0.16
        meshes += tube(centre + axis * sign * inner, centre + axis * sign * (inner + 0.035), radius, rgb, 24, gloss=0.2)
        meshes += tube(
            centre + axis * sign * (inner + 0.04), centre + axis * sign * (inner + 0.065), radius * 0.7, IRON, 20
        )
    return meshes


Moving = Callable[[Solved, int, dict[str, float]], list[Mesh]]


def held(names: tuple[str, ...], solved: Solved, frame: int, style: dict[str, float]) -> list[Mesh]:
    """The equipment in the hands at one frame."""
    return [part for name in names if name in MOVING for part in MOVING[name](solved, frame, style)]


def _pair(axis: Array | None) -> Moving:
    def build(solved: Solved, frame: int, style: dict[str, float]) -> list[Mesh]:
        if axis is not None and solved.hands["left"][0] != "fist":
            return []
        meshes = []
        for side in ("left", "right"):
            centre, along = solved.grip(side)
            meshes += dumbbell(centre[frame], along[frame] if axis is None else axis, style["load"])
        return meshes

    return build


def _loaded_lunge(solved: Solved, frame: int, style: dict[str, float]) -> list[Mesh]:
    return [] if style["variant"] < 0.4 else _pair(vec(0, 0, 1))(solved, frame, style)


def _row(solved: Solved, frame: int, style: dict[str, float]) -> list[Mesh]:
    return _pair(vec(0, 0, 1))(solved, frame, style)


def _shared(solved: Solved, frame: int, style: dict[str, float]) -> list[Mesh]:
    grips = [solved.grip(side)[0][frame] for side in ("left", "right")]
    forearms = [
        solved.origin[frame, BONE[f"hand_{s}"]] - solved.origin[frame, BONE[f"farm_{s}"]] for s in ("left", "right")
    ]
    return dumbbell((grips[0] + grips[1]) / 2, unit(unit(forearms[0]) + unit(forearms[1])), 0.6 + 0.6 * style["load"])


def _barbell_hands(solved: Solved, frame: int, style: dict[str, float]) -> list[Mesh]:
    left, right = (solved.grip(side)[0][frame] for side in ("left", "right"))
    return barbell((left + right) / 2, unit(left - right), 0.80, style["load"])


def _barbell_back(solved: Solved, frame: int, style: dict[str, float]) -> list[Mesh]:
    return [] if style["variant"] < 0.65 else _barbell_hands(solved, frame, style)


def _rope(solved: Solved, frame: int, style: dict[str, float]) -> list[Mesh]:
    """A rope that passes under the feet in the middle of every hop: its angle follows the height of the feet."""
    left, right = (solved.grip(side)[0][frame] for side in ("left", "right"))
    feet = solved.origin[:, BONE["foot_left"], 1]
    lift = feet - feet.min()
    beat = np.flatnonzero((lift > 0.02) & (lift >= np.roll(lift, 1)) & (lift > np.roll(lift, -1)))
    turn = np.interp(frame, beat, np.arange(len(beat))) if len(beat) > 1 else 0.0
    if len(beat) and frame < beat[0]:
        turn = (frame - beat[0]) / 14
    angle = 2 * np.pi * turn - np.pi / 2
    t = np.linspace(0, np.pi, 23)
    bow = 1.02 * np.sin(t) ** 0.75
    middle, half = (left + right) / 2, (left - right) / 2
    points = middle + half * np.cos(t)[:, None] * (1 + 0.25 * np.sin(t))[:, None]
    points = points + bow[:, None] * vec(0, np.sin(angle), np.cos(angle))
    points[:, 1] = np.maximum(points[:, 1], 0.012)
    meshes = []
    for a, b in pairwise(points):
        meshes += tube(a, b, 0.009, RUBBER, 5)
    return meshes


def _racket(solved: Solved, frame: int, style: dict[str, float]) -> list[Mesh]:
    turn = solved.hands["right"][1][frame]
    hand = solved.grip("right")[0][frame]
    along = unit(turn[:, 1] + 0.6 * turn[:, 2])
    across = turn[:, 0]
    head = hand + along * 0.50
    t = 2 * np.pi * np.arange(17) / 16
    hoop = head + 0.155 * np.sin(t)[:, None] * along + 0.12 * np.cos(t)[:, None] * across
    meshes = tube(hand - along * 0.06, hand + along * 0.35, 0.014, (0.85, 0.20, 0.15), 7, 3)
    for a, b in pairwise(hoop):
        meshes += tube(a, b, 0.011, (0.85, 0.20, 0.15), 5)
    return meshes


MOVING: dict[str, Moving] = {
    "dumbbells": _pair(None),
    "dumbbells_wide": _pair(vec(1, 0, 0)),
    "dumbbells_long": _row,
    "dumbbells_lunge": _loaded_lunge,
    "dumbbell_shared": _shared,
    "barbell_hands": _barbell_hands,
    "barbell": _barbell_hands,
    "barbell_back": _barbell_back,
    "rope": _rope,
    "racket": _racket,
}
"""Equipment that moves with the hands."""


def fixed(names: tuple[str, ...], style: dict[str, float]) -> list[Mesh]:
    """Equipment that stands still: rack, bench, mat."""
    meshes = []
    if "rack" in names:
        z = 0.052
        meshes += tube(vec(-0.75, BAR_HEIGHT, z), vec(0.75, BAR_HEIGHT, z), 0.017, STEEL, 10, 16)
        for x in (-0.75, 0.75):
            meshes += tube(vec(x, 0, z), vec(x, BAR_HEIGHT + 0.08, z), 0.035, IRON, 8, 12)
            meshes += tube(vec(x, 0.03, z - 0.4), vec(x, 0.03, z + 0.4), 0.03, IRON, 8, 4)
    if "bench" in names:
        meshes += box(vec(0, BENCH_HEIGHT - 0.04, -0.35), vec(0.28, 0.08, 1.20), (0.45, 0.09, 0.10), parts=6)
        for z in (-0.80, 0.10):
            meshes += box(vec(0, 0.20, z), vec(0.06, 0.40, 0.06), IRON, parts=3)
            meshes += box(vec(0, 0.02, z), vec(0.40, 0.04, 0.06), IRON, parts=3)
        for x in (-0.46, 0.46):
            meshes += tube(vec(x, 0, -0.72), vec(x, 0.98, -0.72), 0.025, IRON, 8, 8)
    if "mat" in names and style["mat"] < 0.7:
        meshes += box(
            vec(0, 0.0, 0.75 if "push" in names else 0.0),
            vec(0.72, 0.014, 2.1),
            MATS[int(style["arms"] * 3.99)],
            parts=8,
        )
    return meshes
