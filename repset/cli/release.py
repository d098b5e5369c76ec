"""`repset release`."""

from pathlib import Path

import click

from repset.project import find_project


@click.command("release")
@click.argument("model", type=click.Choice(["exercise", "segmentation"]))
@click.option("--from", "folder", type=click.Path(path_type=Path), help="Model folder; default: models/MODEL/final.")
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    help="Default: the installed package (exercise), released/ (segmentation).",
)
def command(model: str, folder: Path | None, into: Path | None) -> None:
    """Write a trained model as ONNX with a card; the exercise model goes into the package, for fresh installs.

    The exported network must give the trained one's numbers (logits within 1e-4; 1e-3 for segmentation), for one item
    and for many; otherwise nothing is written. The exercise model must stay below 1 MB.

    \b
    Example:
        repset release exercise --into released/
    """
    import repset.autolabel
    from repset.learn.export import release_exercise, release_segmentation

    project = find_project()
    home = project.model(model)
    metrics = folder / "metrics.json" if folder else home / "metrics.json"
    if model == "exercise":
        into, write = into or Path(str(repset.autolabel.__file__)).parent, release_exercise
    elif into is None:
        raise click.UsageError("segmentation needs --into FOLDER: the package holds the exercise model alone.")
    else:
        write = release_segmentation
    into.mkdir(parents=True, exist_ok=True)
    facts = write(folder or home / "final", into, metrics)
    path = into / f"{model}.onnx"
    click.echo(f"{path}: {path.stat().st_size:,} bytes, differs from torch by {facts['parity']:.0e} at most")
    click.echo(f"classes: {', '.join(facts['classes'])}")
