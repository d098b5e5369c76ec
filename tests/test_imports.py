"""COCO, YOLO and CVAT labels of a folder: written-out values, agreement with supervision, one sentence a fault."""

import json
from typing import Any

import cv2
import numpy as np
import pytest

from repset.errors import DataError
from repset.landmarks import COCO_17, JointState
from repset.params import SourceSpec
from repset.project import Project
from repset.records import read_rows
from repset.sources.imports import Names, native_ids, split_of
from repset.sources.index import index_source
from repset.video import encode_png

RAW = "datasets/mine/raw"
END = "Mend the file, or leave it out with --on-error skip."
BOX = [2, 1, 6, 1, 6, 4, 2, 4]  # x 2..5, y 1..3 of an image of 10 × 8


def picture(project: Project, name: str, width: int = 10, height: int = 8) -> None:
    path = project.raw("mine") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.zeros((height, width, 3), np.uint8)))


def put(project: Project, name: str, content: Any) -> None:
    path = project.raw("mine") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def index(project: Project, skip: bool = False, **more: Any) -> dict[str, Any]:
    return index_source(
        project, "mine", SourceSpec(family="folder", rendered=False, origin="in", **more), shard_mb=1, skip=skip
    )


def fault(project: Project, **more: Any) -> str:
    with pytest.raises(DataError) as caught:
        index(project, **more)
    return str(caught.value)


def masks(project: Project) -> dict[tuple[str, int, str], np.ndarray]:
    rows = read_rows(project.index("mine") / "masks.parquet", "masks")
    return {
        (row["sample_id"], row["person"], row["label"]):
            cv2.imdecode(np.frombuffer(row["png"], np.uint8), cv2.IMREAD_UNCHANGED) > 0
        for row in rows
    }  # fmt: skip


def poses(project: Project) -> list[dict[str, Any]]:
    return read_rows(project.index("mine") / "poses.parquet", "poses")


def rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((8, 10), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def coco(annotations: list[dict[str, Any]], name: str = "a.png", **category: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": name, "width": 10, "height": 8}],
        "categories": [{"id": 3, "name": "Biceps"} | category],
        "annotations": [{"id": n, "image_id": 7, "category_id": 3} | row for n, row in enumerate(annotations)],
    }


# --- COCO ----------------------------------------------------------------------------------------------------------


def test_coco_polygons_and_run_lengths_become_masks(project: Project) -> None:
    from pycocotools import mask as reference

    picture(project, "train/a.png")
    packed = reference.encode(np.asfortranarray(rectangle(4, 2, 8, 6).astype(np.uint8)))["counts"].decode()
    rows = [
        {"segmentation": [BOX]},
        {"segmentation": {"size": [8, 10], "counts": packed}},
        {"bbox": [0, 0, 1, 1]},
        {"segmentation": {"size": [8, 10], "counts": [8, 3, 69]}, "person": 4},
        {"segmentation": {"size": [8, 10], "counts": [80]}, "person": 5},
    ]
    put(project, "train/_annotations.coco.json", coco(rows))
    report = index(project, format="coco")
    found = masks(project)
    assert sorted(found) == [("mine/a", 0, "biceps"), ("mine/a", 4, "biceps")]
    assert np.array_equal(found["mine/a", 0, "biceps"], rectangle(2, 1, 6, 4) | rectangle(4, 2, 8, 6))
    assert np.array_equal(found["mine/a", 4, "biceps"], rectangle(1, 0, 2, 3))
    assert report["left_out"] == {"annotation without a mask": 1, "mask without a pixel": 1}
    assert report["official_split"] == {"train": 1}
    assert report["objects_joined_to_one_mask"] == 1


def test_what_coco_has_beside_masks_is_counted(project: Project) -> None:
    picture(project, "a.png")
    picture(project, "unlisted.png")
    put(project, "notes.json", {"hello": 1})
    content = coco([{"segmentation": [BOX], "keypoints": [1, 1, 2] * 17}])
    content["annotations"].append({"id": 9, "image_id": 99, "category_id": 3, "segmentation": [BOX]})
    put(project, "labels.json", content)
    assert index(project, format="coco")["left_out"] == {
        "JSON file that is no COCO file": 1,
        "annotation of an image that its file does not list": 1,
        "image that the label files do not list": 1,
        "keypoints (read them with format: coco-keypoints)": 1,
    }


def test_coco_keypoints_keep_place_and_state(project: Project) -> None:
    picture(project, "a.png")
    values = [0.0] * 51
    values[0:3], values[3:6], values[6:9] = [1.5, 2.25, 2], [3, 4, 1], [-2, 5, 1]
    put(project, "a.json", coco([{"keypoints": values}]))
    index(project, format="coco-keypoints")
    (row,) = poses(project)
    assert (row["skeleton"], row["frame"], row["person"], row["origin"]) == ("coco_17", 0, 0, "dataset")
    assert (row["x_px"][:3], row["y_px"][:3]) == ([1.5, 3.0, -2.0], [2.25, 4.0, 5.0])
    assert row["state"][:4] == [JointState.LABELLED, JointState.OCCLUDED, JointState.OUTSIDE, JointState.ABSENT]
    assert row["visibility"][:3] == [1.0, 0.0, 0.0]
    assert np.isnan(row["x_px"][3])


def test_joints_are_placed_by_name(project: Project) -> None:
    picture(project, "a.png")
    content = coco([{"keypoints": [1, 1, 2, 2, 2, 2]}], keypoints=["Right Knee", "head"])
    put(project, "a.json", content)
    index(project, format="coco-keypoints")
    (row,) = poses(project)
    assert row["skeleton"] == "penn_13"
    assert (row["x_px"][10], row["x_px"][0]) == (1.0, 2.0)
    assert np.isfinite(row["x_px"]).sum() == 2


WHERE = f"{RAW}/a.json, a.png, annotation 0"
EXPECTED_MASK = "expected polygons, or run lengths that fill the image"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segmentation": [[1, 1, 2, 2]]}, f"{WHERE}: {EXPECTED_MASK}, found a polygon of 4 numbers. {END}"),
        ({"segmentation": [[0, 0, 1e300, 1, 2, 2]]},
         f"{WHERE}: {EXPECTED_MASK}, found a polygon with a corner far outside the image. {END}"),
        ({"segmentation": {"size": [8, 10], "counts": [5, -2, 77]}},
         f"{WHERE}: {EXPECTED_MASK}, found run lengths that do not fill the image. {END}"),
        ({"segmentation": {"size": [8, 10], "counts": "zzz"}},
         f"{WHERE}: {EXPECTED_MASK}, found run lengths that are no such text. {END}"),
        ({"segmentation": {"size": [1, 1], "counts": [1]}},
         f"{WHERE}: {EXPECTED_MASK}, found run lengths for [1, 1]. {END}"),
        ({"segmentation": 5}, f"{WHERE}: {EXPECTED_MASK}, found '5'. {END}"),
        ({"category_id": 8}, f"{RAW}/a.json: expected categories that the file lists, found the category 8. {END}"),
        ({"image_id": "x"}, f"{RAW}/a.json: expected a COCO file with images, annotations and categories, found one "
         f"that does not fit (ValueError: invalid literal for int() with base 10: 'x'). {END}"),
    ],
)  # fmt: skip
def test_every_fault_of_a_coco_file_has_its_sentence(project: Project, change: dict[str, Any], message: str) -> None:
    picture(project, "a.png")
    put(project, "a.json", coco([{"segmentation": [BOX]} | change]))
    assert fault(project, format="coco") == message


@pytest.mark.parametrize(
    ("name", "found"),
    [("b.png", "none"), ("../../a.png", "none"), ("/etc/passwd", "none")],
)
def test_an_image_that_is_not_in_the_folder_is_refused(project: Project, name: str, found: str) -> None:
    picture(project, "a.png")
    put(project, "a.json", coco([{"segmentation": [BOX]}], name=name))
    assert fault(project, format="coco") == f"{RAW}/a.json: expected one image {name!r}, found {found}. {END}"


def test_a_file_nested_without_end_is_refused(project: Project) -> None:
    picture(project, "a.png")
    put(project, "a.json", "[" * 100_000)
    assert fault(project, format="coco") == f"{RAW}/a.json: expected JSON, found nesting too deep to read. {END}"


def test_an_image_of_another_size_than_stated_is_refused(project: Project) -> None:
    picture(project, "a.png", width=11)
    put(project, "a.json", coco([{"segmentation": [BOX]}]))
    assert fault(project, format="coco") == (
        f"{RAW}/a.json, a.png: expected an image of 10 × 8 px, as the file says, found 11 × 8. {END}"
    )


def test_classes_are_mapped_and_an_unknown_one_is_named(project: Project) -> None:
    picture(project, "a.png")
    put(project, "a.json", coco([{"segmentation": [BOX]}]))
    index(project, format="coco", class_map={"BICEPS": "upper_arm"})
    assert list(masks(project)) == [("mine/a", 0, "upper_arm")]
    assert fault(project, format="coco", class_map={"calf": "calf"}) == (
        f"{RAW}/a.json, a.png: expected a class that class_map in pipelines/mine.yaml names, found the class 'Biceps'. "
        'Add it to class_map there: "Biceps: biceps", or map it to background.'
    )


def test_supervision_reads_the_same_masks_but_for_the_border(project: Project) -> None:
    import supervision

    picture(project, "a.png")
    corners = [[1, 1, 8, 2, 7, 6, 3, 7], BOX]
    put(project, "a.json", coco([{"segmentation": [corner], "bbox": [1, 1, 7, 6]} for corner in corners]))
    index(project, format="coco")
    raw = project.raw("mine")
    theirs = supervision.DetectionDataset.from_coco(str(raw), str(raw / "a.json"))
    (mask,) = masks(project).values()
    joined = next(iter(theirs.annotations.values())).mask.any(axis=0)
    assert (joined & mask).sum() == mask.sum()  # fillPoly adds the border pixels, nothing else
    assert not (joined & ~cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)).any()


# --- YOLO ----------------------------------------------------------------------------------------------------------


def test_yolo_polygons_and_images_without_a_label_file(project: Project) -> None:
    picture(project, "images/train/a.png")
    picture(project, "images/val/b.png")
    put(project, "data.yaml", "names: {0: biceps, 1: Background}\n")
    put(project, "labels/train/a.txt", "0 0.2 0.125 0.6 0.125 0.6 0.5 0.2 0.5\n1 0 0 1 0 1 1\n0 .5 .5 .1 .1\n\n")
    report = index(project, format="yolo-seg")
    assert np.array_equal(masks(project)["mine/a", 0, "biceps"], rectangle(2, 1, 6, 4))
    assert report["official_split"] == {"train": 1, "validation": 1}
    assert report["left_out"] == {"box without a polygon": 1, "polygon of the background": 1}
    assert report["images_without_a_label_file"] == 1


def test_yolo_poses_in_two_and_three_numbers(project: Project) -> None:
    picture(project, "images/a.png")
    put(project, "data.yaml", "names: [person]\nkpt_shape: [17, 2]\n")
    put(project, "labels/a.txt", "0 .5 .5 .2 .2 0.5 0.25" + " 0 0" * 16 + "\n")
    index(project, format="yolo-pose")
    (row,) = poses(project)
    assert (row["x_px"][0], row["y_px"][0], row["state"][0], row["state"][1]) == (5.0, 2.0, 0, JointState.ABSENT)
    put(project, "data.yaml", f"names: [person]\nkpt_shape: [17, 3]\nkpt_names: {{0: {list(COCO_17.joints)}}}\n")
    put(project, "labels/a.txt", "0 .5 .5 .2 .2 0.5 0.25 1" + " 0 0 0" * 16 + "\n")
    index(project, format="yolo-pose")
    assert poses(project)[0]["state"][0] == JointState.OCCLUDED


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 a b", "expected a class number and fractions of the image, found '0 a b'"),
        ("7 .1 .1 .2 .2 .3 .3", "expected a class of data.yaml (0) and finite numbers, found '7 .1 .1 .2 .2 .3 .3'"),
        ("0 nan .1 .2 .2 .3 .3", "expected a class of data.yaml (0) and finite numbers, found '0 nan .1 .2 .2 .3 .3'"),
        ("0 .1 .1 .2 .2 .3", "expected a class number and three corners or more, found 6 numbers"),
        ("0 9 9 8 8 7 9", "expected a polygon inside the image, found a polygon with a corner far outside the image"),
    ],
)
def test_every_fault_of_a_yolo_line_has_its_sentence(project: Project, line: str, message: str) -> None:
    picture(project, "images/a.png")
    put(project, "data.yaml", "names: [biceps]\n")
    put(project, "labels/a.txt", line)
    assert fault(project, format="yolo-seg") == f"{RAW}/labels/a.txt, line 1: {message}. {END}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "expected one data.yaml that names the classes, found none. Export it again with its data.yaml."),
        ("names: 5", f"expected a data.yaml with names (and kpt_shape for poses), found no names. {END}"),
        ("names: [p]", f"expected kpt_shape: [number of joints, 2 or 3], found 'None'. {END}"),
        ("names: [p]\nkpt_shape: [5, 3]",
         f"expected names of the joints, or COCO's 17 in COCO's order, found 5 joints without names. {END}"),
        ("names: [p]\nkpt_shape: [1, 3]\nkpt_names: {0: [tail]}",
         "expected joint names of one skeleton (blazepose_33, coco_18, coco_17, penn_13, h36m_17), found 'tail'. "
         "Rename the joints as repset.landmarks has them."),
    ],
)  # fmt: skip
def test_every_fault_of_a_data_yaml_has_its_sentence(project: Project, data: str | None, message: str) -> None:
    picture(project, "images/a.png")
    if data is not None:
        put(project, "data.yaml", data)
    assert fault(project, format="yolo-pose") == f"{RAW}/data.yaml: {message}"


def test_a_label_file_without_its_image_is_a_fault(project: Project) -> None:
    picture(project, "images/a.png")
    put(project, "data.yaml", "names: [biceps]\n")
    put(project, "labels/b.txt", "")
    assert fault(project, format="yolo-seg") == (
        f"{RAW}/labels/b.txt: expected an image of the same name, found a label file alone. {END}"
    )


# --- CVAT ----------------------------------------------------------------------------------------------------------


def cvat(shapes: str, name: str = "a.png") -> str:
    head = "<?xml version='1.0' encoding='utf-8'?>\n<annotations><version>1.1</version><meta><task/></meta>"
    return f'{head}<image id="0" name="{name}" subset="Train" width="10" height="8">{shapes}</image></annotations>'


def test_cvat_polygons_masks_and_skeletons(project: Project) -> None:
    picture(project, "a.png")
    shapes = (
        '<polygon label="biceps" points="2,1;6,1;6,4;2,4"/>'
        '<mask label="calf" rle="1, 2, 1" left="3" top="2" width="2" height="2"/>'
        '<skeleton label="person"><points label="head" points="1.5,2" outside="0" occluded="0"/>'
        '<points label="left_knee" points="3,4" outside="0" occluded="1"/>'
        '<points label="right_knee" points="5,6" outside="1" occluded="0"/></skeleton>'
        '<box label="person" xtl="0" ytl="0" xbr="2" ybr="2"/><tag label="good"/>'
    )
    put(project, "annotations.xml", cvat(shapes))
    report = index(project, format="cvat")
    found = masks(project)
    assert np.array_equal(found["mine/a", 0, "biceps"], rectangle(2, 1, 6, 4))
    assert np.argwhere(found["mine/a", 0, "calf"]).tolist() == [[2, 4], [3, 3]]
    (row,) = poses(project)
    assert (row["skeleton"], row["x_px"][0], row["state"][0]) == ("penn_13", 1.5, JointState.LABELLED)
    assert (row["state"][9], row["state"][10]) == (JointState.OCCLUDED, JointState.ABSENT)
    assert report["left_out"] == {"CVAT box (no table holds it)": 1, "CVAT tag (no table holds it)": 1}
    assert report["official_split"] == {"train": 1}


BOMB = '<!DOCTYPE a [<!ENTITY x "xx"><!ENTITY y "&x;&x;">]><annotations>&y;</annotations>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "expected XML that is safe to read, found a document type or an entity (DTDForbidden). "
         "Do not use it unless you made it yourself."),
        ("<annotations>", "expected CVAT's XML for images 1.1, found one that does not parse (no element found: "
         "line 1, column 13). Export it as 'CVAT for images 1.1'."),
        ("<html/>", "expected CVAT's XML for images 1.1, found the root <html>. Export it as 'CVAT for images 1.1'."),
        ("<annotations><track/></annotations>", "expected CVAT's XML for images 1.1, found tracks (CVAT's XML for "
         "video). Export it as 'CVAT for images 1.1'."),
        ("<annotations/>", "expected CVAT's XML for images 1.1, found no image in it. "
         "Export it as 'CVAT for images 1.1'."),
        ("<annotations>" + "<a>" * 20, "expected CVAT's XML for images 1.1, found elements nested deeper than 16. "
         "Export it as 'CVAT for images 1.1'."),
    ],
)  # fmt: skip
def test_every_fault_of_a_cvat_file_has_its_sentence(project: Project, text: str, message: str) -> None:
    picture(project, "a.png")
    put(project, "a.xml", text)
    assert fault(project, format="cvat") == f"{RAW}/a.xml: {message}"


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ('<polygon label="a" points="1,1;2,2"/>',
         "expected a polygon 'x,y;x,y;x,y' inside the image, found the polygon '1,1;2,2'"),
        ('<mask label="a" rle="4" left="9" top="0" width="2" height="2"/>',
         "expected run lengths that fill a box inside the image, found the mask '4'"),
        ('<skeleton label="p"><points label="head" points="inf,1"/></skeleton>',
         "expected one finite point 'x,y' a joint, found the skeleton ''"),
    ],
)  # fmt: skip
def test_every_fault_of_a_cvat_shape_has_its_sentence(project: Project, shape: str, message: str) -> None:
    picture(project, "a.png")
    put(project, "a.xml", cvat(shape))
    assert fault(project, format="cvat") == f"{RAW}/a.xml, a.png: {message}. {END}"


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "split"),
    [("train/images", "train"), ("images/val2017", "validation"), ("annotations/instances_test.json", "test"),
     ("valid", "validation"), ("trainer/a", None), ("contest", None)],
)  # fmt: skip
def test_a_split_is_told_by_whole_words(path: str, split: str | None) -> None:
    assert split_of(path) == split


def test_ids_lose_folders_that_only_sort_unless_two_would_be_one() -> None:
    assert native_ids(["images/train/gym/a", "images/val/b"], True) == {
        "images/train/gym/a": "gym/a",
        "images/val/b": "b",
    }
    assert native_ids(["train/a", "val/a"], True) == {"train/a": "train/a", "val/a": "val/a"}


def test_an_image_is_found_beside_its_label_file() -> None:
    names = Names(["train/a.png", "val/a.png", "b/c.png"])
    assert names.find("a.png", "val", "here") == "val/a.png"
    assert names.find("c.png", "annotations", "here") == "b/c.png"
    with pytest.raises(DataError) as caught:
        names.find("a.png", "annotations", "here")
    assert str(caught.value) == f"here: expected one image 'a.png', found 2 (train/a.png, val/a.png). {END}"
