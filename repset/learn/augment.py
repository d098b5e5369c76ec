"""Augmentation, image and mask together: the published recipe's (../pipelines/real.yaml), and more of the same kind.

The published amounts are those of the UNH report on activated muscles (2024): flips, shear ±15°, grayscale for 25 % of
the images, blur up to 1.2 px, noise in up to 0.22 % of the pixels. Only left and right are flipped: a person upside
down is no gym picture. Where a class has a side (left_…, right_…), a flip makes it its twin.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from repset.learn.data import twins
from repset.learn.metrics import IGNORE
from repset.params import SegmentationTrain


class SaltAndPepper(v2.Transform):  # type: ignore[misc]  # torchvision ships no types
    """A random share of the pixels, at most `share`, turned black or white; v2 itself knows Gaussian noise only."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = share

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        size = v2.functional.get_size(flat_inputs[0])
        return {"hit": torch.rand(size) < self._share * torch.rand(()), "white": torch.rand(size) < 0.5}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        noise = params["white"].to(inpt.dtype) * 255
        return tv_tensors.wrap(torch.where(params["hit"], noise, inpt), like=inpt)


class Mirror(v2.Transform):  # type: ignore[misc]
    """Left and right exchanged with probability `p`, in the names of the labels too."""

    def __init__(self, p: float, classes: Sequence[str]) -> None:
        super().__init__()
        self._p, self._twins = p, torch.arange(256, dtype=torch.uint8)
        for index, twin in enumerate(twins(classes)):
            self._twins[index] = twin

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"flip": bool(torch.rand(()) < self._p)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not params["flip"]:
            return inpt
        flipped = inpt.flip(-1)
        if isinstance(inpt, tv_tensors.Mask):
            flipped = self._twins[flipped.long()]
        return tv_tensors.wrap(flipped, like=inpt)


class Augmentation:
    """(3, S, S) uint8 image and (S, S) uint8 labels → the same, drawn from torch's global generator.

    Pixels that shear in from outside are black in the image and IGNORE in the labels; labels move by nearest pixel.
    """

    def __init__(self, params: SegmentationTrain, classes: Sequence[str]) -> None:
        shear = params.shear_deg
        fill = {tv_tensors.Image: 0, tv_tensors.Mask: IGNORE}
        steps: list[Any] = [
            Mirror(params.flip_p, classes),
            v2.RandomAffine(
                params.rotate_deg, translate=(params.shift, params.shift), scale=(1 - params.scale, 1 + params.scale),
                shear=(-shear, shear, -shear, shear), interpolation=_BILINEAR, fill=fill,
            ),
        ]  # fmt: skip
        if params.colour > 0:
            steps.append(v2.ColorJitter(params.colour, params.colour, params.colour))
        steps.append(v2.RandomGrayscale(params.grayscale_p))
        if params.blur_px > 0:
            width = 2 * round(3 * params.blur_px) + 1  # the kernel reaches three standard deviations
            steps.append(v2.GaussianBlur(width, sigma=(0.01, params.blur_px)))
        self._steps = v2.Compose([*steps, SaltAndPepper(params.noise_p)])

    def __call__(self, image: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen, mask = self._steps(tv_tensors.Image(image), tv_tensors.Mask(labels))
        return seen.as_subclass(torch.Tensor), mask.as_subclass(torch.Tensor)


_BILINEAR = v2.InterpolationMode.BILINEAR
