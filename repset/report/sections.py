"""The sections on data and labels: what came in, pictures, curves, provenance, splits, what was left out."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from repset.params import Profile
from repset.project import Project
from repset.records import read_rows
from repset.report import pictures
from repset.report.blocks import (
    Bars,
    Cards,
    Gallery,
    Heading,
    Missing,
    More,
    Section,
    Table,
    Text,
    bar,
    missing,
    number,
    words,
)
from repset.report.facts import Source, flatten, optional_json

TIERS: dict[str, str] = {
    "gold": "#E69F00",
    "gold_corrected": "#F0E442",
    "edited": "#CC79A7",
    "accepted": "#56B4E9",
    "auto": "#0072B2",
}
"""Tier → colour (Okabe-Ito), from most to least trusted."""

ORIGINS: dict[str, str] = {
    "dataset": "#009E73",
    "dataset_estimate": "#56B4E9",
    "human": "#E69F00",
    "rule": "#CC79A7",
    "mediapipe": "#0072B2",
    "model": "#D55E00",
}
"""Origin → colour."""

FOLDS: dict[str, str] = {"train": "#0072B2", "calibration": "#CC79A7", "validation": "#56B4E9", "test": "#E69F00"}
"""Fold → colour."""

_TABLES = {
    "masks": "muscle masks",
    "poses": "poses",
    "reps": "repetitions",
    "form": "form verdicts",
    "sets": "sets",
}

_FILMS = 3
_PARTED = ("groups", "identical_images", "near_duplicates")  # what the proof counts between folds


# --- what came in -------------------------------------------------------------------------------------------------


def came_in(sources: Sequence[Source]) -> Section:
    """Per source: counts, kind, classes, groups, official split, and a sheet of samples."""
    section = Section(
        "sources", "What came in", "Sources", "Each source as it was read, before anything was labelled or left out."
    )
    rows = [_source_row(source) for source in sources if source.indexed]
    if rows:
        head = ("source", "material", "kind", "samples", "groups", "images", "official split")
        section.add(Table("Sources", head, rows))
    section.add(*missing([s.name for s in sources if not s.indexed], "index", "been read"))
    for source in sources:
        if not source.indexed:
            continue
        section.add(Heading(source.name, source.mark))
        section.add(*[block for block in (_sheet(source), _classes(source)) if block is not None])
    return section


def _source_row(source: Source) -> list[str]:
    report = optional_json(source.project.index(source.name) / "report.json") or {}
    kinds = Counter(str(row["kind"]) for row in source.samples)
    official = Counter(str(row["official_split"]) for row in source.samples if row["official_split"])
    groups = len({row["group"] for row in source.samples})
    images = int(report.get("counts", {}).get("frames", 0))
    return [
        source.name,
        source.mark or "real",
        ", ".join(sorted(kinds)),
        number(len(source.samples)),
        number(groups),
        number(images),
        ", ".join(f"{name} {count:,}" for name, count in sorted(official.items())) or "none",
    ]


def _sheet(source: Source) -> Gallery | None:
    figures = pictures.thumbnails(source) or pictures.stick_figures(source)
    return Gallery(figures, "thumbs") if figures else None


def _classes(source: Source) -> Table | None:
    """Counts of the set's own words, with the canonical name each was read as."""
    sets = [row for row in source.truth_sets if row["exercise"] and row["exercise"] != "none"]
    if any(row["exercise_native"] for row in source.samples):
        named = Counter((str(r["exercise_native"]), r["exercise"]) for r in source.samples if r["exercise_native"])
        rows = [[native, words(name) if name else "not in the ontology", number(n)] for (native, name), n in sorted(
            named.items(), key=lambda item: item[0][0])]  # fmt: skip
        return Table("Exercises", ("the set's word", "read as", "samples"), rows)
    if sets:
        counts = Counter(str(row["exercise"]) for row in sets)
        reps: Counter[str] = Counter()
        for row in sets:
            reps[str(row["exercise"])] += int(row["reps"] or 0)
        rows = [[words(name), number(n), number(reps[name])] for name, n in sorted(counts.items())]
        return Table("Exercises", ("exercise", "sets", "repetitions given"), rows)
    path = source.project.index(source.name) / "masks.parquet"
    if path.is_file():
        masks = read_rows(path, "masks", ["sample_id", "variant", "label"])
        labels = Counter(str(row["label"]) for row in masks)
        photos = {label: len({r["sample_id"] for r in masks if r["label"] == label}) for label in labels}
        rows = [[label, number(labels[label]), number(photos[label])] for label in sorted(labels)]
        return Table("Muscle classes", ("class", "masks", "source photos"), rows)
    return None


# --- pictures -----------------------------------------------------------------------------------------------------


def seen(sources: Sequence[Source], project: Project, profile: Profile) -> Section:
    """Samples with pose and mask overlays, truth beside automatic, and looping films."""
    lead = "Labels on the pictures they belong to. A hollow joint is doubtful, a joint below the gate is not drawn."
    section = Section("pictures", "Labels on pictures", "Pictures", lead)
    for source in sources:
        if not source.indexed:
            continue
        kinds = {row["kind"] for row in source.samples}
        blocks: list[Any] = []
        if "clip" in kinds:
            blocks += _clip_blocks(source)
        if "image" in kinds:
            figures = [pictures.photo_still(source, *photo, _proposed(project, profile, source, *photo[:2]))
                       for photo in pictures.chosen_photos(source)]  # fmt: skip
            blocks.append(Gallery([figure for figure in figures if figure]))
        if "poses" in kinds and "clip" not in kinds:
            blocks.append(Text("Poses without pictures: the stick figures stand above, the angles below."))
        if blocks:
            section.add(Heading(source.name, source.mark), *blocks)
    if not section.blocks:
        section.add(Missing("No source has been read yet, so there is nothing to look at.", "dvc repro index"))
    return section


def _clip_blocks(source: Source) -> list[Any]:
    blocks: list[Any] = []
    if source.labelled:
        films = [pictures.clip_film(source, row) for row in pictures.chosen_films(source, _FILMS)]
        blocks.append(Gallery([film for film in films if film]))
    else:
        blocks += missing([source.name], "autolabel", "been labelled automatically")
    stills = [pictures.clip_still(source, row) for row in pictures.chosen_clips(source)]
    blocks.append(Gallery([still for still in stills if still], "wide"))
    return [block for block in blocks if not isinstance(block, Gallery) or block.figures]


def _proposed(
    project: Project, profile: Profile, source: Source, row: Mapping[str, Any], variant: str
) -> dict[str, bytes]:
    """Masks the bootstrap model proposed for one photo: label → PNG."""
    found: dict[str, bytes] = {}
    for pair in profile.pairs.values():
        path = project.proposals(pair.task, source.name) / "table.parquet"
        if pair.source != source.name or pair.task != "muscle_mask" or not path.is_file():
            continue
        for proposal in read_rows(path, "proposals", filters=[("sample_id", "=", row["sample_id"])]):
            target = json.loads(proposal["target"])
            if target.get("variant", "") == variant and proposal["blob"] is not None:
                found[str(target["class"])] = proposal["blob"]
    return found


# --- provenance ---------------------------------------------------------------------------------------------------


def curated_tables(profile: Profile) -> list[tuple[str, str]]:
    """(task, source) of every curated table: the pairs that models learn from, and form verdicts."""
    return [(pair.task, pair.source) for pair in profile.pairs.values()] + [("form", name) for name in profile.judged]


def provenance(project: Project, profile: Profile, sources: Sequence[Source]) -> Section:
    """Where labels come from: rows by origin, curated rows by tier."""
    lead = "Every label keeps its origin; a tier says how far training and evaluation trust it. Evaluation is on gold."
    section = Section("provenance", "Where the labels come from", "Provenance", lead)
    bars = []
    for source in sources:
        for table, name in _TABLES.items():
            counts = source.origins(project.index(source.name), table) + source.origins(
                project.labels(source.name), table
            )
            if counts:
                bars.append(bar(f"{source.name}: {name}", _ordered(counts, ORIGINS), ORIGINS))
    if bars:
        section.add(Bars("Labels by origin", bars, list(ORIGINS.items())))
    tiers, folds, agreement, decided, waiting = [], [], [], [], (list[str](), list[str]())
    for task, name in curated_tables(profile):
        report = optional_json(project.curated(task, name) / "report.json")
        label = f"{words(task)}: {name}"
        if report is None:
            waiting[task == "form"].append(name if task == "form" else f"{task}-{name}")
            continue
        tiers.append(bar(label, _ordered(report.get("tiers", {}), TIERS), TIERS))
        folds.append(bar(label, _ordered(report.get("folds", {}), FOLDS), FOLDS))
        agreed = report.get("agreement", {})
        if agreed.get("compared"):
            agreement.append([label, number(agreed["compared"]), number(agreed["equal"]),
                              f"{100 * agreed['equal'] / agreed['compared']:.1f} %"])  # fmt: skip
        decided.append([label, *(number(value) for value in _decision_counts(report.get("decisions", {})))])
    section.add(*missing(waiting[0], "curate", "been merged into one table"))
    section.add(*missing(waiting[1], "curate_form", "had verdicts merged into one table"))
    if tiers:
        section.add(Bars("Curated labels by tier", tiers, list(TIERS.items())))
        section.add(Bars("Curated labels by fold", folds, list(FOLDS.items())))
        head = ("labels", "decisions read", "stale", "conflicts")
        section.add(Table("Human decisions in the ledger", head, decided))
    if agreement:
        head = ("labels", "compared", "equal", "share")
        section.add(Table("Automatic labels against the set's own", head, agreement))
    return section


def _decision_counts(decisions: Mapping[str, Any]) -> tuple[int, int, int]:
    return int(decisions.get("read", 0)), len(decisions.get("stale", ())), len(decisions.get("conflicts", ()))


def _ordered(counts: Mapping[str, int], order: Mapping[str, str]) -> dict[str, int]:
    names = [*order, *sorted(set(counts) - set(order))]
    return {name: counts[name] for name in names if counts.get(name)}


# --- splits -------------------------------------------------------------------------------------------------------


def splits(project: Project, sources: Sequence[Source]) -> Section:
    """The folds of every source and the proof that no group straddles them."""
    lead = "Folds are drawn by group (subject, video, source photo), so that nobody is in two of them."
    section = Section("splits", "Splits and their proof", "Splits", lead)
    rows, leaks, bars = [], [], []
    waiting = [s.name for s in sources if not (project.split(s.name) / "proof.json").is_file()]
    section.add(*missing(waiting, "split", "been split"))
    searched = "shared groups and identical images"
    for source in sources:
        proof = optional_json(project.split(source.name) / "proof.json")
        if proof is None:
            continue
        folds, searched = proof.get("folds", {}), proof.get("searched_for", searched)
        bars.append(bar(source.name, {name: int(fold["samples"]) for name, fold in folds.items()}, FOLDS))
        rows.append([
            source.name, number(proof.get("groups")),
            *(number(folds.get(name, {}).get("groups", 0)) for name in FOLDS),
            *(number(proof.get(f"{what}_shared_between_folds")) for what in _PARTED),
        ])  # fmt: skip
        official = proof.get("official_split")
        if official:
            leaks.append([source.name, ", ".join(f"{side} {n}" for side, n in official["samples"].items()),
                          number(len(official["groups_shared"])), number(len(official["identical_images_shared"])),
                          number(len(official.get("near_duplicates_shared", ()))),
                          number(len(official["samples_leaking"]))])  # fmt: skip
    if rows:
        section.add(Bars("Samples by fold", bars, list(FOLDS.items())))
        head = ("source", "groups", *FOLDS, *(f"{what.replace('_', ' ')} in two folds" for what in _PARTED))
        section.add(Table("Groups by fold", head, rows, f"The last three columns must be 0. Searched for: {searched}."))
    if leaks:
        head = ("source", "sides", "groups on both sides", "identical images", "near-duplicates", "samples concerned")
        note = "An official split stays as it is; scores are given on it and on it without these samples."
        section.add(Table("Leaks of the sets' own splits", head, leaks, note))
    return section


# --- left out -----------------------------------------------------------------------------------------------------


def left_out(project: Project, profile: Profile, sources: Sequence[Source]) -> Section:
    """Everything that was skipped or left out, with its reason and count."""
    section = Section("left-out", "What was left out, and why", "Left out", "Nothing is dropped in silence.")
    places: list[tuple[str, Any]] = []
    for source in sources:
        places.append((f"{source.name}: reading", optional_json(project.index(source.name) / "report.json")))
        places.append((f"{source.name}: automatic labels", optional_json(project.labels(source.name) / "report.json")))
    for task, name in curated_tables(profile):
        report = optional_json(project.curated(task, name) / "report.json")
        places.append((f"{name}: {words(task)}", report))
    rows: list[list[str]] = []
    faults: list[list[str]] = []
    notes: list[list[str]] = []
    for place, report in places:
        if not isinstance(report, dict):
            continue
        unlabelled = {
            f"not labelled: {status}": n for status, n in (report.get("status") or {}).items() if status != "ok"
        }
        for reason, count in flatten({**(report.get("left_out") or {}), **unlabelled}):
            if count:
                rows.append([place, words(reason), number(count)])
        for item in [*(report.get("skipped") or []), *(report.get("errors") or [])]:
            faults.append([place, *(str(value) for value in list(item.values())[:2])])
        notes += [[place, str(note)] for note in report.get("notes") or []]
    if rows:
        section.add(Table("Left out", ("where", "reason", "count"), rows))
    if faults:
        table = Table("Faulty items", ("where", "item", "reason"), faults[:200])
        section.add(More(f"Faulty items that were skipped: {number(len(faults))}", [table]))
    if not rows and not faults:
        read = any(report is not None for _, report in places)
        section.add(
            Text("Nothing was left out and nothing was skipped.") if read
            else Missing("Nothing has been read yet.", "dvc repro")
        )  # fmt: skip
    if notes:
        section.add(Table("Notes of the stages", ("where", "note"), notes))
    return section


# --- the top of the page ------------------------------------------------------------------------------------------


def overview(sources: Sequence[Source], scores: Sequence[tuple[str, str, str]]) -> Cards:
    """The page in a few numbers."""
    read = [source for source in sources if source.indexed]
    total: Callable[[str], int] = lambda table: sum(  # noqa: E731
        sum(s.origins(s.project.index(s.name), table).values())
        + sum(s.origins(s.project.labels(s.name), table).values())
        for s in read
    )
    items = [
        (number(len(read)), "sources read", f"of {len(sources)} switched on"),
        (number(sum(len(source.samples) for source in read)), "samples", "photos, clips, workouts"),
        (number(total("poses")), "poses", "given and automatic"),
        (number(total("masks")), "muscle masks", "given"),
        (number(sum(len(rows) for s in read for rows in s.reps.values())), "repetitions", "counted automatically"),
        *scores,
    ]
    return Cards([item for item in items if item[0] != "0" or item[1] == "sources read"])
