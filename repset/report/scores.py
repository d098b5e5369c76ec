"""The sections on scores: the labeller's report card, models beside their baselines, what makes it repeatable."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from repset import __version__
from repset.charts import confusion_figure, figure_bytes, training_figure
from repset.params import Profile
from repset.project import Project
from repset.records import sha256_file
from repset.report.blocks import (
    Code,
    Figure,
    Gallery,
    Heading,
    More,
    Section,
    Table,
    Text,
    data_uri,
    missing,
    number,
    words,
)
from repset.report.facts import Source, flatten, optional_json
from repset.report.sections import curated_tables

_ROWS_OPEN = 10
"""A longer table is folded away under its name."""

_CLASSES_AT_MOST = 24
"""A confusion matrix of more classes is a table of numbers nobody reads."""


# --- the labeller -------------------------------------------------------------------------------------------------


def labeller(project: Project, sources: Sequence[Source]) -> Section:
    """The auto-labeller's scores against ground truth."""
    lead = "The automatic labels held against what each set knows. A dash: the set has no truth for it."
    section = Section("labeller", "How good the automatic labels are", "Labeller", lead)
    waiting = [s.name for s in sources if not project.labeller_scores(s.name).is_file()]
    section.add(*missing(waiting, "evaluate_labels", "been scored"))
    for source in sources:
        scores = optional_json(project.labeller_scores(source.name))
        if scores is None:
            continue
        without = [words(key) for key, value in scores.items() if value is None]
        parts = {key: value for key, value in scores.items() if isinstance(value, Mapping)}
        tables = [(path, table) for key, value in parts.items() for path, table in score_tables(value, (key,))]
        section.add(Heading(source.name, source.mark))
        section.add(*(table for path, table in tables if not _detailed(path)))
        if details := [table for path, table in tables if _detailed(path)]:
            section.add(More(f"By joint, exercise and view: {source.name}", details))
        if without:
            section.add(Text(f"No truth to compare with: {', '.join(without)}."))
    return section


def _detailed(path: Sequence[str]) -> bool:
    return any(part.startswith("per_") or part == "confusion" for part in path)


def score_tables(scores: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Table]]:
    """Nested dicts of scores as (path, table): inner dicts of plain values become rows, single values a note."""
    plain = {key: value for key, value in scores.items() if not isinstance(value, Mapping | list)}
    inner = {key: value for key, value in scores.items() if isinstance(value, Mapping) and value}
    flat = {
        key: value for key, value in inner.items() if not any(isinstance(v, Mapping | list) for v in value.values())
    }
    caption, note = words(" · ".join(path)), ", ".join(f"{words(key)}: {number(value)}" for key, value in plain.items())
    if flat:
        columns = list(dict.fromkeys(key for value in flat.values() for key in value))
        rows = [[words(key), *(_cell(value.get(column), column) for column in columns)] for key, value in flat.items()]
        yield path, Table(caption, ("", *(words(column) for column in columns)), rows, note)
    elif plain:
        yield path, Table(caption, tuple(words(key) for key in plain), [[number(value) for value in plain.values()]])
    for key, value in inner.items():
        if key not in flat:
            yield from score_tables(value, (*path, str(key)))


def _cell(value: Any, column: str) -> str:
    """A number; degrees always with one decimal, so that a column of them lines up."""
    return f"{value:.1f}" if column.endswith("deg") and isinstance(value, float) else number(value)


# --- the models ---------------------------------------------------------------------------------------------------


def models(project: Project, profile: Profile, sources: Sequence[Source]) -> Section:
    """Bootstrap beside final and the baseline, by class, with confusion matrices and training curves."""
    lead = "On gold test labels. The baseline is the best answer that looks at nothing; a dash: the class is not there."
    section = Section("models", "How good the models are", "Models", lead)
    rendered = {source.name for source in sources if source.spec.rendered}
    for name, spec in profile.models.items():
        metrics = optional_json(project.model(name) / "metrics.json")
        mark = "rendered sample" if set(spec.sources) <= rendered else ""
        section.add(Heading(f"{name} ← {', '.join(spec.sources)}", mark))
        if metrics is None:
            section.add(*missing([name], "evaluate", "been trained and scored"))
            continue
        tables = model_tables(metrics.get("bootstrap") or {}, metrics.get("final") or {}, spec.sources)
        section.add(*(table for table in tables if len(table.rows) <= _ROWS_OPEN))
        section.add(*(More(table.caption, [table]) for table in tables if len(table.rows) > _ROWS_OPEN))
        pictures = list(_plots(project.model(name) / "plots"))
        if pictures:
            section.add(Gallery(pictures, "wide"))
    return section


def model_tables(
    bootstrap: Mapping[str, Any], final: Mapping[str, Any], sources: Sequence[str], path: tuple[str, ...] = ()
) -> list[Table]:
    """Scores of both trainings side by side, the baseline before them, and a table by class (or by source)."""
    out: list[Table] = []
    baseline = final.get("baseline") or bootstrap.get("baseline") or {}
    keys = list(dict.fromkeys([*final, *bootstrap]))
    plain = [key for key in keys if not isinstance(final.get(key, bootstrap.get(key)), Mapping | list)]
    caption = words(" · ".join(path)) or "overall"
    if any(isinstance(final.get(key), float) for key in plain):
        answer = f"Baseline: {baseline['answer']}." if "answer" in baseline else ""
        rows = [[words(key), *(number(part.get(key)) for part in (baseline, bootstrap, final))] for key in plain]
        out.append(Table(caption, ("score", "baseline", "bootstrap", "final"), rows, answer))
    by_class = [key for key in keys if key != "baseline" and _by_class(final.get(key, bootstrap.get(key)))]
    names = list(
        dict.fromkeys(name for key in by_class for name in {**(bootstrap.get(key) or {}), **final.get(key, {})})
    )
    shared = [key for key in by_class if set(final.get(key, {})) == set(names)]
    of = "source" if set(names) <= set(sources) else "class"
    if shared and path[-1:] != ("baseline",):
        parts = (("bootstrap", bootstrap), ("final", final))
        head = (of, *(f"{words(key)}, {who}" if key != "support" else "support" for key in shared
                           for who, _ in (parts if key != "support" else parts[1:])))  # fmt: skip
        rows = [
            [words(name), *(number((part.get(key) or {}).get(name)) for key in shared
                            for _, part in (parts if key != "support" else parts[1:]))]
            for name in names
        ]  # fmt: skip
        out.append(Table(f"{caption}, by {of}", head, rows))
    for key in keys:
        inner = final.get(key, bootstrap.get(key))
        if isinstance(inner, Mapping) and key not in shared and key != "baseline":
            out += model_tables(bootstrap.get(key) or {}, final.get(key) or {}, sources, (*path, str(key)))
    return out


def _by_class(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(v, int | float | None) for v in value.values())


def _plots(folder: Path) -> Iterator[Figure]:
    """What `repset evaluate` put beside metrics.json: confusion matrices and training curves, from their CSV tables."""
    for path in sorted(folder.rglob("*.csv")):
        with path.open(newline="", encoding="utf-8") as handle:
            head, *rows = csv.reader(handle)
        title = words(path.stem)
        if head[:2] == ["truth", "predicted"] and rows:
            classes = list(dict.fromkeys(row[0] for row in rows))
            counts = [[0] * len(classes) for _ in classes]
            for truth, predicted, count in rows:
                counts[classes.index(truth)][classes.index(predicted)] += int(count)
            used = [n for n in range(len(classes)) if any(counts[n]) or any(row[n] for row in counts)]
            if 0 < len(used) <= _CLASSES_AT_MOST:
                yield _confusion(
                    [[counts[i][j] for j in used] for i in used], [classes[n] for n in used], title, head[2]
                )
        elif head[:2] == ["training", "epoch"] and rows:
            series: dict[str, list[float]] = {}
            for training, _, value in rows:
                series.setdefault(training, []).append(float(value))
            yield _training(series, head[2].replace("/", " "))


def _confusion(counts: Sequence[Sequence[int]], classes: Sequence[str], title: str, unit: str) -> Figure:
    right, total = sum(counts[i][i] for i in range(len(classes))), sum(map(sum, counts))
    alt = f"Confusion matrix, {title}: {right:,} of {total:,} {unit} right; rows are the truth, columns the prediction."
    data = figure_bytes(confusion_figure(counts, classes, title=f"{title} ({unit})"), "png", 110)
    return Figure(data_uri(data, "image/png"), alt, f"{right:,} of {total:,} {unit} right", paper=True)


def _training(series: Mapping[str, Sequence[float]], title: str) -> Figure:
    last = "; ".join(f"{name} ends at {values[-1]:.3g}" for name, values in series.items())
    data = figure_bytes(training_figure(series, title=title, xlabel="epoch"), "png", 110)
    return Figure(data_uri(data, "image/png"), f"Training curve, {title}: {last}.", last, paper=True)


def headlines(project: Project, profile: Profile) -> list[tuple[str, str, str]]:
    """The first score of each final model, for the top of the page, with its baseline."""
    out = []
    for name in profile.models:
        metrics = optional_json(project.model(name) / "metrics.json") or {}
        leaves = dict(flatten(metrics.get("final") or {}))
        wanted = ("miou", "temporal.clip.accuracy", "accuracy")
        key = next((key for key in wanted if isinstance(leaves.get(key), float)), None)
        if key is not None:
            head, _, last = key.rpartition(".")
            base = leaves.get(f"{head}.baseline.{last}" if head else f"baseline.{last}")
            label = {"miou": "mIoU"}.get(last, words(key.replace(".", " ")))
            out.append((f"{leaves[key]:.2f}", f"{name}: {label}", f"baseline {base:.2f}" if base is not None else ""))
    return out


# --- what makes it repeatable -------------------------------------------------------------------------------------


def reproduce(project: Project, profile: Profile, sources: Sequence[Source]) -> Section:
    """Parameters in force and hashes of every table and weight file."""
    lead = "Same inputs, same bytes: this page too. Compare these with a run of your own."
    section = Section("reproduce", "What makes it repeatable", "Repeatability", lead)
    facts = [["repset", __version__], ["profile", profile.profile], ["parameters", profile.recipe]]
    lock = project.root / "requirements.lock"
    if lock.is_file():
        facts.append(["requirements.lock (SHA-256)", sha256_file(lock)])
    section.add(Table("This run", ("what", "value"), facts))
    labeller = [
        [source.name, *(str(found.get(key, "–")) for key in ("mediapipe", "model_sha256", "rules", "rules_sha256"))]
        for source in sources
        if (found := optional_json(project.labels(source.name) / "report.json"))
    ]
    if labeller:
        head = ("source", "mediapipe", "pose model (SHA-256)", "rules", "rules (SHA-256)")
        section.add(More("The labeller", [Table("The labeller", head, labeller)]))
    raw = [
        [source.name, str(entry.get("name")), number(entry.get("bytes")), str(entry.get("sha256"))]
        for source in sources
        for entry in (optional_json(project.index(source.name) / "report.json") or {}).get("raw", [])
    ]
    if raw:
        section.add(More("Archives", [Table("Archives", ("source", "file", "bytes", "SHA-256"), raw)]))
    files = [
        [path.relative_to(project.root).as_posix(), sha256_file(path)] for path in _outputs(project, profile, sources)
    ]
    if files:
        section.add(More("SHA-256 of every table and model", [Table("Outputs", ("file", "SHA-256"), files)]))
    recipe = project.root / profile.recipe
    if recipe.is_file():
        section.add(More(f"Parameters in force ({profile.recipe})", [Code(recipe.read_text(encoding="utf-8"))]))
    return section


def _outputs(project: Project, profile: Profile, sources: Sequence[Source]) -> Iterator[Path]:
    for name in (source.name for source in sources):
        for folder in (project.index(name), project.split(name), project.labels(name)):
            yield from sorted(folder.glob("*.parquet"))
    for task, source in curated_tables(profile):
        yield from sorted(project.curated(task, source).glob("*.parquet"))
    for name in profile.models:
        yield from sorted(project.model(name).glob("*/weights.safetensors"))
