"""Names what is done in a pose track, with the small network that lies in the package. No torch: onnxruntime alone.

`exercise.onnx` was written by `repset release exercise` after its answers agreed with the trained network's;
`exercise.json` beside it says what it knows and where it comes from. Its windows are made by `repset.pose_features`,
the same code that made them for training.
"""

import json
from collections import deque
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from repset import pose_features as features
from repset import stretches
from repset.errors import DataError
from repset.exercises import NONE
from repset.pose_features import Floats, WindowSpec
from repset.schema import PoseTrack, Stretch

HERE = Path(__file__).parent
HOP = 0.25
"""Windows start this part of a window apart, as when the model was scored."""

MIN_P = 0.5
"""Below this mean probability a stretch has no name: it is called `none` rather than guessed."""

PAUSE_S = 4.0
"""Who stands still for less than this between two repetitions of one exercise has not ended the set. In MM-Fit's labels
(18 workouts) 360 of 361 rests between two sets of one exercise last 8.6 s or longer."""

MIN_SEEN = 0.25
"""A window in which fewer of the joints are placed, over all its steps, counts as `none`: there is nobody to judge."""


@dataclass(frozen=True)
class Recogniser:
    """The released model.

    Attributes:
        classes: names of the output channels; spec: how a track is cut into windows.
        temperature: divides the logits, so that the probabilities are calibrated.
        sha256: of the .onnx file, for provenance.
    """

    classes: tuple[str, ...]
    spec: WindowSpec
    sha256: str
    session: Any
    temperature: float = 1.0

    def log_probabilities(self, windows: Floats) -> Floats:
        """(W, CHANNELS, N) windows → (W, C) log probabilities."""
        logits = self.session.run(None, {"windows": windows})[0].astype(np.float64) / self.temperature
        top = logits.max(axis=1, keepdims=True)
        return np.asarray(logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True)), np.float32)


@cache
def recogniser(folder: Path = HERE) -> Recogniser:
    """The model in `folder`, loaded once.

    Raises: DataError if a file is missing, or made for other features than this version computes.
    """
    import onnxruntime

    from repset.records import sha256_bytes

    network, card = folder / "exercise.onnx", folder / "exercise.json"
    if not network.is_file() or not card.is_file():
        missing = network if not network.is_file() else card
        raise DataError(missing, "the released exercise model", "no file", "Name the exercise: --exercise squat")
    facts = json.loads(card.read_text(encoding="utf-8"))
    if facts["channels"] != features.CHANNELS or facts["joints"] != list(features.JOINTS):
        raise DataError(card, f"a model of {features.CHANNELS} channels", f"{facts['channels']}", "Release it again")
    data = network.read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # clips run side by side, one process each
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    spec = WindowSpec(facts["window_s"], facts["steps"])
    return Recogniser(tuple(facts["classes"]), spec, sha256_bytes(data), session, facts.get("temperature", 1.0))


def recognise(track: PoseTrack, model: Recogniser | None = None, min_p: float = MIN_P) -> list[Stretch]:
    """The exercises of a track, in order, without gaps; rest and anything outside the ontology is `none`.

    Args:
        track: one person; any skeleton of repset.landmarks.
        model: None takes the released one.
        min_p: a stretch whose name is less probable than this (mean over its windows) is `none`.
    Returns: at least one Stretch (origin "model") for a track with frames; a clip in which one thing is done is a
        single one. `exercise_p` is the mean probability of the name over the stretch's windows; where no name
        reached `min_p`, one minus that of the best.
    """
    model = model or recogniser()
    if not len(track.time_s):
        return []
    windows, starts = features.track_windows(track, model.spec, HOP * model.spec.seconds)
    log_p, names = _ontology_log_p(model, windows)
    period = 1 / track.fps if len(track.time_s) > 1 else model.spec.step_s
    found = stretches.decode(log_p, names, starts - track.time_s[0], model.spec.seconds, _duration(track) + period)
    return _over_pauses(_joined([_stretch(track, named, min_p) for named in found]), track.time_s)


class Live:
    """Names what is done in a stream, frame by frame, from what has been seen so far; memory and cost are constant.

    The network is asked every HOP of a window about the last window; a name changes when the windows seen since are
    better explained by the change. That costs twice `stretches.SWITCH_COST`, as much as there and back in a recorded
    clip: nobody knows yet whether it will last.
    """

    def __init__(
        self, skeleton: str, size_px: tuple[int, int], model: Recogniser | None = None, min_p: float = MIN_P
    ) -> None:
        self._model, self._min_p = model or recogniser(), min_p
        self._skeleton, self._size = skeleton, size_px
        self._frames: deque[tuple[float, Floats, Floats]] = deque()
        self._next_s: float | None = None
        self._score: npt.NDArray[np.float64] | None = None
        self._recent: deque[npt.NDArray[np.float64]] = deque(maxlen=round(1 / HOP))
        self._now = (NONE, 0.0)

    def push(self, time_s: float, xy_px: Floats, visibility: Floats) -> tuple[str, float]:
        """One more frame: what is being done now, and the mean probability of that name in the last windows.

        Args:
            time_s: increasing; xy_px: (K, 2) pixels, NaN where absent; visibility: (K,) 0..1.
        Returns: `none` with probability 0 until half a window has been seen.
        """
        seconds = self._model.spec.seconds
        self._frames.append((time_s, xy_px, visibility))
        if self._next_s is None:
            self._next_s = time_s + seconds / 2
        if time_s >= self._next_s:
            while self._frames[0][0] < time_s - seconds - features.MAX_GAP_S:
                self._frames.popleft()
            self._now = self._ask(time_s - seconds)
            self._next_s = time_s + HOP * seconds
        return self._now

    def _ask(self, start_s: float) -> tuple[str, float]:
        times, xy, visibility = zip(*self._frames, strict=True)
        track = PoseTrack(self._skeleton, np.array(times), np.stack(xy), np.stack(visibility), *self._size)
        log_p, names = _ontology_log_p(self._model, features.window_at(track, self._model.spec, start_s)[None])
        if self._score is None:
            self._score = log_p[0].astype(np.float64)
        else:
            self._score = np.maximum(self._score, self._score.max() - 2 * stretches.SWITCH_COST) + log_p[0]
        self._score = self._score - self._score.max()
        best = int(self._score.argmax())
        self._recent.append(np.exp(log_p[0]))
        p = float(np.mean([row[best] for row in self._recent]))
        return (names[best], p) if names[best] == NONE or p >= self._min_p else (NONE, 1 - p)


def _ontology_log_p(model: Recogniser, windows: Floats) -> tuple[npt.NDArray[np.float64], list[str]]:
    """(W, C) log probabilities over the ontology and `none`, and the names; a window without a person is `none`."""
    log_p, names = stretches.to_ontology(model.log_probabilities(windows), model.classes)
    joints = len(features.JOINTS)
    seen = windows[:, 4 * joints + 2 : 5 * joints + 2] > 0
    covered = np.maximum(seen.any(axis=1).sum(axis=1), 1)  # steps inside the track; a short clip has few
    empty = seen.sum(axis=(1, 2)) < MIN_SEEN * joints * covered
    log_p[empty] = np.where(np.array(names) == NONE, 0.0, np.log(1e-9))
    return log_p, names


def _duration(track: PoseTrack) -> float:
    return float(track.time_s[-1] - track.time_s[0])


def _stretch(track: PoseTrack, named: stretches.Named, min_p: float) -> Stretch:
    start, end = np.searchsorted(track.time_s - track.time_s[0], [named.start_s - 1e-9, named.end_s - 1e-9])
    if named.name != NONE and named.p < min_p:
        return Stretch(int(start), int(end), NONE, 1 - named.p, "model")
    return Stretch(int(start), int(end), named.name, named.p, "model")


def _joined(parts: list[Stretch]) -> list[Stretch]:
    """Neighbours of one name made one, their probabilities weighted by length."""
    joined: list[Stretch] = []
    for part in parts:
        if part.end <= part.start:
            continue
        if joined and joined[-1].exercise == part.exercise:
            part = _one(joined.pop(), part)
        joined.append(part)
    return joined


def _over_pauses(parts: list[Stretch], time_s: npt.NDArray[np.float64]) -> list[Stretch]:
    """Sets of one name made one where only a pause lies between them."""
    sets: list[Stretch] = []
    for part in parts:
        if len(sets) > 1 and sets[-1].exercise == NONE and sets[-2].exercise == part.exercise:
            pause = sets[-1]
            if time_s[pause.end - 1] - time_s[pause.start] < PAUSE_S:
                sets.pop()
                part = _one(sets.pop(), part)
        sets.append(part)
    return sets


def _one(a: Stretch, b: Stretch) -> Stretch:
    lengths = a.end - a.start, b.end - b.start
    p = np.average([a.exercise_p or 0.0, b.exercise_p or 0.0], weights=lengths)
    return Stretch(a.start, b.end, a.exercise, float(p), "model")
