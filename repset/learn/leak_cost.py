"""What a random split of frames flatters: the exercise networks trained and scored on an honest and a naive split.

Both arms see the same items of the same clips: single frames for DeepFit, windows (every HOP of a window) for the
temporal network. Honest: a clip's items lie all on one side, the one its group has in the split in force. Naive: items
are dealt at random, as many to each side, so that neighbours of a test frame are learned from. Nothing else differs:
same networks, steps, seed and number of items; nothing is varied in training and no epoch is chosen.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from repset import pose_features as features
from repset.errors import DataError
from repset.exercises import NONE
from repset.learn import Progress, metrics, silent
from repset.learn import exercise_data as data
from repset.learn import fit as loop
from repset.learn.exercise import HOP, class_order, window_spec
from repset.learn.exercise_nets import DeepFit, InBlocks, build
from repset.learn.plan import Plan
from repset.learn.stages import model_spec
from repset.params import ExerciseTrain, load_params
from repset.project import Project

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

MOST_ITEMS = 40_000
"""Items of one kind in all; above this every n-th is taken, so that a real set takes minutes."""
DEEPFIT_STEPS = 10
"""Steps of DeepFit for one of the temporal network: they cost about a tenth, and sigmoid layers learn slowly."""


class Blocks:
    """Training items: blocks of items drawn at random."""

    def __init__(self, inputs: Floats, targets: Labels, block: int) -> None:
        self._inputs, self._targets = torch.from_numpy(inputs), torch.from_numpy(targets)
        self._block = block

    def __len__(self) -> int:
        return -(-len(self._inputs) // self._block)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows = torch.randint(len(self._inputs), (self._block,))
        return self._inputs[rows], self._targets[rows]


class Nothing:
    """No validation item: the last epoch is taken."""

    def __len__(self) -> int:
        return 0

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        raise IndexError(index)


def leak_cost(
    project: Project, max_steps: int = 400, device: str = "cpu", progress: Progress = silent
) -> dict[str, Any]:
    """Train and score both networks on both splits.

    Args:
        max_steps: optimiser steps of a training of the temporal network; DeepFit takes DEEPFIT_STEPS times as many.
    Returns: JSON-ready: split, clips, and per network its items and the accuracy and macro F1 by item on the honest
        and the naive split, with their difference (`flattered`).
    Raises: DataError if a curated table is missing or has no clips in train or test.
    """
    spec = model_spec(project, "exercise")
    tables = {source: project.curated(spec.task, source) / "table.parquet" for source in spec.sources}
    params = load_params(project).train
    own = params.exercise
    sides = {
        fold: data.load_clips(project, tables, (fold,), own.split, gold_only=True)[0] for fold in ("train", "test")
    }
    classes = class_order({clip.label for clip in sides["train"]} & {clip.label for clip in sides["test"]})
    sides = {fold: [clip for clip in clips if clip.label in classes] for fold, clips in sides.items()}
    for fold, clips in sides.items():
        if not clips or len(classes) < 2:
            where = ", ".join(str(path) for path in tables.values())
            raise DataError(where, f"gold clips of two exercises in the fold {fold}", "none", "Check the split")
    result: dict[str, Any] = {
        "split": own.split,
        "clips": {fold: len(clips) for fold, clips in sides.items()},
        "max_steps": max_steps,
    }
    for name in ("deepfit", "temporal"):
        known = [label for label in classes if label != NONE or name == "temporal"]
        items = _thinned({fold: _items(name, clips, known, own) for fold, clips in sides.items()})
        steps = max_steps * (DEEPFIT_STEPS if name == "deepfit" else 1)
        arms = {"honest": items, "naive": _dealt(items, params.seed)}
        scores = {
            arm: _score(name, sided, known, own, params.seed, steps, device, progress) for arm, sided in arms.items()
        }
        flattered = {key: scores["naive"][key] - scores["honest"][key] for key in ("accuracy", "macro_f1")}
        result[name] = {
            "items": "frames" if name == "deepfit" else "windows",
            "train": len(items["train"][1]),
            "test": len(items["test"][1]),
            **scores,
            "flattered": flattered,
        }
    return result


Items = tuple[Floats, Labels]


def _items(name: str, clips: Sequence[data.Clip], classes: Sequence[str], own: ExerciseTrain) -> Items:
    """Inputs (I, ...) and class numbers (I,) of one side."""
    spec = window_spec(own)
    parts, labels = [], []
    for clip in clips:
        if clip.label not in classes:
            continue
        part = (
            features.deepfit_frames(clip.track.xy_px, clip.track.skeleton)
            if name == "deepfit"
            else data.clip_windows(clip, spec, HOP * spec.seconds)
        )
        parts.append(part)
        labels.append(np.full(len(part), classes.index(clip.label), np.int64))
    return np.concatenate(parts), np.concatenate(labels)


def _thinned(items: Mapping[str, Items]) -> dict[str, Items]:
    """Every n-th item of both sides, so that at most MOST_ITEMS are left."""
    every = max(1, -(-sum(len(targets) for _, targets in items.values()) // MOST_ITEMS))
    return {fold: (inputs[::every], targets[::every]) for fold, (inputs, targets) in items.items()}


def _dealt(items: Mapping[str, Items], seed: int) -> dict[str, Items]:
    """The same items dealt at random, as many to each side as before."""
    inputs = np.concatenate([items["train"][0], items["test"][0]])
    targets = np.concatenate([items["train"][1], items["test"][1]])
    order = np.random.default_rng(seed).permutation(len(targets))
    cut = len(items["train"][1])
    return {
        "train": (inputs[order[:cut]], targets[order[:cut]]),
        "test": (inputs[order[cut:]], targets[order[cut:]]),
    }


def _score(
    name: str,
    items: Mapping[str, Items],
    classes: Sequence[str],
    own: ExerciseTrain,
    seed: int,
    max_steps: int,
    device: str,
    progress: Progress,
) -> dict[str, float]:
    """Accuracy and macro F1 by item of one network on one split."""
    where = loop.prepare(seed, device)
    torch.set_num_threads(1)  # networks this small only wait for a second one
    architecture = {
        "temporal": {"classes": len(classes), "width": own.width, "dropout": own.dropout},
        "deepfit": {
            "classes": len(classes), "dropout": own.deepfit.dropout, "activation": own.deepfit.activation,
        },
    }  # fmt: skip
    temporal, deepfit = build(architecture)
    network: DeepFit | InBlocks = deepfit if name == "deepfit" else InBlocks(temporal)
    settings = own.deepfit if name == "deepfit" else own
    blocks = Blocks(*items["train"], settings.batch)
    epochs = max(1, min(max_steps // len(blocks), 10_000))
    plan = Plan(
        name=f"leak-cost {name}", inputs=[len(items["train"][1])], seed=seed, classes=len(classes), score="macro_f1",
        batch=1, epochs=epochs, max_steps=max_steps, learning_rate=settings.learning_rate,
        step_epochs=max(1, epochs // 3), gamma=0.3,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="repset-") as scratch:
        outcome = loop.train(
            network, blocks, Nothing(), plan, where, Path(scratch), Path(scratch) / "history", progress
        )
    network.load_state_dict(outcome.state)
    network.to(where).eval()
    counts = np.zeros((len(classes), len(classes)), np.int64)
    inputs, targets = items["test"]
    with torch.inference_mode():
        for start in range(0, len(targets), 4096):
            block = torch.from_numpy(np.ascontiguousarray(inputs[start : start + 4096])).to(where)
            answer = network(block[None])[0].argmax(dim=0).cpu().numpy()
            counts += metrics.confusion(targets[start : start + 4096], answer, len(classes))
    return {"accuracy": metrics.accuracy(counts) or 0.0, "macro_f1": metrics.mean_present(metrics.f1(counts)) or 0.0}
