"""Models that learn from curated tables: one module a model, all with the same three functions.

`MODELS` names the module of every model. A stage calls only the functions of `Model`:

- `repset bootstrap` and `repset train` → `fit`, with another table and another params group;
- `repset preannotate` → `propose`, with the bootstrap folder;
- `repset evaluate` → `evaluate`, once with the bootstrap and once with the final folder.

A model folder (`models/<name>/bootstrap`, `models/<name>/final`) is written by `fit` into the empty folder `out`, which
the caller moves into place when `fit` returns:

- `weights.safetensors` and `card.json` (`repset.learn.card.save_model`, read back by `load_card` and `load_weights`);
  of the segmentation also `network.onnx`, with which it works without torch (`repset.learn.segmenter`);
- `history/`: what DVCLive logged for each epoch (`repset.learn.fit.train` writes it).

Everything written is a pure function of tables, params and seed: no time, no path, no machine name.
This module imports no torch; the modules it names do.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from repset.errors import RepsetError
from repset.params import TrainParams
from repset.project import Project

MODELS: dict[str, str] = {
    "segmentation": "repset.learn.segmentation",
    "exercise": "repset.learn.exercise",
}
"""Model name → module with the functions of `Model`."""

Progress = Callable[[int, int, str], None]
"""Called as progress(done, total, label) while something runs; the command line draws a bar of it."""


def silent(done: int, total: int, label: str) -> None:
    """A `Progress` that shows nothing."""


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix to be drawn.

    Attributes:
        classes: (C,) names.
        counts: (C, C) integers, row = truth, column = prediction.
        unit: what was counted, for the title: "pixels", "clips", "frames".
    """

    classes: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    unit: str


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model folder on one fold.

    Attributes:
        metrics: JSON-ready: nested dicts of numbers, strings, None (never NaN). Holds at least `n` (how many items
            were scored) and `baseline` (the same scores for the best answer that looks at nothing).
        confusions: plot name (a file name without suffix) → matrix.
    """

    metrics: dict[str, Any]
    confusions: dict[str, Confusion] = field(default_factory=dict)


class Model(Protocol):
    """What the module of every model offers."""

    def fit(
        self,
        project: Project,
        tables: Mapping[str, Path],
        params: TrainParams,
        out: Path,
        device: str = "auto",
        progress: Progress = silent,
    ) -> None:
        """Train on the rows of fold `train`, select on `validation`, write weights, card and history into `out`.

        Args:
            tables: source → its table `curated` (datasets/seed or datasets/curated, `table.parquet`); media and poses
                come from `project.index(source)`. Rows of other tasks and folds are ignored.
            params: the params group in force (`bootstrap` or `train`); a model reads `seed` and its own member.
            out: an empty folder.
            device: auto | cpu | cuda.
        Raises: DataError if there is nothing to learn from.
        """

    def evaluate(
        self,
        project: Project,
        tables: Mapping[str, Path],
        folder: Path,
        fold: str = "test",
        device: str = "auto",
        progress: Progress = silent,
    ) -> Evaluation:
        """Score the model in `folder` on the rows of tiers gold and gold_corrected of `fold`.

        Raises: DataError if `folder` holds no such model or the fold has no gold row.
        """

    def propose(
        self,
        project: Project,
        folder: Path,
        task: str,
        source: str,
        device: str = "auto",
        progress: Progress = silent,
    ) -> list[dict[str, Any]]:
        """Rows of the table `proposals` for every sample of the source, in the order of its samples table.

        Samples with a dataset label are proposed for too, so that a disagreement with it can be shown.
        """


def load_model(name: str) -> Model:
    """The module of a model, imported now (torch takes seconds). Raises: RepsetError listing the models there are."""
    if name not in MODELS:
        raise RepsetError(f"{name}: no such model. Models: {', '.join(MODELS)}.")
    return cast(Model, importlib.import_module(MODELS[name]))
