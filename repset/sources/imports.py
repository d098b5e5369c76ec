"""What label files of other tools have in common: which image they mean, which class, which joints.

Why no library reads the files themselves: beside numpy 1, datumaro resolves to a version of 2023; supervision drops
keypoints, annotations without an image and fields it does not know, rounds corners to whole pixels and reads no CVAT
XML; FiftyOne's importers need its database. So the formats are read here field by field and everything left out is
counted, while the parts that are hard come from libraries: COCO's rasteriser (pycocotools, behind repset.shapes) and
XML that cannot blow up (defusedxml).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from repset.errors import DataError
from repset.landmarks import COCO_17, SKELETONS, JointState
from repset.params import SourceSpec
from repset.shapes import Mask

BACKGROUND = "background"
FIX = "Mend the file, or leave it out with --on-error skip"
_SPLIT = re.compile(r"^(?:(train)(?:ing)?|(val)(?:id|idation)?|(test)(?:ing)?)(?:[-_]?\d*)$", re.IGNORECASE)
_STRUCTURE = ("images", "calibration", "all")
"""Folders that sort images without naming anything; `calibration` and `all` come from repset's own exports."""


@dataclass(frozen=True)
class MaskObject:
    """One outlined or painted object.

    Attributes:
        label: canonical label; mask: (H, W).
        person: its number as the file gives it, None where it gives none.
    """

    label: str
    mask: Mask
    person: int | None = None


@dataclass(frozen=True)
class PoseObject:
    """One person's joints, in the order of a skeleton of ours.

    Attributes:
        xy_px: (K, 2) float32, NaN where absent; visibility: (K,) 0 or 1, NaN where absent; state: (K,) JointState.
    """

    skeleton: str
    xy_px: npt.NDArray[np.float32]
    visibility: npt.NDArray[np.float32]
    state: npt.NDArray[np.int8]
    person: int | None = None


Objects = Callable[[tuple[int, int]], Iterator[MaskObject | PoseObject]]
"""From the size (width, height) of the decoded image to what is marked in it; raises DataError naming the place."""


@dataclass
class Labelled:
    """What the label files say.

    Attributes:
        images: name in the tree → its objects.
        splits: name in the tree → official split, where file or folder names tell one.
        missing: entries whose image is not there, as (name in the file, sentence).
        left_out: reason → count of objects or images left out on purpose.
        notes: fact → count, for report.json.
    """

    images: dict[str, Objects] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    missing: list[tuple[str, DataError]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)


class LabelReader(Protocol):
    """Reads every label file of one format among `files` (name → content)."""

    def __call__(
        self, files: dict[str, bytes], names: "Names", at: Callable[[str], str], spec: SourceSpec, source: str
    ) -> Labelled:
        """Raises: DataError for a file that cannot be read at all; faults of one image come from its Objects."""


class Names:
    """The images of a tree, found by the names label files call them."""

    def __init__(self, images: Sequence[str]) -> None:
        self.all = tuple(images)
        self._by_base: dict[str, list[str]] = {}
        for name in images:
            self._by_base.setdefault(PurePosixPath(name).name, []).append(name)

    def find(self, stated: str, beside: str, where: str) -> str:
        """The image that a label file in the folder `beside` calls `stated`.

        Raises: DataError if there is none, or if several fit equally well.
        """
        base = stated.rsplit("/", 1)[-1]
        fits = [name for name in self._by_base.get(base, []) if name == stated or name.endswith(f"/{stated}")]
        for folder in (beside, str(PurePosixPath(beside).parent)):
            if len(fits) > 1:
                near = [name for name in fits if folder in (".", "") or name.startswith(f"{folder}/")]
                fits = near or fits
        if len(fits) > 1:
            fits = [name for name in fits if name == stated] or fits
        if len(fits) == 1:
            return fits[0]
        found = "none" if not fits else f"{len(fits)} ({', '.join(fits[:3])})"
        raise DataError(where, f"one image {stated[:120]!r}", found, FIX)


def split_of(path: str) -> str | None:
    """Official split that a folder's or file's name tells: train | validation | test, else None."""
    for part in PurePosixPath(path).parts:
        for word in re.split(r"[_.]", part) if part == PurePosixPath(path).name else [part]:
            if match := _SPLIT.match(word):
                return "train" if match[1] else "validation" if match[2] else "test"
    return None


def native_ids(paths: Sequence[str], labelled: bool) -> dict[str, str]:
    """Path without suffix → native id: the path itself, in labelled sets without folders that only sort.

    Where two would share an id, all keep their whole path.
    """
    if not labelled:
        return {path: path for path in paths}
    short = {path: "/".join(_telling(PurePosixPath(path).parts)) for path in paths}
    return short if len(set(short.values())) == len(short) else {path: path for path in paths}


def _telling(parts: Sequence[str]) -> list[str]:
    folders = [part for part in parts[:-1] if part.lower() not in _STRUCTURE and not _SPLIT.match(part)]
    return [*folders, parts[-1]]


def label_of(name: str, spec: SourceSpec, source: str, where: str) -> str | None:
    """Canonical label of a class, None for background; without a class_map the name itself, lower case, underscores.

    Raises: DataError for a class that class_map does not name.
    """
    plain = plain_name(name)
    if spec.class_map is None:
        return None if plain == BACKGROUND else plain
    mapped = {plain_name(key): value for key, value in spec.class_map.items()}.get(plain)
    if mapped is None and plain == BACKGROUND:
        return None
    if mapped is None:
        file = f"pipelines/{source}.yaml"
        todo = f'Add it to class_map there: "{name.strip()[:60]}: {plain[:60]}", or map it to {BACKGROUND}'
        raise DataError(where, f"a class that class_map in {file} names", f"the class {name.strip()[:60]!r}", todo)
    return None if mapped == BACKGROUND else mapped


def plain_name(name: str) -> str:
    """Lower case, with underscores for spaces and hyphens."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


@dataclass(frozen=True)
class Joints:
    """Where the joints of a file stand in a skeleton of ours: `places[i]` is the place of the file's i-th joint."""

    skeleton: str
    places: tuple[int, ...]

    def pose(
        self,
        xy_px: npt.NDArray[np.float64],
        flags: npt.NDArray[np.int8],
        size: tuple[int, int],
        person: int | None,
    ) -> PoseObject:
        """A person from positions (J, 2) and COCO's flags (J,): 0 not placed, 1 hidden, 2 seen."""
        count = len(SKELETONS[self.skeleton].joints)
        xy = np.full((count, 2), np.nan, np.float32)
        visibility = np.full(count, np.nan, np.float32)
        state = np.full(count, JointState.ABSENT, np.int8)
        places = np.asarray(self.places)
        placed = flags > 0
        outside = (xy_px < 0).any(axis=1) | (xy_px >= np.asarray(size)).any(axis=1)
        hidden = np.where(outside, JointState.OUTSIDE, JointState.OCCLUDED)
        xy[places[placed]] = xy_px[placed]
        visibility[places[placed]] = flags[placed] == 2
        state[places[placed]] = np.where(flags == 2, JointState.LABELLED, hidden)[placed]
        return PoseObject(self.skeleton, xy, visibility, state, person)


def joints_named(names: Sequence[Any], where: str) -> Joints:
    """The skeleton whose joints a file names, in any order and with any left out; the smallest that has them all.

    Raises: DataError if no skeleton has all of them, or one is named twice.
    """
    plain = [plain_name(str(name)) for name in names]
    if len(set(plain)) < len(plain):
        double = next(name for name in plain if plain.count(name) > 1)
        raise DataError(where, "joint names that differ", f"{double[:40]!r} twice", FIX)
    exact = [one for one in SKELETONS.values() if list(one.joints) == plain]
    fits = exact or sorted(
        (one for one in SKELETONS.values() if set(plain) <= set(one.joints)), key=lambda one: len(one.joints)
    )
    if fits and plain:
        return Joints(fits[0].name, tuple(fits[0].joints.index(name) for name in plain))
    known = {joint for one in SKELETONS.values() for joint in one.joints}
    strange = [name[:40] for name in plain if name not in known]
    expected = f"joint names of one skeleton ({', '.join(SKELETONS)})"
    found = f"{strange[0]!r}" if strange else "none" if not plain else "joints of several"
    raise DataError(where, expected, found, "Rename the joints as repset.landmarks has them")


def joints_counted(count: int, where: str) -> Joints:
    """The skeleton of a file that names no joints: COCO's 17. Raises: DataError for another number."""
    if count == len(COCO_17.joints):
        return Joints(COCO_17.name, tuple(range(count)))
    raise DataError(where, "names of the joints, or COCO's 17 in COCO's order", f"{count} joints without names", FIX)
