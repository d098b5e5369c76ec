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

from repset.errors import ConfigError, RepsetError
from repset.learn.data import Square
from repset.video import FrameStore, Image, read_video

FRAMES = 8
"""Looked at in each clip, evenly spaced."""

SIZE_PX = 224
"""The square that the published weights of ImageNet were trained on."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's RGB pixels (0..1), which most published weights expect. The library's own numbers for an encoder would
have to be fetched, even where its weights are not."""


class FrameEncoder:
    """A frozen image encoder.

    Args:
        name: an encoder of segmentation-models-pytorch, for example resnet18.
        weights: imagenet (fetched once), or none: drawn at random with a fixed seed, which shows what a network that
            has learned nothing gives.
    Raises: ConfigError for an unknown name; RepsetError if the weights cannot be had.
    """

    def __init__(self, name: str = "resnet18", weights: str = "imagenet") -> None:
        if name not in smp.encoders.get_encoder_names():
            raise ConfigError(f"encoder: expected one that segmentation-models-pytorch knows, found {name!r}.")
        torch.manual_seed(0)
        try:
            network = smp.encoders.get_encoder(name, weights=None if weights == "none" else weights)
        except Exception as error:
            if weights == "none":
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise RepsetError(
                f"the weights {weights!r} of {name} cannot be had ({reason}). "
                "Connect to the network for the first run, or take --encoder-weights none."
            ) from error
        self.name, self.weights, self._network = name, weights, network.eval()

    def describe(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        """BGR images (H, W, 3) of one clip → (2 · K,): mean and standard deviation over them of the encoder's last K
        channels, each averaged over the picture. A mirror image gives other numbers; none is taken here."""
        squares = [Square(SIZE_PX, *image.shape[:2]).image(image)[..., ::-1] for image in images]
        pixels = torch.from_numpy(np.stack(squares).transpose(0, 3, 1, 2).copy()) / 255
        mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
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
