"""Folds that no group straddles: train | calibration | validation | test, with the proof.

A group (subject, video, source photo) falls into a fold by a seeded hash of its own name alone, so that adding a
group moves nobody. A rule with that property cannot also promise that a fold is never empty: whatever looks at the
other groups can be moved by a new one. We keep the property and mend only what would be useless without it: where a
class has two groups or more but none in train or none in test, or the whole source lacks one of its four folds, the
group whose hash lies nearest to the empty fold is moved there. Such moves are listed in the proof; they alone can be
undone when groups are added. Hence no quotas per class: folds are balanced by chance, not by force.

Groups joined by a link that `repset check` found (identical bytes, a near-duplicate, neighbours of one recording) are
one group: it lies where the hash of the alphabetically first of its names says. That is the only other thing that
adding data can move: a new sample that links two groups, or that comes first by name, takes the others along. A chain
of links is one group, since nobody can say where along a slow video the copies end; a set that is one video therefore
has few groups, and the proof says how many.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repset.errors import ConfigError, DataError
from repset.exercises import NONE
from repset.params import SplitParams
from repset.project import Project
from repset.records import (
    atomic_folder,
    read_json,
    read_rows,
    sha256_bytes,
    sha256_file,
    write_json,
    write_table,
)

FOLDS = ("train", "calibration", "validation", "test")
LINKS = ("exact_duplicate", "near_duplicate", "video_neighbours")
"""Codes of findings that make two samples one group."""
SEARCHED = (
    "shared groups; byte-identical images or media; near-duplicates (rescaled, re-encoded, mirrored or trimmed copies "
    "of pictures and pose sequences) and neighbours of one recording, within this source, as repset check finds them"
)
"""What a zero in the proof means, written into it."""

SIDES = {"unseen_test": "test"}
"""Official splits that are one side of a leak."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Split:
    """Rows of table `split`, sorted by sample_id, and the proof as JSON-ready values."""

    rows: list[dict[str, Any]]
    proof: dict[str, Any]


def build_split(project: Project, source: str, params: SplitParams) -> Split:
    """The stage `split`: write split.parquet and proof.json into `datasets/<source>/split`.

    Raises: DataError if the index is missing, holds no sample or was not checked; ConfigError for fractions that do not
        sum to 1.
    """
    index = project.index(source)
    samples = read_rows(index / "samples.parquet", "samples")
    if not samples:
        raise DataError(index / "samples.parquet", "samples to split", "none", f"Run: repset index {source}")
    frames = read_rows(index / "frames.parquet", "frames", ["sample_id", "frame", "variant", "sha256"])
    links = read_links(project, source)
    split = split_source(samples, frames, classes_of(project, source, samples), params.of(source), links)
    with atomic_folder(project.split(source)) as folder:
        write_table(folder / "split.parquet", "split", split.rows)
        write_json(folder / "proof.json", {"source": source, **split.proof})
    return split


def index_digest(project: Project, source: str) -> str:
    """One hash of the index tables that links follow from; `check` notes it, so that stale findings are noticed."""
    names = ("samples.parquet", "frames.parquet", "poses.parquet")
    index = project.index(source)
    return sha256_bytes("\n".join(sha256_file(index / n) for n in names if (index / n).is_file()).encode())


def is_checked(project: Project, source: str) -> bool:
    """Whether `repset check` has seen the index as it is now."""
    path = project.checks(source) / "report.json"
    return path.is_file() and read_json(path).get("index") == index_digest(project, source)


def read_links(project: Project, source: str) -> list[dict[str, Any]]:
    """Findings (code, sample_id, other_id, value) that make two samples of a source one group.

    Raises: DataError if the source was not checked since it was indexed.
    """
    path = project.checks(source) / "findings.parquet"
    if not is_checked(project, source):
        raise DataError(path, "findings on the index as it is now", "none", f"Run: repset check {source}")
    rows = read_rows(path, "findings", ["code", "sample_id", "other_id", "value"])
    return [row for row in rows if row["code"] in LINKS]


def classes_of(project: Project, source: str, samples: Iterable[Row]) -> dict[str, frozenset[str]]:
    """sample_id → what it shows: exercise, exercises of its sets (rest aside), labels of masks, muscles of clips."""
    index, found = project.index(source), defaultdict[str, set[str]](set)
    for row in samples:
        if name := row["exercise"] or row["exercise_native"]:
            found[row["sample_id"]].add(name)
    for row in read_rows(index / "sets.parquet", "sets", ["sample_id", "exercise"]):
        if row["exercise"] and row["exercise"] != NONE:
            found[row["sample_id"]].add(row["exercise"])
    for table in ("masks", "muscles"):
        path = index / f"{table}.parquet"
        if table == "masks" or path.is_file():
            for row in read_rows(path, table, ["sample_id", "label"]):
                found[row["sample_id"]].add(row["label"])
    return {sample_id: frozenset(names) for sample_id, names in found.items()}


def hash_position(seed: int, group: str) -> float:
    """Where a group lies on [0, 1): the first 64 bits of SHA-256 over "seed/group"."""
    digest = hashlib.sha256(f"{seed}/{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


def fold_ranges(params: SplitParams) -> dict[str, tuple[float, float]]:
    """Fold → [low, high) on the hash line. Raises: ConfigError if the fractions do not sum to 1."""
    fractions = [getattr(params, fold) for fold in FOLDS]
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ConfigError(f"split: expected four fractions ≥ 0 that sum to 1, found {fractions}. Mend the params file.")
    ranges, low = {}, 0.0
    for fold, fraction in zip(FOLDS, fractions, strict=True):
        ranges[fold] = (low, low + fraction)
        low += fraction
    ranges["test"] = (ranges["test"][0], 2.0)  # rounding must not leave a gap below 1
    return ranges


def split_source(
    samples: Sequence[Row],
    frames: Iterable[Row],
    classes: Mapping[str, frozenset[str]],
    params: SplitParams,
    links: Sequence[Row] = (),
) -> Split:
    """Folds of one source.

    Args:
        samples: rows of table samples (sample_id, group, official_split, media_sha256).
        frames: rows with sample_id, frame, variant and sha256, to find identical images across groups.
        classes: sample_id → class names, for strata and for the counts of the proof.
        links: findings whose two samples (sample_id, other_id) must not part, with code and value.
    """
    group_of = {row["sample_id"]: row["group"] or row["sample_id"] for row in samples}
    duplicates = _duplicates(samples, frames, group_of)
    links = sorted(
        (row for row in links if row["sample_id"] in group_of and row["other_id"] in group_of),
        key=lambda row: (row["sample_id"], row["other_id"], row["code"]),
    )
    joined = [(row["sample_id"], row["other_id"]) for row in links]
    united = _unite(group_of, [*([p["sample_id"] for p in d["samples"]] for d in duplicates), *joined])
    members: dict[str, list[str]] = defaultdict(list)
    for sample_id, group in group_of.items():
        members[united[group]].append(sample_id)
    strata = {
        group: _stratum(classes.get(sample_id, frozenset()) for sample_id in ids) for group, ids in members.items()
    }
    folds, moved = _assign(strata, params)
    rows = [
        {
            "sample_id": row["sample_id"],
            "group": united[group_of[row["sample_id"]]],
            "fold": folds[united[group_of[row["sample_id"]]]],
            "official_split": row["official_split"],
        }
        for row in sorted(samples, key=lambda row: str(row["sample_id"]))
    ]
    found = _Found(group_of, united, duplicates, links)
    return Split(rows, _proof(rows, classes, params, moved, found))


def _duplicates(samples: Sequence[Row], frames: Iterable[Row], group_of: Mapping[str, str]) -> list[dict[str, Any]]:
    """Identical images or media in more than one group: hash and where it occurs (one place a sample)."""
    places: dict[str, dict[str, str]] = defaultdict(dict)
    for row in samples:
        if row["media_sha256"]:
            places[row["media_sha256"]][row["sample_id"]] = "media"
    for row in frames:
        if row["sha256"] and row["sample_id"] in group_of:
            what = f"frame {row['frame']}" + (f" {row['variant']}" if row["variant"] else "")
            places[row["sha256"]].setdefault(row["sample_id"], what)
    return [
        {"sha256": sha256, "samples": [{"sample_id": s, "where": found[s]} for s in sorted(found)]}
        for sha256, found in sorted(places.items())
        if len({group_of[sample_id] for sample_id in found}) > 1
    ]


def _unite(group_of: Mapping[str, str], together: Iterable[Sequence[str]]) -> dict[str, str]:
    """Group → name of its united group: the alphabetically first of those connected by samples that stay together."""
    parent = {group: group for group in group_of.values()}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = group = parent[parent[group]]
        return group

    for samples in together:
        roots = sorted({root(group_of[sample_id]) for sample_id in samples})
        for other in roots[1:]:
            parent[other] = roots[0]
    return {group: root(group) for group in parent}


def _stratum(classes: Iterable[frozenset[str]]) -> str:
    """A group's class, `several` or `none`."""
    names = sorted(frozenset().union(*classes))
    return names[0] if len(names) == 1 else "several" if names else "none"


def _assign(strata: Mapping[str, str], params: SplitParams) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Group → fold, and the groups moved to fill an empty fold."""
    ranges = fold_ranges(params)
    position = {group: hash_position(params.seed, group) for group in strata}
    folds = {
        group: next(fold for fold, (low, high) in ranges.items() if low <= where < high)
        for group, where in sorted(position.items())
    }
    moved: dict[str, dict[str, str]] = {}

    def is_last(group: str) -> bool:
        """Whether its class would be left without a group in train or in test."""
        alike = [other for other in folds if strata[other] == strata[group]]
        return folds[group] in ("train", "test") and sum(folds[other] == folds[group] for other in alike) == 1 < len(
            alike
        )

    def mend(groups: list[str], fold: str, why: str, spare: int) -> None:
        """Move one of `groups` to `fold` if none is there; a fold outside train and test keeps `spare` of them."""
        counts = Counter(folds[group] for group in groups)
        if counts[fold] or not getattr(params, fold):
            return
        donors = [name for name in FOLDS if counts[name] > (1 if name in ("train", "test") else spare)]
        donor = max(donors, key=lambda name: counts[name], default=None)  # the first of equals
        low, high = ranges[fold]
        free = [group for group in groups if folds[group] == donor and not is_last(group)]
        if not free:
            return
        nearest = min(free, key=lambda group: (max(low - position[group], position[group] - high), group))
        origin = moved.get(nearest, {}).get("from", folds[nearest])
        moved[nearest] = {"group": nearest, "from": origin, "to": fold, "why": f"{why} had no group in {fold}"}
        folds[nearest] = fold

    for stratum in sorted(set(strata.values())):
        for fold in ("train", "test"):
            mend([group for group in folds if strata[group] == stratum], fold, f"class {stratum}", spare=0)
    for fold in ("train", "test", "validation", "calibration"):
        mend(list(folds), fold, "the source", spare=1)
    return folds, [moved[group] for group in sorted(moved)]


@dataclass(frozen=True)
class _Found:
    """What joins samples: sample_id → group, group → united group, identical images across groups, links."""

    group_of: Mapping[str, str]
    united: Mapping[str, str]
    duplicates: Sequence[Row]
    links: Sequence[Row]

    @property
    def linked(self) -> list[Row]:
        """Links between different groups."""
        return [row for row in self.links if self.group_of[row["sample_id"]] != self.group_of[row["other_id"]]]


def _proof(
    rows: Sequence[Row],
    classes: Mapping[str, frozenset[str]],
    params: SplitParams,
    moved: list[dict[str, str]],
    found: _Found,
) -> dict[str, Any]:
    fold_of = {row["sample_id"]: row["fold"] for row in rows}
    groups: dict[str, set[str]] = {fold: set() for fold in FOLDS}
    for row in rows:
        groups[row["fold"]].add(row["group"])
    shared = sum(len(groups[a] & groups[b]) for i, a in enumerate(FOLDS) for b in FOLDS[i + 1 :])
    leaks = sum(len({fold_of[place["sample_id"]] for place in d["samples"]}) > 1 for d in found.duplicates)
    parted = sum(fold_of[row["sample_id"]] != fold_of[row["other_id"]] for row in found.links)
    assert shared == 0, "a group lies in two folds"
    assert leaks == 0, "identical images lie in two folds"
    assert parted == 0, "near-duplicates lie in two folds"
    named: dict[str, list[str]] = defaultdict(list)
    for group, name in found.united.items():
        named[name].append(group)
    folds = {}
    for fold in FOLDS:
        ids = [row["sample_id"] for row in rows if row["fold"] == fold]
        counts = Counter(label for sample_id in ids for label in classes.get(sample_id, ()))
        folds[fold] = {"groups": len(groups[fold]), "samples": len(ids), "classes": dict(sorted(counts.items()))}
    return {
        "searched_for": SEARCHED,
        "seed": params.seed,
        "fractions": {fold: getattr(params, fold) for fold in FOLDS},
        "samples": len(rows),
        "groups": len({row["group"] for row in rows}),
        "folds": folds,
        "groups_shared_between_folds": shared,
        "identical_images_shared_between_folds": leaks,
        "near_duplicates_shared_between_folds": parted,
        "near_duplicates_across_groups": dict(sorted(Counter(row["code"] for row in found.linked).items())),
        "groups_united": [sorted(names) for _, names in sorted(named.items()) if len(names) > 1],
        "identical_images_across_groups": list(found.duplicates),
        "groups_moved_to_fill_a_fold": moved,
        "official_split": _official(rows, found),
    }


def _official(rows: Sequence[Row], found: _Found) -> dict[str, Any] | None:
    """What leaks in the set's own split: groups, identical images and near-duplicates on more than one side."""
    side: dict[str, str] = {}
    for row in rows:
        if row["official_split"] is not None:
            name = str(row["official_split"])
            side[row["sample_id"]] = SIDES.get(name, name)
    if not side:
        return None
    sides: dict[str, set[str]] = defaultdict(set)
    for sample_id, name in side.items():
        sides[found.group_of[sample_id]].add(name)
    straddling = {group for group, names in sides.items() if len(names) > 1}
    images = []
    for duplicate in found.duplicates:
        places = [place["sample_id"] for place in duplicate["samples"] if place["sample_id"] in side]
        if len({side[sample_id] for sample_id in places}) > 1:
            images.append({"sha256": duplicate["sha256"], "samples": {s: side[s] for s in sorted(places)}})
    near = [
        {"found": row["code"], "value": row["value"],
         "samples": {name: side[name] for name in (row["sample_id"], row["other_id"])}}
        for row in found.links
        if row["code"] != "exact_duplicate"
        and {row["sample_id"], row["other_id"]} <= set(side)
        and side[row["sample_id"]] != side[row["other_id"]]
    ]  # fmt: skip
    leaking = {s for s in side if found.group_of[s] in straddling}
    leaking |= {s for entry in [*images, *near] for s in entry["samples"]}
    return {
        "samples": dict(sorted(Counter(side.values()).items())),
        "groups_shared": sorted(straddling),
        "identical_images_shared": images,
        "near_duplicates_shared": near,
        "samples_leaking": sorted(leaking),
    }
