"""Profiles and the source files in pipelines/."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from repset.cli import cli
from repset.errors import ConfigError
from repset.exercises import canonical
from repset.params import Params, load_profile, load_source, load_yaml, parse
from repset.project import Project
from repset.sources import SOURCES
from repset.sources.profile import PROFILES, make_profile, write_profile

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["profile", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_sample_profile_is_the_committed_one(project: Project) -> None:
    write_profile(project, make_profile(project, "sample"))
    text = (project.pipelines / "profile.yaml").read_text()
    assert (
        text
        == """\
# Written by `repset profile`: what the graph runs on.
profile: sample
recipe: params.yaml
sources:
  - sample_roboflow
  - sample_penn_action
  - sample_mmfit
models:
  segmentation:
    task: muscle_mask
    sources: [sample_roboflow]
  exercise:
    task: exercise
    sources: [sample_penn_action, sample_mmfit]
pairs:
  muscle_mask-sample_roboflow:
    task: muscle_mask
    source: sample_roboflow
    model: segmentation
  exercise-sample_penn_action:
    task: exercise
    source: sample_penn_action
    model: exercise
  exercise-sample_mmfit:
    task: exercise
    source: sample_mmfit
    model: exercise
judged:
  - sample_penn_action
  - sample_mmfit
"""
    )


def test_real_on_one_source_switches_the_other_models_off(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)
    assert run("real", "--sources", "penn_action") == (
        "profile real, parameters from pipelines/real.yaml\n"
        "sources: penn_action\n"
        "model exercise: exercise from penn_action\n"
    )
    profile = load_profile(project)
    assert list(profile.models) == ["exercise"]
    assert list(profile.pairs) == ["exercise-penn_action"]
    assert run() == run("real", "--sources", "penn_action")


def test_switching_back_and_forth_gives_the_same_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)
    run("sample")
    before = (project.pipelines / "profile.yaml").read_bytes()
    assert "sources: roboflow, penn_action, mmfit\n" in run("real")
    run("sample")
    assert (project.pipelines / "profile.yaml").read_bytes() == before


def test_a_source_of_the_other_kind_and_one_that_is_not_there(project: Project) -> None:
    with pytest.raises(ConfigError) as caught:
        make_profile(project, "real", ["mmfit", "sample_mmfit"])
    assert str(caught.value) == (
        "sample_mmfit: expected a real source for profile real, found a rendered one. Leave it out."
    )
    with pytest.raises(ConfigError, match=r"^nowhere: no such source\. Sources: "):
        make_profile(project, "real", ["nowhere"])


def test_sources_without_a_profile_is_a_usage_error(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)
    result = CliRunner().invoke(cli, ["profile", "--sources", "mmfit"])
    assert result.exit_code == 2
    assert "--sources needs a profile" in result.output


def test_the_real_recipe_has_the_published_numbers_and_the_same_keys() -> None:
    real = parse(Params, load_yaml(ROOT / "pipelines" / "real.yaml"), "real.yaml")
    for group in (real.bootstrap, real.train):
        recipe = group.segmentation
        assert (recipe.size_px, recipe.batch, recipe.epochs, recipe.max_steps) == (256, 16, 30, None)
        assert (recipe.learning_rate, recipe.step_epochs, recipe.gamma) == (1e-4, 5, 0.5)
        assert (recipe.encoder, recipe.encoder_weights) == ("resnet34", "imagenet")
        assert (recipe.shear_deg, recipe.grayscale_p, recipe.blur_px, recipe.noise_p) == (15, 0.25, 1.2, 0.0022)


@pytest.mark.parametrize("name", [source for choice in PROFILES.values() for source in choice.sources])
def test_every_source_of_a_profile_has_a_spec_a_reader_and_a_card(name: str) -> None:
    spec = load_source(Project(ROOT), name)
    assert spec.family in SOURCES
    assert spec.rendered == name.startswith("sample_")
    card = (ROOT / "datasets" / name / "README.md").read_text()
    for word in ("Licence", "Counts", "Consent", "Known flaws"):
        assert word in card, f"{name}: the card lacks {word}"


def test_the_gym_actions_of_penn_action_are_in_the_ontology() -> None:
    gym = ["bench_press", "clean_and_jerk", "jump_rope", "jumping_jacks", "pullup", "pushup", "situp", "squat"]
    assert [canonical(word, "penn_action") for word in gym] == [
        "bench_press", "clean_and_jerk", "jump_rope", "jumping_jack", "pull_up", "push_up", "sit_up", "squat",
    ]  # fmt: skip
