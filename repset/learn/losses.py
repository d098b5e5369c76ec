"""Losses by name, all over (N, C, ...) logits and (N, ...) labels, pixels labelled metrics.IGNORE aside.

Dice and focal terms are segmentation-models-pytorch's. Dice (Milletari et al. 2016) is taken over the whole batch and
over the muscles alone: one class's share of it is the same however few pixels it has, so that an answer of background
everywhere costs as much as it should. Focal loss (Lin et al. 2017, gamma 2) turns away from pixels that are sure.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch

from repset.learn.metrics import IGNORE

LossName = Literal["cross_entropy", "dice_cross_entropy", "dice_focal"]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def build_loss(name: LossName, classes: int, weights: Sequence[float] | None) -> Loss:
    """The loss of a batch.

    Args:
        weights: of the classes in the cross-entropy; None: all alike. Class 0 (background) takes no part in Dice.
    """
    if name == "cross_entropy":
        return lambda logits, target: cross_entropy(logits, target, classes, weights)
    import segmentation_models_pytorch as smp  # imported here, since the other models need none of it

    dice = smp.losses.DiceLoss("multiclass", classes=list(range(1, classes)), ignore_index=IGNORE)
    focal = smp.losses.FocalLoss("multiclass", ignore_index=IGNORE)

    def both(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        labels = target.long()
        pixel = focal(logits, labels) if name == "dice_focal" else cross_entropy(logits, target, classes, weights)
        total: torch.Tensor = dice(logits, labels) + pixel
        return total

    return both


def cross_entropy(
    logits: torch.Tensor, target: torch.Tensor, classes: int, weights: Sequence[float] | None
) -> torch.Tensor:
    """Mean over the labelled items; flattened to (items, classes), since the two-dimensional form has no deterministic
    kernel on CUDA."""
    flat = logits.movedim(1, -1).reshape(-1, classes)
    scale = None if weights is None else flat.new_tensor(weights)
    return torch.nn.functional.cross_entropy(flat, target.reshape(-1).long(), scale, ignore_index=IGNORE)
