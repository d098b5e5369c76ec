"""MediaPipe's pose landmarker: images in, one person's 33 joints out. The only module that imports mediapipe.

The wheel of mediapipe 0.10.21 carries the two networks (detector and "full" landmarks) but not the `.task` bundle
that the Tasks API wants, so the bundle is made here once and kept in the user's cache folder: nothing is downloaded.
The normalisation written into it is the networks' own (detector: -1..1, landmarks: 0..1).
"""

import importlib
import importlib.metadata
import importlib.util
import os
import sys
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from repset.errors import DataError, RepsetError
from repset.landmarks import BLAZEPOSE_33
from repset.records import atomic_path, sha256_bytes, sha256_file
from repset.schema import PoseTrack
from repset.video import Image

SKELETON = BLAZEPOSE_33.name
JOINTS = len(BLAZEPOSE_33.joints)

_DETECTOR = "modules/pose_detection/pose_detection.tflite"
_LANDMARKS = {name: f"modules/pose_landmark/pose_landmark_{name}.tflite" for name in ("lite", "full", "heavy")}
STEP_MS = 1000 / 30
"""Time stamp step MediaPipe is told, whatever the clip's rate. Its smoothing is tuned to 30 frames a second, and its
legacy API stamped the frames of a file so. Seen on the published BlazePose output of a 5 frames/s clip: mean distance
4.9 px so, 5.9 px with the true times. And poses depend on the images alone: a clip played faster has the same ones."""

_NORMALISATION = {"pose_detector.tflite": (127.5, 127.5), "pose_landmarks_detector.tflite": (0.0, 255.0)}  # mean, std


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/repset` (default `~/.cache/repset`): rebuildable; deleting it loses nothing."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "repset"


def mediapipe_version() -> str:
    """Version of the installed wheel, without importing it (that takes seconds)."""
    return importlib.metadata.version("mediapipe")


def model_bundle(model: str = "full") -> Path:
    """The `.task` bundle of a pose model.

    Args:
        model: lite | full | heavy from the installed wheel, or the path of an official `.task` file.
    Raises: DataError if the file is no bundle; RepsetError if the wheel does not carry that model.
    """
    if model not in _LANDMARKS:
        return _checked_bundle(Path(model))
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or spec.origin is None:
        raise RepsetError("mediapipe is not installed. Install it: pip install mediapipe==0.10.21")
    wheel = Path(spec.origin).parent
    parts = dict(zip(_NORMALISATION, (wheel / _DETECTOR, wheel / _LANDMARKS[model]), strict=True))
    if not all(part.is_file() for part in parts.values()):
        raise RepsetError(
            f"pose model {model!r}: mediapipe {mediapipe_version()} carries no such network. "
            "Use full, or name an official bundle by its path: pose_landmarker_heavy.task"
        )
    networks = {name: part.read_bytes() for name, part in parts.items()}
    key = sha256_bytes("".join(sha256_bytes(data) for data in networks.values()).encode())[:16]
    bundle = cache_folder() / "models" / f"pose_{model}_{mediapipe_version()}_{key}.task"
    if not bundle.is_file():
        _write_bundle(bundle, networks)
    return bundle


@cache
def model_sha256(model: str = "full") -> str:
    """Hash of the bundle: the provenance of every pose made with it."""
    return sha256_file(model_bundle(model))


def _checked_bundle(path: Path) -> Path:
    wanted = "a MediaPipe pose bundle (.task), or one of lite, full, heavy"
    if not path.is_file():
        raise DataError(path, wanted, "no such file", "Check the path")
    if not zipfile.is_zipfile(path):
        raise DataError(path, wanted, "a file that is no bundle", "Download the bundle again")
    with zipfile.ZipFile(path) as archive:
        if missing := set(_NORMALISATION) - set(archive.namelist()):
            raise DataError(path, wanted, f"a bundle without {min(missing)}", "Download a pose landmarker bundle")
    return path


def _write_bundle(bundle: Path, networks: dict[str, bytes]) -> None:
    """Stored zip with fixed time stamps: the same wheel gives the same bytes."""
    with quiet():
        described = {name: _with_metadata(data, *_NORMALISATION[name]) for name, data in networks.items()}
    with atomic_path(bundle) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, data in described.items():
            archive.writestr(zipfile.ZipInfo(name), data)


def _with_metadata(network: bytes, mean: float, std: float) -> bytes:
    """A network with the input normalisation and a name for each output, which the Tasks API asks for."""
    from mediapipe.tasks.metadata import schema_py_generated as schema
    from mediapipe.tasks.python.metadata.metadata_writers.metadata_writer import MetadataWriter

    graph = schema.Model.GetRootAsModel(bytearray(network), 0).Subgraphs(0)
    writer = MetadataWriter.create(bytearray(network))
    writer.add_general_info("pose")
    writer.add_image_input([mean], [std])
    for number in range(graph.OutputsLength()):
        writer.add_feature_output(graph.Tensors(graph.Outputs(number)).Name().decode())
    return bytes(writer.populate()[0])


@contextmanager
def quiet() -> Iterator[None]:
    """Send the process's standard error nowhere: MediaPipe's C++ logging has no other switch."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _import_mediapipe() -> Any:
    """mediapipe, without the pyplot that it imports for a drawing helper: that takes two thirds of its import time."""
    if "mediapipe" in sys.modules or "matplotlib" in sys.modules:
        return importlib.import_module("mediapipe")
    stand_in = {name: ModuleType(name) for name in ("matplotlib", "matplotlib.pyplot")}
    sys.modules.update(stand_in)
    try:
        with quiet():
            return importlib.import_module("mediapipe")
    finally:
        for name in stand_in:
            del sys.modules[name]


class _Landmarker:
    """One MediaPipe landmarker. In video mode it follows a person, so it must see one clip only."""

    def __init__(self, model: str, video: bool) -> None:
        bundle = model_bundle(model)
        mediapipe = _import_mediapipe()
        with quiet():
            from mediapipe.tasks.python import BaseOptions, vision

            # OpenCV's own threads only contend with the other clips' processes.
            cv2.setNumThreads(1)
            mode = vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE
            options = vision.PoseLandmarkerOptions(BaseOptions(model_asset_path=str(bundle)), running_mode=mode)
            self._landmarker = vision.PoseLandmarker.create_from_options(options)
        self._image, self._srgb = mediapipe.Image, mediapipe.ImageFormat.SRGB
        self._video, self._frames, self._found = video, 0, False

    def __call__(self, rgb: Image) -> npt.NDArray[np.float32] | None:
        """Joints of the most confident person: (33, 6) x y visibility X Y Z (pixels, 0..1, metres), or None."""
        if self._found:  # the landmark network's last remark comes with the first person found
            return self._detect(rgb)
        with quiet():
            return self._detect(rgb)

    def _detect(self, rgb: Image) -> npt.NDArray[np.float32] | None:
        image = self._image(image_format=self._srgb, data=np.ascontiguousarray(rgb))
        if self._video:
            result: Any = self._landmarker.detect_for_video(image, round(self._frames * STEP_MS))
            self._frames += 1
        else:
            result = self._landmarker.detect(image)
        if not result.pose_landmarks:
            return None
        self._found = True
        height, width = rgb.shape[:2]
        flat, world = result.pose_landmarks[0], result.pose_world_landmarks[0]
        return np.array(
            [(p.x * width, p.y * height, p.visibility, w.x, w.y, w.z) for p, w in zip(flat, world, strict=True)],
            np.float32,
        )

    def close(self) -> None:
        """Free the networks."""
        with quiet():
            self._landmarker.close()


def estimate(frames: Iterable[tuple[float, Image]], model: str = "full", *, rgb: bool = False) -> PoseTrack:
    """The most prominent person of one clip, followed from frame to frame; frames are taken one at a time.

    Args:
        frames: (seconds from the first frame, image (H, W, 3) uint8), times strictly increasing; all of one size.
        model: lite | full | heavy | path of a `.task` bundle.
        rgb: the images are RGB (as `read_video` gives them when asked), not BGR.
    Returns: skeleton blazepose_33, pixels, visibility 0..1, xyz_m in metres from the mid-hip (y down); a frame
        without a person is NaN throughout. MediaPipe also places joints that it cannot see and joints outside the
        image: their visibility is low.
    """
    landmarker = _Landmarker(model, video=True)
    times: list[float] = []
    found: list[npt.NDArray[np.float32] | None] = []
    size = (0, 0)
    try:
        for time_s, image in frames:
            size = (image.shape[1], image.shape[0])
            found.append(landmarker(image if rgb else _rgb(image)))
            times.append(time_s)
    finally:
        landmarker.close()
    return _track(times, found, size)


def estimate_image(image: Image, model: str = "full") -> PoseTrack:
    """The most prominent person of one picture, with no memory of others: a track of one frame at 0 s.

    Args:
        image: (H, W, 3) uint8, BGR.
    """
    joints = _image_landmarker(model)(_rgb(image))
    return _track([0.0], [joints], (image.shape[1], image.shape[0]))


def _rgb(image: Image) -> Image:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


@cache
def _image_landmarker(model: str) -> _Landmarker:
    """Loading the networks costs ten pictures, and in image mode nothing is carried over: kept for the process."""
    return _Landmarker(model, video=False)


def _track(times: list[float], found: list[npt.NDArray[np.float32] | None], size: tuple[int, int]) -> PoseTrack:
    joints = np.full((len(times), JOINTS, 6), np.nan, np.float32)
    for frame, values in enumerate(found):
        if values is not None:
            joints[frame] = values
    return PoseTrack(
        SKELETON, np.array(times, np.float64), joints[..., :2].copy(), joints[..., 2].copy(), *size,
        xyz_m=joints[..., 3:].copy(),
    )  # fmt: skip
