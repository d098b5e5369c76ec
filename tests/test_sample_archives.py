"""The three archives of the rendered sample: layout of the real sets, exact truth, same seed same bytes."""

import csv
import io
import json
import math
import re
import zipfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import loadmat

from repset.errors import ConfigError
from repset.landmarks import PENN_13
from repset.params import SampleParams
from repset.records import TABLES, sha256_file
from repset.sample import render_archive
from repset.sample.archives_mmfit import WORKOUTS, WorkoutTask, render_workout
from repset.sample.archives_penn import Clip, ClipTask, plan, render_clip
from repset.sample.archives_roboflow import SHOTS, PhotoTask, augment, render_photo
from repset.sample.athlete import athlete
from repset.sample.catalogue import MOTIONS, perform
from repset.sample.identity import ATHLETES
from repset.sample.packing import write_tar_gz
from repset.sample.scene import Scene, fit_camera
from repset.sample.truth import write_truth

TINY = SampleParams(seed=3, penn_clips=9, penn_frames=24, roboflow_photos=12, mmfit_workouts=3)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return render_clip(ClipTask(7, "pushup", 4, 24, True, 5))


@pytest.fixture(scope="module")
def label(clip: Clip) -> dict[str, np.ndarray]:
    return loadmat(io.BytesIO(dict(clip.files)["labels/0007.mat"]))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_archive("roboflow", tmp_path_factory.mktemp("roboflow"), TINY, jobs=1)


@pytest.fixture(scope="module")
def workouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_archive("mmfit", tmp_path_factory.mktemp("mmfit"), TINY, jobs=1)


def test_two_processes_write_the_same_bytes_as_one(photos: Path, tmp_path: Path) -> None:
    again = render_archive("roboflow", tmp_path, TINY, jobs=2)
    assert sha256_file(again) == sha256_file(photos)
    assert sha256_file(tmp_path / "truth.json") == sha256_file(photos.parent / "truth.json")


def test_the_same_seed_draws_the_same_workout_and_another_does_not(workouts: Path) -> None:
    who = next(k for k, name in enumerate(WORKOUTS) if name == "w14")
    _, again, _ = render_workout(WorkoutTask("w14", (who + TINY.seed) % len(ATHLETES), TINY.seed))
    _, other, _ = render_workout(WorkoutTask("w14", (who + TINY.seed) % len(ATHLETES), TINY.seed + 1))
    with zipfile.ZipFile(workouts) as archive:
        assert all(archive.read(name) == data for name, data in again)
        assert not any(archive.read(name) == data for name, data in other)


def test_a_clip_drawn_twice_has_the_same_bytes(clip: Clip, tmp_path: Path) -> None:
    again = render_clip(ClipTask(7, "pushup", 4, 24, True, 5))
    assert again == clip
    first, second = (write_tar_gz(tmp_path / name, part.files) for name, part in (("a.gz", clip), ("b.gz", again)))
    assert sha256_file(first) == sha256_file(second)


def test_penn_labels_have_the_original_keys_types_and_shapes(label: dict[str, np.ndarray]) -> None:
    frames = int(label["nframes"][0, 0])
    assert {key for key in label if not key.startswith("__")} == {
        "action", "pose", "x", "y", "visibility", "train", "bbox", "dimensions", "nframes",
    }  # fmt: skip
    assert label["action"][0] == "pushup"
    assert label["pose"][0] in ("front", "back", "left", "right")
    assert label["x"].shape == label["y"].shape == label["visibility"].shape == (frames, 13)
    assert label["bbox"].shape == (frames, 4)
    assert label["dimensions"].tolist() == [[240, 320, frames]]
    assert label["train"].tolist() == [[1]]
    assert [str(label[key].dtype) for key in ("x", "visibility", "train", "dimensions", "nframes", "bbox")] == [
        "float64", "uint8", "int32", "uint16", "uint8", "float64",
    ]  # fmt: skip


@pytest.mark.real
def test_penn_labels_have_the_types_of_a_real_file(label: dict[str, np.ndarray], shared_data: Path) -> None:
    real = loadmat(str(shared_data / "penn_action" / "labels" / "0001.mat"))
    for key in ("x", "y", "visibility", "train", "dimensions", "nframes", "bbox"):
        assert label[key].dtype.newbyteorder("=") == real[key].dtype.newbyteorder("=")
        assert label[key].ndim == real[key].ndim


def test_the_label_file_tells_no_date(clip: Clip) -> None:
    header = dict(clip.files)["labels/0007.mat"][:116]
    assert header.rstrip() == b"MATLAB 5.0 MAT-file, rendered sample of repset"


def test_every_frame_is_there_and_every_joint_lies_in_it_or_is_marked(clip: Clip, label: dict[str, np.ndarray]) -> None:
    names = [name for name, _ in clip.files if name.endswith(".jpg")]
    assert names == [f"frames/0007/{k:06d}.jpg" for k in range(1, len(label["x"]) + 1)]
    image = cv2.imdecode(np.frombuffer(dict(clip.files)[names[0]], np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (240, 320, 3)
    inside = (label["x"] >= 1) & (label["x"] < 321) & (label["y"] >= 1) & (label["y"] < 241)
    assert inside.all()
    absent = (label["x"] == 1) & (label["y"] == 1)
    assert (label["visibility"][absent] == 0).all()
    assert label["visibility"].mean() > 0.5


def test_truth_angles_agree_with_angles_of_the_labelled_joints(clip: Clip, label: dict[str, np.ndarray]) -> None:
    checked = 0
    for row in clip.truth["angles"]:
        side = row["name"].split("_")[0]
        ks = [PENN_13.index(f"{side}_{part}") for part in ("shoulder", "elbow", "wrist")]
        x, y = label["x"][row["frame"], ks], label["y"][row["frame"], ks]
        if ((x == 1) & (y == 1)).any():
            continue
        turn = math.degrees(math.atan2(y[0] - y[1], x[0] - x[1]) - math.atan2(y[2] - y[1], x[2] - x[1])) % 360
        assert min(turn, 360 - turn) == pytest.approx(row["value_deg"], abs=0.02)
        checked += 1
    assert checked > 20


def test_truth_rows_have_the_columns_of_the_tables(clip: Clip, tmp_path: Path) -> None:
    path = write_truth(tmp_path / "truth.json", "penn_action", [clip.truth])
    truth = json.loads(path.read_text())
    assert truth["family"] == "penn_action"
    for name in ("reps", "form", "sets", "angles"):
        assert truth[name]
        for row in truth[name]:
            assert row.pop("native_id") == "0007"
            assert set(row) <= set(TABLES[name].names)
    for rep in truth["reps"]:
        assert 0 <= rep["start"] < rep["turn"] < rep["end"] <= 24
        assert rep["turn_s"] == pytest.approx(rep["turn"] / 30, abs=1e-6)


def test_the_plan_puts_every_action_on_both_sides_of_the_official_split() -> None:
    tasks = plan(SampleParams(seed=7, penn_clips=45, penn_frames=48, roboflow_photos=12, mmfit_workouts=3))
    assert [task.number for task in tasks] == list(range(1, 46))
    assert Counter(task.action for task in tasks) == dict.fromkeys({task.action for task in tasks}, 5)
    assert len({task.action for task in tasks}) == 9
    assert all(len({task.train for task in tasks if task.action == name}) == 2 for name in {t.action for t in tasks})
    assert {task.who for task in tasks} == set(range(10))


def test_a_muscle_is_marked_only_where_it_works_and_only_on_the_athlete() -> None:
    motion = MOTIONS["bicep_curl"]
    course, solved = perform("bicep_curl", 3, np.random.default_rng(1), 2, None, 0.0)
    points = np.stack([solved.joint(f"left_{part}")[0] for part in ("shoulder", "elbow", "wrist")])
    view = fit_camera(points, 40.0, 5.0, 40.0, (96, 96), 0.1)
    scene, dressed = Scene(view, np.random.default_rng(2), []), athlete(3).dressed(0)
    rest, turn = 0, course.reps[0].turn
    for frame, expected in ((rest, False), (turn, True)):
        works = motion.working(float(course.phase[frame]))
        assert works == (expected, False, False)
        mesh = dressed.pose(solved, solved.transforms(), frame, [0.0, 0.0, 0.0])
        picture = scene.render(mesh, [], frame, works)
        assert (picture.muscles > 0).any() == expected
        assert set(np.unique(picture.muscles)) <= {0, 1}
        assert picture.person[picture.muscles > 0].all()


@pytest.mark.parametrize(("motion", "value"), [("bicep_curl", 1), ("calf_raise", 2), ("tricep_extension", 3)])
def test_a_close_up_shows_its_muscle_large_and_at_rest_none(motion: str, value: int) -> None:
    shot = next(shot for shot in SHOTS if shot.motion == motion)
    for active in (True, False):
        files = dict(render_photo(PhotoTask(1, "test", shot, active, 2, 11)).files)
        name = next(name for name in files if name.endswith("_mask.png"))
        mask = cv2.imdecode(np.frombuffer(files[name], np.uint8), cv2.IMREAD_UNCHANGED)
        assert set(np.unique(mask)) == ({0, value} if active else {0})
        assert (mask > 0).mean() > 0.04 or not active


def test_photos_are_of_bare_arms_and_legs_whatever_the_athlete_wears_in_clips() -> None:
    for number in (2, 8):  # kenji wears sleeves and long shorts, arjun long sleeves
        skin = [(athlete(number, bare).wear.cover <= 0).mean() for bare in (False, True)]
        assert skin[1] > skin[0] + 0.1


def test_an_augmented_mask_follows_its_picture() -> None:
    mask = np.zeros((256, 256), np.uint8)
    mask[40:120, 30:90] = 2
    image = np.repeat(np.where(mask == 2, 250, 10).astype(np.uint8)[..., None], 3, axis=2)
    copies = [augment(image, mask, np.random.default_rng(seed)) for seed in range(8)]
    for picture, moved in copies:
        assert picture.shape == (256, 256, 3)
        assert set(np.unique(moved)) <= {0, 2}
        bright = cv2.medianBlur(picture, 3)[..., 1] > 128
        assert ((moved == 2) & bright).sum() / ((moved == 2) | bright).sum() > 0.95
    columns = {bool(np.nonzero(moved)[1].mean() > 128) for _, moved in copies}
    assert columns == {True, False}  # some were mirrored, some not


def test_the_roboflow_zip_is_laid_out_as_an_export(photos: Path) -> None:
    with zipfile.ZipFile(photos) as archive:
        names = archive.namelist()
        classes = "Pixel Value, Class\n0, background\n1, activated biceps\n2, activated calf\n3, activated triceps"
        siblings: Counter[tuple[str, str]] = Counter()
        empty = 0
        for split in ("train", "valid", "test"):
            assert archive.read(f"{split}/_classes.csv").decode() == classes
        for name in (name for name in names if name.endswith(".jpg")):
            found = re.fullmatch(r"(train|valid|test)/(gym_\d{4}_jpg)\.rf\.[0-9a-f]{32}\.jpg", name)
            assert found
            siblings[found[1], found[2]] += 1
            mask = cv2.imdecode(np.frombuffer(archive.read(name[:-4] + "_mask.png"), np.uint8), cv2.IMREAD_UNCHANGED)
            assert mask.shape == (256, 256)
            assert mask.dtype == np.uint8
            assert mask.max() <= 3
            empty += not mask.any()
        readme = archive.read("README.roboflow.txt").decode()
    assert f"The dataset includes {sum(siblings.values())} images." in readme
    assert "drawn by repset" in readme
    assert len(siblings) == 12
    assert {split: set(n for (s, _), n in siblings.items() if s == split) for split in ("train", "valid", "test")} == {
        "train": {3}, "valid": {1}, "test": {1},
    }  # fmt: skip
    assert 0 < empty < sum(siblings.values()) / 2


def test_the_mmfit_zip_holds_numbered_poses_and_labelled_sets(workouts: Path) -> None:
    truth = json.loads((workouts.parent / "truth.json").read_text())
    with zipfile.ZipFile(workouts) as archive:
        assert sorted(archive.namelist()) == sorted(
            f"mm-fit/{w}/{w}_{part}"
            for w in ("w01", "w09", "w14")
            for part in ("labels.csv", "pose_2d.npy", "pose_3d.npy")
        )
        for name in ("w01", "w09", "w14"):
            flat = np.load(io.BytesIO(archive.read(f"mm-fit/{name}/{name}_pose_2d.npy")))
            deep = np.load(io.BytesIO(archive.read(f"mm-fit/{name}/{name}_pose_3d.npy")))
            frames = flat.shape[1]
            assert flat.shape == (2, frames, 19)
            assert deep.shape == (3, frames, 18)
            assert 1500 <= frames <= 4500
            assert flat[0, :, 0].tolist() == list(range(frames))
            lost = (flat[:, :, 1:] == 0).all(axis=0)
            assert 0.001 < lost.mean() < 0.08
            shin = np.linalg.norm(deep[:, :, 1 + 2] - deep[:, :, 1 + 3], axis=0)
            assert 300 < np.median(shin) < 520  # millimetres
            rows = list(csv.reader(io.StringIO(archive.read(f"mm-fit/{name}/{name}_labels.csv").decode())))
            assert len({row[3] for row in rows}) == 10
            known = [s for s in truth["sets"] if s["native_id"] == name]
            before = 0
            for row, set_ in zip(rows, known, strict=True):
                first, last, reps = (int(cell) for cell in row[:3])
                assert before + 30 < first < last < frames  # people rest between sets
                assert (set_["start"], set_["end"], set_["reps"]) == (first, last + 1, reps)
                before = last


def test_another_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        render_archive("ucf101", tmp_path, TINY)
    assert str(caught.value) == (
        "ucf101: no such family of the rendered sample. Families: roboflow, penn_action, mmfit."
    )
