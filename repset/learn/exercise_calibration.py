"""Probabilities that mean what they say: one temperature, fitted on held-out windows (Guo et al. 2017)."""

from typing import Any

import numpy as np
import numpy.typing as npt

RANGE = (0.25, 6.0)
BINS = 15
"""Bins of the calibration error, as in the paper (On Calibration of Modern Neural Networks, ICML 2017)."""

Floats = npt.NDArray[np.floating[Any]]


def fit_temperature(log_p: Floats, truth: npt.NDArray[np.integer[Any]]) -> dict[str, float]:
    """The temperature with the least negative log likelihood.

    Args:
        log_p: (W, C) log probabilities or logits; truth: (W,) classes.
    Returns: `temperature`, `n`, and the calibration error before and after (`ece_before`, `ece_after`).
    """
    grid = np.exp(np.linspace(np.log(RANGE[0]), np.log(RANGE[1]), 200))
    best = min(grid, key=lambda t: -float(_log_softmax(log_p / t)[np.arange(len(truth)), truth].mean()))
    return {
        "temperature": round(float(best), 4),
        "n": len(truth),
        "ece_before": round(calibration_error(np.exp(_log_softmax(log_p)), truth), 4),
        "ece_after": round(calibration_error(np.exp(_log_softmax(log_p / best)), truth), 4),
    }


def calibration_error(p: Floats, truth: npt.NDArray[np.integer[Any]]) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over BINS equal bins, by size."""
    top, right = p.max(axis=1), p.argmax(axis=1) == truth
    bins = np.minimum((top * BINS).astype(int), BINS - 1)
    parts = [abs(float(top[bins == b].sum() - right[bins == b].sum())) for b in np.unique(bins)]
    return sum(parts) / len(truth)


def _log_softmax(logits: Floats) -> npt.NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
