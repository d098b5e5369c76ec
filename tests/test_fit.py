"""The training loop: repeatable to the bit, resumable, and choosing on the validation fold."""

import math
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from repset.errors import RepsetError
from repset.learn import fit
from repset.learn.learner import Learner, warm_cosine
from repset.learn.losses import build_loss
from repset.learn.order import Items, Seeded, Shuffle
from repset.learn.plan import Plan
from repset.records import read_json

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


def plan(**changes: Any) -> Plan:
    values = dict(name="points", inputs=None, seed=3, classes=2, score="macro_f1", batch=8, epochs=4, max_steps=None,
                  learning_rate=0.05, step_epochs=2, gamma=0.5)  # fmt: skip
    return Plan(**{**values, **changes})


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))


RECIPE: dict[str, Any] = dict(loss="dice_cross_entropy", weight_decay=0.01, warmup_steps=3, average=0.8)
"""Everything a checkpoint must bring back: the schedule's step, the moments of AdamW, the moving average."""


NO_ITEMS = Seeded(cast("Items", ()), 0)


def run(folder: Path, training: Any = None, validation: Any = None, progress: Any = fit.silent, **changes: Any) -> Any:
    device = fit.prepare(3, "cpu")
    items = Points(40) if training is None else training, Points(16) if validation is None else validation
    return fit.train(network(), *items, plan(**changes), device, folder / "scratch", folder / "history", progress)


def same(one: fit.Outcome, other: fit.Outcome) -> bool:
    return one.state.keys() == other.state.keys() and all(torch.equal(one.state[k], other.state[k]) for k in one.state)


def open_files() -> list[str]:
    """What this process holds open; the folder that is being listed is none of it."""
    links = Path("/proc/self/fd")
    if not links.is_dir():
        pytest.skip("no /proc here")
    return sorted(str(link.readlink()) for link in links.iterdir() if link.is_symlink())


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


def test_ctrl_c_in_a_training_stays_one_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "CHECKPOINT_S", 0.0)
    before = signal.getsignal(signal.SIGINT)

    def press(done: int, total: int, label: str) -> None:
        if done == 12:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", progress=press)
    assert signal.getsignal(signal.SIGINT) is before
    resumed: list[int] = []
    again = run(tmp_path / "cut", progress=lambda done, total, label: resumed.append(done))
    assert resumed == list(range(11, 21))
    assert same(run(tmp_path / "whole"), again)


@pytest.mark.parametrize("seed", range(10))
def test_killed_at_any_moment_our_recipe_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Two kills at moments drawn at random, the second while going on; some of them before the first checkpoint."""
    monkeypatch.setattr(fit, "CHECKPOINT_S", 0.0)
    draw = tuple(1.0 + (n % 2) for n in range(40))
    whole = run(tmp_path / "whole", draw=draw, **RECIPE)
    rng = np.random.default_rng(seed)
    for kill in sorted(rng.choice(np.arange(1, 21), 2, replace=False)):

        def pull_the_plug(done: int, total: int, label: str, at: int = int(kill)) -> None:
            if done == at:
                raise RuntimeError("killed")

        with pytest.raises(RuntimeError, match="killed"):
            run(tmp_path / "cut", progress=pull_the_plug, draw=draw, **RECIPE)
    again = run(tmp_path / "cut", draw=draw, **RECIPE)
    assert same(whole, again)
    assert whole.facts == again.facts


def test_points_are_learned_and_the_last_of_the_best_epochs_is_chosen(tmp_path: Path) -> None:
    outcome = run(tmp_path, epochs=6)
    assert outcome.facts["validation/macro_f1"] == 1.0
    rows = (tmp_path / "history/plots/metrics/validation/macro_f1.tsv").read_text().splitlines()[1:]
    scores = [float(row.split("\t")[1]) for row in rows]
    assert outcome.facts["chosen_epoch"] == max(epoch for epoch, score in enumerate(scores) if score == max(scores))
    assert outcome.facts["steps"] == 30


def test_a_training_leaves_no_file_open(tmp_path: Path) -> None:
    run(tmp_path / "first", epochs=1)  # what Python and torch keep open from then on
    before = open_files()
    run(tmp_path / "second", epochs=1)
    assert open_files() == before


def test_a_training_ends_well_where_git_holds_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    outcome = run(tmp_path, epochs=2)
    assert outcome.facts["epochs"] == 2
    assert read_json(tmp_path / "history" / "metrics.json")["step"] == 1
    assert not (tmp_path / ".dvc").exists()  # nor is anything set up there


def test_without_validation_items_the_last_epoch_is_taken(tmp_path: Path) -> None:
    outcome = run(tmp_path, validation=Points(0))
    assert outcome.facts["chosen_epoch"] == 3
    assert outcome.facts["chosen_by"] == "last epoch (no validation item)"


@pytest.mark.parametrize(("max_steps", "epochs", "steps"), [(3, 1, 3), (5, 1, 5), (14, 2, 10), (500, 4, 20)])
def test_only_whole_epochs_fit_into_the_step_limit(tmp_path: Path, max_steps: int, epochs: int, steps: int) -> None:
    facts = run(tmp_path, max_steps=max_steps).facts
    assert (facts["epochs"], facts["steps"]) == (epochs, steps)


def test_a_training_ends_when_the_validation_has_not_been_better_for_so_many_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "CHECKPOINT_S", 0.0)
    wrong_way = Points(16)
    wrong_way.labels = 1 - wrong_way.labels  # the more is learned, the worse they are told
    through = run(tmp_path / "a", validation=wrong_way, epochs=30, patience=2)
    facts = through.facts
    assert facts["epochs"] == facts["chosen_epoch"] + 3 < 30
    assert facts["steps"] == 5 * facts["epochs"]
    assert run(tmp_path / "b", validation=wrong_way, epochs=30).facts["epochs"] == 30

    def pull_the_plug(*anything: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(fit, "_log", pull_the_plug)  # after its last epoch, before anything was written
        with pytest.raises(RuntimeError, match="killed"):
            run(tmp_path / "c", validation=wrong_way, epochs=30, patience=2)
    assert same(run(tmp_path / "c", validation=wrong_way, epochs=30, patience=2), through)


def test_a_last_batch_of_one_item_is_left_out(tmp_path: Path) -> None:
    assert run(tmp_path, training=Points(41)).facts["steps"] == 20


def test_nothing_to_train_on_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RepsetError) as caught:
        run(tmp_path, training=Points(0))
    assert str(caught.value) == "points: no item to train on. Check the fold `train` of the source's split."


def test_ignored_labels_do_not_teach(tmp_path: Path) -> None:
    learner = Learner(network(), plan(), 1, fit.silent, NO_ITEMS)
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
    learner = Learner(network(), plan(weights=(1.0, 3.0)), 1, fit.silent, NO_ITEMS)
    loss = learner.loss(torch.tensor([[0.0, 2.0], [0.0, 2.0]]), torch.tensor([0, 1]))
    wrong, right = math.log(1 + math.e**2), math.log(1 + math.e**-2)
    assert float(loss) == pytest.approx((1 * wrong + 3 * right) / 4, rel=1e-6)


def test_the_rate_rises_and_falls_as_a_cosine() -> None:
    factors = [warm_cosine(3, 11, step) for step in range(11)]
    assert factors[:4] == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1])
    assert factors[7] == pytest.approx(0.5)  # half way from step 3 to step 11
    assert factors[10] == pytest.approx((1 + math.cos(math.pi * 7 / 8)) / 2)


def test_the_average_of_the_weights_is_what_is_kept(tmp_path: Path) -> None:
    """Decays 1/10, 2/11, ... by hand on one parameter that is set to a new value at each step."""
    learner = Learner(nn.Linear(1, 1), plan(average=0.5, loss="cross_entropy"), 4, fit.silent, NO_ITEMS)
    values, expected = [1.0, 2.0, 4.0], 1.0
    for step, value in enumerate(values, 1):
        with torch.no_grad():
            learner.network.weight.fill_(value)
        learner.trainer = SimpleNamespace(global_step=step)
        learner.on_train_batch_end(None, None, step)
        decay = min(0.5, step / (9 + step))
        expected = value if step == 1 else decay * expected + (1 - decay) * value
    assert float(learner.average["weight"]) == pytest.approx(expected)


@pytest.mark.parametrize("judged", [True, False])
def test_a_training_keeps_the_average_with_these_statistics(tmp_path: Path, judged: bool) -> None:
    device, items = fit.prepare(3, "cpu"), Points(32, noise=0.0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    own = plan(average=0.8, epochs=2)
    kept = fit.train(net, items, items if judged else Points(0), own, device, tmp_path / "a", tmp_path / "b").state
    seen = items.points.numpy() @ kept["0.weight"].numpy().T + kept["0.bias"].numpy()
    assert kept["1.running_mean"].numpy() == pytest.approx(seen.mean(0), abs=1e-5)  # 4 batches of 8: every item once


def test_draw_weights_say_how_often_an_item_comes() -> None:
    sampler = Shuffle(4, 0, (1.0, 1.0, 1.0, 5.0))
    seen = []
    for epoch in range(500):
        sampler.set_epoch(epoch)
        seen += [item for _, item in sampler]
    shares = np.bincount(seen, minlength=4) / len(seen)
    assert shares == pytest.approx([1 / 8, 1 / 8, 1 / 8, 5 / 8], abs=0.03)


def test_dice_is_over_the_whole_batch_and_over_the_muscles_alone() -> None:
    """Two pixels of class 1, one of class 0, one ignored; softmax of (0, 0) is a half each."""
    loss = build_loss("dice_cross_entropy", 2, None)
    logits = torch.zeros(1, 2, 1, 4)
    target = torch.tensor([[[1, 1, 0, 255]]], dtype=torch.uint8)
    dice = 1 - 2 * (0.5 + 0.5) / (1.5 + 2)
    assert float(loss(logits, target)) == pytest.approx(dice + math.log(2), rel=1e-5)


def test_focal_turns_away_from_what_is_sure() -> None:
    loss = build_loss("dice_focal", 2, None)
    target = torch.ones(1, 1, 2, dtype=torch.uint8)
    even = torch.zeros(1, 2, 1, 2)
    sure = torch.tensor([-8.0, 8.0]).view(1, 2, 1, 1).expand(1, 2, 1, 2)
    dice = 1 - 2 * 1.0 / (1.0 + 2)
    focal = 0.5**2 * math.log(2)  # (1 - p)² · -log p at p = 1/2, the mean of a binary term for each class
    assert float(loss(even, target)) == pytest.approx(dice + focal, rel=1e-4)
    assert float(loss(sure, target)) < 1e-4
