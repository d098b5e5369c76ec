"""Sets of videos with muscle groups: pickles that can only be lists, official lists, defaults with their source."""

import io
import json
import pickle
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from repset import exercises
from repset.errors import DataError
from repset.exercises import EXERCISES, MUSCLE_GROUPS, Muscles, canonical, default_muscles
from repset.params import SourceSpec
from repset.project import Project
from repset.records import read_rows
from repset.sources.index import index_source
from repset.sources.video_lists import list_number, read_list
from repset.video import read_video, write_video

SPEC = SourceSpec(family="muscle_video", rendered=False, origin="x", format="ucf101")
RAW = "datasets/mu/raw/mu.zip"
FIX = "Take the files as the authors hand them out."


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("v") / "a.mp4"
    write_video(path, [np.full((32, 48, 3), 20 * n, np.uint8) for n in range(6)], 12.0)
    return path.read_bytes()


def put(project: Project, files: dict[str, bytes]) -> None:
    project.raw("mu").mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(project.raw("mu") / "mu.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def index(project: Project, spec: SourceSpec = SPEC, **options: Any) -> dict[str, Any]:
    return index_source(project, "mu", spec, shard_mb=1, **options)


def failure(project: Project, files: dict[str, bytes]) -> str:
    put(project, files)
    with pytest.raises(DataError) as caught:
        index(project)
    assert not project.index("mu").exists()
    return str(caught.value)


def samples(project: Project) -> list[dict[str, Any]]:
    return read_rows(project.index("mu") / "samples.parquet", "samples")


def muscles(project: Project) -> list[tuple[str, str, str | None, str, str]]:
    rows = read_rows(project.index("mu") / "muscles.parquet", "muscles")
    return [(row["sample_id"], row["label"], row["role"], row["evidence"], row["origin"]) for row in rows]


def handed_out(video: bytes, protocol: int = 4) -> dict[str, bytes]:
    """Two splits; paths of another machine, two videos of one name."""
    lists = {
        "train": (
            ["/data/authors/musclemap/squat/001.mp4", "/data/authors/musclemap/crunch/001.mp4"],
            [[12, 13], (9,)],
        ),
        "test_unseen": (["/data/authors/musclemap/plank/x y.mp4"], [[]]),
    }
    files = {f"MuscleMap/{name}": video for name in ("squat/001.mp4", "crunch/001.mp4", "plank/x y.mp4", "spare.mp4")}
    for split, (paths, labels) in lists.items():
        files[f"MuscleMap/{split}_rgb.pkl"] = pickle.dumps(paths, protocol)
        files[f"MuscleMap/{split}_label.pkl"] = pickle.dumps(labels, protocol)
    return files


@pytest.mark.parametrize("protocol", range(6))
def test_videos_find_their_muscles_by_the_end_of_a_path(project: Project, video: bytes, protocol: int) -> None:
    put(project, handed_out(video, protocol))
    report = index(project)
    assert [
        (row["sample_id"], row["official_split"], row["exercise"], row["exercise_native"]) for row in samples(project)
    ] == [
        ("mu/MuscleMap/crunch/001", "train", None, "crunch"),
        ("mu/MuscleMap/plank/x y", "unseen_test", None, "plank"),
        ("mu/MuscleMap/squat/001", "train", "squat", "squat"),
    ]
    assert muscles(project) == [
        ("mu/MuscleMap/crunch/001", "upper_abdominis", None, "MuscleMap/train_label.pkl", "dataset"),
        ("mu/MuscleMap/squat/001", "hamstring", None, "MuscleMap/train_label.pkl", "dataset"),
        ("mu/MuscleMap/squat/001", "quadriceps", None, "MuscleMap/train_label.pkl", "dataset"),
    ]
    assert report["left_out"] == {"video in none of the lists": 1}
    assert (report["without_muscles"], report["counts"]["muscles"]) == (1, 3)


def test_a_video_is_a_file_of_the_index_with_its_size_and_rate(project: Project, video: bytes) -> None:
    put(project, {"squat/a.mp4": video})
    index(project)
    (row,) = samples(project)
    assert row["media"] == "datasets/mu/index/videos/squat/a.mp4"
    assert (row["width"], row["height"], row["fps"], row["frames"]) == (48, 32, 12.0, 6)
    assert len(list(read_video(project.root / row["media"]))) == 6
    assert (project.root / row["media"]).read_bytes() == video


def test_without_pickles_a_class_has_the_default_of_its_exercise(project: Project, video: bytes) -> None:
    put(project, {
        "UCF/BenchPress/v_BenchPress_g01_c01.avi": video, "UCF/BenchPress/v_BenchPress_g09_c02.avi": video,
        "UCF/Biking/v_Biking_g01_c01.avi": video, "UCF/Knitting/v_Knitting_g01_c01.avi": video,
        "lists/trainlist01.txt": b"BenchPress/v_BenchPress_g09_c02.avi 10\nKnitting/v_Knitting_g01_c01.avi 50\n",
        "lists/testlist01.txt": b"BenchPress/v_BenchPress_g01_c01.avi\nBiking/v_Biking_g01_c01.avi\n"
        b"YoYo/v_YoYo_g01_c01.avi\n",
        "lists/trainlist02.txt": b"BenchPress/v_BenchPress_g01_c01.avi 10\n",
    })  # fmt: skip
    report = index(project)
    assert [
        (row["sample_id"][7:], row["group"], row["official_split"], row["exercise"]) for row in samples(project)
    ] == [
        ("BenchPress/v_BenchPress_g01_c01", "BenchPress_g01", "test", "bench_press"),
        ("BenchPress/v_BenchPress_g09_c02", "BenchPress_g09", "train", "bench_press"),
        ("Biking/v_Biking_g01_c01", "Biking_g01", "test", None),
        ("Knitting/v_Knitting_g01_c01", "Knitting_g01", "train", None),
    ]
    press = "free-exercise-db:Barbell_Bench_Press_-_Medium_Grip"
    assert [row[1:] for row in muscles(project) if row[0] == "mu/UCF/BenchPress/v_BenchPress_g01_c01"] == [
        ("chest", "primary", press, "rule"), ("shoulder", "secondary", press, "rule"),
        ("triceps", "secondary", press, "rule"),
    ]  # fmt: skip
    assert [row[1:3] for row in muscles(project) if "Biking" in row[0]] == [
        ("calves", "secondary"), ("gluteus", "secondary"), ("hamstring", "secondary"), ("quadriceps", "primary"),
    ]  # fmt: skip
    assert report["left_out"] == {"listed video of a class that is not here": 1}
    assert report["without_muscles"] == 1
    index(project, SPEC.model_copy(update={"list_number": 2}))
    assert {row["official_split"] for row in samples(project)} == {"train"}


def test_hmdb_lists_name_the_class_and_films_are_groups(project: Project, video: bytes) -> None:
    put(project, {
        "pushup/Film_one_pushup_f_nm_np1_fr_goo_0.avi": video, "pushup/Film_one_pushup_f_nm_np1_fr_goo_1.avi": video,
        "pushup/Film_two_pushup_f_nm_np1_fr_goo_0.avi": video,
        "pushup_test_split1.txt": b"Film_one_pushup_f_nm_np1_fr_goo_0.avi 1 \nFilm_one_pushup_f_nm_np1_fr_goo_1.avi 0\n"
        b"Film_two_pushup_f_nm_np1_fr_goo_0.avi 2\n",
    })  # fmt: skip
    index(project, SPEC.model_copy(update={"format": "hmdb51"}))
    assert [(row["group"], row["official_split"], row["exercise"]) for row in samples(project)] == [
        ("Film_one", "train", "push_up"), ("Film_one", None, "push_up"), ("Film_two", "test", "push_up"),
    ]  # fmt: skip


class Caller:
    def __reduce__(self) -> Any:
        return (print, ("called",))


def test_a_pickle_that_calls_is_refused_before_it_is_built(
    project: Project, video: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    said = failure(project, handed_out(video) | {"MuscleMap/train_label.pkl": pickle.dumps([Caller()], 0)})
    assert said == (
        f"{RAW}:MuscleMap/train_label.pkl: expected a pickle of lists, tuples, strings and whole numbers alone, "
        "found the operation GLOBAL __builtin__ print. Do not use it unless you made it yourself."
    )
    assert capsys.readouterr().out == ""


def test_faults_in_what_is_handed_out(project: Project, video: bytes) -> None:
    files = handed_out(video)
    paths, labels = f"{RAW}:MuscleMap/train_rgb.pkl", f"{RAW}:MuscleMap/train_label.pkl"
    assert failure(project, files | {"MuscleMap/train_label.pkl": pickle.dumps([[1]])}) == (
        f"{labels}: expected 2 rows, as the list of paths, found 1. {FIX}"
    )
    assert failure(project, files | {"MuscleMap/train_label.pkl": pickle.dumps([[1], [20]])}) == (
        f"{labels}, row 1: expected groups 0 to 19, found 20. {FIX}"
    )
    assert failure(project, files | {"MuscleMap/train_label.pkl": pickle.dumps({"a": 1})}) == (
        f"{labels}: expected a pickle of lists, tuples, strings and whole numbers alone, "
        "found the operation EMPTY_DICT. Do not use it unless you made it yourself."
    )
    assert failure(project, files | {"MuscleMap/train_label.pkl": pickle.dumps([["one"]])}) == (
        f"{labels}: expected a list of paths, or of lists of group numbers, found something else. {FIX}"
    )
    assert failure(project, {name: data for name, data in files.items() if name != "MuscleMap/train_label.pkl"}) == (
        f"{paths}: expected two pickles for train, paths and labels, found one. {FIX}"
    )
    assert failure(project, files | {"MuscleMap/other.pkl": pickle.dumps(["a"])}) == (
        f"{RAW}:MuscleMap/other.pkl: expected a file name with train, val_seen, val_unseen, test_seen or test_unseen, "
        f"found none of them. {FIX}"
    )
    twice = ["/x/squat/001.mp4", "/y/squat/001.mp4"]
    assert failure(project, files | {"MuscleMap/train_rgb.pkl": pickle.dumps(twice)}) == (
        f"{paths}, row 1: expected each video once, found MuscleMap/squat/001 again. {FIX}"
    )
    either = ["/x/squat/001.mp4", "/x/001.mp4"]
    assert failure(project, files | {"MuscleMap/train_rgb.pkl": pickle.dumps(either)}) == (
        f"{paths}, row 1: expected one video '/x/001.mp4', found 2 of them. Add it, or go on with --on-error skip."
    )
    assert failure(project, {"a.pkl": b""}) == (
        f"{RAW}: expected videos (.mp4, .avi …) with the lists of MuscleMap, UCF101 or HMDB51, found no video. "
        "Check the path."
    )
    assert failure(project, {"a/b.mp4": b"no video"}) == (
        f"{RAW}:a/b.mp4: expected a video file, found a file of another kind. Check that it plays, or leave it out."
    )


def test_skip_names_what_is_missing(project: Project, video: bytes) -> None:
    put(project, {
        "Lunges/v_Lunges_g01_c01.avi": video, "Lunges/v_Lunges_g01_c02.avi": b"damaged",
        "testlist01.txt": b"Lunges/v_Lunges_g01_c01.avi\nLunges/v_Lunges_g01_c02.avi\nLunges/v_Lunges_g07_c01.avi\n",
    })  # fmt: skip
    report = index(project, skip=True)
    assert [row["item"] for row in report["skipped"]] == ["Lunges/v_Lunges_g01_c02", "v_Lunges_g07_c01"]
    assert report["skipped"][1]["reason"] == (
        f"{RAW}:testlist01.txt, line 3: expected the video v_Lunges_g07_c01, found no such file. "
        "Add it, or go on with --on-error skip."
    )
    assert [p.name for p in (project.index("mu") / "videos" / "Lunges").iterdir()] == ["v_Lunges_g01_c01.avi"]


def test_faults_in_official_lists() -> None:
    expected = "Take the lists as their authors publish them."
    with pytest.raises(DataError) as caught:
        read_list("a/pushup_test_split1.txt", b"film.avi 1\nfilm two.avi 7\n", "x")
    assert str(caught.value) == f"x, line 2: expected rows 'video.avi 0, 1 or 2', found 'film two.avi 7'. {expected}"
    with pytest.raises(DataError) as caught:
        read_list("trainlist02.txt", b"Lunges/a.avi 1\nLunges/a.avi 1\n", "x")
    assert str(caught.value) == f"x, line 2: expected each video once, found a again. {expected}"
    with pytest.raises(DataError) as caught:
        read_list("trainlist02.txt", b"\xff\xfe", "x")
    assert str(caught.value) == f"x: expected rows 'Class/video.avi 1', found a file that is no text. {expected}"


def test_the_map_covers_the_ontology_and_knows_only_the_twenty_groups() -> None:
    assert default_muscles("pull_up") == Muscles("Pullups", ("latissimus",), ("biceps", "upper_back"))
    assert default_muscles("sit_up") == Muscles("Sit-Up", ("upper_abdominis", "lower_abdominis"), ())
    assert default_muscles("none") is None
    for exercise in EXERCISES:
        found = default_muscles(exercise.name)
        assert found is not None
        assert found.primary
        assert {*found.primary, *found.secondary} <= set(MUSCLE_GROUPS)


@pytest.mark.real
def test_every_entry_of_the_map_is_what_the_table_says(shared_data: Path) -> None:
    table = {row["id"]: row for row in json.loads((shared_data / "exercise_muscles" / "exercises.json").read_text())}
    content = yaml.safe_load((Path(exercises.__file__).parent / "muscle_map.yaml").read_text())
    rows = [*content["exercises"].values(), *(row for words in content["words"].values() for row in words.values())]
    assert len(rows) == 32
    for row in rows:
        source = table[row["entry"]]
        assert (row["primary"], row["secondary"]) == (source["primaryMuscles"], source["secondaryMuscles"])
    used = {muscle for row in table.values() for muscle in row["primaryMuscles"] + row["secondaryMuscles"]}
    assert set(content["groups"]) == used
    assert len(used) == 17


@pytest.mark.real
def test_the_official_lists_have_their_published_counts(shared_data: Path) -> None:
    counts: Counter[tuple[str, int, str | None]] = Counter()
    gym: Counter[str] = Counter()
    for folder in ("ucf101", "hmdb51"):
        for path in sorted((shared_data / "splits" / folder).glob("*.txt")):
            number = list_number(path.name)
            if number is None:
                assert path.name == "classInd.txt"
                continue
            for one in read_list(path.name, path.read_bytes(), path.name).values():
                counts[folder, number, one.split] += 1
                if number == 1 and (name := canonical(one.word, folder)):
                    gym[name] += 1
    assert counts == {
        ("ucf101", 1, "train"): 9537, ("ucf101", 1, "test"): 3783, ("ucf101", 2, "train"): 9586,
        ("ucf101", 2, "test"): 3734, ("ucf101", 3, "train"): 9624, ("ucf101", 3, "test"): 3696,
        **{("hmdb51", number, "train"): 3570 for number in (1, 2, 3)},
        **{("hmdb51", number, "test"): 1530 for number in (1, 2, 3)},
    }  # fmt: skip
    assert (gym["squat"], gym["lunge"], gym["bench_press"]) == (112, 127, 160)


def test_a_pickle_in_a_stream_of_bytes_is_what_pickle_makes_of_it() -> None:
    from repset.sources.untrusted import read_pickle

    value = [["a", "ü", ""], [1, -5, 2**40, 255, 70000], (), ("x",), [[[]]]]
    for protocol in range(6):
        out = io.BytesIO()
        pickle.dump(value, out, protocol)
        assert read_pickle(out.getvalue(), "x") == value
