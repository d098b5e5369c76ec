"""The one training loop: Lightning, the same bytes for the same seed, resumable after a kill.

How it repeats itself bit for bit on one machine: deterministic algorithms only, a fixed number of threads, one process,
float32; the order of items is a function of (seed, epoch), an item's augmentation of (seed, epoch, item) and dropout
of (seed, step). So nothing hangs on a generator's history, and a training that was killed and resumed at an epoch's
end gives the weights of one that ran through. Another machine, device or torch release may round differently.

Several devices (`processes`) take a batch each in every step, so that a step sees that many times as many items and an
epoch has as many times fewer steps. They repeat themselves, too, but give other bytes than one device.
"""

import logging
import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint
from torch.utils.data import DataLoader, Dataset

from repset.errors import RepsetError
from repset.learn import Progress, processes, silent
from repset.learn.learner import Learner
from repset.learn.order import Items, Seeded, Shuffle
from repset.learn.plan import Plan
from repset.records import canonical_json, sha256_bytes

THREADS = 2
"""Threads of torch on the CPU. Fixed, since sums over another number of threads round differently."""

CHECKPOINT_S = 30.0
"""Least seconds between two checkpoints; a killed training loses about so much."""


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
    # Nothing here reads memory that nobody wrote, so that filling it is work for nothing.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.set_num_threads(THREADS)
    torch.manual_seed(seed)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise RepsetError("--device cuda: no CUDA device is visible. Use --device cpu, or mend the driver.")
    return torch.device(device)


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
        history: folder that gets DVCLive's log, one step an epoch; of several processes the first writes it.
    Raises: RepsetError if there is nothing to train on.
    """
    if not len(training):
        raise RepsetError(f"{plan.name}: no item to train on. Check the fold `train` of the source's split.")
    many = processes.world()
    shuffle = Shuffle(len(training), plan.seed, plan.draw, processes.rank(), many)
    if not len(shuffle):
        raise RepsetError(f"{plan.name}: {len(training)} items cannot be shared by {many} devices. Say --devices 1.")
    # The last batch would be a single item, of which batch normalisation can learn nothing.
    lonely = len(shuffle) > plan.batch and len(shuffle) % plan.batch == 1
    seeded = Seeded(training, plan.seed)
    loader = DataLoader(
        seeded,
        plan.batch,
        sampler=shuffle,
        drop_last=lonely,
    )
    steps = len(loader)
    epochs = plan.epochs if plan.max_steps is None else min(plan.epochs, max(1, plan.max_steps // steps))
    limit = steps if plan.max_steps is None else min(steps, plan.max_steps)
    learner = Learner(network, plan, epochs * limit, progress, seeded)
    folder = scratch / sha256_bytes(canonical_json([plan.__dict__, str(device), many, torch.__version__]).encode())[:16]
    unfinished = folder / "last.ckpt"
    # An encoder that is cut to a few levels holds weights that no answer hangs on.
    strategy = "auto" if many == 1 else "ddp_find_unused_parameters_true"
    with _quiet(), _ctrl_c():
        trainer = lightning.Trainer(
            accelerator=device.type, devices=many, strategy=strategy, max_epochs=epochs, limit_train_batches=limit,
            deterministic=True, callbacks=[_Checkpoints(unfinished)], logger=False, enable_progress_bar=False,
            enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=False, default_root_dir=folder,
        )  # fmt: skip
        trainer.fit(
            learner, loader, DataLoader(cast("Dataset[Any]", validation), plan.batch),
            ckpt_path=unfinished if unfinished.is_file() else None, weights_only=True,
        )  # fmt: skip
    if processes.rank() == 0:  # DVCLive keeps a file in the project, over which two processes would stumble
        _log(learner.rows, history)
        shutil.rmtree(folder, ignore_errors=True)
    return Outcome(learner.best, learner.facts(len(learner.rows) * limit))


class _Checkpoints(Checkpoint):  # type: ignore[misc]
    """Saves the training at the end of an epoch, unless it was saved less than CHECKPOINT_S ago (it is large)."""

    def __init__(self, path: Path) -> None:
        self._path, self._saved = path, time.monotonic()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.strategy.broadcast(time.monotonic() - self._saved >= CHECKPOINT_S):  # all save together, or none
            trainer.save_checkpoint(self._path)
            self._saved = time.monotonic()


def _log(rows: list[dict[str, Any]], folder: Path) -> None:
    """Write the epochs as DVCLive does: `metrics.json` (the last) and one TSV a curve."""
    os.environ["DVC_STUDIO_OFFLINE"] = "true"  # DVCLive reports to a web service wherever a token lies about
    from dvclive import Live

    class Curves(Live):  # type: ignore[misc]
        """The files alone, no experiment."""

        def _init_dvc(self) -> None:
            """Leave the repository alone: a git without a commit would be an error, and its files would stay open."""

    logging.getLogger("dvclive").setLevel(logging.ERROR)
    with Curves(str(folder), save_dvc_exp=False, dvcyaml=None) as live:
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


@contextmanager
def _ctrl_c() -> Iterator[None]:
    """A Ctrl-C stays one: Lightning would leave by `sys.exit(1)`, without a word, and deaf to the next."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stopped:
        raise KeyboardInterrupt from stopped
    finally:
        if threading.current_thread() is threading.main_thread():  # no other may set it
            signal.signal(signal.SIGINT, handler)
