"""`repset autolabel`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from repset.errors import ConfigError, RepsetError
from repset.params import AutolabelParams, load_params, load_source
from repset.project import find_project


@click.command("autolabel")
@click.argument("what", metavar="SOURCE|PATH...", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the labels of your own files.")
@click.option("--exercise", default="auto", show_default=True, help="What is done in every video; auto recognises it.")
@click.option("--rules", default="default", show_default=True, help="Rule set by name, or a YAML file of your own.")
@click.option("--model", default="full", show_default=True, help="Pose model: full, or a .task file.")
@click.option("--min-visibility", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="A joint seen less clearly is unknown.")  # fmt: skip
@click.option("--angles-3d", is_flag=True, help="Also give the angles in space, as left_elbow_3d (biased: see README).")
@click.option("--overlay", is_flag=True, help="Also write each video with its labels drawn in.")
@click.option("--plot", is_flag=True, help="Also draw an angle chart of each set, with repetitions and limits.")
@click.option("--frames", is_flag=True,
              help="Also write the turn of each repetition, and each image, sorted by verdict.")  # fmt: skip
@click.option("--person", type=click.Choice(["largest", "centre", "tracked"]), default="largest", show_default=True,
              help="Whom to label where several are in view: begin with the largest or the most central and stay with "
              "them, or follow everyone and keep the one seen longest (slower).")  # fmt: skip
@click.option("--fps", type=click.FloatRange(0, min_open=True), metavar="N",
              help="Label only N frames a second; times stay true.  [default: every frame]")  # fmt: skip
@click.option("--sequence", type=click.FloatRange(0, min_open=True), metavar="FPS",
              help="Numbered images in a folder are a clip of this rate.  [default: single pictures]")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1), help="Processes.  [default: one a core]")
@click.option("--on-error", type=click.Choice(["fail", "skip"]), default="fail", show_default=True,
              help="An unreadable file fails the command, or becomes a row with status error.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print what job.json holds in place of sentences.")
@click.pass_context
def command(context: click.Context, what: tuple[str, ...], out: Path | None, jobs: int | None, on_error: Any,
            exercise: str, rules: str, model: str, min_visibility: float, angles_3d: bool, overlay: bool, plot: bool,
            frames: bool, person: Any, fps: float | None, sequence: float | None, as_json: bool) -> None:  # fmt: skip
    """Poses, angles, repetitions and form verdicts for videos and images.

    With --out: your own files, folders and patterns ('clips/*.mp4', 'frames/%05d.jpg' with --sequence); writes five
    Parquet tables, summary.csv (a row a set) and job.json (counts, versions, errors, whom it followed where several
    were in view) to OUT. Every finished file is cached by content: a job that was stopped or killed goes on there.

    Without --out: one source of the project, into datasets/SOURCE/labels, under the parameters of params.yaml.

    \b
    Exit codes:
        0    labelled; under --on-error skip, what could not be read is listed
        1    something is wrong with a file or an option: one sentence, OUT as it was before
        2    wrong usage
        130  stopped by Ctrl-C: OUT as it was before, finished files cached

    \b
    Example:
        repset autolabel my_videos/ --exercise squat --out labels/
        repset autolabel my_videos/ --out labels/ --overlay --plot --frames
        repset autolabel frames/%05d.jpg --sequence 30 --exercise squat --out labels/ --json
        repset autolabel sample_penn_action
    """
    if out is None:
        _refuse_options(context, what)
        report = _label_source(what[0], jobs, on_error)
    else:
        from repset.autolabel.job import label_files

        params = AutolabelParams(rule_set=rules, model=model, min_visibility=min_visibility, angles_3d=angles_3d)
        with bar() as watch:
            report = label_files(
                [Path(path) for path in what], out, params,
                exercise=exercise, overlay=overlay, plot=plot, frames=frames, person=person, fps=fps,
                sequence_fps=sequence, jobs=jobs, on_error=on_error, watch=watch,
            )  # fmt: skip
    if as_json:
        click.echo(json.dumps(report.about, indent=2, ensure_ascii=False))
    else:
        _print(report)


def _refuse_options(context: click.Context, what: tuple[str, ...]) -> None:
    """Without --out only a source is left, and its options stand in params.yaml."""
    for name in ("exercise", "rules", "model", "min_visibility", "angles_3d", "overlay", "plot", "frames", "person",
                 "fps", "sequence"):  # fmt: skip
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} needs --out; a source takes params.yaml's settings.")
    if len(what) > 1 or Path(what[0]).suffix or what[0].endswith("/"):
        raise click.UsageError("Your own files need --out FOLDER; without it, name one source.")


def _label_source(source: str, jobs: int | None, on_error: Any) -> Any:
    from repset.autolabel.job import label_source

    try:
        project = find_project()
        known = (project.pipelines / f"{source}.yaml").is_file()
    except RepsetError:
        if not Path(source).exists():
            raise
        known = False
    if not known and Path(source).exists():
        raise ConfigError(f"{source}: a path, and no source of a project. Add --out FOLDER to label your own files.")
    load_source(project, source)
    with bar() as watch:
        return label_source(
            project, source, load_params(project).autolabel, jobs=jobs, on_error=on_error, watch=watch
        )  # fmt: skip


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} frames/s" if task.speed else "")


@contextmanager
def bar() -> Iterator[Callable[[int, int], Callable[[int, int], None]]]:
    """A bar over frames with the rate and the time left, on standard error; silent when that is no terminal."""
    columns = (
        TextColumn("autolabel {task.fields[items]}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), _Rate(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        def watch(frames: int, items: int) -> Callable[[int, int], None]:
            task = progress.add_task("autolabel", total=frames or None, items=f"0/{items}")

            def advance(frames_done: int, items_done: int) -> None:
                progress.update(task, completed=frames_done, items=f"{items_done}/{items}")

            return advance

        yield watch


def _print(report: Any) -> None:
    about = report.about
    states = ", ".join(f"{count} {status}" for status, count in about["status"].items())
    click.echo(
        f"{about['media']} media ({states}), {about['frames']:,} frames: {about['sets']} sets, {about['reps']} "
        f"repetitions → {report.out}"
    )
    if about.get("ignored"):
        others = ", ".join(f"{count} {suffix}" for suffix, count in about["ignored"].items())
        click.echo(f"  ignored: files that are neither video nor image ({others})")
    for hint in about.get("hints", ()):
        click.echo(f"  {hint}", err=True)
    if crowded := about["several_people"]:
        more = " …" if len(crowded) > 3 else ""
        names = ", ".join(row["media"] for row in crowded[:3]) + more
        click.echo(f"  several people in view ({names}): one each is labelled; see several_people in the report's JSON")
    for row in about["errors"]:
        click.echo(f"  left out {row['media']}: {row['reason']}", err=True)
