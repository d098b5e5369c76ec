"""The labeller's report card: what `repset autolabel` wrote against what the set itself knows (a DVC metric).

Only a set's own annotations (origin `dataset`) are truth; estimates that come with a set are not, and poses that were
labelled from the annotations themselves are not scored against them. Where a set has no truth the entry is null.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from repset.autolabel import agreement
from repset.autolabel.flips import flip_rates
from repset.autolabel.joint_error import Pairs, angle_scores, joint_scores, pair_poses
from repset.autolabel.ruleset import RuleSet, load_rules, packaged
from repset.params import load_source
from repset.project import Project
from repset.records import read_rows, read_table, write_json

POSE_COLUMNS = ["sample_id", "frame", "person", "skeleton", "x_px", "y_px", "state", "origin"]
Rows = list[dict[str, Any]]


def build_scores(project: Project, source: str) -> dict[str, Any]:
    """Score the automatic labels of one source and write its report card.

    Raises: DataError if index or labels are missing or unreadable.
    """
    index, labels = project.index(source), project.labels(source)
    samples = read_rows(index / "samples.parquet", "samples", ["sample_id", "exercise", "fps"])
    exercise = {row["sample_id"]: row["exercise"] or "none" for row in samples}
    scores: dict[str, Any] = {
        "source": source,
        "data": "rendered sample" if load_source(project, source).rendered else "real",
        "samples": len(samples),
    }
    fps = {row["sample_id"]: row["fps"] or 0.0 for row in samples}
    scores |= _poses(index, labels, exercise, fps)
    scores |= _repetitions(index, labels)
    scores["form"] = _form(index, labels)
    write_json(project.labeller_scores(source), scores)
    return scores


# --- joints and angles --------------------------------------------------------------------------------------------


def _poses(index: Path, labels: Path, exercise: Mapping[str, str], fps: Mapping[str, float]) -> dict[str, Any]:
    truth = _own(read_table(index / "poses.parquet", "poses", POSE_COLUMNS), "dataset")
    found = _own(read_table(labels / "poses.parquet", "poses", POSE_COLUMNS), "mediapipe")
    if not len(truth) or not len(found):
        return {"pose": None, "angles": None, "flips": None}
    truth = truth.filter(pa.compute.is_in(truth["sample_id"], found["sample_id"].unique()))
    table = read_table(labels / "angles.parquet", "angles", ["sample_id", "frame", "name", "value_deg"])
    pose: dict[str, Any] = {}
    angles: dict[str, Any] = {}
    flips: dict[str, Any] = {}
    verdicts = read_rows(labels / "form.parquet", "form", ["sample_id", "view", "rule_set"])
    view = {row["sample_id"]: row["view"] or "unknown" for row in verdicts}
    rules = _rules(verdicts)
    for pairs in pair_poses(truth, found):
        scores = joint_scores(pairs)
        if scores is None:
            continue
        per, by_view = _groups(pairs, exercise, "none"), _groups(pairs, view, "unknown")
        annotated = len(pairs.key) + len(pairs.missing)
        pose[pairs.skeleton] = {
            "frames": annotated,
            "detected_share": round(len(pairs.key) / annotated, 4),
            **scores,
            "per_exercise": {name: _overall(joint_scores(pairs, rows)) for name, rows in per.items()},
            "per_view": {name: _overall(joint_scores(pairs, rows)) for name, rows in by_view.items()},
        }
        angles[pairs.skeleton] = {
            "overall": angle_scores(pairs, table),
            "per_exercise": {name: angle_scores(pairs, table, rows) for name, rows in per.items()},
            "per_view": {name: angle_scores(pairs, table, rows) for name, rows in by_view.items()},
        }
        if rules is not None and (rates := flip_rates(pairs, exercise, fps, rules)) is not None:
            flips[pairs.skeleton] = rates
    return {"pose": pose or None, "angles": angles or None, "flips": flips or None}


def _rules(verdicts: Rows) -> RuleSet | None:
    """The packaged rule set that the labels were judged by, if it judges repetitions."""
    names = {row["rule_set"] for row in verdicts} & set(packaged())
    rules = load_rules(names.pop()) if len(names) == 1 else None
    return rules if rules is not None and rules.kind == "repetition" else None


def _own(table: pa.Table, origin: str) -> pa.Table:
    """Rows of person 0 with this origin."""
    mine = pa.compute.and_(pa.compute.equal(table["origin"], origin), pa.compute.equal(table["person"], 0))
    return table.filter(mine)


def _groups(pairs: Pairs, group: Mapping[str, str], otherwise: str) -> dict[str, Any]:
    names = np.array([group.get(sample, otherwise) for sample in pairs.samples])[pairs.key]
    return {str(name): names == name for name in np.unique(names)}


def _overall(scores: dict[str, Any] | None) -> dict[str, Any] | None:
    return scores["overall"] if scores else None


# --- repetitions and verdicts -------------------------------------------------------------------------------------


def _repetitions(index: Path, labels: Path) -> dict[str, Any]:
    sets, reps = _truth(index, "sets"), _truth(index, "reps")
    auto_sets, auto_reps = _by_sample(labels, "sets"), _by_sample(labels, "reps")
    pairs: Rows = []
    turns: list[tuple[str, float | None]] = []
    for sample in sorted(set(sets) | set(reps)):
        pairs += agreement.count_pairs(sets[sample], reps[sample], auto_sets[sample], auto_reps[sample])
        turns += agreement.turn_errors(reps[sample], auto_reps[sample])
    counts = _split(pairs, lambda row: str(row["exercise"]), agreement.count_scores)
    by_turn = _split(turns, lambda row: row[0], lambda rows: agreement.turn_scores([row[1] for row in rows]))
    return {"reps": counts, "turns": by_turn}


def _form(index: Path, labels: Path) -> dict[str, Any] | None:
    form, auto = _truth(index, "form"), _by_sample(labels, "form")
    pairs = [pair for sample in sorted(form) for pair in agreement.verdict_pairs(form[sample], auto[sample])]
    scores = _split(pairs, lambda row: str(row["exercise"]), agreement.verdict_scores)
    if scores is None:
        return None
    by_view = _split(pairs, lambda row: str(row["view"]), agreement.verdict_scores)
    by_fault = _split(pairs, lambda row: str(row["fault"] or "none"), agreement.verdict_scores)
    by = {"per_view": by_view, "per_fault": by_fault}
    return (
        scores
        | {"confusion": agreement.confusion(pairs)}
        | {key: cut["per_exercise"] for key, cut in by.items() if cut}
    )


def _split(
    rows: Sequence[Any], key: Callable[[Any], str], score: Callable[[Sequence[Any]], dict[str, Any] | None]
) -> dict[str, Any] | None:
    """A score over all rows and over each group; None where there is no row."""
    if not rows:
        return None
    groups: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return {"overall": score(rows), "per_exercise": {name: score(groups[name]) for name in sorted(groups)}}


def _truth(index: Path, table: str) -> dict[str, Rows]:
    rows: dict[str, Rows] = defaultdict(list)
    for row in read_rows(index / f"{table}.parquet", table):
        if row["origin"] == "dataset":
            rows[row["sample_id"]].append(row)
    return rows


def _by_sample(folder: Path, table: str) -> dict[str, Rows]:
    rows: dict[str, Rows] = defaultdict(list)
    for row in read_rows(folder / f"{table}.parquet", table):
        rows[row["sample_id"]].append(row)
    return rows
