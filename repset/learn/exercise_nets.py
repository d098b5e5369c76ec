"""The two exercise networks: DeepFit's, one frame at a time, and a small temporal convolution over windows.

Both take blocks: a batch of blocks of items, so that the training loop handles hundreds of small items as one
tensor. Logits come out with the classes on axis 1, as `repset.learn.fit.train` wants them.
"""

import itertools
from typing import Any

import torch
from torch import nn

from repset.landmarks import COCO_18
from repset.pose_features import CHANNELS

DEEPFIT_HIDDEN = (64, 32, 16)
"""Hidden units of the published network (github.com/namanarora42/DeepFit, DeepFit_training.ipynb)."""

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}


class DeepFit(nn.Module):
    """36 → 64 → 32 → 16 → classes, fully connected, dropout after each hidden layer.

    `forward` takes (N, B, 36) as `repset.pose_features.deepfit_frames` gives them and returns (N, classes, B).
    """

    def __init__(self, classes: int, dropout: float, activation: str) -> None:
        super().__init__()
        widths = (2 * len(COCO_18.joints), *DEEPFIT_HIDDEN)
        layers: list[nn.Module] = []
        for wide, narrow in itertools.pairwise(widths):
            layers += [nn.Linear(wide, narrow), ACTIVATIONS[activation](), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, B, 36) → logits (N, classes, B)."""
        logits: torch.Tensor = self.layers(x)
        return logits.movedim(-1, 1)


class Residual(nn.Module):
    """Normalise, convolve with a dilation, add: the length stays."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(1, width),
            nn.Conv1d(width, width, 5, padding=2 * dilation, dilation=dilation),
            nn.ReLU(),
            nn.Dropout(0.1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change: torch.Tensor = self.layers(x)
        return x + change


class Temporal(nn.Module):
    """A 1-D convolution over the steps of a window; halves them first, pools mean and maximum, then classifies.

    `forward` takes windows (N, CHANNELS, steps) and returns logits (N, classes).
    """

    def __init__(self, classes: int, width: int, dropout: float) -> None:
        super().__init__()
        self.entry = nn.Conv1d(CHANNELS, width, 5, stride=2, padding=2)
        self.blocks = nn.Sequential(*(Residual(width, dilation) for dilation in (1, 2, 4)))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.blocks(self.entry(x)))
        pooled = torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1)
        logits: torch.Tensor = self.head(self.dropout(pooled))
        return logits


class InBlocks(nn.Module):
    """A network of items made into one of blocks: (N, B, ...) → (N, classes, B)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(x.flatten(0, 1))
        return logits.reshape(*x.shape[:2], -1).movedim(-1, 1)


def build(architecture: dict[str, Any]) -> tuple[Temporal, DeepFit]:
    """Both networks, without weights, from `Card.architecture` (see `repset.learn.exercise`)."""
    temporal, deepfit = architecture["temporal"], architecture["deepfit"]
    return (
        Temporal(temporal["classes"], temporal["width"], temporal["dropout"]),
        DeepFit(deepfit["classes"], deepfit["dropout"], deepfit["activation"]),
    )
