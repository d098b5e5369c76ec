"""A second-order Butterworth low-pass run forwards and backwards, in numpy alone.

The arithmetic is that of scipy.signal.butter and sosfiltfilt, and the tests compare the two. It stands here because
importing scipy.signal takes a worker as long as the poses of a hundred frames.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Biquad:
    """y[t] = b0 x[t] + b1 x[t-1] + b2 x[t-2] - a1 y[t-1] - a2 y[t-2]; gain 1 at rest."""

    b0: float
    b1: float
    b2: float
    a1: float
    a2: float


def butterworth(cutoff_hz: float, fps: float) -> Biquad:
    """Second-order low-pass by the bilinear transform; `cutoff_hz` (below fps/2) passes at -3 dB."""
    warped = np.tan(np.pi * cutoff_hz / fps)
    norm = 1 + np.sqrt(2) * warped + warped**2
    b0 = float(warped**2 / norm)
    return Biquad(
        b0, 2 * b0, b0, float(2 * (warped**2 - 1) / norm), float((1 - np.sqrt(2) * warped + warped**2) / norm)
    )


def zero_phase(values: Doubles, biquad: Biquad, padding: int) -> Doubles:
    """Filter (T, C) values forwards, then backwards, along T.

    Args:
        padding: frames, below T, by which both ends are first continued, turned about their last value.
    Returns: (T, C).
    """
    head = 2 * values[0] - values[padding:0:-1]
    tail = 2 * values[-1] - values[-2 : -padding - 2 : -1]
    long = np.concatenate([head, values, tail])
    for _ in range(2):
        long = _once(long, biquad)[::-1]
    return np.ascontiguousarray(long[padding : len(long) - padding])


def _once(x: Doubles, f: Biquad) -> Doubles:
    """One pass over (T, C), begun as if the first value had always stood there."""
    before = np.concatenate([x[:1], x[:1], x])
    y = f.b0 * before[2:] + f.b1 * before[1:-1] + f.b2 * before[:-2]
    last = older = x[0]
    a1, a2 = f.a1, f.a2
    for row in y:  # each row is completed in place: a recursion cannot be vectorised over time
        row -= a1 * last
        row -= a2 * older
        older, last = last, row
    return np.asarray(y)
