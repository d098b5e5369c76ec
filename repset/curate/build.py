"""The stages `seed` and `curate`: gather, merge, join the split, write table.parquet and report.json.

Both are pure functions of index, split, (for curate) labels, proposals and accepted, and the ledger.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repset.curate.decision import Decision
from repset.curate.gather import Gathered, gather, require_labels
from repset.curate.ledger import Ledger
from repset.curate.merge import MergeReport, merge
from repset.curate.slots import TIERS, Row
from repset.curate.splits import FOLDS
from repset.curate.targets import as_dict, interval_of, key_of, overlap_s
from repset.errors import DataError
from repset.project import Project
from repset.records import atomic_folder, canonical_json, read_json, read_rows, write_json, write_table

MISSING = "missing"
"""What the automatic side says in the agreement table where it has no label."""


@dataclass(frozen=True)
class Built:
    """Where a table was written, and its report."""

    path: Path
    report: dict[str, Any]


def build_curated(project: Project, task: str, source: str) -> Built:
    """`datasets/curated/<task>/<source>`: every origin and the whole ledger."""
    return _build(project, task, source, project.curated(task, source), Ledger(project.reviews).read(), True)


def build_seed(project: Project, task: str, source: str, ledger_until: str | None) -> Built:
    """`datasets/seed/<task>/<source>`: dataset labels and the ledger up to a closed round (None: no ledger)."""
    decisions = [] if ledger_until is None else Ledger(project.reviews).read(ledger_until)
    return _build(project, task, source, project.seed(task, source), decisions, False)


def _build(
    project: Project, task: str, source: str, folder: Path, decisions: Sequence[Decision], automatic: bool
) -> Built:
    gathered = gather(project, task, source, automatic)
    mine, ledger = _mine(decisions, gathered, task, source)
    rows, merged = merge(gathered.rows, mine, task)
    require_labels(gathered, rows, task, source)
    folds = {row["sample_id"]: row for row in read_rows(project.split(source) / "split.parquet", "split")}
    curated = [_with_context(row, gathered.samples[row["sample_id"]], folds, project, source) for row in rows]
    report = {
        "task": task,
        "source": source,
        **_counts(curated),
        "agreement": agreement(gathered.rows),
        "decisions": {**ledger, **_decisions(mine, merged)},
        "left_out": dict(sorted((gathered.left_out + merged.left_out).items())),
        "notes": gathered.notes,
        "official_leaks": official_leaks(project, source),
    }
    with atomic_folder(folder) as temporary:
        write_table(temporary / "table.parquet", "curated", curated)
        write_json(temporary / "report.json", report)
    return Built(folder / "table.parquet", report)


def official_leaks(project: Project, source: str) -> list[str]:
    """Samples that the set's own split has on both sides of a leak (`repset split`), for scores without them."""
    path = project.split(source) / "proof.json"
    official = read_json(path)["official_split"] if path.is_file() else None
    return list(official["samples_leaking"]) if official else []


def _mine(
    decisions: Sequence[Decision], gathered: Gathered, task: str, source: str
) -> tuple[list[Decision], dict[str, Any]]:
    """The decisions on this task and source, and what is odd about their samples."""
    mine = [d for d in decisions if d.task == task and d.sample_id.split("/", 1)[0] == source]
    known = [d for d in mine if d.sample_id in gathered.samples]
    changed = [
        d.id
        for d in known
        if d.media_sha256 is not None and d.media_sha256 != gathered.samples[d.sample_id]["media_sha256"]
    ]
    unknown = sorted({d.sample_id for d in mine} - set(gathered.samples))
    return known, {"read": len(mine), "samples_not_in_the_index": unknown, "media_changed_since": sorted(changed)}


def _with_context(
    row: Row, sample: Mapping[str, Any], folds: Mapping[str, Row], project: Project, source: str
) -> dict[str, Any]:
    """A merged label with group, fold and media, and frames where a person gave only seconds."""
    if row["sample_id"] not in folds:
        where = project.split(source) / "split.parquet"
        raise DataError(where, f"a fold for {row['sample_id']}", "none", f"Run: repset split {source}")
    fold = folds[row["sample_id"]]
    target = as_dict(row["target"])
    if row["task"] != "muscle_mask" and target.get("frames") is None:
        target["frames"] = _frames(interval_of(target), sample)
    return {
        **row,
        "target": canonical_json(target),
        "source": source,
        "group": fold["group"],
        "fold": fold["fold"],
        "official_split": fold["official_split"],
        "media_sha256": sample["media_sha256"],
    }


def _frames(interval: tuple[float, float] | None, sample: Mapping[str, Any]) -> list[int]:
    """Frames [start, end) of an interval: nearest frame, at least one, inside the clip."""
    count = sample["frames"]
    if interval is None:
        return [0, count]
    start = min(max(round(interval[0] * sample["fps"]), 0), count - 1)
    return [start, max(min(round(interval[1] * sample["fps"]), count), start + 1)]


# --- the report ------------------------------------------------------------------------------------------------------


def class_of(row: Mapping[str, Any]) -> str:
    """What a row is counted as: the class of a mask, else the value."""
    if row["task"] == "muscle_mask":
        return str(as_dict(row["target"])["class"])
    return str(row["value"]).strip('"')


def _counts(rows: Sequence[Row]) -> dict[str, Any]:
    by_class: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        by_class[class_of(row)][row["fold"]] += 1
    folds, tiers = Counter(row["fold"] for row in rows), Counter(row["tier"] for row in rows)
    return {
        "rows": len(rows),
        "samples": len({row["sample_id"] for row in rows}),
        "tiers": {tier: tiers[tier] for tier in TIERS if tiers[tier]},
        "origins": dict(sorted(Counter(row["origin"] for row in rows).items())),
        "folds": {fold: folds[fold] for fold in FOLDS},
        "classes": {name: {fold: by_class[name][fold] for fold in FOLDS} for name in sorted(by_class)},
    }


def agreement(rows: Iterable[Row]) -> dict[str, Any]:
    """What automatic labels say where the dataset has a label.

    A dataset label is compared with the automatic label that covers most of it, at least half (a whole clip: with the
    longest); where there is none, the automatic side is `missing`. Samples without any automatic label are not counted.
    Returns: {"confusion": dataset → automatic → number, "equal": n, "compared": n}.
    """
    gold: dict[Any, list[Row]] = defaultdict(list)
    automatic: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        if row["blob"] is None and row["value"] is not None and row["tier"] in ("gold", "auto"):
            side = gold if row["tier"] == "gold" else automatic
            side[key_of(row["sample_id"], as_dict(row["target"]))].append(row)
    confusion: dict[str, Counter[str]] = defaultdict(Counter)
    for key in sorted(set(gold) & set(automatic)):
        for row in gold[key]:
            confusion[class_of(row)][_said(row, automatic[key])] += 1
    return {
        "compared": sum(sum(row.values()) for row in confusion.values()),
        "equal": sum(counts[name] for name, counts in confusion.items()),
        "confusion": {name: dict(sorted(confusion[name].items())) for name in sorted(confusion)},
    }


def _said(gold: Row, automatic: Sequence[Row]) -> str:
    whole = interval_of(as_dict(gold["target"]))
    best, best_s = MISSING, 0.0
    for row in sorted(automatic, key=lambda row: str(row["target"])):
        interval = interval_of(as_dict(row["target"]))
        if whole is None or interval is None:
            shared = float("inf") if interval is None else interval[1] - interval[0]
        else:
            shared = overlap_s(whole, interval)
            shared = shared if 2 * shared >= whole[1] - whole[0] else 0.0
        if shared > best_s:
            best, best_s = class_of(row), shared
    return best


def _decisions(mine: Sequence[Decision], merged: MergeReport) -> dict[str, Any]:
    return {
        "status": dict(sorted(Counter(merged.status.values()).items())),
        "actions": dict(sorted(Counter(d.action for d in mine).items())),
        "stale": merged.stale,
        "conflicts": merged.conflicts,
        "label_gone": merged.unmatched,
    }
