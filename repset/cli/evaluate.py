"""`repset evaluate`."""

from typing import Any

import click

from repset.cli.device import device_option
from repset.cli.progress import meter
from repset.project import find_project


@click.command("evaluate")
@click.argument("model")
@device_option
def command(model: str, device: str) -> None:
    """Score the bootstrap and the final MODEL on the gold test labels: models/MODEL/metrics.json and plots.

    A class that is neither in the truth nor predicted has no score (null). Beside the scores stands the baseline: the
    best answer that looks at nothing.

    \b
    Example:
        repset evaluate segmentation
    """
    from rich.console import Console
    from rich.table import Table

    from repset.learn.stages import FOLDERS, evaluate_model

    project = find_project()
    with meter() as progress:
        result = evaluate_model(project, model, device, progress)
    table = Table("score", *FOLDERS, title=f"{model} on gold test labels ({result['data']})")
    flat = {name: flatten(result[name]) for name in FOLDERS}
    for key in flat[FOLDERS[0]]:
        table.add_row(key, *(_shown(flat[name].get(key)) for name in FOLDERS))
    Console().print(table)
    click.echo(f"written: {project.model(model) / 'metrics.json'}")


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one level: `iou.biceps`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
