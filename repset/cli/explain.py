"""`repset explain`."""

from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from repset.autolabel.explain import Explanation, explain, frame_runs, sentence, smallest_flip
from repset.autolabel.measured_error import ErrorCards, here, load_cards
from repset.project import find_project


@click.command()
@click.argument("clip")
@click.option("--labels", type=click.Path(path_type=Path), help="OUT folder of an autolabel job on your own files.")
@click.option("--rules", help="Another rule set, by name or file.  [default: the one the verdicts were made with]")
@click.option("--min-visibility", type=click.FloatRange(0, 1),
              help="A joint seen less clearly is unknown.  [default: as it was labelled]")  # fmt: skip
def command(clip: str, labels: Path | None, rules: str | None, min_visibility: float | None) -> None:
    """Show which rule fired on which frame of a clip, with the measured value.

    Judges the clip again from its stored poses, so another rule set can be tried in a moment. Beside each value stands
    the smallest change of the angle that would flip the verdict, and whether that is within the error with which the
    angle is measured (from the report cards in datasets/labeller). Sets and repetitions count from 1, frames from 0.

    \b
    Example:
        repset explain sample_penn_action/0001
        repset explain squat.mp4 --labels labels/
    """
    if labels is None:
        project = find_project()
        source = clip.split("/")[0]
        found = explain(project.labels(source), clip, rules, min_visibility, project.index(source))
    else:
        found = explain(labels, clip, rules, min_visibility)
    Console(highlight=False, width=1000).print(_tree(clip, found, load_cards(here())))


def _tree(clip: str, found: Explanation, cards: ErrorCards) -> Tree:
    labels = found.labels
    tree = Tree(f"[bold]{escape(clip)}[/bold]  view {labels.view}, better seen {labels.side}, rules {found.rules.name}")
    if found.rules_changed:
        tree.add("[yellow]the stored verdicts were made with other rules: run repset autolabel again[/yellow]")
    if labels.reason:
        tree.add(escape(labels.reason))
    for one in labels.sets:
        verdict = next((r for r in labels.form if r["set"] == one["set"] and r["level"] == "clip"), None)
        judged = f": [bold]{verdict['verdict']}[/bold]" if verdict else ""
        counted = "not counted" if one["reps"] is None else f"{one['reps']} repetitions"
        branch = tree.add(
            f"set {one['set'] + 1}: {one['exercise']}, frames {one['start']} to {one['end']}, {counted}{judged}"
            f"{escape(_because(verdict['message'])) if verdict else ''}"
        )
        _repetitions(branch, found, cards, one["set"])
        for start, end, state, why in frame_runs(labels, one["set"]):
            branch.add(escape(f"frames {start} to {end}: {state}{_because(why)}"))
    return tree


def _repetitions(branch: Tree, found: Explanation, cards: ErrorCards, number: int) -> None:
    labels, times = found.labels, found.track.time_s
    moved = {row["rep"]: row for row in labels.reps if row["set"] == number}
    for row in labels.form:
        if row["set"] != number or row["level"] != "rep":
            continue
        findings = labels.findings.get((number, row["rep"]), [])
        errors = [cards.of(finding.rule.angle, row["exercise"], row["view"]) for finding in findings]
        text = f"{escape(_because(row['message']))}{_moved(moved[row['rep']])}"
        flip = smallest_flip(findings) if row["verdict"] != "unscorable" else None
        if flip is not None:
            text += f" · flips with {flip.rule.id} {flip.flip_deg:+.1f}°"
        node = branch.add(f"repetition {row['rep'] + 1}: [bold]{row['verdict']}[/bold]{text}")
        for finding, error in zip(findings, errors, strict=True):
            at = float(times[finding.frame]) if finding.frame >= 0 else None
            node.add(escape(sentence(finding, at, error)))


def _because(message: str | None) -> str:
    return f" - {message}" if message else ""


def _moved(row: dict[str, object]) -> str:
    """Range of motion and tempo of a repetition, as far as they are known."""
    phases = [row["eccentric_s"], row["pause_s"], row["concentric_s"]]
    text = f" · range {row['range_deg']:.0f}°" if row["range_deg"] is not None else ""
    if any(phase is not None for phase in phases):
        down, held, up = (f"{phase:.1f}" if phase is not None else "?" for phase in phases)
        text += f" · eccentric {down} s, pause {held} s, concentric {up} s"
    return text
