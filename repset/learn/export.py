"""Trained networks as ONNX, checked against the originals, with cards for those who run them without torch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from repset.errors import RepsetError
from repset.landmarks import PENN_13
from repset.learn.card import Card, load_card, load_into
from repset.learn.exercise import load, window_spec
from repset.learn.exercise_nets import Temporal
from repset.learn.to_onnx import difference, exported
from repset.params import ExerciseTrain
from repset.pose_features import CHANNELS, JOINTS
from repset.records import atomic_path, read_json, sha256_bytes, write_json

TOLERANCE = 1e-4
"""Largest difference of a logit between torch and onnxruntime that is let through."""

MAX_BYTES = 1_000_000


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
    off = parity(both.temporal, network, spec.steps)
    if off > TOLERANCE:
        raise RepsetError(
            f"{folder}: the exported network differs from the trained one by {off:.1e}, allowed is "
            f"{TOLERANCE:.0e}. Nothing was released. Check the versions of torch and onnx: repset doctor"
        )
    if len(network) > MAX_BYTES:
        raise RepsetError(
            f"{folder}: the exported network has {len(network):,} bytes (allowed {MAX_BYTES:,}). Nothing was released. "
            "Train with a smaller train.exercise.width."
        )
    facts = _facts(card, network, off, metrics)
    with atomic_path(into / "exercise.onnx") as temporary:
        temporary.write_bytes(network)
    write_json(into / "exercise.json", facts)
    return facts


def release_segmentation(folder: Path, into: Path, metrics: Path | None) -> dict[str, Any]:
    """Write `into/segmentation.onnx` and `into/segmentation.json` from a model folder; returns the card.

    Input `images` (N, 3, size, size) float32: RGB, 0 to 255, the picture fitted into the square; outputs `logits` and
    `probabilities` (N, classes, size, size); any N. Raises: RepsetError if torch's exporter does not know the network,
    or onnxruntime's answers differ; nothing is written then.
    """
    from repset.learn.data import CLASSES
    from repset.learn.muscle_net import as_onnx, build
    from repset.learn.segmenter import MODEL

    card = load_card(folder, MODEL, CLASSES)
    network = build(card.architecture)
    load_into(network, folder, card)
    size = int(card.architecture["size_px"])
    try:
        onnx, off = as_onnx(network, size)
    except RepsetError as error:
        raise RepsetError(f"{folder}: {error} Nothing was released.") from error
    scores = read_json(metrics) if metrics and metrics.is_file() else None
    facts = {
        "classes": list(card.classes), "size_px": size, "input": "RGB, float32, 0 to 255, fitted into the square",
        "architecture": card.architecture, "data": card.data, "data_kind": card.data_kind, "seed": card.seed,
        "weights_sha256": card.weights_sha256, "onnx_sha256": sha256_bytes(onnx),
        "parity": float(f"{off:.1e}"), "training": card.training, "scores": scores,
    }  # fmt: skip
    with atomic_path(into / "segmentation.onnx") as temporary:
        temporary.write_bytes(onnx)
    write_json(into / "segmentation.json", facts)
    return facts


def to_onnx(network: Temporal, steps: int) -> bytes:
    """The network as ONNX: input `windows` (W, CHANNELS, steps), output `logits` (W, C), any W."""
    return exported(network, torch.zeros(2, CHANNELS, steps), "windows", "W")


def parity(network: Temporal, onnx: bytes, steps: int, windows: int = 64) -> float:
    """Largest difference of a logit between torch and onnxruntime on random windows, in batches of 1 and of many."""
    inputs = np.random.default_rng(0).normal(0, 0.5, (windows, CHANNELS, steps)).astype(np.float32)
    return difference(network, onnx, "windows", inputs)


def _facts(card: Card, network: bytes, off: float, metrics: Path | None) -> dict[str, Any]:
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
        "parity": float(f"{off:.1e}"),
        "training": card.training["temporal"],
        "scores": json.loads(json.dumps(scores)),
    }
