"""How much `repset index` costs above what cannot be avoided: reading the label files, unpacking the archive.

    python tools/bench_index.py --labels ../shared/data/penn_action
    python tools/bench_index.py --frames-gb 1

`--labels`: index the label files of Penn Action, tables written, beside a bare `scipy.io.loadmat` loop over the same
files; the bar of the project is at most twice its time. `--frames-gb`: index an archive of drawn frames of that size,
beside unpacking it with Python's zlib and throwing the bytes away; the bar is 0.8 of that speed, in less than 1 GB of
memory. Each task runs in a process of its own, by turns with the other, and the medians are compared. What is loaded on
first use is loaded before the clock starts (labels take less than a second, so they are read once before). The index
unpacks in a second process and packs tables in a second thread: a machine that others use at the same time makes it
look slower than it is.
"""

import argparse
import io
import json
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import scipy.io

from repset.params import SourceSpec
from repset.project import Project
from repset.records import box_table
from repset.sources import SOURCES
from repset.sources.fetch import pack
from repset.sources.index import index_source
from repset.sources.pulled import note_pull
from repset.sources.tree import FolderTree

SPEC = SourceSpec(family="penn_action", rendered=True, origin="x")
SIZE = (640, 480)
FRAMES = 70  # of a clip, as many as Penn Action's have on average
POOL = 300  # pictures drawn; clips take them in another order


def loadmat(project: Project, labels: Path) -> None:
    """Every label file through scipy alone."""
    for path in sorted(labels.glob("**/*.mat")):
        scipy.io.loadmat(path)


def gunzip(project: Project, labels: Path) -> None:
    """The archive unpacked, nothing kept."""
    (path,) = project.raw("penn").glob("*.tar.gz")
    unpacker = zlib.decompressobj(31)
    with path.open("rb") as handle:
        while data := handle.read(1 << 20):
            unpacker.decompress(data)


def index(project: Project, labels: Path) -> None:
    """As `repset index` does it."""
    index_source(project, "penn", SPEC, shard_mb=512)


TASKS: dict[str, Callable[[Project, Path], None]] = {"loadmat": loadmat, "gunzip": gunzip, "index": index}


def picture(rng: np.random.Generator) -> bytes:
    """A JPEG of about 20 kB, as Penn Action's: soft shapes under grain."""
    small = rng.integers(0, 255, (15, 20, 3), np.uint8)
    image = cv2.resize(small, SIZE, interpolation=cv2.INTER_CUBIC).astype(np.int16)
    image += rng.normal(0, 5, image.shape).astype(np.int16)
    done, data = cv2.imencode(".jpg", np.clip(image, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 55])
    assert done
    return bytes(data)


def label(frames: int) -> bytes:
    """A label file of one clip."""
    out = io.BytesIO()
    content = {
        "action": "squat",
        "pose": "front",
        "x": np.full((frames, 13), 200.0),
        "y": np.full((frames, 13), 100.0),
        "visibility": np.ones((frames, 13), np.uint8),
        "train": 1,
        "bbox": np.ones((frames, 4)),
        "dimensions": np.array([[SIZE[1], SIZE[0], frames]]),
        "nframes": frames,
    }
    scipy.io.savemat(out, content, do_compression=True)
    return out.getvalue()


def write_archive(path: Path, gigabytes: float) -> int:
    """An archive laid out as Penn Action's, frames first; returns how many frames it has."""
    rng = np.random.default_rng(3)
    pool, clip, count = [picture(rng) for _ in range(POOL)], 0, 0
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:

        def add(name: str, data: bytes) -> None:
            info = tarfile.TarInfo(f"Penn_Action/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))

        while not path.exists() or path.stat().st_size < gigabytes * 1e9:
            clip += 1
            for number, one in enumerate(rng.integers(0, POOL, FRAMES), 1):
                add(f"frames/{clip:04d}/{number:06d}.jpg", pool[one])
            count += FRAMES
        for number in range(1, clip + 1):
            add(f"labels/{number:04d}.mat", label(FRAMES))
    return count


def run_one(task: str, root: Path, labels: Path) -> None:
    """One task in this process, its costs as JSON; what is loaded on first use is loaded before the clock starts."""
    if labels != Path():
        TASKS[task](Project(root), labels)
    box_table("x", np.arange(1), np.ones((1, 4)), origin="x")  # pyarrow's first array loads pandas
    begun, cpu = time.perf_counter(), time.process_time()
    TASKS[task](Project(root), labels)
    wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    cpu_s += (
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime + resource.getrusage(resource.RUSAGE_CHILDREN).ru_stime
    )
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "peak_mb": peak_mb}))


def compare(root: Path, labels: Path, bare: str, rounds: int) -> dict[str, dict[str, float]]:
    """Medians of the costs of the bare task and of the index, run by turns."""
    costs: dict[str, list[dict[str, float]]] = {bare: [], "index": []}
    for _ in range(rounds):
        for task, found in costs.items():
            words = [sys.executable, __file__, "--one", task, "--root", str(root), "--labels", str(labels)]
            found.append(json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout))
    medians = {
        task: {name: statistics.median(one[name] for one in found) for name in found[0]}
        for task, found in costs.items()
    }
    for task, cost in medians.items():
        spent = ", ".join(f"{one['wall_s']:.2f}" for one in costs[task])
        print(
            f"{task:8} {cost['wall_s']:6.2f} s ({spent}), processor {cost['cpu_s']:6.2f} s, {cost['peak_mb']:4.0f} MB"
        )
    return medians


def main() -> None:
    """Set up a project in a temporary folder, run the tasks by turns, print costs and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, default=Path(), help="folder with labels/0001.mat …")
    parser.add_argument("--frames-gb", type=float, default=0.0, help="size of the archive, in 10^9 bytes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", choices=sorted(TASKS), help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options.one, options.root, options.labels)
        return
    with tempfile.TemporaryDirectory(prefix="repset-bench-") as folder:
        project = Project(Path(folder))
        project.raw("penn").mkdir(parents=True)
        if options.frames_gb:
            archive = project.raw("penn") / "Penn_Action.tar.gz"
            frames = write_archive(archive, options.frames_gb)
            note_pull(project, "penn", "bench")  # as after `repset pull`: the archive's hash is known
            print(f"{archive.stat().st_size / 1e9:.2f} GB, {frames:,} frames of {SIZE[0]} × {SIZE[1]} (drawn)")
            cost = compare(project.root, options.labels, "gunzip", options.rounds)
            ratio = {name: cost["gunzip"][name] / cost["index"][name] for name in ("wall_s", "cpu_s")}
            print(f"speed of unpacking alone: {ratio['wall_s']:.2f} (bar 0.80), by processor time {ratio['cpu_s']:.2f}")
        else:
            pack(
                FolderTree(options.labels, str(options.labels)),
                SOURCES["penn_action"],
                project.raw("penn") / "penn.zip",
            )
            note_pull(project, "penn", "bench")
            cost = compare(project.root, options.labels, "loadmat", options.rounds)
            ratio = {name: cost["index"][name] / cost["loadmat"][name] for name in ("wall_s", "cpu_s")}
            print(f"times the bare loop: {ratio['wall_s']:.2f} (bar 2.00), by processor time {ratio['cpu_s']:.2f}")


if __name__ == "__main__":
    main()
