"""`repset validate`."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from repset.errors import DataError
from repset.review.validate_picks import CLIPS, FRAMES, Pick


@click.command("validate")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--out", type=click.Path(path_type=Path), help="Labels, answers and report.  [default: DIR-validation]")
@click.option("--exercise", default="auto", show_default=True, help="What is done in every video; auto recognises it.")
@click.option("--rules", default="default", show_default=True, help="Rule set by name, or a YAML file of your own.")
@click.option("--min-visibility", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="A joint seen less clearly is unknown.")  # fmt: skip
@click.option("--frames", type=click.IntRange(1), default=FRAMES, show_default=True, help="Frames to label.")
@click.option("--clips", type=click.IntRange(0), default=CLIPS, show_default=True, help="Clips to count in.")
@click.option("--reviewer", help="Your name in the answers.  [default: your name on this machine]")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="a free one", help="On 127.0.0.1.")
@click.option("--report-only", is_flag=True, help="Do not open the page: report on the answers that are there.")
@click.option("--json", "json_wanted", is_flag=True, help="Print the numbers as JSON.")
def command(folder: Path, out: Path | None, exercise: str, rules: str, min_visibility: float, frames: int, clips: int,
            reviewer: str | None, port: int, report_only: bool, json_wanted: bool) -> None:  # fmt: skip
    """Measure how far the labeller may be trusted on your own camera.

    Labels the videos and images in DIR, picks about 40 frames and 10 clips by view and phase, and opens them on a local
    page for a quarter of an hour: you place joints and count repetitions without seeing what the labeller says. Then it
    prints the angle error per joint and view, the count error, which rules may be trusted, and thresholds that fit this
    camera, and writes them on one page. Answers are kept: run it again to go on, or after an update of the labeller.

    \b
    Example:
        repset validate my_videos
        repset validate my_videos --report-only --json
    """
    from repset.cli.progress import meter
    from repset.review.rep_queue import default_reviewer
    from repset.review.validate_desk import Answers, Desk, DeskServer, prepare
    from repset.review.validate_picks import picks

    if not folder.is_dir():
        raise DataError(folder, "a folder of videos or images", "none", "Check the path")
    place = out or folder.resolve().with_name(f"{folder.resolve().name}-validation")
    answers = Answers(place / "answers.jsonl")
    labels = _label(folder, place / "labels", exercise, rules, min_visibility)
    chosen = picks(labels, frames, clips, answers.picks())
    if not chosen:
        raise DataError(folder, "videos or images in which somebody is seen", "none", "Check what is in it")
    with meter() as report:
        chosen = prepare(folder, place, chosen, report)
    if not report_only:
        desk = Desk(place, chosen, answers, reviewer or default_reviewer())
        server = DeskServer(desk, port)
        wanted = sum(one.kind == "frame" for one in chosen), sum(one.kind == "clip" for one in chosen)
        click.echo(f"{wanted[0]} frames and {wanted[1]} clips wait. Open: {server.url}", err=json_wanted)
        try:
            server.serve_until_finished()
        except KeyboardInterrupt:
            click.echo("stopped; what was labelled is kept", err=True)
        finally:
            server.server_close()
    _report(folder, place, labels, chosen, answers.latest, rules, json_wanted, min_visibility)


def _label(folder: Path, labels: Path, exercise: str, rules: str, min_visibility: float) -> Path:
    """The labeller on the folder; poses that are in its cache are not estimated again."""
    from repset.autolabel.job import label_files
    from repset.cli.autolabel import bar
    from repset.params import AutolabelParams

    params = AutolabelParams(rule_set=rules, model="full", min_visibility=min_visibility)
    with bar() as watch:
        report = label_files([folder], labels, params, exercise=exercise, on_error="skip", watch=watch)
    for row in report.about["errors"]:
        click.echo(f"left out {row['media']}: {row['reason']}", err=True)
    return labels


def _report(folder: Path, place: Path, labels: Path, chosen: list[Pick], latest: dict[str, Any], rules: str,
            json_wanted: bool, min_visibility: float) -> None:  # fmt: skip
    from repset.records import write_json, write_text
    from repset.review.validate_report import as_json, as_text, findings, page
    from repset.review.validate_score import counts, seen_frames

    frames, counted = seen_frames(labels, chosen, latest), counts(chosen, latest)
    if not frames and not counted:
        todo = f"Run: repset validate {folder}"
        raise DataError(place / "answers.jsonl", "answers on these frames and clips", "none", todo)
    asked = sum(one.kind == "frame" for one in chosen), sum(one.kind == "clip" for one in chosen)
    found = findings(frames, counted, _rules(rules, chosen), asked, min_visibility)
    css = files("repset.report").joinpath("page.css").read_text(encoding="utf-8")
    path = write_text(place / "report.html", page(found, folder.resolve().name, place, css))
    write_json(place / "report.json", as_json(found))
    click.echo(json.dumps(as_json(found), indent=2, ensure_ascii=False) if json_wanted else as_text(found))
    click.echo(f"report: {path}", err=json_wanted)


def _rules(name: str, chosen: list[Pick]) -> list[Any]:
    """The rules of the exercises and views that were seen, in plain values."""
    from repset.autolabel.ruleset import load_rules
    from repset.review.validate_score import RuleRow

    rule_set, found = load_rules(name), []
    for exercise, view in sorted({(one.exercise, one.view) for one in chosen if one.kind == "frame"}):
        for rule in rule_set.of(exercise).rules:
            if (limit := rule.limit(view)) is not None:
                found.append(RuleRow(exercise, rule.id, rule.angle, rule.measure, view, rule.tolerance_deg,
                                     limit.low_deg, limit.high_deg))  # fmt: skip
    return found
