"""The real FiftyOne with its embedded database: built twice it is the same, deleted it comes back, operators decide."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import label_studio_world as world
import numpy as np
import pytest

if importlib.util.find_spec("fiftyone") is None:  # not imported here: it reads its settings when it is
    pytest.skip("FiftyOne (extra: review) is not installed", allow_module_level=True)

from repset.curate.ledger import Ledger
from repset.errors import RepsetError
from repset.project import Project
from repset.records import TABLES, write_table
from repset.review import fiftyone_view as view
from repset.review.fiftyone_docs import Source, sample_key
from repset.review.fiftyone_points import points_of
from repset.video import read_video

PHOTOS = 24


def quiet(done: int, total: int, label: str) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Photos and clips; fiftyone's settings leave the environment again."""
    found: Project = world.project_at(tmp_path_factory.mktemp("fiftyone"))
    world.photos(found, PHOTOS)
    world.clips(found)
    pictures = [
        {"sample_id": f"photos/{n:03d}", "frame": 0, "variant": "", "time_s": 0.0,
         "picture": np.random.default_rng(n).integers(0, 255, 48 * 48, np.uint8).tobytes()}
        for n in range(PHOTOS)
    ]  # fmt: skip
    write_table(found.checks("photos") / "fingerprints.parquet", "fingerprints", pictures)
    pair = {"code": "near_duplicate", "severity": "warning", "sample_id": "photos/003", "other_id": "photos/005",
            "value": 0.99, "sentence": "a copy of photos/005."}  # fmt: skip
    jump = {"code": "limb_jump", "severity": "warning", "sample_id": "photos/007", "sentence": "a limb jumps."}
    rows = [dict.fromkeys(TABLES["findings"].names) | row for row in (pair, jump)]
    write_table(found.checks("photos") / "findings.parquet", "findings", rows)
    before = dict(os.environ)
    yield found
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def fo(project: Project) -> Any:
    """FiftyOne on this project; skips where its database does not start."""
    try:
        return view.prepare(project, "ana")
    except RepsetError as error:
        pytest.skip(str(error))


@pytest.fixture
def built(project: Project, fo: Any) -> list[view.Built]:
    """Both datasets, up to date."""
    return view.build(project, ["photos", "clips"], quiet)


def test_samples_hold_masks_joints_and_verdicts(built: list[view.Built], fo: Any) -> None:
    assert [(one.name, one.samples) for one in built] == [("photos", PHOTOS), ("clips", 2)]
    photos, clips = fo.load_dataset("photos"), fo.load_dataset("clips")
    sample = photos[sample_key("photos/004", "")]
    mask = {one.label: one for one in sample.masks.detections}["calf"]
    whole = world.blob_mask(3 * 4 + 1)
    rows, columns = np.flatnonzero(whole.any(1)), np.flatnonzero(whole.any(0))
    assert (mask.mask == whole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]).all()
    clip = clips[sample_key("clips/001", "")]
    assert [one.label for one in clip.reps.detections] == ["correct", "incorrect", "unscorable"]
    assert clip.frames[8].pose.keypoints[0].points[0][0] == pytest.approx(
        np.random.default_rng(7).random(13)[0] * 63 / 64, abs=1e-5
    )
    assert clips.skeletons["frames.pose"].labels[3] == "left_elbow"
    assert Path(clip.filepath).read_bytes()[4:8] == b"ftyp"


def test_queues_show_what_they_name(built: list[view.Built], fo: Any) -> None:
    photos = fo.load_dataset("photos")
    found = {name: photos.load_saved_view(name).values("sample_id") for name in photos.list_saved_views()}
    assert set(found) == {
        "doubtful first", "disagreement, pose against truth", "disagreement, model against rule",
        "disagreement, automatic against dataset", "disagreement, bootstrap against final",
        "low confidence", "near-duplicates", "leak suspects",
        "kinematic findings", "stale edits", "decided",
    }  # fmt: skip
    assert found["near-duplicates"] == ["photos/003", "photos/005"]
    assert found["kinematic findings"] == ["photos/007"]
    assert found["leak suspects"] == []
    groups = [group.name for group in photos.app_config.sidebar_groups]
    assert groups == ["what holds", "doubt", "decisions", "provenance", "metadata"]
    assert photos.list_brain_runs() == ["pictures"]
    assert len(photos.load_brain_results("pictures").points) == PHOTOS


def test_building_again_writes_nothing_and_keeps_what_a_person_tagged(
    project: Project, built: list[view.Built], fo: Any
) -> None:
    photos = fo.load_dataset("photos")
    sample = photos[sample_key("photos/003", "")]
    sample.tags.append("look again")
    sample.save()
    again = view.build(project, ["photos", "clips"], quiet)
    assert [(one.samples, one.written, one.removed) for one in again] == [(PHOTOS, 0, 0), (2, 0, 0)]
    assert len(photos) == PHOTOS
    photos._sample_collection.update_one({"sample_id": "photos/003"}, {"$set": {"digest": "old"}})
    assert [one.written for one in view.build(project, ["photos"], quiet)] == [1]
    photos.reload()
    assert sorted(photos[sample_key("photos/003", "")].tags) == ["look again", "near_duplicate"]


def test_an_operator_writes_to_the_ledger_and_the_sample_shows_it_at_once(
    project: Project, built: list[view.Built], fo: Any
) -> None:
    """Run by FiftyOne's own executor, from the plugin that was installed into the project."""
    import fiftyone.operators as foo

    photos = fo.load_dataset("photos")
    context = {"dataset": photos, "selected": [sample_key("photos/001", "")], "params": {"what": "masks"}}
    result = foo.execute_operator("repset/accept", context)
    assert result.result["written"] == 3
    said = Ledger(project.reviews).read()
    assert sorted((d.sample_id, d.action, d.target["class"], d.reviewer, d.tool) for d in said) == [
        ("photos/001", "accept", name, "ana", "fiftyone") for name in world.CLASSES
    ]
    photos.reload()
    sample = photos[sample_key("photos/001", "")]
    assert sample.decided == 3
    assert {one.reviewer for one in sample.masks.detections} == {"ana"}

    label = next(one for one in sample.masks.detections if one.label == "calf")
    clicked = {"sample_id": sample.id, "label_id": label.id, "field": "masks"}
    foo.execute_operator("repset/reject", {"dataset": photos, "selected_labels": [clicked], "params": {}})
    assert [(d.action, d.target["class"]) for d in Ledger(project.reviews).read()[3:]] == [("reject", "calf")]
    foo.execute_operator("repset/undo", {"dataset": photos, "params": {}})
    assert [d.action for d in Ledger(project.reviews).read()[4:]] == ["undo"]
    sent = foo.execute_operator(
        "repset/send_to_label_studio", {"dataset": photos, "selected": [sample.id], "params": {}}
    )
    assert "expected a Label Studio server, found none" in sent.result["said"]


def test_a_deleted_database_loses_no_decision(project: Project, built: list[view.Built], fo: Any) -> None:
    import fiftyone.core.odm as foo
    import fiftyone.operators as operators

    clips = fo.load_dataset("clips")
    params = {"what": "repetitions", "which": "all", "value": "correct"}
    context = {"dataset": clips, "selected": [sample_key("clips/000", "")], "params": params}
    assert operators.execute_operator("repset/relabel", context).result["written"] == 3
    lines = Ledger(project.reviews).read()
    for name in fo.list_datasets():
        fo.delete_dataset(name)
    foo.get_db_conn().drop_collection("samples.none")
    assert fo.list_datasets() == []
    again = view.build(project, ["clips"], quiet)
    assert [one.written for one in again] == [2]
    sample = fo.load_dataset("clips")[sample_key("clips/000", "")]
    assert [one.label for one in sample.reps.detections] == ["correct"] * 3
    assert {one.reviewer for one in sample.reps.detections} == {"ana"}
    assert len(sample.decisions) == 3
    assert Ledger(project.reviews).read() == lines


def test_a_dataset_of_another_project_is_left_alone(project: Project, fo: Any) -> None:
    if fo.dataset_exists("photos"):
        fo.delete_dataset("photos")
    fo.Dataset("photos", persistent=True)
    with pytest.raises(RepsetError, match="expected dataset photos to be this project's, found another's"):
        view.build(project, ["photos"], quiet)
    fo.delete_dataset("photos")


def test_nothing_is_tracked_and_all_lies_in_the_project(project: Project, fo: Any) -> None:
    assert fo.config.do_not_track is True
    home = project.cache / "fiftyone"
    assert fo.config.database_dir == str(home / "database")
    assert fo.config.plugins_dir == str(home / "plugins")


def test_the_map_is_the_first_two_principal_components(project: Project) -> None:
    """Against numpy's singular values of the same pictures, shrunk here by averaging three pixels square."""
    found = points_of(project, Source(project, "photos"), "image")["pictures"]
    rows = []
    for n in range(PHOTOS):
        picture = np.random.default_rng(n).integers(0, 255, 48 * 48, np.uint8).reshape(16, 3, 16, 3)
        small = np.round(picture.astype(float).mean((1, 3))).ravel()
        rows.append((small - small.mean()) / small.std())
    matrix = np.stack(rows) - np.mean(rows, 0)
    left, sizes, _ = np.linalg.svd(matrix, full_matrices=False)
    expected = np.abs(left[:, :2] * sizes[:2])
    points = np.abs(np.array([found[sample_key(f"photos/{n:03d}", "")] for n in range(PHOTOS)]))
    assert np.abs(points - expected).max() < 0.15  # rounding of a pixel's mean


def test_poses_alone_open_as_a_drawn_clip_with_their_joints_on_it(project: Project, fo: Any) -> None:
    """A set without pictures (MM-Fit, Penn Action's labels): joints lie where the stick figure has them."""
    rng = np.random.default_rng(3)
    low = np.array([700.0, 300.0])  # far from the picture's corner: the set's own pixels are not those of the drawing
    poses = []
    for frame in range(12):
        at = low + rng.random((13, 2)) * [40.0, 90.0]
        poses.append({"sample_id": "moves/a", "frame": frame, "time_s": frame / 10, "person": 0,
                      "skeleton": "penn_13", "x_px": at[:, 0].tolist(), "y_px": at[:, 1].tolist(),
                      "visibility": [1.0] * 13, "state": [0] * 13, "origin": "dataset_estimate"})  # fmt: skip
    world.write(project, "moves", [], poses=poses)
    sample = {"sample_id": "moves/a", "source": "moves", "kind": "poses", "frames": 12, "fps": 10.0, "group": "a"}
    rows = [dict.fromkeys(TABLES["samples"].names) | sample]
    write_table(project.index("moves") / "samples.parquet", "samples", rows)
    angle = {"sample_id": "moves/a", "frame": 5, "person": 0, "name": "left_knee", "value_deg": 91.24}
    for name in ("sets", "reps", "form", "poses"):
        write_table(project.labels("moves") / f"{name}.parquet", name, [])
    write_table(project.labels("moves") / "angles.parquet", "angles", [dict.fromkeys(TABLES["angles"].names) | angle])
    (built,) = view.build(project, ["moves"], quiet)
    assert (built.samples, built.written) == (1, 1)
    moves = fo.load_dataset("moves")
    assert moves.skeletons["frames.pose"].labels[3] == "left_elbow"
    clip = moves[sample_key("moves/a", "")]
    pictures = [image for _, image in read_video(Path(clip.filepath))]
    height, width = pictures[0].shape[:2]
    assert (clip.metadata.frame_width, clip.metadata.frame_height) == (width, height)
    assert clip.frames[6].angles.left_knee == 91.2
    joints = np.array([clip.frames[n + 1].pose.keypoints[0].points for n in range(12)]) * [width, height]
    true = np.array([np.stack([row["x_px"], row["y_px"]], -1) for row in poses])
    scale = np.ptp(joints[..., 1]) / np.ptp(true[..., 1])
    assert joints - joints[0, 0] == pytest.approx((true - true[0, 0]) * scale, abs=0.02)  # the same figure, one scale
    for picture, at in zip(pictures, joints, strict=True):
        x, y = np.round(at).astype(int).T
        paper = np.median(picture.reshape(-1, 3), axis=0)
        assert (np.abs(picture[y, x] - paper).max(-1) > 40).all()  # a dot is drawn at every joint
    assert [one.written for one in view.build(project, ["moves"], quiet)] == [0]
