"""`repset rules`."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from repset.autolabel.rule_bench import Bench, Clip, Judged
    from repset.autolabel.ruleset import RuleSet
    from repset.project import Project

_SHOWN = 20  # changes, unless --all


@click.group()
def command() -> None:
    """List, show and check form rules; try your own against the default.

    \b
    Example:
        repset rules show default --exercise squat
        repset rules try my_rules.yaml labels/
    """


@command.command("list")
def list_rules() -> None:
    """The rule sets that come with repset.

    \b
    Example:
        repset rules list
    """
    from repset.autolabel.ruleset import load_rules, packaged

    for name in packaged():
        rules = load_rules(name)
        judged = [exercise for exercise, entry in rules.exercises.items() if entry.rules]
        click.echo(f"{name:10} {rules.kind:10} {rules.sha256[:12]}  {len(judged)} exercises: {', '.join(judged)}")


@command.command("show")
@click.argument("name")
@click.option("--exercise", help="Only this one.")
def show(name: str, exercise: str | None) -> None:
    """Every rule of a set or file: what is measured when, the limit from each view, and where each number comes from.

    \b
    Example:
        repset rules show default --exercise squat
    """
    from repset.autolabel.ruleset import load_rules
    from repset.errors import ConfigError
    from repset.exercises import canonical

    rules = load_rules(name)
    wanted = list(rules.exercises) if exercise is None else [canonical(exercise) or exercise]
    if missing := [one for one in wanted if one not in rules.exercises]:
        raise ConfigError(f"{name}: no rules for {missing[0]}. It speaks of {', '.join(rules.exercises)}.")
    click.echo(f"{rules.name}, kind {rules.kind}, sha256 {rules.sha256}")
    for one in wanted:
        entry = rules.of(one)
        click.echo(f"\n{one}" + (f": no rules - {entry.reason}" if entry.reason else ""))
        for rule in entry.rules:
            phase = f" ({entry.phases[rule.phase]})" if rule.phase in entry.phases else ""
            optional = "" if rule.required else ", not required"
            click.echo(f"  {rule.id}: {rule.statistic} of {rule.measured} at {rule.phase}{phase}{optional}")
            for view, limit in rule.limits.items():
                click.echo(f"    from {view.replace('_', ' ')}: {_range(limit.low_deg, limit.high_deg)}, "
                           f"tolerance {rule.tolerance_deg:g}°")  # fmt: skip
            click.echo(f"    says: {rule.message}")
            click.echo(f"    source: {rule.source}")


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Whether a rule file is well-formed, and whether its limits can be told from the labeller's measured error.

    \b
    Example:
        repset rules check my_rules.yaml
    """
    from repset.autolabel.measured_error import here, load_cards
    from repset.autolabel.ruleset import ANY_VIEW, load_rules

    rules, cards = load_rules(file), load_cards(here())
    every = [(exercise, rule) for exercise, entry in rules.exercises.items() for rule in entry.rules]
    click.echo(f"{file}: well-formed, {len(every)} rules for {len(rules.exercises)} exercises, sha256 {rules.sha256}")
    for exercise, rule in every:
        for view in rule.limits:
            error = cards.of(rule.angle, exercise, "" if view == ANY_VIEW else view)
            if error is not None and rule.tolerance_deg < error.deg:
                click.echo(f"  warning: {exercise} {rule.id} from {view} grants {rule.tolerance_deg:g}°, "
                           f"less than the error of the {rule.angle} angle, {error}", err=True)  # fmt: skip


@command.command("try")
@click.argument("file", metavar="FILE")
@click.argument("clips", nargs=-1, required=True)
@click.option("--against", default="default", show_default=True, help="Rule set to compare with, by name or file.")
@click.option("--exercise", default="auto", show_default=True, help="What is done in media that have no labels yet.")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False),
              help="Where the distributions go.  [default: <name>-against-<name>.png here]")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help=f"Print every changed verdict, not only {_SHOWN}.")
def try_file(
    file: str, clips: tuple[str, ...], against: str, exercise: str, picture: Path | None, everything: bool
) -> None:
    """What your rules would change: verdicts, false alarms, and how what they measure is spread about the limit.

    CLIPS are folders that `repset autolabel` wrote, sources of the project, or videos, which are labelled first where
    their poses are not in the cache. Only exercises that FILE speaks of are judged.

    \b
    Example:
        repset rules try my_rules.yaml labels/
        repset rules try my_rules.yaml sample_penn_action --against gympose
        repset rules try my_rules.yaml squat.mp4 --exercise squat
    """
    from repset.autolabel.measured_error import here, load_cards
    from repset.autolabel.rule_bench import spreads, try_rules
    from repset.autolabel.ruleset import load_rules
    from repset.charts import spread_chart
    from repset.errors import ConfigError

    if picture is not None and picture.suffix.lower() not in (".png", ".svg"):
        raise ConfigError(f"{picture}: expected a name ending in .png or .svg. Choose another with --picture.")
    rules, other, project = load_rules(file), load_rules(against), here()
    bench = try_rules(_clips(clips, exercise, project, rules), rules, other, load_cards(project), project)
    path = picture or Path(f"{rules.name}-against-{other.name}.png")
    spread_chart(spreads(bench), path, title=f"{rules.name} against {other.name}")
    _print(bench, rules, other, everything)
    click.echo(f"distributions → {path}")


def _clips(clips: tuple[str, ...], exercise: str, project: "Project | None", rules: "RuleSet") -> "Iterator[Clip]":
    """Of labelled folders and sources what is stored; everything else is labelled into a folder that goes again."""
    from repset.autolabel.job import label_files
    from repset.autolabel.rule_bench import stored_clips
    from repset.params import AutolabelParams

    media = []
    for word in clips:
        if (Path(word) / "sets.parquet").is_file():
            yield from stored_clips(Path(word), None, rules.exercises)
        elif project is not None and not Path(word).exists() and (project.pipelines / f"{word}.yaml").is_file():
            yield from stored_clips(project.labels(word), project.index(word), rules.exercises)
        else:
            media.append(Path(word))
    if media:
        with tempfile.TemporaryDirectory(prefix="repset-rules-") as folder:
            params = AutolabelParams(rule_set="default", model="full", min_visibility=0.5)
            label_files(media, Path(folder) / "labels", params, exercise=exercise)
            yield from stored_clips(Path(folder) / "labels", None, rules.exercises)


def _print(bench: "Bench", rules: "RuleSet", against: "RuleSet", everything: bool) -> None:
    changed = [rep for rep in bench.reps if rep.changed]
    click.echo(
        f"{rules.name} against {against.name}: {bench.clips} clips, {len(bench.reps)} repetitions, "
        f"{len(changed)} verdicts change"
    )
    shown = changed if everything else changed[:_SHOWN]
    for rep in shown:
        click.echo(f"  {_place(rep)}: {rep.before} → {rep.after}{_why(rep)}")
    if len(changed) > len(shown):
        click.echo(f"  … and {len(changed) - len(shown)} more (--all prints them)")
    _table(bench)
    for truth, words in (("person", "people judged"), ("dataset", "the set itself calls")):
        now, then = bench.alarms(truth, "after"), bench.alarms(truth, "before")
        if now.good + now.bad:
            click.echo(_alarms(f"false alarms, of repetitions {words} correct", rules, against,
                               (now.good_alarmed, now.good), (then.good_alarmed, then.good)))  # fmt: skip
            click.echo(_alarms(f"faults found, of repetitions {words} incorrect", rules, against,
                               (now.bad_found, now.bad), (then.bad_found, then.bad)))  # fmt: skip
        elif truth == "person":
            click.echo("no person has judged any of these repetitions, so there is no false-alarm rate of people's")
    for row in bench.rules:
        if row.warning:
            click.echo(f"warning: {row.warning}", err=True)
    if bench.skipped:
        names = ", ".join(f"{count} {name}" for name, count in bench.skipped.items())
        click.echo(f"left out, since {rules.name} does not speak of them: sets of {names}")


def _alarms(
    words: str, rules: "RuleSet", against: "RuleSet", now: tuple[int, int], then: tuple[int, int]
) -> str:  # fmt: skip
    from repset.autolabel.rule_bench import share_words

    return f"{words}: {share_words(*now)}; {against.name}: {share_words(*then)}"


def _table(bench: "Bench") -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("exercise", "rule", "view", "limit"):
        table.add_column(name)
    for name in ("measured", "5 %", "median", "95 %", "broken", "within error", "not seen"):
        table.add_column(name, justify="right")
    import numpy as np

    for row in bench.rules:
        quantiles = [f"{q:.0f}°" for q in np.percentile(row.values, (5, 50, 95))] if row.values else ["", "", ""]
        table.add_row(
            row.exercise, escape(row.rule.id), row.view.replace("_", " "), _range(*row.limits), str(len(row.values)),
            *quantiles, str(row.verdicts.count("incorrect")), str(row.close) if row.error else "?", str(row.not_judged),
        )  # fmt: skip
    Console(highlight=False, width=140).print(table)


def _place(rep: "Judged") -> str:
    return f"{rep.sample_id} set {rep.set + 1} repetition {rep.rep + 1} ({rep.exercise}, {rep.view.replace('_', ' ')})"


def _why(rep: "Judged") -> str:
    from repset.autolabel.explain import sentence

    if (found := rep.decided) is not None:
        return f" - {sentence(found, None)}"
    lost = next((f for f in rep.was if f.verdict == rep.before), None)
    return f" - was {sentence(lost, None)}" if lost is not None else ""


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low:g} to {high:g}°"
    return f"at least {low:g}°" if low is not None else f"at most {high:g}°"
