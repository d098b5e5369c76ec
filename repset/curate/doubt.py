"""How likely it is that a person's look changes a label: one number and a few words a reason.

The numbers are chances, put together as independent ones. Where a model gives a calibrated score they are its own;
where a rule measured an angle they follow from the measurement error; the rest are the project's own choice and stand
here in one place.
"""

import json
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repset.curate.build import class_of
from repset.curate.decision import Decision
from repset.curate.slots import PROPOSED, Row, Slot
from repset.curate.targets import as_dict, interval_iou, interval_of, key_of, mask_iou, overlap_s
from repset.project import Project
from repset.records import read_rows

ANGLE_ERROR_DEG = 7.0
"""Standard error of an angle measured in the image plane: 1.25 × the mean absolute errors of markerless pose estimation
(hip 4.0°, knee 5.6°, ankle 7.4°; Stenum et al. 2021, PLOS Computational Biology 17:e1008935)."""

OWED, CONTESTED, STALE, UNKNOWN = 1.0, 0.6, 0.6, 0.8
UNSCORABLE, FINDING = 0.4, 0.3
UNSEEN_RULE, PUBLISHED = 0.1, 0.03
"""PUBLISHED: label errors in the test sets of published data average 3.3 % (Northcutt et al. 2021, NeurIPS Datasets and
Benchmarks). The others are the project's own choice."""

_CODES = {
    "empty_mask": "muscle_mask", "unknown_mask_value": "muscle_mask", "side_swap": "form", "limb_jump": "form",
    "label_gap": "exercise",
}  # fmt: skip


@dataclass(frozen=True)
class Doubt:
    """One reason to look: the chance that it is right, and the words for it."""

    chance: float
    words: str


@dataclass(frozen=True)
class Known:
    """What is known of a source beside its labels.

    Attributes:
        scores: (sample, task, target, origin_hash) → score of a proposal.
        verdicts: (sample, person) → rows of table form at repetition level.
        estimates: sample → rows of table sets with an estimated exercise.
        findings: (sample, task) → sentences of `repset check`.
    """

    scores: dict[tuple[str, str, str, str | None], float] = field(default_factory=dict)
    verdicts: dict[tuple[str, int], list[Row]] = field(default_factory=lambda: defaultdict(list))
    estimates: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    findings: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))


class Beside:
    """The slots of one sample and task, of which those near another one are found quickly."""

    def __init__(self, slots: Iterable[Slot]) -> None:
        every = list(slots)
        self._whole = [slot for slot in every if slot.interval is None]
        timed = [(slot.interval, number, slot) for number, slot in enumerate(every) if slot.interval is not None]
        timed.sort(key=lambda one: one[:2])
        self._timed = [slot for _, _, slot in timed]
        self._starts = [interval[0] for interval, _, _ in timed]
        self._longest = max((interval[1] - interval[0] for interval, _, _ in timed), default=0.0)

    def near(self, slot: Slot) -> list[Slot]:
        """Slots that can overlap with this one."""
        if slot.interval is None:
            return [*self._whole, *self._timed]
        first = bisect_left(self._starts, slot.interval[0] - self._longest)
        return [*self._whole, *self._timed[first : bisect_left(self._starts, slot.interval[1])]]


def read_known(project: Project, source: str) -> Known:
    """Scores, measured values and findings; what is not there yet is left empty."""
    known = Known()
    for task in ("muscle_mask", "exercise", "form"):
        path = project.proposals(task, source) / "table.parquet"
        columns = ["sample_id", "target", "origin_hash", "score"]
        for row in read_rows(path, "proposals", columns) if path.is_file() else ():
            if row["score"] is not None:
                known.scores[row["sample_id"], task, row["target"], row["origin_hash"]] = float(row["score"])
    known.verdicts.update(rep_verdicts(project, source))
    path = project.labels(source) / "sets.parquet"
    for row in read_rows(path, "sets") if path.is_file() else ():
        if row["exercise_p"] is not None and not math.isnan(row["exercise_p"]):
            known.estimates[row["sample_id"]].append(row)
    path = project.checks(source) / "findings.parquet"
    for row in read_rows(path, "findings", ["code", "sample_id", "sentence"]) if path.is_file() else ():
        if row["code"] in _CODES and row["sample_id"] is not None:
            known.findings[row["sample_id"], _CODES[row["code"]]].append(str(row["sentence"]).rstrip("."))
    return known


def rep_verdicts(project: Project, source: str) -> dict[tuple[str, int], list[Row]]:
    """(sample, person) → rows of form at repetition level, the dataset's and the rules'."""
    found: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for folder in (project.index(source), project.labels(source)):
        path: Path = folder / "form.parquet"
        if path.is_file():
            for row in read_rows(path, "form", filters=[("level", "==", "rep")]):
                found[row["sample_id"], row["person"] or 0].append(row)
    return found


def margin_deg(row: Mapping[str, Any]) -> float | None:
    """From a verdict's measured value to its nearest limit, degrees; None where nothing was measured."""
    value = row.get("value_deg")
    limits = [limit for limit in (row.get("low_deg"), row.get("high_deg")) if limit is not None]
    if value is None or not math.isfinite(value) or not limits:
        return None
    return float(min(abs(value - limit) for limit in limits))


def chance_beyond(margin: float) -> float:
    """That the true angle lies on the other side of a limit this many degrees away: a normal error's tail."""
    return 0.5 * math.erfc(margin / ANGLE_ERROR_DEG / math.sqrt(2.0))


def doubts_of(
    slot: Slot,
    beside: Beside | Sequence[Slot],
    task: str,
    known: Known,
    contested: set[str],
    probed: Sequence[Decision],
) -> list[Doubt]:
    """Reasons to look at a slot; none where a person has settled it or nothing is to be decided.

    Args:
        beside: every slot of the same sample and task.
        contested: ids of decisions that hold against another reviewer's word.
        probed: decisions of this task on proposals that were wrong on purpose.
    """
    found = []
    if _owed(slot, probed):
        found.append(Doubt(OWED, "was shown wrong on purpose: the true label is still to be seen"))
    if slot.decisions:
        last = slot.decisions[-1]
        if last.id in contested:
            names = sorted({one.reviewer for one in slot.decisions})
            found.append(Doubt(CONTESTED, f"{' and '.join(names)} disagree"))
        if any(one.time > last.time for one in slot.stale):
            found.append(Doubt(STALE, "what was accepted has changed since"))
        return found
    if slot.stale:
        found.append(Doubt(STALE, "what was accepted has changed since"))
    holding = slot.row
    if holding is None:
        found += _unheld(slot, known)
    else:
        found += _uncertain(holding, task, known)
        found += _opposed(slot, holding, beside.near(slot) if isinstance(beside, Beside) else beside, known)
    if found:
        found += [Doubt(FINDING, sentence) for sentence in known.findings.get((slot.key.sample_id, task), ())[:1]]
    return found


def _owed(slot: Slot, probed: Sequence[Decision]) -> bool:
    if slot.decisions:
        return False
    return any(
        key_of(one.sample_id, one.target) == slot.key and interval_iou(interval_of(one.target), slot.interval) >= 0.5
        for one in probed
    )


def _score(row: Row, known: Known) -> float | None:
    return known.scores.get((row["sample_id"], row["task"], row["target"], row["origin_hash"]))


def _unheld(slot: Slot, known: Known) -> list[Doubt]:
    """Nothing holds here: a model proposes, or nobody has said anything."""
    proposed = next((row for row in slot.candidates if row["tier"] == PROPOSED), None)
    if proposed is None:
        return [Doubt(UNKNOWN, "nothing is known of it")] if not slot.candidates else []
    score = _score(proposed, known)
    said = class_of(proposed)
    if slot.note != "only proposed":
        return []
    if score is None:
        return [Doubt(0.5, f"a model proposes {said}, and nothing else is known")]
    # A sure proposal adds a label when it is confirmed; an unsure one teaches the model most.
    return [Doubt(0.5 * max(score, 1.0 - score), f"a model proposes {said} at {score:.2f} where no label is")]


def _uncertain(row: Row, task: str, known: Known) -> list[Doubt]:
    """Of the label that holds, by its own measure."""
    if row["origin"] == "dataset":
        return [Doubt(PUBLISHED, "the dataset's own label, nobody has looked")]
    if task == "form":
        return [_verdict_doubt(row, known)]
    score = _score(row, known)
    if score is None and task == "exercise":
        score = _estimate(row, known)
    if score is not None:
        return [Doubt(1.0 - score, f"the model is {score:.0%} sure of {class_of(row)}")]
    return [Doubt(0.5, f"{row['origin']} says {class_of(row)} without a score")]


def _estimate(row: Row, known: Known) -> float | None:
    frames = as_dict(row["target"]).get("frames")
    for one in known.estimates.get(row["sample_id"], ()):
        if frames == [one["start"], one["end"]]:
            return float(one["exercise_p"])
    return None


def _verdict_doubt(row: Row, known: Known) -> Doubt:
    target, verdict = as_dict(row["target"]), class_of(row)
    if verdict == "unscorable":
        return Doubt(UNSCORABLE, "the rules could not judge it")
    rows = known.verdicts.get((row["sample_id"], int(target.get("person") or 0)), ())
    for one in rows:
        same = [one["start"], one["end"]] == target.get("frames") and one["verdict"] == verdict
        if same and one["rule_id"] == target.get("rule_id") and (margin := margin_deg(one)) is not None:
            return Doubt(chance_beyond(margin), f"{verdict} by {margin:.1f}° from the limit of {one['rule_id']}")
    return Doubt(UNSEEN_RULE, f"every rule calls it {verdict}")


def _opposed(slot: Slot, holding: Row, beside: Iterable[Slot], known: Known) -> list[Doubt]:
    """What else was said of the same thing: another value, another mask."""
    found = []
    rows = [row for other in beside for row in other.candidates if other is slot or _covers(other, slot)]
    for row in rows:
        if row is holding or "unscorable" in (class_of(row), class_of(holding)) or row["origin"] == holding["origin"]:
            continue
        score = _score(row, known)
        if row["blob"] is not None and holding["blob"] is not None:
            iou = mask_iou(row["blob"], holding["blob"])
            words = f"{row['origin']} and {holding['origin']} overlap by {iou:.2f} only"
            found.append(Doubt((1.0 - iou) * (0.5 if score is None else score), words))
        elif row["value"] != holding["value"] and row["blob"] is None:
            sure = "" if score is None else f" at {score:.2f}"
            words = f"{row['origin']} says {json.loads(row['value'])}{sure}, {holding['origin']} {class_of(holding)}"
            found.append(Doubt(0.5 if score is None else score, words))
    best = max(found, key=lambda one: (one.chance, one.words), default=None)
    return [] if best is None or best.chance < 0.05 else [best]


def _covers(other: Slot, slot: Slot) -> bool:
    """Whether another slot speaks of most of the same stretch, though cut in another way."""
    if other.key != slot.key or (other.interval is None and slot.interval is None):
        return False
    if slot.interval is None:
        return True
    if other.interval is None:
        return True
    return 2 * overlap_s(other.interval, slot.interval) >= slot.interval[1] - slot.interval[0]
