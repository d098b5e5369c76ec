"""A stream labelled as it comes: what is done, how often and how well, with what labels a clip.

The pose and the exercise's name are of the latest frame. Repetitions and verdicts are those that `label_track` gives
the last half minute, again and again beside the stream, so they come a moment after the movement.
"""

import math
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from repset.autolabel.label import label_track
from repset.autolabel.people import Joints
from repset.autolabel.pose import JOINTS, SKELETON, Follower
from repset.autolabel.recognise import PAUSE_S, Live
from repset.autolabel.ruleset import RuleSet
from repset.draw.body import draw_skeleton
from repset.draw.overlay import ClipLabels, Row, draw_counter, draw_signals, draw_verdict
from repset.exercises import NONE
from repset.schema import PoseTrack, Stretch
from repset.video import Image

LEAD_S = 4.0
"""So much of what came before an exercise was recognised belongs to it: naming takes a window and a half."""

EVERY_S = 0.5
"""Between two counts of the set under way."""

LONGEST_S, KEEP_S = 30.0, 15.0
"""A set is counted over so many seconds at most; when it lasts longer, repetitions older than the second stay counted
and their frames go."""

SHOWN_S = 2.5
"""A verdict stays up so long after its repetition."""


@dataclass(frozen=True)
class LiveRep:
    """One repetition of a set: its number from 1, seconds of the stream, whether its start and its end were seen, and
    its row of table `form`."""

    exercise: str
    number: int
    start_s: float
    end_s: float
    complete: bool
    judged: Row | None

    @property
    def verdict(self) -> str:
        """correct | incorrect | unscorable."""
        return str(self.judged["verdict"]) if self.judged else "unscorable"


@dataclass
class LiveSet:
    """One exercise without a longer pause.

    Attributes:
        start_s, end_s: once it has ended, of its first and last repetition; without one, of its name.
        reps: in order; the latest may still change while the set is under way.
    """

    exercise: str
    start_s: float
    end_s: float
    reps: list[LiveRep] = field(default_factory=list)


@dataclass(frozen=True)
class _Labels:
    clip: ClipLabels
    reps: list[LiveRep]


class LiveLabeller:
    """One person of a stream, frame by frame; memory and the cost of a frame are constant. Close it at the end.

    Args:
        size_px: width and height of the pictures.
        exercise: canonical name; None: it is recognised.
        min_visibility, model: as `repset.autolabel.label.label_track` and `repset.autolabel.pose.follow` take them.
        beside: count in a thread of its own; otherwise `push` waits for it, and every run gives the same.
    Attributes:
        sets: those that have ended.
        now: the set under way, or None.
    """

    def __init__(
        self, size_px: tuple[int, int], rules: RuleSet, exercise: str | None = None, min_visibility: float = 0.5,
        model: str = "full", beside: bool = True,
    ) -> None:  # fmt: skip
        self.sets: list[LiveSet] = []
        self.now: LiveSet | None = None
        self._size, self._rules, self._given, self._gate = size_px, rules, exercise, min_visibility
        self._follower = Follower(model)
        self._naming = None if exercise else Live(SKELETON, size_px)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="counting") if beside else None
        self._frames: deque[tuple[float, Joints]] = deque()
        self._joints = np.full((JOINTS, 6), np.nan, np.float32)
        self._time_s = self._named_s = self._asked_s = -math.inf
        self._free_s = -math.inf  # what came before belongs to a set that has ended
        self._kept: list[LiveRep] = []  # of the set under way, older than its frames
        self._told = 0
        self._labels: _Labels | None = None
        self._pending: Future[_Labels] | None = None

    def push(self, time_s: float, image: Image) -> list[LiveRep]:
        """The next frame (BGR) at its second, increasing; returns the repetitions that have ended since the last."""
        found = self._follower.push(time_s, image)
        self._joints = np.full((JOINTS, 6), np.nan, np.float32) if found is None else found
        self._time_s = time_s
        self._frames.append((time_s, self._joints))
        name = self._given or NONE
        if self._naming:
            name, _ = self._naming.push(time_s, self._joints[:, :2], self._joints[:, 2])
        ended = self._named(name)
        if self.now is None:
            self._drop(time_s - LEAD_S)
            return ended
        self._count(self.now)
        return ended + self._finished(self.now)

    def close(self) -> list[LiveRep]:
        """End the set under way and free the networks; returns repetitions that nobody was told of."""
        ended = self._end()
        self._follower.close()
        if self._pool:
            self._pool.shutdown()
        return ended

    def draw(self, image: Image, mirrored: bool = False) -> None:
        """Skeleton, angles, counter and verdict of now into a picture (BGR) of the stream's size, in place; mirrored:
        it is turned into its mirror image first, and nothing that is written on it."""
        xy, seen = self._joints[:, :2], self._joints[:, 2]
        if mirrored:
            image[:] = image[:, ::-1].copy()
            xy = np.stack([self._size[0] - 1 - xy[:, 0], xy[:, 1]], 1)
        clip = self._labels.clip if self._labels else None
        body_px = clip.body_px if clip else math.nan
        draw_skeleton(image, xy, seen, SKELETON, min_visibility=self._gate, body_px=body_px)
        if self.now is None:
            draw_counter(image, "no exercise yet", None)
            return
        last = next((rep for rep in reversed(self.now.reps) if rep.complete), None)  # not the one under way
        judged = last.judged if last and self._time_s - last.end_s <= SHOWN_S else None
        if clip:
            draw_signals(image, xy, seen, clip, self.now.exercise, judged)
        draw_counter(image, self.now.exercise, len(self.now.reps))
        if judged:
            draw_verdict(image, judged)

    # --- sets -----------------------------------------------------------------------------------------------------

    def _named(self, name: str) -> list[LiveRep]:
        """Begin and end sets by what is being done; returns repetitions of one that ended which nobody was told of."""
        ended: list[LiveRep] = []
        if name == NONE:
            return self._end() if self.now and self._time_s - self._named_s >= PAUSE_S else ended
        self._named_s = self._time_s
        if self.now and self.now.exercise != name:
            ended = self._end()
        if self.now is None:
            self._drop(max(self._free_s, self._time_s - LEAD_S))
            self.now = LiveSet(name, self._frames[0][0], self._time_s)
        return ended

    def _end(self) -> list[LiveRep]:
        """End the set under way; returns its repetitions that nobody was told of."""
        if (done := self.now) is None:
            return []
        if self._pending:
            self._pending.result()
            self._pending = None
        self._take(done, self._label(list(self._frames), done.exercise))
        untold, done.end_s = done.reps[self._told :], self._named_s
        if done.reps:
            done.start_s, done.end_s = done.reps[0].start_s, done.reps[-1].end_s
        last_s = max((rep.end_s for rep in done.reps if rep.complete), default=-math.inf)
        self._free_s = max(last_s, self._time_s - LEAD_S)  # what came since may belong to what comes next
        self.sets.append(done)
        self.now, self._labels, self._kept, self._told, self._asked_s = None, None, [], 0, -math.inf
        self._drop(self._free_s)
        return untold

    def _drop(self, before_s: float) -> None:
        while self._frames and self._frames[0][0] < before_s:
            self._frames.popleft()

    # --- counting -------------------------------------------------------------------------------------------------

    def _count(self, now: LiveSet) -> None:
        """Take what has been counted, and have it counted again where it is time."""
        if self._pending and self._pending.done():
            self._take(now, self._pending.result())
            self._pending = None
        if self._pending is None and self._time_s - self._asked_s >= EVERY_S:
            self._asked_s = self._time_s
            self._shorten()
            if self._pool:
                self._pending = self._pool.submit(self._label, list(self._frames), now.exercise)
            else:
                self._take(now, self._label(list(self._frames), now.exercise))

    def _label(self, frames: Sequence[tuple[float, Joints]], exercise: str) -> _Labels:
        """Labels of these frames; touches nothing that changes, since it runs beside the stream."""
        times, joints = np.array([time_s for time_s, _ in frames]), np.stack([one for _, one in frames])
        xy, seen, xyz = joints[..., :2], joints[..., 2], joints[..., 3:]
        track = PoseTrack(SKELETON, times - times[0], xy, seen, *self._size, xyz_m=xyz)
        stretch = Stretch(0, len(frames), exercise, 1.0, "model")
        labels = label_track("live", track, [stretch], self._rules, self._gate)
        clip = ClipLabels(track, labels.reps, labels.form, exercise, self._gate)
        reps = [
            LiveRep(
                exercise,
                len(self._kept) + row["rep"] + 1,
                times[0] + row["start_s"],
                times[0] + row["end_s"],
                bool(row["complete"]),
                clip.verdict_of(row),
            )
            for row in labels.reps
        ]
        return _Labels(clip, reps)

    def _take(self, now: LiveSet, labels: _Labels) -> None:
        self._labels, now.reps = labels, [*self._kept, *labels.reps]

    def _shorten(self) -> None:
        """Let the frames of old repetitions go; they stay counted."""
        if self._labels is None or self._time_s - self._frames[0][0] <= LONGEST_S:
            return
        old = [rep.end_s for rep in self._labels.reps if rep.complete and rep.end_s < self._time_s - KEEP_S]
        before_s = max([self._time_s - LONGEST_S, *old[-1:]])
        self._kept += [rep for rep in self._labels.reps if rep.end_s <= before_s]
        self._drop(before_s)

    def _finished(self, now: LiveSet) -> list[LiveRep]:
        """Repetitions that nobody was told of and that will hardly change: another came after, or a moment passed."""
        past_s, last = self._time_s - EVERY_S, len(now.reps) - 1
        sure = [k for k, rep in enumerate(now.reps) if k < last or (rep.complete and rep.end_s < past_s)]
        told, self._told = self._told, max(self._told, len(sure))
        return now.reps[told : self._told]
