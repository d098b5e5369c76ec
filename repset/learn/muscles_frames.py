"""Pictures of a clip as numbers, by an image encoder that stays as it is: what RGB may add to the muscle model.

The interface is `FrameEncoder.describe`: images in, one row of numbers out. The baseline is any encoder of
segmentation-models-pytorch, frozen. Nothing is learned from the pictures but the regression on top, so a score says
what published image features tell of muscles, and claims no more.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import segmentation_models_pytorch as smp
import torch

from repset.learn import encoders
from repset.learn.data import Square
from repset.video import FrameStore, Image, read_video

FRAMES = 8
"""Looked at in each clip, evenly spaced."""

DEFAULT = "tu-tf_efficientnet_lite0"
"""Small, and its weights come with the installation."""

SIZE_PX = 224
"""The square that the published weights of ImageNet were trained on."""


class FrameEncoder:
    """A frozen image encoder.

    Args:
        name: an encoder of segmentation-models-pytorch.
        weights: imagenet (fetched once where no package carries them), or none: drawn at random with a fixed seed,
            which shows what a network that has learned nothing gives.
    Raises: ConfigError for an unknown name; RepsetError if the weights cannot be had.
    """

    def __init__(self, name: str = DEFAULT, weights: str = "imagenet") -> None:
        encoders.check(name)
        torch.manual_seed(0)

        def make(fetched: str | None) -> torch.nn.Module:
            found: torch.nn.Module = smp.encoders.get_encoder(name, weights=fetched)
            return found

        published = None if weights == "none" else weights
        network = encoders.make(name, published, make, lambda whole: whole, "take --encoder-weights none")
        self.name, self.weights, self._network = name, weights, network.eval()

    def describe(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        """BGR images (H, W, 3) of one clip → (2 · K,): mean and standard deviation over them of the encoder's last K
        channels, each averaged over the picture. A mirror image gives other numbers; none is taken here."""
        squares = [Square(SIZE_PX, *image.shape[:2]).image(image)[..., ::-1] for image in images]
        pixels = torch.from_numpy(np.stack(squares).transpose(0, 3, 1, 2).copy()) / 255
        mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in encoders.pixels(self.name))
        with torch.inference_mode():
            rows = self._network((pixels - mean) / deviation)[-1].mean(dim=(2, 3)).numpy()
        return np.asarray(np.concatenate([rows.mean(axis=0), rows.std(axis=0)]), np.float32)


class ClipFrames:
    """The pictures of an index's samples: from its shards, or from the video file that a sample names."""

    def __init__(self, index: Path, root: Path) -> None:
        self._root = root
        self._store = FrameStore(index) if (index / "frames.parquet").is_file() else None

    def evenly(self, sample: Mapping[str, Any], limits: tuple[int, int] | None) -> list[Image]:
        """FRAMES pictures of a sample, or of its frames [first, end); fewer where it has fewer, none without any.

        Raises: DataError if a picture or the video cannot be read.
        """
        if sample.get("media"):
            path = self._root / str(sample["media"])
            first, end = limits or (0, sample.get("frames") or sum(1 for _ in read_video(path)))
            wanted = {first + at for at in _places(end - first)}
            return [image for number, (_, image) in enumerate(read_video(path)) if number in wanted]
        rows = self._store.rows(str(sample["sample_id"])) if self._store else []
        first, end = limits or (0, len(rows))
        chosen = rows[first:end]
        return [self._store.image(chosen[at]) for at in _places(len(chosen))] if self._store else []


def _places(count: int) -> list[int]:
    """FRAMES places in `count`, the middles of as many equal parts."""
    return sorted({int((part + 0.5) * count / FRAMES) for part in range(FRAMES)}) if count > 0 else []
