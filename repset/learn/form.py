"""Correct, incorrect or unscorable, and which fault: a classifier of repetitions, scored beside the rules.

It learns from verdicts (people's, and a set's own) what a correct repetition of each exercise looks like, and judges by
how far one is from that: two logistic regressions on the distances, one for the verdict and one for the fault. Few
verdicts of an exercise lean on those of all others, since "not far enough at the turn" is one thing everywhere.
It is scored on gold verdicts alone. Verdicts of rules teach it only what cannot be judged.

Axis letters: R repetitions, D numbers, K classes.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from repset.errors import DataError
from repset.exercises import NAMES as EXERCISES
from repset.learn import metrics
from repset.learn.card import Card, data_kind, load_card, load_weights, save_model, table_facts
from repset.learn.form_pose import DIRECTIONAL, NAMES, VERDICTS, Rep, load_reps
from repset.project import Project
from repset.records import atomic_folder, read_rows, write_json

Floats = npt.NDArray[np.float64]

RIDGE = 1.0
"""Penalty on the slopes, beside a mean loss. Of 0.02 to 1 the best, by little, in six parts of all folds but test."""

SHRINK = 3.0
"""A correct repetition's usual look is that of its exercise, once it was seen this often; before, that of all."""

REACH = 5.0
"""Distances are cut off here, in standard deviations."""

_REP = ("sample_id", "set", "rep", "start", "end")

OVERLAP = 0.5
"""A rule's verdict belongs to a repetition that it overlaps this much (intersection over union)."""


@dataclass(frozen=True)
class FormModel:
    """What correct repetitions look like, and two regressions on the distance from it.

    Attributes:
        centre: (E, D) by exercise; scale: (D,); verdicts, faults: class names of the columns of
        verdict (F, K) and fault (F, K'), F numbers of `distances`.
    """

    centre: Floats
    scale: Floats
    verdicts: tuple[str, ...]
    verdict: Floats
    faults: tuple[str, ...]
    fault: Floats

    def judge(self, reps: Sequence[Rep]) -> list[tuple[str, float, str]]:
        """Verdict, its probability, and the likeliest fault ("" unless incorrect) of each repetition."""
        rows = distances(reps, self.centre, self.scale)
        p = _softmax(rows @ self.verdict)
        which = (rows @ self.fault).argmax(axis=1) if self.faults else np.zeros(len(rows), np.intp)
        out = []
        for row, best, fault in zip(p, p.argmax(axis=1), which, strict=True):
            name = self.verdicts[best]
            out.append((name, float(row[best]), self.faults[fault] if name == "incorrect" and self.faults else ""))
        return out


def distances(reps: Sequence[Rep], centre: Floats, scale: Floats) -> Floats:
    """(R, F) rows for the regressions: signed and squared distances, what was not seen, and one.

    Of the counted angle the sign says which way is too little; of the others both ways may be wrong.
    """
    which = [EXERCISES.index(rep.exercise) for rep in reps]
    numbers = np.stack([rep.numbers for rep in reps]).astype(np.float64)
    apart = np.clip((numbers - centre[which]) / scale, -REACH, REACH)
    gone = ~np.isfinite(apart)
    apart = np.where(gone, 0.0, apart)
    directional = [NAMES.index(name) for name in DIRECTIONAL]
    too_far = np.maximum(apart[:, directional] - 1, 0)
    return np.concatenate([apart, apart**2 / REACH, too_far, gone.mean(axis=1, keepdims=True) * REACH,
                           np.ones((len(reps), 1))], axis=1)  # fmt: skip


def fit_form(reps: Sequence[Rep]) -> FormModel:
    """Learn from repetitions. Raises: DataError with fewer than two verdicts among them."""
    found = Counter(rep.verdict for rep in reps)
    if len(found) < 2:
        said = ", ".join(f"{n} {name}" for name, n in found.items()) or "none"
        raise DataError("form", "repetitions of at least two verdicts in the fold train", said, "Review more of them")
    centre, scale = _usual(reps)
    rows = distances(reps, centre, scale)
    verdicts = tuple(name for name in VERDICTS if found[name])
    verdict = _logistic(rows, np.array([verdicts.index(rep.verdict) for rep in reps]), len(verdicts), True)
    wrong = [i for i, rep in enumerate(reps) if rep.fault]
    faults = tuple(sorted({reps[i].fault for i in wrong}))
    fault = np.zeros((rows.shape[1], 0))
    if wrong:
        fault = _logistic(rows[wrong], np.array([faults.index(reps[i].fault) for i in wrong]), len(faults), False)
    return FormModel(centre, scale, verdicts, verdict, faults, fault)


def _usual(reps: Sequence[Rep]) -> tuple[Floats, Floats]:
    """Means of correct repetitions by exercise, leaning on all, and their spread within an exercise."""
    good = [rep for rep in reps if rep.verdict == "correct"] or list(reps)
    numbers = np.stack([rep.numbers for rep in good]).astype(np.float64)
    which = np.array([EXERCISES.index(rep.exercise) for rep in good])
    known = np.isfinite(numbers)
    filled = np.where(known, numbers, 0.0)
    overall = filled.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    centre = np.empty((len(EXERCISES), len(NAMES)))
    for one in range(len(EXERCISES)):
        mine = which == one
        count = known[mine].sum(axis=0)
        centre[one] = (filled[mine].sum(axis=0) + SHRINK * overall * (count < SHRINK)) / np.maximum(
            count + SHRINK * (count < SHRINK), 1
        )
    apart = np.where(known, numbers - centre[which], 0.0)
    return centre, np.sqrt((apart**2).sum(axis=0) / np.maximum(known.sum(axis=0), 1)) + 0.01


def _logistic(rows: Floats, truth: npt.NDArray[np.intp], classes: int, balanced: bool) -> Floats:
    """(F, K) slopes of a multinomial logistic regression. Exact: the loss is convex. `balanced`: all weigh alike."""
    inputs, target = torch.from_numpy(rows), torch.from_numpy(truth)
    slopes = torch.zeros((rows.shape[1], classes), dtype=torch.float64, requires_grad=True)
    counts = np.bincount(truth, minlength=classes)
    weight = torch.from_numpy(1.0 / np.maximum(counts, 1) if balanced else np.ones(classes))
    optimiser = torch.optim.LBFGS([slopes], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(inputs @ slopes, target, weight) + RIDGE * (slopes[:-1] ** 2).sum() / 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return np.asarray(slopes.detach().numpy())


def learnable(reps: Sequence[Rep], fold: str = "train") -> list[Rep]:
    """What may be learned from: verdicts of a fold that a person or a set gave, and what rules could not judge."""
    return [rep for rep in reps if rep.fold == fold and (rep.tier != "auto" or rep.verdict == "unscorable")]


def train_form(project: Project, tables: Mapping[str, Path], out: Path) -> Card:
    """Learn from the fold `train` of the curated tables; writes `weights.safetensors` and `card.json` into `out`.

    Raises: DataError if a table is missing or has fewer than two verdicts to learn from.
    """
    reps, _ = load_reps(project, tables)
    training = learnable(reps)
    model = fit_form(training)
    card = Card(
        model="form",
        architecture={"numbers": list(NAMES), "exercises": list(EXERCISES), "faults": list(model.faults)},
        classes=model.verdicts,
        skeleton=None,
        params={"ridge": RIDGE, "shrink": SHRINK, "reach": REACH},
        seed=0,
        data={
            source: table_facts(path, {"train": sum(rep.source == source for rep in training)})
            for source, path in tables.items()
        },
        data_kind=data_kind(project, list(tables)),
        training={
            "repetitions": len(training),
            "verdicts": {name: sum(rep.verdict == name for rep in training) for name in model.verdicts},
        },
    )
    parts = {name: torch.from_numpy(getattr(model, name)) for name in ("centre", "scale", "verdict", "fault")}
    with atomic_folder(out) as temporary:
        return save_model(temporary, parts, card)


def load_form(folder: Path) -> tuple[Card, FormModel]:
    """Raises: DataError if the folder holds no form model of this version's numbers."""
    card = load_card(folder, "form")
    if card.architecture["numbers"] != list(NAMES) or card.architecture["exercises"] != list(EXERCISES):
        raise DataError(folder, "a model of this version's numbers", "others", "Train it again: repset form train")
    parts = {name: tensor.numpy() for name, tensor in load_weights(folder, card).items()}
    faults = tuple(card.architecture["faults"])
    return card, FormModel(parts["centre"], parts["scale"], card.classes, parts["verdict"], faults, parts["fault"])


def evaluate_form(project: Project, tables: Mapping[str, Path], folder: Path, fold: str = "test") -> dict[str, Any]:
    """Scores on gold repetitions of a fold: the classifier, the rules on the same ones, the rules with the classifier
    for what they cannot judge, and the commonest verdict.

    A rule's verdict is that of `repset autolabel`, the worst of several; a repetition it did not find counts as
    `unscorable`, for nobody judged it.
    Raises: DataError if the fold has no gold verdict with a pose.
    """
    card, model = load_form(folder)
    reps, without = load_reps(project, tables)
    gold = [rep for rep in reps if rep.fold == fold and rep.is_gold]
    if not gold:
        where = ", ".join(str(path) for path in tables.values())
        raise DataError(
            where, f"gold verdicts with poses in the fold {fold}", "none", "Review repetitions of that fold"
        )
    judged = model.judge(gold)
    said = {"classifier": [verdict for verdict, *_ in judged], "rules": rule_verdicts(project, gold)}
    common = Counter(rep.verdict for rep in learnable(reps)).most_common(1)[0][0]
    said["rules_then_classifier"] = [
        ours if rule == "unscorable" else rule for ours, rule in zip(said["classifier"], said["rules"], strict=True)
    ]
    said["commonest"] = [common] * len(gold)
    wrong = [(rep.fault, fault) for rep, (_, _, fault) in zip(gold, judged, strict=True) if rep.fault]
    return {
        "data": card.data_kind, "fold": fold, "n": len(gold), "groups": len({(rep.source, rep.group) for rep in gold}),
        "truth": dict(Counter(rep.verdict for rep in gold)), "without_pose": without,
        **{name: verdict_scores([rep.verdict for rep in gold], answer) for name, answer in said.items()},
        "fault": {
            "n": len(wrong),
            "right": sum(truth == answer for truth, answer in wrong),
            "commonest": max(Counter(truth for truth, _ in wrong).values(), default=0),
        },
        "classifier_above_rules": paired(gold, said["classifier"], said["rules"]),
        "both_above_classifier": paired(gold, said["rules_then_classifier"], said["classifier"]),
    }  # fmt: skip


def verdict_scores(truth: Sequence[str], said: Sequence[str]) -> dict[str, Any]:
    """Accuracy, macro F1 over the verdicts there are, what was left unjudged, faults that were missed or invented."""
    counts = np.zeros((len(VERDICTS), len(VERDICTS)), np.int64)
    for a, b in zip(truth, said, strict=True):
        counts[VERDICTS.index(a), VERDICTS.index(b)] += 1
    judged = [(a, b) for a, b in zip(truth, said, strict=True) if b != "unscorable"]
    present = [one for one, n in zip(metrics.f1(counts), counts.sum(axis=1), strict=True) if n]
    return {
        "accuracy": metrics.accuracy(counts),
        "macro_f1": metrics.mean_present(present),
        "unscorable": sum(b == "unscorable" for b in said),
        "accuracy_where_judged": sum(a == b for a, b in judged) / len(judged) if judged else None,
        "faults_missed": sum(a == "incorrect" and b == "correct" for a, b in judged),
        "faults_invented": sum(a == "correct" and b == "incorrect" for a, b in judged),
        "confusion": counts.tolist(),
    }


def rule_verdicts(project: Project, reps: Sequence[Rep]) -> list[str]:
    """What the rules say of each repetition (see `evaluate_form`)."""
    by_sample: dict[str, list[tuple[int, int, str]]] = {}
    for source in sorted({rep.source for rep in reps}):
        path = project.labels(source) / "form.parquet"
        rows = [row for row in read_rows(path, "form") if row["level"] == "rep"] if path.is_file() else []
        for (sample, _, _, start, end), same in itertools.groupby(rows, itemgetter(*_REP)):
            verdicts = {row["verdict"] for row in same}
            worst = next(name for name in ("incorrect", "unscorable", "correct") if name in verdicts)
            by_sample.setdefault(sample, []).append((start, end, worst))
    return [_overlapping(rep, by_sample.get(rep.sample_id, [])) for rep in reps]


def _overlapping(rep: Rep, found: Sequence[tuple[int, int, str]]) -> str:
    best, said = OVERLAP, "unscorable"
    for start, end, verdict in found:
        both = min(end, rep.frames[1]) - max(start, rep.frames[0])
        share = both / (max(end, rep.frames[1]) - min(start, rep.frames[0]))
        if share >= best:
            best, said = share, verdict
    return said


def paired(reps: Sequence[Rep], ours: Sequence[str], other: Sequence[str], draws: int = 2000) -> dict[str, float]:
    """How much more accurate `ours` is, and the 95 % bootstrap interval over groups (their repetitions go together)."""
    groups = sorted({(rep.source, rep.group) for rep in reps})
    at = np.array([groups.index((rep.source, rep.group)) for rep in reps])
    gain = np.array(
        [(a == rep.verdict) - (b == rep.verdict) for rep, a, b in zip(reps, ours, other, strict=True)], float
    )
    total, size = np.bincount(at, gain), np.bincount(at)
    drawn = np.random.default_rng(7).integers(len(groups), size=(draws, len(groups)))
    found = total[drawn].sum(axis=1) / size[drawn].sum(axis=1)
    low, high = np.quantile(found, [0.025, 0.975])
    return {"accuracy": float(gain.mean()), "low": float(low), "high": float(high)}


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def write_scores(project: Project, scores: dict[str, Any]) -> Path:
    """`models/form/metrics.json`."""
    return write_json(project.model("form") / "metrics.json", scores)
