"""MM-Fit: sets with their counts, rest between them, two kinds of poses, and one sentence for each fault."""

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repset.errors import DataError
from repset.params import SourceSpec
from repset.project import Project
from repset.records import read_rows
from repset.sources.index import index_source

SPEC = SourceSpec(family="mmfit", rendered=False, origin="x")
FIX = "Take this file from the original set, or leave it out with --on-error skip."
RAW = "datasets/mm/raw/mm-fit.zip"
LABELS = b"110,119,10,squats\n130,149,11,dumbbell_shoulder_press\n"


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def pose_2d(first: int, count: int) -> np.ndarray:
    array = np.zeros((2, count, 19))
    array[:, :, 0] = np.arange(first, first + count)
    array[0, :, 1:], array[1, :, 1:] = 320.5, 240.25
    return array


def pose_3d(first: int, count: int) -> np.ndarray:
    array = np.zeros((3, count, 18))
    array[:, :, 0] = np.arange(first, first + count)
    array[2, :, 2:] = 1500.0
    return array


def put(project: Project, files: dict[str, bytes]) -> None:
    raw = project.raw("mm")
    raw.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(raw / "mm-fit.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def index(project: Project, **options: Any) -> dict[str, Any]:
    return index_source(project, "mm", SPEC, shard_mb=1, **options)


def failure(project: Project, files: dict[str, bytes]) -> str:
    put(project, files)
    with pytest.raises(DataError) as caught:
        index(project)
    return str(caught.value)


def workout(flat: np.ndarray | None = None, solid: np.ndarray | None = None) -> dict[str, bytes]:
    files = {"mm-fit/w14/w14_labels.csv": LABELS, "mm-fit/w14/w14_sw_l_acc.npy": b"inertial, not read"}
    if flat is not None:
        files["mm-fit/w14/w14_pose_2d.npy"] = npy(flat)
    if solid is not None:
        files["mm-fit/w14/w14_pose_3d.npy"] = npy(solid)
    return files


def test_a_workout_with_poses_is_read(project: Project) -> None:
    flat = pose_2d(100, 60)
    flat[:, 5, 1 + 4] = 0  # one joint not found
    put(project, workout(flat, pose_3d(100, 60)))
    report = index(project)
    (sample,) = read_rows(project.index("mm") / "samples.parquet", "samples")
    assert (sample["sample_id"], sample["kind"], sample["group"]) == ("mm/w14", "poses", "w14")
    assert (sample["fps"], sample["frames"], sample["official_split"]) == (30.0, 160, "validation")
    assert (sample["exercise"], sample["width"]) == (None, None)
    rows = read_rows(project.index("mm") / "poses.parquet", "poses")
    flat_rows = [row for row in rows if row["skeleton"] == "coco_18"]
    solid_rows = [row for row in rows if row["skeleton"] == "h36m_17"]
    assert len(flat_rows) == len(solid_rows) == 60
    row = flat_rows[5]
    assert (row["frame"], row["time_s"], row["origin"]) == (105, 3.5, "dataset_estimate")
    assert (row["x_px"][0], row["y_px"][0], row["visibility"][0], row["state"][0]) == (320.5, 240.25, 1.0, 0)
    assert np.isnan([row["x_px"][4], row["y_px"][4], row["visibility"][4]]).all()
    assert row["state"][4] == 3
    assert row["xyz_m"] is None
    solid_row = solid_rows[5]
    assert np.isnan(solid_row["x_px"]).all()
    assert solid_row["xyz_m"][:6] == [0.0, 0.0, 0.0, 0.0, 0.0, 1.5]  # the pelvis is the origin; millimetres → metres
    assert solid_row["state"] == [0] * 17
    assert report["workouts_without_poses"] == []


def test_sets_and_the_rest_between_them(project: Project) -> None:
    put(project, workout(pose_2d(100, 60)))
    index(project)
    keys = ("set", "start", "end", "exercise", "reps", "exercise_p", "origin")
    rows = read_rows(project.index("mm") / "sets.parquet", "sets")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        (0, 100, 110, "none", 0, None, "dataset"),
        (1, 110, 120, "squat", 10, None, "dataset"),
        (2, 120, 130, "none", 0, None, "dataset"),
        (3, 130, 150, "shoulder_press", 11, None, "dataset"),
        (4, 150, 160, "none", 0, None, "dataset"),
    ]


def test_a_skeleton_of_zeros_was_not_found(project: Project) -> None:
    solid = pose_3d(100, 3)
    solid[:, 1, 1:] = 0
    put(project, workout(solid=solid))
    index(project)
    rows = read_rows(project.index("mm") / "poses.parquet", "poses")
    assert np.isnan(rows[1]["xyz_m"]).all()
    assert rows[1]["state"] == [3] * 17
    assert rows[0]["state"] == [0] * 17


def test_labels_without_poses_are_counted(project: Project) -> None:
    (project.raw("mm") / "w20").mkdir(parents=True)
    (project.raw("mm") / "w20" / "w20_labels.csv").write_bytes(LABELS)
    report = index(project)
    assert report["workouts_without_poses"] == ["w20"]
    assert report["counts"] == {
        "samples": 1, "masks": 0, "sets": 4, "muscles": 0, "reps": 0, "form": 0, "frames": 0, "poses": 0,
        "boxes": 0, "inertial": 0,
    }  # fmt: skip
    (sample,) = read_rows(project.index("mm") / "samples.parquet", "samples")
    assert (sample["frames"], sample["fps"], sample["official_split"]) == (150, 30.0, "unseen_test")
    assert report["sets"]["squat"] == {"sets": 1, "reps": 10}


def labels(project: Project, text: bytes) -> str:
    return failure(project, {"w01/w01_labels.csv": text})


def test_faults_in_labels(project: Project) -> None:
    where = f"{RAW}:w01/w01_labels.csv"
    row = "expected a row 'start, end, repetitions, exercise', found"
    assert labels(project, b"1,2,3,squats\n4,5,squats\n") == f"{where}, line 2: {row} '4,5,squats'. {FIX}"
    assert labels(project, b"start,end,reps,exercise\n") == f"{where}, line 1: {row} 'start,end,reps,exercise'. {FIX}"
    assert labels(project, b"5,5,3,squats\n") == (
        f"{where}, line 1: expected an end after the start, found frames 5 to 5. {FIX}"
    )
    assert labels(project, b"1,9,3,squats\n9,12,3,lunges\n") == (
        f"{where}: expected sets that do not overlap, found squats until 9 and lunges from 9. {FIX}"
    )
    assert labels(project, b"1,9,3,burpees\n") == (
        f"{where}, line 1: expected an exercise of MM-Fit, found 'burpees'. Add it to repset.exercises."
    )
    rows = "expected rows 'start, end, repetitions, exercise', found"
    assert labels(project, b"\n") == f"{where}: {rows} none. {FIX}"
    assert labels(project, b"\xff\xfe\x00") == f"{where}: {rows} a file that is no text. {FIX}"


def test_an_array_of_another_shape(project: Project) -> None:
    message = failure(project, workout(pose_2d(0, 9)[:, :, :18]))
    assert message == (
        f"{RAW}:mm-fit/w14/w14_pose_2d.npy: expected an array (2, T, 19): frame number and 18 joints, "
        f"found shape (2, 9, 18). {FIX}"
    )


def test_an_array_that_is_cut_off_or_pickled(project: Project) -> None:
    files = workout()
    for content in (npy(pose_3d(0, 9))[:-5], b"no array", npy(np.array([{}], dtype=object))):
        assert failure(project, files | {"mm-fit/w14/w14_pose_3d.npy": content}) == (
            f"{RAW}:mm-fit/w14/w14_pose_3d.npy: expected an array (3, T, 18): frame number and 17 joints, "
            f"found a file that is no whole NumPy array. {FIX}"
        )


def test_frame_numbers_that_do_not_rise(project: Project) -> None:
    flat = pose_2d(0, 9)
    flat[:, 4, 0] = 2
    assert failure(project, workout(flat)) == (
        f"{RAW}:mm-fit/w14/w14_pose_2d.npy: expected frame numbers that rise from row to row in column 0, "
        f"found others. {FIX}"
    )


def test_poses_without_labels(project: Project) -> None:
    files = workout() | {"mm-fit/w15/w15_pose_2d.npy": npy(pose_2d(0, 9))}
    assert failure(project, files) == (
        f"{RAW}:mm-fit/w15/w15_pose_2d.npy: expected w15_labels.csv beside it, found no such file. {FIX}"
    )
    report = index(project, skip=True)
    assert [row["item"] for row in report["skipped"]] == ["w15"]


def test_a_folder_without_labels(project: Project) -> None:
    assert failure(project, {"mm-fit/readme.txt": b"x"}) == (
        f"{RAW}: expected an MM-Fit folder (w00/w00_labels.csv …), found no label file. Pull the whole set."
    )


def sensor(first: int, rows: int, width: int, rate_hz: float = 100.0, video_fps: float = 30.0) -> np.ndarray:
    """Readings of a watch whose clock starts anywhere."""
    clock_ms = 1_580_000_000_000 + np.arange(rows) * 1000 / rate_hz
    frame = first + np.floor(np.arange(rows) / rate_hz * video_fps)
    return np.stack([frame, clock_ms, *(np.arange(rows) + 1000.0 * axis for axis in range(width))], axis=1)


def test_worn_sensors_stand_on_the_clock_of_the_poses(project: Project) -> None:
    files = workout(pose_2d(100, 60)) | {
        "mm-fit/w14/w14_sw_l_acc.npy": npy(sensor(90, 400, 3)),
        "mm-fit/w14/w14_eb_l_gyr.npy": npy(sensor(100, 200, 3, video_fps=29.0)),  # runs 3.4 % apart
        "mm-fit/w14/w14_sw_r_hr.npy": npy(sensor(100, 3, 1, rate_hz=1.0)),
    }
    put(project, files)
    assert index(project)["counts"]["inertial"] == 0
    report = index_source(project, "mm", SPEC.model_copy(update={"inertial": True}), shard_mb=1)
    assert report["counts"]["inertial"] == 603
    rows = read_rows(project.index("mm") / "inertial.parquet", "inertial")
    assert {(row["device"], row["sensor"]) for row in rows} == {("sw_l", "acc"), ("eb_l", "gyr"), ("sw_r", "hr")}
    watch = [row for row in rows if row["device"] == "sw_l"]
    assert (watch[0]["frame"], watch[0]["time_s"], watch[0]["value"]) == (90, 3.0, [0.0, 1000.0, 2000.0])
    earbud = [row for row in rows if row["device"] == "eb_l"]
    for one in (watch, earbud):
        late = max(abs(row["time_s"] - row["frame"] / 30.0) for row in one)
        assert late < 1 / 30 + 0.011  # a frame, and one interval between readings
        assert np.all(np.diff([row["time_s"] for row in one]) > 0)
    assert [row["value"] for row in rows if row["sensor"] == "hr"] == [[0.0], [1.0], [2.0]]


def test_faults_in_a_worn_sensor(project: Project) -> None:
    spec, name = SPEC.model_copy(update={"inertial": True}), "mm-fit/w14/w14_sw_l_acc.npy"
    backwards = sensor(90, 20, 3)
    backwards[5, 1] = 0
    for content, expected in (
        (npy(np.zeros((4, 7))), "an array (N, 3) or (N, 5): frame number, milliseconds, values, found shape (4, 7)"),
        (npy(backwards), "frame numbers and milliseconds that never fall, found others"),
        (npy(backwards)[:-9], "an array (N, 3) or (N, 5): frame number, milliseconds, values, found a file that is no "
         "whole NumPy array"),
    ):  # fmt: skip
        put(project, workout(pose_2d(100, 60)) | {name: content})
        with pytest.raises(DataError) as caught:
            index_source(project, "mm", spec, shard_mb=1)
        assert str(caught.value) == f"{RAW}:{name}: expected {expected}. {FIX}"


def test_labelled_only_keeps_the_frames_of_sets_as_deepfit_does(project: Project) -> None:
    put(project, workout(pose_2d(100, 60), pose_3d(100, 60)))
    everything = index(project)
    rows = read_rows(project.index("mm") / "sets.parquet", "sets")
    labelled = {f for row in rows if row["exercise"] != "none" for f in range(row["start"], row["end"])}
    inside = len(labelled & set(range(100, 160)))
    assert 0 < inside < 60
    report = index_source(project, "mm", SPEC.model_copy(update={"labelled_only": True}), shard_mb=1)
    assert (everything["counts"]["poses"], report["counts"]["poses"]) == (120, 2 * inside)
    assert report["left_out"] == {"pose outside the sets (labelled_only)": 2 * (60 - inside)}
    poses = read_rows(project.index("mm") / "poses.parquet", "poses")
    assert {row["frame"] for row in poses} == labelled & set(range(100, 160))
    kept = read_rows(project.index("mm") / "sets.parquet", "sets")
    assert [(r["start"], r["end"], r["exercise"]) for r in kept] == [
        (r["start"], r["end"], r["exercise"]) for r in rows if r["exercise"] != "none"
    ]


@pytest.mark.real
def test_the_original_labels_index_whole(project: Project, shared_data: Path) -> None:
    rows = [
        (path.parent.name, *row)
        for path in sorted((shared_data / "mmfit").glob("*/*_labels.csv"))
        for row in csv.reader(path.read_text().splitlines())
    ]
    assert len(rows) == 538
    project.source("mm").mkdir(parents=True)
    project.raw("mm").symlink_to(shared_data / "mmfit")
    report = index(project)
    assert report["skipped"] == []
    sets = [row for row in read_rows(project.index("mm") / "sets.parquet", "sets") if row["exercise"] != "none"]
    found = [
        (row["sample_id"].removeprefix("mm/"), str(row["start"]), str(row["end"] - 1), str(row["reps"])) for row in sets
    ]
    assert sorted(found) == sorted(row[:4] for row in rows)
    assert len({row["exercise"] for row in sets}) == 10
    assert report["official_split"] == {"test": 3, "train": 10, "unseen_test": 3, "validation": 2}


def test_the_samples_truth_takes_the_number_of_the_set_it_lies_in(project: Project) -> None:
    put(project, workout(pose_2d(100, 60)))
    rep = {"native_id": "w14", "person": 0, "set": 1, "rep": 0, "exercise": "shoulder_press", "start": 131, "end": 140}
    elsewhere = rep | {"native_id": "w99"}
    truth = {"about": "x", "reps": [rep | {"turn": 135, "complete": True}, elsewhere], "form": [rep | {"level": "rep"}]}
    path = project.raw("mm") / "truth.json"
    path.write_text(json.dumps(truth))
    report = index(project)
    assert (report["counts"]["reps"], report["counts"]["form"]) == (1, 1)
    (row,) = read_rows(project.index("mm") / "reps.parquet", "reps")
    assert (row["sample_id"], row["set"], row["rep"], row["turn"]) == ("mm/w14", 3, 0, 135)
    assert (row["origin"], row["start_s"]) == ("dataset", None)
    for change, expected in (
        ({"start": 125}, "expected a repetition inside a set of shoulder_press, found frames 125 to 140 in none."),
        ({"depth": 3}, "expected native_id and columns of table reps, found the column 'depth'."),
    ):
        path.write_text(json.dumps({"reps": [rep | change]}))
        with pytest.raises(DataError) as caught:
            index(project)
        assert str(caught.value) == f"datasets/mm/raw/truth.json, reps[0]: {expected} Pull the sample again."
