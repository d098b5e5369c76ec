"""The training loop: repeatable to the bit, resumable, and choosing on the validation fold."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from repset.errors import RepsetError
from repset.learn import fit

pytestmark = pytest.mark.train


class Points:
    """Two clouds of points a line divides, with noise drawn anew for each look."""

    def __init__(self, count: int, noise: float = 0.1) -> None:
        generator = torch.Generator().manual_seed(count)
        self.labels = torch.arange(count) % 2
        self.points = torch.randn(count, 3, generator=generator) * 0.3 + self.labels[:, None] * 2.0
        self.noise = noise

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.points[index] + self.noise * torch.randn(3), self.labels[index]


def plan(**changes: Any) -> fit.Plan:
    values = dict(name="points", inputs=None, seed=3, classes=2, score="macro_f1", batch=8, epochs=4, max_steps=None,
                  learning_rate=0.05, step_epochs=2, gamma=0.5)  # fmt: skip
    return fit.Plan(**{**values, **changes})


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))


def run(folder: Path, training: Any = None, validation: Any = None, progress: Any = fit.silent, **changes: Any) -> Any:
    device = fit.prepare(3, "cpu")
    items = Points(40) if training is None else training, Points(16) if validation is None else validation
    return fit.train(network(), *items, plan(**changes), device, folder / "scratch", folder / "history", progress)


def same(one: fit.Outcome, other: fit.Outcome) -> bool:
    return one.state.keys() == other.state.keys() and all(torch.equal(one.state[k], other.state[k]) for k in one.state)


def history(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted((folder / "history").rglob("*")) if p.is_file()}


def test_two_runs_in_two_folders_are_equal_to_the_bit(tmp_path: Path) -> None:
    one, other = run(tmp_path / "a"), run(tmp_path / "b")
    assert same(one, other)
    assert one.facts == other.facts
    assert history(tmp_path / "a") == history(tmp_path / "b")
    assert set(history(tmp_path / "a")) == {
        "history/metrics.json",
        "history/plots/metrics/train/loss.tsv",
        "history/plots/metrics/validation/loss.tsv",
        "history/plots/metrics/validation/macro_f1.tsv",
    }


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    assert not same(run(tmp_path / "a"), run(tmp_path / "b", seed=4))


def test_a_killed_training_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "CHECKPOINT_S", 0.0)
    whole = run(tmp_path / "whole")
    seen: list[int] = []

    def pull_the_plug(done: int, total: int, label: str) -> None:
        seen.append(done)
        if done == 12:  # 5 steps an epoch: in the middle of the third
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path / "cut", progress=pull_the_plug)
    resumed: list[int] = []
    again = run(tmp_path / "cut", progress=lambda done, total, label: resumed.append(done))
    assert resumed == list(range(11, 21))
    assert same(whole, again)
    assert whole.facts == again.facts
    assert history(tmp_path / "whole") == history(tmp_path / "cut")
    assert not list((tmp_path / "cut" / "scratch").iterdir())


def test_points_are_learned_and_the_last_of_the_best_epochs_is_chosen(tmp_path: Path) -> None:
    outcome = run(tmp_path, epochs=6)
    assert outcome.facts["validation/macro_f1"] == 1.0
    rows = (tmp_path / "history/plots/metrics/validation/macro_f1.tsv").read_text().splitlines()[1:]
    scores = [float(row.split("\t")[1]) for row in rows]
    assert outcome.facts["chosen_epoch"] == max(epoch for epoch, score in enumerate(scores) if score == max(scores))
    assert outcome.facts["steps"] == 30


def test_without_validation_items_the_last_epoch_is_taken(tmp_path: Path) -> None:
    outcome = run(tmp_path, validation=Points(0))
    assert outcome.facts["chosen_epoch"] == 3
    assert outcome.facts["chosen_by"] == "last epoch (no validation item)"


@pytest.mark.parametrize(("max_steps", "epochs", "steps"), [(3, 1, 3), (5, 1, 5), (14, 2, 10), (500, 4, 20)])
def test_only_whole_epochs_fit_into_the_step_limit(tmp_path: Path, max_steps: int, epochs: int, steps: int) -> None:
    facts = run(tmp_path, max_steps=max_steps).facts
    assert (facts["epochs"], facts["steps"]) == (epochs, steps)


def test_a_last_batch_of_one_item_is_left_out(tmp_path: Path) -> None:
    assert run(tmp_path, training=Points(41)).facts["steps"] == 20


def test_nothing_to_train_on_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RepsetError) as caught:
        run(tmp_path, training=Points(0))
    assert str(caught.value) == "points: no item to train on. Check the fold `train` of the source's split."


def test_ignored_labels_do_not_teach(tmp_path: Path) -> None:
    learner = fit._Learner(network(), plan(), 1, fit.silent)
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [5.0, -5.0]])
    kept = learner.loss(logits[:2], torch.tensor([0, 1]))
    assert torch.equal(learner.loss(logits, torch.tensor([0, 1, 255])), kept)


def test_cuda_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RepsetError) as caught:
        fit.prepare(1, "cuda")
    assert str(caught.value) == "--device cuda: no CUDA device is visible. Use --device cpu, or mend the driver."


def test_class_weights_change_what_a_mistake_costs() -> None:
    """One item of class 0 taken for 1 (weight 1) and one of class 1 that is right (weight 3), by hand."""
    learner = fit._Learner(network(), plan(weights=(1.0, 3.0)), 1, fit.silent)
    loss = learner.loss(torch.tensor([[0.0, 2.0], [0.0, 2.0]]), torch.tensor([0, 1]))
    wrong, right = math.log(1 + math.e**2), math.log(1 + math.e**-2)
    assert float(loss) == pytest.approx((1 * wrong + 3 * right) / 4, rel=1e-6)
