"""Profiles: which sources, models and pairs the graph runs on, worked out from what is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repset.errors import ConfigError
from repset.params import ModelSpec, PairSpec, Profile, load_source
from repset.project import Project
from repset.records import write_text


@dataclass(frozen=True)
class Choice:
    """A named profile: its parameters and its usual sources."""

    recipe: str
    rendered: bool
    sources: tuple[str, ...]


PROFILES: dict[str, Choice] = {
    "sample": Choice("params.yaml", True, ("sample_roboflow", "sample_penn_action", "sample_mmfit")),
    "real": Choice("pipelines/real.yaml", False, ("roboflow", "penn_action", "mmfit")),
}

MODELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "segmentation": ("muscle_mask", ("roboflow",)),
    "exercise": ("exercise", ("penn_action", "mmfit")),
}
"""Model → its task and the families that have labels for it."""

JUDGED = ("penn_action", "mmfit")
"""Families with repetitions, hence form verdicts."""


def make_profile(project: Project, name: str, sources: Sequence[str] | None = None) -> Profile:
    """The profile `name`, on its usual sources or on those given.

    A model or pair without a source is left out.
    Raises: ConfigError for a source without pipelines/<source>.yaml, or of the other kind (rendered, real).
    """
    choice = PROFILES[name]
    names = tuple(dict.fromkeys(sources or choice.sources))
    family: dict[str, str] = {}
    for source in names:
        spec = load_source(project, source)
        if spec.rendered != choice.rendered:
            kind = "rendered" if spec.rendered else "real"
            wanted = "rendered" if choice.rendered else "real"
            raise ConfigError(
                f"{source}: expected a {wanted} source for profile {name}, found a {kind} one. Leave it out."
            )
        family[source] = spec.family
    models = {
        model: ModelSpec(task=task, sources=fitting)
        for model, (task, families) in MODELS.items()
        if (fitting := tuple(source for source in names if family[source] in families))
    }
    pairs = {
        f"{spec.task}-{source}": PairSpec(task=spec.task, source=source, model=model)
        for model, spec in models.items()
        for source in spec.sources
    }
    judged = tuple(source for source in names if family[source] in JUDGED)
    return Profile(profile=name, recipe=choice.recipe, sources=names, models=models, pairs=pairs, judged=judged)


def write_profile(project: Project, profile: Profile) -> Path:
    """pipelines/profile.yaml, in the layout it is committed in."""
    lines = ["# Written by `repset profile`: what the graph runs on."]
    lines += [f"profile: {profile.profile}", f"recipe: {profile.recipe}", "sources:"]
    lines += [f"  - {source}" for source in profile.sources]
    lines += ["models:" if profile.models else "models: {}"]
    for name, model in profile.models.items():
        lines += [f"  {name}:", f"    task: {model.task}", f"    sources: [{', '.join(model.sources)}]"]
    lines += ["pairs:" if profile.pairs else "pairs: {}"]
    for name, pair in profile.pairs.items():
        lines += [f"  {name}:", f"    task: {pair.task}", f"    source: {pair.source}", f"    model: {pair.model}"]
    lines += ["judged:" if profile.judged else "judged: []", *(f"  - {source}" for source in profile.judged)]
    return write_text(project.pipelines / "profile.yaml", "\n".join(lines) + "\n")
