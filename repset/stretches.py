"""From the probabilities of overlapping windows to named stretches of a clip, numpy only.

Shared by the proposals of a trained model and by the labeller, so that both cut a clip in the same places.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from repset.exercises import BY_NAME, NONE

SWITCH_COST = 4.0
"""What a change of the name costs, in nats summed over windows: a stretch must beat its neighbours by twice this to
stand between them, so one odd window never does."""

MIN_STRETCH_S = 2.0
"""A shorter stretch joins the longer of its neighbours: no set of an exercise is over in less."""


@dataclass(frozen=True)
class Named:
    """A stretch [start_s, end_s) of seconds, its name, and the mean probability of that name over its windows."""

    start_s: float
    end_s: float
    name: str
    p: float


def to_ontology(
    log_p: npt.NDArray[np.floating[Any]], classes: Sequence[str]
) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Log probabilities over the ontology's names and `none`: what a set calls otherwise (a golf swing) is `none`.

    Args:
        log_p: (W, C) for `classes`.
    Returns: (W, C') and the names, `none` last.
    """
    names = [*(name for name in classes if name in BY_NAME), NONE]
    p = np.exp(log_p.astype(np.float64))
    rest = p[:, [i for i, name in enumerate(classes) if name not in BY_NAME]].sum(axis=1, keepdims=True)
    kept = p[:, [i for i, name in enumerate(classes) if name in BY_NAME]]
    return np.log(np.maximum(np.concatenate([kept, rest], axis=1), 1e-9)), names


def decode(
    log_p: npt.NDArray[np.floating[Any]],
    names: Sequence[str],
    starts_s: npt.NDArray[np.float64],
    window_s: float,
    end_s: float,
    switch_cost: float = SWITCH_COST,
    min_stretch_s: float = MIN_STRETCH_S,
) -> list[Named]:
    """The most probable sequence of names (Viterbi, equal cost for every change), as stretches that leave no gap.

    Args:
        log_p: (W, C) log probabilities; starts_s: (W,) increasing start seconds of the windows.
        end_s: end of the clip in seconds; the first stretch begins at 0 and the last ends here.
    Returns: at least one stretch. A border lies half-way between the middles of the windows on either side.
    """
    path = _viterbi(log_p, switch_cost)
    changes = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    middles = starts_s + window_s / 2
    runs = list(itertools.pairwise(changes))

    def border(window: int) -> float:
        if window in (0, len(path)):
            return 0.0 if window == 0 else end_s
        return float((middles[window - 1] + middles[window]) / 2)

    while len(runs) > 1:
        seconds = [border(end) - border(start) for start, end in runs]
        shortest = int(np.argmin(seconds))
        if seconds[shortest] >= min_stretch_s:
            break
        sides = [i for i in (shortest - 1, shortest + 1) if 0 <= i < len(runs)]
        into = max(sides, key=lambda i: seconds[i])
        path[slice(*runs[shortest])] = path[runs[into][0]]
        changes = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
        runs = list(itertools.pairwise(changes))
    return [
        Named(border(start), border(end), names[path[start]], float(np.exp(log_p[start:end, path[start]]).mean()))
        for start, end in runs
    ]


def _viterbi(log_p: npt.NDArray[np.floating[Any]], switch_cost: float) -> npt.NDArray[np.int64]:
    """Best class of each window (W,) when staying is free and any change costs the same."""
    windows, classes = log_p.shape
    came = np.zeros((windows, classes), np.int64)
    score = log_p[0].astype(np.float64)
    for window in range(1, windows):
        best = int(score.argmax())
        switched = score[best] - switch_cost > score
        came[window] = np.where(switched, best, np.arange(classes))
        score = np.where(switched, score[best] - switch_cost, score) + log_p[window]
    path = np.empty(windows, np.int64)
    path[-1] = int(score.argmax())
    for window in range(windows - 1, 0, -1):
        path[window - 1] = came[window, path[window]]
    return path
