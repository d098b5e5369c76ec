"""`repset release`."""

from pathlib import Path

import click

from repset.project import find_project


@click.command("release")
@click.argument("model", type=click.Choice(["exercise"]))
@click.option("--from", "folder", type=click.Path(path_type=Path), help="Model folder; default: models/MODEL/final.")
@click.option("--into", type=click.Path(path_type=Path), help="Default: the installed package, repset/autolabel.")
def command(model: str, folder: Path | None, into: Path | None) -> None:
    """Put a trained exercise model into the package as ONNX, so that a fresh install can name exercises.

    The exported network must give the trained one's numbers (within 1e-4) and stay below 1 MB; otherwise nothing is
    written. Run it after `repset train exercise`.

    \b
    Example:
        repset release exercise --into released/
    """
    import repset.autolabel
    from repset.learn.export import release_exercise

    project = find_project()
    into = into or Path(str(repset.autolabel.__file__)).parent
    into.mkdir(parents=True, exist_ok=True)
    home = project.model(model)
    metrics = folder / "metrics.json" if folder else home / "metrics.json"
    facts = release_exercise(folder or home / "final", into, metrics)
    size = (into / "exercise.onnx").stat().st_size
    click.echo(f"{into / 'exercise.onnx'}: {size:,} bytes, differs from torch by {facts['parity']:.0e} at most")
    click.echo(f"classes: {', '.join(facts['classes'])}")
