"""Images with index masks, from curated tables and the shards of the index, and the square a network sees of them."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from repset.errors import DataError
from repset.learn.metrics import IGNORE
from repset.project import Project
from repset.records import read_rows
from repset.video import FrameStore, Image, decode_image

Labels = npt.NDArray[np.uint8]
Probability = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.float32]
"""(n, 3, size, size) RGB, 0 to 255."""

TASK = "muscle_mask"
BACKGROUND = "background"
CLASSES = (BACKGROUND, "biceps", "triceps", "calf")
"""Class names in the order of a network's channels, the same for every training, so that folders can be compared."""

INPUT, OUTPUT = "images", "probabilities"
"""What `network.onnx` calls the pixels and the answer."""

GOLD = ("gold", "gold_corrected")
"""Tiers that count as evaluation truth."""

_COLUMNS = ("sample_id", "group", "fold", "task", "target", "blob", "tier", "original_blob", "media_sha256")


def twins(classes: Sequence[str]) -> list[int]:
    """(C,) index of the class that each one becomes in a mirror; its own where it has no side."""
    found = []
    for index, name in enumerate(classes):
        for side, other in (("left_", "right_"), ("right_", "left_")):
            if name.startswith(side) and other + name.removeprefix(side) in classes:
                found.append(list(classes).index(other + name.removeprefix(side)))
                break
        else:
            found.append(index)
    return found


@dataclass
class MaskedImage:
    """One image (a sample's variant) and its labels.

    Attributes:
        variant: augmented sibling, '' for a plain frame.
        masks: class → PNG masks (one a person), as they stand now.
        originals: the same as the dataset had them; equal to `masks` where nobody corrected anything.
        tiers: tiers of all rows, the background row included.
        group: what shares a fold with it; '' where nobody asked.
    """

    source: str
    sample_id: str
    variant: str
    fold: str
    masks: dict[str, list[bytes]] = field(default_factory=dict)
    originals: dict[str, list[bytes]] = field(default_factory=dict)
    tiers: set[str] = field(default_factory=set)
    group: str = ""

    @property
    def is_gold(self) -> bool:
        """Whether every label may be evaluation truth."""
        return self.tiers <= set(GOLD)


def read_masked_images(table: Path, source: str, classes: Sequence[str]) -> list[MaskedImage]:
    """Images of a curated table in the order of sample and variant.

    Raises: DataError if a row names a class that is not in `classes`.
    """
    images: dict[tuple[str, str], MaskedImage] = {}
    for row in read_rows(table, "curated", _COLUMNS, filters=[("task", "=", TASK)]):
        target = json.loads(row["target"])
        label, variant = target["class"], target.get("variant") or ""
        if label not in classes:
            raise DataError(
                table, f"the classes {', '.join(classes)}", f"{label!r} in {row['sample_id']}",
                f"Map it to one of them with class_map in pipelines/{source}.yaml, and index again",
            )  # fmt: skip
        key = row["sample_id"], variant
        image = images.setdefault(key, MaskedImage(source, row["sample_id"], variant, row["fold"]))
        image.tiers.add(row["tier"])
        image.group = row["group"]
        if label != BACKGROUND:
            original = row["original_blob"] if row["tier"] == "gold_corrected" else row["blob"]
            image.masks.setdefault(label, []).extend([row["blob"]] if row["blob"] else [])
            image.originals.setdefault(label, []).extend([original] if original else [])
    return [images[key] for key in sorted(images)]


def index_mask(
    masks: Mapping[str, Sequence[bytes]], classes: Sequence[str], height: int, width: int, where: object
) -> tuple[Labels, int]:
    """One index image of many binary masks.

    Precedence where classes overlap: the class with fewer pixels in this image wins (a small muscle drawn over a large
    one stays visible), on a tie the one later in `classes`. A class's persons are united.

    Returns: (H, W) indices into `classes`, 0 background, and the number of pixels claimed by more than one class.
    Raises: DataError if a mask is no image or has another size than the image.
    """
    layers = []
    for label, blobs in masks.items():
        layer = np.zeros((height, width), bool)
        for blob in blobs:
            mask = decode_image(blob, where)[..., 0]
            if mask.shape != (height, width):
                found = f"{mask.shape[1]}×{mask.shape[0]} for {label}"
                raise DataError(where, f"a mask of {width}×{height} px as the image", found, "Correct the mask")
            layer |= mask > 0
        layers.append((int(layer.sum()), classes.index(label), layer))
    layers.sort(key=lambda item: (-item[0], item[1]))
    labels, claims = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    for _, index, layer in layers:
        labels[layer] = index
        claims += layer
    return labels, int((claims > 1).sum())


@dataclass(frozen=True)
class Square:
    """Where an image of (height, width) lies in a square of `size_px`: scaled to fit, at the top left."""

    size_px: int
    height: int
    width: int

    @property
    def fitted(self) -> tuple[int, int]:
        """(rows, columns) of the square that the image fills."""
        scale = self.size_px / max(self.height, self.width)
        return max(1, round(self.height * scale)), max(1, round(self.width * scale))

    def image(self, image: Image) -> Image:
        """(H, W, 3) → (size, size, 3): area-averaged when shrinking, in halves as far as that goes; black beside it."""
        rows, columns = self.fitted
        method = cv2.INTER_AREA if rows < self.height else cv2.INTER_LINEAR
        while (
            image.shape[0] % 2 == image.shape[1] % 2 == 0
            and 2 * rows <= image.shape[0]
            and 2 * columns <= image.shape[1]
        ):
            halved = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=method)  # exactly: OpenCV's fast way
            image = np.asarray(halved, np.uint8)
        square = np.zeros((self.size_px, self.size_px, 3), np.uint8)
        square[:rows, :columns] = cv2.resize(image, (columns, rows), interpolation=method)
        return square

    def part(self, maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(..., size, size) → (..., rows, columns): where the image lies."""
        rows, columns = self.fitted
        return maps[..., :rows, :columns]

    def labels(self, labels: Labels) -> Labels:
        """(H, W) → (size, size): nearest pixel, IGNORE beside it."""
        rows, columns = self.fitted
        square = np.full((self.size_px, self.size_px), IGNORE, np.uint8)
        square[:rows, :columns] = cv2.resize(labels, (columns, rows), interpolation=cv2.INTER_NEAREST)
        return square

    def enlarged(self, maps: Iterable[Probability]) -> list[Probability]:
        """(rows, columns) of the fitted part, each → (H, W) of the image, bilinear: by OpenCV plane by plane, several
        times faster than a stack by torch."""
        size = self.width, self.height
        scaled = (cv2.resize(np.ascontiguousarray(one), size, interpolation=cv2.INTER_LINEAR) for one in maps)
        return [np.asarray(one, np.float32) for one in scaled]

    def enlarged_around(
        self, maps: Probability, marked: npt.NDArray[np.bool_]
    ) -> tuple[tuple[slice, slice], list[Probability]] | None:
        """The same, only where marked pixels have a share: rows and columns of the image, and the planes there; None if
        nothing is marked."""
        pixels, size, box, inner = [], [], [], []
        for axis, length in enumerate((self.height, self.width)):
            hits = np.flatnonzero(marked.any(1 - axis))
            if not len(hits):
                return None
            count = marked.shape[axis]
            first, last = max(0, int(hits[0]) - 1), min(count, int(hits[-1]) + 2)  # with their neighbours
            whole = count // math.gcd(count, length)  # so many pixels become whole ones of the image
            first, last = first // whole * whole, min(count, -(-last // whole) * whole)
            start, stop = first * length // count, last * length // count
            centers = (hits[[0, -1]] + (-0.5, 1.5)) * length / count - 0.5  # of the neighbours, in the image
            begin, end = max(0, math.ceil(centers[0])), min(length, math.floor(centers[1]) + 1)
            if begin >= end:  # a smaller image may have no pixel there
                return None
            pixels.append(slice(first, last))
            size.append(stop - start)
            box.append(slice(begin, end))
            inner.append(slice(begin - start, end - start))
        parts = replace(self, height=size[0], width=size[1]).enlarged(maps[:, pixels[0], pixels[1]])
        return (box[0], box[1]), [part[inner[0], inner[1]] for part in parts]


class MediaReader:
    """Images of several sources, each index opened once."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._stores: dict[str, FrameStore] = {}

    def image(self, item: MaskedImage) -> Image:
        """The stored image of a labelled one, BGR at its own size. Raises: DataError if the index has none."""
        if item.source not in self._stores:
            self._stores[item.source] = FrameStore(self._project.index(item.source))
        store = self._stores[item.source]
        for row in store.rows(item.sample_id):
            if (row["variant"] or "") == item.variant:
                return store.image(row)
        raise DataError(
            self._project.index(item.source) / "frames.parquet", f"an image of {item.sample_id} {item.variant}".strip(),
            "none", "Run repset index and repset curate again, so that both speak of the same images",
        )  # fmt: skip
