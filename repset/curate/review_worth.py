"""What review is worth, from the ledger alone: what people did to proposals, how long they took, what they let through.

- Outcomes: accepted, edited, rejected, for every version of a model and class, with Wilson's 95 % interval.
- Time: Label Studio tasks that showed labels against those that went out blank on purpose (chosen by hash of the sample
  id, so by chance). Compared within a reviewer and source, since people and sets differ more than the kinds of task.
  Long times are cut to Tukey's upper fence of the logarithms (third quartile + 1.5 quartile distances): a page
  left open is not work.
- Probes: labels that were wrong on purpose, and how many were accepted all the same.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from repset.curate.decision import VERDICTS, Decision
from repset.curate.merge import undone_ids
from repset.curate.targets import SAME_INTERVAL_IOU, interval_iou, interval_of, key_of
from repset.exercises import NAMES, NONE
from repset.records import canonical_json, sha256_bytes

JUDGED = ("accept", "edit", "reject")
FENCE = 1.5  # Tukey 1977
SHORTEST_S = 0.1  # of a task: what is shorter has no logarithm to speak of
_FEWEST = 8  # times in a cell from which a quartile says something; below, nothing is cut
Z = 1.959964  # 97.5 % quantile of the normal distribution

_WORDS = {
    sha256_bytes(canonical_json(word).encode()): word for word in (*VERDICTS, *NAMES, NONE)
}  # what was shown stands in the ledger as a hash


@dataclass(frozen=True)
class Outcome:
    """What people did to the labels of one version and class.

    Attributes:
        version: origin, with the first 12 digits of its hash.
        name: class of a mask; verdict or exercise as it was shown; skeleton of a pose.
        accepted, edited, rejected: labels; a reviewer's last word on each counts.
    """

    version: str
    task: str
    name: str
    accepted: int
    edited: int
    rejected: int

    @property
    def judged(self) -> int:
        """Labels that somebody judged."""
        return self.accepted + self.edited + self.rejected

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accepted share."""
        return share_interval(self.accepted, self.judged)


@dataclass(frozen=True)
class Timed:
    """One task as one reviewer did it: seconds, and whether it went out blank."""

    reviewer: str
    source: str
    blank: bool
    seconds: float


@dataclass(frozen=True)
class Saving:
    """Seconds a task with labels on screen against blank, within reviewer and source.

    Attributes:
        shown, blank: tasks compared. shown_s, blank_s: mean seconds a task, weighted alike.
        saved_s, low_s, high_s: their difference with its 95 % interval.
        cut: times that were cut to the fence. cells: reviewers and sources that have both kinds.
    """

    shown: int
    blank: int
    shown_s: float
    blank_s: float
    saved_s: float
    low_s: float
    high_s: float
    cut: int
    cells: int


@dataclass(frozen=True)
class Probed:
    """How one reviewer fared with labels of one task that were wrong on purpose.

    Attributes:
        waved: accepted as they were; an edit counts as noticed, whatever was edited.
        owed: of all, those whose true label nobody has judged since.
    """

    reviewer: str
    task: str
    shown: int
    waved: int
    owed: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share waved through."""
        return share_interval(self.waved, self.shown)


def share_interval(part: int, whole: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927); NaN without any trial."""
    if not whole:
        return math.nan, math.nan
    from scipy.stats import binomtest

    found = binomtest(part, whole).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


# --- what people did -------------------------------------------------------------------------------------------------


def outcomes(decisions: Sequence[Decision]) -> list[Outcome]:
    """Per version, task and class; sorted. Probes, undone lines and labels made from nothing are left out."""
    counts: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for one in _last_words(decisions):
        if one.action in JUDGED and one.proposal is not None:
            digest = one.proposal.origin_hash
            version = one.proposal.origin + (f"@{digest[:12]}" if digest else "")
            counts[version, one.task, shown_name(one)][one.action] += 1
    return [Outcome(*key, *(found[action] for action in JUDGED)) for key, found in sorted(counts.items())]


def _last_words(decisions: Sequence[Decision]) -> list[Decision]:
    """Lines that count, without those that the same reviewer replaced by a later one."""
    undone = undone_ids(decisions)
    active = [d for d in decisions if d.id not in undone and d.action != "undo" and not d.probe]
    by_id = {d.id: d for d in active}
    replaced = {d.supersedes for d in active if d.supersedes in by_id and by_id[d.supersedes].reviewer == d.reviewer}
    return [d for d in active if d.id not in replaced]


def shown_name(decision: Decision) -> str:
    """What the label said when it was shown: class, verdict or exercise; of a pose its skeleton."""
    if decision.task == "muscle_mask":
        return str(decision.target["class"])
    if decision.task == "pose":
        return str(decision.value["skeleton"])
    shown = decision.proposal.value_hash if decision.proposal else None
    return _WORDS.get(shown or "", str(decision.value) if decision.action != "edit" else "another")


# --- how long it took ------------------------------------------------------------------------------------------------


def timed_tasks(decisions: Sequence[Decision]) -> list[Timed]:
    """Label Studio tasks with their seconds, told apart by what was on screen.

    Lines of one moment are one answer; an answer that replaced an earlier one belongs to the same task. Tasks with a
    probe are left out, and those that were blank because there was nothing to show.
    """
    found: list[Timed] = []
    for lines in _answers(decisions):
        if any(d.probe for d in lines) or any(d.seconds is None for d in lines):
            continue
        blank, shown = any(d.target.get("blank") for d in lines), any(d.proposal is not None for d in lines)
        if blank or shown:
            source = lines[0].sample_id.split("/", 1)[0]
            found.append(Timed(lines[0].reviewer, source, blank, sum(d.seconds or 0.0 for d in lines)))
    return sorted(found, key=lambda one: (one.reviewer, one.source, one.blank, one.seconds))


def _answers(decisions: Sequence[Decision]) -> Iterable[list[Decision]]:
    """The lines of one reviewer on one task of Label Studio, for each."""
    mine = [d for d in decisions if d.tool == "label_studio" and d.action != "undo"]
    by_id = {d.id: d for d in mine}
    first: dict[tuple[str, str, str, str], tuple[str, str, str, str]] = {}

    def place(d: Decision) -> tuple[str, str, str, str]:
        return d.reviewer, d.sample_id, str(d.target.get("variant") or ""), d.at

    for d in sorted(mine, key=lambda d: (d.time, d.id)):
        earlier = by_id.get(d.supersedes or "")
        same = earlier is not None and not earlier.probe and place(earlier)[:3] == place(d)[:3]
        first.setdefault(place(d), first.get(place(earlier), place(d)) if same and earlier is not None else place(d))
    groups: dict[tuple[str, str, str, str], list[Decision]] = defaultdict(list)
    for d in mine:
        groups[first[place(d)]].append(d)
    return [groups[key] for key in sorted(groups)]


def saving(tasks: Sequence[Timed]) -> Saving | None:
    """Seconds that labels on screen save a task; None where no reviewer has two tasks of each kind on one source.

    The difference of the means in each cell of reviewer and source, weighted by n·m / (n + m) (what a regression with
    a constant for each cell does); the interval is Welch's, with Satterthwaite's degrees of freedom.
    """
    cells: dict[tuple[str, str], dict[bool, list[float]]] = defaultdict(lambda: {False: [], True: []})
    for one in tasks:
        cells[one.reviewer, one.source][one.blank].append(one.seconds)
    pairs, cut = [], 0
    for times in cells.values():
        if min(len(times[False]), len(times[True])) >= 2:
            (shown, blank), longer = winsorised(times[False], times[True])
            pairs.append((shown, blank))
            cut += longer
    if not pairs:
        return None
    sizes = np.array([len(a) * len(b) / (len(a) + len(b)) for a, b in pairs])
    weights = sizes / sizes.sum()
    means = np.array([[a.mean(), b.mean()] for a, b in pairs])
    parts = np.array([[a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)] for a, b in pairs])
    counts = np.array([[len(a), len(b)] for a, b in pairs])
    shown_s, blank_s = (float(value) for value in weights @ means)
    half = _half_width(weights, parts, counts)
    saved = blank_s - shown_s
    n, m = (int(total) for total in counts.sum(axis=0))
    return Saving(n, m, shown_s, blank_s, saved, saved - half, saved + half, cut, len(pairs))


def _half_width(weights: Any, parts: Any, counts: Any) -> float:
    """Of the 95 % interval. weights: (R,); parts: (R, 2) variances of the means; counts: (R, 2)."""
    from scipy.stats import t

    variance = float((weights[:, None] ** 2 * parts).sum())
    if variance == 0.0:
        return 0.0
    freedom = variance**2 / float((weights[:, None] ** 4 * parts**2 / (counts - 1)).sum())
    return float(t.ppf(0.975, freedom)) * math.sqrt(variance)


def winsorised(*arms: Sequence[float]) -> tuple[list[Any], int]:
    """The kinds of task of one cell with times above the fence cut to it, and how many these were.

    The spread is that of both kinds together, each around its own median, so that few tasks have a fence too.
    """
    values = [np.asarray(arm, np.float64) for arm in arms]
    logs = [np.log(np.maximum(arm, SHORTEST_S)) for arm in values]
    middles = [float(np.median(arm)) if len(arm) else 0.0 for arm in logs]
    rest = np.concatenate([arm - middle for arm, middle in zip(logs, middles, strict=True)])
    if len(rest) < _FEWEST:
        return values, 0
    low, high = np.percentile(rest, [25, 75])
    fences = [math.exp(middle + high + FENCE * (high - low)) for middle in middles]
    # exp(log) may fall short of a time by a rounding: that is no cut
    cut = sum(int((arm > fence * (1 + 1e-9)).sum()) for arm, fence in zip(values, fences, strict=True))
    return [np.where(arm > fence * (1 + 1e-9), fence, arm) for arm, fence in zip(values, fences, strict=True)], cut


# --- what they let through -------------------------------------------------------------------------------------------


def probed(decisions: Sequence[Decision]) -> list[Probed]:
    """Per reviewer and task; sorted. Undone lines count too: they were said."""
    probes = [d for d in decisions if d.probe and d.action in JUDGED]
    undone = undone_ids(decisions)
    real = [d for d in decisions if not d.probe and d.action != "undo" and d.id not in undone]
    groups: dict[tuple[str, str], list[Decision]] = defaultdict(list)
    for d in probes:
        groups[d.reviewer, d.task].append(d)
    return [
        Probed(*key, len(mine), sum(d.action == "accept" for d in mine), sum(is_owed(d, real) for d in mine))
        for key, mine in sorted(groups.items())
    ]


def is_owed(probe: Decision, real: Iterable[Decision]) -> bool:
    """Whether nobody has judged the true label of a probe since."""
    key, interval = key_of(probe.sample_id, probe.target), interval_of(probe.target)
    return not any(
        d.task == probe.task
        and d.time > probe.time
        and key_of(d.sample_id, d.target) == key
        and interval_iou(interval_of(d.target), interval) >= SAME_INTERVAL_IOU
        for d in real
    )


def as_json(decisions: Sequence[Decision]) -> Mapping[str, Any]:
    """Everything, JSON-ready."""
    found, saved = outcomes(decisions), saving(timed_tasks(decisions))
    time = {k: round(v, 3) if isinstance(v, float) else v for k, v in (vars(saved) if saved else {}).items()}
    return {
        "outcomes": [{**vars(one), "judged": one.judged, "interval": _rounded(one.interval)} for one in found],
        "time": time or None,
        "probes": [{**vars(one), "interval": _rounded(one.interval)} for one in probed(decisions)],
    }


def _rounded(interval: tuple[float, float]) -> list[float | None]:
    return [round(value, 4) if math.isfinite(value) else None for value in interval]
