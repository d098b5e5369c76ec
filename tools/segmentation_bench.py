"""How fast images are segmented, beside the bare network on tensors that are ready: the rest is reading and scaling.

    python tools/segmentation_bench.py models/segmentation/final

Both do the same passes over the same images of 640 × 480, in turn; each round's ratio is taken, and the median said.
Processor time of one thread is what counts, on a machine that others use at the same time.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from repset.learn.segmentation import Segmenter

IMAGES, WIDTH, HEIGHT = 16, 640, 480


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of one run."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    """Print images per second of both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a trained model")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    model = Segmenter(args.folder, "cpu")
    torch.set_num_threads(1)  # threads that wait for each other would count too
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(IMAGES)]
    size = int(model.card.architecture["size_px"])
    passes = 2 if model.card.params.get("mirror_views") else 1
    ready = torch.from_numpy(rng.integers(0, 255, (IMAGES, 3, size, size), np.uint8))

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
    main()
