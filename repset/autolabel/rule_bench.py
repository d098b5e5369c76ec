"""A bench for people who disagree about numbers: what another rule file would change, on poses that are there already.

Both rule sets judge the same repetitions (counting knows no rules), so every difference comes from the rules.
"""

import math
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from repset.autolabel.explain import stored_tracks, stored_visibility
from repset.autolabel.form import CORRECT, INCORRECT, UNSCORABLE, Finding, applied
from repset.autolabel.label import TrackLabels, label_track
from repset.autolabel.measured_error import AngleError, ErrorCards
from repset.autolabel.ruleset import Rule, RuleSet
from repset.autolabel.smooth import clean
from repset.charts import Spread
from repset.curate.decision import VERDICTS
from repset.curate.ledger import Ledger
from repset.curate.merge import undone_ids
from repset.curate.targets import SAME_INTERVAL_IOU, interval_iou, interval_of
from repset.errors import RepsetError
from repset.project import Project
from repset.records import read_rows
from repset.schema import PoseTrack, Stretch

Said = list[tuple[tuple[float, float], str]]
"""Intervals in seconds and verdicts, in the order in which they were said."""


@dataclass(frozen=True)
class Clip:
    """Stored poses of one clip (None: not read, for nothing in it is asked for) and what is done in it.

    `index` is the folder with the set's own verdicts, if it has any.
    """

    sample_id: str
    track: PoseTrack | None
    stretches: tuple[Stretch, ...]
    min_visibility: float
    index: Path | None = None


@dataclass(frozen=True)
class Judged:
    """One repetition under both rule sets.

    Attributes:
        interval_s: start and end, seconds.
        before, after: verdict of the rule set compared with, and of the one that is tried.
        findings: of the one that is tried, a finding a rule.
        was: findings of the other.
        person, dataset: what a person in the ledger, or the set itself, says about it; None: nothing.
    """

    sample_id: str
    set: int
    rep: int
    exercise: str
    view: str
    interval_s: tuple[float, float]
    before: str
    after: str
    findings: tuple[Finding, ...]
    was: tuple[Finding, ...] = ()
    person: str | None = None
    dataset: str | None = None

    @property
    def changed(self) -> bool:
        """Whether the two rule sets differ on it."""
        return self.before != self.after

    @property
    def decided(self) -> Finding | None:
        """The finding behind the new verdict: the broken rule, or the required one that could not be judged."""
        wanted = [f for f in self.findings if f.verdict == self.after and (f.rule.required or self.after == INCORRECT)]
        return wanted[0] if wanted and self.after != CORRECT else None


@dataclass(frozen=True)
class Alarms:
    """How verdicts fare against other people's word on the same repetitions.

    Attributes:
        good, good_alarmed: repetitions called correct, and how many of these the rules call incorrect.
        bad, bad_found: repetitions called incorrect, and how many of these the rules call incorrect.
    """

    good: int
    good_alarmed: int
    bad: int
    bad_found: int


def share_words(part: int, whole: int) -> str:
    """`3 of 40 (8 %, 95 % interval 3-20 %)`: with Wilson's score interval (Wilson 1927)."""
    if not whole:
        return "0 of 0"
    z = 1.959964  # 97.5 % quantile of the normal distribution
    p, d = part / whole, 1 + z * z / whole
    middle, half = (p + z * z / (2 * whole)) / d, z / d * math.sqrt(p * (1 - p) / whole + z * z / (4 * whole**2))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return f"{part} of {whole} ({100 * p:.0f} %, 95 % interval {100 * low:.0f}-{100 * high:.0f} %)"


@dataclass(frozen=True)
class RuleView:
    """One rule seen from one view, over all repetitions.

    Attributes:
        values: degrees, one a measured repetition; verdicts beside them.
        not_judged: repetitions in which it could not be measured.
        limits: as applied, tolerance included; other: of the same rule in the set compared with, None without one.
        error: measured error of the angle.
        close: how many values lie within that error of a limit.
        warning: a sentence where the numbers cannot bear the verdict, else empty.
    """

    exercise: str
    rule: Rule
    view: str
    values: tuple[float, ...]
    verdicts: tuple[str, ...]
    judged: tuple[tuple[float, str], ...]
    not_judged: int
    limits: tuple[float | None, float | None]
    other: tuple[float | None, float | None] | None
    error: AngleError | None
    close: int
    warning: str


@dataclass(frozen=True)
class Bench:
    """Everything a trial found."""

    reps: tuple[Judged, ...]
    rules: tuple[RuleView, ...]
    clips: int = 0
    skipped: dict[str, int] = field(default_factory=dict)

    def alarms(self, truth: str, which: str) -> Alarms:
        """Against `person` or `dataset`, of the verdicts `before` or `after`."""
        said = [(getattr(rep, truth), getattr(rep, which)) for rep in self.reps]
        good = [verdict for word, verdict in said if word == CORRECT]
        bad = [verdict for word, verdict in said if word == INCORRECT]
        return Alarms(len(good), good.count(INCORRECT), len(bad), bad.count(INCORRECT))


def stored_clips(labels: Path, index: Path | None = None, exercises: Container[str] | None = None) -> Iterator[Clip]:
    """The clips of a folder that `repset autolabel` wrote; poses that the set itself gave come from the index.

    Args:
        exercises: the poses of clips without one of these are not read, which takes most of the time; None: all are.
    Raises: DataError if the folder has no tables.
    """
    sets: dict[str, list[Stretch]] = {}
    for row in read_rows(labels / "sets.parquet", "sets"):
        stretch = Stretch(row["start"], row["end"], row["exercise"], row["exercise_p"], row["origin"])
        sets.setdefault(row["sample_id"], []).append(stretch)
    least = stored_visibility(labels)
    needed = [name for name in sets if exercises is None or any(one.exercise in exercises for one in sets[name])]
    tracks = stored_tracks(labels, needed) if needed else {}
    missing = [name for name in needed if name not in tracks]
    if index is not None and missing:
        tracks |= stored_tracks(index, missing)
    for sample_id in sorted(sets):
        if sample_id in tracks or sample_id not in needed:
            yield Clip(sample_id, tracks.get(sample_id), tuple(sets[sample_id]), least, index)


def try_rules(
    clips: Iterable[Clip], rules: RuleSet, against: RuleSet, cards: ErrorCards, project: Project | None
) -> Bench:
    """Judge every repetition with both rule sets; only exercises that `rules` speaks of.

    Args:
        cards: measured angle errors. project: whose ledger is asked for people's verdicts; None: nobody's.
    Raises: RepsetError where no repetition of these exercises was found.
    """
    said = _people(project)
    reps: list[Judged] = []
    skipped: dict[str, int] = {}
    own: dict[Path, dict[str, Said]] = {}
    count = 0
    for clip in clips:
        count += 1
        for stretch in clip.stretches:
            if stretch.exercise not in rules.exercises:
                skipped[stretch.exercise] = skipped.get(stretch.exercise, 0) + 1
        wanted = [stretch for stretch in clip.stretches if stretch.exercise in rules.exercises]
        if not wanted or clip.track is None:
            continue
        if clip.index is not None and clip.index not in own:
            own[clip.index] = _dataset(clip.index)
        truth = own[clip.index].get(clip.sample_id, []) if clip.index is not None else []
        cleaned = clean(clip.track, clip.min_visibility), clean(clip.track, 0.0)
        new, old = (
            label_track(clip.sample_id, clip.track, wanted, one, clip.min_visibility, cleaned=cleaned)
            for one in (rules, against)
        )
        reps += _judge(clip.sample_id, new, old, said.get(clip.sample_id, []), truth)
    if not reps:
        names = ", ".join(sorted(rules.exercises))
        raise RepsetError(f"no repetition of {names} in these {count} clips. Name clips of these exercises.")
    return Bench(tuple(reps), tuple(_rule_views(reps, rules, against, cards)), count, dict(sorted(skipped.items())))


def spreads(bench: Bench) -> list[Spread]:
    """The distributions as charts take them, the most populous first within each exercise."""
    return [
        Spread(
            f"{row.exercise} · {row.rule.id} · {row.view} · {len(row.values)} measured".replace("_", " "),
            f"{row.rule.angle}{' as reach' if row.rule.measure == 'reach' else ''}".replace("_", " "),
            np.array(row.values), row.verdicts, row.limits, row.other,
            round(row.error.deg, 1) if row.error else None, row.judged,
        )
        for row in bench.rules
        if row.values
    ]  # fmt: skip


# --- judging ----------------------------------------------------------------------------------------------------------


def _judge(sample_id: str, new: TrackLabels, old: TrackLabels, said: Said, truth: Said) -> Iterator[Judged]:
    verdicts = [
        {(row["set"], row["rep"]): row for row in labels.form if row["level"] == "rep"} for labels in (new, old)
    ]
    for row in new.reps:
        key = (row["set"], row["rep"])
        interval = (float(row["start_s"]), float(row["end_s"]))
        mine, other = verdicts[0][key], verdicts[1].get(key, {})
        yield Judged(
            sample_id, row["set"], row["rep"], str(row["exercise"]), str(mine["view"]), interval,
            str(other.get("verdict", UNSCORABLE)), str(mine["verdict"]), tuple(new.findings.get(key, ())),
            tuple(old.findings.get(key, ())), _word(said, interval), _word(truth, interval),
        )  # fmt: skip


def _word(said: Said, interval: tuple[float, float]) -> str | None:
    """The last verdict said about a stretch that is the same (IoU of at least 0.5); None: nothing was."""
    found = [verdict for other, verdict in said if interval_iou(other, interval) >= SAME_INTERVAL_IOU]
    return found[-1] if found else None


def _people(project: Project | None) -> dict[str, Said]:
    """Sample → intervals and verdicts in the order of time; what was undone, rejected or a probe is left out."""
    if project is None or not project.reviews.is_dir():
        return {}
    decisions = [decision for decision in Ledger(project.reviews).read() if decision.task == "form"]
    undone = undone_ids(decisions)
    said: dict[str, Said] = {}
    for decision in decisions:
        interval = interval_of(decision.target)
        counts = decision.action in ("accept", "edit", "new") and not decision.probe and decision.id not in undone
        if counts and interval is not None and decision.value in VERDICTS:
            said.setdefault(decision.sample_id, []).append((interval, str(decision.value)))
    return said


def _dataset(index: Path) -> dict[str, Said]:
    """The set's own verdicts on repetitions; of several rules the worst."""
    if not (index / "form.parquet").is_file():
        return {}
    fps = {
        row["sample_id"]: row["fps"] for row in read_rows(index / "samples.parquet", "samples", ["sample_id", "fps"])
    }
    said: dict[str, Said] = {}
    rows = [r for r in read_rows(index / "form.parquet", "form") if r["level"] == "rep" and r["origin"] == "dataset"]
    for row in sorted(rows, key=lambda r: str(r["verdict"]) == INCORRECT):
        if rate := fps.get(row["sample_id"]):
            said.setdefault(row["sample_id"], []).append(((row["start"] / rate, row["end"] / rate), row["verdict"]))
    return said


# --- per rule and view ------------------------------------------------------------------------------------------------


def _rule_views(
    reps: Sequence[Judged], rules: RuleSet, against: RuleSet, cards: ErrorCards
) -> Iterator[RuleView]:  # fmt: skip
    for exercise in rules.exercises:
        mine = [rep for rep in reps if rep.exercise == exercise]
        for rule in rules.of(exercise).rules:
            for view in sorted({rep.view for rep in mine}):
                if rule.limit(view) is None:
                    continue
                yield _rule_view(rule, view, [rep for rep in mine if rep.view == view], against, cards)


def _rule_view(rule: Rule, view: str, reps: Sequence[Judged], against: RuleSet, cards: ErrorCards) -> RuleView:
    exercise, limit = reps[0].exercise, rule.limit(view)
    assert limit is not None
    found = [(rep, next((f for f in rep.findings if f.rule.id == rule.id), None)) for rep in reps]
    measured = [(rep, f) for rep, f in found if f is not None and np.isfinite(f.value_deg)]
    values = tuple(round(f.value_deg, 2) for _, f in measured)
    limits = applied(limit, rule.tolerance_deg)
    same = next((other for other in against.of(exercise).rules if other.id == rule.id), None)
    old = same.limit(view) if same is not None else None
    error = cards.of(rule.angle, exercise, view)
    close = sum(f.margin_deg <= error.deg for _, f in measured) if error else 0
    return RuleView(
        exercise, rule, view, values, tuple(f.verdict for _, f in measured),
        tuple((f.value_deg, word) for rep, f in measured if (word := rep.person or rep.dataset) is not None),
        len(reps) - len(measured), limits,
        applied(old, same.tolerance_deg) if old is not None and same is not None else None,
        error, close, _warning(rule, view, exercise, error, close, len(values)),
    )  # fmt: skip


def _warning(rule: Rule, view: str, exercise: str, error: AngleError | None, close: int, measured: int) -> str:
    where = f"{exercise} {rule.id} from {view}"
    if error is None:
        return f"{where}: nobody measured the error of the {rule.angle} angle, so what the limit can bear is unknown"
    if rule.tolerance_deg < error.deg:
        return (
            f"{where}: the limit lies within the angle error: it grants {rule.tolerance_deg:g}°, the {rule.angle} is "
            f"measured to {error}; {close} of {measured} repetitions are closer to it than that"
        )
    if close:
        return f"{where}: {close} of {measured} repetitions lie within the angle error of the limit, {error}"
    return ""
