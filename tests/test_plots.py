"""Tables and pictures beside metrics.json."""

from pathlib import Path

import numpy as np
import pytest

from repset.errors import DataError
from repset.learn import Confusion, Evaluation, plots


def log(folder: Path, name: str, text: str) -> None:
    path = folder / "plots" / "metrics" / f"{name}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_an_epoch_without_a_score_leaves_a_gap_and_moves_no_other(tmp_path: Path) -> None:
    log(tmp_path / "final", "validation/miou", "step\tmiou\n1\t0.25\n3\t0.5\n")
    (curve,) = plots.read_history(tmp_path / "final").values()
    np.testing.assert_array_equal(curve, [np.nan, 0.25, np.nan, 0.5])
    plots.write_curves(tmp_path / "out", {"final": tmp_path / "final"})
    assert (tmp_path / "out" / "curve_validation_miou.csv").read_text() == (
        "training,epoch,validation/miou\nfinal,1,0.25\nfinal,3,0.5\n"
    )
    assert (tmp_path / "out" / "curve_validation_miou.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_bootstrap_and_final_lie_in_one_table(tmp_path: Path) -> None:
    for training, losses in (("bootstrap", "0\t0.9\n"), ("final", "0\t0.8\n1\t0.7\n")):
        log(tmp_path / training, "train/loss", f"step\tloss\n{losses}")
    plots.write_curves(tmp_path / "out", {name: tmp_path / name for name in ("bootstrap", "final")})
    assert (tmp_path / "out" / "curve_train_loss.csv").read_text() == (
        "training,epoch,train/loss\nbootstrap,0,0.9\nfinal,0,0.8\nfinal,1,0.7\n"
    )


def test_two_networks_of_one_model_have_curves_of_their_own(tmp_path: Path) -> None:
    for network, loss in (("deepfit", "0.9"), ("temporal", "0.2")):
        log(tmp_path / "history" / network, "train/loss", f"step\tloss\n0\t{loss}\n")
    assert plots.read_history(tmp_path / "history") == {"deepfit/train/loss": [0.9], "temporal/train/loss": [0.2]}


def test_confusion_is_written_with_truth_in_rows(tmp_path: Path) -> None:
    confusion = Confusion(("squat", "lunge"), np.array([[3, 1], [0, 2]]), "clips")
    plots.write_plots(tmp_path, {"final": Evaluation({}, {"confusion": confusion})}, {}, "real")
    assert (tmp_path / "confusion_final.csv").read_text() == (
        "truth,predicted,clips\nsquat,squat,3\nsquat,lunge,1\nlunge,squat,0\nlunge,lunge,2\n"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"confusion_final.csv", "confusion_final.png"}


def test_a_log_with_words_for_numbers_is_one_sentence(tmp_path: Path) -> None:
    log(tmp_path, "train/loss", "step\tloss\n0\thigh\n")
    with pytest.raises(DataError) as caught:
        plots.read_history(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/plots/metrics/train/loss.tsv: expected a DVCLive log, "
        "found could not convert string to float: 'high'. Train the model again: dvc repro."
    )
