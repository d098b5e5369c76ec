"""Mean average precision over muscle groups, where a whole action is the unit and not a clip.

Labels are the same for all clips of an action, so a thousand clips of ten actions are ten observations. Every action
weighs one here, whatever its number of clips, and intervals come from drawing actions with replacement.

Axis letters: S clips, A actions, C classes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DRAWS = 1000
LEVEL = 0.95


def average_precision(truth: npt.NDArray[np.bool_], score: Floats, weight: Floats | None = None) -> float:
    """Precision summed over the steps of recall, items of equal score taken together; NaN without a positive item.

    The same number as scikit-learn's `average_precision_score`.
    """
    ranking = Ranking.of(truth, score)
    return ranking.precision(np.ones(len(truth)) if weight is None else np.asarray(weight, np.float64))


@dataclass(frozen=True)
class Ranking:
    """Items in falling order of score.

    Attributes:
        order: (S,) positions of the items; truth: (S,) in that order; last: (S,) ends a run of equal scores.
    """

    order: npt.NDArray[np.intp]
    truth: npt.NDArray[np.bool_]
    last: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, truth: npt.NDArray[np.bool_], score: Floats) -> "Ranking":
        """Sort once, to be weighed many times."""
        order = np.argsort(-score, kind="stable")
        falling = score[order]
        return cls(order, np.asarray(truth, bool)[order], np.r_[falling[1:] != falling[:-1], True])

    def precision(self, weight: Floats) -> float:
        """Average precision with a weight for each item (in their own order, not the ranking's)."""
        weight = weight[self.order]
        found = np.cumsum(weight * self.truth)[self.last]
        if not len(found) or found[-1] <= 0:
            return float("nan")
        taken = np.cumsum(weight)[self.last]
        return float((np.diff(found, prepend=0.0) * found / np.maximum(taken, 1e-12)).sum() / found[-1])


def action_weights(action: npt.NDArray[np.intp]) -> Floats:
    """(S,) weights such that each action's clips weigh one together."""
    return np.asarray(1.0 / np.bincount(action)[action])


class MeanAveragePrecision:
    """Macro mean of average precision over the classes that are present, for one method's scores."""

    def __init__(self, truth: npt.NDArray[np.bool_], score: Floats, action: npt.NDArray[np.intp]) -> None:
        self._action, self._weight = action, action_weights(action)
        self._rankings = [Ranking.of(truth[:, c], score[:, c]) for c in range(truth.shape[1])]

    def by_class(self, drawn: Floats | None = None) -> Floats:
        """(C,) average precisions, NaN for a class that no drawn action has; `drawn`: (A,) how often each counts."""
        weight = self._weight if drawn is None else self._weight * drawn[self._action]
        return np.array([ranking.precision(weight) for ranking in self._rankings])

    def mean(self, drawn: Floats | None = None) -> float:
        """Over the classes present."""
        values = self.by_class(drawn)
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def difference(
    ours: MeanAveragePrecision, other: MeanAveragePrecision, actions: int, seed: int = 7, draws: int = DRAWS
) -> dict[str, float]:
    """How much higher `ours` is, and the bootstrap interval (percentiles) over actions, both scored on each draw."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        drawn = np.bincount(rng.integers(actions, size=actions), minlength=actions).astype(np.float64)
        found.append(ours.mean(drawn) - other.mean(drawn))
    low, high = np.nanquantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"map": ours.mean() - other.mean(), "low": float(low), "high": float(high)}


def by_action(truth: npt.NDArray[np.bool_], score: Floats, action: npt.NDArray[np.intp]) -> Floats:
    """(A,) average precision of the ranking of the groups within each clip, mean over an action's clips."""
    each = np.array([average_precision(row, values) for row, values in zip(truth, score, strict=True)])
    return np.bincount(action, each) / np.bincount(action)
