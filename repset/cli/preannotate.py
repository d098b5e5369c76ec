"""`repset preannotate`."""

import click

from repset.cli.device import device_option
from repset.cli.progress import meter
from repset.errors import ConfigError
from repset.exercises import NAMES
from repset.project import TASKS, Project, find_project


@click.command("preannotate")
@click.argument("task", type=click.Choice(TASKS))
@click.argument("source")
@click.option("--from-pose", is_flag=True, help="Without a model: muscle masks from the pose, for a set without any.")
@click.option("--exercise", type=click.Choice(NAMES), help="With --from-pose: of images whose own is not known.")
@click.option("--muscle", "muscles", multiple=True, help="With --from-pose: only this one, and others so named.")
@device_option
def command(
    task: str, source: str, from_pose: bool, exercise: str | None, muscles: tuple[str, ...], device: str
) -> None:
    """Propose labels of TASK for every sample of SOURCE with the bootstrap model.

    Labelled samples get proposals too, so that a disagreement between model and label can be shown and looked into.
    Nothing proposed becomes a label by itself: see `repset accept` and the review tools. --from-pose begins a set of
    images that has no mask to learn from; what people make of these proposals is what `repset curate` keeps. (This
    project's own model learns biceps, triceps and calf.)

    \b
    Example:
        repset preannotate muscle_mask sample_roboflow
        repset preannotate muscle_mask my_gym --from-pose --exercise bicep_curl --muscle biceps --muscle triceps
    """
    if from_pose:
        _from_pose(find_project(), task, source, exercise, muscles)
        return
    if exercise or muscles:
        option = "--exercise" if exercise else "--muscle"
        raise ConfigError(f"{option}: expected --from-pose beside it, found none. Add it, or leave {option} out.")
    from repset.learn.stages import preannotate

    with meter() as progress:
        path, count = preannotate(find_project(), task, source, device, progress)
    click.echo(f"{count} proposals written: {path}")


def _from_pose(project: Project, task: str, source: str, exercise: str | None, muscles: tuple[str, ...]) -> None:
    from repset.autolabel.cold_start import TASK, draft
    from repset.autolabel.muscle_proposals import MUSCLES

    if task != TASK:
        raise ConfigError(f"--from-pose: expected the task {TASK}, found {task}. The pose proposes masks only.")
    if unknown := [name for name in muscles if name not in MUSCLES]:
        raise ConfigError(f"--muscle: expected one of {', '.join(MUSCLES)}, found {unknown[0]!r}. Name one of these.")
    with meter() as progress:
        drafted = draft(project, source, muscles or MUSCLES, exercise, progress)
    counts = ", ".join(f"{name} {count}" for name, count in drafted.masks.items() if count) or "no muscle"
    click.echo(f"{drafted.images} images, {drafted.empty} of them without a person that is seen: {counts}")
    click.echo(f"written: {drafted.path}")
