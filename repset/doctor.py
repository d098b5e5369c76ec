"""What an environment needs: a table of checks, each with the way to mend its fault.

Nothing heavy is imported into this process: torch is tried in a child, the pose models and mongod are looked for as
files and started.
"""

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from repset.errors import RepsetError
from repset.project import find_project

REINSTALL = "Build the environment anew: make clean setup"


@dataclass(frozen=True)
class Result:
    """Outcome of one check. `absent`: an optional part is not installed, which is no fault."""

    state: Literal["ok", "absent", "fault"]
    found: str
    mend: str = ""


@dataclass(frozen=True)
class Check:
    """One row: its title and the function that looks."""

    title: str
    look: Callable[[], Result]


def run_check(check: Check) -> Result:
    """Run one check; a crash inside it is a fault with the error's own words."""
    try:
        return check.look()
    except Exception as error:  # a broken environment may raise anything
        return Result("fault", f"{type(error).__name__}: {error}".splitlines()[0], REINSTALL)


def _installed(prefix: str) -> dict[str, str]:
    found = {}
    for distribution in metadata.distributions():
        name = str(distribution.metadata["Name"] or "").lower()
        if name.startswith(prefix):
            found[name] = distribution.version
    return found


def _package_file(package: str, *parts: str) -> Path | None:
    """A file inside an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]).joinpath(*parts)
    return path if path.is_file() else None


def python_version() -> Result:
    """CPython 3.11: the last that mediapipe 0.10.21 and the lock agree on."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        return Result("ok", found)
    return Result("fault", found, "Install Python 3.11, then: make clean setup PYTHON=python3.11")


def one_opencv() -> Result:
    """Several OpenCV wheels overwrite each other's cv2, and removing one breaks the rest."""
    wheels = _installed("opencv")
    if len(wheels) != 1:
        names = ", ".join(f"{name} {version}" for name, version in sorted(wheels.items())) or "none"
        return Result("fault", names, REINSTALL)
    import cv2

    name, version = next(iter(wheels.items()))
    return Result("ok", f"{name} {version} (cv2 {cv2.__version__})")


def pose_models() -> Result:
    """The mediapipe wheel carries the two models that the pose bundle is built from."""
    if importlib.util.find_spec("mediapipe") is None:
        return Result("fault", "mediapipe is not installed", REINSTALL)
    wanted = (("pose_detection", "pose_detection.tflite"), ("pose_landmark", "pose_landmark_full.tflite"))
    missing = [name for folder, name in wanted if _package_file("mediapipe", "modules", folder, name) is None]
    version = metadata.version("mediapipe")
    if missing:
        return Result("fault", f"mediapipe {version} without {', '.join(missing)}", REINSTALL)
    return Result("ok", f"mediapipe {version}, detector and full landmark model in its wheel")


def h264() -> Result:
    """PyAV with libx264: overlays and proxies that browsers play."""
    import av

    if "libx264" in av.codecs_available:
        return Result("ok", f"PyAV {av.__version__} with libx264")
    return Result("fault", f"PyAV {av.__version__} without libx264", REINSTALL)


def exercise_model() -> Result:
    """The packaged network that names exercises."""
    import onnxruntime

    path = Path(__file__).parent / "autolabel" / "exercise.onnx"
    if not path.is_file():
        return Result("absent", "no exercise.onnx in the package", "Train and release one: repset release exercise")
    onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    size_kib = path.stat().st_size // 1024
    return Result("ok", f"exercise.onnx loads, {size_kib} KiB, onnxruntime {onnxruntime.__version__}")


def torch_pair() -> Result:
    """torch and torchvision must come from one resolve, or torchvision's operators are missing."""
    if importlib.util.find_spec("torch") is None:
        return Result("absent", "torch is not installed", "To train: pip install 'repset[train]'")
    code = (
        "import torch, torchvision; torchvision.ops.nms(torch.rand(2, 4), torch.rand(2), 0.5);"
        "print(torch.__version__, torchvision.__version__, 'cuda' if torch.cuda.is_available() else 'cpu')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180)
    if done.returncode:
        return Result("fault", (done.stderr.strip().splitlines() or ["no message"])[-1], REINSTALL)
    torch, torchvision, device = done.stdout.split()
    return Result("ok", f"torch {torch} and torchvision {torchvision} agree, on {device}")


def mongod_starts() -> Result:
    """FiftyOne's embedded database, started on an empty folder and stopped again."""
    if importlib.util.find_spec("fiftyone") is None:
        return Result("absent", "fiftyone is not installed", "To review: pip install 'repset[review]'")
    mongod = _package_file("fiftyone", "db", "bin", "mongod")
    if mongod is None:
        return Result("fault", "fiftyone without a mongod", "Install MongoDB and set FIFTYONE_DATABASE_URI")
    with tempfile.TemporaryDirectory(prefix="repset-doctor-") as folder:
        socket = Path(folder) / "mongod.sock"
        log = Path(folder) / "log"
        # Bound to a socket file alone: no port that another program may hold.
        process = subprocess.Popen(
            [mongod, "--dbpath", folder, "--bind_ip", str(socket), "--logpath", str(log), "--nounixsocket"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        try:
            for _ in range(150):
                if log.is_file() and "Waiting for connections" in log.read_text(errors="replace"):
                    return Result("ok", "mongod starts")
                if process.poll() is not None:
                    break
                time.sleep(0.2)
            tail = (log.read_text(errors="replace").splitlines() or ["no log"])[-1] if log.is_file() else "no log"
            return Result("fault", f"mongod did not start: {tail[:200]}", "Set FIFTYONE_DATABASE_URI to a server")
        finally:
            process.terminate()
            process.wait(timeout=20)


def pipeline() -> Result:
    """DVC, and a project to run it on."""
    if importlib.util.find_spec("dvc") is None:
        return Result("absent", "dvc is not installed", "To run the loop: pip install 'repset[pipeline]'")
    version = metadata.version("dvc")
    try:
        find_project()
    except RepsetError:
        return Result("absent", f"dvc {version}, but no project here", "Change into the cloned repository")
    return Result("ok", f"dvc {version}, project found")


CHECKS = (
    Check("Python", python_version),
    Check("one OpenCV", one_opencv),
    Check("pose models", pose_models),
    Check("H.264 encoder", h264),
    Check("exercise model", exercise_model),
    Check("torch", torch_pair),
    Check("MongoDB for FiftyOne", mongod_starts),
    Check("DVC", pipeline),
)
"""Every check, in the order shown."""
