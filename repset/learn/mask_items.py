"""A fold of masked images held in memory as small squares, as the training loop takes them."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from repset.learn import Progress, silent
from repset.learn.data import Labels, MaskedImage, MediaReader, Square, index_mask
from repset.project import Project
from repset.video import Image

Augment = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class MaskItems:
    """A fold in memory: item i is ((3, S, S) RGB uint8, (S, S) uint8 class indices, IGNORE outside the image)."""

    def __init__(self, images: Sequence[Image], labels: Sequence[Labels], augment: Augment | None = None) -> None:
        self._images = [torch.from_numpy(np.ascontiguousarray(i[..., ::-1].transpose(2, 0, 1))) for i in images]
        self._labels = [torch.from_numpy(item) for item in labels]
        self._augment = augment

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, labels = self._images[index], self._labels[index]
        return self._augment(image, labels) if self._augment else (image, labels)


def load_items(
    project: Project,
    images: Sequence[MaskedImage],
    classes: Sequence[str],
    size_px: int,
    augment: Augment | None = None,
    progress: Progress = silent,
) -> tuple[MaskItems, int]:
    """Decode, fit into squares and keep in memory (size² × 4 bytes an image).

    Returns: the items and the number of pixels, at the images' own size, that more than one class claimed.
    """
    reader, squares, targets, conflicts = MediaReader(project), [], [], 0
    for done, item in enumerate(images):
        image = reader.image(item)
        height, width = image.shape[:2]
        labels, claimed = index_mask(item.masks, classes, height, width, item.sample_id)
        square = Square(size_px, height, width)
        squares.append(square.image(image))
        targets.append(square.labels(labels))
        conflicts += claimed
        progress(done + 1, len(images), "reading images")
    return MaskItems(squares, targets, augment), conflicts
