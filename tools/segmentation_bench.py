"""How fast images are segmented, beside the bare network on tensors that are ready: the rest is reading and scaling.

    python tools/segmentation_bench.py models/segmentation/final

Both do the same passes over as many images, in turn; each round's ratio is taken, and the median said. The images are
test photos of the sets that the model learned from, with muscles in them, scaled to 640 × 480 (`dvc repro` first).
Processor time of one thread is what counts, on a machine that others use at the same time.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import torch

from repset.errors import RepsetError
from repset.learn.data import MediaReader, read_masked_images
from repset.learn.segmentation import CLASSES, TASK, Segmenter
from repset.project import Project, find_project
from repset.video import Image

IMAGES, WIDTH, HEIGHT = 16, 640, 480


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of one run."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def photos(project: Project, sources: Iterable[str]) -> list[Image]:
    """The first test photos with a muscle, a set's after another's."""
    tables = ((project.curated(TASK, source) / "table.parquet", source) for source in sources)
    items = [item for path, source in tables for item in read_masked_images(path, source, CLASSES)]
    shown = [item for item in items if item.fold == "test" and item.masks][:IMAGES]
    if len(shown) < IMAGES:
        raise RepsetError(f"expected {IMAGES} test photos with muscles, found {len(shown)}. Run dvc repro first.")
    reader = MediaReader(project)
    return [cv2.resize(reader.image(item), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) for item in shown]


def main() -> None:
    """Print images per second of both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a trained model")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    model = Segmenter(args.folder, "cpu")
    torch.set_num_threads(1)  # threads that wait for each other would count too
    images = photos(find_project(), model.card.data)
    size = int(model.card.architecture["size_px"])
    passes = 2 if model.card.params.get("mirror_views") else 1
    ready = torch.randint(0, 255, (IMAGES, 3, size, size), dtype=torch.uint8)

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(passes):
                model._network(ready)

    def whole() -> None:
        for _ in model.label(images):
            pass

    for work in (bare, whole):
        work()
    rounds = [(seconds(bare), seconds(whole)) for _ in range(args.rounds)]
    alone, all_of_it = (float(np.median(column)) for column in zip(*rounds, strict=True))
    ratio = float(np.median([one / other for one, other in rounds]))
    print(f"bare network {IMAGES / alone:.1f} images/s, segmented {IMAGES / all_of_it:.1f} images/s of processor time "
          f"({size} px, {passes} pass{'es' * (passes > 1)}): {ratio:.3f} of the bare network's speed")  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except RepsetError as error:
        sys.exit(f"segmentation_bench: {error}")
