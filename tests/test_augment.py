"""What training images go through: image and mask together, and what shows up from outside is ignored."""

from typing import Any

import numpy as np
import pytest
import torch

from repset.learn.augment import Augmentation, SaltAndPepper
from repset.learn.data import IGNORE
from repset.params import SegmentationTrain

pytestmark = pytest.mark.train


def params(**changes: Any) -> SegmentationTrain:
    values: dict[str, Any] = dict(
        size_px=64, batch=4, epochs=1, max_steps=1, learning_rate=0.001, step_epochs=5, gamma=0.5,
        background_weight=1, encoder="resnet34", encoder_weights=None, flip_p=0, shear_deg=0,
        grayscale_p=0, blur_px=0, noise_p=0,
    )  # fmt: skip
    return SegmentationTrain(**{**values, **changes})


def test_image_and_mask_are_flipped_and_sheared_together() -> None:
    """A bright block that is its own mask must stay so, but for the pixels of its rim."""
    labels = torch.zeros(64, 64, dtype=torch.uint8)
    labels[20:44, 8:32] = 1
    image = (labels * 255).expand(3, 64, 64).clone()
    for seed in range(8):
        torch.manual_seed(seed)
        seen, mask = Augmentation(params(flip_p=0.5, shear_deg=15))(image, labels)
        kept = mask != IGNORE
        assert seen.dtype == mask.dtype == torch.uint8
        assert set(mask.unique().tolist()) <= {0, 1, IGNORE}
        assert ((seen[0] > 127) == (mask == 1))[kept].float().mean() > 0.97


def test_pixels_sheared_in_from_outside_are_ignored() -> None:
    torch.manual_seed(1)
    _, mask = Augmentation(params(shear_deg=15))(torch.zeros(3, 64, 64, dtype=torch.uint8), torch.zeros(64, 64).byte())
    assert int((mask == IGNORE).sum()) > 50


def test_noise_turns_at_most_its_share_black_or_white_and_leaves_the_mask() -> None:
    image = torch.full((3, 200, 200), 100, dtype=torch.uint8)
    hits = []
    for seed in range(20):
        torch.manual_seed(seed)
        seen, mask = Augmentation(params(noise_p=0.05))(image, torch.ones(200, 200).byte())
        changed = (seen != 100).all(0)
        assert set(seen.unique().tolist()) <= {0, 100, 255}
        assert torch.equal(seen[0], seen[2])
        assert torch.all(mask == 1)
        hits.append(float(changed.float().mean()))
    assert max(hits) < 0.055
    assert 0.015 < np.mean(hits) < 0.035  # uniform between none and 5 %
    assert SaltAndPepper(0)._share == 0
