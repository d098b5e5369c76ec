"""Class lists that contradict each other, and what a Roboflow export says of itself."""

import pytest
from roboflow_world import RAW, SPEC, A, B, failure, index, mask, photo, put

from repset.errors import ConfigError
from repset.project import Project


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
