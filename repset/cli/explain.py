"""`repset explain`."""

from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from repset.autolabel.explain import Explanation, explain, sentence
from repset.params import load_params
from repset.project import find_project


@click.command()
@click.argument("clip")
@click.option("--labels", type=click.Path(path_type=Path), help="OUT folder of an autolabel job on your own files.")
@click.option("--rules", help="Another rule set, by name or file.  [default: the one the verdicts were made with]")
@click.option("--min-visibility", type=click.FloatRange(0, 1), help="A joint seen less clearly is unknown.")
def command(clip: str, labels: Path | None, rules: str | None, min_visibility: float | None) -> None:
    """Show which rule fired on which frame of a clip, with the measured value.

    Judges the clip again from its stored poses, so another rule set can be tried in a moment.

    \b
    Example:
        repset explain sample_penn_action/0001
        repset explain squat.mp4 --labels labels/
    """
    if labels is None:
        project = find_project()
        source = clip.split("/")[0]
        least = load_params(project).autolabel.min_visibility if min_visibility is None else min_visibility
        found = explain(project.labels(source), clip, rules, least, project.index(source))
    else:
        found = explain(labels, clip, rules, 0.5 if min_visibility is None else min_visibility)
    Console(highlight=False, width=1000).print(_tree(clip, found))


def _tree(clip: str, found: Explanation) -> Tree:
    labels, times = found.labels, found.track.time_s
    tree = Tree(f"[bold]{escape(clip)}[/bold]  view {labels.view}, better seen {labels.side}, rules {found.rules.name}")
    if found.rules_changed:
        tree.add("[yellow]the stored verdicts were made with other rules: run repset autolabel again[/yellow]")
    if labels.reason:
        tree.add(escape(labels.reason))
    for one in labels.sets:
        branch = tree.add(
            f"set {one['set']}: {one['exercise']}, frames {one['start']} to {one['end']}, {one['reps']} repetitions"
        )
        for row in labels.form:
            if row["set"] != one["set"] or row["level"] != "rep":
                continue
            message = f" - {row['message']}" if row["message"] else ""
            node = branch.add(f"repetition {row['rep']}: [bold]{row['verdict']}[/bold]{escape(message)}")
            for finding in labels.findings.get((one["set"], row["rep"]), []):
                at = float(times[finding.frame]) if finding.frame >= 0 else None
                node.add(escape(sentence(finding, at)))
    return tree
