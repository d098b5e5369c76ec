"""What is accepted as one, and when it is wrong: one row per task.

Masks are accepted image by image, since an image of which one muscle is taken and another is not would teach that the
other is background. Exercises, verdicts and counts are accepted stretch by stretch.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from repset.curate.slots import Row
from repset.curate.targets import BACKGROUND, SAME_INTERVAL_IOU, as_dict, interval_iou, interval_of
from repset.video import decode_image

COUNT = "count"
"""The task of counted sets: accepted as the tables' tasks are, but no model learns from it and no decision is of it."""

LEAST_IOU = 0.7
"""A mask that overlaps the truth less is wrong."""


@dataclass(frozen=True)
class Item:
    """Proposals that are accepted or refused together.

    Attributes:
        group, fold: of the sample in the split.
        kind: the class, by which items are pooled: a value, an image's muscles joined with '+', a count's exercise.
        score: of the least sure row.
        rows: rows of the table `proposals`.
    """

    sample_id: str
    group: str
    fold: str
    kind: str
    score: float
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        """What a person is asked to look at: sample, and variant or stretch."""
        target = as_dict(self.rows[0]["target"])
        where = target.get("variant") or target.get("interval_s")
        return f"{self.sample_id} {where}" if where else self.sample_id


def items_of(task: str, proposals: Iterable[Row], split: Mapping[str, Row]) -> list[Item]:
    """Items in the order of sample and target; a row without a score counts as the least sure (0).

    An image is as sure as its least sure mask; one in which no muscle is seen, as its background row.

    Args:
        split: sample_id → row of the table `split`; samples outside it are left out.
    """
    together: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in proposals:
        if row["sample_id"] in split:
            together[row["sample_id"], _image(row) if task == "muscle_mask" else row["target"]].append(row)
    items = []
    for (sample_id, _), rows in sorted(together.items()):
        fold = split[sample_id]
        telling = [row for row in rows if row["blob"]] or rows
        score = min(row["score"] if row["score"] is not None else 0.0 for row in telling)
        items.append(Item(sample_id, fold["group"], fold["fold"], _kind(task, rows), score, tuple(rows)))
    return items


def is_wrong(task: str, item: Item, truth: Sequence[Row]) -> bool:
    """Whether any part of the item is wrong.

    muscle_mask: a muscle, proposed or true, overlaps by less than LEAST_IOU; nothing proposed where nothing is, is
    right. exercise, form, count: no true label of the same stretch (IoU ≥ 0.5), or another value (a count off by one).

    Args:
        truth: all labels of the item's sample.
    """
    return _WRONG[task](item, truth)


def _mask_is_wrong(item: Item, truth: Sequence[Row]) -> bool:
    image = _image(item.rows[0])
    proposed, true = _masks(item.rows), _masks([row for row in truth if _image(row) == image])
    return any(_iou(proposed.get(name), true.get(name)) < LEAST_IOU for name in proposed.keys() | true.keys())


def _value_is_wrong(item: Item, truth: Sequence[Row]) -> bool:
    row = item.rows[0]
    stretch = interval_of(as_dict(row["target"]))
    overlaps = [(interval_iou(stretch, interval_of(as_dict(other["target"]))), other) for other in truth]
    best = max(overlaps, key=lambda pair: pair[0], default=None)
    return best is None or best[0] < SAME_INTERVAL_IOU or best[1]["value"] != row["value"]


def _masks(rows: Iterable[Row]) -> dict[str, npt.NDArray[np.bool_]]:
    """Class → mask, its people united; without the background and without empty masks."""
    found: dict[str, npt.NDArray[np.bool_]] = {}
    for row in rows:
        name = as_dict(row["target"])["class"]
        if name == BACKGROUND or not row["blob"]:
            continue
        mask = decode_image(row["blob"], row["sample_id"])[..., 0] > 0
        if mask.any():
            found[name] = found[name] | mask if name in found and found[name].shape == mask.shape else mask
    return found


def _iou(a: npt.NDArray[np.bool_] | None, b: npt.NDArray[np.bool_] | None) -> float:
    if a is None or b is None or a.shape != b.shape:
        return 0.0
    return float(np.count_nonzero(a & b) / np.count_nonzero(a | b))


def _image(row: Row) -> str:
    target = as_dict(row["target"])
    return f"{target.get('variant') or ''}"


def _kind(task: str, rows: Sequence[Row]) -> str:
    if task == COUNT:
        return str(as_dict(rows[0]["target"])["exercise"])
    if task != "muscle_mask":
        return str(json.loads(rows[0]["value"]))
    muscles = {as_dict(row["target"])["class"] for row in rows if row["blob"]} - {BACKGROUND}
    return "+".join(sorted(muscles)) or BACKGROUND


_WRONG: dict[str, Callable[[Item, Sequence[Row]], bool]] = {
    "muscle_mask": _mask_is_wrong,
    "exercise": _value_is_wrong,
    "form": _value_is_wrong,
    COUNT: _value_is_wrong,
}
