"""The network by config, how its items are drawn, and how sure it says it is."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from repset.errors import ConfigError
from repset.learn import data, segmentation
from repset.learn.card import Card, save_model
from repset.learn.data import CLASSES
from repset.learn.muscle_net import as_onnx, build
from repset.learn.segmenter import Segmenter, strongest

pytestmark = pytest.mark.train

SHAPE: dict[str, Any] = {
    "architecture": "Unet", "encoder": "mobilenet_v2", "encoder_depth": 5, "decoder_channels": None,
}  # fmt: skip


def test_an_unknown_architecture_and_a_decoder_that_does_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^architecture: expected one of unet, .*, found 'Vnet'.$"):
        build(SHAPE | {"architecture": "Vnet"})
    with pytest.raises(ConfigError, match=r"^architecture Unet with mobilenet_v2: .* Set encoder_depth: 5"):
        build(SHAPE | {"decoder_channels": [8, 8]})


@pytest.mark.parametrize("architecture", ["FPN", "DeepLabV3Plus", "UnetPlusPlus"])
def test_other_architectures_come_by_config(architecture: str) -> None:
    network = build(SHAPE | {"architecture": architecture}).eval()
    assert network(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).shape == (1, 4, 64, 64)


def test_rare_classes_are_drawn_as_often_as_frequent_ones() -> None:
    labels = [{"biceps"}, {"biceps"}, {"biceps", "calf"}, set(), set()]
    assert segmentation.class_aware(labels) == pytest.approx((1 / 3, 1 / 3, 1, 1 / 2, 1 / 2))


def test_a_proposals_score_is_the_overlap_that_its_probabilities_expect() -> None:
    biceps = np.array([[[0.8, 0.6, 0.2, 0.0]], [[1.0, 0.6, 0.4, 0.0]]], np.float32)  # in both views: 0.9 0.6 0.3 0
    views = np.stack([1 - biceps, biceps, 0 * biceps, 0 * biceps], 1)
    card = Card(model="segmentation", architecture={}, classes=CLASSES, skeleton=None, params={}, seed=3, data={},
                data_kind="rendered sample", training={}, weights_sha256="0")  # fmt: skip
    background, muscle = segmentation._proposals(data.MaskedImage("gym", "gym/1", "", "train"), views, card)
    assert json.loads(muscle["target"])["class"] == "biceps"
    assert muscle["score"] == pytest.approx((0.9 + 0.6) / (2 + 0.3), abs=1e-6)
    assert background["score"] == pytest.approx(1 - 0.9, abs=1e-6)
    mask = np.array([[True, True, False]])
    assert segmentation.expected_iou(mask.astype(np.float32), mask) == 1


@pytest.mark.parametrize(("mirror", "onnx"), [(False, True), (True, True), (True, False)])
def test_the_answer_is_that_of_the_logits_scaled_to_the_image(tmp_path: Path, mirror: bool, onnx: bool) -> None:
    """Beside an independent way: logits scaled by torch, softmax at the image's own size, mean, arg max."""
    torch.manual_seed(3)
    network = build(SHAPE).eval()
    card = Card(model="segmentation", architecture=SHAPE | {"size_px": 64}, classes=CLASSES, skeleton=None,
                params={"mirror_views": mirror}, seed=3, data={}, data_kind="rendered sample", training={})  # fmt: skip
    save_model(tmp_path, network.state_dict(), card, as_onnx(network, 64)[0] if onnx else None)
    rng = np.random.default_rng(5)
    image = cv2.resize(rng.integers(0, 255, (9, 12, 3), np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
    square = np.zeros((64, 64, 3), np.uint8)
    square[:48] = cv2.resize(image, (64, 48), interpolation=cv2.INTER_AREA)
    pixels = torch.from_numpy(square[..., ::-1].transpose(2, 0, 1).copy())[None]
    with torch.inference_mode():
        views = [network(pixels)] + ([network(pixels.flip(-1)).flip(-1)] if mirror else [])
        scaled = [torch.nn.functional.interpolate(v[..., :48, :], (120, 160), mode="bilinear") for v in views]
        expected_p, expected = torch.stack([s.softmax(1) for s in scaled]).mean(0)[0].max(0)
    model = Segmenter(tmp_path, "cpu")
    labels, p = next(model.label_with_probability([image]))
    assert (labels.shape, labels.dtype, p.shape) == ((120, 160), np.uint8, (120, 160))
    assert len(np.unique(labels)) > 1
    assert np.abs(p - expected_p.numpy()).max() < 0.02
    assert (labels == expected.numpy()).mean() > 0.995
    assert np.array_equal(next(model.label([image])), labels)


def test_of_equal_probabilities_the_first_class_is_named() -> None:
    planes = [np.array([row], np.float32) for row in ([0.4, 0.2, 0.1], [0.4, 0.5, 0.2], [0.2, 0.3, 0.7])]
    labels, p = strongest(dict(enumerate(planes)))
    assert labels.tolist() == [[0, 1, 2]]
    assert p[0].tolist() == pytest.approx([0.4, 0.5, 0.7])


@pytest.mark.parametrize(("height", "width"), [(480, 640), (97, 53), (1000, 64), (30, 20), (2, 700)])
def test_a_part_that_is_scaled_alone_is_that_of_the_whole(height: int, width: int) -> None:
    """What differs from the background only near marked pixels is found there, and nothing outside."""
    rng, square = np.random.default_rng(height), data.Square(96, height, width)
    rows, columns = square.fitted
    for _ in range(30):
        maps = np.stack([np.full((rows, columns), 0.5), *np.zeros((2, rows, columns))]).astype(np.float32)
        row, column = rng.integers(rows), rng.integers(columns)
        part = maps[1:, row : row + rng.integers(1, 20), column : column + rng.integers(1, 20)]
        part[:] = rng.uniform(0, 1, part.shape)
        marked = (maps[1:] >= maps[0]).any(0)
        labels, scaled = np.zeros((height, width), int), np.stack(square.enlarged(maps))
        found = square.enlarged_around(maps, marked)
        if found:
            box, planes = found
            assert np.abs(np.stack(planes) - scaled[:, *box]).max() < 1e-5
            labels[box] = np.argmax(planes, 0)
        unsure = np.abs(scaled[1:].max(0) - scaled[0]) < 1e-5
        assert np.array_equal(labels[~unsure] > 0, scaled.argmax(0)[~unsure] > 0)


@pytest.mark.parametrize("seen", [(), (2,), (1, 3), (1, 2, 3)])
def test_labels_alone_are_those_with_probabilities(seen: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Smooth maps in which only some classes are anywhere above the background."""
    rng, square = np.random.default_rng(len(seen)), data.Square(96, 240, 320)
    maps = np.full((4, 72, 96), 0.1, np.float32)
    maps[0] = 0.5
    for index in seen:
        maps[index] = cv2.GaussianBlur(rng.uniform(-1, 2, (72, 96)).astype(np.float32), (0, 0), 3)
    model = object.__new__(Segmenter)
    monkeypatch.setattr(model, "_means", lambda images: iter([(square, maps)]))
    labels = next(model.label([]))
    assert set(np.unique(labels)) == {0, *seen}
    assert np.array_equal(labels, next(model.label_with_probability([]))[0])
    assert np.array_equal(labels, np.argmax(square.enlarged(maps), 0))


def test_an_image_is_halved_first_and_stays_the_mean_of_its_area() -> None:
    """480 → 240 → 120 → 72 rows beside numpy's means over the same area (72 rows: 6.67 pixels each)."""
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    ramp = np.linspace(0, 120, 480)[:, None, None] + np.linspace(0, 120, 640)[None, :, None] + np.zeros(3)
    for image, largest, usual in ((ramp.astype(np.uint8), 1.7, 0.6), (cv2.GaussianBlur(noise, (0, 0), 2), 8, 1.5)):
        fine = np.repeat(np.repeat(image.astype(float), 3, 0), 3, 1)  # of these thirds 20 make one pixel
        means = fine.reshape(72, 20, 96, 20, 3).mean((1, 3))
        off = np.abs(data.Square(96, 480, 640).image(image)[:72] - means)
        assert (off.max() < largest, off.mean() < usual) == (True, True)


def test_an_image_keeps_its_proportions_and_what_is_beside_it_is_ignored() -> None:
    square = data.Square(64, 100, 50)
    labels = square.labels(np.full((100, 50), 2, np.uint8))
    assert square.fitted == (64, 32)
    assert np.all(labels[:, :32] == 2)
    assert np.all(labels[:, 32:] == data.IGNORE)
    image = square.image(np.full((100, 50, 3), 200, np.uint8))
    assert np.all(image[:, :32] == 200)
    assert not image[:, 32:].any()
