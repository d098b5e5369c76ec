"""Any folder as a source: what is found, what a label CSV says of it, and every fault in one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repset.errors import DataError
from repset.params import SourceSpec
from repset.project import Project
from repset.records import read_rows
from repset.sources.fetch import pull_source
from repset.sources.imports_csv import COLUMNS
from repset.sources.index import index_source
from repset.video import FrameStore, encode_png, write_video

RAW = "datasets/mine/raw"


def picture(path: Path, width: int = 8, height: int = 6, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.full((height, width, 3), value, np.uint8)))


def video(path: Path, frames: int = 12, fps: float = 10.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, (np.full((48, 64, 3), 10 * n, np.uint8) for n in range(frames)), fps)


def spec(**more: Any) -> SourceSpec:
    return SourceSpec(family="folder", rendered=False, origin="in", **more)


def index(project: Project, skip: bool = False, **more: Any) -> dict[str, Any]:
    return index_source(project, "mine", spec(**more), shard_mb=1, skip=skip)


def table(project: Project, name: str, *columns: str) -> list[tuple[Any, ...]]:
    rows = read_rows(project.index("mine") / f"{name}.parquet", name)
    return [tuple(row[column] for column in columns) for row in rows]


def fault(project: Project, **more: Any) -> str:
    with pytest.raises(DataError) as caught:
        index(project, **more)
    assert not project.index("mine").exists()
    return str(caught.value)


def labels(project: Project, text: str) -> None:
    (project.raw("mine") / "labels.csv").write_text(text, encoding="utf-8")


def test_images_and_videos_become_samples_named_by_their_paths(project: Project) -> None:
    raw = project.raw("mine")
    picture(raw / "photos" / "a.png", 8, 6)
    video(raw / "clip.mp4")
    index(project)
    columns = ("sample_id", "kind", "width", "height", "fps", "frames", "group", "media")
    assert table(project, "samples", *columns) == [
        ("mine/clip", "clip", 64, 48, 10.0, 12, "clip", "datasets/mine/index/videos/clip.mp4"),
        ("mine/photos/a", "image", 8, 6, None, 1, "photos/a", None),
    ]
    assert (project.root / "datasets/mine/index/videos/clip.mp4").read_bytes() == (raw / "clip.mp4").read_bytes()
    assert FrameStore(project.index("mine")).image({**_frames(project)[0]}).shape == (6, 8, 3)


def _frames(project: Project) -> list[dict[str, Any]]:
    return read_rows(project.index("mine") / "frames.parquet", "frames")


def test_sequences_are_clips_in_the_order_of_their_numbers(project: Project) -> None:
    for number in range(8, 12):
        picture(project.raw("mine") / "walk" / f"f{number}.png", value=number)
    index(project, sequences=True, fps=25)
    assert table(project, "samples", "sample_id", "kind", "fps", "frames") == [("mine/walk", "clip", 25.0, 4)]
    assert [(row["frame"], row["name"]) for row in _frames(project)] == [
        (0, "f8.png"), (1, "f9.png"), (2, "f10.png"), (3, "f11.png"),
    ]  # fmt: skip


def test_a_pulled_folder_is_indexed_as_the_folder_itself(project: Project, tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "notes.docx").write_bytes(b"x")
    pull_source(project, "mine", spec(), "in", lambda folder: None, {}, False, lambda done, total: None)
    assert [path.name for path in project.raw("mine").iterdir()] == ["mine.zip"]
    index(project)
    assert table(project, "samples", "sample_id") == [("mine/a",)]


def test_the_label_csv_gives_facts_sets_repetitions_and_verdicts(project: Project) -> None:
    video(project.raw("mine") / "a.mp4")
    video(project.raw("mine") / "b.mp4")
    picture(project.raw("mine") / "c.png")
    labels(
        project,
        "Media,exercise,subject,split,start,end,start_s,end_s,reps,rep,turn,complete,verdict,rule,view,message\n"
        "a.mp4,squats,anna,train,,,,,,,,,,,,\n"
        "a.mp4,,,,2,,,1.0,3,,,,,,,\n"
        "a.mp4,,,,2,6,,,,0,4,yes,incorrect,depth,side,not deep\n"
        "b.mp4,kettlebell swing,,val,,,,,,,,,unscorable,,,\n",
    )
    report = index(project)
    columns = ("sample_id", "group", "official_split", "exercise", "exercise_native")
    assert table(project, "samples", *columns) == [
        ("mine/a", "anna", "train", "squat", "squats"),
        ("mine/b", "b", "validation", None, "kettlebell swing"),
        ("mine/c", "c", None, None, None),
    ]
    assert table(project, "sets", "sample_id", "set", "start", "end", "exercise", "reps", "origin") == [
        ("mine/a", 0, 2, 10, "squat", 3, "dataset")
    ]
    assert table(project, "reps", "set", "rep", "exercise", "start", "turn", "end", "turn_s", "complete") == [
        (0, 0, "squat", 2, 4, 6, 0.4, True)
    ]
    assert table(project, "form", "sample_id", "set", "level", "rep", "start", "end", "verdict", "rule_id", "view") == [
        ("mine/a", 0, "rep", 0, 2, 6, "incorrect", "depth", "side"),
        ("mine/b", None, "clip", None, 0, 12, "unscorable", None, None),
    ]
    assert report["media_without_a_row_of_labels"] == 1


def test_a_count_alone_makes_the_whole_clip_a_set(project: Project) -> None:
    video(project.raw("mine") / "a.mp4")
    labels(project, "media,exercise,reps\na.mp4,push-ups,5\n")
    index(project)
    assert table(project, "sets", "start", "end", "exercise", "reps") == [(0, 12, "push_up", 5)]


EXERCISES = (
    "squat, lunge, push_up, pull_up, sit_up, bench_press, bicep_curl, tricep_extension, dumbbell_row, shoulder_press, "
    "lateral_raise, jumping_jack, jump_rope, clean_and_jerk"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "media,excercise\n",
            f": expected columns among {', '.join(COLUMNS)}, found 'excercise'. Rename or remove it.",
        ),
        ("media,media\n", ": expected a header with media and each column once, found a column twice. "
         "Mend the first line."),
        ("exercise\nsquat\n", ": expected a header with media and each column once, found no column media. "
         "Mend the first line."),
        ("media,exercise\na.mp4\n", ", line 2: expected 2 cells, as the header has, found 1. Mend the row."),
        ("media,exercise\nb.mp4,squat\n", ", line 2: expected media of this folder, found 'b.mp4'. Mend the row."),
        ("media,split\na.mp4,dev\n", ", line 2: expected a split among test, train, unseen_test, validation, "
         "found 'dev'. Mend the row."),
        ("media,subject\na.mp4,p1\na.mp4,p2\n", ", line 3: expected the subject 'p1' of the rows above, found 'p2'. "
         "Mend the row."),
        ("media,exercise,start,end\na.mp4,squat,3,40\n", ", line 2: expected frames inside the clip (0 to 12), "
         "found 3 to 40. Mend the row."),
        ("media,exercise,start,end\na.mp4,squat,x,4\n", ", line 2: expected a whole number in start, found 'x'. "
         "Mend the row."),
        ("media,exercise,start,start_s,end\na.mp4,squat,1,1,4\n", ", line 2: expected either start or start_s, "
         "found both. Mend the row."),
        ("media,exercise,start,end\na.mp4,squat,1,\n", ", line 2: expected either end or end_s, found neither. "
         "Mend the row."),
        ("media,exercise,start,end\na.mp4,squat,0,6\na.mp4,squat,5,9\n", ", line 3: expected sets that do not overlap, "
         "found frames 0 to 6 and 5 to 9. Mend the row."),
        ("media,exercise,start,end,rep\na.mp4,squat,0,6,\na.mp4,squat,5,9,0\n", ", line 3: expected a repetition "
         "inside one of the clip's sets, found frames 5 to 9. Mend the row."),
        ("media,verdict\na.mp4,good\n", ", line 2: expected a verdict among correct, incorrect, unscorable, "
         "found 'good'. Mend the row."),
        ("media,exercise,reps\na.mp4,dance,2\n", f", line 2: expected an exercise that can be counted ({EXERCISES}) or "
         "none, found 'dance'. Add it to repset.exercises, or give it to the whole clip without reps, start and end."),
    ],
)  # fmt: skip
def test_every_fault_of_a_label_csv_has_its_sentence(project: Project, text: str, message: str) -> None:
    video(project.raw("mine") / "a.mp4")
    labels(project, text)
    assert fault(project) == f"{RAW}/labels.csv{message}"


def test_a_label_csv_that_is_no_utf8_is_named_with_its_byte(project: Project) -> None:
    picture(project.raw("mine") / "a.png")
    (project.raw("mine") / "labels.csv").write_bytes("media,exercise\nä.png,squat\n".encode("latin-1"))
    assert fault(project) == f"{RAW}/labels.csv: expected UTF-8 text, found the byte 0xe4. Save it as UTF-8."


def test_sets_on_a_single_image_are_refused(project: Project) -> None:
    picture(project.raw("mine") / "a.png")
    labels(project, "media,exercise,reps\na.png,squat,3\n")
    assert fault(project) == (
        f"{RAW}/labels.csv, line 2: expected a clip for sets and repetitions, found a single image. "
        "Remove start, end and reps."
    )


def test_a_faulty_item_is_counted_under_skip_and_leaves_nothing_behind(project: Project) -> None:
    raw = project.raw("mine")
    picture(raw / "s" / "0.png")
    picture(raw / "s" / "1.png", width=9)
    picture(raw / "t" / "0.png")
    (raw / "bad.mp4").write_bytes(b"no video")
    (raw / "t.webp").write_bytes(b"RIFF")
    report = index(project, skip=True, sequences=True, fps=10)
    assert report["skipped"] == [
        {"item": "bad.mp4", "reason": f"{RAW}/bad.mp4: expected a video file, found a file of another kind. "
         "Check that it plays, or leave it out."},
        {"item": "s", "reason": f"{RAW}/s/1.png: expected 8 × 6 px, as the frames before, found 9 × 6. "
         "Mend the folder and pull it again."},
        {"item": "t.webp", "reason": f"{RAW}/t.webp: expected a JPEG or PNG image, found a file .webp. "
         "Convert it and pull the folder again."},
    ]  # fmt: skip
    assert table(project, "samples", "sample_id") == [("mine/t",)]
    assert [row["sample_id"] for row in _frames(project)] == ["mine/t"]
    assert list((project.index("mine") / "videos").rglob("*")) == []


@pytest.mark.parametrize(
    ("names", "more", "message"),
    [
        (["a.png", "a.jpg"], {}, f"{RAW}: expected files that differ by more than their suffix, found a.jpg and a.png. "
         "Rename one."),
        (["a.png"], {"sequences": True}, f"{RAW}: expected a folder for each sequence, found images beside the folders "
         "(a.png). Mend the folder and pull it again."),
        (["s/1.png", "s/3.png"], {"sequences": True, "fps": 5}, f"{RAW}/s: expected frames numbered without a gap, "
         "found none (or two) at 2. Mend the folder and pull it again."),
        (["s/1.png"], {"sequences": True}, f"{RAW}/s: expected a frame rate for the sequence, found none. "
         "State fps in pipelines/mine.yaml or in the label file."),
        (["a.png"], {"labels": "marks.csv"}, f"{RAW}/marks.csv: expected the label file, found no such file. "
         "Mend labels in pipelines/mine.yaml."),
        (["a.png"], {"format": "voc"}, "pipelines/mine.yaml: expected format among coco, coco-keypoints, yolo-seg, "
         "yolo-pose, cvat, found 'voc'. Mend this key."),
    ],
)  # fmt: skip
def test_folders_that_cannot_be_read_are_named(
    project: Project, names: list[str], more: dict[str, Any], message: str
) -> None:
    for name in names:
        picture(project.raw("mine") / name)
    assert fault(project, **more) == message
