"""Scores, all from one confusion matrix accumulated over the whole fold, with a stated rule for absent classes.

Matrices are (C, C) integer counts, row = truth, column = prediction. A score that has no meaning is None, never 1 and
never NaN: the IoU, Dice, recall or F1 of a class that is neither in the truth nor predicted. A class that is predicted
but not there scores 0. Means run over the classes that have a score.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Score = float | None

IGNORE = 255
"""Label of pixels that are not scored and not learned from (padding)."""


def confusion(truth: npt.NDArray[Any], predicted: npt.NDArray[Any], classes: int) -> Counts:
    """Counts of one batch or image; add them up over the fold.

    Args:
        truth, predicted: equal shapes, integers 0 .. classes - 1; where truth is IGNORE nothing is counted.
    Raises: ValueError if a label is out of range.
    """
    kept = truth != IGNORE
    pairs = truth[kept].astype(np.int64) * classes + predicted[kept].astype(np.int64)
    if pairs.size and (int(truth[kept].max()) >= classes or int(predicted[kept].max()) >= classes):
        raise ValueError(f"expected labels below {classes}")
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def constant_answer(counts: Counts, column: int) -> Counts:
    """The matrix of a model that answers `column` everywhere, on the same truth: the baseline."""
    baseline = np.zeros_like(counts)
    baseline[:, column] = counts.sum(axis=1)
    return baseline


def accuracy(counts: Counts) -> Score:
    """Share of items (pixels, clips) that are right; None for an empty matrix."""
    return _ratio(int(np.trace(counts)), int(counts.sum()))


def iou(counts: Counts) -> list[Score]:
    """(C,) intersection over union of each class."""
    hit, truth, predicted = _totals(counts)
    return [_ratio(h, t + p - h) for h, t, p in zip(hit, truth, predicted, strict=True)]


def f1(counts: Counts) -> list[Score]:
    """(C,) F1 of each class; for pixels the same number is called Dice."""
    hit, truth, predicted = _totals(counts)
    return [_ratio(2 * h, t + p) for h, t, p in zip(hit, truth, predicted, strict=True)]


def recall(counts: Counts) -> list[Score]:
    """(C,) share of each class's truth that was found; None where the class is not in the truth."""
    hit, truth, _ = _totals(counts)
    return [_ratio(h, t) for h, t in zip(hit, truth, strict=True)]


def mean_present(scores: Sequence[Score]) -> Score:
    """Mean over the classes that have a score; None if none has."""
    present = [score for score in scores if score is not None]
    return sum(present) / len(present) if present else None


def segmentation_scores(counts: Counts, classes: Sequence[str]) -> dict[str, Any]:
    """mIoU, IoU and Dice per class, pixel accuracy, and the all-background answer (class 0) on the same pixels.

    mIoU and Dice include the background, as published figures do; `miou_muscles` leaves it out.
    """
    background = constant_answer(counts, 0)
    return {
        "miou": mean_present(iou(counts)),
        "miou_muscles": mean_present(iou(counts)[1:]),
        "pixel_accuracy": accuracy(counts),
        "mean_dice": mean_present(f1(counts)),
        "iou": dict(zip(classes, iou(counts), strict=True)),
        "dice": dict(zip(classes, f1(counts), strict=True)),
        "baseline": {
            "answer": f"{classes[0]} everywhere",
            "miou": mean_present(iou(background)),
            "pixel_accuracy": accuracy(background),
        },
    }


def classification_scores(counts: Counts, classes: Sequence[str]) -> dict[str, Any]:
    """Accuracy, macro F1, F1 and recall per class, and the most frequent class as the answer to everything."""
    frequent = int(counts.sum(axis=1).argmax())
    constant = constant_answer(counts, frequent)
    return {
        "n": int(counts.sum()),
        "accuracy": accuracy(counts),
        "macro_f1": mean_present(f1(counts)),
        "f1": dict(zip(classes, f1(counts), strict=True)),
        "recall": dict(zip(classes, recall(counts), strict=True)),
        "baseline": {
            "answer": f"{classes[frequent]} always",
            "accuracy": accuracy(constant),
            "macro_f1": mean_present(f1(constant)),
        },
    }


def _totals(counts: Counts) -> tuple[list[int], list[int], list[int]]:
    return counts.diagonal().tolist(), counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()


def _ratio(part: int, whole: int) -> Score:
    return part / whole if whole else None
