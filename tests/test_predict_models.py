"""`repset predict` on a clip, and `repset models` on scores that are written out."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from repset.cli import cli
from repset.cli import predict as module
from repset.cli.models import compare, list_models, read_scores
from repset.errors import DataError
from repset.project import Project
from repset.records import write_json


def row(**changed: str) -> dict[str, str]:
    """A row of summary.csv."""
    return {"media": "a.mp4", "exercise": "bicep_curl", "exercise_p": "0.8", "start_s": "0.0", "end_s": "2.2",
            "reps": "3", "reps_complete": "2", "correct": "1", "unscorable": "0"} | changed  # fmt: skip


def test_an_entry_names_the_muscles_of_a_recognised_exercise() -> None:
    found = module._entry(Path("x/a.mp4"), [row()], {"biceps": 0.1}, [{"biceps": 0.71238, "calves": 0.0}])
    assert found == {
        "media": "a.mp4",
        "sets": [{
            "exercise": "bicep_curl", "exercise_p": 0.8, "start_s": 0.0, "end_s": 2.2, "reps": 3, "reps_complete": 2,
            "correct": 1, "unscorable": 0,
            "muscles": {"primary": ["biceps"], "secondary": ["forearms"]},
            "muscle_scores": {"biceps": 0.7124, "calves": 0.0},
        }],
        "mask_share": {"biceps": 0.1},
    }  # fmt: skip
    assert module._sentence(found["sets"][0]) == "bicep curl (3 repetitions) should work: biceps"


def test_without_models_and_without_a_recognised_name_there_is_null() -> None:
    found = module._entry(Path("a.mp4"), [row(exercise_p="")], None, [])
    assert (found["mask_share"], found["sets"][0]["muscle_scores"]) == (None, None)
    assert found["sets"][0]["exercise_p"] is None
    assert module._entry(Path("b.png"), [], None, [])["sets"] == []


def test_a_picture_is_predicted_without_any_trained_model(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    from repset.video import encode_png

    monkeypatch.chdir(project.root)
    (tmp_path / "wall.png").write_bytes(encode_png(np.full((120, 160, 3), 90, np.uint8)))
    done = CliRunner().invoke(cli, ["predict", "wall.png", "--out", "out", "--jobs", "1"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    said = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))
    assert said["media"] == [{"media": "wall.png", "sets": [], "mask_share": None}]
    assert "wall.png: no exercise" in done.output
    assert "note: no masks, for there is no trained model (repset train segmentation)." in done.output
    assert (tmp_path / "out" / "labels" / "summary.csv").is_file()


# --- models ------------------------------------------------------------------------------------------------------


@pytest.fixture
def scored(project: Project) -> Project:
    """Two models with scores, one of which has weights."""
    training: dict[str, Any] = {"temporal": {"clip": {"accuracy": 0.9}}, "baseline": {"clip": {"accuracy": 0.3}}}
    first = {**training, "temporal": {"clip": {"accuracy": 0.8}}}
    write_json(project.model("exercise") / "metrics.json",
               {"data": "rendered sample", "fold": "test", "bootstrap": first, "final": training})  # fmt: skip
    write_json(project.model("exercise") / "final" / "card.json", {"weights_sha256": "abcdef0123"})
    write_json(project.model("mine") / "metrics.json", {"data": "real", "score": 1})
    (project.root / "models" / "empty").mkdir()
    return project


def test_every_model_is_listed_with_its_first_score(scored: Project) -> None:
    assert list_models(scored) == [
        {"model": "empty", "data": None, "weights": {}, "scores": []},
        {"model": "exercise", "data": "rendered sample", "weights": {"final": "abcdef0123"},
         "scores": [{"name": "clips named right", "score": 0.9, "baseline": 0.3}]},
        {"model": "mine", "data": "real", "weights": {}, "scores": []},
    ]  # fmt: skip


def test_the_first_scores_of_the_committed_metrics_are_found() -> None:
    root = Path(__file__).parent.parent
    found = {row["model"]: row for row in list_models(Project(root))}
    for name in ("exercise", "muscles"):
        (score,) = found[name]["scores"]
        assert score["score"] > score["baseline"]


def test_bootstrap_and_final_are_compared(scored: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    found = compare(read_scores(scored, "exercise/bootstrap"), read_scores(scored, "exercise/final"))
    assert found["temporal.clip.accuracy"] == (0.8, 0.9, 0.1)
    assert found["data"] == ("rendered sample", "rendered sample", None)
    monkeypatch.chdir(scored.root)
    done = CliRunner().invoke(cli, ["models", "compare", "exercise"], catch_exceptions=False)
    assert "+0.1000" in done.output
    assert "0.3" not in done.output  # the baseline is the same: left out
    done = CliRunner().invoke(cli, ["models", "compare", "exercise/final", "mine", "--json"], catch_exceptions=False)
    assert json.loads(done.output)["scores"]["score"] == [None, 1, None]


def test_scores_on_other_data_are_not_comparable_and_it_says_so(
    scored: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scored.root)
    done = CliRunner().invoke(cli, ["models", "compare", "exercise/final", "mine"], catch_exceptions=False)
    assert "note: data differs (rendered sample, real): these scores are not comparable." in done.output


def test_an_unknown_model_or_training_is_one_sentence(scored: Project) -> None:
    with pytest.raises(DataError) as error:
        read_scores(scored, "other")
    assert str(error.value) == (
        "other: expected a model with scores (exercise, mine), found none of that name. Run: repset evaluate MODEL."
    )
    with pytest.raises(DataError) as error:
        read_scores(scored, "exercise/best")
    assert str(error.value) == (
        f"{scored.model('exercise') / 'metrics.json'}: expected scores of a training (bootstrap, final), found 'best'. "
        "Name one of these, or the model alone."
    )
