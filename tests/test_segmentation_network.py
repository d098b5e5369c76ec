"""The network by config, how its items are drawn, and how sure it says it is."""

from typing import Any

import pytest
import torch

from repset.errors import ConfigError
from repset.learn import segmentation

pytestmark = pytest.mark.train

SHAPE: dict[str, Any] = {
    "architecture": "Unet", "encoder": "mobilenet_v2", "encoder_depth": 5, "decoder_channels": None,
}  # fmt: skip


def test_an_unknown_architecture_and_a_decoder_that_does_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^architecture: expected one of unet, .*, found 'Vnet'.$"):
        segmentation.build(SHAPE | {"architecture": "Vnet"})
    with pytest.raises(ConfigError, match=r"^architecture Unet with mobilenet_v2: .* Set encoder_depth: 5"):
        segmentation.build(SHAPE | {"decoder_channels": [8, 8]})


@pytest.mark.parametrize("architecture", ["FPN", "DeepLabV3Plus", "UnetPlusPlus"])
def test_other_architectures_come_by_config(architecture: str) -> None:
    network = segmentation.build(SHAPE | {"architecture": architecture}).eval()
    assert network(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).shape == (1, 4, 64, 64)


def test_rare_classes_are_drawn_as_often_as_frequent_ones() -> None:
    labels = [{"biceps"}, {"biceps"}, {"biceps", "calf"}, set(), set()]
    assert segmentation.class_aware(labels) == pytest.approx((1 / 3, 1 / 3, 1, 1 / 2, 1 / 2))


def test_agreement_is_the_overlap_of_two_probability_maps() -> None:
    maps = torch.tensor([[[0.2, 0.8]], [[0.4, 0.6]]])
    assert segmentation.agreement(maps) == pytest.approx((0.2 + 0.6) / (0.4 + 0.8))
    assert segmentation.agreement(maps[:1].expand(2, 1, 2)) == pytest.approx(1)
