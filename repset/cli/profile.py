"""`repset profile`."""

import click

from repset.params import load_profile
from repset.project import find_project
from repset.sources.profile import PROFILES, make_profile, write_profile


@click.command("profile")
@click.argument("name", required=False, type=click.Choice(list(PROFILES)))
@click.option("--sources", help="Only these, separated by commas; models left without a source are switched off.")
def command(name: str | None, sources: str | None) -> None:
    """Switch between the rendered sample and the real sets, or show what is on.

    Writes pipelines/profile.yaml, which dvc.yaml reads. What either has produced stays side by side.

    \b
    Example:
        repset profile real --sources penn_action
    """
    project = find_project()
    if name is None and sources is not None:
        raise click.UsageError("--sources needs a profile: repset profile real --sources penn_action")
    if name is not None:
        chosen = [source.strip() for source in sources.split(",") if source.strip()] if sources else None
        write_profile(project, make_profile(project, name, chosen))
    profile = load_profile(project)
    click.echo(f"profile {profile.profile}, parameters from {profile.recipe}")
    click.echo(f"sources: {', '.join(profile.sources)}")
    for model, spec in profile.models.items():
        click.echo(f"model {model}: {spec.task} from {', '.join(spec.sources)}")
