"""Scores of masks beyond the confusion matrix: boundaries, calibration, and intervals by bootstrap over groups.

Counts are kept by group (photo, video, subject) and added up over the fold before any ratio is taken, as in `metrics`.
An interval comes from drawing whole groups anew, since the images of one group are right and wrong together.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from repset.learn import metrics
from repset.learn.metrics import Counts, Score

BOUNDARY = 0.0075
"""How far a boundary may lie beside the true one: this share of the image's diagonal, as in Csurka et al. 2013 and the
DAVIS benchmark's 0.008; rounded up to whole pixels."""

BINS = 15
"""Bins of confidence for the calibration error (Guo et al. 2017)."""

DRAWS = 2000

Labels = npt.NDArray[np.uint8]


class Tally:
    """Counts of a fold, image by image."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        size = len(classes)
        self.confusion: dict[str, Counts] = defaultdict(lambda: np.zeros((size, size), np.int64))
        self._boundary = np.zeros((size, 4), np.int64)  # predicted: near, all; true: near, all
        self._bins = np.zeros((2, BINS, 3))  # all pixels, pixels called a muscle; pixels, confidence, right

    def add(self, group: str, truth: Labels, labels: Labels, confidence: npt.NDArray[np.float32]) -> None:
        """One image. All (H, W); confidence 0..1 of the named class."""
        self.confusion[group] += metrics.confusion(truth, labels, len(self._classes))
        for index in range(1, len(self._classes)):
            self._boundary[index] += boundary_counts(truth == index, labels == index)
        bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
        right = truth == labels
        for row, chosen in enumerate((truth != metrics.IGNORE, (labels > 0) & (truth != metrics.IGNORE))):
            for column, weight in enumerate((None, confidence[chosen], right[chosen])):
                self._bins[row, :, column] += np.bincount(bins[chosen], weight, minlength=BINS)

    @property
    def total(self) -> Counts:
        """(C, C) over all groups."""
        return np.asarray(sum(self.confusion.values()), np.int64)

    def scores(self) -> dict[str, Any]:
        """`metrics.segmentation_scores`, and boundary F1, calibration error and intervals beside it."""
        near = {
            name: _f1(*(int(count) for count in self._boundary[index]))
            for index, name in enumerate(self._classes)
            if index
        }
        return {
            **metrics.segmentation_scores(self.total, self._classes),
            "boundary_f1": {"mean": metrics.mean_present(list(near.values())), **near},
            "calibration_error": {"all": _error(self._bins[0]), "muscles": _error(self._bins[1])},
            "groups": len(self.confusion),
            "interval_95": {
                "miou": interval(self.confusion),
                "miou_muscles": interval(self.confusion, first=1),
            },
        }


def boundary_counts(truth: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Predicted boundary pixels near the true boundary, all of them, true ones near the predicted, all of them."""
    radius = int(np.ceil(BOUNDARY * np.hypot(truth.shape[0], truth.shape[1])))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    lines = [_rim(mask) for mask in (predicted, truth)]
    wide = [np.asarray(cv2.dilate(line, disc), np.uint8) for line in lines]
    return (
        int(np.count_nonzero(lines[0] & wide[1])), int(np.count_nonzero(lines[0])),
        int(np.count_nonzero(lines[1] & wide[0])), int(np.count_nonzero(lines[1])),
    )  # fmt: skip


def interval(confusion: Mapping[str, Counts], first: int = 0) -> list[float] | None:
    """95 % interval of the mIoU over the classes from `first` on; None with fewer than two groups."""
    if len(confusion) < 2:
        return None
    drawn = _redrawn([confusion[group] for group in sorted(confusion)], 0)
    return _quantiles(_mious(drawn, first))


def difference_interval(one: Mapping[str, Counts], other: Mapping[str, Counts], first: int = 1) -> list[float]:
    """95 % interval of mIoU(one) - mIoU(other) over the classes from `first` on, the same groups drawn for both.

    Raises: ValueError if they were not scored on the same groups.
    """
    if set(one) != set(other):
        raise ValueError("expected the same groups on both sides")
    groups = sorted(one)
    both = [_mious(_redrawn([side[group] for group in groups], 0), first) for side in (one, other)]
    return _quantiles(both[0] - both[1])


def _redrawn(counts: Sequence[Counts], seed: int) -> npt.NDArray[np.float64]:
    """(DRAWS, C, C): sums over groups drawn with replacement; the same groups for the same number and seed."""
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), DRAWS)
    return np.asarray(np.einsum("dg,gij->dij", times.astype(np.float64), np.stack(counts).astype(np.float64)))


def _mious(counts: npt.NDArray[np.float64], first: int) -> npt.NDArray[np.float64]:
    """(N, C, C) → (N,): the mean over the classes with a score, NaN where none has."""
    hit = counts.diagonal(axis1=1, axis2=2)[:, first:]
    union = (counts.sum(1) + counts.sum(2))[:, first:] - hit
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(union > 0, hit / union, 0).sum(1) / (union > 0).sum(1))


def _quantiles(values: npt.NDArray[np.float64]) -> list[float]:
    low, high = np.nanquantile(values, (0.025, 0.975))
    return [float(low), float(high)]


def _rim(mask: npt.NDArray[np.bool_]) -> Labels:
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=[0])
    return np.asarray(mask.astype(np.uint8) - inner, np.uint8)


def _f1(near: int, all_: int, found: int, true: int) -> Score:
    if not all_ and not true:
        return None
    precision, recall = (near / all_ if all_ else 0.0), (found / true if true else 0.0)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _error(bins: npt.NDArray[np.float64]) -> Score:
    """Expected calibration error: the mean distance of confidence and share right, weighted by pixels."""
    pixels = bins[:, 0].sum()
    return float(np.abs(bins[:, 1] - bins[:, 2]).sum() / pixels) if pixels else None
