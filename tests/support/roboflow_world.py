"""Small Roboflow exports, made here: photos with class images, as one archive of the source `rf`."""

import zipfile
from typing import Any

import cv2
import numpy as np
import pytest

from repset.errors import DataError
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
