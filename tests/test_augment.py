"""What training images go through: image and mask together, and what shows up from outside is ignored."""

from typing import Any

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from repset.learn.augment import Augmentation, Mirror, SaltAndPepper, twins
from repset.learn.data import IGNORE
from repset.params import SegmentationTrain

pytestmark = pytest.mark.train


CLASSES = ("background", "muscle")


def params(**changes: Any) -> SegmentationTrain:
    values: dict[str, Any] = dict(
        size_px=64, batch=4, epochs=1, max_steps=1, learning_rate=0.001, weight_decay=0, warmup_steps=None,
        step_epochs=5, gamma=0.5, loss="cross_entropy", background_weight=1, average=None, class_aware=False,
        architecture="Unet", encoder="resnet34", encoder_depth=5, decoder_channels=None, encoder_weights=None,
        mirror_views=False, flip_p=0, shear_deg=0, rotate_deg=0, scale=0, shift=0, colour=0, grayscale_p=0, blur_px=0,
        noise_p=0,
    )  # fmt: skip
    return SegmentationTrain(**{**values, **changes})


def test_image_and_mask_are_flipped_and_sheared_together() -> None:
    """A bright block that is its own mask must stay so, but for the pixels of its rim."""
    labels = torch.zeros(64, 64, dtype=torch.uint8)
    labels[20:44, 8:32] = 1
    image = (labels * 255).expand(3, 64, 64).clone()
    for seed in range(8):
        torch.manual_seed(seed)
        seen, mask = Augmentation(params(flip_p=0.5, shear_deg=15), CLASSES)(image, labels)
        kept = mask != IGNORE
        assert seen.dtype == mask.dtype == torch.uint8
        assert set(mask.unique().tolist()) <= {0, 1, IGNORE}
        assert ((seen[0] > 127) == (mask == 1))[kept].float().mean() > 0.97


def test_pixels_sheared_in_from_outside_are_ignored() -> None:
    torch.manual_seed(1)
    _, mask = Augmentation(params(shear_deg=15), CLASSES)(
        torch.zeros(3, 64, 64, dtype=torch.uint8), torch.zeros(64, 64).byte()
    )
    assert int((mask == IGNORE).sum()) > 50


def test_noise_turns_at_most_its_share_black_or_white_and_leaves_the_mask() -> None:
    image = torch.full((3, 200, 200), 100, dtype=torch.uint8)
    hits = []
    for seed in range(20):
        torch.manual_seed(seed)
        seen, mask = Augmentation(params(noise_p=0.05), CLASSES)(image, torch.ones(200, 200).byte())
        changed = (seen != 100).all(0)
        assert set(seen.unique().tolist()) <= {0, 100, 255}
        assert torch.equal(seen[0], seen[2])
        assert torch.all(mask == 1)
        hits.append(float(changed.float().mean()))
    assert max(hits) < 0.055
    assert 0.015 < np.mean(hits) < 0.035  # uniform between none and 5 %
    assert SaltAndPepper(0)._share == 0


def test_a_mirror_exchanges_the_names_of_sides_and_nothing_else() -> None:
    """Columns: left biceps, background, calf, right biceps; mirrored, the left biceps lies at the right end."""
    classes = ("background", "left_biceps", "right_biceps", "calf", "left_chest")
    assert twins(classes) == [0, 2, 1, 3, 4]  # left_chest has no twin
    labels = torch.tensor([[1, 0, 3, 2, IGNORE]] * 64, dtype=torch.uint8).repeat(1, 1)
    image = labels.expand(3, 64, 5).clone()
    seen, mask = Mirror(1.0, classes)(tv_tensors.Image(image), tv_tensors.Mask(labels))
    assert mask[0].tolist() == [IGNORE, 1, 3, 0, 2]
    assert seen[0, 0].tolist() == [IGNORE, 2, 3, 0, 1]
    same, kept = Mirror(0.0, classes)(tv_tensors.Image(image), tv_tensors.Mask(labels))
    assert torch.equal(same, image)
    assert torch.equal(kept, labels)


def test_zoom_turn_and_shift_move_image_and_mask_together() -> None:
    labels = torch.zeros(64, 64, dtype=torch.uint8)
    labels[20:44, 20:44] = 1
    image = (labels * 255).expand(3, 64, 64).clone()
    torch.manual_seed(3)
    areas = []
    for _ in range(12):
        seen, mask = Augmentation(params(rotate_deg=20, scale=0.3, shift=0.1), CLASSES)(image, labels)
        kept = mask != IGNORE
        assert ((seen[0] > 127) == (mask == 1))[kept].float().mean() > 0.95
        areas.append(int((mask == 1).sum()))
    assert min(areas) < 24 * 24 * 0.8
    assert max(areas) > 24 * 24 * 1.2
