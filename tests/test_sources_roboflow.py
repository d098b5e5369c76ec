"""Roboflow exports: classes by name, copies of a photo as one sample, and one sentence for each fault."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from roboflow_world import CLASSES, RAW, SPEC, A, B, failure, index, jpeg, mask, photo, put

from repset.errors import DataError
from repset.project import Project
from repset.records import read_rows, sha256_bytes
from repset.shapes import unpack_runs
from repset.sources.coco import read_coco
from repset.video import FrameStore


def masks(project: Project) -> dict[tuple[str, str, str], np.ndarray]:
    rows = read_rows(project.index("rf") / "masks.parquet", "masks")
    return {
        (row["sample_id"], row["variant"], row["label"]): cv2.imdecode(
            np.frombuffer(row["png"], np.uint8), cv2.IMREAD_UNCHANGED
        )
        for row in rows
    }


def test_copies_of_a_photo_are_one_sample_and_masks_are_binary_by_name(project: Project) -> None:
    files = photo("train", "arm_jpg", B, mask(top=1, bottom=2), 1) | photo("train", "arm_jpg", A, mask(bottom=2), 2)
    put(project, files | photo("valid", "leg_jpg", A, mask(), 3) | {"README.roboflow.txt": b"hello"})
    report = index(project)
    arm, leg = read_rows(project.index("rf") / "samples.parquet", "samples")
    assert arm == {
        "sample_id": "rf/arm_jpg",
        "source": "rf",
        "kind": "image",
        "media": None,
        "width": 40,
        "height": 30,
        "fps": None,
        "frames": 1,
        "group": "arm_jpg",
        "official_split": "train",
        "exercise": None,
        "exercise_native": None,
        "media_sha256": sha256_bytes(f"{sha256_bytes(jpeg(2))}\n{sha256_bytes(jpeg(1))}".encode()),
    }
    assert (leg["official_split"], leg["media_sha256"]) == ("validation", sha256_bytes(jpeg(3)))
    store = FrameStore(project.index("rf"))
    assert [(row["variant"], row["frame"]) for row in store.rows("rf/arm_jpg")] == [(A, 0), (B, 0)]
    assert [store.data(row) for row in store.rows("rf/arm_jpg")] == [jpeg(2), jpeg(1)]
    found = masks(project)
    assert sorted(found) == [("rf/arm_jpg", A, "calf"), ("rf/arm_jpg", B, "biceps"), ("rf/arm_jpg", B, "calf")]
    np.testing.assert_array_equal(found["rf/arm_jpg", B, "biceps"], mask(top=255))
    np.testing.assert_array_equal(found["rf/arm_jpg", B, "calf"], mask(bottom=255))
    assert (report["images"], report["images_with_class"]) == (3, {"biceps": 1, "calf": 2})


def test_classes_are_mapped_by_the_name_in_each_split_not_by_number(project: Project) -> None:
    other = b"Pixel Value, Class\n0, background\n1, activated calf\n2, activated biceps\n3, muscle"
    files = photo("train", "one", A, mask(top=1)) | photo("test", "two", A, mask(top=1, bottom=3))
    put(project, files | {"test/_classes.csv": other})
    index(project)
    assert sorted(masks(project)) == [("rf/one", A, "biceps"), ("rf/two", A, "calf")]


def test_without_a_class_map_the_label_is_the_name(project: Project) -> None:
    put(project, photo("train", "one", A, mask(top=1, bottom=2)))
    index(project, SPEC.model_copy(update={"class_map": None}))
    assert sorted(masks(project)) == [("rf/one", A, "activated_biceps"), ("rf/one", A, "activated_calf")]


def test_a_photo_on_both_sides_of_the_official_split_is_listed(project: Project) -> None:
    put(project, photo("train", "one", A, mask()) | photo("valid", "one", B, mask()) | photo("train", "two", A, mask()))
    report = index(project)
    assert report["photos_in_several_splits"] == ["one"]
    one, two = read_rows(project.index("rf") / "samples.parquet", "samples")
    assert (one["official_split"], two["official_split"]) == (None, "train")


def test_the_same_files_give_the_same_bytes_from_zip_and_folder(project: Project) -> None:
    files = photo("train", "one", A, mask(top=1)) | photo("test", "two", A, mask(bottom=2))
    put(project, files)
    index(project)
    first = {p.name: p.read_bytes() for p in project.index("rf").iterdir() if p.name != "report.json"}
    (project.raw("rf") / "export.zip").unlink()
    for name, data in files.items():
        (project.raw("rf") / name).parent.mkdir(exist_ok=True)
        (project.raw("rf") / name).write_bytes(data)
    index(project)
    assert {p.name: p.read_bytes() for p in project.index("rf").iterdir() if p.name != "report.json"} == first


def test_unknown_class(project: Project) -> None:
    files = photo("train", "one", A, mask()) | {"train/_classes.csv": CLASSES + b"\n3, Front Deltoid"}
    assert failure(project, files) == (
        f"{RAW}:train/_classes.csv: expected a class that class_map in pipelines/rf.yaml names, found the class "
        "'Front Deltoid'. Add it to class_map there: \"Front Deltoid: front_deltoid\", or map it to background."
    )


def test_the_class_list_of_a_multi_label_export(project: Project) -> None:
    files = photo("train", "one", A, mask()) | {"train/_classes.csv": b"filename, biceps, calf\none.jpg, 1, 0\n"}
    assert failure(project, files) == (
        f"{RAW}:train/_classes.csv: expected the header 'Pixel Value, Class', found the table of a multi-label "
        "classification export (filename, classes …). Export it as png-mask-semantic."
    )


def test_a_class_list_with_a_bad_row_or_header(project: Project) -> None:
    files = photo("train", "one", A, mask())
    assert failure(project, files | {"train/_classes.csv": b"Pixel Value, Class\n0, background\n0, calf"}) == (
        f"{RAW}:train/_classes.csv, line 3: expected a new pixel value 0–255 and a class, found '0, calf'. "
        "Restore the exported file."
    )
    assert failure(project, files | {"train/_classes.csv": b"a, b\n0, background"}) == (
        f"{RAW}:train/_classes.csv: expected the header 'Pixel Value, Class', found 'a, b'. Restore the exported file."
    )


def test_mask_of_another_size(project: Project) -> None:
    files = photo("train", "one", A, np.zeros((40, 30), np.uint8))
    assert failure(project, files) == (
        f"{RAW}:train/one.rf.{A}_mask.png: expected a mask of 40 × 30 px, as its image, found 30 × 40. "
        "Export both again together."
    )


def test_mask_with_an_unknown_value(project: Project) -> None:
    assert failure(project, photo("train", "one", A, mask(top=7))) == (
        f"{RAW}:train/one.rf.{A}_mask.png: expected pixel values that _classes.csv lists (0, 1, 2), found 7. "
        "Add its row there."
    )


def test_mask_in_colour(project: Project) -> None:
    colour = np.zeros((30, 40, 3), np.uint8)
    colour[..., 2] = 5
    assert failure(project, photo("train", "one", A, colour)) == (
        f"{RAW}:train/one.rf.{A}_mask.png: expected a mask with one 8-bit channel (pixel value = class number), "
        "found shape (30, 40, 3), uint8. Export it as PNG masks for semantic segmentation."
    )


def test_missing_mask_and_missing_image(project: Project) -> None:
    files = photo("train", "one", A, mask()) | photo("train", "two", A, mask())
    del files[f"train/two.rf.{A}_mask.png"]
    assert failure(project, files) == (
        f"{RAW}:train/two.rf.{A}_mask.png: expected a mask beside its image, found no such file. "
        "Export it again, or add the mask."
    )
    files = photo("train", "one", A, mask()) | photo("train", "two", A, mask())
    del files[f"train/two.rf.{A}.jpg"]
    assert failure(project, files) == (
        f"{RAW}:train/two.rf.{A}_mask.png: expected an image of the same name, found a mask alone. "
        "Remove it or add its image."
    )


@pytest.mark.parametrize("content", [b"", b"a text file named .jpg", jpeg()[:400]])
def test_unreadable_image(project: Project, content: bytes) -> None:
    files = photo("train", "one", A, mask()) | {f"train/one.rf.{A}.jpg": content}
    assert failure(project, files) == (
        f"{RAW}:train/one.rf.{A}.jpg: expected a whole JPEG or PNG image, found {len(content)} bytes that do not "
        "decode to the end. Pull it again, or leave it out with --on-error skip."
    )


def test_skip_leaves_the_photo_out_with_all_its_copies(project: Project) -> None:
    files = photo("train", "one", A, mask()) | photo("train", "two", A, mask(top=1)) | photo("train", "two", B, mask())
    put(project, files | {f"train/two.rf.{B}.jpg": b"broken"})
    report = index(project, skip=True)
    assert [row["item"] for row in report["skipped"]] == ["two"]
    assert report["counts"]["frames"] == 1
    assert report["images_with_class"] == {}


def test_two_files_of_one_copy(project: Project) -> None:
    files = photo("train", "one", A, mask())
    files |= {f"valid/{Path(name).name}": data for name, data in files.items()}
    assert failure(project, files) == (
        f"{RAW}: expected one file for each copy of a photo, found train/one.rf.{A}.jpg, valid/one.rf.{A}.jpg. "
        "Remove all but one."
    )


def test_no_export_at_all_and_no_images(project: Project) -> None:
    assert failure(project, {"notes.txt": b"x"}) == (
        f"{RAW}: expected a Roboflow export (train/, valid/, test/ with _classes.csv or _annotations.coco.json), "
        "found neither file. Export it as png-mask-semantic and pull that."
    )
    assert failure(project, {"train/_classes.csv": CLASSES}) == (
        f"{RAW}: expected images beside the class list, found none. Export it again with its images."
    )


def test_a_folder_that_is_no_split(project: Project) -> None:
    assert failure(project, photo("holdout", "one", A, mask())) == (
        f"{RAW}:holdout: expected a folder train, valid or test, found holdout. Export it with its splits."
    )


# --- COCO segmentation ---------------------------------------------------------------------------------------------


def coco(annotations: list[dict[str, Any]], width: int = 40) -> dict[str, bytes]:
    content = {
        "categories": [
            {"id": 0, "name": "group"},
            {"id": 1, "name": "activated biceps"},
            {"id": 2, "name": "activated calf"},
        ],
        "images": [{"id": 5, "file_name": f"one.rf.{A}.jpg", "width": width, "height": 30}],
        "annotations": [{"id": i, "image_id": 5, **row} for i, row in enumerate(annotations)],
    }
    return {"train/_annotations.coco.json": json.dumps(content).encode(), f"train/one.rf.{A}.jpg": jpeg()}


def test_coco_polygons_become_masks(project: Project) -> None:
    square, triangle = [10, 5, 20, 5, 20, 15, 10, 15, 10, 5], [30, 20, 38, 20, 30, 28]
    rows = [
        {"category_id": 1, "segmentation": [square, [2, 2, 4, 2, 4, 4, 2, 4]]},
        {"category_id": 2, "segmentation": [triangle]},
        {"category_id": 1, "segmentation": [[12, 7, 22, 7, 22, 12, 12, 12]]},
    ]
    put(project, coco(rows))
    index(project)
    found = masks(project)
    assert sorted(found) == [("rf/one", A, "biceps"), ("rf/one", A, "calf")]
    biceps = found["rf/one", A, "biceps"] == 255
    assert biceps[5:15, 10:20].all()
    assert biceps[2:4, 2:4].all()
    assert biceps[7:12, 20:22].all()
    assert abs(int(biceps.sum()) - (100 + 4 + 10)) <= 40  # borders: fillPoly paints the pixels an outline touches
    assert found["rf/one", A, "calf"][21, 31] == 255
    assert found["rf/one", A, "calf"][27, 37] == 0


def test_coco_run_lengths_plain_and_compressed_keep_holes(project: Project) -> None:
    ring = np.zeros((30, 40), bool)
    ring[5:15, 10:20], ring[8:12, 13:17] = True, False
    flat = ring.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    for counts in (runs, compress(runs)):
        put(project, coco([{"category_id": 2, "segmentation": {"size": [30, 40], "counts": counts}}]))
        index(project)
        np.testing.assert_array_equal(masks(project)["rf/one", A, "calf"] == 255, ring)


def compress(runs: list[int]) -> str:
    """The text form of run lengths, as the COCO API writes it: an encoder of its own, for the test."""
    text = ""
    for i, run in enumerate(runs):
        value, more = run - (runs[i - 2] if i > 2 else 0), True
        while more:
            code = value & 0x1F
            value >>= 5
            more = value != -1 if code & 0x10 else value != 0
            text += chr(code + (0x20 if more else 0) + 48)
    return text


def test_compressed_run_lengths_written_out() -> None:
    """By hand: a character is 48 + 5 bits, bit 6 says more follow; from the fourth on, the difference to run i - 2."""
    assert unpack_runs("5220") == [5, 2, 2, 2]
    assert unpack_runs("522O") == [5, 2, 2, 1]
    assert unpack_runs("R1") == [34]


def test_coco_faults(project: Project) -> None:
    files = coco([{"category_id": 1, "segmentation": {"size": [30, 40], "counts": [5, 5]}}])
    assert failure(project, files) == (
        f"{RAW}:train/one.rf.{A}.jpg: expected polygons, or run lengths that fill the image, in every annotation, "
        "found \"{'size': [30, 40], 'counts': [5, 5]}\". Export it again as coco-segmentation."
    )
    assert failure(project, coco([], width=41)) == (
        f"{RAW}:train/one.rf.{A}.jpg: expected 41 × 30 px, as _annotations.coco.json says, found 40 × 30. "
        "Export it again as coco-segmentation."
    )
    extra = coco([]) | {f"train/two.rf.{A}.jpg": jpeg(1)}
    assert failure(project, extra) == (
        f"{RAW}:train/two.rf.{A}.jpg: expected an entry in _annotations.coco.json, found none. "
        "Export it again as coco-segmentation."
    )
    with pytest.raises(DataError) as caught:
        read_coco(b'{"categories": []}', "x")
    assert str(caught.value) == (
        "x: expected a COCO file with images, categories, annotations, found one that does not fit "
        "(KeyError: 'images'). Export it again as coco-segmentation."
    )


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "photos", "images", "labels"),
    [
        (
            "dhcn_png_mask_semantic",
            160,
            240,
            {"cabinet", "ceiling", "chair", "door", "elevator", "railing", "road", "stair", "tree", "wall"},
        ),
        ("pseudo_muscles_png_mask_semantic", 72, 72, {"activated_biceps", "activated_triceps", "activated_calf"}),
    ],
)
def test_real_exports_index_without_a_special_case(
    project: Project, shared_data: Path, name: str, photos: int, images: int, labels: set[str]
) -> None:
    folder = shared_data / "roboflow" / name
    assert len(list(folder.glob("*/*_mask.png"))) == images
    project.source("rf").mkdir(parents=True)
    project.raw("rf").symlink_to(folder)
    report = index(project, SPEC.model_copy(update={"class_map": None}))
    assert (report["counts"]["samples"], report["counts"]["frames"]) == (photos, images)
    assert set(report["images_with_class"]) <= labels
    rows = read_rows(project.index("rf") / "masks.parquet", "masks")
    names = {row["name"]: row for row in read_rows(project.index("rf") / "frames.parquet", "frames")}
    value = {
        c.split(", ")[1]: int(c.split(", ")[0])
        for c in (folder / "train" / "_classes.csv").read_text().split("\n")[1:]
        if c
    }
    path = sorted(folder.glob("test/*_mask.png"))[0]
    frame = names[path.name.removesuffix("_mask.png") + ".jpg"]
    truth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    for row in rows:
        if (row["sample_id"], row["variant"]) == (frame["sample_id"], frame["variant"]):
            ours = cv2.imdecode(np.frombuffer(row["png"], np.uint8), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(ours == 255, truth == value[row["label"]])
