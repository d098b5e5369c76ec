"""Exports: what comes back equals what went out where the format can hold it, and the loss is measured where not."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from repset.cli.export import FORMATS
from repset.errors import RepsetError
from repset.export import EXPORTS
from repset.export.run import export
from repset.landmarks import SKELETONS, JointState
from repset.params import SourceSpec
from repset.project import Project
from repset.records import pose_table, read_json, read_rows, write_table
from repset.sources.index import index_source
from repset.sources.writer import IndexWriter
from repset.video import encode_png

ROOT = Path(__file__).resolve().parent.parent
FEW = settings(max_examples=10, deadline=None)
MASK = hnp.arrays(bool, (7, 9))
Masks = dict[tuple[str, int, str], Any]


class Here:
    """A project in a folder of its own, current while it lives."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shutil.copy(ROOT / "params.yaml", root)
        (root / "dvc.yaml").write_text("stages: {}\n")
        (root / "pipelines").mkdir()
        (root / "pipelines" / "mine.yaml").write_text("family: folder\nrendered: false\norigin: in\n")
        self.project = Project(root)
        monkeypatch.setenv("REPSET_ROOT", str(root))

    def write(self, fill: Any) -> None:
        """An index filled by `fill(writer)`."""
        writer = IndexWriter(self.project.index("mine"), "mine", 1 << 20, False)
        fill(writer)
        writer.finish({"source": "mine", "family": "folder", "rendered": False, "raw": []})

    def export(self, name: str, **options: Any) -> list[dict[str, Any]]:
        """Export to `out`; what is lost."""
        out = self.project.root / "out"
        chosen: dict[str, Any] = {"labels": None, "split": None} | options
        export(name, "mine", out, **chosen)
        (report,) = read_json(out / "loss.json")
        assert report["format"] == name
        lost: list[dict[str, Any]] = report["lost"]
        return lost

    def back(self, **spec: Any) -> Project:
        """`out` as a folder source of another project."""
        root = self.project.root / "back"
        shutil.rmtree(root, ignore_errors=True)
        other = Project(root)
        shutil.copytree(self.project.root / "out", other.raw("mine"))
        (other.raw("mine") / "loss.json").unlink()
        chosen: dict[str, Any] = {"family": "folder", "rendered": False, "origin": "in"} | spec
        index_source(other, "mine", SourceSpec(**chosen), shard_mb=1)
        return other


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(tmp_path, monkeypatch)


def fill_masks(masks: dict[str, dict[tuple[int, str], Any]]) -> Any:
    def fill(writer: IndexWriter) -> None:
        for number, (native, found) in enumerate(masks.items()):
            png = encode_png(np.full((7, 9, 3), number, np.uint8))
            shape = dict(kind="image", width=9, height=7, frames=1, media_sha256=str(number))
            sample_id = writer.add_sample(native, group=native, official_split="train", **shape)
            writer.shards.add(sample_id, 0, "", f"{native}.png", png)
            for (person, label), mask in found.items():
                row = dict(sample_id=sample_id, variant="", person=person, label=label, origin="dataset")
                writer.rows["masks"].append(row | {"png": encode_png(np.where(mask, 255, 0).astype(np.uint8))})

    return fill


def masks_of(project: Project) -> dict[tuple[str, int, str], list[list[bool]]]:
    return {
        (row["sample_id"], row["person"], row["label"]):
            (cv2.imdecode(np.frombuffer(row["png"], np.uint8), cv2.IMREAD_UNCHANGED) > 0).tolist()
        for row in read_rows(project.index("mine") / "masks.parquet", "masks")
    }  # fmt: skip


def lost(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {row["what"]: row["count"] for row in rows}


@given(first=MASK, second=MASK)
@FEW
def test_coco_segmentation_comes_back_equal(first: Any, second: Any) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        here = Here(Path(folder), patch)
        kept = {key: mask for key, mask in {(0, "biceps"): first, (2, "calf"): second}.items() if mask.any()}
        here.write(fill_masks({"gym/a": kept, "b": {(0, "biceps"): np.ones((7, 9), bool)}}))
        assert lost(here.export("coco-segmentation", split="official")) == {}
        assert masks_of(here.back(format="coco")) == masks_of(here.project)


@given(mask=MASK)
@FEW
def test_yolo_seg_comes_back_equal_or_with_its_holes_filled_and_measured(mask: Any) -> None:
    mask[0, 0] = True
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        here = Here(Path(folder), patch)
        here.write(fill_masks({"a": {(0, "biceps"): mask}}))
        rows = here.export("yolo-seg", split="official")
        # 4-connected background that does not reach the border: an independent way to find the holes
        outside = cv2.connectedComponents(np.pad(~mask, 1, constant_values=True).astype(np.uint8), connectivity=4)[1]
        filled = (outside != outside[0, 0])[1:-1, 1:-1] | mask
        (found,) = masks_of(here.back(format="yolo-seg")).values()
        # a hole joined to the outside at a corner only is outside for the outline (parts touching there are two)
        assert (np.array(found) & ~filled).sum() == 0
        assert (mask & ~np.array(found)).sum() == 0
        if np.array_equal(found, mask):
            assert rows == []
        else:
            (row,) = rows
            assert row["what"] == "holes of masks (filled; the measure is the overlap with the mask)"
            assert row["worst"] == pytest.approx(mask.sum() / np.array(found).sum())


def test_roboflow_masks_come_back_equal_and_overlap_is_measured(here: Here) -> None:
    left, right = np.zeros((7, 9), bool), np.zeros((7, 9), bool)
    left[1:5, 1:4], right[1:3, 4:8] = True, True
    here.write(fill_masks({"a": {(0, "biceps"): left, (0, "calf"): right}}))
    assert lost(here.export("roboflow-masks", split="official")) == {}
    assert masks_of(here.back(family="roboflow")) == masks_of(here.project)
    right[1:3, 2:4] = True
    shutil.rmtree(here.project.index("mine"))
    here.write(fill_masks({"a": {(0, "biceps"): left, (0, "calf"): right}}))
    (row,) = here.export("roboflow-masks", split="official")
    assert row["what"] == "parts of masks under another (the measure is the overlap with the mask)"
    assert (row["count"], row["worst"]) == (1, pytest.approx(1 - 4 / 12))


def test_supervision_reads_the_exports(here: Here) -> None:
    import supervision

    mask = np.zeros((7, 9), bool)
    mask[2:5, 3:7] = True
    here.write(fill_masks({"a": {(0, "biceps"): mask}}))
    out = here.project.root / "out"
    here.export("yolo-seg", split="official")
    images, labels = out / "images" / "train", out / "labels" / "train"
    yolo = supervision.DetectionDataset.from_yolo(str(images), str(labels), str(out / "data.yaml"))
    here.export("coco-segmentation", split="official")
    coco = supervision.DetectionDataset.from_coco(str(images), str(out / "annotations" / "train.json"))
    bordered = cv2.dilate(mask.astype(np.uint8), np.array([[1, 1], [1, 1]], np.uint8), anchor=(1, 1)) > 0
    for dataset in (yolo, coco):
        assert dataset.classes == ["biceps"]
        (detections,) = dataset.annotations.values()
        assert np.array_equal(detections.mask[0], bordered)  # it fills with cv2.fillPoly, which adds that border


# --- joints --------------------------------------------------------------------------------------------------------

COORDINATE = st.floats(-5, 25, width=32)


def track(draw: Any, skeleton: str, frames: int, inside: bool) -> tuple[Any, Any, Any]:
    joints = len(SKELETONS[skeleton].joints)
    coordinate = st.floats(0, 15, width=32) if inside else COORDINATE
    xy = draw(hnp.arrays(np.float32, (frames, joints, 2), elements=coordinate))
    flags = draw(hnp.arrays(np.int8, (frames, joints), elements=st.integers(0, 2)))
    flags[:, 0] = 2
    outside = ((xy < 0) | (xy >= (20, 16))).any(axis=-1)
    hidden = np.where(outside, JointState.OUTSIDE, JointState.OCCLUDED)
    state = np.select([flags == 0, flags == 2], [JointState.ABSENT, JointState.LABELLED], hidden)
    xy[flags == 0] = np.nan
    visibility = np.where(flags == 0, np.nan, flags == 2).astype(np.float32)
    return xy, visibility, state.astype(np.int8)


def fill_poses(skeleton: str, tracks: list[tuple[Any, Any, Any]], xyz: Any = None, images: bool = True) -> Any:
    def fill(writer: IndexWriter) -> None:
        frames = len(tracks[0][0])
        shape = dict(kind="clip" if images else "poses", width=20, height=16, fps=10.0, frames=frames)
        sample_id = writer.add_sample("gym/a", group="gym/a", media_sha256="1", **shape)
        for frame in range(frames if images else 0):
            name = f"{frame}.png"
            writer.shards.add(sample_id, frame, "", name, encode_png(np.full((16, 20, 3), frame, np.uint8)))
        number = np.arange(frames)
        for person, (xy, visibility, state) in enumerate(tracks):
            arrays = (number, number / 10.0, xy, visibility, state)
            writer.poses.add(pose_table(sample_id, skeleton, *arrays, "dataset", xyz, person))

    return fill


def poses_of(project: Project) -> list[tuple[Any, ...]]:
    """Rows with NaN as None, so that they compare."""
    rows = read_rows(project.index("mine") / "poses.parquet", "poses")
    rows.sort(key=lambda row: (row["person"], row["frame"]))
    numbers = ("x_px", "y_px", "visibility")
    return [
        (row["sample_id"], row["frame"], row["person"], row["skeleton"], row["time_s"], row["state"],
         *([None if np.isnan(value) else value for value in row[name]] for name in numbers))
        for row in rows
    ]  # fmt: skip


@given(data=st.data(), skeleton=st.sampled_from(["penn_13", "blazepose_33", "coco_18"]))
@FEW
def test_coco_keypoints_come_back_equal(data: st.DataObject, skeleton: str) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        here = Here(Path(folder), patch)
        here.write(fill_poses(skeleton, [track(data.draw, skeleton, 2, False) for _ in range(2)]))
        assert lost(here.export("coco-keypoints")) == {"frame rates of clips": 1}
        assert poses_of(here.back(format="coco-keypoints", sequences=True, fps=10)) == poses_of(here.project)


@given(data=st.data())
@FEW
def test_yolo_poses_come_back_equal_where_they_lie_inside_the_image(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        here = Here(Path(folder), patch)
        here.write(fill_poses("penn_13", [track(data.draw, "penn_13", 2, True) for _ in range(2)]))
        assert lost(here.export("yolo-pose")) == {"frame rates of clips": 1}
        assert poses_of(here.back(format="yolo-pose", sequences=True, fps=10)) == poses_of(here.project)


def simple(visibility: float = 1.0) -> tuple[Any, Any, Any]:
    xy = np.tile(np.arange(13, dtype=np.float32)[:, None], (3, 1, 2))
    return xy, np.full((3, 13), visibility, np.float32), np.zeros((3, 13), np.int8)


def test_what_image_formats_cannot_hold_of_poses_is_counted(here: Here) -> None:
    xy, visibility, state = simple(0.75)
    xy[0, 0], state[0, 0] = (-3, 2), JointState.OUTSIDE
    xyz = np.ones((3, 13, 3), np.float32)
    here.write(fill_poses("penn_13", [(xy, visibility, state)], xyz))
    both = {
        "3-D positions of joints": 39,
        "visibility of joints (kept as seen or hidden)": 39,
        "frame rates of clips": 1,
    }
    assert lost(here.export("coco-keypoints")) == both
    assert lost(here.export("yolo-pose")) == both | {"joints outside their image": 1}


def test_poses_without_pictures_are_entered_by_name_and_said_to_be(here: Here) -> None:
    here.write(fill_poses("penn_13", [simple()], images=False))
    counts = lost(here.export("coco-keypoints"))
    assert counts["pictures (the source has poses only): entries name images that are not there"] == 3
    content = json.loads((here.project.root / "out/annotations/all.json").read_text())
    assert [row["file_name"] for row in content["images"]] == [f"gym/a/00000{n}.jpg" for n in range(3)]
    assert content["annotations"][0]["bbox"] == [0, 0, 12, 12]
    assert content["categories"][0]["skeleton"][0] == [2, 4]  # left_shoulder - left_elbow, counted from 1


# --- tables --------------------------------------------------------------------------------------------------------


def test_curated_stretches_keep_their_counts(here: Here) -> None:
    """The dataset's count of a stretch that was moved a little, an accepted one, none where nothing was counted."""

    def fill(writer: IndexWriter) -> None:
        fill_poses("penn_13", [simple()])(writer)
        own = dict(sample_id="mine/gym/a", origin="dataset", exercise="squat", exercise_p=None)
        writer.rows["sets"] += [own | dict(set=0, start=0, end=100, reps=7)]

    here.write(fill)
    empty = dict.fromkeys(("group", "fold", "official_split", "origin_hash", "reviewer", "original_value",
                           "original_blob", "media_sha256", "blob"))  # fmt: skip
    own = empty | dict(sample_id="mine/gym/a", source="mine", task="exercise", value='"squat"', tier="gold")
    stretches = [(10, 110), (200, 300), (400, 500)]
    targets = [json.dumps({"frames": [a, b], "interval_s": [a / 10, b / 10]}) for a, b in stretches]
    rows = [own | dict(origin="dataset", target=target) for target in targets]
    write_table(here.project.curated("exercise", "mine") / "table.parquet", "curated", rows)
    target = '{"frames":[205,310],"interval_s":[20.5,31.0]}'
    taken = dict(sample_id="mine/gym/a", task="count", target=target, value="4", blob=None, score=0.9, origin="rule",
                 origin_hash=None, value_hash="x")  # fmt: skip
    write_table(here.project.accepted("count", "mine") / "table.parquet", "proposals", [taken])
    here.export("csv", labels="curated")
    lines = (here.project.root / "out" / "labels.csv").read_text().splitlines()
    told = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[2:]]
    assert [(row["start"], row["reps"]) for row in told] == [("10", "7"), ("200", "4"), ("400", "")]


def test_the_csv_comes_back_equal(here: Here) -> None:
    def fill(writer: IndexWriter) -> None:
        fill_poses("penn_13", [simple()])(writer)
        writer.rows["samples"][0].update(
            group="anna", official_split="test", exercise="squat", exercise_native="squats"
        )
        own = dict(sample_id="mine/gym/a", origin="dataset")
        writer.rows["sets"] += [
            own | dict(set=0, start=0, end=1, exercise="none", exercise_p=None, reps=0),
            own | dict(set=1, start=1, end=3, exercise="squat", exercise_p=None, reps=1),
        ]
        times = dict(start_s=0.1, turn_s=0.2, end_s=0.3)
        rep = dict(person=0, set=1, rep=0, exercise="squat", start=1, turn=2, end=3, complete=True, **times)
        writer.rows["reps"].append(own | rep)
        verdict = dict(verdict="incorrect", rule_id="depth", view="side", message="not deep, but safe")
        form = dict(person=0, set=1, level="rep", rep=0, start=1, end=3, exercise="squat", **verdict)
        writer.rows["form"].append(own | form)

    here.write(fill)
    assert lost(here.export("csv", labels="dataset")) == {}
    other = here.back(sequences=True, labels="labels.csv")
    for name, left_out in (
        ("samples", {"sample_id", "media_sha256"}),
        ("sets", set()),
        ("reps", set()),
        ("form", set()),
    ):
        ours, theirs = (
            [
                {key: value for key, value in row.items() if key not in left_out}
                for row in read_rows(project.index("mine") / f"{name}.parquet", name)
            ]
            for project in (here.project, other)
        )
        for row in theirs:
            if "sample_id" in row:
                row["sample_id"] = row["sample_id"].replace("/media/", "/")
        assert theirs == ours, name
    lines = (here.project.root / "out" / "poses.csv").read_text().splitlines()
    assert lines[0].startswith("sample_id,frame,time_s,person,skeleton,joint,x_px,y_px,visibility,state")
    assert lines[2] == "mine/gym/a,0,0.0,0,penn_13,left_shoulder,1,1,1,labelled,,,"
    assert len(lines) == 1 + 3 * 13


# --- what is exported ----------------------------------------------------------------------------------------------


def test_curated_labels_come_before_the_datasets_own(here: Here) -> None:
    mask, better = np.zeros((7, 9), bool), np.zeros((7, 9), bool)
    mask[1:3, 1:3], better[1:5, 1:5] = True, True
    here.write(fill_masks({"a": {(0, "biceps"): mask}}))
    row = dict.fromkeys(("group", "fold", "official_split", "origin_hash", "reviewer", "original_value",
                         "original_blob", "media_sha256", "value"))  # fmt: skip
    row |= dict(sample_id="mine/a", source="mine", task="muscle_mask", tier="edited", origin="human")
    row |= dict(target='{"class":"biceps","person":0,"variant":""}', blob=encode_png(better.astype(np.uint8) * 255))
    write_table(here.project.curated("muscle_mask", "mine") / "table.parquet", "curated", [row])
    here.export("coco-segmentation")
    assert list(masks_of(here.back(format="coco")).values()) == [better.tolist()]
    here.export("coco-segmentation", labels="dataset")
    assert list(masks_of(here.back(format="coco")).values()) == [mask.tolist()]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("trc", {}, "mine: expected poses to export, found none. Name others with --labels, or run: dvc repro"),
        ("yolo-seg", {"labels": "curated"}, "mine: expected curated masks to export, found dataset. "
         "Name others with --labels, or run: dvc repro"),
        ("yolo-seg", {"split": "ours"}, "mine: expected a split, found none. Run: repset split mine"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said(here: Here, name: str, options: dict[str, Any], message: str) -> None:
    here.write(fill_masks({"a": {(0, "biceps"): np.ones((7, 9), bool)}}))
    with pytest.raises(RepsetError) as caught:
        here.export(name, **options)
    assert str(caught.value) == message


def test_a_folder_with_other_files_is_left_alone(here: Here) -> None:
    here.write(fill_masks({"a": {(0, "biceps"): np.ones((7, 9), bool)}}))
    out = here.project.root / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(RepsetError) as caught:
        here.export("yolo-seg")
    assert str(caught.value) == (
        f"{out}: expected no folder or an earlier export, found other files. Name another --out."
    )
    assert (out / "thesis.txt").read_text() == "mine"


def test_exports_are_the_same_bytes_each_time(here: Here) -> None:
    here.write(fill_poses("penn_13", [simple()]))
    for name in ("coco-keypoints", "yolo-pose", "csv"):
        here.export(name)
        out = here.project.root / "out"
        first = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        here.export(name)
        assert first == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_the_command_lists_every_format() -> None:
    assert sorted(FORMATS) == sorted(EXPORTS)
