"""How far down the scores proposals may be taken, so that few of them are wrong: fixed-sequence testing.

The thresholds are tried from the strictest on. At each one the upper confidence bound of the error is computed on
proposals whose truth is known; the first threshold whose bound is too high ends the search, and the one before it
holds. Because the order is fixed before any error is looked at, every test may use the whole 1 - confidence
(Angelopoulos et al. 2021, "Learn then test", section 4); which thresholds are tried depends on scores alone.

The unit is the group (photo, video, subject): items of one group are right and wrong together. The bound is Clopper and
Pearson's on the effective number of items (Korn & Graubard 1998), items divided by the design effect that the groups
show. From few groups with an error the design effect cannot be read off: towards none it is taken as for groups whose
items all agree, so that 59 independent groups without an error are needed for 5 % at 95 %, whatever they hold.
tests/test_acceptance_bound.py counts in 2,000 draws how often the promise is broken.

How much can be taken hangs on the score more than on the bound. Where the error grows as the square of a candidate's
rank, half of what an oracle takes is taken from 300 groups of five on, even with a correlation of 0.9 within a group.
Where it grows as the power 0.2 (the surest 30 % err in 4.4 %, the 60 % that may be taken in 5 %), nobody can: 450
independent items at the right threshold show an error below 5 % in 12 % of all draws, by the binomial distribution
alone.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

START = (2.0, 4.0)
"""The strictest threshold takes in SHARE of the groups, but at least and at most this many times those that zero errors
would need. At the fewest possible a single error would end the search; at twice as many (118) the second does, which in
seven draws of ten comes by even where 2 % are wrong; four times as many (236) bear six, exceeded in two of ten."""

SHARE = 0.25

STEPS = 20
"""Thresholds tried at most."""

_READ_OFF = 10
"""Groups with an error from which on the design effect is taken as found."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Choice:
    """Outcome of the search.

    Attributes:
        threshold: least score taken; None where nothing may be.
        bound: upper confidence bound of the error at the threshold, or at the strictest one tried where nothing may
            be taken; None where no threshold could be tried.
        error: share of wrong items at that same threshold.
        items, groups: taken at that same threshold, of the items with known truth.
        groups_missing: effective groups lacking for the first test; 0 where it was made.
    """

    threshold: float | None
    bound: float | None
    error: float | None
    items: int
    groups: int
    groups_missing: int


def groups_needed(max_error: float, confidence: float) -> int:
    """Independent groups without an error that show an error of at most `max_error`: 59 for 5 % at 95 %."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - max_error))


def upper_bound(wrong: Bools, groups: Groups, confidence: float) -> float:
    """Upper confidence bound of the share of wrong items.

    Args:
        wrong: (N,) items, N > 0; groups: (N,) the group of each, integers from 0.
    """
    sizes = np.bincount(groups).astype(np.float64)
    bad = np.bincount(groups, wrong)[sizes > 0]
    sizes = sizes[sizes > 0]
    items, share = sizes.sum(), bad.sum() / sizes.sum()
    alike = float((sizes**2).sum() / items)  # design effect where all items of a group agree
    effect = alike
    if 0 < share < 1 and len(sizes) > 1:
        variance = len(sizes) / (len(sizes) - 1) * float(((bad - share * sizes) ** 2).sum()) / items**2
        found = variance / (share * (1 - share) / items)
        trust = min(1.0, np.count_nonzero(bad) / _READ_OFF)
        effect = trust * found + (1 - trust) * alike
    effective = items / max(1.0, effect)
    hits = share * effective
    return 1.0 if hits >= effective else float(betaincinv(hits + 1, effective - hits, confidence))


def effective_groups(groups: Groups) -> float:
    """How many groups of equal size tell as much as these do (Kish 1965): (Σ size)² / Σ size²."""
    sizes = np.bincount(groups)
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if sizes.any() else 0.0


def choose(scores: Floats, wrong: Bools, groups: Groups, max_error: float, confidence: float) -> Choice:
    """The lowest threshold for which the error is at most `max_error` with `confidence`.

    Args:
        scores: (N,) items with known truth, higher is surer; wrong: (N,); groups: (N,) integers from 0.
    """
    needed = groups_needed(max_error, confidence)
    tried = thresholds(scores, groups, needed)
    if not len(tried):
        missing = math.ceil(needed - effective_groups(groups) - 1e-9)
        return Choice(None, None, None, 0, 0, missing)
    best: Choice | None = None
    for threshold in tried:
        taken = scores >= threshold
        bound = upper_bound(wrong[taken], groups[taken], confidence)
        facts = bound, float(wrong[taken].mean()), int(taken.sum()), len(np.unique(groups[taken]))
        if bound > max_error:
            return best or Choice(None, *facts, groups_missing=0)
        best = Choice(float(threshold), *facts, groups_missing=0)
    assert best is not None  # `tried` is not empty
    return best


def thresholds(scores: Floats, groups: Groups, needed: int) -> Floats:
    """The thresholds to try, strictest first; none where the groups do not suffice.

    The first takes in SHARE of the effective groups, within START × `needed`, or nine tenths of what there are where
    these are fewer (but never fewer than `needed`); the last takes in everything.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, total = groups[order], effective_groups(groups)
    if total < needed:
        return np.zeros(0)
    least, most = (times * needed for times in START)
    wanted = min(max(least, min(SHARE * total, most)), max(float(needed), 0.9 * total))
    sizes, squares = np.zeros(int(groups.max()) + 1), 0.0
    first = len(ranked) - 1
    for rank, group in enumerate(ranked):  # Kish's number, kept up to date item by item
        squares += 2 * sizes[group] + 1
        sizes[group] += 1
        if (rank + 1) ** 2 / squares >= wanted:
            first = rank
            break
    ranks = np.unique(np.linspace(first, len(ranked) - 1, STEPS).astype(np.int64))
    return np.asarray(np.unique(scores[order][ranks])[::-1], np.float64)
