"""Images and clips that are copies of one another, though no byte is equal: rescaled, re-encoded, mirrored, trimmed.

Two steps over the fingerprints (SIDE × SIDE grey pictures):

1. Candidates. Each picture is band-passed, so that brightness and lighting do not count, and its whole and VIEWS cut
   from it are correlated with every other picture, as it is and mirrored. It costs one matrix product.
2. Proof. The best candidates are laid over each other (an affine motion, found by OpenCV's ECC) and correlated where
   they overlap, with finer detail. From COPY (clips: COPY_CLIP) on they are near-duplicates; from ALIKE on they are
   neighbours, if their names are numbers of one series, at most REACH apart (frames of one video or session).

A clip is compared by KEYS of its frames with all frames of the other: two thirds of them must find their like, so that
a trimmed copy matches the whole. For each sample only the TOP candidates on each side of the set's own split are
proved: a chain of copies hangs together by its nearest links.

How the thresholds were chosen: on 160 corridor frames (dhcn), 72 gym photos, 120 + 45 drawn images and 21 video frames
(87,153 pairs): copies at another scale, encoding, mirrored or cropped by up to 10 % a side correlate with 0.948–1.000
after alignment; of 74,397 pairs of different subjects two reach COPY (one man in one studio standing alike). Of 45
clips all copies reach 0.90 (another scale, encoding and frame rate, mirrored, cropped by up to 8 % a side, trimmed to
30–70 %), and none of 6,930 other pairs reaches 0.80.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from repset.curate.fingerprints import SIDE
from repset.machine import cores

COPY = 0.94
"""Correlation after alignment from which two pictures are copies of one another."""
COPY_CLIP = 0.85
"""The same where a clip is concerned: two thirds of its keys reach it, each a little off in time."""
ALIKE = 0.80
"""The same for pictures whose names already say that they are neighbours."""
REACH = 3
"""Numbers between neighbours of one series (consecutive frames, shots or clips of one recording)."""
KEYS = 4
"""Frames of a clip that are looked for in another."""
SHARE = 2 / 3
"""Of a clip's keys that must be found again."""
TOP = 4
"""Candidates of a sample that are proved, on each side of the set's own split."""
WORTH_PROVING = 0.5
"""Correlation before alignment below which no copy of the trials lay."""
FLAT = 2.0
"""Grey levels of band-passed contrast below which a picture (black, fog) says nothing and matches nothing."""

_CELL = 12  # descriptors are _CELL × _CELL
_BLOCK = 1 << 22  # correlations held at once: 16 MB

Floats = npt.NDArray[np.float32]
Row = Mapping[str, Any]


def _views() -> tuple[tuple[float, float, float], ...]:
    """(x, y, side) of square cuts, as parts of the picture: the whole, 9 of 0.9, 9 of 0.8, 16 of 0.7."""
    cuts = [(0.0, 0.0, 1.0)]
    for side, steps in ((0.9, 3), (0.8, 3), (0.7, 4)):
        places = [(1 - side) * k / (steps - 1) for k in range(steps)]
        cuts += [(x, y, side) for y in places for x in places]
    return tuple(cuts)


VIEWS = _views()
CLIP_VIEWS = 10
"""Views of a clip's key frame: the whole and those of 0.9."""


@dataclass(frozen=True)
class Pair:
    """Two samples that show the same.

    Attributes:
        a, b: sample_ids, a before b.
        kind: near_duplicate | video_neighbours.
        frame: a frame of `a` where it was seen.
        score: correlation after alignment, 0..1 (pictures), or joint distance in body sizes (poses).
        mirrored: whether one is the mirror image of the other.
    """

    a: str
    b: str
    kind: str
    frame: int
    score: float
    mirrored: bool


@dataclass(frozen=True)
class Gallery:
    """The fingerprints of some samples as arrays.

    Attributes:
        samples: S sample_ids; still: (S,) whether it is an image; side: (S,) its side of the set's own split.
        owner: (P,) index into samples, ascending; frame: (P,) frame numbers.
        pictures: (P, SIDE, SIDE) uint8.
    """

    samples: list[str]
    still: npt.NDArray[np.bool_]
    side: list[str]
    owner: npt.NDArray[np.int64]
    frame: npt.NDArray[np.int64]
    pictures: npt.NDArray[np.uint8]


def gallery(fingerprints: Sequence[Row], samples: Iterable[Row]) -> Gallery:
    """Arrays of table `fingerprints`; samples without any, and pictures without contrast, are left out."""
    about = {row["sample_id"]: row for row in samples}
    rows = sorted(fingerprints, key=lambda row: (row["sample_id"], row["frame"], row["variant"]))
    pictures = [np.frombuffer(row["picture"], np.uint8).reshape(SIDE, SIDE) for row in rows]
    kept = [n for n, picture in enumerate(pictures) if float(_band(picture).std()) >= FLAT]
    names = sorted({rows[n]["sample_id"] for n in kept})
    position = {name: n for n, name in enumerate(names)}
    return Gallery(
        names,
        np.array([about[name]["kind"] == "image" for name in names], bool),
        [str(about[name]["official_split"]) for name in names],
        np.array([position[rows[n]["sample_id"]] for n in kept], np.int64),
        np.array([rows[n]["frame"] for n in kept], np.int64),
        np.stack([pictures[n] for n in kept]) if kept else np.zeros((0, SIDE, SIDE), np.uint8),
    )


def silent(done: int, total: int, label: str) -> None:
    """A progress callback that shows nothing."""


def find_pairs(
    of: Gallery, other: Gallery | None = None, progress: Callable[[int, int, str], None] = silent
) -> list[Pair]:
    """Near-duplicates and neighbours within one gallery, or between two (of two sources), sorted."""
    found: dict[tuple[str, str], Pair] = {}
    searches = [(of, of)] if other is None else [(of, other), (other, of)]
    for number, (keys_of, frames_of) in enumerate(searches):
        _search(keys_of, frames_of, found, lambda done, total, at=number: progress(  # type: ignore[misc]
            done + at * total, total * len(searches), "comparing pictures"))  # fmt: skip
    return [found[key] for key in sorted(found)]


def _search(
    keys_of: Gallery, frames_of: Gallery, found: dict[tuple[str, str], Pair], progress: Callable[[int, int], None]
) -> None:
    """Look for each sample's key pictures among all pictures of the other gallery; a proved pair is not tried again."""
    if not len(keys_of.pictures) or not len(frames_of.pictures):
        return
    keys = sorted(_key_pictures(keys_of).items())
    described = _Described(frames_of)
    rows = described.likeness(keys_of, [picture for _, mine in keys for picture in mine])
    with ThreadPoolExecutor(cores()) as pool:
        for number, mine in keys:
            likeness = np.stack(list(islice(rows, len(mine))))
            best = described.best_of_each_sample(likeness)
            if keys_of is frames_of:
                best[:, number] = -1
            rivals = [
                rival
                for rival in _candidates(keys_of, number, best, frames_of)
                if not _is_copy(found, keys_of.samples[number], frames_of.samples[rival])
            ]
            prove = partial(_prove, keys_of, number, mine, described, likeness)
            for pair in filter(None, pool.map(prove, rivals)):
                known = found.get((pair.a, pair.b))
                if known is None or pair.score > known.score:
                    found[pair.a, pair.b] = pair
            progress(number + 1, len(keys))


def _is_copy(found: Mapping[tuple[str, str], Pair], a: str, b: str) -> bool:
    pair = found.get((min(a, b), max(a, b)))
    return pair is not None and pair.kind == "near_duplicate"


def _key_pictures(of: Gallery) -> dict[int, list[int]]:
    """Sample → its pictures to look for: every copy of an image, KEYS evenly spaced frames of a clip."""
    members: dict[int, list[int]] = defaultdict(list)
    for picture, owner in enumerate(of.owner.tolist()):
        members[owner].append(picture)
    for owner, pictures in members.items():
        if not of.still[owner] and len(pictures) > KEYS:
            at = np.linspace(0.1, 0.9, KEYS) * (len(pictures) - 1)
            members[owner] = [pictures[round(position)] for position in at.tolist()]
    return members


def _candidates(keys_of: Gallery, number: int, best: Floats, frames_of: Gallery) -> list[int]:
    """The most alike samples of the other gallery, at most TOP on each side of its split, and all neighbours."""
    # An image is found by any of its copies, a clip by most of its keys.
    score = best.max(axis=0) if keys_of.still[number] else np.sort(best, axis=0)[len(best) - _needed(len(best))]
    chosen: list[int] = []
    per_side: dict[str, int] = defaultdict(int)
    for rival in np.argsort(-score, kind="stable").tolist():
        if score[rival] < WORTH_PROVING:
            break
        near = are_neighbours(keys_of.samples[number], frames_of.samples[rival])
        if near or per_side[frames_of.side[rival]] < TOP:
            per_side[frames_of.side[rival]] += 1
            chosen.append(rival)
    return chosen


def _needed(keys: int) -> int:
    return math.ceil(keys * SHARE - 1e-9)


def _prove(
    keys_of: Gallery,
    number: int,
    mine: Sequence[int],
    described: "_Described",
    likeness: Floats,
    rival: int,
) -> Pair | None:
    frames_of = described.of
    best, where = described.best_pictures(likeness, rival)
    still = bool(keys_of.still[number])
    order = np.argsort(-best, kind="stable").tolist()[:2] if still else range(len(mine))
    proofs: list[tuple[float, bool, int, int]] = []
    for k in order:
        if not still or not proofs or proofs[0][0] < COPY:
            score, mirrored = aligned(frames_of.pictures[where[k]], keys_of.pictures[mine[k]])
            proofs.append((score, mirrored, int(mine[k]), int(where[k])))
    proofs.sort(key=lambda proof: -proof[0])
    score, mirrored, key, frame = proofs[0 if still else _needed(len(proofs)) - 1]
    names = keys_of.samples[number], frames_of.samples[rival]
    enough = COPY if still and frames_of.still[rival] else COPY_CLIP
    kind = "near_duplicate" if score >= enough else "video_neighbours"
    if score < enough and not (score >= ALIKE and are_neighbours(*names)):
        return None
    first = names[0] < names[1]
    at = int(keys_of.frame[key]) if first else int(frames_of.frame[frame])
    return Pair(min(names), max(names), kind, at, round(score, 3), mirrored)


_NUMBERED = re.compile(r"^(.*?)(\d+)(\D*)$")


def are_neighbours(a: str, b: str) -> bool:
    """Whether two names are numbers of one series at most REACH apart: frame_0004_jpg and frame_0006_jpg."""
    first, second = _NUMBERED.match(a), _NUMBERED.match(b)
    if first is None or second is None or (first[1], first[3]) != (second[1], second[3]):
        return False
    return 0 < abs(int(first[2]) - int(second[2])) <= REACH


# --- step 1 -----------------------------------------------------------------------------------------------------


def _band(picture: npt.NDArray[Any], fine: float = 1.0, coarse: float = 6.0) -> Floats:
    """What is larger than `fine` and smaller than `coarse` pixels."""
    plain = picture.astype(np.float32)
    return np.asarray(cv2.GaussianBlur(plain, (0, 0), fine) - cv2.GaussianBlur(plain, (0, 0), coarse), np.float32)


def _unit(cells: Floats) -> Floats:
    """(..., _CELL, _CELL) → (..., _CELL²) with mean 0 and length 1."""
    flat = cells.reshape(*cells.shape[:-2], -1)
    flat = flat - flat.mean(axis=-1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=-1, keepdims=True), 1e-3), np.float32)


def _cuts(band: Floats, count: int) -> Floats:
    """The first of VIEWS from a band-passed picture, (count, _CELL, _CELL)."""
    return np.asarray(cv2.remap(band, *_places(count), cv2.INTER_LINEAR), np.float32).reshape(count, _CELL, _CELL)


@cache
def _places(count: int) -> tuple[Floats, Floats]:
    """Where in a picture the cells of the first of VIEWS lie: x and y, (count × _CELL, _CELL) each."""
    places = []
    for view in VIEWS[:count]:
        x, y, side = (SIDE * part for part in view)
        steps = (np.arange(_CELL, dtype=np.float32) + 0.5) * (side / _CELL) - 0.5
        places.append(np.meshgrid(x + steps, y + steps))
    across, down = (np.concatenate(part).astype(np.float32) for part in zip(*places, strict=True))
    return across, down


class _Described:
    """Descriptors of a gallery's pictures: of the whole, as it is and mirrored, and of a clip's views."""

    def __init__(self, of: Gallery) -> None:
        cuts = np.stack([_cuts(_band(picture), CLIP_VIEWS) for picture in of.pictures])
        self.of = of
        self._whole = _unit(cuts[:, 0]), _unit(cuts[:, 0, :, ::-1])
        self._views = [_unit(cuts[:, view]) for view in range(CLIP_VIEWS)]
        self._starts = np.flatnonzero(np.r_[True, of.owner[1:] != of.owner[:-1]])
        self._bounds = np.r_[self._starts, len(of.owner)]

    def likeness(self, keys_of: Gallery, keys: Sequence[int]) -> Iterator[Floats]:
        """For each key (P,) its highest correlation with each picture, where either may be cut from the other.

        Many keys at once: the descriptors of a large gallery come from memory once for all of them.
        """
        many = max(1, _BLOCK // (len(VIEWS) * len(self.of.pictures)))
        for first in range(0, len(keys), many):
            yield from self._likeness(keys_of, keys[first : first + many])

    def _likeness(self, keys_of: Gallery, keys: Sequence[int]) -> Floats:
        cuts = [
            _cuts(_band(keys_of.pictures[key]), len(VIEWS) if keys_of.still[keys_of.owner[key]] else CLIP_VIEWS)
            for key in keys
        ]
        starts = np.cumsum([0, *(len(views) for views in cuts[:-1])])
        views = _unit(np.concatenate(cuts))
        best = np.full((len(keys), len(self._whole[0])), -1, np.float32)
        for pictures in self._whole:
            np.maximum(best, np.maximum.reduceat(views @ pictures.T, starts, axis=0), out=best)
        whole = np.stack([mine[0] for mine in cuts])
        for side in (_unit(whole), _unit(whole[..., ::-1])):
            for pictures in self._views:
                np.maximum(best, side @ pictures.T, out=best)
        return best

    def best_of_each_sample(self, likeness: Floats) -> Floats:
        """(keys, P) → (keys, S): the best of each sample's pictures."""
        return np.asarray(np.maximum.reduceat(likeness, self._starts, axis=1), np.float32)

    def best_pictures(self, likeness: Floats, sample: int) -> tuple[Floats, npt.NDArray[np.int64]]:
        """(keys, P) → (keys,) the best of the sample's pictures, and which one it is."""
        first, after = self._bounds[sample : sample + 2]
        mine = likeness[:, first:after]
        return mine.max(axis=1), np.asarray(mine.argmax(axis=1) + first, np.int64)


# --- step 2 -----------------------------------------------------------------------------------------------------

_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-4)
_EVERYWHERE = np.ones((SIDE, SIDE), np.uint8)
_OVERLAP = 0.35  # of the picture's area that two must share


def aligned(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> tuple[float, bool]:
    """Correlation of two fingerprints laid over each other, and whether one was mirrored for it.

    The best of four ways (each may be cut from the other, or from its mirror image), or the first that reaches COPY.
    """
    best, mirrored = 0.0, False
    first = _Picture.of(a)
    for flip in (False, True):
        other = _Picture.of(np.ascontiguousarray(b[:, ::-1]) if flip else b)
        for whole, part in ((first, other), (other, first)):
            score = _laid_over(whole, part)
            if score > best:
                best, mirrored = score, flip
            if best >= COPY:
                return best, mirrored
    return best, mirrored


@dataclass(frozen=True)
class _Picture:
    """A fingerprint, band-passed, and the descriptors of its VIEWS."""

    grey: npt.NDArray[np.uint8]
    band: Floats
    views: Floats

    @classmethod
    def of(cls, grey: npt.NDArray[np.uint8]) -> "_Picture":
        band = _band(grey)
        return cls(grey, band, _unit(_cuts(band, len(VIEWS))))


def _laid_over(whole: _Picture, part: _Picture) -> float:
    """Correlation once `part` is laid over the place in `whole` that it may have been cut from."""
    likeness = whole.views @ part.views[0]
    at = int(likeness.argmax())
    if likeness[at] < WORTH_PROVING:
        return 0.0
    x, y, side = VIEWS[at]
    shift = 0.5 * side - 0.5
    warp = np.array([[side, 0, SIDE * x + shift], [0, side, SIDE * y + shift]], np.float32)
    try:
        _, found = cv2.findTransformECC(part.band, whole.band, warp, cv2.MOTION_AFFINE, _STOP, _EVERYWHERE, 1)
    except cv2.error:  # it does not converge: nothing to lay over
        return 0.0
    warp = np.asarray(found, np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(
        whole.grey.astype(np.float32), warp, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    inside = cv2.warpAffine(np.ones((SIDE, SIDE), np.float32), warp, (SIDE, SIDE), flags=flags) > 0.99
    if inside.mean() < 0.6 or abs(float(np.linalg.det(warp[:, :2]))) < _OVERLAP:
        return 0.0
    first, second = _band(moved, 0.7, 3.0)[inside], _band(part.grey, 0.7, 3.0)[inside]
    first, second = first - first.mean(), second - second.mean()
    return float((first * second).sum() / max(float(np.linalg.norm(first) * np.linalg.norm(second)), 1e-6))
