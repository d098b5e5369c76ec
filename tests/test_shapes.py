"""Masks ↔ outlines ↔ run lengths, against pycocotools and written-out values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from repset.errors import ShapeError
from repset.shapes import Mask, outline, overlap, polygon_mask, runs_mask, runs_of, unpack_runs

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


def test_a_square_with_a_hole_has_one_loop_around_and_one_inside() -> None:
    mask = np.ones((4, 5), bool)
    mask[1:3, 2] = False
    found = outline(mask)
    assert [sorted(map(tuple, loop.tolist())) for loop in found.outer] == [[(0, 0), (0, 4), (5, 0), (5, 4)]]
    assert [sorted(map(tuple, loop.tolist())) for loop in found.holes] == [[(2, 1), (2, 3), (3, 1), (3, 3)]]


@given(MASKS)
@settings(deadline=None)
def test_an_outline_gives_back_its_mask_to_the_pixel(mask: Mask) -> None:
    height, width = mask.shape
    found = outline(mask)
    filled = np.zeros(mask.shape, int)
    for loop in found.outer:
        filled += polygon_mask([loop], width, height)
    for loop in found.holes:
        filled -= polygon_mask([loop], width, height)
    assert np.array_equal(filled, mask.astype(int))


@given(MASKS)
@settings(deadline=None)
def test_run_lengths_are_those_of_pycocotools(mask: Mask) -> None:
    height, width = mask.shape
    runs = runs_of(mask)
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert unpack_runs(theirs) == runs
    assert np.array_equal(runs_mask(runs, width, height), mask)


@pytest.mark.parametrize(
    ("polygon", "why"),
    [
        ([0, 0, 1, 1], "a polygon of 4 numbers"),
        ([0, 0, 1, 1, 2, 2, 3], "a polygon of 7 numbers"),
        (["a", 0, 1, 1, 2, 2], "a polygon that is no list of numbers"),
        ([0, 0, float("nan"), 1, 2, 2], "a polygon with a corner that is no finite number"),
        ([0, 0, 1e9, 1, 2, 2], "a polygon with a corner far outside the image"),
        ([0, 0, 19, 9] * 210_000, "a polygon longer than 4,000,000 px"),
    ],
)
def test_a_polygon_that_would_harm_the_rasteriser_is_refused(polygon: list[float], why: str) -> None:
    with pytest.raises(ShapeError) as caught:
        polygon_mask([polygon], 20, 10)
    assert str(caught.value) == why


def test_a_polygon_that_leaves_the_image_a_little_is_cut_off() -> None:
    assert polygon_mask([[-2, -2, 2, -2, 2, 2, -2, 2]], 4, 3).sum() == 4


@pytest.mark.parametrize("runs", [[5, -2, 13], [5, 2], [], [16.0]])
def test_run_lengths_that_do_not_fill_the_image_are_refused(runs: list[int]) -> None:
    with pytest.raises(ShapeError, match=r"^run lengths that do not fill the image$"):
        runs_mask(runs, 4, 4)


@pytest.mark.parametrize(
    ("text", "why"), [("\n", "run lengths that are no such text"), ("o" * 12, "run lengths that are no such text"),
                      ("oo", "run lengths that break off")]
)  # fmt: skip
def test_run_length_text_that_is_none_is_refused(text: str, why: str) -> None:
    with pytest.raises(ShapeError) as caught:
        unpack_runs(text)
    assert str(caught.value) == why


def test_overlap_is_intersection_over_union() -> None:
    a, b = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    a[:, :2], b[:, 1:3] = True, True
    assert overlap(a, b) == 2 / 6
    assert overlap(a & b & ~a, np.zeros((2, 4), bool)) == 1.0
