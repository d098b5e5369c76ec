"""`repset muscles`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from repset.cli.progress import meter
from repset.project import find_project

METHODS = ("ridge", "prior", "recognition", "nearest")


SEES = ("pose", "frames", "both")


def sees(function: Callable[..., None]) -> Callable[..., None]:
    """The options that say what is learned from."""
    for option in (
        click.option(
            "--encoder-weights", type=click.Choice(("imagenet", "none")), default="imagenet", show_default=True,
            help="Of that encoder: fetched once, or drawn at random.",
        ),
        click.option(
            "--encoder",
            default="tu-tf_efficientnet_lite0",
            show_default=True,
            help="Frozen image encoder, for frames and both.",
        ),
        click.option(
            "--sees", type=click.Choice(SEES), default="pose", show_default=True,
            help="What the clips are described by; frames: 8 pictures of each clip through a frozen encoder.",
        ),
    ):  # fmt: skip
        function = option(function)
    return function


@click.group("muscles")
def command() -> None:
    """Which of 20 muscle groups a pose sequence is expected to work (never measured activation).

    \b
    Example:
        repset muscles loao sample_penn_action sample_mmfit
    """


@command.command("loao")
@click.argument("sources", nargs=-1, required=True)
@click.option("--json", "into", type=click.Path(path_type=Path), help="Also write every number here.")
@sees
def loao_command(sources: tuple[str, ...], into: Path | None, sees: str, encoder: str, encoder_weights: str) -> None:
    """Leave one action out: score the model on actions that it has not learned from, beside three baselines.

    Learns from the SOURCES' poses and written-down muscles. mAP is the macro mean of average precision over the groups
    present; an action weighs one whatever its number of clips, and intervals draw actions with replacement.

    \b
    Example:
        repset muscles loao sample_penn_action sample_mmfit
        repset muscles loao sample_penn_action --sees both --encoder-weights none
    """
    from rich.console import Console
    from rich.table import Table

    from repset.learn.card import data_kind
    from repset.learn.muscles import leave_one_action_out
    from repset.records import write_json

    project = find_project()
    with meter() as progress:
        clips, left_out, seen = _load(sources, progress, sees, encoder, encoder_weights)
        found = leave_one_action_out(clips, progress)
    result = {
        "data": data_kind(project, sources),
        "sources": list(sources),
        "sees": seen,
        "left_out": left_out,
        **found,
    }
    table = Table(
        "action", "clips", "recognised as", *METHODS, title="average precision within each clip, unseen actions"
    )
    for action, row in found["by_action"].items():
        aps = (f"{row['ap'][name]:.2f}" for name in METHODS)
        table.add_row(action, str(row["clips"]), row["recognised_as"], *aps)
    console = Console()
    console.print(table)
    console.print(_summary(found, f"{found['actions']} actions, {found['clips']:,} clips ({result['data']})"))
    _say_left_out(left_out)
    if into:
        write_json(into, result)
        click.echo(f"written: {into}")


@command.command("official")
@click.argument("sources", nargs=-1, required=True)
@click.option("--json", "into", type=click.Path(path_type=Path), help="Also write every number here.")
@sees
def official_command(
    sources: tuple[str, ...], into: Path | None, sees: str, encoder: str, encoder_weights: str
) -> None:
    """Learn from a set's own train part and score its test parts, seen and unseen actions apart.

    For MuscleMap136, Muscle-UCF90 and Muscle-HMDB41 once their videos have poses: repset autolabel.

    \b
    Example:
        repset muscles official sample_penn_action
    """
    from rich.console import Console

    from repset.learn.muscles import official_splits
    from repset.records import write_json

    with meter() as progress:
        clips, left_out, seen = _load(sources, progress, sees, encoder, encoder_weights)
    found = official_splits(clips)
    for part, scores in found.items():
        if part != "train":
            Console().print(
                _summary({part: scores}, f"learned from {found['train']:,}, scored {scores['clips']:,} clips")
            )
    _say_left_out(left_out)
    if into:
        write_json(into, {"sees": seen, **found})
        click.echo(f"written: {into}")


@command.command("train")
@click.argument("sources", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), help="Model folder; default: models/muscles/final.")
def train_command(sources: tuple[str, ...], out: Path | None) -> None:
    """Learn from every clip of the SOURCES and write the model that `repset predict` uses. Takes seconds.

    \b
    Example:
        repset muscles train sample_penn_action sample_mmfit
    """
    from repset.learn.muscles_model import train_muscles

    project = find_project()
    out = out or project.model("muscles") / "final"
    with meter() as progress:
        card = train_muscles(project, sources, out, progress)
    actions = card.training["actions"]
    click.echo(f"{card.training['clips']:,} clips of {len(actions)} actions ({card.data_kind}): {', '.join(actions)}")
    click.echo(f"written: {out}")


def _load(
    sources: tuple[str, ...], progress: Any, sees: str, encoder: str, weights: str
) -> tuple[list[Any], dict[str, Any], dict[str, str]]:
    """Clips, what was left out, and for the report what they were described by."""
    from repset.learn.muscles import load_clips

    if sees == "pose":
        return *load_clips(find_project(), sources, progress), {"by": sees}
    from repset.learn.muscles_frames import FrameEncoder

    frames = FrameEncoder(encoder, weights)
    clips, left_out = load_clips(find_project(), sources, progress, frames, pose=sees == "both")
    return clips, left_out, {"by": sees, "encoder": frames.name, "encoder_weights": frames.weights}


def _summary(found: dict[str, Any], title: str) -> Any:
    """A table of mAP: methods across, seen and unseen down."""
    from rich.table import Table

    table = Table("mAP", *METHODS, title=title)
    for part in ("unseen", "seen", "unseen_test", "test"):
        if scores := found.get(part):
            table.add_row(part, *(f"{scores['map'][name]:.3f}" for name in METHODS))
            above = (scores["ours_above"].get(name) for name in METHODS)
            cells = (f"{one['map']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})" if one else "" for one in above)
            table.add_row("  ridge above it", *cells)
    return table


def _say_left_out(left_out: dict[str, Any]) -> None:
    for source, reasons in left_out.items():
        if reasons:
            click.echo(f"left out of {source}: {json.dumps(reasons)[1:-1]}")
