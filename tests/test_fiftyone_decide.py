"""What FiftyOne is given and what comes back from it, without its database: documents, labels, decisions."""

import io
import zlib
from pathlib import Path
from typing import Any

import cv2
import label_studio_world as world_of
import numpy as np
import pytest

pytest.importorskip("bson", reason="FiftyOne (extra: review) is not installed")

from repset.curate.build import build_curated
from repset.curate.decision import Decision, Proposal
from repset.curate.ledger import Ledger
from repset.errors import ConfigError, RepsetError
from repset.project import Project
from repset.records import TABLES, canonical_json, sha256_bytes, write_table
from repset.review.fiftyone_decide import Picked, decide, joint_key, labels_of, name_clip, undo_last
from repset.review.fiftyone_docs import Source, sample_key
from repset.review.fiftyone_final import predict

CLASSES, SIZE, blob_mask, lines = world_of.CLASSES, world_of.SIZE, world_of.blob_mask, world_of.lines

PHOTO, CLIP = ("photos/000", ""), ("clips/000", "")


@pytest.fixture
def world(tmp_path: Path) -> Project:
    project: Project = world_of.project_at(tmp_path)
    world_of.photos(project, 3)
    world_of.clips(project)
    return project


def docs(project: Project, source: str, kind: str) -> dict[str, dict[str, Any]]:
    found = [entry.document() for entry in Source(project, source).entries(kind)]
    return {doc["sample_id"]: doc for doc in found}


def pick(*samples: tuple[str, str], **labels: int | None) -> Picked:
    return Picked(samples, labels)


def proposals(project: Project, task: str, source: str, rows: list[dict[str, Any]]) -> None:
    folder = project.proposals(task, source)
    full = [dict.fromkeys(TABLES["proposals"].names) | {"task": task, "origin": "model", "origin_hash": "a" * 64} | row
            for row in rows]  # fmt: skip
    write_table(folder / "table.parquet", "proposals", full)


# --- documents -------------------------------------------------------------------------------------------------------


def test_masks_are_those_of_the_table_to_the_pixel(world: Project) -> None:
    doc = docs(world, "photos", "image")["photos/001"]
    found = {one["label"]: one for one in doc["masks"]["detections"]}
    assert sorted(found) == sorted(CLASSES)
    for k, name in enumerate(CLASSES):
        box, mask = found[name]["bounding_box"], np.load(io.BytesIO(zlib.decompress(found[name]["mask"])))
        whole = np.zeros(SIZE, bool)
        x, y = round(box[0] * SIZE[1]), round(box[1] * SIZE[0])
        whole[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
        assert (whole == blob_mask(3 + k)).all()
        assert (found[name]["origin"], found[name]["tier"]) == ("dataset", "gold")


def test_repetitions_are_spans_from_one_with_the_last_frame(world: Project) -> None:
    doc = docs(world, "clips", "clip")["clips/000"]
    reps = doc["reps"]["detections"]
    assert [(one["label"], one["support"]) for one in reps] == [
        ("correct", [1, 10]), ("incorrect", [13, 22]), ("unscorable", [25, 34]),
    ]  # fmt: skip
    assert (reps[1]["value_deg"], reps[1]["high_deg"], reps[1]["rule"]) == (90.0, 95.0, "depth")
    assert doc["exercise"]["label"] == "squat"
    assert doc["metadata"]["total_frame_count"] == 40


def test_frames_hold_joints_as_shares_of_the_picture_and_leave_absent_ones_open(world: Project) -> None:
    entry = next(Source(world, "clips").entries("clip", ["clips/000"]))
    assert entry.frames is not None
    frames = entry.frames()
    assert [frame["frame_number"] for frame in frames] == list(range(1, 41))
    rng = np.random.default_rng(7)  # as the world drew frame 7
    x, y = rng.random(13) * (SIZE[1] - 1), rng.random(13) * (SIZE[0] - 1)
    points = np.array(frames[7]["pose"]["keypoints"][0]["points"], float)
    assert np.isnan(points[3]).all()
    others = [k for k in range(13) if k != 3]
    assert np.abs(points[others] - np.stack([x / SIZE[1], y / SIZE[0]], -1)[others]).max() < 1e-5


def test_a_document_changes_its_digest_only_when_what_it_shows_changes(world: Project) -> None:
    before, again = (docs(world, "photos", "image") for _ in range(2))
    assert {key: doc["digest"] for key, doc in before.items()} == {key: doc["digest"] for key, doc in again.items()}
    source = Source(world, "photos")
    decide(world, source, labels_of(source, pick(PHOTO), "muscle_mask"), "accept", None, "ana")
    after = docs(world, "photos", "image")
    assert {key for key in before if before[key]["digest"] != after[key]["digest"]} == {"photos/000"}


def test_predictions_stand_beside_the_truth_and_say_how_far_they_differ(world: Project) -> None:
    """Truth is an ellipse, the prediction its upper half: the overlap is counted here by pixels."""
    truth = blob_mask(0)
    half = truth.copy()
    half[np.flatnonzero(truth.any(1)).mean().astype(int) :] = False
    png = bytes(cv2.imencode(".png", (half * 255).astype(np.uint8))[1])
    target = canonical_json({"class": CLASSES[0], "person": 0, "variant": ""})
    row = {"sample_id": "photos/000", "target": target, "blob": png, "score": 0.4, "value_hash": sha256_bytes(png)}
    proposals(world, "muscle_mask", "photos", [row])
    doc = docs(world, "photos", "image")["photos/000"]
    (guess,) = doc["predicted_masks"]["detections"]
    assert (guess["label"], guess["origin"], guess["confidence"]) == (CLASSES[0], "model", 0.4)
    assert "tier" not in guess
    iou = half.sum() / truth.sum()
    assert doc["disagreement"] == pytest.approx(1 - iou)
    assert doc["disagrees"] == ["model against dataset"]
    assert doc["confidence"] == 0.4
    assert "disagreement" not in docs(world, "photos", "image")["photos/001"]


def test_what_the_final_model_says_stands_beside_until_it_is_trained_anew(
    world: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bootstrap proposed the exercise lunge, the final model says squat."""

    class Final:
        def propose(self, project: Project, folder: Path, task: str, source: str, *rest: Any) -> list[dict[str, Any]]:
            assert (folder.name, task, source) == ("final", "exercise", "clips")
            return [{**row("squat"), "origin_hash": "b" * 64}]

    def row(word: str) -> dict[str, Any]:
        target = canonical_json({"interval_s": None, "frames": [0, 40]})
        empty = dict.fromkeys(TABLES["proposals"].names)
        return {**empty, "sample_id": "clips/000", "task": "exercise", "target": target, "origin": "model",
                "origin_hash": "a" * 64, "value": f'"{word}"', "score": 0.8}  # fmt: skip

    world.pipelines.mkdir()
    (world.pipelines / "profile.yaml").write_text(
        "profile: sample\nrecipe: params.yaml\nsources: [clips]\njudged: []\n"
        "models: {exercise: {task: exercise, sources: [clips]}}\n"
        "pairs: {exercise-clips: {task: exercise, source: clips, model: exercise}}\n"
    )
    weights = world.model("exercise") / "final" / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"one")
    proposals(world, "exercise", "clips", [row("lunge")])
    monkeypatch.setattr("repset.learn.load_model", lambda name: Final())
    assert "final_exercise" not in docs(world, "clips", "clip")["clips/000"]
    assert predict(world, "clips", lambda done, total, label: None) == 1
    doc = docs(world, "clips", "clip")["clips/000"]
    assert doc["final_exercise"]["classifications"][0]["label"] == "squat"
    assert doc["differences"] == [
        "bootstrap against final: lunge, not squat", "model against dataset: lunge, not squat",
    ]  # nothing of its verdicts  # fmt: skip
    assert doc["disagrees"] == ["bootstrap against final", "model against dataset"]
    weights.write_bytes(b"two")
    assert "final_exercise" not in docs(world, "clips", "clip")["clips/000"]
    with pytest.raises(RepsetError, match="photos: expected a final model for it, found none"):
        predict(world, "photos", lambda done, total, label: None)


def test_findings_are_tags_on_both_samples_of_a_pair(world: Project) -> None:
    sentence = "a copy of photos/002; the set's own split has them on different sides."
    finding = {"code": "near_duplicate", "severity": "error", "sample_id": "photos/000", "other_id": "photos/002",
               "value": 0.99, "sentence": sentence}  # fmt: skip
    write_table(world.checks("photos") / "findings.parquet", "findings",
                [dict.fromkeys(TABLES["findings"].names) | finding])  # fmt: skip
    found = docs(world, "photos", "image")
    assert [found[key]["tags"] for key in sorted(found)] == [["leak", "near_duplicate"], [], ["leak", "near_duplicate"]]
    assert found["photos/002"]["findings"]["classifications"][0]["sentence"] == finding["sentence"]


def test_an_accept_that_no_longer_holds_is_stale(world: Project) -> None:
    """The rule's verdict was accepted; now the rule says something else of the same stretch."""
    target = {"interval_s": [0.0, 1.0], "person": 0}
    Ledger(world.reviews).append(
        Decision("ana", "rep_bench", "clips/001", "form", target, "accept", "incorrect",
                 proposal=Proposal("dataset", None, None))
    )  # fmt: skip
    doc = docs(world, "clips", "clip")["clips/001"]
    assert doc["stale"] == 1
    assert "stale" in doc["tags"]
    assert docs(world, "clips", "clip")["clips/000"]["stale"] == 0


# --- decisions -------------------------------------------------------------------------------------------------------


def test_accepting_a_picture_writes_a_line_for_each_mask_and_twice_changes_nothing(world: Project) -> None:
    source = Source(world, "photos")
    done = decide(world, source, labels_of(source, pick(PHOTO), "muscle_mask"), "accept", None, "ana")
    assert [(one.action, one.target["class"]) for one in done.written] == [("accept", name) for name in sorted(CLASSES)]
    assert done.written[0].png is not None
    assert {one.tool for one in lines(world)} == {"fiftyone"}
    assert lines(world)[0].media_sha256 == sha256_bytes(b"photos/000")
    source.said.refresh(["photos/000"])
    again = decide(world, source, labels_of(source, pick(PHOTO), "muscle_mask"), "accept", None, "ana")
    assert (again.written, again.known, len(lines(world))) == ([], 3, 3)


def test_one_label_is_rejected_and_the_curated_table_lacks_it(world: Project) -> None:
    source = Source(world, "photos")
    (one,) = [label for label in labels_of(source, pick(PHOTO)) if label.target["class"] == "calf"]
    decide(world, source, labels_of(source, pick(PHOTO, **{one.id: None})), "reject", None, "ana")
    assert [(d.action, d.target["class"]) for d in lines(world)] == [("reject", "calf")]
    report = build_curated(world, "muscle_mask", "photos").report
    assert report["classes"]["calf"]["train"] == 2
    assert report["classes"]["biceps"]["train"] == 3


def test_a_muscle_renamed_is_gone_there_and_corrected_here(world: Project) -> None:
    source = Source(world, "photos")
    (one,) = [label for label in labels_of(source, pick(PHOTO)) if label.target["class"] == "calf"]
    decide(world, source, [one], "reject", None, "ana")
    source.said.refresh()
    (other,) = [label for label in labels_of(source, pick(PHOTO)) if label.target["class"] == "biceps"]
    decide(world, source, [other], "relabel", "calf", "ana")
    assert [(d.action, d.target["class"]) for d in lines(world)] == [
        ("reject", "calf"), ("reject", "biceps"), ("edit", "calf"),
    ]  # fmt: skip
    found = {one["label"]: one for one in docs(world, "photos", "image")["photos/000"]["masks"]["detections"]}
    assert sorted(found) == ["calf", "triceps"]
    assert (found["calf"]["tier"], found["calf"]["reviewer"]) == ("gold_corrected", "ana")


def test_another_verdict_for_one_repetition_leaves_the_others(world: Project) -> None:
    source = Source(world, "clips")
    labels = [label for label in labels_of(source, pick(CLIP), "form") if label.value == "incorrect"]
    decide(world, source, labels, "relabel", "correct", "ana")
    (line,) = lines(world)
    assert (line.action, line.value, line.target["interval_s"]) == ("edit", "correct", [1.2, 2.2])
    assert "rule_id" not in line.target
    assert line.proposal is not None
    assert line.proposal.value_hash == sha256_bytes(b'"incorrect"')
    reps = docs(world, "clips", "clip")["clips/000"]["reps"]["detections"]
    assert [one["label"] for one in reps] == ["correct", "correct", "unscorable"]
    assert [one.get("reviewer") for one in reps] == [None, "ana", None]


def test_a_second_word_of_the_same_reviewer_takes_the_place_of_the_first_and_can_be_undone(world: Project) -> None:
    for verdict in ("correct", "unscorable"):
        source = Source(world, "clips")
        labels = [one for one in labels_of(source, pick(CLIP), "form") if one.target["interval_s"] == [1.2, 2.2]]
        decide(world, source, labels, "relabel", verdict, "ana")
    first, second = lines(world)
    assert second.supersedes == first.id
    undone = undo_last(world, "ana")
    assert undone is not None
    assert undone.id == second.id
    reps = docs(world, "clips", "clip")["clips/000"]["reps"]["detections"]
    assert reps[1]["label"] == "correct"
    assert undo_last(world, "bob") is None


def test_the_exercise_of_a_clip_is_renamed_or_named(world: Project) -> None:
    source = Source(world, "clips")
    decide(world, source, labels_of(source, pick(CLIP), "exercise"), "relabel", "lunge", "ana")
    name_clip(source, "clips/001", "", "push_up", "ana", world)
    assert [(d.sample_id, d.action, d.value) for d in lines(world)] == [
        ("clips/000", "edit", "lunge"), ("clips/001", "new", "push_up"),
    ]  # fmt: skip
    assert docs(world, "clips", "clip")["clips/000"]["exercise"]["label"] == "lunge"


def test_joints_of_one_frame_are_accepted_by_the_label_clicked(world: Project) -> None:
    source = Source(world, "clips")
    entry = next(source.entries("clip", ["clips/000"]))
    assert entry.frames is not None
    clicked = str(entry.frames()[5]["pose"]["keypoints"][0]["_id"])
    (label,) = labels_of(source, pick(CLIP, **{clicked: 6}))
    assert joint_key(label) == clicked
    decide(world, source, [label], "accept", None, "ana")
    (line,) = lines(world)
    assert (line.task, line.target["frame"], line.action) == ("pose", 5, "accept")
    assert "right_elbow" in line.value["joints"]
    assert "left_elbow" not in line.value["joints"]  # absent in this world
    entry = next(Source(world, "clips").entries("clip", ["clips/000"]))
    assert entry.frames is not None
    assert [frame["pose"]["keypoints"][0].get("reviewer") for frame in entry.frames()[4:7]] == [None, "ana", None]


def test_accepted_joints_that_have_moved_since_are_stale_and_no_longer_shown(world: Project) -> None:
    """The ledger's joints lie 6 px from the table's: beyond the 5 px of tolerance."""
    source = Source(world, "clips")
    entry = next(source.entries("clip", ["clips/000"]))
    assert entry.frames is not None
    clicked = str(entry.frames()[2]["pose"]["keypoints"][0]["_id"])
    (label,) = labels_of(source, pick(CLIP, **{clicked: 3}))
    moved = {name: [at[0] + 6, at[1], at[2]] for name, at in label.value["joints"].items()}
    Ledger(world.reviews).append(
        Decision("ana", "fiftyone", "clips/000", "pose", label.target, "accept", {**label.value, "joints": moved},
                 proposal=Proposal("dataset", None, None))
    )  # fmt: skip
    doc = docs(world, "clips", "clip")["clips/000"]
    assert doc["stale"] == 1
    entry = next(Source(world, "clips").entries("clip", ["clips/000"]))
    assert entry.frames is not None
    assert "reviewer" not in entry.frames()[2]["pose"]["keypoints"][0]


def test_a_clip_as_a_whole_has_no_joints_to_accept(world: Project) -> None:
    source = Source(world, "clips")
    assert labels_of(source, pick(CLIP), "pose") == []


def test_what_a_task_cannot_be_is_refused_and_nothing_written(world: Project) -> None:
    source = Source(world, "clips")
    labels = labels_of(source, pick(CLIP), "form")
    with pytest.raises(ConfigError) as refused:
        decide(world, source, labels, "relabel", "squat", "ana")
    assert str(refused.value) == (
        "relabel: expected labels of one task and a value it has, found 'squat' for form. Choose again."
    )
    with pytest.raises(ConfigError, match="reviewer: expected a name"):
        decide(world, source, labels, "accept", None, "Ana!")
    assert lines(world) == []


def test_every_decision_is_told_in_the_sample(world: Project) -> None:
    source = Source(world, "clips")
    decide(world, source, labels_of(source, pick(CLIP), "exercise"), "accept", None, "ana")
    doc = docs(world, "clips", "clip")["clips/000"]
    (line,) = lines(world)
    assert doc["decisions"] == [f"{line.at[:16].replace('T', ' ')} ana: accept exercise: squat"]
    assert (doc["decided"], doc["reviewers"], doc["tags"]) == (1, ["ana"], ["decided"])


def test_a_sample_has_the_same_id_in_every_database() -> None:
    assert sample_key("photos/000", "") == sha256_bytes(b"photos/000|")[:24]
