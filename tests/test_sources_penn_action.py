"""Penn Action: joints from 0, four joint states, frames in shards, and one sentence for each fault."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.io

from repset.errors import DataError
from repset.params import SourceSpec
from repset.project import Project
from repset.records import read_rows, sha256_bytes
from repset.sources.index import index_source
from repset.video import FrameStore

SPEC = SourceSpec(family="penn_action", rendered=False, origin="x", fps=25.0)
FIX = "Take this file from the original set, or leave it out with --on-error skip."
RAW = "datasets/penn/raw/Penn_Action.tar.gz"


def label(frames: int, action: str = "squat", **changes: Any) -> bytes:
    content = {
        "action": action,
        "pose": "front",
        "x": np.full((frames, 13), 11.0),
        "y": np.full((frames, 13), 21.0),
        "visibility": np.ones((frames, 13), np.uint8),
        "train": 1,
        "bbox": np.zeros((frames, 4)),
        "dimensions": np.array([[48, 64, frames]]),
        "nframes": frames,
    } | changes
    out = io.BytesIO()
    scipy.io.savemat(out, content, do_compression=True)
    return out.getvalue()


def jpeg(number: int, width: int = 64, height: int = 48) -> bytes:
    image = np.full((height, width, 3), 10 * number, np.uint8)
    return bytes(cv2.imencode(".jpg", image)[1])


def clip(native: str, frames: int, **changes: Any) -> dict[str, bytes]:
    files = {f"Penn_Action/frames/{native}/{i:06d}.jpg": jpeg(i) for i in range(1, frames + 1)}
    return files | {f"Penn_Action/labels/{native}.mat": label(frames, **changes)}


def put(project: Project, files: dict[str, bytes]) -> None:
    raw = project.raw("penn")
    raw.mkdir(parents=True, exist_ok=True)
    with tarfile.open(raw / "Penn_Action.tar.gz", "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def index(project: Project, spec: SourceSpec = SPEC, **options: Any) -> dict[str, Any]:
    return index_source(project, "penn", spec, shard_mb=1, **options)


def failure(project: Project, files: dict[str, bytes]) -> str:
    put(project, files)
    with pytest.raises(DataError) as caught:
        index(project)
    return str(caught.value)


def test_a_clip_with_frames_is_read(project: Project) -> None:
    put(project, clip("0001", 3) | clip("0007", 2, action="bowl", train=-1))
    report = index(project)
    folder = project.index("penn")
    first, second = read_rows(folder / "samples.parquet", "samples")
    assert first == {
        "sample_id": "penn/0001",
        "source": "penn",
        "kind": "clip",
        "media": None,
        "width": 64,
        "height": 48,
        "fps": 25.0,
        "frames": 3,
        "group": "0001",
        "official_split": "train",
        "exercise": "squat",
        "exercise_native": "squat",
        "media_sha256": sha256_bytes("\n".join(sha256_bytes(jpeg(i)) for i in (1, 2, 3)).encode()),
    }
    assert (second["sample_id"], second["exercise"], second["exercise_native"]) == ("penn/0007", None, "bowl")
    assert (second["official_split"], second["frames"]) == ("test", 2)
    store = FrameStore(folder)
    assert [row["frame"] for row in store.rows("penn/0001")] == [0, 1, 2]
    assert [store.data(row) for row in store.rows("penn/0007")] == [jpeg(1), jpeg(2)]
    assert sorted(p.name for p in folder.iterdir()) == [
        "boxes.parquet", "form.parquet", "frames-00000.tar", "frames.parquet", "inertial.parquet", "masks.parquet",
        "muscles.parquet", "poses.parquet", "report.json", "reps.parquet", "samples.parquet", "sets.parquet",
    ]  # fmt: skip
    assert report["counts"] == {
        "samples": 2, "masks": 0, "sets": 0, "muscles": 0, "reps": 0, "form": 0, "frames": 5, "poses": 5,
        "boxes": 0, "inertial": 0,
    }  # fmt: skip
    assert json.loads((folder / "report.json").read_text()) == report


def test_positions_count_from_zero_and_hidden_joints_are_told_apart(project: Project) -> None:
    x, y, visible = np.full((2, 13), 11.0), np.full((2, 13), 21.0), np.ones((2, 13), np.uint8)
    visible[0, 1:5] = 0
    x[0, 2], y[0, 2] = 1, 1  # never placed
    x[0, 3] = 65  # x counts from 1: 64 is the last column
    x[0, 4] = 64
    visible[1, 1] = 0
    x[1, 1], y[1, 1] = 1.5, 1.5  # never placed, in a clip that was scaled
    put(project, {"labels/0001.mat": label(2, x=x, y=y, visibility=visible)})
    report = index(project)
    row = read_rows(project.index("penn") / "poses.parquet", "poses")[0]
    assert (row["skeleton"], row["origin"], row["frame"], row["time_s"]) == ("penn_13", "dataset", 0, 0.0)
    assert row["state"][:6] == [0, 1, 3, 2, 1, 0]
    assert row["x_px"][:2] == [10.0, 10.0]
    assert row["x_px"][3:5] == [64.0, 63.0]
    assert row["y_px"][0] == 20.0
    assert np.isnan(row["x_px"][2])
    assert np.isnan(row["visibility"][2])
    assert row["visibility"][:2] == [1.0, 0.0]
    assert row["xyz_m"] is None
    assert report["joint_states"] == {"labelled": 21, "occluded": 2, "outside": 1, "absent": 2}


def test_seconds_follow_the_assumed_rate(project: Project) -> None:
    put(project, {"labels/0001.mat": label(3)})
    index(project)
    times = [row["time_s"] for row in read_rows(project.index("penn") / "poses.parquet", "poses")]
    assert times == [0.0, 0.04, 0.08]


@pytest.mark.parametrize("as_folder", [False, True])
def test_labels_without_frames_become_poses(project: Project, as_folder: bool) -> None:
    content = label(4)  # once: scipy writes the time into it
    if as_folder:
        (project.raw("penn") / "labels").mkdir(parents=True)
        (project.raw("penn") / "labels" / "0001.mat").write_bytes(content)
    else:
        put(project, {"labels/0001.mat": content})
    assert index(project)["kinds"] == {"poses": 1}
    (row,) = read_rows(project.index("penn") / "samples.parquet", "samples")
    assert (row["kind"], row["frames"], row["media_sha256"]) == ("poses", 4, sha256_bytes(content))


def test_frames_before_or_after_the_labels_give_the_same_tables(project: Project) -> None:
    files = clip("0001", 2) | clip("0002", 3)
    put(project, files)
    index(project)
    tables = {p.name: p.read_bytes() for p in project.index("penn").iterdir() if p.suffix != ".json"}
    put(project, dict(reversed(files.items())))
    index(project)
    again = {p.name: p.read_bytes() for p in project.index("penn").iterdir() if p.suffix != ".json"}
    assert tables["samples.parquet"] == again["samples.parquet"]
    assert tables["poses.parquet"] == again["poses.parquet"]
    store = FrameStore(project.index("penn"))
    assert [store.data(row) for row in store.rows("penn/0002")] == [jpeg(1), jpeg(2), jpeg(3)]


def test_the_same_archive_gives_the_same_bytes(project: Project) -> None:
    put(project, clip("0001", 2) | clip("0002", 3))
    index(project)
    first = {p.name: p.read_bytes() for p in project.index("penn").iterdir()}
    index(project)
    assert {p.name: p.read_bytes() for p in project.index("penn").iterdir()} == first


def test_an_action_filter_leaves_clips_and_their_frames_out_and_counts_them(project: Project) -> None:
    put(project, clip("0001", 2) | clip("0002", 3, action="bowl"))
    report = index(project, SPEC.model_copy(update={"actions": ("squat",)}))
    assert report["left_out"] == {"action bowl not in pipelines/penn.yaml": 1}
    assert report["counts"]["frames"] == 2
    assert (project.index("penn") / "frames-00000.tar").read_bytes().count(b"0002/") == 0


def test_wrong_joint_count(project: Project) -> None:
    message = failure(project, {"labels/0001.mat": label(2, x=np.ones((2, 14)))})
    assert message == f"{RAW}:labels/0001.mat: expected 13 joints in x, found 14 joints. {FIX}"


def test_joints_and_frame_count_disagree(project: Project) -> None:
    message = failure(project, {"labels/0001.mat": label(2, nframes=3)})
    assert message == f"{RAW}:labels/0001.mat: expected 3 frames (nframes) in x, found 2. {FIX}"


def test_missing_entry(project: Project) -> None:
    out = io.BytesIO()
    scipy.io.savemat(out, {"x": np.ones((2, 13)), "y": np.ones((2, 13))})
    message = failure(project, {"labels/0001.mat": out.getvalue()})
    expected = "expected the entries x, y, visibility, action, train, nframes, dimensions, found no visibility"
    assert message == f"{RAW}:labels/0001.mat: {expected}. {FIX}"


@pytest.mark.parametrize("content", [b"this is no label file", b"", label(2)[:-40], b"\0" * 300])
def test_a_label_that_is_no_mat_file(project: Project, content: bytes) -> None:
    message = failure(project, {"labels/0001.mat": content})
    assert message.startswith(f"{RAW}:labels/0001.mat: expected a MATLAB label file, found one that cannot be read (")
    assert message.endswith(f"). {FIX}")
    assert "\n" not in message


def test_unknown_side_of_the_official_split(project: Project) -> None:
    message = failure(project, {"labels/0001.mat": label(2, train=0)})
    assert message == f"{RAW}:labels/0001.mat: expected train = 1 or -1, found 0. {FIX}"


def test_a_frame_too_few(project: Project) -> None:
    files = clip("0001", 3)
    del files["Penn_Action/frames/0001/000003.jpg"]
    expected = f"{RAW}:frames/0001: expected 3 frames, as labels/0001.mat says, found 2. {FIX}"
    assert failure(project, files) == expected


def test_a_gap_in_the_frame_numbers(project: Project) -> None:
    files = clip("0001", 3)
    files["Penn_Action/frames/0001/000004.jpg"] = files.pop("Penn_Action/frames/0001/000002.jpg")
    expected = f"{RAW}:frames/0001: expected frames numbered 1 to 3, found a gap or a double. {FIX}"
    assert failure(project, files) == expected


def test_one_clip_without_its_frames(project: Project) -> None:
    files = clip("0001", 2) | {"Penn_Action/labels/0002.mat": label(4)}
    assert failure(project, files) == f"{RAW}:frames/0002: expected 4 frames, found none. {FIX}"


def test_frames_without_a_label(project: Project) -> None:
    files = clip("0001", 2) | {"Penn_Action/frames/0009/000001.jpg": jpeg(1)}
    expected = f"{RAW}:labels/0009.mat: expected a label file for the frames, found no such file. {FIX}"
    assert failure(project, files) == expected


@pytest.mark.parametrize("content", [b"", b"no picture", jpeg(2)[:-30]])
def test_an_unreadable_frame(project: Project, content: bytes) -> None:
    files = clip("0001", 3) | {"Penn_Action/frames/0001/000002.jpg": content}
    assert failure(project, files) == (
        f"{RAW}:Penn_Action/frames/0001/000002.jpg: expected a whole JPEG or PNG image, found {len(content)} bytes "
        "that do not decode to the end. Pull it again, or leave it out with --on-error skip."
    )


def test_frames_of_another_size_than_the_label_says(project: Project) -> None:
    files = clip("0001", 1) | {"Penn_Action/frames/0001/000001.jpg": jpeg(1, 32, 48)}
    assert failure(project, files) == (
        f"{RAW}:Penn_Action/frames/0001/000001.jpg: expected 64 × 48 px, as labels/0001.mat says, found 32 × 48. {FIX}"
    )


def test_a_later_frame_of_another_size(project: Project) -> None:
    files = clip("0001", 2) | {"Penn_Action/frames/0001/000002.jpg": jpeg(1, 64, 96)}
    assert failure(project, files) == (
        f"{RAW}:Penn_Action/frames/0001/000002.jpg: expected 64 × 48 px, as labels/0001.mat says, found 64 × 96. {FIX}"
    )


def test_an_archive_without_labels(project: Project) -> None:
    message = failure(project, {"Penn_Action/README": b"hello"})
    expected = "expected a Penn Action folder (labels/0001.mat …), found no label file. Pull the whole set."
    assert message == f"{RAW}: {expected}"


def test_a_fault_leaves_the_old_index_and_nothing_half_written(project: Project) -> None:
    put(project, clip("0001", 2))
    index(project)
    before = {p.name: p.read_bytes() for p in project.index("penn").iterdir()}
    put(project, clip("0001", 2) | {"Penn_Action/frames/0001/000002.jpg": b"broken"})
    with pytest.raises(DataError):
        index(project)
    assert {p.name: p.read_bytes() for p in project.index("penn").iterdir()} == before
    assert sorted(p.name for p in project.source("penn").iterdir()) == ["index", "raw"]


def test_skip_leaves_out_counts_and_names_what_is_faulty(project: Project) -> None:
    put(
        project,
        clip("0001", 2)
        | clip("0002", 2)
        | {"Penn_Action/frames/0002/000002.jpg": b"broken"}
        | clip("0003", 2, x=np.ones((2, 12)))
        | {"Penn_Action/labels/0004.mat": label(5)},
    )
    report = index(project, skip=True)
    assert [row["sample_id"] for row in read_rows(project.index("penn") / "samples.parquet", "samples")] == [
        "penn/0001"
    ]
    assert report["counts"]["frames"] == 2
    assert [(row["item"], row["reason"].split(": expected ")[0]) for row in report["skipped"]] == [
        ("0002", f"{RAW}:Penn_Action/frames/0002/000002.jpg"),
        ("0003", f"{RAW}:Penn_Action/labels/0003.mat"),
        ("0004", f"{RAW}:frames/0004"),
    ]


def test_nothing_left_is_an_error_even_when_skipping(project: Project) -> None:
    put(project, {"labels/0001.mat": b"broken"})
    with pytest.raises(DataError) as caught:
        index(project, skip=True)
    assert str(caught.value) == (
        "datasets/penn/raw: expected at least one item to index, found none (1 skipped, 0 left out). "
        "Pull it again: repset pull penn."
    )


@pytest.mark.real
def test_the_original_labels_index_whole(project: Project, shared_data: Path) -> None:
    """Counts taken from the label files by scipy alone."""
    gym = {"bench_press", "clean_and_jerk", "jump_rope", "jumping_jacks", "pullup", "pushup", "situp", "squat"}
    actions, frames, hidden, absent = [], 0, 0, 0
    for path in sorted((shared_data / "penn_action" / "labels").glob("*.mat")):
        content = scipy.io.loadmat(path)
        actions.append(str(content["action"][0]))
        frames += int(content["nframes"][0, 0])
        off = content["visibility"] == 0
        hidden += int(off.sum())
        absent += int((off & (content["x"] <= 3) & (content["y"] <= 3)).sum())
    assert len(actions) == 1807
    assert sum(action in gym for action in actions) == 867
    assert absent == 139454
    project.source("penn").mkdir(parents=True)
    project.raw("penn").symlink_to(shared_data / "penn_action")
    report = index(project)
    assert report["skipped"] == []
    assert report["counts"]["samples"] == 1807
    assert report["counts"]["poses"] == frames
    assert report["joint_states"]["absent"] == absent
    assert report["joint_states"]["labelled"] == 13 * frames - hidden
    assert report["official_split"] == {"test": 549, "train": 1258}
    samples = read_rows(project.index("penn") / "samples.parquet", "samples")
    assert [row["exercise_native"] for row in samples] == actions
    assert sum(row["exercise"] is not None for row in samples) == 867
