"""How a clip unfolds in time: rest, repetitions with their true depth and faults, rest; and the verdict's limits."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from repset.sample.geometry import Array

Range = tuple[float, float]


@dataclass(frozen=True)
class Fault:
    """One way to do a repetition wrongly.

    Attributes:
        name: rule_id in the truth. turn, lock: range the signal's extreme is drawn from instead of the correct one.
        extra: (channel, range): an amount that comes and goes with the repetition.
        message: what to tell the athlete.
    """

    name: str
    message: str
    turn: Range | None = None
    lock: Range | None = None
    extra: tuple[str, Range] | None = None


@dataclass(frozen=True)
class Tempo:
    """Signal ranges (degrees, mean of both sides in 3-D) and pace of an exercise.

    Attributes:
        lock, turn: where correct repetitions begin and turn. frames: length of a repetition at 30 frames/s.
        turn_limit, lock_limit: what the verdict asks for: beyond the limit is a fault. None: nothing is asked.
        down: share of the repetition spent on the way to the turn.
    """

    lock: Range
    turn: Range
    frames: tuple[int, int]
    turn_limit: float | None = None
    lock_limit: float | None = None
    down: Range = (0.42, 0.56)
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Rep:
    """A true repetition: frames [start, end), `turn` its extreme; at `end` the start position is reached again.

    `turn_deg` and `lock_deg` are the drawn angles at `turn` and `end`; fault None: done well.
    """

    start: int
    turn: int
    end: int
    turn_deg: float
    lock_deg: float
    fault: Fault | None


@dataclass(frozen=True)
class Course:
    """One set.

    Attributes:
        angle_deg: (T,) the signal. phase: (T,) 0 at the start position, 1 at the turn.
        progress: (T,) share of the current repetition's time that has passed, 0 at rest.
        extras: channel → (T,) fault amounts. style: fixed choices of this set, name → 0..1.
    """

    angle_deg: Array
    phase: Array
    progress: Array
    extras: dict[str, Array]
    style: dict[str, float]
    reps: tuple[Rep, ...]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.angle_deg)

    def amount(self, name: str) -> Array:
        """A fault channel; zero where the set has none."""
        return self.extras.get(name, np.zeros(self.frames))


STYLE = ("variant", "width", "knees", "side", "load", "arms", "mat")


def draw_style(rng: np.random.Generator) -> dict[str, float]:
    """The fixed choices of a set."""
    return dict(zip(STYLE, rng.random(len(STYLE)).tolist(), strict=True))


def draw_course(
    tempo: Tempo,
    rng: np.random.Generator,
    reps: int,
    frames: int | None,
    fault_share: float,
    lead: tuple[int, int] = (3, 6),
) -> Course:
    """A set that begins and ends at rest.

    Args:
        frames: length of the whole clip at most; None: as long as the tempo says.
        fault_share: probability that a repetition is done wrongly.
        lead: range of frames at rest before the first and after the last repetition.
    """
    style = draw_style(rng)
    lead_in, lead_out = (int(n) for n in rng.integers(lead[0], lead[1] + 1, 2))
    lengths = rng.integers(tempo.frames[0], tempo.frames[1] + 1, reps)
    pauses = rng.integers(0, 4, reps)
    if frames is not None:
        room = frames - lead_in - lead_out
        while reps > 1 and room < 12 * reps:
            reps -= 1
        lengths, pauses = lengths[:reps], pauses[:reps]
        if lengths.sum() + pauses.sum() > room:
            pauses[:] = 0
            lengths = _fit(lengths, room)
    faults = [_draw_fault(tempo, rng, fault_share) for _ in range(reps)]
    down = rng.uniform(*tempo.down, reps)
    rest = rng.uniform(*tempo.lock)
    angle, phase, progress = [np.full(lead_in, rest)], [np.zeros(lead_in)], [np.zeros(lead_in)]
    extras: dict[str, list[Array]] = {f.extra[0]: [np.zeros(lead_in)] for f in tempo.faults if f.extra}
    done: list[Rep] = []
    at, before = lead_in, rest
    for k in range(reps):
        fault, n = faults[k], int(lengths[k])
        turn_deg = rng.uniform(*(fault.turn if fault and fault.turn else tempo.turn))
        after = rng.uniform(*(fault.lock if fault and fault.lock else tempo.lock))
        first = max(5, round(n * down[k]))
        wave = _wave(first, n)
        done.append(Rep(at, at + first, at + n, turn_deg, after, fault))
        hold = int(pauses[k])
        side = np.where(np.arange(n) < first, before, after)
        angle += [side + (turn_deg - side) * wave, np.full(hold, after)]
        phase += [wave, np.zeros(hold)]
        progress += [(np.arange(n)) / n, np.zeros(hold)]
        for channel, parts in extras.items():
            amount = rng.uniform(*fault.extra[1]) if fault and fault.extra and fault.extra[0] == channel else 0.0
            parts += [wave * amount, np.zeros(hold)]
        at, before = at + n + hold, after
    for parts, value in ((angle, before), (phase, 0.0), (progress, 0.0), *((p, 0.0) for p in extras.values())):
        parts.append(np.full(lead_out, value))
    joined = {name: np.concatenate(parts) for name, parts in extras.items()}
    signal, wave_, clock = (np.concatenate(parts) for parts in (angle, phase, progress))
    return Course(signal, wave_, clock, joined, style, tuple(done))


def _fit(lengths: npt.NDArray[np.int64], room: int) -> npt.NDArray[np.int64]:
    """Repetition lengths shortened in proportion to fill `room` frames at most, none under 12 where there is room."""
    fitted: npt.NDArray[np.int64] = np.maximum(12, np.floor(lengths * min(1.0, room / lengths.sum()))).astype(np.int64)
    while fitted.sum() > room and fitted.max() > 12:
        fitted[fitted.argmax()] -= 1
    return fitted


def _wave(first: int, n: int) -> Array:
    """0 → 1 in `first` frames, back to 0 in the rest: two half cosines."""
    k = np.arange(n)
    out = (1 - np.cos(np.pi * k / first)) / 2
    back = (1 + np.cos(np.pi * (k - first) / (n - first))) / 2
    return np.where(k <= first, out, back)


def _draw_fault(tempo: Tempo, rng: np.random.Generator, share: float) -> Fault | None:
    draw, pick = rng.random(), rng.random()
    if draw >= share or not tempo.faults:
        return None
    return tempo.faults[int(pick * len(tempo.faults))]


def alternating(course: Course) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """(T,) true in every other repetition."""
    odd = np.zeros(course.frames, bool)
    for rep in course.reps[::2]:
        odd[rep.start : rep.end] = True
    return odd


def frozen(course: Course, phase: float) -> Course:
    """The same length of time, held at one phase."""
    same = np.full(course.frames, phase)
    return Course(same, same, np.zeros(course.frames), course.extras, course.style, ())
