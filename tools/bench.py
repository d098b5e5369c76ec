"""How near `repset autolabel` comes to the machine's limit: stage costs and the job's throughput in one run.

    python tools/bench.py ../shared/data/videos --height 720 --copies 4
    python tools/bench.py ../shared/data/videos/pushup_1.mp4 --memory

The limit is cores ÷ (decoding + colour + landmark inference of a frame), the three measured on the same files by one
process alone, with MediaPipe's networks as they are shipped: `shipped`. The job runs them without the person's outline
(`repset.autolabel.pose_bundle`), so it has a limit of its own: `quick`; `busy_fps` is that loop in as many processes as
cores at once, which share caches, memory and clock. The naive loop, too, runs what is shipped. The job runs with an
empty cache, every frame inferred, to the written tables; the poses it writes are compared with those of the serial run.
On a machine that others use at the same time, believe the ratio of CPU seconds. A job's start costs each worker about a
second (twice that where PYTHONDONTWRITEBYTECODE leaves every import to be compiled anew), and its end leaves cores
idle: `--copies` makes a job of ordinary length of a few clips by mirroring, shifting and re-lighting them, so that no
frame comes twice.

`--memory` compares the peak memory of a job on a 10-minute video with that on a 1-minute one.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from repset.autolabel.inputs import VIDEO_SUFFIXES
from repset.autolabel.job import label_files
from repset.autolabel.pose import estimate, estimate_image
from repset.autolabel.pose_bundle import model_bundle, quick_bundle
from repset.params import AutolabelParams
from repset.records import read_table
from repset.video import Image, probe_video, read_video, write_video

PARAMS = AutolabelParams(rule_set="default", model="full", min_visibility=0.5)
NAIVE_FRAMES = 60
BUSY_FILES = 4  # that each of the loops running at once goes through


@dataclass
class Cost:
    """Seconds spent on one stage: by the clock, and of processor time."""

    wall_s: float = 0.0
    cpu_s: float = 0.0

    def add(self, begun: tuple[float, float]) -> None:
        """Count the time since `begun` (see `now`)."""
        wall, cpu = now()
        self.wall_s += wall - begun[0]
        self.cpu_s += cpu - begun[1]


def now() -> tuple[float, float]:
    """Wall clock and processor time of this process."""
    return time.perf_counter(), time.process_time()


def serial(path: Path, costs: dict[str, Cost], model: str = PARAMS.model) -> npt.NDArray[np.float32]:
    """Poses (T, 33, 2) of one file in this process, each stage timed."""

    def frames() -> Iterator[tuple[float, Image]]:
        with av.open(str(path)) as container:
            decoded = container.decode(container.streams.video[0])
            for number in range(sys.maxsize):
                begun = now()
                frame = next(decoded, None)
                costs["decode"].add(begun)
                if frame is None:
                    return
                begun = now()
                image = np.asarray(frame.to_ndarray(format="rgb24", threads=1), np.uint8)
                costs["colour"].add(begun)
                yield float(number), image

    before = {name: Cost(cost.wall_s, cost.cpu_s) for name, cost in costs.items()}
    begun = now()
    track = estimate(frames(), model, rgb=True)
    costs["landmarks"].add(begun)
    for name in ("decode", "colour"):
        costs["landmarks"].wall_s -= costs[name].wall_s - before[name].wall_s
        costs["landmarks"].cpu_s -= costs[name].cpu_s - before[name].cpu_s
    return track.xy_px


def no_costs() -> dict[str, Cost]:
    """Nothing spent on the three stages yet."""
    return {name: Cost() for name in ("decode", "colour", "landmarks")}


def busy_ms(files: list[Path]) -> float:
    """Milliseconds a frame of the serial loop, by the clock; run in several processes at once."""
    serial(files[0], no_costs())  # warm: the others have started, too
    costs = no_costs()
    frames = sum(len(serial(path, costs)) for path in files)
    return 1e3 * sum(cost.wall_s for cost in costs.values()) / frames


def limit_busy(files: list[Path], jobs: int) -> float:
    """Frames a second of `jobs` serial loops at once over the same few files."""
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        return sum(1e3 / ms for ms in pool.map(busy_ms, [files[:BUSY_FILES]] * jobs))


def naive(path: Path) -> float:
    """Frames a second of a loop that reads a video and looks at every picture afresh (image mode), serially."""
    shipped = str(model_bundle())
    estimate_image(next(image for _, image in read_video(path)), shipped)
    begun, frames = time.perf_counter(), 0
    for (_, image), _ in zip(read_video(path), range(NAIVE_FRAMES), strict=False):
        estimate_image(image, shipped)
        frames += 1
    return frames / (time.perf_counter() - begun)


def job(files: list[Path], jobs: int, out: Path) -> tuple[float, float]:
    """Wall and CPU seconds of the job over all files, cache empty."""
    begun, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    own = time.process_time()
    label_files(files, out, PARAMS, exercise="squat", jobs=jobs)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime + time.process_time() - own
    return time.perf_counter() - begun, cpu


def distance_px(out: Path, name: str, reference: npt.NDArray[np.float32]) -> float:
    """Mean distance between the job's poses of one file and the serial ones."""
    table = read_table(out / "poses.parquet", "poses", ["x_px", "y_px"], filters=[("sample_id", "==", name)])
    x, y = (table[column].combine_chunks().flatten().to_numpy().reshape(-1, 33) for column in ("x_px", "y_px"))
    return float(np.nanmean(np.hypot(x - reference[..., 0], y - reference[..., 1])))


def altered(path: Path, copy: int, out: Path) -> Path:
    """Another clip of the same footage and size: mirrored, shifted, lit otherwise, and H.264 again."""

    def images() -> Iterator[Image]:
        for _, image in read_video(path):
            moved = np.roll(image[:, ::-1] if copy % 2 else image, 12 * copy, axis=1)
            yield np.clip(moved.astype(np.int16) + 6 * copy, 0, 255).astype(np.uint8)

    return write_video(out / f"{path.stem}_{copy}.mp4", images(), probe_video(path).fps)


def looped(path: Path, seconds: float, out: Path) -> Path:
    """A video of at least so many seconds: one clip's packets again and again, nothing encoded anew."""
    target = out / f"{path.stem}_{seconds:.0f}s.mp4"
    with av.open(str(target), "w") as writer:
        stream, begin, length, done_s = None, 0, 0, 0.0
        while done_s < seconds:
            with av.open(str(path)) as reader:
                source = reader.streams.video[0]
                stream = stream or writer.add_stream_from_template(source)
                length = source.duration or round(reader.duration / 1e6 / source.time_base)
                for packet in reader.demux(source):
                    if packet.dts is not None:
                        packet.pts, packet.dts, packet.stream = packet.pts + begin, packet.dts + begin, stream
                        writer.mux(packet)
                begin += length
                done_s = float(begin * source.time_base)
    return target


def peak_mib(path: Path, folder: Path) -> dict[str, float]:
    """Peak memory of a job on one video, in a process of its own: of its worker and of itself."""
    code = (
        "import json, resource, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import bench\n"
        "report = bench.label_files([Path(sys.argv[2])], Path(sys.argv[3]), bench.PARAMS, exercise='squat', jobs=1)\n"
        "peaks = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_CHILDREN, "
        "resource.RUSAGE_SELF))\n"
        "print(json.dumps([report.about['frames'], *peaks]))"
    )
    arguments = [sys.executable, "-c", code, str(Path(__file__).parent), str(path), str(folder / f"out_{path.stem}")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    frames, worker, parent = json.loads(done.stdout)
    return {"frames": frames, "worker_mib": round(worker), "parent_mib": round(parent)}


def memory(path: Path) -> dict[str, Any]:
    """Peaks for a minute and for ten."""
    with empty_cache() as folder:
        peaks = {f"{s} s": peak_mib(looped(path, s, folder), folder) for s in (60, 600)}
    short, long = (peak["worker_mib"] for peak in peaks.values())
    return peaks | {"worker_ratio": round(long / short, 3)}


@contextmanager
def empty_cache() -> Iterator[Path]:
    """A temporary folder, and a job that knows no cache and no project."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"], os.environ["REPSET_ROOT"] = folder, folder
        quick_bundle()  # built once a machine: not part of a job
        yield Path(folder)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--height", type=int, help="only files of this height")
    parser.add_argument("--limit", type=int, help="only so many files")
    parser.add_argument("--copies", type=int, default=1, help="each file so many times, always with other frames")
    parser.add_argument("--memory", action="store_true", help="peak memory of a long and a short video instead")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    files = [f for p in arguments.paths for f in (sorted(p.rglob("*")) if p.is_dir() else [p])]
    files = [f for f in files if f.suffix.lower() in VIDEO_SUFFIXES]
    files = [f for f in files if arguments.height in (None, probe_video(f).height)][: arguments.limit]
    if arguments.memory:
        print(json.dumps(memory(files[0]), indent=2))
        return
    with empty_cache() as folder:
        files += [altered(path, copy, folder) for copy in range(1, arguments.copies) for path in files]
        print(json.dumps(throughput(files, arguments.jobs, folder), indent=2))


def throughput(files: list[Path], jobs: int, folder: Path) -> dict[str, Any]:
    """The machine's limits, what the job reaches of them, and a naive loop, on the same files."""
    costs = {"shipped": no_costs(), "quick": no_costs()}
    reference = {path.name: serial(path, costs["shipped"], str(model_bundle())) for path in files}
    for path in files:
        serial(path, costs["quick"])
    frames = sum(len(poses) for poses in reference.values())
    wall_s, cpu_s = job(files, jobs, folder / "out")
    distances = [distance_px(folder / "out", name, poses) for name, poses in reference.items()]
    job_fps, naive_fps, busy_fps = frames / wall_s, naive(files[0]), limit_busy(files, jobs)
    limits = {name: limit(spent, frames, jobs) for name, spent in costs.items()}
    return {
        "files": len(files),
        "frames": frames,
        "limits": limits,
        "busy_fps": round(busy_fps, 1),
        "job_fps": round(job_fps, 1),
        "ratio_wall": {name: round(job_fps / found["limit_fps"], 3) for name, found in limits.items()},
        "ratio_wall_busy": round(job_fps / busy_fps, 3),
        "ratio_cpu": {
            name: round(sum(found["cpu_ms"].values()) * frames / 1e3 / cpu_s, 3) for name, found in limits.items()
        },
        "naive_fps": round(naive_fps, 1),
        "times_naive": round(job_fps / naive_fps, 2),
        "mean_distance_px": round(float(np.mean(distances)), 4),
        "worker_peak_mib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
    }


def limit(costs: dict[str, Cost], frames: int, jobs: int) -> dict[str, Any]:
    """Processor time of each stage of a frame, and frames a second of so many cores that do nothing else."""
    wall_s = sum(cost.wall_s for cost in costs.values())
    cpu_ms = {name: round(1e3 * cost.cpu_s / frames, 2) for name, cost in costs.items()}
    return {"cpu_ms": cpu_ms, "limit_fps": round(jobs * frames / wall_s, 1)}


if __name__ == "__main__":
    main()
