"""The labels there are before any person's decision, as candidate rows of the merge: one reader per task.

Dataset labels are gold; automatic labels (labels/) are auto; proposals taken over by `repset accept` are accepted;
all other proposals come along as `proposed`, only so that stale accepts can be told. MM-Fit's poses are estimates, but
its set limits and names are the dataset's own word, hence gold.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repset.curate.slots import PROPOSED, Row
from repset.curate.targets import BACKGROUND
from repset.errors import DataError, RepsetError
from repset.project import Project
from repset.records import canonical_json, read_rows

_AUTOMATIC = ("mediapipe", "rule", "model")
_WORST_FIRST = ("incorrect", "unscorable", "correct")


@dataclass(frozen=True)
class Gathered:
    """Candidates of one task and source.

    Attributes:
        samples: sample_id → row of table samples.
        rows: candidate labels, columns repset.curate.slots.LABEL_COLUMNS.
        left_out: reason → number of labels or samples that give no row.
        notes: inputs that were not there, in words.
    """

    samples: dict[str, Row]
    rows: list[Row]
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def gather(project: Project, task: str, source: str, automatic: bool) -> Gathered:
    """Candidate labels of `task` on `source`.

    Args:
        automatic: also automatic labels and proposals (curate); without: the dataset's own only (seed).
    Raises: DataError for a missing table or a label without a frame rate; RepsetError where the source has no labels
        of this task at all.
    """
    index = project.index(source)
    samples = {row["sample_id"]: row for row in read_rows(index / "samples.parquet", "samples")}
    gathered = Gathered(samples, [])
    dataset = _DATASET[task](index, gathered)
    gathered.rows.extend(dataset)
    if automatic:
        labels = project.labels(source)
        if task in _LABELS and not labels.is_dir():
            gathered.notes.append(f"no automatic labels (datasets/{source}/labels is not there)")
        elif task in _LABELS:
            gathered.rows.extend(_LABELS[task](labels, gathered))
        gathered.rows.extend(_proposals(project, task, source, gathered))
    return gathered


def require_labels(gathered: Gathered, rows: Sequence[Row], task: str, source: str) -> None:
    """Raises: RepsetError if a source gives no label of a task."""
    if not rows:
        raise RepsetError(f"{source}: expected {_NEEDS[task]}, found none. Name a source that has labels for {task}.")


def label_row(sample_id: str, task: str, target: Mapping[str, Any], tier: str, origin: str, **more: Any) -> Row:
    """One candidate; `more`: value (plain, becomes JSON), blob, origin_hash."""
    value = more.get("value")
    return {
        "sample_id": sample_id,
        "task": task,
        "target": canonical_json(dict(target)),
        "value": None if value is None else canonical_json(value),
        "blob": more.get("blob"),
        "tier": tier,
        "origin": origin,
        "origin_hash": more.get("origin_hash"),
        "reviewer": None,
        "original_value": None,
        "original_blob": None,
    }


def tier_of(origin: str) -> str:
    """The tier of a label that no person has seen."""
    return "gold" if origin == "dataset" else "auto"


def interval_s(sample: Mapping[str, Any], start: int, end: int) -> list[float]:
    """Frames [start, end) in seconds, to the microsecond. Raises: DataError without a frame rate."""
    fps = sample["fps"]
    if fps is None or not fps > 0:
        raise DataError(
            sample["sample_id"], "a frame rate (its labels are stretches of time)", f"fps {fps}",
            "State fps in the source's file under pipelines/ and run repset index again",
        )  # fmt: skip
    return [round(start / fps, 6), round(end / fps, 6)]


# --- the dataset's own labels, per task ------------------------------------------------------------------------------


def _muscle_masks(index: Path, gathered: Gathered) -> Iterable[Row]:
    """One row per mask, and one background row per stored image, so that images without a muscle are kept."""
    masks = read_rows(index / "masks.parquet", "masks")
    if not masks:
        return
    images = {key: row for key, row in gathered.samples.items() if row["kind"] == "image"}
    columns = ["sample_id", "variant"]
    for row in read_rows(index / "frames.parquet", "frames", columns):
        if row["sample_id"] in images:
            target = {"class": BACKGROUND, "person": 0, "variant": row["variant"] or ""}
            yield label_row(row["sample_id"], "muscle_mask", target, "gold", "dataset")
    for row in masks:
        target = {"class": row["label"], "person": row["person"] or 0, "variant": row["variant"] or ""}
        yield label_row(row["sample_id"], "muscle_mask", target, tier_of(row["origin"]), row["origin"], blob=row["png"])


def _exercises(index: Path, gathered: Gathered) -> Iterable[Row]:
    """Sets where the source has them (rest is `none`), else the clip's own exercise."""
    sets = _by_sample(read_rows(index / "sets.parquet", "sets"))
    for sample_id, sample in gathered.samples.items():
        if sample["kind"] == "image":
            gathered.left_out["image: the task exercise needs a clip"] += 1
        elif sample_id in sets:
            yield from (_set_row(sample, row) for row in sets[sample_id])
        elif word := sample["exercise"] or sample["exercise_native"]:
            target = {"interval_s": None, "frames": [0, sample["frames"]]}
            yield label_row(sample_id, "exercise", target, "gold", "dataset", value=word)
        else:
            gathered.left_out["clip without an exercise"] += 1


def _set_row(sample: Row, row: Row) -> Row:
    target = {"interval_s": interval_s(sample, row["start"], row["end"]), "frames": [row["start"], row["end"]]}
    tier = tier_of(row["origin"])
    return label_row(sample["sample_id"], "exercise", target, tier, row["origin"], value=row["exercise"])


def _forms(folder: Path, gathered: Gathered) -> Iterable[Row]:
    """One verdict a repetition: of several rules the worst, so that one broken rule is not outvoted."""
    reps: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in read_rows(folder / "form.parquet", "form"):
        if row["level"] != "rep":
            gathered.left_out[f"form verdict of a {row['level']}, not of a repetition"] += 1
        elif row["sample_id"] not in gathered.samples:
            gathered.left_out["label of a sample that the index lacks"] += 1
        else:
            reps[
                row["sample_id"], row["person"], row["set"], row["rep"], row["start"], row["end"], row["origin"]
            ].append(row)
    for rows in reps.values():
        row = min(
            rows, key=lambda row: (_WORST_FIRST.index(row["verdict"]), row["rule_set"] or "", row["rule_id"] or "")
        )
        target = {
            "person": row["person"] or 0,
            "interval_s": interval_s(gathered.samples[row["sample_id"]], row["start"], row["end"]),
            "frames": [row["start"], row["end"]],
            "exercise": row["exercise"],
            "rule_id": row["rule_id"],
        }
        more = {"value": row["verdict"], "origin_hash": row["rules_sha256"]}
        yield label_row(row["sample_id"], "form", target, tier_of(row["origin"]), row["origin"], **more)


# --- automatic labels and proposals ----------------------------------------------------------------------------------


def _estimated_sets(labels: Path, gathered: Gathered) -> Iterable[Row]:
    """Stretches whose exercise was estimated; one that was copied from the dataset says nothing new."""
    for row in read_rows(labels / "sets.parquet", "sets"):
        if row["origin"] in _AUTOMATIC and row["sample_id"] in gathered.samples:
            yield _set_row(gathered.samples[row["sample_id"]], row)
        else:
            gathered.left_out["automatic set whose exercise was not estimated"] += 1


def _automatic_forms(labels: Path, gathered: Gathered) -> Iterable[Row]:
    return (row for row in _forms(labels, gathered) if row["tier"] == "auto")


def _proposals(project: Project, task: str, source: str, gathered: Gathered) -> Iterable[Row]:
    """Accepted proposals, and all proposals for comparison with people's accepts."""
    for folder, tier in ((project.accepted(task, source), "accepted"), (project.proposals(task, source), PROPOSED)):
        path = folder / "table.parquet"
        if not path.is_file():
            gathered.notes.append(
                f"no {'accepted ' * (tier == 'accepted')}proposals ({path.relative_to(project.root)})"
            )
            continue
        for row in read_rows(path, "proposals"):
            if row["sample_id"] not in gathered.samples:
                gathered.left_out["proposal for a sample that the index lacks"] += 1
                continue
            columns = {
                name: row[name] for name in ("sample_id", "task", "target", "value", "blob", "origin", "origin_hash")
            }
            nothing = {"reviewer": None, "original_value": None, "original_blob": None}
            yield {**columns, "tier": tier, **nothing}


def _by_sample(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["sample_id"]].append(row)
    return found


_DATASET: dict[str, Callable[[Path, Gathered], Iterable[Row]]] = {
    "muscle_mask": _muscle_masks,
    "exercise": _exercises,
    "form": _forms,
}
_LABELS: dict[str, Callable[[Path, Gathered], Iterable[Row]]] = {"exercise": _estimated_sets, "form": _automatic_forms}
_NEEDS = {
    "muscle_mask": "images with masks, or people's masks",
    "exercise": "clips with an exercise or sets, automatic sets, or people's labels",
    "form": "verdicts of repetitions in index/ or labels/, or people's verdicts",
}
"""Tables of this module: what a task reads from the index, from labels/, and what it needs in words."""
