"""`repset form`."""

from pathlib import Path
from typing import Any

import click

from repset.cli.progress import meter
from repset.project import Project, find_project


@click.group("form")
def command() -> None:
    """A classifier of repetitions (correct, incorrect, unscorable; which fault) that learns from verdicts.

    It reads the tables of `repset curate form SOURCE`.

    \b
    Example:
        repset form evaluate sample_penn_action sample_mmfit
    """


def _tables(project: Project, sources: tuple[str, ...]) -> dict[str, Path]:
    return {source: project.curated("form", source) / "table.parquet" for source in sources}


@command.command("train")
@click.argument("sources", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), help="Model folder; default: models/form/final.")
def train_command(sources: tuple[str, ...], out: Path | None) -> None:
    """Learn from the verdicts of the fold train of the SOURCES: people's and the set's own. Takes seconds.

    \b
    Example:
        repset form train sample_penn_action sample_mmfit
    """
    from repset.learn.form import train_form

    project = find_project()
    out = out or project.model("form") / "final"
    card = train_form(project, _tables(project, sources), out)
    said = ", ".join(f"{count} {verdict}" for verdict, count in card.training["verdicts"].items())
    click.echo(f"{card.training['repetitions']} repetitions ({card.data_kind}): {said}")
    click.echo(f"written: {out}")


@command.command("evaluate")
@click.argument("sources", nargs=-1, required=True)
@click.option("--model", type=click.Path(path_type=Path), help="Model folder; default: models/form/final.")
@click.option("--ancestor", is_flag=True, help="Also train a small network of single pictures, as the ancestor did.")
def evaluate_command(sources: tuple[str, ...], model: Path | None, ancestor: bool) -> None:
    """Score the classifier beside the rules on gold verdicts of the fold test: models/form/metrics.json.

    A repetition that the rules did not find, or could not judge, counts as unscorable and so as wrong; what they say
    where they judge stands in a column of its own. With --ancestor (a minute) the network of pictures is scored on a
    random split of frames, as published, and on whole groups.

    \b
    Example:
        repset form evaluate sample_penn_action sample_mmfit
    """
    from rich.console import Console

    from repset.learn.form import evaluate_form, write_scores

    project = find_project()
    tables = _tables(project, sources)
    scores = evaluate_form(project, tables, model or project.model("form") / "final")
    scores = {"model": "form", "sources": list(sources), **scores}
    if ancestor:
        from repset.learn.form_image import compare_splits

        with meter() as progress:
            scores["ancestor"] = compare_splits(project, tables, progress=progress)
    for table in _shown(scores):
        Console().print(table)
    click.echo(f"written: {write_scores(project, scores)}")


def _shown(scores: dict[str, Any]) -> list[Any]:
    from rich.table import Table

    truth = ", ".join(f"{n} {name}" for name, n in scores["truth"].items())
    title = f"{scores['n']} gold repetitions of {scores['groups']} groups ({scores['data']}): {truth}"
    table = Table("", "accuracy", "macro F1", "unscorable", "accuracy where judged", "missed", "invented", title=title)
    for name in ("classifier", "rules", "rules_then_classifier", "commonest"):
        one = scores[name]
        judged = "–" if one["accuracy_where_judged"] is None else f"{one['accuracy_where_judged']:.3f}"
        counts = str(one["unscorable"]), judged, str(one["faults_missed"]), str(one["faults_invented"])
        table.add_row(name.replace("_", " "), f"{one['accuracy']:.3f}", f"{one['macro_f1']:.3f}", *counts)
    gain, fault = scores["classifier_above_rules"], scores["fault"]
    table.caption = (
        f"classifier above rules {gain['accuracy']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f}, drawn by group); "
        f"fault named right: {fault['right']} of {fault['n']} (always the commonest: {fault['commonest']})"
    )
    if "ancestor" not in scores:
        return [table]
    other = Table("network of pictures", "frames", "accuracy", "commonest", "repetitions", "accuracy")
    for name, title in (("naive", "random frames, as published"), ("honest", "whole groups")):
        arm = scores["ancestor"][name]
        other.add_row(title, str(arm["frames"]["n"]), f"{arm['frames']['accuracy']:.3f}",
                      f"{arm['frames']['commonest']:.3f}", str(arm["repetitions"]["n"]),
                      f"{arm['repetitions']['accuracy']:.3f}")  # fmt: skip
    return [table, other]
