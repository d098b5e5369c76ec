"""Seed, curate and accept on tables made by hand."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from repset.cli import cli
from repset.curate.build import build_curated, build_seed
from repset.curate.chain import trace
from repset.curate.decision import Decision, Proposal
from repset.curate.ledger import Ledger
from repset.curate.rounds import close_round
from repset.errors import DataError, RepsetError
from repset.project import Project
from repset.records import TABLES, canonical_json, read_rows, sha256_bytes, write_table


def mask(left: int, right: int) -> bytes:
    """An 8 × 10 PNG mask, columns [left, right) set."""
    image = np.zeros((8, 10), np.uint8)
    image[:, left:right] = 255
    return bytes(cv2.imencode(".png", image)[1])


def sample(sample_id: str, kind: str = "clip", **columns: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(TABLES["samples"].names)
    row |= {"sample_id": sample_id, "source": sample_id.split("/")[0], "kind": kind, "width": 10, "height": 8}
    row |= {"group": sample_id.split("/")[1], "media_sha256": sha256_bytes(sample_id.encode())}
    row |= {"fps": 10.0, "frames": 100} if kind != "image" else {"frames": 1}
    return row | columns


def write_source(project: Project, source: str, folds: dict[str, str], **tables: list[dict[str, Any]]) -> None:
    """An index with the given tables (the rest empty) and a split with the given folds."""
    for name in ("samples", "frames", "masks", "sets", "poses", "reps", "form"):
        rows = [dict.fromkeys(TABLES[name].names) | row for row in tables.get(name, [])]
        write_table(project.index(source) / f"{name}.parquet", name, rows)
    rows = [
        {"sample_id": row["sample_id"], "group": row["group"], "fold": folds[row["sample_id"]], "official_split": None}
        for row in tables["samples"]
    ]
    write_table(project.split(source) / "split.parquet", "split", rows)


def write_labels(project: Project, source: str, **tables: list[dict[str, Any]]) -> None:
    for name in ("poses", "angles", "reps", "form", "sets"):
        rows = [dict.fromkeys(TABLES[name].names) | row for row in tables.get(name, [])]
        write_table(project.labels(source) / f"{name}.parquet", name, rows)


def rep(sample_id: str, start: int, end: int, verdict: str, origin: str, **columns: Any) -> dict[str, Any]:
    row = {"sample_id": sample_id, "person": 0, "set": 0, "level": "rep", "rep": 0, "start": start, "end": end}
    return row | {"exercise": "squat", "verdict": verdict, "origin": origin, "rule_set": "default"} | columns


@pytest.fixture
def images(project: Project) -> Project:
    """Two images of source `photos`: a (variants v1 and v2, biceps), b (no muscle)."""
    frames = [("photos/a", "v1"), ("photos/a", "v2"), ("photos/b", "v1")]
    write_source(
        project,
        "photos",
        {"photos/a": "train", "photos/b": "test"},
        samples=[sample("photos/a", "image"), sample("photos/b", "image")],
        frames=[{"sample_id": s, "frame": 0, "variant": v, "sha256": f"{s}{v}"} for s, v in frames],
        masks=[
            {
                "sample_id": "photos/a",
                "variant": v,
                "person": 0,
                "label": "biceps",
                "png": mask(0, 5),
                "origin": "dataset",
            }
            for v in ("v1", "v2")
        ],
    )
    return project


@pytest.fixture
def clips(project: Project) -> Project:
    """Source `gym`: a named clip, a clip outside the ontology, a workout with a set and rest, three unlabelled ones."""
    ids = ["gym/named", "gym/other", "gym/workout", "gym/free", "gym/later", "gym/judged"]
    write_source(
        project,
        "gym",
        dict(zip(ids, ("train", "test", "train", "train", "validation", "train"), strict=True)),
        samples=[
            sample("gym/named", exercise="squat", exercise_native="squats"),
            sample("gym/other", exercise_native="bowl"),
            *(sample(name) for name in ids[2:]),
        ],
        sets=[
            {"sample_id": "gym/workout", "set": 0, "start": 0, "end": 40, "exercise": "squat", "origin": "dataset"},
            {"sample_id": "gym/workout", "set": 1, "start": 40, "end": 100, "exercise": "none", "origin": "dataset"},
        ],
        form=[rep("gym/judged", 0, 20, "correct", "dataset"), rep("gym/judged", 20, 40, "incorrect", "dataset")],
    )
    return project


def rows_of(path: Path) -> list[dict[str, Any]]:
    return read_rows(path, "curated")


def brief(path: Path, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in rows_of(path)]


def test_every_stored_image_has_a_background_row_and_every_mask_its_own(images: Project) -> None:
    built = build_curated(images, "muscle_mask", "photos")
    targets = [(sample_id, json.loads(t)["class"], json.loads(t)["variant"], blob) for sample_id, t, blob in brief(
        built.path, "sample_id", "target", "blob")]  # fmt: skip
    assert targets == [
        ("photos/a", "background", "v1", None),
        ("photos/a", "background", "v2", None),
        ("photos/a", "biceps", "v1", mask(0, 5)),
        ("photos/a", "biceps", "v2", mask(0, 5)),
        ("photos/b", "background", "v1", None),
    ]
    assert {row["tier"] for row in rows_of(built.path)} == {"gold"}
    assert [row["fold"] for row in rows_of(built.path)] == ["train"] * 4 + ["test"]


def test_an_exercise_comes_from_sets_or_from_the_whole_clip(clips: Project) -> None:
    built = build_seed(clips, "exercise", "gym", None)
    assert brief(built.path, "sample_id", "target", "value", "tier") == [
        ("gym/named", '{"frames":[0,100],"interval_s":null}', '"squat"', "gold"),
        ("gym/other", '{"frames":[0,100],"interval_s":null}', '"bowl"', "gold"),
        ("gym/workout", '{"frames":[0,40],"interval_s":[0.0,4.0]}', '"squat"', "gold"),
        ("gym/workout", '{"frames":[40,100],"interval_s":[4.0,10.0]}', '"none"', "gold"),
    ]
    assert built.report["left_out"] == {"clip without an exercise": 3}
    assert built.report["classes"]["squat"] == {"train": 2, "calibration": 0, "validation": 0, "test": 0}


def test_automatic_labels_fill_gaps_and_are_compared_where_the_dataset_speaks(clips: Project) -> None:
    write_labels(
        clips,
        "gym",
        sets=[
            {"sample_id": "gym/free", "set": 0, "start": 0, "end": 50, "exercise": "lunge", "origin": "model"},
            {"sample_id": "gym/workout", "set": 0, "start": 0, "end": 40, "exercise": "lunge", "origin": "model"},
            {"sample_id": "gym/workout", "set": 1, "start": 45, "end": 100, "exercise": "none", "origin": "model"},
            {"sample_id": "gym/named", "set": 0, "start": 0, "end": 90, "exercise": "squat", "origin": "dataset"},
        ],
        form=[
            rep("gym/judged", 1, 20, "incorrect", "rule", rule_id="depth", rules_sha256="r1"),
            rep("gym/judged", 60, 80, "correct", "rule", rules_sha256="r1"),
            rep("gym/free", 5, 15, "correct", "rule", rules_sha256="r1"),
            rep("gym/free", 5, 15, "incorrect", "rule", rule_id="lockout", rules_sha256="r1"),
            rep("gym/free", 0, 100, "incorrect", "rule", level="clip", rep=None),
        ],
    )
    exercise = build_curated(clips, "exercise", "gym")
    assert [row for row in brief(exercise.path, "sample_id", "value", "tier") if row[2] == "auto"] == [
        ("gym/free", '"lunge"', "auto")
    ]
    assert exercise.report["agreement"] == {
        "compared": 2,
        "equal": 1,
        "confusion": {"none": {"none": 1}, "squat": {"lunge": 1}},
    }
    form = build_curated(clips, "form", "gym")
    assert brief(form.path, "sample_id", "target", "value", "tier", "origin_hash") == [
        ("gym/free", '{"exercise":"squat","frames":[5,15],"interval_s":[0.5,1.5],"person":0,"rule_id":"lockout"}',
         '"incorrect"', "auto", "r1"),
        ("gym/judged", '{"exercise":"squat","frames":[0,20],"interval_s":[0.0,2.0],"person":0,"rule_id":null}',
         '"correct"', "gold", None),
        ("gym/judged", '{"exercise":"squat","frames":[20,40],"interval_s":[2.0,4.0],"person":0,"rule_id":null}',
         '"incorrect"', "gold", None),
    ]  # fmt: skip
    assert form.report["agreement"]["confusion"] == {"correct": {"incorrect": 1}, "incorrect": {"missing": 1}}
    assert form.report["left_out"] == {
        "auto: gold label of the same target": 1,
        "auto: the dataset labels this sample": 1,
        "form verdict of a clip, not of a repetition": 1,
    }


def test_decisions_reach_curated_at_once_and_seed_only_after_a_closed_round(images: Project) -> None:
    shown = Proposal("dataset", None, sha256_bytes(mask(0, 5)))
    target = {"class": "biceps", "person": 0, "variant": "v1"}
    decision = Decision(
        "anna", "label_studio", "photos/a", "muscle_mask", target, "edit", png=mask(0, 7), proposal=shown
    )  # fmt: skip
    Ledger(images.reviews).append(decision)
    shutil.rmtree(images.reviews.parent / "curated", ignore_errors=True)
    columns = ("target", "tier", "origin", "reviewer", "blob", "original_blob")
    edited = [row for row in brief(build_curated(images, "muscle_mask", "photos").path, *columns) if row[3]]
    text = '{"class":"biceps","person":0,"variant":"v1"}'
    assert edited == [(text, "gold_corrected", "human", "anna", mask(0, 7), mask(0, 5))]
    assert build_seed(images, "muscle_mask", "photos", None).report["tiers"] == {"gold": 5}
    close_round(Ledger(images.reviews), "first")
    assert build_seed(images, "muscle_mask", "photos", "first").report["tiers"] == {"gold": 4, "gold_corrected": 1}


def test_the_same_inputs_give_the_same_bytes(clips: Project) -> None:
    first = build_curated(clips, "exercise", "gym").path
    before = {path.name: path.read_bytes() for path in first.parent.iterdir()}
    assert {
        path.name: path.read_bytes() for path in build_curated(clips, "exercise", "gym").path.parent.iterdir()
    } == before
    assert set(before) == {"table.parquet", "report.json"}


def test_a_source_that_cannot_give_a_task_says_so(images: Project) -> None:
    with pytest.raises(RepsetError) as caught:
        build_curated(images, "exercise", "photos")
    assert str(caught.value) == (
        "photos: expected clips with an exercise or sets, automatic sets, or people's labels, found none. "
        "Name a source that has labels for exercise."
    )
    assert not images.curated("exercise", "photos").exists()


def test_a_set_without_a_frame_rate_is_an_error(project: Project) -> None:
    write_source(
        project, "gym", {"gym/w": "train"}, samples=[sample("gym/w", fps=None)],
        sets=[{"sample_id": "gym/w", "set": 0, "start": 0, "end": 4, "exercise": "squat", "origin": "dataset"}],
    )  # fmt: skip
    with pytest.raises(DataError) as caught:
        build_seed(project, "exercise", "gym", None)
    assert str(caught.value) == (
        "gym/w: expected a frame rate (its labels are stretches of time), found fps None. "
        "State fps in the source's file under pipelines/ and run repset index again."
    )


def proposal(sample_id: str, score: float, value: str = "lunge") -> dict[str, Any]:
    target = {"interval_s": None, "frames": [0, 100]}
    return {
        "sample_id": sample_id, "task": "exercise", "target": canonical_json(target), "value": canonical_json(value),
        "blob": None, "score": score, "origin": "model", "origin_hash": "m1", "value_hash": "h",
    }  # fmt: skip


def test_an_accept_of_a_proposal_that_changed_is_stale(clips: Project) -> None:
    write_table(clips.proposals("exercise", "gym") / "table.parquet", "proposals", [proposal("gym/free", 0.9)])
    shown = Proposal("model", "m1", "h")
    Ledger(clips.reviews).append(
        Decision("bo", "fiftyone", "gym/free", "exercise", {"interval_s": None}, "accept", "lunge", proposal=shown)
    )
    built = build_curated(clips, "exercise", "gym")
    assert ("gym/free", '"lunge"', "accepted", "bo") in brief(built.path, "sample_id", "value", "tier", "reviewer")
    write_table(clips.proposals("exercise", "gym") / "table.parquet", "proposals", [proposal("gym/free", 0.9, "squat")])
    built = build_curated(clips, "exercise", "gym")
    assert "gym/free" not in {row["sample_id"] for row in rows_of(built.path)}
    assert [(item["sample_id"], item["now"]) for item in built.report["decisions"]["stale"]] == [
        ("gym/free", ['"squat" {"frames":[0,100],"interval_s":null}'])
    ]


def test_a_decision_on_an_unknown_sample_or_on_other_media_is_reported(clips: Project) -> None:
    ledger = Ledger(clips.reviews)
    ledger.append(Decision("bo", "t", "gym/gone", "exercise", {"interval_s": None}, "new", "squat"))
    ledger.append(
        Decision("bo", "t", "gym/free", "exercise", {"interval_s": [1.0, 2.0]}, "new", "squat", media_sha256="0" * 64)
    )
    report = build_curated(clips, "exercise", "gym").report["decisions"]
    assert report["samples_not_in_the_index"] == ["gym/gone"]
    assert len(report["media_changed_since"]) == 1
    target = next(
        row["target"] for row in rows_of(clips.curated("exercise", "gym") / "table.parquet") if row["reviewer"]
    )
    assert target == '{"frames":[10,20],"interval_s":[1.0,2.0]}'


def test_deleting_every_output_loses_no_decision(images: Project) -> None:
    ledger = Ledger(images.reviews)
    target = {"class": "calf", "person": 0, "variant": "v1"}
    drawn = ledger.append(Decision("anna", "t", "photos/b", "muscle_mask", target, "new", png=mask(2, 4)))
    shown = Proposal("human", None, drawn.blob)
    ledger.append(
        Decision("bo", "t", "photos/b", "muscle_mask", target, "edit", None, mask(2, 5), shown, supersedes=drawn.id)
    )
    before = build_curated(images, "muscle_mask", "photos").path.read_bytes()
    for folder in ("curated", "seed", "proposals", "accepted"):
        shutil.rmtree(images.root / "datasets" / folder, ignore_errors=True)
    after = build_curated(images, "muscle_mask", "photos").path
    assert after.read_bytes() == before
    assert ("photos/b", mask(2, 5), "gold", "bo") in brief(after, "sample_id", "blob", "tier", "reviewer")


def test_why_prints_the_chain_of_a_sample(clips: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPSET_ROOT", str(clips.root))
    write_labels(clips, "gym", form=[rep("gym/judged", 0, 19, "incorrect", "rule", rule_id="depth", rules_sha256="r1")])
    base = Decision("bo", "bench", "gym/judged", "form", {"person": 0, "interval_s": [0.0, 2.0]}, "new", "correct")
    edit = replace(base, reviewer="anna", action="edit", value="unscorable", at="2026-11-21T10:00:00Z")
    edit = replace(edit, proposal=Proposal("dataset", None, None))
    wrong = replace(base, at="2026-11-22T10:00:00Z")
    undo = replace(base, action="undo", value=None, supersedes=wrong.id, at="2026-11-23T10:00:00Z")
    for decision in (edit, wrong, undo):
        Ledger(clips.reviews).append(decision)
    result = CliRunner().invoke(cli, ["why", "gym/judged"], catch_exceptions=False)
    assert result.output.splitlines() == [
        "gym/judged  clip, fold train, group judged",
        "└── form",
        "    ├── 0.00–2.00 s → unscorable  gold_corrected",
        "    │   ├── dataset: correct  (gold)",
        "    │   ├── rule r1: incorrect by depth  (auto)",
        f"    │   ├── 2026-11-21T10:00:00Z anna (bench): edit unscorable → applied  {edit.id}",
        '    │   └── the dataset\'s own value is kept: "correct"',
        "    ├── 2.00–4.00 s → incorrect  gold",
        "    │   └── dataset: incorrect  (gold)",
        "    ├── set aside",
        f"    │   ├── 2026-11-22T10:00:00Z bo (bench): new correct → undone  {wrong.id}",
        f"    │   └── 2026-11-23T10:00:00Z bo (bench): undo → undo  {undo.id}",
        "    ├── no accepted proposals (datasets/accepted/form/gym/table.parquet)",
        "    └── no proposals (datasets/proposals/form/gym/table.parquet)",
    ]


def test_why_of_an_unknown_sample_names_some(clips: Project) -> None:
    with pytest.raises(DataError) as caught:
        trace(clips, "gym/nobody")
    assert str(caught.value) == (
        "gym/nobody: expected a sample of gym, found none. Name one of its 6 samples, for example gym/free."
    )
    with pytest.raises(DataError) as caught:
        trace(clips, "nowhere/a")
    assert str(caught.value) == (
        "nowhere/a: expected <source>/<native id> of an indexed source, found no such source. Name a sample of gym."
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["curate", "muscle_mask", "photos"], "muscle_mask on photos: 5 labels"),
        (["seed", "muscle_mask", "photos"], "tiers: gold 5"),
        (["split", "photos"], "groups shared between folds: 0"),
    ],
)
def test_the_commands_print_counts_and_the_path(
    images: Project, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.setenv("REPSET_ROOT", str(images.root))
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert said in result.output
    assert "written: " in result.output
