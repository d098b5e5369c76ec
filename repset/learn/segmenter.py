"""A trained segmentation folder at work on images of any size. Nothing here imports torch, unless a GPU is to be used.

Masks say which muscles are *expected* to move the load in this exercise and phase; no activation was measured.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from repset.errors import DataError
from repset.learn.card import AGAIN, ONNX, Card, load_card, load_onnx
from repset.learn.data import CLASSES, INPUT, OUTPUT, Labels, Pixels, Probability, Square, twins
from repset.video import Image

MODEL = "segmentation"
BATCH = 16
"""Images that the network sees at once."""

Network = Callable[[Pixels], Probability]
"""(n, 3, size, size) RGB, 0 to 255, contiguous → (n, C, size, size) probabilities."""


class ByOnnx:
    """A trained folder's network run by ONNX Runtime on all cores: faster than torch on a processor (measured by
    `tools/segmentation_bench.py`), and at work seconds earlier. Its answers do not hang on the number of threads."""

    def __init__(self, folder: Path, card: Card) -> None:
        self._session = load_onnx(folder, card)
        size = int(card.architecture["size_px"])
        try:
            answers = self(np.zeros((1, 3, size, size), np.float32))
        except Exception as error:  # onnxruntime's have no common base
            raise DataError(folder / ONNX, f"{INPUT} of {size} px", str(error).splitlines()[0], AGAIN) from error
        wanted = (1, len(card.classes), size, size)
        if answers.shape != wanted:
            raise DataError(folder / ONNX, f"{OUTPUT} of the shape {wanted}", str(answers.shape), AGAIN)

    def __call__(self, images: Pixels) -> Probability:
        answer: Probability = self._session.run([OUTPUT], {INPUT: images})[0]
        return answer


def load_network(folder: Path, card: Card, device: str) -> Network:
    """The folder's network, by torch on a GPU or where it has no ONNX form. device: auto | cpu | cuda.

    Raises: DataError if a file is missing or not the card's; RepsetError if cuda is asked for and absent.
    """
    if card.onnx_sha256 and not (device == "cuda" or (device == "auto" and _gpu())):
        return ByOnnx(folder, card)
    from repset.learn.muscle_net import ByTorch

    return ByTorch(folder, card, device)


def _gpu() -> bool:
    """Whether torch sees a GPU; it is imported only where a driver is installed."""
    if shutil.which("nvidia-smi") is None:
        return False
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


class Segmenter:
    """A trained folder, ready to label images of any size. Raises: DataError if the folder holds no such model."""

    def __init__(self, folder: Path, device: str = "auto") -> None:
        self.card = load_card(folder, MODEL, CLASSES)
        self._size_px = int(self.card.architecture["size_px"])
        self._mirror = bool(self.card.params["mirror_views"])
        self._twins = twins(self.card.classes)
        self.network = load_network(folder, self.card, device)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the labels."""
        return self.card.classes

    def label(self, images: Sequence[Image]) -> Iterator[Labels]:
        """For each BGR image its (H, W) class indices.

        The network looks at the image fitted into its square (and at its mirror image, where the params say so, of
        which the mean is taken); its answer is scaled back to the image's own pixels. A class that is below the
        background all around a place is so there, too: only the rest is scaled.
        """
        for square, maps in self._means(images):
            labels = np.zeros((square.height, square.width), np.uint8)
            marked = maps[1:] >= maps[0]
            seen = [0, *(1 + np.flatnonzero(marked.any((1, 2))))]
            if found := square.enlarged_around(maps[seen], marked.any(0)):
                box, planes = found
                labels[box], _ = strongest(dict(zip(seen, planes, strict=True)))
            yield labels

    def label_with_probability(self, images: Sequence[Image]) -> Iterator[tuple[Labels, Probability]]:
        """The same, and the (H, W) probability 0..1 of the named class: the network's own, not calibrated."""
        for square, maps in self._means(images):
            yield strongest(dict(enumerate(square.enlarged(maps))))

    def views(self, images: Sequence[Image], count: int = 2) -> Iterator[Probability]:
        """For each image (count, C, H, W) probabilities: of the image itself and, with two, of its mirror image turned
        back. How far they differ says how unsure the network is."""
        for squares, views in self._batches(images, count):
            for square, answers in zip(squares, np.stack(views, 1), strict=True):
                yield np.stack([square.enlarged(answer) for answer in square.part(answers)])

    def _means(self, images: Sequence[Image]) -> Iterator[tuple[Square, Probability]]:
        """Where each image lies in the network's square, and the (C, rows, columns) mean of its views there."""
        for squares, views in self._batches(images, 2 if self._mirror else 1):
            for square, maps in zip(squares, sum(views[1:], views[0]) / len(views), strict=True):
                yield square, square.part(maps)

    def _batches(self, images: Sequence[Image], count: int) -> Iterator[tuple[list[Square], list[Probability]]]:
        """Where images lie in the network's square, and for each view (n, C, size, size) probabilities there."""
        for first in range(0, len(images), BATCH):
            batch = images[first : first + BATCH]
            squares = [Square(self._size_px, image.shape[0], image.shape[1]) for image in batch]
            fitted = np.stack([square.image(image) for square, image in zip(squares, batch, strict=True)])
            pixels = np.ascontiguousarray(fitted[..., ::-1].transpose(0, 3, 1, 2), np.float32)  # BGR → RGB
            views = [self.network(pixels)]
            if count > 1:
                mirrored = self.network(np.ascontiguousarray(pixels[..., ::-1]))
                views.append(mirrored[:, self._twins, :, ::-1])
            yield squares, views


def strongest(planes: Mapping[int, Probability]) -> tuple[Labels, Probability]:
    """(H, W) probabilities by class index, ascending from 0 → (H, W) index of the highest, the first of equals, and its
    value; class by class, which is many times faster than an argmax over a stack."""
    best, labels = planes[0].copy(), np.zeros(planes[0].shape, np.uint8)
    for index, one in list(planes.items())[1:]:
        higher = cv2.compare(one, best, cv2.CMP_GT).view(np.uint8)  # 255 where it is
        np.maximum(labels, higher & np.uint8(index), out=labels)  # a later class has the higher index
        cv2.max(best, one, best)
    return labels, best
