"""`repset evaluate-labels`."""

import click
from rich.console import Console
from rich.table import Table

from repset.autolabel.labeller_scores import build_scores
from repset.project import find_project


@click.command()
@click.argument("source")
def command(source: str) -> None:
    """Score the automatic labels of a source against its own annotations.

    Joints (PCK against torso and box, constant offsets told apart), angles in degrees, repetition counts and
    verdicts, overall and per exercise, each with its number and coverage. What a set has no truth for is null.

    \b
    Example:
        repset evaluate-labels sample_penn_action
    """
    project = find_project()
    scores = build_scores(project, source)
    table = Table("what", "score", "value", "n", title=f"{source} ({scores['data']})")
    for skeleton, pose in (scores["pose"] or {}).items():
        overall = pose["overall"]
        table.add_row(f"joints ({skeleton})", "PCK@0.2 torso", _number(overall["pck_torso_0.2"]), str(overall["n"]))
    for skeleton, parts in (scores["angles"] or {}).items():
        for name, cell in (parts["overall"] or {}).items():
            table.add_row(f"angle {name} ({skeleton})", "median error °", _number(cell["median_deg"]), str(cell["n"]))
    if scores["reps"]:
        overall = scores["reps"]["overall"]
        table.add_row("repetitions", "sets counted exactly", _number(overall["exact"]), str(overall["n"]))
        table.add_row("repetitions", "mean absolute error", _number(overall["mean_absolute_error"]), str(overall["n"]))
    if scores["form"]:
        overall = scores["form"]["overall"]
        table.add_row("verdicts", "agreement", _number(overall["agreement"]), str(overall["n"]))
    console = Console()
    console.print(table if table.row_count else f"{source}: no ground truth for any automatic label")
    console.print(f"written: {project.labeller_scores(source)}", soft_wrap=True)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"
