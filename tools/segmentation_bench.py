"""How fast images are segmented, beside the bare network on tensors that are ready: the rest is reading and scaling.

    python tools/segmentation_bench.py models/segmentation/final

All do the same passes over as many images, in turn, on one core: the network in torch, as it was trained; the same in
ONNX Runtime, which the segmenter asks where there is no GPU; and the segmenter. Each round's ratios are taken, and the
medians said. The images are test photos of the sets that the model learned from, with muscles in them, scaled to
640 × 480 (`dvc repro` first). Processor time is what counts, on a machine that others use at the same time.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import torch

from repset.errors import RepsetError
from repset.learn.data import CLASSES, TASK, MediaReader, read_masked_images
from repset.learn.muscle_net import ByTorch
from repset.learn.segmenter import Segmenter
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
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # threads that wait for each other would count too
    model = Segmenter(args.folder, "cpu")
    by_torch = ByTorch(args.folder, model.card, "cpu")
    torch.set_num_threads(1)
    images = photos(find_project(), model.card.data)
    size = int(model.card.architecture["size_px"])
    passes = 2 if model.card.params["mirror_views"] else 1
    ready = np.random.default_rng(0).uniform(0, 255, (IMAGES, 3, size, size)).astype(np.float32)
    tensor = torch.from_numpy(ready)

    def in_torch() -> None:
        with torch.inference_mode():
            for _ in range(passes):
                by_torch.network(tensor)

    def in_onnxruntime() -> None:
        for _ in range(passes):
            model.network(ready)

    def whole() -> None:
        for _ in model.label(images):
            pass

    runs = (in_torch, in_onnxruntime, whole)
    for work in runs:
        work()
    rounds = np.array([[seconds(work) for work in runs] for _ in range(args.rounds)])
    print(f"{size} px, {passes} pass{'es' * (passes > 1)}, images a second of processor time, median of {args.rounds}")
    for name, column in zip(("bare, torch", "bare, ONNX Runtime", "segmented"), rounds.T, strict=True):
        ratio = np.median(column / rounds[:, -1])
        print(f"  {name:<20}{IMAGES / np.median(column):7.1f}   segmented is {ratio:.3f} times as fast")


if __name__ == "__main__":
    try:
        main()
    except RepsetError as error:
        sys.exit(f"segmentation_bench: {error}")
