"""The autolabel job: anyone's folder and a project's source, cached poses, honest failures."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from repset.autolabel import inputs, work
from repset.autolabel.inputs import Task, find_media, source_tasks
from repset.autolabel.job import label_files, label_source
from repset.autolabel.work import SUMMARY, joint_states
from repset.cli.autolabel import command
from repset.errors import ConfigError, DataError, RepsetError
from repset.landmarks import SKELETONS
from repset.params import AutolabelParams
from repset.project import Project
from repset.records import TABLES, pose_table, read_json, read_rows, read_table, write_table
from repset.sample.archives_penn import ClipTask, render_clip
from repset.schema import PoseTrack, Stretch
from repset.video import Image, ShardWriter, decode_image, encode_png, write_video

PARAMS = AutolabelParams(rule_set="default", model="full", min_visibility=0.5)
FRAMES = 24
NOT_A_VIDEO = (
    "{path}: expected a video file, found a file of another kind. Check that it plays, or leave it out."
)  # fmt: skip


@pytest.fixture(scope="module")
def images() -> list[Image]:
    """A rendered squat."""
    files = dict(render_clip(ClipTask(8, "squat", 1, FRAMES, True, 7)).files)
    return [decode_image(data, name) for name, data in sorted(files.items()) if name.endswith(".jpg")]


@pytest.fixture
def folder(tmp_path: Path, images: list[Image], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two clips, a picture and two files of other kinds; an empty cache outside any project."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("REPSET_ROOT", str(tmp_path))
    clips = tmp_path / "clips"
    write_video(clips / "monday" / "squat.mp4", images, 12)
    write_video(clips / "short.mp4", images[:10], 12)
    (clips / "photo.png").write_bytes(encode_png(images[0]))
    (clips / "notes.txt").write_text("three sets of ten")
    (clips / ".hidden.mp4").write_text("")
    return clips


def summary(out: Path) -> list[dict[str, str]]:
    with (out / "summary.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.pose
def test_folder_becomes_tables_and_a_summary_and_a_second_run_uses_the_cache(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    seen: list[tuple[int, int]] = []
    report = label_files(
        [folder], out, PARAMS, exercise="squats", overlay=True, jobs=2,
        watch=lambda frames, items: lambda *done: seen.append(done) or None if (frames, items) == (35, 3) else None,
    )  # fmt: skip
    assert seen[-1] == (35, 3)
    names = ["angles", "form", "poses", "reps", "sets"]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [f"{name}.parquet" for name in names] + ["job.json", "overlay", "summary.csv"]
    )
    assert (out / "overlay/clips/monday/squat.mp4").is_file()
    header = (out / "summary.csv").read_text().splitlines()[0]
    assert header == (
        "media,set,start_s,end_s,exercise,exercise_p,fps,reps,reps_complete,correct,unscorable,detected_share,status,reason"
    )
    rows = summary(out)
    assert [row["media"] for row in rows] == ["clips/monday/squat.mp4", "clips/photo.png", "clips/short.mp4"]
    assert [row["exercise"] for row in rows] == ["squat", "none", "squat"]
    assert [row["status"] for row in rows] == ["ok", "ok", "ok"]
    assert (rows[0]["start_s"], rows[0]["end_s"], rows[0]["fps"], rows[0]["set"]) == ("0.0", "2.0", "12.0", "0")
    assert (rows[1]["start_s"], rows[1]["fps"], rows[1]["reps"]) == ("", "", "0")
    poses = read_table(out / "poses.parquet", "poses")
    counts = zip((row["media"] for row in rows), (24, 1, 10), strict=True)
    assert poses["sample_id"].to_pylist() == [name for name, count in counts for _ in range(count)]
    assert set(poses["origin"].to_pylist()) == {"mediapipe"}
    about = read_json(out / "job.json")
    assert (about["media"], about["frames"], about["cached"], about["ignored"]) == (3, 35, 0, {".txt": 1})
    assert about["wall_s"] > 0
    assert report.about == about

    again = tmp_path / "again"
    assert label_files([folder], again, PARAMS, exercise="squat", jobs=1).about["cached"] == 3
    for name in names:
        assert (out / f"{name}.parquet").read_bytes() == (again / f"{name}.parquet").read_bytes()
    assert (out / "summary.csv").read_bytes() == (again / "summary.csv").read_bytes()


@pytest.mark.pose
def test_bad_files_fail_after_the_others_are_cached_or_become_rows(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "monday" / "squat.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) * 9 // 10])
    out = tmp_path / "out"
    with pytest.raises(RepsetError) as caught:
        label_files([folder], out, PARAMS, exercise="squat", jobs=2)
    sentence = str(caught.value)
    assert sentence.startswith(f"{folder}/cut.mp4: expected a video that decodes to its end, found damaged data after")
    assert sentence.endswith("Copy, download or export it again. (--on-error skip labels the rest)")
    assert not out.exists()

    (folder / "text.mp4").write_text("three sets of ten")
    with pytest.raises(RepsetError) as caught:
        label_files([folder], out, PARAMS, exercise="squat", jobs=2)
    not_a_video = NOT_A_VIDEO.format(path=folder / "text.mp4")
    assert str(caught.value) == f"{not_a_video} (--on-error skip labels the rest)"

    (folder / "broken.jpg").write_bytes(b"image")
    report = label_files([folder], out, PARAMS, exercise="squat", jobs=2, on_error="skip")
    assert report.about["cached"] == 3
    assert report.about["status"] == {"error": 3, "ok": 3}
    rows = {row["media"]: row for row in summary(out)}
    assert rows["clips/text.mp4"] == dict.fromkeys(SUMMARY, "") | {
        "media": "clips/text.mp4", "status": "error", "reason": not_a_video,
    }  # fmt: skip
    assert rows["clips/cut.mp4"]["status"] == "error"
    assert rows["clips/short.mp4"]["status"] == "ok"
    assert rows["clips/broken.jpg"]["reason"] == (
        f"{folder}/broken.jpg: expected a JPEG or PNG image, found 5 bytes that do not decode. "
        "Check that it opens, or leave it out."
    )
    assert [row["media"] for row in report.about["errors"]] == [
        "clips/broken.jpg", "clips/cut.mp4", "clips/text.mp4",
    ]  # fmt: skip


def test_missing_exercise_model_is_told_before_any_work(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "exercise.onnx"

    def no_model() -> None:
        raise DataError(nowhere, "the released exercise model", "no file", "Name the exercise: --exercise squat")

    monkeypatch.setattr("repset.autolabel.job.recogniser", no_model)
    with pytest.raises(DataError) as caught:
        label_files([folder], tmp_path / "out", PARAMS)
    assert str(caught.value) == (
        f"{nowhere}: expected the released exercise model, found no file. Name the exercise: --exercise squat."
    )
    assert not (tmp_path / "cache" / "repset" / "poses").exists()


@pytest.mark.pose
def test_killed_job_loses_nothing_finished_and_leaves_nothing_behind(
    folder: Path, tmp_path: Path, images: list[Image]
) -> None:
    long = tmp_path / "clips" / "a_long.mp4"
    write_video(long, images * 40, 12)
    out, cache = tmp_path / "out", tmp_path / "cache" / "repset" / "poses"
    arguments = [sys.executable, "-m", "repset", "autolabel", str(folder), "--exercise", "squat", "--out", str(out)]
    job = subprocess.Popen([*arguments, "--jobs", "2"], cwd=tmp_path, stdout=subprocess.DEVNULL)
    for _ in range(600):
        if len(list(cache.rglob("*.npz"))) >= 3:
            break
        time.sleep(0.1)
    job.kill()
    assert job.wait() == -signal.SIGKILL
    assert not out.exists()
    assert len(list(tmp_path.glob(".out.*.part"))) == 1

    long.unlink()
    done = subprocess.run([*arguments, "--json"], cwd=tmp_path, capture_output=True, text=True, check=True)
    about = json.loads(done.stdout)
    assert (about["cached"], about["media"], about["several_people"]) == (3, 3, [])
    assert about == read_json(out / "job.json")
    assert list(tmp_path.glob(".out.*.part")) == []


@pytest.mark.pose
def test_fewer_frames_a_second_keep_their_times(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = label_files([folder / "monday" / "squat.mp4"], out, PARAMS, exercise="squat", jobs=1, fps=4)
    poses = read_table(out / "poses.parquet", "poses", ["frame", "time_s"])
    assert poses["frame"].to_pylist() == list(range(8))
    assert poses["time_s"].to_pylist() == pytest.approx([0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75])
    assert (report.about["frames"], report.about["fps"]) == (8, 4)
    assert summary(out)[0]["fps"] == "4.0"


def test_text_file_named_mp4_is_one_sentence_on_the_command_line(folder: Path, tmp_path: Path) -> None:
    path = folder / "text.mp4"
    path.write_text("three sets of ten")
    result = CliRunner().invoke(command, [str(path), "--out", str(tmp_path / "out")])
    assert str(result.exception) == f"{NOT_A_VIDEO.format(path=path)} (--on-error skip labels the rest)"
    assert not (tmp_path / "out").exists()


def test_folder_without_media_is_one_sentence(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError) as caught:
        label_files([empty], tmp_path / "out", PARAMS)
    assert str(caught.value) == (
        f"{empty}: expected a folder with videos or images, found no file. Check the path."
    )  # fmt: skip
    for name in ("a.csv", "b.csv", "README"):
        (empty / name).touch()
    with pytest.raises(DataError) as caught:
        find_media([empty])
    assert str(caught.value) == (
        f"{empty}: expected a folder with videos or images, found only other files (2 .csv, 1 README). Check the path."
    )


def test_wrong_arguments_are_one_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as unknown:
        label_files([folder], tmp_path / "out", PARAMS, exercise="swimming")
    assert str(unknown.value) == (
        "exercise 'swimming': expected auto or one of squat, lunge, push_up, pull_up, sit_up, bench_press, bicep_curl, "
        "tricep_extension, dumbbell_row, shoulder_press, lateral_raise, jumping_jack, jump_rope, clean_and_jerk. "
        "Choose one of these."
    )
    with pytest.raises(DataError) as foreign:
        label_files([folder], folder, PARAMS)
    assert str(foreign.value) == (
        f"{folder}: expected a new folder, or one that this command wrote, found other files in it (.hidden.mp4). "
        "Choose another folder with --out."
    )
    with pytest.raises(DataError) as missing:
        label_files([tmp_path / "nowhere"], tmp_path / "out", PARAMS)
    assert str(missing.value) == (
        f"{tmp_path}/nowhere: expected a video, an image or a folder of them, found no such path. Check the path."
    )


def test_path_without_out_says_what_to_add(folder: Path) -> None:
    result = CliRunner().invoke(command, [str(folder)])
    assert str(result.exception) == (
        f"{folder}: a path, and no source of a project. Add --out FOLDER to label your own files."
    )
    result = CliRunner().invoke(command, ["sample_penn_action", "--exercise", "squat"])
    assert result.exit_code == 2
    assert "--exercise needs --out; a source takes params.yaml's settings." in result.output


def test_files_of_one_name_are_told_apart_and_a_file_named_twice_counts_once(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_video(other / "short.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3, 12)
    found = find_media([folder / "short.mp4", other / "short.mp4", other / "short.mp4"])
    assert [task.path for task in found.tasks] == [folder / "short.mp4", other / "short.mp4"]
    assert [task.media for task in found.tasks] == [
        (folder / "short.mp4").as_posix()[1:], (other / "short.mp4").as_posix()[1:],
    ]  # fmt: skip
    assert [task.number for task in found.tasks] == [0, 1]


def test_state_of_a_joint_follows_from_place_and_visibility() -> None:
    joints = len(SKELETONS["blazepose_33"].joints)
    xy = np.full((1, joints, 2), 50.0, np.float32)
    visibility = np.ones((1, joints), np.float32)
    xy[0, 0], visibility[0, 0] = np.nan, np.nan
    xy[0, 1] = (-1, 50)
    xy[0, 2] = (50, 100)
    visibility[0, 3] = 0.4
    track = PoseTrack("blazepose_33", np.zeros(1), xy, visibility, 100, 100)
    assert joint_states(track, 0.5)[0, :5].tolist() == [3, 2, 2, 1, 0]


# --- a source of a project --------------------------------------------------------------------------------------


def write_index(project: Project, source: str, images: list[Image]) -> None:
    """A small index: a clip with frames, a clip of the set's own poses, a photograph in two copies, a recording
    with sets but no poses."""
    index = project.index(source)
    shards = ShardWriter(index, 1 << 20)
    for number, image in enumerate(images):
        shards.add(f"{source}/clip", number, "", f"{number:06d}.png", encode_png(image))
    for variant in ("aaa", "bbb"):
        shards.add(f"{source}/photo", 0, variant, f"{variant}.png", encode_png(images[0]))
    shards.close()
    write_table(index / "frames.parquet", "frames", shards.rows)
    common = dict(source=source, width=320, height=240, media_sha256="0" * 64)
    rows = [
        dict(sample_id=f"{source}/clip", kind="clip", fps=12.0, frames=len(images), exercise="squat",
             exercise_native="squat"),
        dict(sample_id=f"{source}/photo", kind="image", frames=1),
        dict(sample_id=f"{source}/poses", kind="poses", fps=30.0, frames=40),
        dict(sample_id=f"{source}/serve", kind="poses", fps=30.0, frames=5, exercise_native="tennis_serve"),
    ]  # fmt: skip
    write_table(index / "samples.parquet", "samples", [common | row for row in rows])
    sets = [(0, 10, "none"), (10, 40, "bicep_curl")]
    write_table(index / "sets.parquet", "sets", [
        dict(sample_id=f"{source}/poses", set=n, start=start, end=end, exercise=name, origin="dataset")
        for n, (start, end, name) in enumerate(sets)
    ])  # fmt: skip
    frame = np.arange(4, 40)
    xy = np.random.default_rng(1).uniform(0, 200, (36, 18, 2))
    write_table(index / "poses.parquet", "poses", pose_table(
        f"{source}/poses", "coco_18", frame, frame / 30, xy, np.ones((36, 18)), np.zeros((36, 18)), "dataset_estimate"
    ))  # fmt: skip


@pytest.mark.pose
def test_source_gets_poses_of_its_images_only_and_labels_of_everything(project: Project, images: list[Image]) -> None:
    write_index(project, "some", images)
    before = label_source(project, "some", PARAMS, jobs=2)
    labels = project.labels("some")
    assert sorted(path.name for path in labels.iterdir()) == sorted(
        [f"{name}.parquet" for name in ("angles", "form", "poses", "reps", "sets")] + ["report.json", "summary.csv"]
    )
    assert {row["sample_id"] for row in read_rows(labels / "poses.parquet", "poses")} == {"some/clip", "some/photo"}
    assert set(pq.read_table(labels / "angles.parquet")["sample_id"].to_pylist()) == {
        "some/clip", "some/photo", "some/poses",
    }  # fmt: skip
    sets = [(row["sample_id"], row["exercise"], row["origin"]) for row in read_rows(labels / "sets.parquet", "sets")]
    assert sets == [("some/clip", "squat", "dataset"), ("some/poses", "bicep_curl", "dataset")]
    states = {row["media"]: row["status"] for row in summary(labels)}
    assert states["some/serve"] == "no_poses"
    assert states["some/clip"] == states["some/photo"] == "ok"
    assert before.about["status"]["ok"] >= 2

    files = {path.name: path.read_bytes() for path in labels.iterdir()}
    label_source(project, "some", PARAMS, jobs=1)
    assert {path.name: path.read_bytes() for path in labels.iterdir()} == files  # a cached run gives the same bytes
    text = json.dumps(read_json(labels / "report.json"))
    assert str(project.root) not in text
    assert "wall" not in text


def test_known_exercises_come_from_the_set_and_only_unknown_clips_are_recognised(
    project: Project, images: list[Image]
) -> None:
    write_index(project, "some", images[:2])
    tasks = {task.sample_id: task for task in source_tasks(project.index("some"))}
    assert tasks["some/clip"].stretches == (Stretch(0, 2, "squat", None, "dataset"),)
    assert tasks["some/poses"].stretches == (Stretch(10, 40, "bicep_curl", None, "dataset"),)
    assert tasks["some/serve"].stretches == ()
    assert tasks["some/photo"].stretches == ()
    assert inputs._known({"exercise": None, "exercise_native": None}, []) is None


def test_poses_of_a_set_stand_at_their_own_frames(project: Project, images: list[Image]) -> None:
    write_index(project, "some", images[:1])
    track = work.indexed_poses(Task(0, "some/poses", "some/poses", "poses", project.index("some"), 30.0, 40, None))
    assert (track.skeleton, len(track.time_s)) == ("coco_18", 40)
    assert np.isnan(track.xy_px[:4]).all()
    first = read_rows(project.index("some") / "poses.parquet", "poses")[0]
    assert track.xy_px[4, :, 0].tolist() == first["x_px"]
    assert track.xy_px[4, :, 1].tolist() == first["y_px"]
    assert TABLES["poses"].names[0] == "sample_id"


def test_index_without_samples_is_one_sentence(project: Project) -> None:
    index = project.index("none")
    for name in ("samples", "sets"):
        write_table(index / f"{name}.parquet", name, [])
    with pytest.raises(DataError) as caught:
        label_source(project, "none", PARAMS)
    assert str(caught.value) == (
        f"{index}/samples.parquet: expected samples to label, found none. Run: repset index none."
    )


def test_memory_goes_back_when_the_poses_are_known_and_before_they_are_labelled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[str] = []
    monkeypatch.setattr(work, "poses_of", lambda *_: done.append("poses") or (None, False))
    monkeypatch.setattr(work, "give_back", lambda: done.append("given back"))
    monkeypatch.setattr(work, "_label", lambda *_: done.append("labels"))
    task = Task(0, "clip", "clip.mp4", "video", tmp_path / "clip.mp4", None, 0, None)
    options = work.Options(None, "default", "full", 0.5, tmp_path)
    work.run_task(task, options, tmp_path, lambda *_: None)
    assert done == ["poses", "given back", "labels"]
