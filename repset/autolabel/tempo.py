"""Tempo of a repetition as coaches write it: seconds of the eccentric phase, the pause at the turn, the concentric one.

Measured on the signal that is counted, so about the same limb. The three add up to the time from the start of the
repetition to its end, where the movement leaves the rest and comes back to it (repset.autolabel.reps.REST_SHARE).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

NEAR_TURN = 0.05  # of the swing: the inner band at the turn ...
FAR_TURN = 4 * NEAR_TURN  # ... and the outer one, which takes a parabola twice the time


@dataclass(frozen=True)
class Tempo:
    """Seconds; None where the phase was not seen, because the clip starts or ends on the way.

    Attributes:
        eccentric_s: the weight goes down (squat: before the turn; curl: after it).
        pause_s: held at the turn; 0 where the movement turns on the spot.
        concentric_s: the weight goes up.
    """

    eccentric_s: float | None = None
    pause_s: float | None = None
    concentric_s: float | None = None


def tempo(
    values: Doubles, time_s: Doubles, span: tuple[int, int, int], seen: tuple[bool, bool], lift_first: bool
) -> Tempo:
    """Tempo of one repetition.

    A movement that comes to rest smoothly does so like a parabola, which passes 5 % of the swing in half the time of
    20 %. So where it was 20 % and 5 % of the swing from the turn says when it came to rest, and likewise when it left:
    between the two lies the pause. Where they cross, it turned on the spot, half-way between them. Both shares are the
    project's own choice.

    Args:
        values: (T,) the counted signal, larger = more effort; NaN unknown.
        time_s: (T,) seconds.
        span: start, turn and end of the repetition, frames, [start, end) half-open.
        seen: whether the rest before and the rest after were seen. Where one was not, there is only the other phase,
            and no pause, which could not be told from the edge of the clip.
        lift_first: the concentric phase comes before the turn.
    """
    start, turn, end = span
    known = start + np.flatnonzero(np.isfinite(values[start:end]))
    if len(known) < 3:
        return Tempo()
    v, t = values[known], time_s[known]
    at = int(np.argmin(np.abs(known - turn)))
    swing = float(v[at] - min(v[0], v[-1]))
    first, pause, second = float(t[at] - t[0]), None, float(t[-1] - t[at])
    if all(seen) and swing > 0:
        near, far = (_band(v, t, at, v[at] - share * swing) for share in (NEAR_TURN, FAR_TURN))
        rests, leaves = 2 * near[0] - far[0], 2 * near[1] - far[1]
        pause = max(0.0, leaves - rests)
        middle = (rests + leaves) / 2
        first, second = middle - pause / 2 - float(t[0]), float(t[-1]) - middle - pause / 2
    before = round(first, 3) if seen[0] else None
    after = round(second, 3) if seen[1] else None
    held = None if pause is None else round(pause, 3)
    return Tempo(after, held, before) if lift_first else Tempo(before, held, after)


def _band(values: Doubles, time_s: Doubles, at: int, level: float) -> tuple[float, float]:
    """When the signal last rose to `level` before the turn and first fell to it after; linear between frames."""
    before, after = np.flatnonzero(values[:at] < level), at + np.flatnonzero(values[at:] < level)
    left, right = float(time_s[0]), float(time_s[-1])
    if len(before):
        k = int(before[-1])
        left = float(np.interp(level, values[k : k + 2], time_s[k : k + 2]))
    if len(after):
        k = int(after[0])
        right = float(np.interp(level, values[k - 1 : k + 1][::-1], time_s[k - 1 : k + 1][::-1]))
    return left, right
