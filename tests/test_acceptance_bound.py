"""The promise of acceptance, counted in simulated draws whose error is known; the bound against written-out numbers."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import beta, binom, norm

from repset.curate.acceptance_bound import choose, effective_groups, groups_needed, thresholds, upper_bound

DRAWS, ITEMS = 2000, 5
ORACLE = 0.6  # share of the items that could be taken with an error of exactly 5 %


class World:
    """Groups of five items whose scores and errors go together.

    The error at the score's quantile u (0 surest) is a·u^power, so that the surest share c of all items has the error
    a·cᵖ / (p + 1), which is 5 % at c = ORACLE.
    """

    def __init__(self, power: float, alike: float, seed: int) -> None:
        self.power, self.alike = power, alike
        self.scale = 0.05 * (power + 1) / ORACLE**power
        self.rng = np.random.default_rng(seed)

    def _together(self, groups: int) -> npt.NDArray[np.float64]:
        """(groups, ITEMS) uniform numbers whose normal scores have the correlation `alike` within a group."""
        own, shared = self.rng.standard_normal((groups, ITEMS)), self.rng.standard_normal((groups, 1))
        return np.asarray(norm.cdf(np.sqrt(self.alike) * shared + np.sqrt(1 - self.alike) * own))

    def draw(self, groups: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        u = self._together(groups)
        wrong = self._together(groups) < self.scale * u**self.power
        return 1 - u.ravel(), wrong.ravel(), np.repeat(np.arange(groups), ITEMS)

    def error(self, coverage: float) -> float:
        """The true share of wrong ones among the surest `coverage` of all items."""
        return self.scale * coverage**self.power / (self.power + 1)


def covered(world: World, groups: int) -> npt.NDArray[np.float64]:
    """True coverage of the threshold chosen in each of DRAWS draws."""
    found = np.zeros(DRAWS)
    for n in range(DRAWS):
        threshold = choose(*world.draw(groups), 0.05, 0.95).threshold
        found[n] = 0.0 if threshold is None else 1 - threshold
    return found


@pytest.mark.parametrize(
    ("groups", "alike", "least"), [(150, 0.5, 0.0), (300, 0.5, 0.5), (300, 0.9, 0.5), (600, 0.5, 0.5), (1500, 0.5, 0.5)]
)
def test_the_promise_is_kept_and_half_of_what_an_oracle_takes_is_taken(groups: int, alike: float, least: float) -> None:
    world = World(power=2, alike=alike, seed=groups)
    coverage = covered(world, groups)
    assert np.mean([world.error(c) > 0.05 for c in coverage]) <= 0.06
    assert coverage.mean() >= least * ORACLE


def test_where_the_score_tells_little_even_the_right_threshold_is_seldom_shown_to_hold() -> None:
    """450 independent items with the error that half of the oracle's share has where errors grow as u^0.2."""
    error = World(power=0.2, alike=0, seed=0).error(ORACLE / 2)
    assert error == pytest.approx(0.05 * 0.5**0.2)
    ids = np.arange(450)
    most = max(k for k in range(450) if upper_bound(ids < k, ids, 0.95) <= 0.05)
    assert most == 14  # as by beta.ppf(0.95, 15, 436) = 0.0482
    assert binom.cdf(most, 450, error) == pytest.approx(0.116, abs=0.001)


@pytest.mark.parametrize("alike", [0.3, 0.95])
def test_proposals_that_are_all_a_little_too_bad_are_seldom_taken(alike: float) -> None:
    """The error is 5.1 % at every threshold: whatever is taken breaks the promise."""
    world = World(power=0, alike=alike, seed=1)
    world.scale = 0.051
    assert np.mean(covered(world, 150) > 0) <= 0.06


def test_without_an_error_59_groups_are_needed_whatever_they_hold() -> None:
    assert groups_needed(0.05, 0.95) == 59  # 0.95⁵⁹ = 0.0485, 0.95⁵⁸ = 0.0510
    for items in (1, 7):
        for groups, enough in ((58, False), (59, True)):
            ids = np.repeat(np.arange(groups), items)
            choice = choose(np.linspace(1, 0.9, len(ids)), np.zeros(len(ids), bool), ids, 0.05, 0.95)
            assert (choice.threshold is not None) == enough
            assert choice.groups_missing == (0 if enough else 1)


def test_the_bound_of_independent_items_is_clopper_and_pearsons() -> None:
    wrong = np.zeros(100, bool)
    wrong[:12] = True
    expected = beta.ppf(0.95, 13, 88)
    assert upper_bound(wrong, np.arange(100), 0.95) == pytest.approx(expected, rel=0.01)  # n - 1 in the variance
    assert upper_bound(np.zeros(59, bool), np.arange(59), 0.95) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert upper_bound(np.ones(59, bool), np.arange(59), 0.95) == 1.0


def test_items_that_only_repeat_their_group_say_nothing_new() -> None:
    wrong = np.arange(100) < 12
    once = upper_bound(wrong, np.arange(100), 0.95)
    five = upper_bound(np.repeat(wrong, 5), np.repeat(np.arange(100), 5), 0.95)
    assert five == pytest.approx(once, abs=1e-9)


def test_one_large_group_counts_for_little() -> None:
    assert effective_groups(np.repeat([0, 1, 2], [4, 4, 4])) == pytest.approx(3)
    assert effective_groups(np.repeat([0, 1, 2], [10, 1, 1])) == pytest.approx(144 / 102)
    assert len(thresholds(np.linspace(0, 1, 159), np.r_[np.arange(59), np.full(100, 58)], 59)) == 0


def test_the_search_stops_at_the_first_failure_and_errors_do_not_move_the_thresholds() -> None:
    groups = np.arange(400)
    scores = np.linspace(1, 0.6, 400)
    wrong = np.zeros(400, bool)
    wrong[200:260] = True  # bad in the middle, good again below
    tried = thresholds(scores, groups, 59)
    choice = choose(scores, wrong, groups, 0.05, 0.95)
    assert choice.threshold in tried
    assert choice.threshold is not None
    taken = scores >= choice.threshold
    assert upper_bound(wrong[taken], groups[taken], 0.95) <= 0.05 < 60 / 400
    assert choice.items == taken.sum() <= 220
    assert scores[117] == pytest.approx(tried[0])  # twice 59 groups


@pytest.mark.parametrize(("groups", "first"), [(60, 59), (100, 90), (300, 118), (600, 150), (1500, 236)])
def test_the_search_begins_with_a_quarter_of_the_groups_within_limits(groups: int, first: int) -> None:
    scores = np.random.default_rng(groups).permutation(groups).astype(float)
    assert np.count_nonzero(scores >= thresholds(scores, np.arange(groups), 59)[0]) == first


def test_where_many_groups_are_known_a_few_early_errors_do_not_end_the_search() -> None:
    rng, draws, groups = np.random.default_rng(7), 500, 1500
    nothing = 0
    for _ in range(draws):
        wrong = rng.random(groups) < 0.02
        nothing += choose(rng.random(groups), wrong, np.arange(groups), 0.05, 0.95).threshold is None
    # 236 independent groups bear six errors at 5 % and 95 %; more of them come by in a fifth of the draws.
    assert beta.ppf(0.95, 7, 236 - 6) <= 0.05 < beta.ppf(0.95, 8, 236 - 7)
    assert abs(nothing / draws - binom.sf(6, 236, 0.02)) < 0.055
    assert binom.sf(1, 118, 0.02) > 0.65  # with half of them one is borne, and two do


def test_nothing_is_taken_where_the_surest_are_wrong() -> None:
    choice = choose(np.linspace(1, 0, 200), np.arange(200) % 5 == 0, np.arange(200), 0.05, 0.95)
    assert (choice.threshold, choice.groups_missing) == (None, 0)
    assert choice.error == pytest.approx(0.2, abs=0.01)
    assert choice.bound is not None
    assert choice.bound > 0.2
