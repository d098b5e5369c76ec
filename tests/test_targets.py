"""How alike two targets are: stretches of time by overlap, masks by pixels."""

from typing import Any

import cv2
import numpy as np
import pytest

from repset.curate.targets import interval_iou, mask_iou


def mask(left: int, right: int) -> bytes:
    image = np.zeros((10, 20), np.uint8)
    image[:, left:right] = 255
    return bytes(cv2.imencode(".png", image)[1])


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        ((0, 2), (0, 2), 1),
        ((0, 2), (1, 3), 1 / 3),
        ((0, 2), (2, 4), 0),
        ((0, 4), (0, 2), 0.5),
        (None, None, 1),
        (None, (0, 1), 0),
    ],
)
def test_the_overlap_of_half_open_intervals(a: Any, b: Any, iou: float) -> None:
    assert interval_iou(a, b) == pytest.approx(iou)
    assert interval_iou(b, a) == pytest.approx(iou)


def test_mask_overlap_counts_pixels() -> None:
    assert mask_iou(mask(0, 10), mask(5, 15)) == pytest.approx(1 / 3)
    assert mask_iou(mask(3, 3), mask(3, 3)) == 1
    assert mask_iou(mask(0, 10), bytes(cv2.imencode(".png", np.full((5, 5), 255, np.uint8))[1])) == 0
