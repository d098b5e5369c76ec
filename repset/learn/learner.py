"""What a training does in a step, an epoch and a checkpoint: the Lightning module behind `repset.learn.fit`."""

import math
from functools import partial
from typing import Any

import lightning
import numpy as np
import torch
from torch.optim.swa_utils import update_bn

from repset.learn import Progress, metrics
from repset.learn.losses import build_loss
from repset.learn.order import Seeded, mixed
from repset.learn.plan import SCORES, Plan

STATISTICS_BATCHES = 8
"""Batches of training items on which averaged weights get their statistics of batch normalisation."""


class Learner(lightning.LightningModule):  # type: ignore[misc]  # ships no types
    """The plan's loss, optimiser and schedule, and the confusion matrix of the validation fold."""

    def __init__(self, network: torch.nn.Module, plan: Plan, total: int, progress: Progress, training: Seeded) -> None:
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
        rank = () if self.global_rank == 0 else (self.global_rank,)
        torch.manual_seed(mixed(self.plan.seed, "step", self.global_step, *rank))

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
        self._stop_if_no_better()

    def on_train_start(self) -> None:
        self._stop_if_no_better()  # a training that was killed after its last epoch has none to go on with

    def _stop_if_no_better(self) -> None:
        """The first process decides for all, since their batch normalisations differ a little."""
        if self.plan.patience is None or not self.rows:
            return
        waited = len(self.rows) - 1 - self.chosen
        self.trainer.should_stop = self.trainer.strategy.broadcast(waited >= self.plan.patience)

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


def warm_cosine(warmup: int, total: int, step: int) -> float:
    """Factor of the learning rate at a step counted from 0: up to 1 in `warmup` steps, then a cosine down to 0."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def _weighted(values: list[tuple[float, int]]) -> float:
    return sum(value * n for value, n in values) / sum(n for _, n in values)
