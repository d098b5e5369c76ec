"""`repset pull`."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from repset.cli.progress import track
from repset.params import SampleParams, load_params, load_source
from repset.project import find_project
from repset.records import sha256_bytes, sha256_file
from repset.sources.fetch import SAMPLE, pull_source


@click.command("pull")
@click.argument("source")
@click.option("--from", "origin", help="Another origin: a file, a folder, an https address, roboflow:W/P/V, sample.")
@click.option("--force", is_flag=True, help="Bring it again even if it is there already.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Processes that draw the sample.")
def command(source: str, origin: str | None, force: bool, jobs: int) -> None:
    """Bring a source's archive into datasets/SOURCE/raw, verified.

    Where it comes from stands in pipelines/SOURCE.yaml: `sample` (drawn here), a local file or folder, an https
    address, or roboflow:workspace/project/version with the key in ROBOFLOW_API_KEY. An interrupted download goes on
    where it stopped. Nothing takes its place in raw/ before it is whole.

    \b
    Example:
        repset pull sample_penn_action
    """
    project = find_project()
    spec = load_source(project, source)
    if origin is None:
        origin = spec.origin
    elif origin != SAMPLE and ":" not in origin:
        origin = str(Path(origin).expanduser().absolute())  # typed here, so relative to here
    params = load_params(project).sample

    def render(folder: Path) -> None:
        from repset.sample import render_archive

        render_archive(spec.family, folder, params, jobs, track)

    columns = (TextColumn(f"pull {source}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    silent = origin == SAMPLE or not console.is_terminal  # drawing shows a bar of its own
    with Progress(*columns, console=console, transient=True, disable=silent) as bar:
        task = bar.add_task("", total=None)
        changed = pull_source(
            project,
            source,
            spec,
            origin,
            render,
            _drawn_from(params) if origin == SAMPLE else {},
            force,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    raw = project.raw(source)
    files = ", ".join(f"{path.name} ({path.stat().st_size:,} bytes)" for path in sorted(raw.iterdir()))
    state = "" if changed else " is there already and whole, nothing done (--force brings it again)"
    click.echo(f"{source}: {files}{state}")


def _drawn_from(params: SampleParams) -> dict[str, Any]:
    """Everything the drawn sample depends on: its parameters and the modules that draw it."""
    import repset.sample

    folder = Path(str(repset.sample.__file__)).parent
    code = [f"{path.name} {sha256_file(path)}" for path in sorted(folder.glob("*.py"))]
    return {"params": params.model_dump(), "code": sha256_bytes("\n".join(code).encode())}
