"""Masks proposed from the pose for a source without any: from the table of proposals to a label that a person gave."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from repset.autolabel import cold_start
from repset.autolabel.muscle_proposals import MUSCLES
from repset.cli import cli
from repset.curate.acceptance import accept
from repset.curate.build import build_curated
from repset.curate.decision import Decision, Proposal
from repset.curate.ledger import Ledger
from repset.errors import ConfigError, DataError
from repset.params import load_params
from repset.project import Project
from repset.records import TABLES, read_rows, sha256_bytes, write_table
from repset.video import ShardWriter, encode_png
from tests.test_muscle_proposals import BENT, EVERYWHERE, SIZE, joints

GYM = "photos"


def full(table: str, **columns: Any) -> dict[str, Any]:
    return dict.fromkeys(TABLES[table].names) | columns


@pytest.fixture
def photos(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Three photos without a label: two of somebody with bent arms, one of nobody."""
    writer, samples, split = ShardWriter(project.index(GYM), 1 << 22), [], []
    for number in range(3):
        name = f"{GYM}/{number}"
        image = np.full((SIZE, SIZE, 3), 10 * number, np.uint8)
        writer.add(name, 0, "", f"{number}.png", encode_png(image))
        exercise, sha256 = "bicep_curl" if number == 0 else None, sha256_bytes(name.encode())
        samples.append(full("samples", sample_id=name, source=GYM, kind="image", group=name, exercise=exercise,
                            media_sha256=sha256))  # fmt: skip
        split.append(full("split", sample_id=name, group=name, fold="train"))
    writer.close()
    for table in ("masks", "sets", "poses", "reps", "form"):
        write_table(project.index(GYM) / f"{table}.parquet", table, [])
    write_table(project.index(GYM) / "frames.parquet", "frames", writer.rows)
    write_table(project.index(GYM) / "samples.parquet", "samples", samples)
    write_table(project.split(GYM) / "split.parquet", "split", split)

    def outline(image: np.ndarray, model: str) -> Any:
        return None if image[0, 0, 0] == 20 else (joints(BENT, 40), EVERYWHERE)

    monkeypatch.setattr(cold_start, "outline_image", outline)  # the pose itself: tests/test_pose.py
    return project


def classes(project: Project, sample: str) -> list[str]:
    rows = read_rows(project.proposals("muscle_mask", GYM) / "table.parquet", "proposals")
    return [json.loads(row["target"])["class"] for row in rows if row["sample_id"] == sample]


def test_an_exercise_gates_the_muscles_and_nobody_gives_no_row(photos: Project) -> None:
    drafted = cold_start.draft(photos, GYM)
    assert (drafted.images, drafted.empty) == (3, 1)
    assert classes(photos, f"{GYM}/0") == ["background", "biceps", "forearm"]
    assert {"background", "biceps", "chest", "quadriceps"} <= set(classes(photos, f"{GYM}/1"))
    assert classes(photos, f"{GYM}/2") == []
    cold_start.draft(photos, GYM, ("biceps", "calf"), "tricep_extension")
    assert classes(photos, f"{GYM}/0") == ["background", "biceps"]  # its own exercise is known
    assert classes(photos, f"{GYM}/1") == ["background"]


def test_a_proposal_that_a_person_accepts_becomes_a_label_and_the_others_wait_for_an_audit(photos: Project) -> None:
    cold_start.draft(photos, GYM, ("biceps",))
    row = next(row for row in read_rows(photos.proposals("muscle_mask", GYM) / "table.parquet", "proposals")
               if row["blob"])  # fmt: skip
    shown = Proposal("mediapipe", row["origin_hash"], row["value_hash"])
    target = json.loads(row["target"])
    Ledger(photos.reviews).append(
        Decision("bo", "t", row["sample_id"], "muscle_mask", target, "accept", png=row["blob"], proposal=shown)
    )
    report = accept(photos, "muscle_mask", GYM, load_params(photos).accept).report
    assert (report["accepted"], report["known_by"], report["audit"]["drawn"], report["audit"]["judged"]) == (
        0, "audit", 2, 1,
    )  # fmt: skip
    rows = read_rows(build_curated(photos, "muscle_mask", GYM).path, "curated")
    assert [(r["sample_id"], json.loads(r["target"])["class"], r["tier"], r["blob"]) for r in rows] == [
        (f"{GYM}/0", "biceps", "accepted", row["blob"])
    ]


def test_the_command_counts_what_it_proposed(photos: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.root)
    words = ["preannotate", "muscle_mask", GYM]
    shown = CliRunner().invoke(cli, [*words, "--from-pose", "--exercise", "bicep_curl"])
    assert shown.exit_code == 0, shown.output
    assert "3 images, 1 of them without a person that is seen: biceps 2, forearm 2" in shown.output
    for options, sentence in (
        ([*words, "--from-pose", "--muscle", "heart"],
         f"--muscle: expected one of {', '.join(MUSCLES)}, found 'heart'. Name one of these."),
        ([*words, "--muscle", "biceps"],
         "--muscle: expected --from-pose beside it, found none. Add it, or leave --muscle out."),
        (["preannotate", "exercise", GYM, "--from-pose"],
         "--from-pose: expected the task muscle_mask, found exercise. The pose proposes masks only."),
    ):  # fmt: skip
        shown = CliRunner().invoke(cli, options)
        assert (shown.exit_code, str(shown.exception)) == (1, sentence)


def test_a_models_proposals_are_not_overwritten_and_clips_are_no_images(project: Project) -> None:
    with pytest.raises(ConfigError) as caught:
        cold_start.draft(project, "sample_roboflow")
    assert str(caught.value) == (
        "sample_roboflow: expected a source without a model, found one in pipelines/profile.yaml. "
        "Use repset preannotate muscle_mask sample_roboflow, whose proposals these would replace."
    )
    path: Path = write_table(project.index("clips") / "samples.parquet", "samples", [])
    with pytest.raises(DataError) as found:
        cold_start.draft(project, "clips")
    assert str(found.value) == f"{path}: expected images, found none. Muscles of clips: repset segment --from-pose."
