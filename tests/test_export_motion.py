"""Markers and angles for biomechanists: the layout of each format, every digit, and what is left out."""

import io
import struct
from typing import Any

import numpy as np
import pytest

from repset.errors import RepsetError
from repset.export.motion import laboratory, mot_text
from repset.export.run import export
from repset.landmarks import SKELETONS
from repset.project import Project
from repset.records import pose_table, read_json
from repset.sources.writer import IndexWriter

Floats = Any


def simple() -> Floats:
    """Three frames of 13 joints on a line: (3, 13, 2)."""
    return np.tile(np.arange(13, dtype=np.float32)[:, None], (3, 1, 2))


def write_index(project: Project, xy: Floats, xyz: Floats | None) -> None:
    """A source `mine` with one recording of poses at 10 frames a second."""
    writer = IndexWriter(project.index("mine"), "mine", 1 << 20, False)
    shape = dict(kind="poses", width=20, height=16, fps=10.0, frames=3, media_sha256="1")
    sample_id = writer.add_sample("gym/a", group="gym/a", **shape)
    frame = np.arange(3)
    visibility, state = np.ones((3, 13), np.float32), np.zeros((3, 13), np.int8)
    writer.poses.add(pose_table(sample_id, "penn_13", frame, frame / 10.0, xy, visibility, state, "dataset", xyz))
    writer.finish({"source": "mine", "family": "folder", "rendered": False, "raw": []})


@pytest.fixture
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project, current, with a source `mine`."""
    (project.pipelines / "mine.yaml").write_text("family: folder\nrendered: false\norigin: in\n")
    monkeypatch.setenv("REPSET_ROOT", str(project.root))
    return project


def run(project: Project, name: str) -> dict[str, int]:
    """Export to `out`; what is lost."""
    export(name, "mine", project.root / "out", None, None)
    return {row["what"]: row["count"] for row in read_json(project.root / "out" / "loss.json")[0]["lost"]}


def solid(here: Project) -> Floats:
    """A recording with 3-D positions, one of them unknown; returns them, (3, 13, 3)."""
    rng = np.random.default_rng(3)
    xyz = rng.normal(size=(3, 13, 3)).astype(np.float32)
    xyz[1, 4] = np.nan
    write_index(here, simple(), xyz)
    return xyz


def test_trc_has_the_layout_of_the_format_and_every_digit(here: Project) -> None:
    xyz = solid(here)
    run(here, "trc")
    lines = (here.root / "out/gym/a_penn_13.trc").read_text().split("\n")
    assert lines[0] == "PathFileType\t4\t(X/Y/Z)\ta_penn_13.trc"
    assert lines[1].split("\t") == ["DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate",
                                    "OrigDataStartFrame", "OrigNumFrames"]  # fmt: skip
    assert lines[2] == "10\t10\t3\t13\tm\t10\t1\t3"
    assert lines[3].split("\t")[:6] == ["Frame#", "Time", "head", "", "", "left_shoulder"]
    assert lines[4].split("\t")[:6] == ["", "", "X1", "Y1", "Z1", "X2"]
    assert lines[5] == ""
    table = np.genfromtxt(io.StringIO("\n".join(lines[6:])), delimiter="\t")
    assert table[:, 0].tolist() == [1, 2, 3]
    assert table[:, 1].tolist() == [0.0, 0.1, 0.2]
    x, y, z = np.moveaxis(table[:, 2:].reshape(3, 13, 3).astype(np.float32), -1, 0)
    assert np.array_equal(np.stack([-z, -y, -x], axis=-1), xyz, equal_nan=True)


def test_the_laboratory_frame_is_a_rotation_with_up_up_and_towards_the_camera_forward() -> None:
    right, up, towards = laboratory(np.array([[1, 0, 0], [0, -1, 0], [0, 0, -1]], np.float32))
    assert up.tolist() == [0, 1, 0]
    assert towards.tolist() == [1, 0, 0]
    assert right.tolist() == [0, 0, -1]  # who faces the camera has the image's left at their right: Z
    assert np.linalg.det(np.stack([right, -up, -towards])) == pytest.approx(1)


def test_c3d_read_by_the_library_and_by_hand(here: Project) -> None:
    import c3d

    xyz = solid(here)
    run(here, "c3d")
    data = (here.root / "out/gym/a_penn_13.c3d").read_bytes()
    assert data[1] == 0x50
    assert struct.unpack("<H", data[2:4])[0] == 13  # points a frame
    with pytest.warns(UserWarning, match="No analog data"):
        reader = c3d.Reader(io.BytesIO(data))
    frames = list(reader.read_frames())
    assert [label.strip() for label in reader.point_labels] == list(SKELETONS["penn_13"].joints)
    assert (reader.point_rate, reader.get("POINT:UNITS").string_value.strip()) == (10.0, "m")
    points = np.stack([points for _, points, _ in frames])
    known = np.isfinite(xyz).all(axis=-1)
    assert (points[..., 3] >= 0).tolist() == known.tolist()
    assert np.array_equal(points[known][:, :3].astype(np.float32), laboratory(xyz)[known])


def test_mot_has_the_layout_of_the_format(here: Project) -> None:
    solid(here)
    run(here, "mot")
    text = (here.root / "out/gym/a_penn_13.mot").read_text()
    head, _, body = text.partition("endheader\n")
    assert head.splitlines()[:5] == ["interior_angles", "version=1", "nRows=3", "nColumns=15", "inDegrees=yes"]
    rows = [line.split("\t") for line in body.splitlines()]
    assert rows[0][0] == "time"
    assert {len(row) for row in rows} == {15}  # time, 6 angles a side, trunk_lean, neck
    assert mot_text(np.array([0.5]), {"left_knee": np.array([180.0], np.float32)}).endswith(
        "endheader\ntime\tleft_knee\n0.500000\t180\n"
    )


def test_a_mot_holds_no_unknown_angle(here: Project) -> None:
    xy = simple()
    xy[1, 1] = np.nan  # left shoulder in one of three frames
    xy[:2, 12] = np.nan  # right ankle in two of three
    write_index(here, xy, None)
    counts = run(here, "mot")
    assert counts["angles known in less than half of their clip's frames (left out)"] == 2  # right knee and body line
    assert counts["frames with an unknown angle (left out, the clock goes on)"] == 1
    lines = (here.root / "out/gym/a_penn_13.mot").read_text().split("endheader\n")[1].splitlines()
    assert "right_knee" not in lines[0].split("\t")
    assert [line.split("\t")[0] for line in lines[1:]] == ["0.000000", "0.200000"]
    assert "nan" not in "".join(lines)


def test_poses_without_depth_are_refused_for_markers(here: Project) -> None:
    write_index(here, simple(), None)
    with pytest.raises(RepsetError) as caught:
        run(here, "trc")
    assert str(caught.value) == (
        "mine: expected 3-D positions among the dataset poses of its clips, found none. Name others with --labels "
        "automatic, or export as coco-keypoints."
    )
    assert not (here.root / "out").exists()


def test_exports_are_the_same_bytes_each_time(here: Project) -> None:
    solid(here)
    for name in ("trc", "c3d", "mot"):
        run(here, name)
        first = {path: path.read_bytes() for path in (here.root / "out").rglob("*") if path.is_file()}
        run(here, name)
        assert first == {path: path.read_bytes() for path in (here.root / "out").rglob("*") if path.is_file()}
