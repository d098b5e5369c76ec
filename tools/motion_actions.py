"""Write clips of one action each, as joints alone, in Penn Action's format: what `repset muscles` learns from.

Every action is one of which the working muscles are written down (repset/muscle_map.yaml): the ontology's exercises
and thirteen others. Each clip has a body, a tempo and a camera of its own; no picture is drawn.

    python tools/motion_actions.py actions.tar.gz
    repset pull motion_actions --from actions.tar.gz
    repset index motion_actions

The same arguments give the same bytes.
"""

import argparse
import io
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from motion_library import SIZE_PX, project
from scipy.io import savemat

from repset.sample.actions import ACTIONS, perform_action
from repset.sample.packing import write_tar_gz

METRES = 1.75
"""Stature of the one who is seen."""


def label_file(number: int, clips: int, seed: int) -> tuple[str, bytes]:
    """Name and content of one label file; clips are numbered action by action, two of three for training."""
    action = ACTIONS[number // clips]
    rng = np.random.default_rng([seed, 5, number])
    xy = project(perform_action(action, rng) * METRES, rng)
    width, height = SIZE_PX
    ends = np.concatenate([xy.min(axis=1), xy.max(axis=1)], axis=1)
    buffer = io.BytesIO()
    savemat(buffer, {
        "action": action, "pose": "", "x": xy[..., 0] + 1, "y": xy[..., 1] + 1,
        "visibility": np.ones(xy.shape[:2], np.uint8), "train": np.int32(-1 if number % 3 == 2 else 1),
        "bbox": ends + 1, "dimensions": np.array([[height, width, len(xy)]], np.uint16),
        "nframes": np.uint16(len(xy)),
    }, do_compression=True)  # fmt: skip
    # savemat writes the date into the 116 bytes of free text: a fixed text keeps the archive's bytes the same.
    data = b"MATLAB 5.0 MAT-file, motions of repset".ljust(116) + buffer.getvalue()[116:]
    return f"Penn_Action/labels/{number + 1:04d}.mat", data


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--clips", type=int, default=24, help="of each action")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    files = []
    with ProcessPoolExecutor(args.jobs) as pool:
        make = partial(label_file, clips=args.clips, seed=args.seed)
        for done, one in enumerate(pool.map(make, range(args.clips * len(ACTIONS)), chunksize=4)):
            files.append(one)
            print(f"\rclip {done + 1}/{args.clips * len(ACTIONS)}", end="", flush=True)
    print()
    write_tar_gz(args.archive, files)


if __name__ == "__main__":
    main()
