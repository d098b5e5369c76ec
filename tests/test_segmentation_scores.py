"""Boundaries, calibration and intervals of masks, against numbers worked out by hand."""

import numpy as np
import pytest

from repset.learn.segmentation_scores import Tally, boundary_counts, difference_interval, interval

CLASSES = ("background", "biceps", "calf")


def block(left: int, right: int, size: int = 100) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[20:40, left:right] = True
    return mask


def test_a_boundary_within_the_tolerance_counts_and_one_beside_it_does_not() -> None:
    """100 × 100 px: the tolerance is ⌈0.0075 · 141.4⌉ = 2 px. A 20 × 20 block has a rim of 76 pixels."""
    assert boundary_counts(block(20, 40), block(20, 40)) == (76, 76, 76, 76)
    assert boundary_counts(block(20, 40), block(22, 42)) == (76, 76, 76, 76)
    near, all_, found, true = boundary_counts(block(20, 40), block(60, 80))
    assert (near, all_, found, true) == (0, 76, 0, 76)
    near, all_, found, true = boundary_counts(block(20, 40), block(24, 44))
    assert 0 < near < all_ == true == 76


def test_scores_of_one_image_by_hand() -> None:
    truth, labels = np.zeros((4, 5), np.uint8), np.zeros((4, 5), np.uint8)
    truth[0, :4], labels[0, 1:5] = 1, 1
    confidence = np.full((4, 5), 0.9, np.float32)
    confidence[0, 4] = 0.5
    tally = Tally(CLASSES)
    tally.add("a", truth, labels, confidence)
    scores = tally.scores()
    assert scores["iou"]["biceps"] == pytest.approx(3 / 5)
    assert scores["iou"]["calf"] is None
    assert scores["boundary_f1"]["calf"] is None
    assert scores["boundary_f1"]["biceps"] == 1.0  # one pixel beside, and one is the tolerance
    # In the bin of 0.9 are 19 pixels, 18 right; in that of 0.5 one, wrong.
    assert scores["calibration_error"]["all"] == pytest.approx((abs(19 * 0.9 - 18) + 0.5) / 20, rel=1e-5)
    assert scores["calibration_error"]["muscles"] == pytest.approx((abs(3 * 0.9 - 3) + 0.5) / 4, rel=1e-5)
    assert scores["interval_95"]["miou"] is None  # one group says nothing of others


def test_ignored_pixels_take_no_part() -> None:
    truth = np.array([[1, 255], [1, 255]], np.uint8)
    tally = Tally(CLASSES)
    tally.add("a", truth, np.ones((2, 2), np.uint8), np.ones((2, 2), np.float32))
    assert tally.scores()["calibration_error"] == {"all": 0.0, "muscles": 0.0}
    assert tally.total.sum() == 2


def counts(hit: int, missed: int) -> np.ndarray:
    """10 background pixels right; of class 1 `hit` found and `missed` called background."""
    return np.array([[10, 0], [missed, hit]], np.int64)


def test_groups_are_drawn_whole() -> None:
    """Half of the groups at IoU 1, half at 0: the mean of n draws has a deviation of 1 / (2 √n)."""
    groups = {str(n): counts(10, 0) if n % 2 else counts(0, 10) for n in range(40)}
    low, high = interval(groups, first=1)  # type: ignore[misc]
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(40), rel=0.1)
    assert (low + high) / 2 == pytest.approx(0.5, abs=0.02)
    assert interval({"a": counts(1, 1)}) is None


def test_the_difference_is_paired() -> None:
    """One model is better by exactly a tenth in every group, however much the groups differ."""
    one = {str(n): counts(10 * n + 10, 90 - 10 * n) for n in range(9)}
    other = {str(n): counts(10 * n, 100 - 10 * n) for n in range(9)}
    assert difference_interval(one, other) == pytest.approx([0.1, 0.1])
    with pytest.raises(ValueError, match="same groups"):
        difference_interval(one, {"0": counts(1, 1)})
