"""The one training loop: Lightning on one device, the same bytes for the same seed, resumable after a kill.

How it repeats itself bit for bit on one machine: deterministic algorithms only, a fixed number of threads, one process,
float32; the order of items is a function of (seed, epoch), an item's augmentation of (seed, epoch, item) and dropout
of (seed, step). So nothing hangs on a generator's history, and a training that was killed and resumed at an epoch's
end gives the weights of one that ran through. Another machine, device or torch release may round differently.
"""

import hashlib
import logging
import math
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Checkpoint
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader, Dataset, Sampler

from repset.errors import RepsetError
from repset.learn import Progress, metrics, silent
from repset.learn.losses import LossName, build_loss
from repset.records import canonical_json, sha256_bytes

THREADS = 2
"""Threads of torch on the CPU. Fixed, since sums over another number of threads round differently."""

STATISTICS_BATCHES = 8
"""Batches of training items on which averaged weights get their statistics of batch normalisation."""

CHECKPOINT_S = 30.0
"""Least seconds between two checkpoints; a killed training loses about so much."""

SCORES = {
    "miou": lambda counts: metrics.mean_present(metrics.iou(counts)),
    "macro_f1": lambda counts: metrics.mean_present(metrics.f1(counts)),
    "accuracy": metrics.accuracy,
}
"""What the validation fold may be judged by: name → score of a confusion matrix."""


class Items(Protocol):
    """A fold: item i is (input, target) as tensors; it may draw from torch's global generator (augmentation)."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> tuple[torch.Tensor, torch.Tensor]: ...


@dataclass(frozen=True)
class Plan:
    """How to train one network.

    Attributes:
        name: key of the scratch folder and label of the progress, for example "segmentation/final".
        inputs: whatever else the result depends on (table hashes, params), so that a checkpoint of other inputs is
            never resumed. JSON-ready.
        classes: number of output channels (axis 1 of the network's output).
        score: key of SCORES, by which the validation fold chooses the epoch.
        max_steps: upper limit of optimiser steps; only whole epochs are run, but at least one (cut if need be).
        step_epochs, gamma: StepLR; None keeps the learning rate.
        weights: of the classes in the loss; None: all alike.
        loss: name of repset.learn.losses; weight_decay: above 0 the optimiser is AdamW instead of Adam.
        warmup_steps: the learning rate rises over these and falls as a cosine to 0 at the last step, in place of
            StepLR; None keeps StepLR.
        average: decay of an exponential moving average of the weights, which is judged and kept in their place (it
            begins faster, so that the first steps are forgotten), with statistics of batch normalisation measured
            anew, since those of the way there are not the average's own; None: the weights themselves.
        draw: of each training item, how often it is drawn relative to the others; None: each once an epoch.
    """

    name: str
    inputs: Any
    seed: int
    classes: int
    score: Literal["miou", "macro_f1", "accuracy"]
    batch: int
    epochs: int
    max_steps: int | None
    learning_rate: float
    step_epochs: int | None = None
    gamma: float = 1.0
    weights: tuple[float, ...] | None = None
    loss: LossName = "cross_entropy"
    weight_decay: float = 0.0
    warmup_steps: int | None = None
    average: float | None = None
    draw: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Outcome:
    """What a training gave.

    Attributes:
        state: tensors of the chosen epoch, named as in the network.
        facts: for `Card.training`: epochs, steps, chosen_epoch, chosen_by, and the chosen epoch's history row.
    """

    state: dict[str, torch.Tensor]
    facts: dict[str, Any]


def prepare(seed: int, device: str = "auto") -> torch.device:
    """Switch torch to repeatable work and seed it; call it before the network is built.

    Args:
        device: auto (a CUDA device where there is one) | cpu | cuda.
    Raises: RepsetError if cuda is asked for and absent.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself only with a fixed workspace
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.set_num_threads(THREADS)
    torch.manual_seed(seed)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise RepsetError("--device cuda: no CUDA device is visible. Use --device cpu, or mend the driver.")
    return torch.device(device)


def mixed(*parts: object) -> int:
    """A 63-bit seed from its parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def train(
    network: torch.nn.Module,
    training: Items,
    validation: Items,
    plan: Plan,
    device: torch.device,
    scratch: Path,
    history: Path,
    progress: Progress = silent,
) -> Outcome:
    """Train as the plan says; pixels or items labelled metrics.IGNORE teach nothing.

    Args:
        network: (N, ...) → (N, classes, ...) logits; targets are (N, ...) integers.
        validation: chooses the epoch; where it is empty the last one is taken.
        scratch: folder for checkpoints (`Project.cache / "fit"`); an unfinished training of the same plan goes on.
        history: folder that gets DVCLive's log, one step an epoch.
    Raises: RepsetError if there is nothing to train on.
    """
    if not len(training):
        raise RepsetError(f"{plan.name}: no item to train on. Check the fold `train` of the source's split.")
    # The last batch would be a single item, of which batch normalisation can learn nothing.
    lonely = len(training) > plan.batch and len(training) % plan.batch == 1
    seeded = _Seeded(training, plan.seed)
    loader = DataLoader(
        seeded,
        plan.batch,
        sampler=_Shuffle(len(training), plan.seed, plan.draw),
        drop_last=lonely,
    )
    steps = len(loader)
    epochs = plan.epochs if plan.max_steps is None else min(plan.epochs, max(1, plan.max_steps // steps))
    limit = steps if plan.max_steps is None else min(steps, plan.max_steps)
    learner = _Learner(network, plan, epochs * limit, progress, seeded)
    folder = scratch / sha256_bytes(canonical_json([plan.__dict__, str(device), torch.__version__]).encode())[:16]
    unfinished = folder / "last.ckpt"
    with _quiet():
        trainer = lightning.Trainer(
            accelerator=device.type, devices=1, max_epochs=epochs, limit_train_batches=limit, deterministic=True,
            callbacks=[_Checkpoints(unfinished)], logger=False, enable_progress_bar=False, enable_model_summary=False,
            num_sanity_val_steps=0, use_distributed_sampler=False, default_root_dir=folder,
        )  # fmt: skip
        trainer.fit(
            learner, loader, DataLoader(cast("Dataset[Any]", validation), plan.batch),
            ckpt_path=unfinished if unfinished.is_file() else None, weights_only=True,
        )  # fmt: skip
    if trainer.interrupted:
        raise KeyboardInterrupt
    _log(learner.rows, history)
    shutil.rmtree(folder, ignore_errors=True)
    return Outcome(learner.best, learner.facts(epochs * limit))


class _Learner(lightning.LightningModule):  # type: ignore[misc]  # ships no types
    """The plan's loss, optimiser and schedule, and the confusion matrix of the validation fold."""

    def __init__(
        self, network: torch.nn.Module, plan: Plan, total: int, progress: Progress, training: "_Seeded"
    ) -> None:
        super().__init__()
        self.network, self.plan, self.total, self.progress = network, plan, total, progress
        self._training = training
        self.rows: list[dict[str, Any]] = []  # one an epoch
        self.best: dict[str, torch.Tensor] = {}
        self.chosen = 0  # epoch of `best`
        self.average: dict[str, torch.Tensor] = {}  # moving average of the weights; empty: not wanted, or not begun
        self._own: dict[str, torch.Tensor] = {}  # the weights while the average stands in for them
        self._settled: dict[str, torch.Tensor] = {}  # this epoch's average with statistics of its own
        self._loss = build_loss(plan.loss, plan.classes, plan.weights)
        self._judge = f"validation/{plan.score}"
        self._losses: list[tuple[float, int]] = []
        self._validation: list[tuple[float, int]] = []
        self._counts = np.zeros((plan.classes, plan.classes), np.int64)

    def configure_optimizers(self) -> Any:
        plan, parameters = self.plan, self.network.parameters()
        if plan.weight_decay:
            optimizer: torch.optim.Optimizer = torch.optim.AdamW(
                parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay
            )
        else:
            optimizer = torch.optim.Adam(parameters, lr=plan.learning_rate)
        if plan.warmup_steps is not None:
            rate = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(warm_cosine, plan.warmup_steps, self.total))
            return [optimizer], [{"scheduler": rate, "interval": "step"}]
        if plan.step_epochs is None:
            return optimizer
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, plan.step_epochs, plan.gamma)]

    def loss(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self._loss(logits, target)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        torch.manual_seed(mixed(self.plan.seed, "step", self.global_step))

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        value = self.loss(self.network(batch[0]), batch[1])
        self._losses.append((float(value.detach()), len(batch[0])))
        self.progress(self.global_step + 1, self.total, f"{self.plan.name} loss {self._losses[-1][0]:.3f}")
        return value

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.plan.average is None:
            return
        decay = min(self.plan.average, self.global_step / (9 + self.global_step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                if name in self.average and value.is_floating_point():
                    self.average[name].lerp_(value, 1 - decay)
                else:
                    self.average[name] = value.clone()

    def on_validation_start(self) -> None:
        if self.average:
            self._own = {name: value.clone() for name, value in self.network.state_dict().items()}
            self.network.load_state_dict(self.average)
            self._settle()

    def on_validation_end(self) -> None:
        if self.average:
            self.network.load_state_dict(self._own)

    def _settle(self) -> None:
        """Measure the batch normalisations' statistics anew, over training items that seed and epoch decide."""
        epoch, size = len(self.rows), self.plan.batch
        keys = np.random.default_rng(mixed(self.plan.seed, "statistics", epoch)).permutation(len(self._training))
        parts = [keys[first : first + size] for first in range(0, min(len(keys), STATISTICS_BATCHES * size), size)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed(self.plan.seed, "statistics", epoch))
            stacks = (torch.stack([self._training[epoch, int(key)][0] for key in part]) for part in parts
                      if part is parts[0] or len(part) == size)  # fmt: skip
            update_bn(stacks, self.network, self.device)
        self._settled = {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> None:
        logits = self.network(batch[0])
        self._validation.append((float(self.loss(logits, batch[1])), len(batch[0])))
        self._counts += metrics.confusion(
            batch[1].cpu().numpy(), logits.argmax(1).to(torch.uint8).cpu().numpy(), self.plan.classes
        )

    def on_train_epoch_end(self) -> None:
        row: dict[str, Any] = {"train/loss": _weighted(self._losses)}
        score: metrics.Score = None
        if self._validation:
            score = SCORES[self.plan.score](self._counts)
            row |= {"validation/loss": _weighted(self._validation), self._judge: score}
        # Of equal scores the later epoch is taken: it has seen more, and its probabilities are the better ones.
        if not self._validation or not self.best or (score or 0.0) >= (self.rows[self.chosen][self._judge] or 0.0):
            if self.average and not self._validation:
                self.on_validation_start()
                self.on_validation_end()
            kept = self._settled or self.network.state_dict()
            self.best = {key: value.detach().cpu().clone() for key, value in kept.items()}
            self.chosen = len(self.rows)
        self.rows.append(row)
        self._losses, self._validation = [], []
        self._counts = np.zeros_like(self._counts)

    def facts(self, steps: int) -> dict[str, Any]:
        row = self.rows[self.chosen]
        by = self._judge if self._judge in row else "last epoch (no validation item)"
        return {"epochs": len(self.rows), "steps": steps, "chosen_epoch": self.chosen, "chosen_by": by, **row}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["repset"] = {
            "rows": self.rows, "best": self.best, "chosen": self.chosen, "average": self.average
        }  # fmt: skip

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        kept = checkpoint["repset"]
        self.rows, self.best, self.chosen = kept["rows"], kept["best"], kept["chosen"]
        self.average = {name: value.to(self.device) for name, value in kept["average"].items()}


class _Checkpoints(Checkpoint):  # type: ignore[misc]
    """Saves the training at the end of an epoch, unless it was saved less than CHECKPOINT_S ago (it is large)."""

    def __init__(self, path: Path) -> None:
        self._path, self._saved = path, time.monotonic()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if time.monotonic() - self._saved >= CHECKPOINT_S:
            trainer.save_checkpoint(self._path)
            self._saved = time.monotonic()


class _Shuffle(Sampler[tuple[int, int]]):
    """(epoch, item) keys in an order that only seed and epoch decide; Lightning calls `set_epoch`.

    With `draw` items are drawn with replacement, each as often as its weight says.
    """

    def __init__(self, length: int, seed: int, draw: Sequence[float] | None = None) -> None:
        self._length, self._seed, self._epoch = length, seed, 0
        self._p = None if draw is None else np.asarray(draw, np.float64) / np.sum(draw)

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        rng = np.random.default_rng(mixed(self._seed, "order", self._epoch))
        length = self._length
        order = rng.permutation(length) if self._p is None else rng.choice(length, length, p=self._p)
        return iter([(self._epoch, int(item)) for item in order])


class _Seeded(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Items whose augmentation only (seed, epoch, item) decide."""

    def __init__(self, items: Items, seed: int) -> None:
        self._items, self._seed = items, seed

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed(self._seed, "item", *key))
            return self._items[key[1]]


def _log(rows: list[dict[str, Any]], folder: Path) -> None:
    """Write the epochs as DVCLive does: `metrics.json` (the last) and one TSV a curve."""
    os.environ["DVC_STUDIO_OFFLINE"] = "true"  # DVCLive reports to a web service wherever a token lies about
    from dvclive import Live

    logging.getLogger("dvclive").setLevel(logging.ERROR)
    with Live(str(folder), save_dvc_exp=False, dvcyaml=None) as live:
        for row in rows:
            for name, value in row.items():
                if value is not None:
                    live.log_metric(name, value)
            live.next_step()


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's notices about workers and devices, silenced while it runs: none is about the user's doing."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        logger.setLevel(level)


def warm_cosine(warmup: int, total: int, step: int) -> float:
    """Factor of the learning rate at a step counted from 0: up to 1 in `warmup` steps, then a cosine down to 0."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def _weighted(values: list[tuple[float, int]]) -> float:
    return sum(value * n for value, n in values) / sum(n for _, n in values)
