"""`repset models`."""

import json
from pathlib import Path
from typing import Any

import click

from repset.cli.evaluate import flatten
from repset.errors import DataError
from repset.project import Project, find_project
from repset.records import read_json

FOLDERS = ("bootstrap", "final")

HEADLINES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "segmentation": (("mean IoU", "final.miou", "final.baseline.miou"),),
    "exercise": (("clips named right", "final.temporal.clip.accuracy", "final.baseline.clip.accuracy"),),
    "form": (("verdicts right", "classifier.accuracy", "commonest.accuracy"),),
    "muscles": (("mAP, unseen actions", "loao.unseen.map.ridge", "loao.unseen.map.prior"),),
}
"""Model → what is shown first: words, key of the score in metrics.json, key of the answer that looks at nothing."""


@click.group("models")
def command() -> None:
    """What models there are, and how good each is.

    \b
    Example:
        repset models list
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def list_command(as_json: bool) -> None:
    """Every model of the project: what was trained, on what data, and its first score beside the baseline.

    Scores come from models/MODEL/metrics.json, which git keeps; weights from cards where they are on this machine.

    \b
    Example:
        repset models list
    """
    rows = list_models(find_project())
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "weights here", "scored on", "score", "", "baseline")
    for row in rows:
        weights = ", ".join(f"{name} {sha[:8]}" for name, sha in row["weights"].items()) or "none"
        for first, score in enumerate(row["scores"] or [{"name": "not scored yet", "score": None, "baseline": None}]):
            cells = (row["model"], weights, row["data"] or "–") if not first else ("", "", "")
            table.add_row(*cells, score["name"], _number(score["score"]), _number(score["baseline"]))
    Console().print(table)


def list_models(project: Project) -> list[dict[str, Any]]:
    """One row a folder of models/: `model`, `data`, `weights` (folder → hash), `scores`."""
    rows = []
    for home in sorted(path for path in (project.root / "models").glob("*") if path.is_dir()):
        metrics = read_json(home / "metrics.json") if (home / "metrics.json").is_file() else {}
        flat = flatten(metrics)
        cards = {name: home / name / "card.json" for name in FOLDERS}
        rows.append({
            "model": home.name,
            "data": metrics.get("data"),
            "weights": {name: read_json(path)["weights_sha256"] for name, path in cards.items() if path.is_file()},
            "scores": [
                {"name": name, "score": flat[key], "baseline": flat.get(baseline)}
                for name, key, baseline in HEADLINES.get(home.name, ())
                if key in flat
            ],
        })  # fmt: skip
    return rows


@command.command("compare")
@click.argument("one")
@click.argument("other", required=False)
@click.option("--all", "everything", is_flag=True, help="Also scores that are the same.")
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON.")
def compare_command(one: str, other: str | None, everything: bool, as_json: bool) -> None:
    """Two sets of scores side by side, and the difference.

    ONE and OTHER: a model (segmentation), one training of it (segmentation/bootstrap), or a metrics.json of your own.
    With ONE alone: its bootstrap beside its final training. Scores on other data are not comparable, and it says so.

    \b
    Example:
        repset models compare exercise
    """
    project = find_project()
    left, right = (one, other) if other else (f"{one}/{FOLDERS[0]}", f"{one}/{FOLDERS[1]}")
    found = compare(read_scores(project, left), read_scores(project, right))
    if as_json:
        click.echo(json.dumps({"one": left, "other": right, "scores": found}, indent=2))
        return
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("score", overflow="fold", min_width=24), left, right, "difference")
    for key, (a, b, gain) in found.items():
        if everything or a != b:
            table.add_row(key, _number(a), _number(b), "" if gain is None else f"{gain:+.4f}")
    Console().print(table)
    for key in ("data", "fold"):
        if key in found and found[key][0] != found[key][1]:
            click.echo(
                f"note: {key} differs ({found[key][0]}, {found[key][1]}): these scores are not comparable.", err=True
            )


def read_scores(project: Project, name: str) -> dict[str, Any]:
    """Flat scores of `model`, `model/training` or a metrics.json.

    Raises: DataError if there is no such model, file or training.
    """
    if name.endswith(".json"):
        return flatten(read_json(Path(name)))
    model, _, training = name.partition("/")
    path = project.model(model) / "metrics.json"
    if not path.is_file():
        known = ", ".join(sorted(p.parent.name for p in (project.root / "models").glob("*/metrics.json"))) or "none"
        raise DataError(name, f"a model with scores ({known})", "none of that name", "Run: repset evaluate MODEL")
    metrics = read_json(path)
    if not training:
        return flatten(metrics)
    if not isinstance(metrics.get(training), dict):
        names = ", ".join(key for key in FOLDERS if isinstance(metrics.get(key), dict)) or "none"
        raise DataError(
            path, f"scores of a training ({names})", repr(training), "Name one of these, or the model alone"
        )
    return {"data": metrics.get("data"), "fold": metrics.get("fold")} | flatten(metrics[training])


def compare(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any, float | None]]:
    """Score → both values and the difference, None where either is no number; in the order of the first."""
    found = {}
    for key in (*one, *(key for key in other if key not in one)):
        a, b = one.get(key), other.get(key)
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (a, b))
        if not isinstance(a, list) and not isinstance(b, list):
            found[key] = a, b, round(b - a, 6) if numbers and a is not None and b is not None else None
    return found


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
