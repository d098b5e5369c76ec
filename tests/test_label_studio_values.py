"""Our values as Label Studio writes them and back: masks bit for bit, points, frames, choices."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from label_studio_sdk.converter import brush

from repset.review.ls_config import Screen, label_of, names_of, xml
from repset.review.ls_values import (
    ValueFault,
    frames_from_range,
    mask_from_rle,
    one_choice,
    percent,
    pixels,
    range_from_frames,
    rle_from_mask,
)

QUIET = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
CLASSES = ("biceps", "calf", "triceps")
MASKS = hnp.arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24)))


# --- brush -----------------------------------------------------------------------------------------------------------


@QUIET
@given(MASKS)
def test_a_mask_comes_back_bit_for_bit_from_their_code_and_ours(mask: np.ndarray) -> None:
    height, width = mask.shape
    ours, theirs = rle_from_mask(mask), brush.mask2rle((mask * 255).astype(np.uint8))
    assert np.array_equal(brush.decode_rle(ours).reshape(height, width, 4), np.repeat(mask[..., None] * 255, 4, axis=2))
    assert np.array_equal(mask_from_rle(ours, width, height), mask)
    assert np.array_equal(mask_from_rle(theirs, width, height), mask)


def test_a_large_mask_of_one_run() -> None:
    mask = np.ones((300, 500), bool)  # 600 000 values: longer than one run can be
    assert np.array_equal(brush.decode_rle(rle_from_mask(mask)).reshape(300, 500, 4)[..., 3] == 255, mask)
    assert mask_from_rle(rle_from_mask(mask), 500, 300).all()


@QUIET
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(4))))
def test_soft_edges_count_from_128_on_and_only_alpha_counts(rgba: np.ndarray) -> None:
    rle = brush.encode_rle(rgba.ravel())
    assert np.array_equal(mask_from_rle(rle, rgba.shape[1], rgba.shape[0]), rgba[..., 3] >= 128)


def test_literal_blocks_of_the_code_are_read() -> None:
    """The browser's encoder writes several unequal values behind one length; the Python one never does."""
    values = np.arange(0, 252, 7, dtype=np.uint8)  # 36 values: 3 × 3 pixels
    bits = f"{36:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    bits += "0" + "10" + f"{35:08b}" + "".join(f"{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    rle = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    assert np.array_equal(brush.decode_rle(rle), values)
    assert np.array_equal(mask_from_rle(rle, 3, 3), values.reshape(3, 3, 4)[..., 3] > 127)


@pytest.mark.parametrize(
    ("rle", "said"),
    [
        (None, "a brush that is no list of bytes"),
        ([1, 2, "x"], "a brush that is no list of bytes"),
        ([256], "a brush that is no list of bytes"),
        ([0, 0], "a brush that breaks off"),
        (rle_from_mask(np.eye(9, dtype=bool))[:-4], "a brush that breaks off"),
        (rle_from_mask(np.eye(8, dtype=bool)), "a brush of 64 pixels for an image of 9 × 9"),
        ([255] * 12, "a brush of 1073741823 pixels for an image of 9 × 9"),
    ],
)
def test_a_broken_brush_says_what_is_wrong(rle: Any, said: str) -> None:
    with pytest.raises(ValueFault) as fault:
        mask_from_rle(rle, 9, 9)
    assert str(fault.value) == said


# --- points, ranges, choices -----------------------------------------------------------------------------------------


@QUIET
@given(st.integers(1, 4000), st.integers(1, 4000), st.floats(0, 1), st.floats(0, 1))
def test_points_come_back_within_a_millionth_of_a_pixel(width: int, height: int, u: float, v: float) -> None:
    x, y = pixels(*json.loads(json.dumps(percent((u * width, v * height), width, height))), width, height)
    assert abs(x - u * width) <= 1e-6
    assert abs(y - v * height) <= 1e-6


def test_frames_count_from_1_there_and_include_the_last() -> None:
    assert range_from_frames(0, 10) == {"start": 1, "end": 10}
    assert frames_from_range([{"start": 1, "end": 10}], 10) == (0, 10)
    assert frames_from_range([{"start": 5, "end": 12}], 10, slack=2) == (4, 10)


def faults() -> list[tuple[Callable[[], object], str]]:
    return [
        (lambda: frames_from_range([{"start": 5, "end": 13}], 10, 2), "a segment of frames 5 to 13 in a clip of 10"),
        (lambda: frames_from_range([{"start": 0, "end": 3}], 10), "a segment of frames 0 to 3 in a clip of 10"),
        (lambda: frames_from_range([{"start": 4, "end": 3}], 10), "a segment of frames 4 to 3 in a clip of 10"),
        (lambda: frames_from_range([{"start": 1.5, "end": 3}], 10), "a segment without whole frame numbers"),
        (lambda: frames_from_range([], 10), "a segment without its one range"),
        (lambda: pixels(100.1, 3, 9, 9), "a point at 100.1 %, 3 %, outside the image"),
        (lambda: pixels(None, 3, 9, 9), "a point without numbers"),
        (lambda: pixels(float("nan"), 3, 9, 9), "a point without numbers"),
        (lambda: one_choice(["a", "b"], ("a",)), "2 choices where one is meant"),
        (lambda: one_choice(None, ("a",)), "no choices where one is meant"),
        (lambda: one_choice(["z"], ("a",)), "the unknown label 'z'"),
    ]


@pytest.mark.parametrize(("call", "said"), faults())
def test_a_wrong_value_says_what_is_wrong(call: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueFault) as fault:
        call()
    assert str(fault.value) == said


def test_labels_of_several_people() -> None:
    assert [label_of("calf", 0), label_of("calf", 2)] == ["calf", "calf #3"]
    assert [names_of("calf"), names_of("calf #3"), names_of("odd #1")] == [("calf", 0), ("calf", 2), ("odd #1", 0)]
    text = xml(Screen("image", ("calf",), ("penn_13",), persons=2))
    assert text.count('<Label value="left_elbow #2" background="#56B4E9"/>') == 1
    assert text.count('<Label value="calf #2"') == 1
