"""Scores against values written out by hand."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_f1_score, multiclass_jaccard_index

from repset.learn import metrics

CLASSES = ("background", "biceps", "triceps", "calf")
# Truth: 6 background, 3 biceps, 1 triceps, no calf. One background pixel is called biceps, the triceps background.
TRUTH = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2])
PREDICTED = np.array([0, 0, 0, 0, 0, 1, 1, 1, 0, 0])
COUNTS = np.array([[5, 1, 0, 0], [1, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])


def test_confusion_counts_truth_in_rows() -> None:
    np.testing.assert_array_equal(metrics.confusion(TRUTH, PREDICTED, 4), COUNTS)


def test_ignored_pixels_are_not_counted() -> None:
    truth = np.array([[0, metrics.IGNORE], [1, metrics.IGNORE]], np.uint8)
    predicted = np.array([[0, 1], [0, 0]], np.uint8)
    np.testing.assert_array_equal(metrics.confusion(truth, predicted, 2), [[1, 0], [1, 0]])


def test_a_label_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="expected labels below 2"):
        metrics.confusion(np.array([2]), np.array([0]), 2)


def test_absent_class_is_none_and_not_in_the_mean() -> None:
    assert metrics.iou(COUNTS) == [5 / 8, 2 / 4, 0.0, None]
    scores = metrics.segmentation_scores(COUNTS, CLASSES)
    assert scores["iou"]["calf"] is None
    assert scores["dice"]["calf"] is None
    assert scores["miou"] == pytest.approx((5 / 8 + 1 / 2 + 0) / 3)
    assert scores["miou_muscles"] == pytest.approx((1 / 2 + 0) / 2)
    assert scores["pixel_accuracy"] == 0.7


def test_a_class_predicted_but_not_there_scores_zero() -> None:
    counts = np.array([[8, 2], [0, 0]])
    assert metrics.iou(counts) == [0.8, 0.0]
    assert metrics.recall(counts) == [0.8, None]


def test_all_background_answer_shows_in_the_baseline() -> None:
    baseline = metrics.segmentation_scores(COUNTS, CLASSES)["baseline"]
    assert baseline == {
        "answer": "background everywhere",
        "miou": pytest.approx((6 / 10 + 0 + 0) / 3),
        "pixel_accuracy": 0.6,
    }


def test_a_model_that_collapsed_to_background_scores_its_baseline() -> None:
    collapsed = metrics.constant_answer(COUNTS, 0)
    scores = metrics.segmentation_scores(collapsed, CLASSES)
    assert scores["miou"] == scores["baseline"]["miou"]
    assert scores["pixel_accuracy"] == scores["baseline"]["pixel_accuracy"]


def test_empty_fold_has_no_score() -> None:
    empty = np.zeros((4, 4), np.int64)
    scores = metrics.segmentation_scores(empty, CLASSES)
    assert scores["miou"] is None
    assert scores["pixel_accuracy"] is None
    assert metrics.classification_scores(empty, CLASSES)["macro_f1"] is None


def test_classification_scores_by_hand() -> None:
    counts = np.array([[3, 1], [2, 4]])
    scores = metrics.classification_scores(counts, ("squat", "lunge"))
    assert scores == {
        "n": 10,
        "accuracy": 0.7,
        "macro_f1": pytest.approx((6 / 9 + 8 / 11) / 2),
        "f1": {"squat": pytest.approx(6 / 9), "lunge": pytest.approx(8 / 11)},
        "recall": {"squat": 0.75, "lunge": pytest.approx(4 / 6)},
        "baseline": {"answer": "lunge always", "accuracy": 0.6, "macro_f1": pytest.approx((0 + 12 / 16) / 2)},
    }


@pytest.mark.train
def test_torchmetrics_agrees_where_every_class_is_present() -> None:
    rng = np.random.default_rng(3)
    truth, predicted = rng.integers(0, 4, 500), rng.integers(0, 4, 500)
    counts = metrics.confusion(truth, predicted, 4)
    arguments = torch.from_numpy(predicted), torch.from_numpy(truth), 4
    assert metrics.mean_present(metrics.iou(counts)) == pytest.approx(float(multiclass_jaccard_index(*arguments)))
    assert metrics.mean_present(metrics.f1(counts)) == pytest.approx(float(multiclass_f1_score(*arguments)))
