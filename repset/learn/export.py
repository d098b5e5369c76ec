"""Trained networks as ONNX, checked against the originals, with cards for those who run them without torch."""

import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from repset.errors import RepsetError
from repset.landmarks import PENN_13
from repset.learn.card import Card, load_card, load_into
from repset.learn.exercise import load, window_spec
from repset.learn.exercise_nets import Temporal
from repset.params import ExerciseTrain
from repset.pose_features import CHANNELS, JOINTS
from repset.records import atomic_path, read_json, sha256_bytes, write_json

TOLERANCE = 1e-4
"""Largest difference of a logit between torch and onnxruntime that is let through."""

PIXEL_TOLERANCE = 1e-3
"""The same for the segmentation network, whose logits pass some twenty convolutions more."""

MAX_BYTES = 1_000_000
OPSET = 17


def release_exercise(folder: Path, into: Path, metrics: Path | None) -> dict[str, Any]:
    """Write `into/exercise.onnx` and `into/exercise.json` from a model folder; returns the card.

    Args:
        folder: a trained model (`models/exercise/final`).
        metrics: its metrics.json, for the scores on the card; None or a missing file: no scores.
    Raises: RepsetError if onnxruntime's answers differ from torch's or the file is too large; nothing is written then.
    """
    card, both = load(folder)
    spec = window_spec(ExerciseTrain.model_validate(card.params))
    network = to_onnx(both.temporal, spec.steps)
    difference = parity(both.temporal, network, spec.steps)
    if difference > TOLERANCE:
        raise RepsetError(
            f"{folder}: the exported network differs from the trained one by {difference:.1e}, allowed is "
            f"{TOLERANCE:.0e}. Nothing was released. Check the versions of torch and onnx: repset doctor"
        )
    if len(network) > MAX_BYTES:
        raise RepsetError(
            f"{folder}: the exported network has {len(network):,} bytes (allowed {MAX_BYTES:,}). Nothing was released. "
            "Train with a smaller train.exercise.width."
        )
    facts = _facts(card, network, difference, metrics)
    with atomic_path(into / "exercise.onnx") as temporary:
        temporary.write_bytes(network)
    write_json(into / "exercise.json", facts)
    return facts


def release_segmentation(folder: Path, into: Path, metrics: Path | None) -> dict[str, Any]:
    """Write `into/segmentation.onnx` and `into/segmentation.json` from a model folder; returns the card.

    Input `images` (N, 3, size, size) float32: RGB, 0 to 255, the picture fitted into the square; output `logits`
    (N, classes, size, size); any N. Raises: as `release_exercise`, without a limit on the size.
    """
    from repset.learn.segmentation import CLASSES, MODEL, build

    card = load_card(folder, MODEL, CLASSES)
    network = build(card.architecture)
    load_into(network, folder, card)
    size = int(card.architecture["size_px"])
    exported = _exported(network, torch.zeros(2, 3, size, size), "images", "N")
    inputs = np.random.default_rng(0).uniform(0, 255, (3, 3, size, size)).astype(np.float32)
    difference = _difference(network, exported, "images", inputs)
    if difference > PIXEL_TOLERANCE:
        raise RepsetError(
            f"{folder}: the exported network differs from the trained one by {difference:.1e}, allowed is "
            f"{PIXEL_TOLERANCE:.0e}. Nothing was released. Check the versions of torch and onnx: repset doctor"
        )
    scores = read_json(metrics) if metrics and metrics.is_file() else None
    facts = {
        "classes": list(card.classes), "size_px": size, "input": "RGB, float32, 0 to 255, fitted into the square",
        "architecture": card.architecture, "data": card.data, "data_kind": card.data_kind, "seed": card.seed,
        "weights_sha256": card.weights_sha256, "onnx_sha256": sha256_bytes(exported),
        "parity": float(f"{difference:.1e}"), "training": card.training, "scores": scores,
    }  # fmt: skip
    with atomic_path(into / "segmentation.onnx") as temporary:
        temporary.write_bytes(exported)
    write_json(into / "segmentation.json", facts)
    return facts


def to_onnx(network: Temporal, steps: int) -> bytes:
    """The network as ONNX: input `windows` (W, CHANNELS, steps), output `logits` (W, C), any W."""
    return _exported(network, torch.zeros(2, CHANNELS, steps), "windows", "W")


def _exported(network: torch.nn.Module, example: torch.Tensor, source: str, axis: str) -> bytes:
    """A network of the input `source` and the output `logits` as ONNX, the first axis of both of any length."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The exporter that torch now prefers writes several times the size for the same network.
        warnings.simplefilter("ignore", DeprecationWarning)
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            network.eval(),
            (example,),
            str(path),
            input_names=[source],
            output_names=["logits"],
            dynamic_axes={source: {0: axis}, "logits": {0: axis}},
            opset_version=OPSET,
            dynamo=False,
        )
        return path.read_bytes()


def parity(network: Temporal, exported: bytes, steps: int, windows: int = 64) -> float:
    """Largest difference of a logit between torch and onnxruntime on random windows, in batches of 1 and of many."""
    inputs = np.random.default_rng(0).normal(0, 0.5, (windows, CHANNELS, steps)).astype(np.float32)
    return _difference(network, exported, "windows", inputs)


def _difference(network: torch.nn.Module, exported: bytes, source: str, inputs: npt.NDArray[np.float32]) -> float:
    """Largest difference of an output between torch and onnxruntime, all items at once and the first alone."""
    import onnxruntime

    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        wanted = network.eval()(torch.from_numpy(inputs)).numpy()
    found = session.run(None, {source: inputs})[0]
    alone = session.run(None, {source: inputs[:1]})[0]
    return float(max(np.abs(found - wanted).max(), np.abs(alone - wanted[:1]).max()))


def _facts(card: Card, network: bytes, difference: float, metrics: Path | None) -> dict[str, Any]:
    params = ExerciseTrain.model_validate(card.params)
    scores = read_json(metrics) if metrics and metrics.is_file() else None
    return {
        "classes": list(card.classes),
        "temperature": ((scores or {}).get("calibration") or {}).get("temperature", 1.0),
        "window_s": params.window_s,
        "steps": params.steps,
        "channels": CHANNELS,
        "skeleton": PENN_13.name,
        "joints": list(JOINTS),
        "data": card.data,
        "data_kind": card.data_kind,
        "seed": card.seed,
        "weights_sha256": card.weights_sha256,
        "onnx_sha256": sha256_bytes(network),
        "parity": float(f"{difference:.1e}"),
        "training": card.training["temporal"],
        "scores": json.loads(json.dumps(scores)),
    }
