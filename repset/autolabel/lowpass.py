"""A second-order Butterworth low-pass run forwards and backwards, in numpy alone.

The arithmetic is that of scipy.signal.butter and sosfiltfilt, and the tests compare the two. It stands here because
importing scipy.signal takes a worker as long as the poses of a hundred frames.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

FORGOTTEN = 1e-17  # of a single 1: below the rounding of what is added up


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
    answer = _impulse(f)
    before = len(answer) - 1
    long = np.concatenate([np.repeat(x[:1], before, axis=0), x])
    y = np.zeros_like(x)
    for k, weight in enumerate(answer):  # over the few frames that still count, not over all there are
        y += weight * long[before - k : before - k + len(x)]
    return y


@cache
def _impulse(f: Biquad) -> tuple[float, ...]:
    """What a single 1 leaves behind, until nothing of it is left in double precision."""
    answer: list[float] = []
    inputs, older, last = [1.0, 0.0, 0.0], 0.0, 0.0
    while len(answer) < 4 or max(abs(last), abs(older)) > FORGOTTEN:
        now = f.b0 * inputs[0] + f.b1 * inputs[1] + f.b2 * inputs[2] - f.a1 * last - f.a2 * older
        inputs, older, last = [0.0, *inputs[:2]], last, now
        answer.append(now)
    return tuple(answer)
