"""95 % intervals of scores: of independent trials, and of frames that come in clips and are alike within one."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Z = 1.96
Interval = list[float] | None


def of_share(hits: int, trials: int) -> Interval:
    """Wilson's score interval (Wilson 1927) of a share of independent trials; None without any."""
    if not trials:
        return None
    share, extra = hits / trials, Z**2 / trials
    middle = (share + extra / 2) / (1 + extra)
    half = Z * np.sqrt(share * (1 - share) / trials + extra / (4 * trials)) / (1 + extra)
    return _rounded(max(0.0, middle - half), min(1.0, middle + half))


def of_mean_size(values: Sequence[float]) -> Interval:
    """Normal interval, cut off at 0, of the mean of independent sizes; None for fewer than two."""
    if len(values) < 2:
        return None
    half = Z * float(np.std(values, ddof=1)) / np.sqrt(len(values))
    return _rounded(max(0.0, float(np.mean(values)) - half), float(np.mean(values)) + half)


def of_clustered_mean(
    values: npt.NDArray[np.float64],
    cluster: npt.NDArray[np.int64],
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """Interval of a mean over frames, from the spread between clips (linearised ratio estimator: Cochran 1977, 6.5).

    Args:
        values: (N,) one a frame; cluster: (N,) its clip. None where fewer than two clips have a value.
        within: what the mean can be at all; the interval is cut off there.
    """
    known = np.isfinite(values)
    values, cluster = values[known], cluster[known]
    names, place = np.unique(cluster, return_inverse=True)
    if len(names) < 2:
        return None
    rest = np.bincount(place, values - values.mean())
    half = Z * np.sqrt(len(names) / (len(names) - 1) * (rest**2).sum()) / len(values)
    return _rounded(*np.clip([values.mean() - half, values.mean() + half], *within))


def _rounded(low: float, high: float) -> list[float]:
    return [round(float(low), 4), round(float(high), 4)]
