"""Counting repetitions: turning points of one robust signal (repset.autolabel.counting), with hysteresis and an
absolute minimum.

A repetition is one turning point of effort whose lifting phase is in the clip; it is complete when the movement
came from and went back to the start position. All shares and minima below are the project's own choice, set on
what a body can do and checked on clips counted by eye.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from repset.autolabel.counting import Counting, Doubles

COMPLETE_SHARE = 0.7  # of the larger of a repetition's two swings: less is no full return
RETURN_SHARE = 0.5  # of the larger swing: a movement that never comes back so far is no repetition of anything
EDGE_SHARE = 0.75  # of the typical swing: an extreme at the clip's edge that was reached, not passed through
BEGUN_SHARE = 0.15  # of the typical swing: a way back (or up) that the clip cuts off had begun
REST_SHARE = 0.1  # of its swing: a repetition starts and ends where the movement leaves and re-enters this band
MIN_SWING_S = 0.1  # a full swing in less time is a slip of the detector
MAX_SILENCE_S = 2.0  # nothing known for longer: what was before and after is counted apart


@dataclass(frozen=True)
class Rep:
    """One repetition in frames: [start, end), turn inside.

    Attributes:
        complete: the movement came from the start position and returned to it.
        whole: a swing was seen on both sides of the turn.
        starts, ends: the rest before, after it was seen; false where the clip (or what is known) ends on the way.
        returned: the smaller of its two swings as a share of the larger, 0 where one was not seen; by the joint's own
            angle where that went all the way back.
    """

    start: int
    turn: int
    end: int
    complete: bool
    whole: bool
    starts: bool
    ends: bool
    returned: float = 0.0


def count(
    signal: Doubles,
    time_s: Doubles,
    spec: Counting,
    segments: tuple[tuple[int, int], ...] = (),
    bend_deg: Doubles | None = None,
) -> list[Rep]:
    """Repetitions in one stretch, by the signal alone.

    Args:
        signal: (T,), larger = more effort, degrees (or torso lengths); NaN unknown.
        segments: half-open ranges between camera cuts; none: the whole stretch is one.
        bend_deg: (T,) the joint's own angle, same direction: it may show a way back that the signal does not.
    Returns: repetitions in order, frames counted within the given arrays; see `repeated` for whether they are any.
    """
    pieces = [piece for a, b in segments or ((0, len(signal)),) for piece in _pieces(signal, time_s, a, b)]
    swings = _all_swings(signal, pieces, spec.min_range)
    if not len(swings):
        return []
    for _ in range(2):  # the typical swing, without what is small beside it
        typical = float(np.percentile(swings, 75))
        threshold = max(spec.shallow_range, spec.turn_share * typical)
        swings = _all_swings(signal, pieces, threshold)
    reps = [rep for piece in pieces for rep in _reps_of(signal, time_s, piece, threshold, typical, spec, bend_deg)]
    reps = [rep for rep in reps if time_s[rep.end - 1] - time_s[rep.start] <= spec.max_period_s]
    return repeated(reps, spec)


def repeated(reps: list[Rep], spec: Counting) -> list[Rep]:
    """The repetitions, or none where nothing was repeated.

    One of them must have gone at least half of its way back: one way up is putting the arms up. A lift overhead need
    not: lifters drop the bar.
    """
    lift = spec.height == ("wrist", "shoulder")
    return (
        reps
        if len(reps) >= spec.min_reps and (lift or any(rep.complete or rep.returned >= RETURN_SHARE for rep in reps))
        else []
    )


def _all_swings(signal: Doubles, pieces: list[npt.NDArray[np.intp]], threshold: float) -> Doubles:
    found = [np.abs(np.diff(signal[piece][_extremes(signal[piece], threshold)])) for piece in pieces]
    return np.concatenate(found) if found else np.empty(0)


def _pieces(signal: Doubles, time_s: Doubles, start: int, end: int) -> list[npt.NDArray[np.intp]]:
    """Indices of known frames, split where nothing is known for long."""
    known = start + np.flatnonzero(np.isfinite(signal[start:end]))
    if len(known) < 3:
        return []
    breaks = np.flatnonzero(np.diff(time_s[known]) > MAX_SILENCE_S) + 1
    return [piece for piece in np.split(known, breaks) if len(piece) >= 3]


def _extremes(values: Doubles, threshold: float) -> list[int]:
    """Alternating low and high points, each at least `threshold` from the last (a zigzag); [] if it never moves so."""
    low = high = 0
    found: list[int] = []
    rising: bool | None = None
    for i, value in enumerate(values):
        if value > values[high]:
            high = i
        if value < values[low]:
            low = i
        if rising is not False and values[high] - value >= threshold:
            found.append(high)
            rising, low = False, i
        elif rising is not True and value - values[low] >= threshold:
            found.append(low)
            rising, high = True, i
    if rising is not None:
        found.append(high if rising else low)
    return [_amid(values, at) for at in found]


def _amid(values: Doubles, first: int) -> int:
    """The middle of the frames that have the same value in a row: an angle that reached its end stands there."""
    run = np.flatnonzero(values[first:] != values[first])
    return first + (int(run[0]) - 1 if len(run) else len(values) - 1 - first) // 2


def _reps_of(
    signal: Doubles,
    time_s: Doubles,
    piece: npt.NDArray[np.intp],
    threshold: float,
    typical: float,
    spec: Counting,
    bend_deg: Doubles | None,
) -> list[Rep]:
    values, times = signal[piece], time_s[piece]
    extremes = _extremes(values, threshold)
    reps: list[Rep] = []
    for k, turn in enumerate(extremes):
        before = extremes[k - 1] if k > 0 else None
        after = extremes[k + 1] if k + 1 < len(extremes) else None
        up = float(values[turn] - values[before]) if before is not None else 0.0  # 0: not seen
        down = float(values[turn] - values[after]) if after is not None else 0.0
        if after is None and up >= EDGE_SHARE * typical:  # the clip ends on the way back
            after, down = _begun(values, turn, len(values) - 1, typical)
        if before is None and down >= EDGE_SHARE * typical:
            before, up = _begun(values, turn, 0, typical)
        lift, whole = up if spec.lift_first else down, up > 0 and down > 0
        if lift <= 0 or (not whole and lift < EDGE_SHARE * typical):  # a rest, or passed through at the edge
            continue
        start, end = _leaves(values, turn, before), _returns(values, turn, after)
        if (up > 0 and times[turn] - times[start] < MIN_SWING_S) or (
            down > 0 and times[end] - times[turn] < MIN_SWING_S
        ):
            continue
        complete = whole and min(up, down) >= COMPLETE_SHARE * max(up, down)
        # the outermost extremes are only where what is known stops, unless the movement went all the way
        starts = up > 0 and (k > 1 or not whole or up >= COMPLETE_SHARE * down)
        ends = down > 0 and (k + 2 < len(extremes) or not whole or down >= COMPLETE_SHARE * up)
        back = max(0.0, min(up, down)) / max(up, down)
        if bend_deg is not None and before is not None and after is not None:
            back = max(back, _bent_back(bend_deg[piece[[before, turn, after]]]))
        rep = Rep(int(piece[start]), int(piece[turn]), int(piece[end]) + 1, complete, whole, starts, ends, back)
        if reps and time_s[rep.turn] - time_s[reps[-1].turn] < spec.min_period_s:
            rep = _merge(reps.pop(), rep, signal)
        reps.append(rep)
    return reps


def _bent_back(bend_deg: Doubles) -> float:
    """The smaller of the joint's two swings (rest, turn, rest) as a share of the larger where it went all the way back;
    else 0, as a joint's own angle is the less sure."""
    swings = bend_deg[1] - bend_deg[[0, 2]]
    least, most = float(np.min(swings)), float(np.max(swings))  # NaN where one is unknown
    return least / most if most > 0 and least > COMPLETE_SHARE * most else 0.0


def _begun(values: Doubles, turn: int, edge: int, typical: float) -> tuple[int | None, float]:
    """The piece's edge as the end of a movement that had clearly begun, and how far it went; else None and 0."""
    way = float(values[turn] - values[edge])
    return (edge, way) if way >= BEGUN_SHARE * typical else (None, 0.0)


def _leaves(values: Doubles, turn: int, rest: int | None) -> int:
    """Last index before the turn that is still at rest; the first index where the rest was not seen."""
    if rest is None:
        return 0
    band = values[rest] + REST_SHARE * (values[turn] - values[rest])
    return rest + int(np.flatnonzero(values[rest : turn + 1] <= band)[-1])


def _returns(values: Doubles, turn: int, rest: int | None) -> int:
    """First index after the turn that is at rest again; the last index where the rest was not seen."""
    if rest is None:
        return len(values) - 1
    band = values[rest] + REST_SHARE * (values[turn] - values[rest])
    return turn + int(np.flatnonzero(values[turn : rest + 1] <= band)[0])


def _merge(first: Rep, second: Rep, signal: Doubles) -> Rep:
    turn = first.turn if signal[first.turn] >= signal[second.turn] else second.turn
    whole, back = first.complete or second.complete, max(first.returned, second.returned)
    return Rep(first.start, turn, second.end, whole, True, first.starts, second.ends, back)
