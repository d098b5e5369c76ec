"""Large tables in pieces, whole output folders, and images that are whole."""

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repset import records
from repset.errors import DataError
from repset.records import TableWriter, atomic_folder, pose_table, read_table, table_from_rows, write_table
from repset.sources.writer import check_image


def poses(number: int, rows: int) -> pa.Table:
    rng = np.random.default_rng(number)
    xyz = rng.normal(size=(rows, 13, 3)) if number % 2 else None
    return pose_table(
        f"s/{number}", "penn_13", np.arange(rows), np.arange(rows) / 30, rng.normal(size=(rows, 13, 2)),
        rng.random((rows, 13)), np.zeros((rows, 13)), "dataset", xyz,
    )  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 25), max_size=8))
def test_a_table_written_in_pieces_has_the_bytes_of_one_written_whole(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("t")
    pieces = [poses(number, rows) for number, rows in enumerate(sizes)]
    whole = pa.concat_tables([records.TABLES["poses"].empty_table(), *pieces])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_GROUP_ROWS", 10)  # so that a few rows cross several groups
        with TableWriter(folder / "pieces.parquet", "poses") as writer:
            for piece in pieces:
                writer.add(piece)
        write_table(folder / "whole.parquet", "poses", whole)
    assert writer.rows == sum(sizes)
    assert (folder / "pieces.parquet").read_bytes() == (folder / "whole.parquet").read_bytes()
    assert read_table(folder / "pieces.parquet", "poses").num_rows == sum(sizes)


def test_poses_from_arrays_are_the_rows_they_stand_for() -> None:
    xy = np.arange(26, dtype=np.float32).reshape(1, 13, 2)
    found = pose_table("s/1", "penn_13", np.array([4]), np.array([0.5]), xy, np.ones((1, 13)), np.ones((1, 13)), "x")
    row = {
        "sample_id": "s/1", "frame": 4, "time_s": 0.5, "person": 0, "skeleton": "penn_13",
        "x_px": [float(v) for v in range(0, 26, 2)], "y_px": [float(v) for v in range(1, 26, 2)],
        "visibility": [1.0] * 13, "state": [1] * 13, "xyz_m": None, "origin": "x",
    }  # fmt: skip
    assert found.equals(table_from_rows("poses", [row]))


def test_a_folder_takes_its_place_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def fail() -> None:
        with atomic_folder(target) as folder:
            (folder / "two").write_text("2")
            raise RuntimeError

    with atomic_folder(target) as folder:
        (folder / "one").write_text("1")
    with pytest.raises(RuntimeError):
        fail()
    assert [p.name for p in target.iterdir()] == ["one"]
    with atomic_folder(target) as folder:
        (folder / "three").write_text("3")
    assert [p.name for p in target.iterdir()] == ["three"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_an_image_that_is_cut_off_is_noticed_though_opencv_fills_it_up(ending: str) -> None:
    image = np.random.default_rng(1).integers(0, 255, (50, 70, 3), np.uint8)
    data = bytes(cv2.imencode(ending, image)[1])
    assert check_image(data, "x") == (70, 50)
    assert check_image(data + b"\0\0", "x") == (70, 50)
    with pytest.raises(DataError) as caught:
        check_image(data[:-200], "x")
    assert str(caught.value) == (
        f"x: expected a whole JPEG or PNG image, found {len(data) - 200:,} bytes that do not decode to the end. "
        "Pull it again, or leave it out with --on-error skip."
    )


def test_a_small_decode_rounds_the_size_up_to_whole_eighths() -> None:
    data = bytes(cv2.imencode(".jpg", np.zeros((50, 70, 3), np.uint8))[1])
    assert check_image(data, "x", reduced=True) == (9, 7)
