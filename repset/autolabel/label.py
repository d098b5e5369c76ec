"""One track in, its labels out: sets, repetitions, verdicts, angles, view and side."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from repset import angles, exercises
from repset.autolabel import form, view
from repset.autolabel.counting import COUNTING, Signal, counting_signal, join_signals
from repset.autolabel.form import Finding
from repset.autolabel.posture import plausible
from repset.autolabel.reps import Rep, count
from repset.autolabel.ruleset import RuleSet
from repset.autolabel.smooth import CleanTrack, clean, cut
from repset.autolabel.tempo import Tempo, tempo
from repset.records import TABLES
from repset.schema import PoseTrack, Stretch

MIN_FRAMES = 3
MIN_SHOT_S = 1.0  # between two cuts: a detector that has just found someone needs a third of it to settle
BORDER_S = 2.0  # a window of the recogniser
BORDER_SHARE = 0.25  # of a repetition must lie in the set, for the rest of it to belong there too; the project's choice
ORIGIN = "rule"


@dataclass(frozen=True)
class TrackLabels:
    """Automatic labels of one person in one clip.

    Attributes:
        sets, reps, form: rows of these tables (repset.records.TABLES); frames count in the clip.
        angles: table `angles`, one row per frame and angle the skeleton can give; NaN where unknown.
        view: name in repset.autolabel.view.VIEWS, over the whole clip.
        side: left | right | both: better seen over the whole clip.
        detected_share: share of frames with any joint placed.
        status: ok | no_person | too_short | not_counted.
        reason: one sentence where the status is not ok, else empty.
        findings: every rule's finding per (set, repetition), for `repset explain`.
    """

    sets: list[dict[str, Any]]
    reps: list[dict[str, Any]]
    form: list[dict[str, Any]]
    angles: pa.Table
    view: str
    side: str
    detected_share: float
    status: str
    reason: str
    findings: dict[tuple[int, int], list[Finding]] = field(default_factory=dict)


def label_track(
    sample_id: str, track: PoseTrack, stretches: Sequence[Stretch], rules: RuleSet, min_visibility: float,
    angles_3d: bool = False, cleaned: tuple[CleanTrack, CleanTrack] | None = None,
) -> TrackLabels:  # fmt: skip
    """Label one person's track.

    Args:
        stretches: which exercise is done when; `none` and names outside the ontology are passed through uncounted.
        min_visibility: joints seen less than this are unknown to angles and verdicts (counting may use them).
        angles_3d: also give the interior angles in space, where the track has 3-D positions.
        cleaned: the track cleaned with `min_visibility` and with 0, where the caller has both already.
    """
    seen = np.isfinite(track.xy_px).all(-1).any(1)
    judged = cleaned[0] if cleaned else clean(track, min_visibility)
    status, reason = _status(track, seen)
    writer = _Writer(sample_id, track, rules, min_visibility, judged, [], [], [], {})
    counted = judged if status != "ok" else cleaned[1] if cleaned else clean(track, 0.0)
    hidden = 0
    for number, stretch in enumerate(stretches):
        if status != "ok" or stretch.exercise not in COUNTING:
            writer.set_row(number, stretch, 0 if stretch.exercise == exercises.NONE else None)
            if status == "too_short" and rules.kind == "frame":  # a picture is a frame, and can be held to its range
                writer.frame_verdicts(number, stretch, 0, len(seen), [])
            continue
        start, end = max(0, stretch.start), min(len(seen), stretch.end)
        signal, reps = count_stretch(stretch.exercise, counted.cut(start, end))
        hidden += signal.side == "none"
        writer.set_row(number, stretch, None if signal.side == "none" else len(reps))
        writer.rep_rows(number, stretch, start, reps, signal)
        if rules.kind == "frame":
            writer.frame_verdicts(number, stretch, start, end, reps)
        else:
            writer.rep_verdicts(number, stretch, start, end, reps)
    if hidden:
        status, reason = "not_counted", f"the limb that is counted is hidden in {hidden} of {len(stretches)} sets"
    table, side = angle_table(sample_id, judged, angles_3d), view.better_side(track, ("shoulder", "hip"))
    return TrackLabels(
        writer.sets, writer.reps, writer.form, table, view.estimate(track).name, side,
        float(seen.mean()) if len(seen) else 0.0, status, reason, writer.findings,
    )  # fmt: skip


def _status(track: PoseTrack, seen: npt.NDArray[np.bool_]) -> tuple[str, str]:
    if not seen.any():
        return "no_person", "no person was found in any frame"
    if len(track.time_s) < MIN_FRAMES:
        return "too_short", f"{len(track.time_s)} frames are too few to count a repetition"
    return "ok", ""


def count_stretch(exercise: str, track: CleanTrack) -> tuple[Signal, list[Rep]]:
    """Signal and repetitions of one stretch; `track` is cleaned with visibility 0.

    What lies between two cuts is counted by itself: another view has other swings, another side that is seen.
    """
    spec = COUNTING[exercise]
    signals: list[Signal] = []
    reps: list[Rep] = []
    for start, end in track.segments or ((0, len(track.track.time_s)),):
        part = track.cut(start, end)
        signal = counting_signal(exercise, part)
        alone = len(track.segments) < 2 or part.track.time_s[-1] - part.track.time_s[0] >= MIN_SHOT_S
        turns = count(signal.values, part.track.time_s, spec, bend_deg=signal.bend_deg) if alone else []
        found = plausible(turns, signal, part, spec)
        reps += [replace(rep, start=rep.start + start, turn=rep.turn + start, end=rep.end + start) for rep in found]
        signals.append(signal)
    return join_signals(signals), reps


def to_whole_reps(stretches: Sequence[Stretch], track: PoseTrack) -> list[Stretch]:
    """Stretches whose borders lie in no repetition: moved out to where it began or ended, into the rest beside them.

    A window of the recogniser names two seconds at once, so a border it sets may be off by as much (`BORDER_S`).

    Args:
        stretches: sets without the rests between them, in order.
    """
    counted = clean(track, 0.0)
    found: list[Stretch] = []
    for k, stretch in enumerate(stretches):
        if stretch.exercise not in COUNTING or stretch.end <= stretch.start:
            found.append(stretch)
            continue
        first = found[-1].end if found else 0
        last = stretches[k + 1].start if k + 1 < len(stretches) else len(track.time_s)
        near = track.time_s[[stretch.start, stretch.end - 1]] + (-BORDER_S, BORDER_S)
        start, end = (
            max(first, int(np.searchsorted(track.time_s, near[0]))),
            int(np.searchsorted(track.time_s, near[1])),
        )
        reps = count_stretch(stretch.exercise, counted.cut(start, min(end, last)))[1]
        spans = [(rep.start + start, rep.end + start) for rep in reps]
        spans = [(a, b) for a, b in spans if min(b, stretch.end) - max(a, stretch.start) >= BORDER_SHARE * (b - a)]
        begins, ends = [stretch.start, *(a for a, _ in spans)], [stretch.end, *(b for _, b in spans)]
        found.append(replace(stretch, start=min(begins), end=max(ends)))
    return found


def angle_table(sample_id: str, clean: CleanTrack, space: bool = False) -> pa.Table:
    """Table `angles` of a track: frame by frame, angles in the table's order, columns built whole.

    Args:
        space: also the interior angles in space (`left_elbow_3d`), of joints that are known in the image.
    """
    track = clean.track
    values = angles.evaluate_all(track.xy_px, track.skeleton, clean.scale_px)
    if space and track.xyz_m is not None:
        known = np.isfinite(track.xy_px).all(-1, keepdims=True)
        values |= angles.evaluate_space(np.where(known, track.xyz_m, np.float32(np.nan)), track.skeleton)
    values = {name: value for name, value in values.items() if np.isfinite(value).any()}
    frames, kinds = len(track.time_s), len(values)
    names = pa.DictionaryArray.from_arrays(pa.array(np.tile(np.arange(kinds, dtype=np.int32), frames)), list(values))
    stacked = np.stack(list(values.values()), axis=1) if kinds else np.empty((frames, 0), np.float32)
    columns = {
        "sample_id": pa.repeat(pa.scalar(sample_id), frames * kinds),
        "frame": pa.array(np.repeat(np.arange(frames, dtype=np.int32), kinds)),
        "person": pa.array(np.zeros(frames * kinds, np.int32)),
        "name": names.cast(pa.string()) if kinds else pa.array([], pa.string()),
        "value_deg": pa.array(stacked.reshape(-1).astype(np.float32)),
    }
    return pa.table(columns, schema=TABLES["angles"])


@dataclass
class _Writer:
    """Rows of one clip as they come; frames of a stretch are given from `start` of the clip on."""

    sample_id: str
    track: PoseTrack
    rules: RuleSet
    min_visibility: float
    judged: CleanTrack
    sets: list[dict[str, Any]]
    reps: list[dict[str, Any]]
    form: list[dict[str, Any]]
    findings: dict[tuple[int, int], list[Finding]]

    def set_row(self, number: int, stretch: Stretch, reps: int | None) -> None:
        """One row of table `sets`."""
        self.sets.append(
            dict(sample_id=self.sample_id, set=number, start=stretch.start, end=stretch.end, exercise=stretch.exercise,
                 exercise_p=stretch.exercise_p, reps=reps, origin=stretch.origin)
        )  # fmt: skip

    def rep_rows(self, number: int, stretch: Stretch, offset: int, reps: list[Rep], signal: Signal) -> None:
        """Rows of table `reps`; range_deg is that of the joint's own angle, from rest to turn.

        A height (hop, lift overhead) has no eccentric phase worth the name, hence no tempo.
        """
        time_s, spec = self.track.time_s, COUNTING[stretch.exercise]
        for index, window in enumerate(form.windows(reps, len(signal.values))):
            rep = window.rep
            start, turn, end = rep.start + offset, rep.turn + offset, rep.end + offset
            bend = (
                signal.bend_deg[form.whole_movement(window, time_s[offset:])] if signal.bend_deg is not None else None
            )
            bend = bend[np.isfinite(bend)] if bend is not None else np.empty(0)
            span, seen = (rep.start, rep.turn, rep.end), (rep.starts, rep.ends)
            phases = Tempo() if spec.height else tempo(signal.values, time_s[offset:], span, seen, spec.lift_first)
            self.reps.append(
                dict(sample_id=self.sample_id, person=0, set=number, rep=index, exercise=stretch.exercise,
                     start=start, turn=turn, end=end, start_s=float(time_s[start]), turn_s=float(time_s[turn]),
                     end_s=_end_s(time_s, end), complete=rep.complete,
                     range_deg=round(float(np.ptp(bend)), 2) if len(bend) else None, **asdict(phases), origin=ORIGIN)
            )  # fmt: skip

    def rep_verdicts(self, number: int, stretch: Stretch, start: int, end: int, reps: list[Rep]) -> None:
        """Verdict of each repetition and of the set, by a rule set of kind `repetition`."""
        rules = self.rules.of(stretch.exercise)
        seen = view.estimate(cut(self.track, start, end))
        seen_from = seen.name
        clean_part = self.judged.cut(start, end)
        verdicts = []
        for index, window in enumerate(form.windows(reps, end - start)):
            findings = form.judge_rep(rules, window, clean_part, seen)
            self.findings[number, index] = [replace(f, frame=f.frame + start if f.frame >= 0 else -1) for f in findings]
            verdict, decided = form.decide(findings)
            verdicts.append(verdict)
            span = (window.rep.start + start, window.rep.end + start)
            reason = rules.reason or form.not_judged(findings)
            self._form_row(number, stretch, "rep", index, span, verdict, seen_from, decided, reason)
            for found in self.findings[number, index]:
                if found.frame >= 0:  # the frame that shows what the rule measured
                    at = (found.frame, found.frame + 1)
                    self._form_row(number, stretch, "frame", index, at, found.verdict, seen_from, found, None)
        self._set_verdict(number, stretch, verdicts, seen_from, rules.reason)

    def frame_verdicts(self, number: int, stretch: Stretch, start: int, end: int, reps: list[Rep]) -> None:
        """Verdict of each frame, repetition and set, by a rule set of kind `frame`, on joints as they came."""
        rules = self.rules.of(stretch.exercise)
        raw = form.gate(cut(self.track, start, end), self.min_visibility)
        seen = view.estimate(raw)
        seen_from = seen.name
        frames = form.judge_frames(rules.rules, raw, seen)
        for k, finding in enumerate(frames):
            span = (start + k, start + k + 1)
            self._form_row(number, stretch, "frame", None, span, finding.verdict, seen_from, _decisive(finding), None)
        for index, rep in enumerate(reps):
            inside = frames[rep.start : rep.end]
            span = (rep.start + start, rep.end + start)
            verdict = form.summarise_frames([finding.verdict for finding in inside])
            decisive = form.farthest(inside)
            self.findings[number, index] = [replace(f, frame=f.frame + start) for f in decisive]
            self._form_row(number, stretch, "rep", index, span, verdict, seen_from, None, rules.reason)
        verdict = form.summarise_frames([finding.verdict for finding in frames])
        span = (stretch.start, stretch.end)
        self._form_row(number, stretch, "clip", None, span, verdict, seen_from, None, rules.reason)

    def _set_verdict(
        self, number: int, stretch: Stretch, verdicts: list[str], seen_from: str, reason: str | None
    ) -> None:
        reason = reason or (None if verdicts else "no repetition was found")
        span = (stretch.start, stretch.end)
        self._form_row(number, stretch, "clip", None, span, form.summarise(verdicts), seen_from, None, reason)

    def _form_row(
        self, number: int, stretch: Stretch, level: str, rep: int | None, span: tuple[int, int], verdict: str,
        seen_from: str, decided: Finding | None, reason: str | None,
    ) -> None:  # fmt: skip
        message = reason or ""
        if decided is not None and decided.verdict != form.CORRECT:
            message = decided.reason or decided.rule.message
        self.form.append(
            dict(sample_id=self.sample_id, person=0, set=number, level=level, rep=rep, start=span[0], end=span[1],
                 exercise=stretch.exercise, verdict=verdict, rule_set=self.rules.name,
                 rule_id=decided.rule.id if decided else None, signal=decided.rule.angle if decided else None,
                 value_deg=_rounded(decided.value_deg) if decided else None,
                 low_deg=decided.low_deg if decided else None, high_deg=decided.high_deg if decided else None,
                 view=seen_from, message=message, rules_sha256=self.rules.sha256, origin=ORIGIN)
        )  # fmt: skip


def _decisive(finding: Finding) -> Finding | None:
    return None if finding.verdict == form.CORRECT else finding


def _rounded(value: float) -> float | None:
    return round(value, 2) if np.isfinite(value) else None


def _end_s(time_s: npt.NDArray[Any], end: int) -> float:
    """Time of a half-open end: the next frame's, or the last one's plus a frame."""
    if end < len(time_s):
        return float(time_s[end])
    step = float(np.median(np.diff(time_s))) if len(time_s) > 1 else 0.0
    return float(time_s[-1]) + step
