"""The working muscles in anyone's images and videos: overlays to look at, index masks to go on with."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from repset.draw import draw_masks
from repset.errors import DataError
from repset.learn import Progress, silent
from repset.records import atomic_path, write_csv
from repset.video import Image, decode_image, encode_png, probe_video, read_video, write_video

Labels = npt.NDArray[np.uint8]


class Labeller(Protocol):
    """Whatever names the muscles of images: a trained model, or the pose."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Background first."""

    def label(self, images: Sequence[Image]) -> Iterator[Labels]:
        """For each BGR image (H, W) indices into `classes`."""


IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
_BATCH = 16


@dataclass(frozen=True)
class Segmented:
    """What was found in one file.

    Attributes:
        share: muscle → share of all pixels (of all frames) it covers, 0..1.
        written: files written.
    """

    path: Path
    share: dict[str, float]
    written: tuple[Path, ...]


def media_files(paths: Iterable[Path]) -> list[Path]:
    """Files as named, folders as the images and videos directly in them, sorted.

    Raises: DataError for a path that is not there, a file of another kind, a folder without media, or two files whose
    outputs would bear one name.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGES + VIDEOS)
            if not found:
                raise DataError(path, "images or videos", "none", "Name a folder with media, or the files themselves")
            files += found
        elif not path.is_file():
            raise DataError(path, "an image, a video or a folder", "nothing", "Check the path")
        elif path.suffix.lower() not in IMAGES + VIDEOS:
            kinds = " ".join(IMAGES + VIDEOS)
            raise DataError(path, f"a file ending in one of {kinds}", repr(path.suffix), "Convert it or leave it out")
        else:
            files.append(path)
    stems: dict[str, Path] = {}
    for path in files:
        if (other := stems.setdefault(path.stem, path)) is not path:
            raise DataError(path, "another name than", str(other), "Rename one, since outputs are named after the stem")
    return files


def segment_media(
    files: Sequence[Path], model: Labeller, out: Path, progress: Progress = silent
) -> Iterator[Segmented]:
    """Label files one after another; each is finished before the next is begun.

    An image gives `<stem>_overlay.png` and `<stem>_mask.png` (class indices, `_classes.csv` names them, as in a
    Roboflow export); a video gives `<stem>_overlay.mp4` (H.264, plays in a browser), in constant memory.
    Raises: DataError if a file does not decode.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = [{"Pixel Value": index, " Class": f" {name}"} for index, name in enumerate(model.classes)]
    write_csv(out / "_classes.csv", ["Pixel Value", " Class"], rows)
    for done, path in enumerate(files):
        if path.suffix.lower() in IMAGES:
            yield _image(path, model, out)
            progress(done + 1, len(files), path.name)
        else:
            yield _video(path, model, out, progress)


def overlay(image: Image, labels: Labels, classes: Sequence[str]) -> Image:
    """A copy of the image with its muscles in colour and a legend."""
    picture = image.copy()
    draw_masks(picture, {name: np.uint8(255) * (labels == n) for n, name in enumerate(classes) if n})
    return picture


def _image(path: Path, model: Labeller, out: Path) -> Segmented:
    image = decode_image(path.read_bytes(), path)
    labels = next(model.label([image]))
    written = out / f"{path.stem}_mask.png", out / f"{path.stem}_overlay.png"
    for target, picture in zip(written, (labels, overlay(image, labels, model.classes)), strict=True):
        with atomic_path(target) as temporary:
            temporary.write_bytes(encode_png(picture))
    return Segmented(path, _shares(np.bincount(labels.ravel(), minlength=len(model.classes)), model.classes), written)


def _video(path: Path, model: Labeller, out: Path, progress: Progress) -> Segmented:
    info, counts, done = probe_video(path), np.zeros(len(model.classes), np.int64), 0

    def frames() -> Iterator[Image]:
        nonlocal done
        source = (image for _, image in read_video(path))
        while batch := list(islice(source, _BATCH)):
            for image, labels in zip(batch, model.label(batch), strict=True):
                counts[:] += np.bincount(labels.ravel(), minlength=len(model.classes))
                done += 1
                progress(done, max(done, info.frames), path.name)
                yield overlay(image, labels, model.classes)

    written = write_video(out / f"{path.stem}_overlay.mp4", frames(), info.fps or 25)
    return Segmented(path, _shares(counts, model.classes), (written,))


def _shares(counts: npt.NDArray[np.int64], classes: Sequence[str]) -> dict[str, float]:
    return {name: float(counts[n] / counts.sum()) for n, name in enumerate(classes) if n}
