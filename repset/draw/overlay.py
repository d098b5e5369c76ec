"""A clip with everything known drawn in: skeleton, angle arcs, repetition counter, verdict banner, timeline."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from repset.angles import Angle, trunk_px
from repset.draw.body import MIN_VISIBILITY, Box, Floats, angle_sides, body_size_px, draw_signal, draw_skeleton
from repset.draw.canvas import Image, fit_text, panel, put_text, text_px, text_size, wrap_text
from repset.exercises import BY_NAME as EXERCISE
from repset.palette import GREY, VERDICTS, WHITE, Colour
from repset.schema import PoseTrack

Row = Mapping[str, Any]

_WORST_FIRST = ("incorrect", "unscorable", "correct")
_SOFT: Colour = (225, 222, 220)  # words beside a number
_HOLD_S = 1.0  # a verdict stays up this long after its repetition


def overlay_frames(
    images: Iterable[Image],
    track: PoseTrack,
    reps: Sequence[Row],
    form: Sequence[Row],
    exercise: str,
    *,
    min_visibility: float = MIN_VISIBILITY,
    sets: Sequence[Row] = (),
) -> Iterator[Image]:
    """Frames of a clip with everything known drawn in, one at a time.

    Args:
        images: frame t belongs to row t of `track`; frames past its end come back without a skeleton.
        reps, form: rows of the tables `reps` and `form` of this clip and person, frames counted as in `images`.
        exercise: canonical name, shown as title and used where a repetition does not name its own.
        min_visibility: joints below it draw nothing.
        sets: rows of the table `sets`: each names its own exercise and starts its own count, and between two of them
            no exercise is shown. None: the clip is one set.
    Yields: new images of the size of each input.
    """
    clip = ClipLabels(track, reps, form, exercise, min_visibility, sets)
    for t, image in enumerate(images):
        out = image.copy()
        draw_overlay(out, t, clip)
        yield out


class ClipLabels:
    """What is known about one person in one clip, looked up by frame so that a long clip costs no more a frame.

    Args: as `overlay_frames`.
    Attributes:
        body_px: median size of the body, by which lines are drawn.
        torso_px: length of the trunk where it is best seen (90th percentile); NaN where it never is.
    """

    def __init__(
        self,
        track: PoseTrack,
        reps: Sequence[Row],
        form: Sequence[Row],
        exercise: str,
        min_visibility: float = MIN_VISIBILITY,
        sets: Sequence[Row] = (),
    ) -> None:
        self.track, self.exercise, self.min_visibility = track, exercise, min_visibility
        self.sets = sorted(sets, key=lambda row: int(row["start"]))
        self.reps = sorted(reps, key=lambda row: int(row["start"]))
        self.body_px = body_size_px(track)
        trunk = trunk_px(track.xy_px, track.skeleton)
        self.torso_px = float(np.nanpercentile(trunk, 90)) if np.isfinite(trunk).any() else math.nan
        self._starts = [int(row["start"]) for row in self.reps]
        self._sides: dict[str, list[Angle]] = {}
        self._of_rep: dict[tuple[int, int], Row] = {}
        self._of_frame: dict[int, Row] = {}
        for row in sorted(form, key=_rank):
            if row["level"] == "rep":
                self._of_rep.setdefault((row["set"], row["rep"]), row)
        for row in form:
            if (row["level"] == "frame" and row["rep"] is None) or (row["level"] == "clip" and not self._of_rep):
                for t in range(int(row["start"]), int(row["end"])):
                    old = self._of_frame.get(t)
                    if old is None or _rank(row) < _rank(old):
                        self._of_frame[t] = row

    def sides(self, signal: str) -> list[Angle]:
        """Rows of the angle table behind a signal, the better seen side of the clip first."""
        if signal not in self._sides:
            self._sides[signal] = angle_sides(signal, self.track)
        return self._sides[signal]

    def rep_at(self, t: int) -> Row | None:
        """The repetition that frame t is in, or the last one before it."""
        begun = bisect_right(self._starts, t)
        return self.reps[begun - 1] if begun else None

    def set_at(self, t: int) -> Row | None:
        """The set that frame t lies in."""
        return next((row for row in self.sets if row["start"] <= t < row["end"]), None)

    def exercise_at(self, t: int) -> str:
        """What is done at frame t: '' in the rest between two sets."""
        if self.sets:
            return str((self.set_at(t) or {}).get("exercise") or "")
        return str((self.rep_at(t) or {}).get("exercise") or self.exercise)

    def counted_at(self, t: int) -> int:
        """Turns up to frame t, in the set that is under way."""
        under_way = (self.set_at(t) if self.sets else self.rep_at(t)) or {}
        begun = self.reps[: bisect_right(self._starts, t)]
        return sum(row["turn"] <= t and row["set"] == under_way.get("set") for row in begun)

    def verdict_of(self, rep: Row) -> Row | None:
        """The row of `form` that judges a repetition; the worst, where several do."""
        return self._of_rep.get((rep["set"], rep["rep"]))

    def verdict_at(self, t: int) -> Row | None:
        """The verdict to show at frame t: of the repetition (and a while after it), else of the frame or the clip."""
        time_s, rep = self.track.time_s, self.rep_at(t)
        if rep is None or (found := self.verdict_of(rep)) is None:
            return self._of_frame.get(t)
        last = min(int(rep["end"]), len(time_s) - 1)
        return found if t < len(time_s) and time_s[t] <= time_s[last] + _HOLD_S else None


def draw_overlay(image: Image, t: int, clip: ClipLabels, *, verdict: Row | None = None, still: bool = False) -> None:
    """One frame of `overlay_frames`, drawn in place.

    Args:
        verdict: the one to show; None: the one that belongs to frame t.
        still: a single picture, which has neither a count nor a strip of time.
    """
    track, gate = clip.track, clip.min_visibility
    verdict, name = verdict or clip.verdict_at(t), clip.exercise_at(t)
    if t < len(track.time_s):
        xy, seen = track.xy_px[t], track.visibility[t]
        draw_skeleton(image, xy, seen, track.skeleton, min_visibility=gate, body_px=clip.body_px)
        draw_signals(image, xy, seen, clip, name, verdict)
    counting = name and not still and (clip.reps or name in EXERCISE)
    draw_counter(image, name, clip.counted_at(t) if counting else None)
    if verdict is not None:
        draw_verdict(image, verdict)
    if not still:
        draw_timeline(image, t, clip)


def draw_signals(
    image: Image, xy_px: Floats, visibility: Floats, clip: ClipLabels, exercise: str, verdict: Row | None
) -> None:
    """The angles that an exercise is counted by and that a mistake was seen in, on joints (K, 2) of one frame."""
    wanted = EXERCISE[exercise].signal if exercise in EXERCISE else None
    fault = verdict["signal"] if verdict and verdict["verdict"] == "incorrect" else None
    tags: list[Box] = []
    for signal in dict.fromkeys(filter(None, (wanted, fault))):
        sides, sizes = clip.sides(signal), (clip.body_px, clip.torso_px)
        tags += draw_signal(
            image, sides, xy_px, visibility, clip.track.skeleton, clip.min_visibility, *sizes, taken=tags
        )


def draw_counter(image: Image, exercise: str, count: int | None) -> None:
    """The panel at the top left: exercise and repetitions so far; None where there is nothing to count."""
    size = text_px(image)
    pad, big = size // 2, round(size * 1.9)
    title = fit_text(exercise.replace("_", " "), size, image.shape[1] - 4 * pad)
    width, height = text_size(title, size)
    if count is None:
        if title:
            panel(image, pad, pad, width + 2 * pad, height + pad)
            put_text(image, title, 2 * pad, 1.5 * pad, size, WHITE)
        return
    number, unit = str(count), "rep" if count == 1 else "reps"
    (w2, h2), w3 = text_size(number, big, bold=True), text_size(unit, size)[0]
    panel(image, pad, pad, max(width, w2 + w3 + pad // 2) + 2 * pad, height + h2 + pad)
    put_text(image, title, 2 * pad, 1.5 * pad, size, _SOFT)
    put_text(image, number, 2 * pad, 1.5 * pad + height, big, WHITE, bold=True)
    # Both on one base line, which lies 0.93 of the size below the top of a line of text.
    put_text(image, unit, 2.5 * pad + w2, 1.5 * pad + height + 0.93 * (big - size), size, _SOFT)


def draw_verdict(image: Image, row: Row) -> None:
    """The banner at the bottom for one row of the table `form`: verdict, message, measured value and limit.

    The measurement stands beside the verdict where there is room, else on a line of its own, and is never cut.
    """
    colour, sign = VERDICTS[row["verdict"]]
    size = text_px(image)
    pad, line = size // 2, text_size("X", size)[1]
    room = image.shape[1] - 4 * pad
    head, measured = f"{sign} {row['verdict']}", measurement(row)
    while measured and text_size(measured, size)[0] > room and size > 8:
        size -= 1
    beside = bool(measured) and text_size(head, size, bold=True)[0] + text_size(measured, size)[0] + 2 * pad <= room
    below = [measured] if measured and not beside else []
    free = image.shape[0] - 2 * pad - _timeline_px(image) - round(3.4 * text_px(image))  # under the counter
    spare = max(0, min(2, (free - pad) // line - 1 - len(below)))  # on a tiny image the message gives way
    lines = (wrap_text(str(row.get("message") or ""), size, room, spare) if spare else []) + below
    first = text_size(head, size, bold=True)[0] + (text_size(measured, size)[0] + 2 * pad if beside else 0)
    width = max([first, *(text_size(text, size)[0] for text in lines)]) + 2 * pad
    height = line * (1 + len(lines)) + pad
    top = image.shape[0] - height - pad - _timeline_px(image)
    panel(image, pad, top, width, height)
    image[max(top, 0) : top + height, pad : pad + max(3, pad // 2)] = colour
    put_text(image, head, 2 * pad, top + pad / 2, size, _light(colour), bold=True)
    if beside:
        put_text(image, measured, pad + width - pad - text_size(measured, size)[0], top + pad / 2, size, WHITE)
    for n, text in enumerate(lines):
        put_text(image, text, 2 * pad, top + pad / 2 + line * (n + 1), size, WHITE)


def measurement(row: Row) -> str:
    """What a `form` row measured and the limit it was held against: `knee 104°, at most 95°`; '' without a value."""
    value = row.get("value_deg")
    if value is None or not math.isfinite(value):
        return ""
    signal = str(row.get("signal") or "angle").replace("_", " ")
    return f"{signal} {value:.0f}°{limit_text(row.get('low_deg'), row.get('high_deg'))}"


def limit_text(low: float | None, high: float | None) -> str:
    """`, limit 40–155°`, `, at least 40°`, `, at most 155°` or nothing."""
    if low is not None and high is not None:
        return f", limit {low:.0f}–{high:.0f}°"
    if low is not None:
        return f", at least {low:.0f}°"
    return f", at most {high:.0f}°" if high is not None else ""


def draw_timeline(image: Image, t: int, clip: ClipLabels) -> None:
    """The strip at the bottom edge: repetitions in their verdict's colour and where frame `t` is."""
    height, width, frames = _timeline_px(image), image.shape[1], max(len(clip.track.time_s), 1)
    strip = image[-height:]
    strip[:] = (strip * 0.35).astype(np.uint8)
    for row in clip.reps:
        judged = clip.verdict_of(row)
        colour = VERDICTS[judged["verdict"]][0] if judged else GREY
        left, right = (round(int(row[key]) / frames * width) for key in ("start", "end"))
        strip[1:-1, left + 1 : max(right - 1, left + 2)] = colour
    x = round(min(t, frames) / frames * width)
    strip[:, max(x - 1, 0) : x + 2] = WHITE


def _timeline_px(image: Image) -> int:
    return max(5, round(0.014 * image.shape[0]))


def _light(colour: Colour) -> Colour:
    """The colour half-way to white: text of at least 4.5 : 1 on a dark panel."""
    blue, green, red = ((255 + part) // 2 for part in colour)
    return blue, green, red


def _rank(row: Row) -> int:
    return _WORST_FIRST.index(row["verdict"])
