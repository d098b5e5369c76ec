"""Class lists that contradict each other, and what a Roboflow export says of itself."""

import zipfile
from typing import Any

import cv2
import numpy as np
import pytest

from repset.errors import ConfigError, DataError
from repset.params import SourceSpec
from repset.project import Project
from repset.sources.index import index_source

MAP = {"background": "background", "activated biceps": "biceps", "activated calf": "calf", "muscle": "background"}
SPEC = SourceSpec(family="roboflow", rendered=False, origin="x", class_map=MAP)
RAW = "datasets/rf/raw/export.zip"
CLASSES = b"Pixel Value, Class\n0, background\n1, Activated Biceps\n2, activated_calf"
A, B = "a" * 32, "b" * 32


def jpeg(seed: int = 0, width: int = 40, height: int = 30) -> bytes:
    image = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return bytes(cv2.imencode(".jpg", image)[1])


def png(values: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", values)[1])


def mask(**values: int) -> np.ndarray:
    """All 0, with the rows top and bottom at the given values."""
    out = np.zeros((30, 40), np.uint8)
    out[:10], out[20:] = values.get("top", 0), values.get("bottom", 0)
    return out


def photo(split: str, stem: str, variant: str, values: np.ndarray, seed: int = 0) -> dict[str, bytes]:
    name = f"{split}/{stem}.rf.{variant}"
    return {f"{name}.jpg": jpeg(seed), f"{name}_mask.png": png(values), f"{split}/_classes.csv": CLASSES}


def put(project: Project, files: dict[str, bytes]) -> None:
    raw = project.raw("rf")
    raw.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(raw / "export.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def index(project: Project, spec: SourceSpec = SPEC, **options: Any) -> dict[str, Any]:
    return index_source(project, "rf", spec, shard_mb=1, **options)


def failure(project: Project, files: dict[str, bytes], spec: SourceSpec = SPEC) -> str:
    put(project, files)
    with pytest.raises(DataError) as caught:
        index(project, spec)
    return str(caught.value)


def test_classes_that_contradict_each_other(project: Project) -> None:
    files = photo("train", "one", A, mask(top=1)) | photo("valid", "two", A, mask(top=1))
    fewer = b"Pixel Value, Class\n0, background\n1, activated biceps"
    assert failure(project, files | {"valid/_classes.csv": fewer}) == (
        f"{RAW}:valid/_classes.csv: expected the classes of train/_classes.csv, found a difference in 'calf'. "
        "Export all splits together, or list the class in both."
    )
    twice = b"Pixel Value, Class\n0, background\n1, activated biceps\n2, Activated_Biceps"
    assert failure(project, files | {"train/_classes.csv": twice}) == (
        f"{RAW}:train/_classes.csv, line 4: expected each class once, found 'Activated_Biceps' again. "
        "Merge the two classes and export again."
    )
    put(project, files)
    both = SPEC.model_copy(update={"class_map": {"Activated Biceps": "biceps", "activated biceps": "triceps"}})
    with pytest.raises(ConfigError) as caught:
        index(project, both)
    assert str(caught.value) == (
        "pipelines/rf.yaml: class_map: 'activated biceps' stands for biceps and for triceps. Keep one of them."
    )


README = """
Gym - v3 2024-09-01 5:01am
==============================

This dataset was exported via roboflow.com on September 1, 2024 at 5:03 AM GMT

* collaborate with your team on computer vision projects

The dataset includes 2 images.
Muscles are annotated in PNG Masks For Semantic Segmentation format.

The following pre-processing was applied to each image:
* Auto-orientation of pixel data (with EXIF-orientation stripping)
* Resize to 256x256 (Stretch)

The following augmentation was applied to create 3 versions of each source image:
* 50% probability of horizontal flip
* Random shear of between -15° to +15° horizontally
"""


def test_what_the_export_says_of_itself_is_kept(project: Project) -> None:
    about = b"# Gym > v3\nhttps://universe.roboflow.com/a-b/gym\n\nProvided by a Roboflow user\nLicense: CC BY 4.0\n"
    files = photo("train", "one", A, mask(top=1)) | photo("train", "one", B, mask(top=1), seed=2)
    put(project, files | {"README.roboflow.txt": README.encode(), "README.dataset.txt": about})
    report = index(project)
    assert report["copies_of_a_photo"] == 2
    assert report["provenance"] == {
        "title": "Gym - v3 2024-09-01 5:01am",
        "exported": "September 1, 2024 at 5:03 AM GMT",
        "annotation": "Muscles",
        "format": "PNG Masks For Semantic Segmentation",
        "address": "https://universe.roboflow.com/a-b/gym",
        "licence": "CC BY 4.0",
        "provided_by": "a Roboflow user",
        "images_stated": 2,
        "copies_stated": 3,
        "preprocessing": [
            "Auto-orientation of pixel data (with EXIF-orientation stripping)",
            "Resize to 256x256 (Stretch)",
        ],
        "augmentation": ["50% probability of horizontal flip", "Random shear of between -15° to +15° horizontally"],
        "augmentation_of_boxes": [],
    }
