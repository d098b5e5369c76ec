"""The segmentation network in torch: built by config for training, and asked by torch where ONNX Runtime is not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch

from repset.errors import ConfigError, RepsetError
from repset.learn import encoders, fit, to_onnx
from repset.learn.card import Card, load_into
from repset.learn.data import CLASSES, INPUT, OUTPUT, Pixels, Probability

TOLERANCE = 1e-3
"""Largest difference of a logit between torch and onnxruntime that is let through; some sixty convolutions lie between
the two ends."""

_USUAL_CHANNELS = (256, 128, 64, 32, 16)  # smp's own for a U-Net of five levels


class MuscleNet(torch.nn.Module):
    """(N, 3, S, S) RGB, 0 to 255 of any type → (N, C, S, S) logits. S is a multiple of 32.

    Pixels are standardised as the encoder's published weights expect. Channels lie innermost in memory, with which a
    CPU trains up to twice as fast, light encoders most.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, network: torch.nn.Module, encoder: str) -> None:
        super().__init__()
        self.unet = network.to(memory_format=torch.channels_last)
        for name, values in zip(("mean", "deviation"), encoders.pixels(encoder), strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        standard = (images / 255 - self.mean) / self.deviation
        logits: torch.Tensor = self.unet(standard.contiguous(memory_format=torch.channels_last))
        return logits


def build(shape: Mapping[str, Any], encoder_weights: str | None = None, classes: int = len(CLASSES)) -> MuscleNet:
    """The network, freshly drawn from torch's generator.

    Args:
        shape: `architecture`, `encoder`, `encoder_depth` and `decoder_channels` as in the params.
    Raises: ConfigError for an unknown architecture or encoder, or a decoder that does not fit; RepsetError if published
        weights were asked for and cannot be had.
    """
    name, encoder, channels = shape["architecture"], shape["encoder"], shape["decoder_channels"]
    if name.lower() not in (known := smp.MODEL_ARCHITECTURES_MAPPING):
        raise ConfigError(f"architecture: expected one of {', '.join(known)}, found {name!r}.")
    encoders.check(encoder)
    options = {"encoder_depth": shape["encoder_depth"]} | ({} if channels is None else {"decoder_channels": channels})
    if channels is None and shape["encoder_depth"] != 5:
        options["decoder_channels"] = _USUAL_CHANNELS[-shape["encoder_depth"] :]

    def make(fetched: str | None) -> torch.nn.Module:
        try:
            network: torch.nn.Module = smp.create_model(name, encoder, fetched, classes=classes, **options)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"architecture {name} with {encoder}: {str(error).splitlines()[0].rstrip('.')}. "
                "Set encoder_depth: 5 and decoder_channels: null, or another architecture."
            ) from error
        return network

    network = encoders.make(
        encoder, encoder_weights, make, lambda whole: whole.get_submodule("encoder"), "set encoder_weights: null"
    )
    return MuscleNet(network, encoder)


class _Answers(torch.nn.Module):
    """A network's logits and the probabilities they stand for."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.network(images)
        return logits, logits.softmax(1)


def as_onnx(network: MuscleNet, size_px: int) -> tuple[bytes, float]:
    """The network as ONNX: input `images` (N, 3, S, S) float32 RGB 0..255, outputs `logits` and `probabilities`
    (N, C, S, S), any N; and the largest difference of a logit from torch's on noise.

    Raises: RepsetError if torch's exporter does not know an operation, or the answers differ.
    """
    noise = np.random.default_rng(0).uniform(0, 255, (3, 3, size_px, size_px)).astype(np.float32)
    try:
        onnx = to_onnx.exported(_Answers(network), torch.from_numpy(noise[:2]), INPUT, "N", ("logits", OUTPUT))
    except Exception as error:  # of many types, by operation
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise RepsetError(f"{type(network.unet).__name__} cannot be written as ONNX ({reason}).") from error
    off = to_onnx.difference(network, onnx, INPUT, noise)
    if off > TOLERANCE:
        raise RepsetError(
            f"the exported network differs from the trained one by {off:.1e}, allowed is {TOLERANCE:.0e}. "
            "Check the versions of torch and onnx: repset doctor."
        )
    return onnx, off


class ByTorch:
    """A trained folder's network on a device, as `repset.learn.segmenter.Network` asks for it."""

    def __init__(self, folder: Path, card: Card, device: str) -> None:
        self._device = fit.prepare(card.seed, device)
        network = build(card.architecture)
        load_into(network, folder, card)
        self.network = network.to(self._device).eval()

    def __call__(self, images: Pixels) -> Probability:
        with torch.inference_mode():
            answer: Probability = self.network(torch.from_numpy(images).to(self._device)).softmax(1).cpu().numpy()
        return np.ascontiguousarray(answer)
