"""What changed between two versions of the curated set, label by label: a pure function of two sets of rows.

Labels are paired as the merge pairs them: masks by sample, class, person and variant, intervals by overlap (IoU ≥ 0.5)
whatever their number. Bytes that differ while every pixel is the same are no change.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from repset.curate.build import class_of
from repset.curate.diff_versions import Name, Version
from repset.curate.slots import Row
from repset.curate.targets import (
    BACKGROUND,
    SAME_INTERVAL_IOU,
    Key,
    as_dict,
    interval_iou,
    interval_of,
    key_of,
    mask_iou,
)
from repset.records import canonical_json

EDITED, FLIPPED, MOVED, ADDED, REMOVED = "mask edited", "value changed", "boundary moved", "added", "removed"
TIER = "tier changed"


@dataclass(frozen=True)
class Change:
    """One label that is not what it was.

    Attributes:
        what: EDITED | FLIPPED | MOVED | ADDED | REMOVED | TIER.
        before, after: class, value or tier; None where there was or is none.
        iou: of a mask or interval with the old one.
        reviewer: who decided what holds now, None where nobody did.
    """

    what: str
    sample_id: str
    target: Mapping[str, Any]
    before: str | None
    after: str | None
    iou: float | None = None
    reviewer: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "what": self.what,
            "sample_id": self.sample_id,
            "target": dict(self.target),
            "before": self.before,
            "after": self.after,
            "iou": None if self.iou is None else round(self.iou, 4),
            "reviewer": self.reviewer,
        }


@dataclass
class TableDiff:
    """One task on one source.

    Attributes:
        labels: number before and after. changes: sorted by kind, sample and target.
    """

    task: str
    source: str
    labels: tuple[int, int]
    changes: list[Change]

    def of(self, what: str) -> list[Change]:
        """The changes of one kind."""
        return [one for one in self.changes if one.what == what]

    def mean_iou(self, what: str) -> float | None:
        """Of the changes of one kind with the labels before; None without any."""
        sizes = [one.iou for one in self.of(what) if one.iou is not None]
        return fmean(sizes) if sizes else None

    def turns(self, what: str) -> Counter[tuple[str, str]]:
        """(before, after) → number."""
        return Counter((str(one.before), str(one.after)) for one in self.of(what))

    @property
    def reviewers(self) -> Counter[str]:
        """Reviewer → labels that changed by their word; one that was moved and renamed is one."""
        labels = {(one.reviewer, one.sample_id, canonical_json(dict(one.target))) for one in self.changes}
        return Counter(reviewer for reviewer, _, _ in labels if reviewer is not None)


@dataclass
class SourceDiff:
    """Samples of one source: which came, which went, which changed sides.

    Attributes:
        moved: (sample, fold before, fold after).
    """

    source: str
    samples: tuple[int, int]
    added: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    moved: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether anything is another way."""
        return bool(self.added or self.dropped or self.moved)


@dataclass
class Diff:
    """Everything between two versions; tables and sources sorted by name."""

    before: str
    after: str
    tables: list[TableDiff]
    sources: list[SourceDiff]

    @property
    def changed(self) -> bool:
        """Whether the two versions differ in any label, sample or fold."""
        return any(table.changes for table in self.tables) or any(source.changed for source in self.sources)


def compare(before: Version, after: Version) -> Diff:
    """The difference of two versions. Raises: DataError if a table cannot be read."""
    tables, samples = [], dict[str, tuple[dict[str, str], dict[str, str]]]()
    for name in sorted({*before.files, *after.files}):
        old_folds, new_folds = samples.setdefault(name[1], ({}, {}))
        if before.files.get(name) == after.files.get(name):  # one place in the cache: the same bytes
            old = new = before.rows(name)
        else:
            old, new = before.rows(name), after.rows(name)
        old_folds |= {row["sample_id"]: row["fold"] for row in old}
        new_folds |= {row["sample_id"]: row["fold"] for row in new}
        tables.append(compare_tables(name, old, new))
    sources = [_samples(source, *folds) for source, folds in sorted(samples.items())]
    return Diff(before.title, after.title, tables, sources)


def _samples(source: str, old: Mapping[str, str], new: Mapping[str, str]) -> SourceDiff:
    both = sorted(set(old) & set(new))
    return SourceDiff(
        source,
        (len(old), len(new)),
        added=sorted(set(new) - set(old)),
        dropped=sorted(set(old) - set(new)),
        moved=[(sample_id, old[sample_id], new[sample_id]) for sample_id in both if old[sample_id] != new[sample_id]],
    )


def compare_tables(name: Name, old: Iterable[Row], new: Iterable[Row]) -> TableDiff:
    """One task on one source."""
    before, after = _by_key(old), _by_key(new)
    changes: list[Change] = []
    for key in {*before, *after}:
        pairs, gone, come = _paired(before.get(key, ()), after.get(key, ()))
        changes += [change for a, b in pairs for change in _between(a, b)]
        changes += [_change(REMOVED, row, class_of(row), None) for row in gone]
        changes += [_change(ADDED, row, None, class_of(row), reviewer=row["reviewer"]) for row in come]
    changes.sort(key=lambda one: (one.what, one.sample_id, str(sorted(one.target.items(), key=str)), str(one.after)))
    counts = (sum(map(len, before.values())), sum(map(len, after.values())))
    return TableDiff(*name, counts, changes)


def _by_key(rows: Iterable[Row]) -> dict[Key, list[Row]]:
    found: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        key = key_of(row["sample_id"], as_dict(row["target"]))
        if key.label != BACKGROUND:
            found[key].append(row)
    return found


def _paired(old: Sequence[Row], new: Sequence[Row]) -> tuple[list[tuple[Row, Row]], list[Row], list[Row]]:
    """Labels of one key: those that overlap most are one and the same; the rest has gone or come."""
    overlaps = [
        (-_overlap(a, b), i, j)
        for i, a in enumerate(old)
        for j, b in enumerate(new)
        if _overlap(a, b) >= SAME_INTERVAL_IOU
    ]
    pairs: list[tuple[int, int]] = []
    for _, i, j in sorted(overlaps):
        if all(i != taken[0] and j != taken[1] for taken in pairs):
            pairs.append((i, j))
    gone = [row for i, row in enumerate(old) if all(i != pair[0] for pair in pairs)]
    come = [row for j, row in enumerate(new) if all(j != pair[1] for pair in pairs)]
    return [(old[i], new[j]) for i, j in pairs], gone, come


def _overlap(a: Row, b: Row) -> float:
    return interval_iou(interval_of(as_dict(a["target"])), interval_of(as_dict(b["target"])))


def _between(a: Row, b: Row) -> Iterable[Change]:
    """What is another way in one label; its tier only where nothing else is."""
    found = []
    if a["blob"] is not None and b["blob"] is not None:
        if (iou := mask_iou(a["blob"], b["blob"])) < 1.0:
            found.append(_change(EDITED, b, class_of(a), class_of(b), iou, b["reviewer"]))
    elif a["value"] != b["value"]:
        found.append(_change(FLIPPED, b, class_of(a), class_of(b), None, b["reviewer"]))
    if (iou := _overlap(a, b)) < 1.0:
        found.append(_change(MOVED, b, class_of(a), class_of(b), iou, b["reviewer"]))
    if not found and a["tier"] != b["tier"]:
        found.append(_change(TIER, b, a["tier"], b["tier"], None, b["reviewer"]))
    return found


def _change(
    what: str, row: Row, before: str | None, after: str | None, iou: float | None = None, reviewer: str | None = None
) -> Change:
    target = {name: value for name, value in as_dict(row["target"]).items() if value not in (None, "")}
    return Change(what, row["sample_id"], target, before, after, iou, reviewer)
