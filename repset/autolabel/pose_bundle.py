"""The networks that MediaPipe's pose landmarker runs, as the `.task` files that its Tasks API wants.

The wheel of mediapipe 0.10.21 carries the two networks (detector and "full" landmarks) but no bundle of them, so the
bundle is made here once and kept in the user's cache folder: nothing is downloaded. The normalisation written into it
is the networks' own (detector: -1..1, landmarks: 0..1).

The landmark network also draws the person's outline, pixel by pixel, whether anyone asks for it or not. That branch
takes a third of the time of a frame (`python tools/bench.py`), so there is a second bundle without it: every other
operation is the same, and so is every landmark, to the bit (tests/test_pose.py).
"""

import importlib.metadata
import importlib.util
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from repset.errors import DataError, RepsetError
from repset.records import atomic_path, sha256_bytes, sha256_file

_DETECTOR = "modules/pose_detection/pose_detection.tflite"
_LANDMARKS = {name: f"modules/pose_landmark/pose_landmark_{name}.tflite" for name in ("lite", "full", "heavy")}
_DETECTOR_PART, _LANDMARKS_PART = "pose_detector.tflite", "pose_landmarks_detector.tflite"
_NORMALISATION = {_DETECTOR_PART: (127.5, 127.5), _LANDMARKS_PART: (0.0, 255.0)}  # mean, standard deviation
_OUTLINE = (1, 256, 256, 1)
"""Shape of the landmark network's output that is the person's outline; no other output is a picture."""


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
    return _made(model, outline=True) if model in _LANDMARKS else _checked_bundle(Path(model))


def quick_bundle(model: str = "full") -> Path:
    """The same model without the person's outline: the same landmarks, sooner. See `model_bundle`.

    An official `.task` file is taken as it is: only the wheel's own networks are known to stay the same.
    """
    return _made(model, outline=False) if model in _LANDMARKS else _checked_bundle(Path(model))


@cache
def model_sha256(model: str = "full") -> str:
    """Hash of the whole bundle: the provenance of every pose made with it, or with the quick one."""
    return sha256_file(model_bundle(model))


def _made(model: str, outline: bool) -> Path:
    """The bundle of the wheel's networks in the cache folder, written there the first time."""
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
    kind = "" if outline else "quick_"
    bundle = cache_folder() / "models" / f"pose_{model}_{kind}{mediapipe_version()}_{key}.task"
    if not zipfile.is_zipfile(bundle):  # none yet, or a damaged one
        if not outline:
            networks[_LANDMARKS_PART] = _without_outline(networks[_LANDMARKS_PART])
        _write_bundle(bundle, networks)
    return bundle


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


def _without_outline(network: bytes) -> bytes:
    """The landmark network with a single zero in the place of the outline, and without what only led there.

    MediaPipe tells the outputs apart by their order, so the place itself must stay.
    """
    import flatbuffers
    from mediapipe.tasks.metadata import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(network), 0))
    graph = model.subgraphs[0]
    (place,) = (k for k, tensor in enumerate(graph.outputs) if tuple(graph.tensors[tensor].shape) == _OUTLINE)
    zero, tensor = schema.BufferT(), schema.TensorT()
    zero.data = np.zeros(4, np.uint8)
    tensor.name, tensor.type, tensor.shape = b"no_outline", schema.TensorType.FLOAT32, np.array([1, 1], np.int32)
    tensor.buffer = len(model.buffers)
    model.buffers.append(zero)
    graph.outputs[place] = len(graph.tensors)
    graph.tensors.append(tensor)
    graph.operators = _needed(graph)
    builder = flatbuffers.Builder(len(network))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _needed(graph: Any) -> list[Any]:
    """The operators that some output depends on, in their order."""
    made_by = {tensor: number for number, operator in enumerate(graph.operators) for tensor in operator.outputs}
    waiting, kept = list(graph.outputs), set()
    while waiting:
        number = made_by.get(waiting.pop())
        if number is not None and number not in kept:
            kept.add(number)
            waiting += list(graph.operators[number].inputs)
    return [operator for number, operator in enumerate(graph.operators) if number in kept]


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
