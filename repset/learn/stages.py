"""The stages bootstrap, train, preannotate and evaluate, the same for every model; outputs are written in one step."""

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from repset.errors import ConfigError, DataError
from repset.learn import Evaluation, Progress, load_model, processes, silent
from repset.learn.card import data_kind
from repset.learn.plots import write_plots
from repset.params import ModelSpec, load_params, load_profile
from repset.project import Project
from repset.records import atomic_folder, read_json, read_table, write_json, write_table

FOLDERS = ("bootstrap", "final")
"""Folders of a model, in the order they are trained and reported."""


def model_spec(project: Project, model: str) -> ModelSpec:
    """The model's row of pipelines/profile.yaml. Raises: ConfigError if the profile in force has none."""
    profile = load_profile(project)
    if model not in profile.models:
        known = ", ".join(profile.models)
        raise ConfigError(f"{model}: no such model in the profile {profile.profile}. Models: {known}.")
    return profile.models[model]


def train_model(project: Project, model: str, stage: str, device: str = "auto", progress: Progress = silent) -> Path:
    """The stages `bootstrap` (from datasets/seed) and `train` (from datasets/curated); returns the folder written.

    Raises: DataError if a table is missing or has nothing to learn from.
    """
    spec = model_spec(project, model)
    table_folder = project.seed if stage == "bootstrap" else project.curated
    tables = {source: table_folder(spec.task, source) / "table.parquet" for source in spec.sources}
    _all_there(tables)
    params = load_params(project)
    group = params.bootstrap if stage == "bootstrap" else params.train
    folder = project.model(model) / ("bootstrap" if stage == "bootstrap" else "final")
    if processes.rank() > 0:  # of several processes the first one writes
        with tempfile.TemporaryDirectory(prefix="repset-") as scratch:
            load_model(model).fit(project, tables, group, Path(scratch), device, silent)
        return folder
    with atomic_folder(folder) as temporary:
        load_model(model).fit(project, tables, group, temporary, device, progress)
    return folder


def preannotate(
    project: Project, task: str, source: str, device: str = "auto", progress: Progress = silent
) -> tuple[Path, int]:
    """The stage `preannotate`: the bootstrap model's proposals; returns the table and its number of rows.

    Raises: ConfigError if the profile pairs no model with this task and source.
    """
    profile = load_profile(project)
    pair = next((p for p in profile.pairs.values() if (p.task, p.source) == (task, source)), None)
    if pair is None:
        known = ", ".join(f"{p.task} {p.source}" for p in profile.pairs.values())
        raise ConfigError(f"{task} {source}: no such pair in the profile {profile.profile}. Pairs: {known}.")
    folder = project.model(pair.model) / "bootstrap"
    rows = load_model(pair.model).propose(project, folder, task, source, device, progress)
    out = project.proposals(task, source)
    with atomic_folder(out) as temporary:
        write_table(temporary / "table.parquet", "proposals", rows)
    return out / "table.parquet", len(rows)


def evaluate_model(project: Project, model: str, device: str = "auto", progress: Progress = silent) -> dict[str, Any]:
    """The stage `evaluate`: models/<model>/metrics.json (also returned) and models/<model>/plots.

    Both trainings are scored on the same rows: the gold tier of the fold `test` of the curated tables. A model that
    was trained on the sets' own splits is scored on their test as well without the samples that leak
    (`without_leaks`: how many were left out, and the same scores; null where nothing leaks).
    """
    spec = model_spec(project, model)
    tables = {source: project.curated(spec.task, source) / "table.parquet" for source in spec.sources}
    _all_there(tables)
    home, module = project.model(model), load_model(model)
    evaluations = {name: module.evaluate(project, tables, home / name, "test", device, progress) for name in FOLDERS}
    data = data_kind(project, spec.sources)
    clean = {
        name: _without_leaks(project, model, tables, home / name, evaluation, device, progress)
        for name, evaluation in evaluations.items()
    }
    result = {
        "model": model,
        "data": data,
        "sources": list(spec.sources),
        "fold": "test",
        **{name: {**evaluation.metrics, **clean[name]} for name, evaluation in evaluations.items()},
    }
    with atomic_folder(home / "plots") as temporary:
        write_plots(temporary, evaluations, {name: home / name / "history" for name in FOLDERS}, data)
    write_json(home / "metrics.json", result)
    return result


def _without_leaks(
    project: Project,
    model: str,
    tables: dict[str, Path],
    folder: Path,
    whole: Evaluation,
    device: str,
    progress: Progress,
) -> dict[str, Any]:
    """The scores once more on the tables without the leaking samples; nothing for a model on our own split.

    Our own folds share no near-duplicate (`repset split` asserts it); only an official test can be too easy.
    """
    if whole.metrics.get("split") != "official":
        return {}
    leaking = {source: _leaking_tests(path) for source, path in tables.items()}
    count = sum(len(names) for names in leaking.values())
    if not count:
        return {"without_leaks": None}
    with tempfile.TemporaryDirectory(prefix="repset-") as scratch:
        cut: dict[str, Path] = {}
        for source, path in tables.items():
            rows = read_table(path, "curated")
            kept = rows.filter(pc.invert(pc.is_in(rows["sample_id"], value_set=pa.array(leaking[source], pa.string()))))
            cut[source] = write_table(Path(scratch) / source / "table.parquet", "curated", kept)
        try:
            scores = load_model(model).evaluate(project, cut, folder, "test", device, progress).metrics
        except DataError:  # every test sample leaks: there is nothing left to score
            return {"without_leaks": {"samples_left_out": count, "n": 0}}
    return {"without_leaks": {"samples_left_out": count, **scores}}


def _leaking_tests(table: Path) -> list[str]:
    """Samples of the official test that leak, by the report beside a curated table."""
    leaks = set(read_json(table.with_name("report.json")).get("official_leaks", ()))
    rows = read_table(table, "curated", ["sample_id", "official_split"]).to_pylist()
    return sorted({r["sample_id"] for r in rows if r["sample_id"] in leaks and r["official_split"] == "test"})


def _all_there(tables: dict[str, Path]) -> None:
    for path in tables.values():
        if not path.is_file():
            raise DataError(
                path, "the table curated", "no file", "Run the stage that writes it, for example: dvc repro"
            )
