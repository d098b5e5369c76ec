"""Several people in view: whom a clip is about, and whether who turns up next is the same one.

Nothing is learned and no identity is kept: a person is a place, a size and the colours of shirt and trousers, for as
long as one scene lasts. Joints are those of blazepose_33, pixels, y down.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from repset.landmarks import BLAZEPOSE_33
from repset.video import Image

Joints = npt.NDArray[np.float32]
"""(33, C): x, y and further columns of one person in one frame."""
Box = tuple[float, float, float, float]
"""left, top, right, bottom; pixels."""
Rule = Literal["largest", "centre", "tracked"]
RULES: tuple[Rule, ...] = ("largest", "centre", "tracked")
"""largest, centre: whom to begin with; tracked: follow everyone, keep the one seen longest."""
DEFAULT: Rule = "largest"
MAX_PEOPLE = 4

_PLACE_S = 1.0  # for so long a lost person is looked for where they were
_AT_ONCE_S = 0.15  # where everyone is tracked, place alone tells who is who for so long
_NEAR = 0.5  # of the body's diagonal: the same place
_SAME = 0.15  # of the body's diagonal, in one picture: one person found twice
_FAR = 1.5  # of the body's diagonal, within _PLACE_S: nobody moves so
_SIZES = 2.0  # within _PLACE_S a body's box grows or shrinks less than this
_ALIKE = 60.0  # distance of two people's colours (`unlike`) up to which they may be one, wherever they stand
_UNLIKE = 90.0  # from which they are two, even in the same place
# Seen on 20 real clips of one person each: 9 in 10 frames lie within 60 of their clip's mean, 19 in 20 within 90 (a
# trunk seen from the side is narrow, and the points miss it); of two people about half.
_CUT = 32.0  # mean difference of two pictures (0..255) from which they are two scenes

_TORSO = [BLAZEPOSE_33.joints.index(f"{side}_{name}") for name in ("shoulder", "hip") for side in ("left", "right")]
_KNEES = [BLAZEPOSE_33.joints.index(f"{side}_knee") for side in ("left", "right")]


@dataclass(frozen=True)
class Body:
    """Where a person is and what they look like.

    Attributes:
        box_px: left, top, right, bottom of the joints.
        centre_px: middle of the trunk.
        diagonal_px: of the box.
        colour: (6,) median red, green, blue of trunk and thighs; NaN where they lie outside the picture.
    """

    box_px: Box
    centre_px: npt.NDArray[np.float64]
    diagonal_px: float
    colour: npt.NDArray[np.float64]


def body(joints: Joints, rgb: Image | None = None) -> Body:
    """Place and size of one person, and their colours where the RGB picture is given."""
    xy = joints[:, :2].astype(np.float64)
    (left, top), (right, bottom) = xy.min(0).tolist(), xy.max(0).tolist()
    torso = xy[_TORSO]
    colour = np.full(6, np.nan) if rgb is None else _colour(torso, xy, rgb)
    return Body((left, top, right, bottom), torso.mean(0), math.hypot(right - left, bottom - top), colour)


_ACROSS = np.linspace(0.2, 0.8, 5)


def _colour(torso: npt.NDArray[np.float64], xy: npt.NDArray[np.float64], rgb: Image) -> npt.NDArray[np.float64]:
    u, v = (each.reshape(-1, 1) for each in np.meshgrid(_ACROSS, _ACROSS))
    trunk = (1 - v) * ((1 - u) * torso[0] + u * torso[1]) + v * ((1 - u) * torso[2] + u * torso[3])
    thighs = [(1 - t) * torso[2 + side] + t * xy[knee] for side, knee in enumerate(_KNEES) for t in _ACROSS]
    found = []
    for points in (trunk, np.array(thighs)):
        x, y = points.astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < rgb.shape[1]) & (y < rgb.shape[0])
        found.append(np.median(rgb[y[inside], x[inside]], axis=0) if inside.sum() >= 5 else np.full(3, np.nan))
    return np.concatenate(found)


def unlike(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Mean distance of trunk and thigh colours, 0..442; 0 where nothing can be compared."""
    apart = np.linalg.norm((one - other).reshape(2, 3), axis=1)
    return float(apart[np.isfinite(apart)].mean()) if np.isfinite(apart).any() else 0.0


@dataclass
class _Person:
    """Someone of the present scene: as last seen, with the running mean of their colours."""

    last: Body
    seen_s: float
    colour: npt.NDArray[np.float64]

    def update(self, now: Body, time_s: float) -> None:
        known = np.isfinite(now.colour)
        fresh = known & ~np.isfinite(self.colour)
        self.colour[known] += 0.1 * (now.colour - self.colour)[known]
        self.colour[fresh] = now.colour[fresh]
        self.last, self.seen_s = now, time_s

    def near(self, now: Body, limit: float = _NEAR) -> bool:
        """Whether `now` stands where this person was last."""
        size = max(self.last.diagonal_px, now.diagonal_px)
        ratio = size / max(1.0, min(self.last.diagonal_px, now.diagonal_px))
        return ratio < _SIZES and self.distance_px(now) < limit * size

    def distance_px(self, now: Body) -> float:
        """From where this person was last."""
        return float(np.linalg.norm(now.centre_px - self.last.centre_px))

    def may_be(self, now: Body, time_s: float) -> bool:
        """Place and colours within _PLACE_S, colours later."""
        apart = unlike(self.colour, now.colour)
        return apart < _ALIKE if time_s - self.seen_s > _PLACE_S else apart < _UNLIKE and self.near(now)


@dataclass
class Crowd:
    """Who is who in one clip, frame after frame.

    As long as one person alone is ever seen, whoever is found is that person. From the moment that two are in view
    at once, or one turns up where the first cannot have gone, people are told apart.

    Attributes:
        rule: whom to begin with.
        people: the most that were in view at once, or in turn in one scene.
        first: of every person: the box in which, and the time at which, they were first followed.
    """

    rule: Rule
    people: int = 0
    first: list[tuple[Box, float]] = field(default_factory=list)
    _scene: dict[int, _Person] = field(default_factory=dict)
    _scenes: list[int] = field(default_factory=lambda: [0])
    _thumb: Image | None = None
    _current: int = -1
    _size: tuple[int, int] = (0, 0)

    def look(self, rgb: Image) -> bool:
        """See the next picture: a camera cut ends the scene. Returns: whether there was one."""
        rows, columns = max(1, rgb.shape[0] // 18), max(1, rgb.shape[1] // 32)
        thumb = np.ascontiguousarray(rgb[::rows, ::columns])
        cut = self._thumb is not None and cv2.norm(thumb, self._thumb, cv2.NORM_L1) > _CUT * thumb.size
        if cut:
            self._scenes.append(len(self.first))
            self._scene, self._current = {}, -1
        self._thumb, self._size = thumb, (rgb.shape[1], rgb.shape[0])
        return cut

    def choose(self, found: list[Body], time_s: float) -> int | None:
        """Which of the people found is to be followed now; None: the one followed is not among them."""
        self.people = max(self.people, len(found))
        if not found:
            return None
        current = self._scene.get(self._current)
        if current is None:
            return self._best(found)
        if self.people < 2:
            if time_s - current.seen_s > _PLACE_S or current.near(found[0], _FAR):
                return 0
            self.people = 2  # nobody can have gone there: it is someone else
        mine = [k for k, one in enumerate(found) if current.may_be(one, time_s)]
        if mine:
            return min(mine, key=lambda k: current.distance_px(found[k]))
        if time_s - current.seen_s <= _PLACE_S:
            return None
        self._current = -1
        return self._best(found)

    def holds(self, now: Body) -> bool:
        """Whether the person tracked into this frame is still the one followed; asked only with several about."""
        current = self._scene.get(self._current)
        return current is None or (current.near(now, _FAR) and unlike(current.colour, now.colour) < _UNLIKE)

    def alike(self, number: int, now: Body) -> bool:
        """Whether someone of another frame of this scene looks like this person, wherever they stand."""
        return unlike(self._scene[number].colour, now.colour) < _UNLIKE

    def follow(self, now: Body, time_s: float) -> int:
        """Note where the person followed is in this frame. Returns: their number."""
        if self._current < 0:
            self._current = self._known(now, time_s, set())
        self._note(self._current, now, time_s)
        return self._current

    def sort(self, found: list[Body], time_s: float) -> list[int]:
        """The number of everyone found in this frame."""
        self.people = max(self.people, len(found))
        numbers: dict[int, int] = {}
        for k in sorted(range(len(found)), key=lambda k: self._nearest_px(found[k])):
            numbers[k] = self._known(found[k], time_s, set(numbers.values()))
        for k, number in numbers.items():
            self._note(number, found[k], time_s)
        return [numbers[k] for k in range(len(found))]

    def kept(self, frames: Counter[int]) -> set[int]:
        """In every scene the person followed in most frames; everyone where there never were two."""
        if self.people < 2:
            return set(frames)
        ranges = [range(a, b) for a, b in pairwise([*self._scenes, len(self.first)]) if b > a]
        return {max(numbers, key=lambda n: (frames[n], -n)) for numbers in ranges}

    def _best(self, found: list[Body]) -> int:
        middle = np.array(self._size) / 2
        if self.rule == "centre":
            return min(range(len(found)), key=lambda k: float(np.linalg.norm(found[k].centre_px - middle)))
        return max(range(len(found)), key=lambda k: _area_inside(found[k].box_px, self._size))

    def _known(self, now: Body, time_s: float, taken: set[int]) -> int:
        """Someone of this scene who may be this one, the nearest and then the most alike, else a new number."""
        free = {n: person for n, person in self._scene.items() if n not in taken}
        if self.people < 2 and free:
            return min(free)
        at_once = [
            n for n, p in free.items() if self.rule == "tracked" and time_s - p.seen_s < _AT_ONCE_S and p.near(now)
        ]
        if at_once:
            return min(at_once, key=lambda n: free[n].distance_px(now))
        may_be = [n for n, person in free.items() if person.may_be(now, time_s)]
        if not may_be:
            return len(self.first) + sum(n >= len(self.first) for n in taken)
        return min(may_be, key=lambda n: (time_s - free[n].seen_s > _PLACE_S, unlike(free[n].colour, now.colour)))

    def _nearest_px(self, now: Body) -> float:
        return min((person.distance_px(now) for person in self._scene.values()), default=0.0)

    def _note(self, number: int, now: Body, time_s: float) -> None:
        if number not in self._scene:
            self._scene[number] = _Person(now, time_s, now.colour.copy())
            self.first.append((now.box_px, time_s))
            self.people = max(self.people, min(2, len(self._scene)))
        self._scene[number].update(now, time_s)


def _area_inside(box: Box, size: tuple[int, int]) -> float:
    left, top, right, bottom = box
    return max(0.0, min(right, size[0]) - max(left, 0)) * max(0.0, min(bottom, size[1]) - max(top, 0))


def close(one: Body, other: Body) -> bool:
    """Whether two findings in one picture are one person."""
    apart = float(np.linalg.norm(one.centre_px - other.centre_px))
    return apart <= _SAME * max(one.diagonal_px, other.diagonal_px)


def distinct(found: list[Body]) -> list[int]:
    """Indices of the people found: one where the detector gave the same one twice."""
    kept: list[int] = []
    for k, one in enumerate(found):
        if not any(close(one, found[other]) for other in kept):
            kept.append(k)
    return kept


def blinkers(rgb: Image, box: Box, margin: float = 0.15) -> Image:
    """The picture, black but for a box and a margin around it: a detector sees nobody else."""
    left, top, right, bottom = box
    dx, dy = margin * (right - left), margin * (bottom - top)
    x0, y0 = max(0, int(left - dx)), max(0, int(top - dy))
    x1, y1 = max(x0, int(right + dx) + 1), max(y0, int(bottom + dy) + 1)
    out = np.zeros_like(rgb)
    out[y0:y1, x0:x1] = rgb[y0:y1, x0:x1]
    return out
