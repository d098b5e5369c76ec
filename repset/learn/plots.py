"""What `repset evaluate` writes beside metrics.json: tables and pictures that `dvc plots` shows."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from repset import charts
from repset.errors import DataError
from repset.learn import Confusion, Evaluation
from repset.records import write_csv


def write_confusion(folder: Path, name: str, confusion: Confusion, title: str) -> None:
    """`<name>.csv`, one row per pair of classes, and `<name>.png`."""
    counts = confusion.counts.tolist()
    rows = [
        {"truth": truth, "predicted": predicted, confusion.unit: counts[i][j]}
        for i, truth in enumerate(confusion.classes)
        for j, predicted in enumerate(confusion.classes)
    ]
    write_csv(folder / f"{name}.csv", ["truth", "predicted", confusion.unit], rows)
    charts.confusion_chart(counts, confusion.classes, folder / f"{name}.png", title=title)


def read_history(folder: Path) -> dict[str, list[float]]:
    """Curves that DVCLive logged under `folder`: name → value of each epoch, NaN where an epoch had none.

    The name is as logged (train/loss), after the training's own folder where a model has several (deepfit/train/loss).

    Raises: DataError if a file is no such log.
    """
    curves = {}
    for path in sorted(folder.rglob("*.tsv")):
        root = next(parent for parent in path.parents if parent.name == "metrics")
        with path.open(encoding="utf-8", newline="") as handle:
            try:
                logged = {int(row["step"]): float(row[path.stem]) for row in csv.DictReader(handle, delimiter="\t")}
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(path, "a DVCLive log", str(error), "Train the model again: dvc repro") from error
        own = root.parent.parent.relative_to(folder)  # logs lie in plots/metrics
        curves[str(own / path.relative_to(root).with_suffix(""))] = [
            logged.get(epoch, math.nan) for epoch in range(max(logged, default=-1) + 1)
        ]
    return curves


def write_curves(folder: Path, histories: Mapping[str, Path]) -> None:
    """Training curves of several trainings: one CSV and one PNG a curve, all trainings in it.

    Args:
        histories: training (bootstrap, final) → its `history` folder.
    """
    curves: dict[str, dict[str, list[float]]] = {}
    for training, history in histories.items():
        for name, values in read_history(history).items():
            curves.setdefault(name, {})[training] = values
    for name, series in curves.items():
        stem = "curve_" + name.replace("/", "_")
        rows = [
            {"training": training, "epoch": epoch, name: value}
            for training, values in series.items()
            for epoch, value in enumerate(values)
            if not math.isnan(value)
        ]
        write_csv(folder / f"{stem}.csv", ["training", "epoch", name], rows)
        charts.training_chart(series, folder / f"{stem}.png", title=name, xlabel="epoch")


def write_plots(folder: Path, evaluations: Mapping[str, Evaluation], histories: Mapping[str, Path], data: str) -> None:
    """All plots of a model. `data` ("rendered sample", "real") stands in every title."""
    for training, evaluation in evaluations.items():
        for name, confusion in evaluation.confusions.items():
            title = f"{training}: {confusion.unit}, {data}"
            write_confusion(folder, f"{name}_{training}", confusion, title)
    write_curves(folder, histories)
