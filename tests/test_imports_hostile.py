"""Damaged and hostile label files: each is read or refused with a sentence, and none crashes the reader."""

import json
from typing import Any

import numpy as np
import pytest

from repset.errors import DataError
from repset.params import SourceSpec
from repset.sources.folder import FORMATS
from repset.sources.imports import MaskObject, Names
from repset.sources.imports_csv import events_of, facts_of, read_label_csv

BOX = [2, 1, 6, 1, 6, 4, 2, 4]


def coco(annotations: list[dict[str, Any]], **category: Any) -> str:
    return json.dumps(
        {
            "images": [{"id": 7, "file_name": "a.png", "width": 10, "height": 8}],
            "categories": [{"id": 3, "name": "biceps"} | category],
            "annotations": [{"id": n, "image_id": 7, "category_id": 3} | row for n, row in enumerate(annotations)],
        }
    )


SEEDS: dict[str, tuple[str, dict[str, str]]] = {
    "coco": ("coco", {"a.json": coco([{"segmentation": [BOX], "person": 1},
                                                 {"segmentation": {"size": [8, 10], "counts": [8, 3, 69]}},
                                                 {"segmentation": {"size": [8, 10], "counts": "83U2"}}])}),
    "coco-keypoints": ("coco-keypoints", {"a.json": coco([{"keypoints": [1, 2, 2, 3, 4, 1]}],
                                                                    keypoints=["head", "left_knee"])}),
    "yolo-seg": ("yolo-seg", {"data.yaml": "names: [biceps, calf]\n", "a.txt": "0 .1 .1 .5 .1 .5 .5\n1 0 0 1 0 1 1\n"}),
    "yolo-pose": ("yolo-pose", {"data.yaml": "names: [p]\nkpt_shape: [1, 3]\nkpt_names: {0: [head]}\n",
                                "a.txt": "0 .5 .5 .2 .2 .3 .4 2\n"}),
    "cvat": ("cvat", {"a.xml": '<annotations><image id="0" name="a.png" width="10" height="8">'
                                    '<polygon label="b" points="2,1;6,1;6,4"/><mask label="c" rle="1,2,1" left="3" '
                                    'top="2" width="2" height="2"/><skeleton label="p"><points label="head" '
                                    'points="1,2" outside="0" occluded="1"/></skeleton></image></annotations>'}),
}  # fmt: skip
WORDS = ("-1", "1e308", "-1e308", "9" * 400, "NaN", "Infinity", "null", "true", "[]", "{}", '""', '"\\u0000"', 
         "[[[]]]", "\x00", "../..", "&x;", "<a>", "\ufeff", "é", "*a", "&a [", "!!python/object:os.system", "0x10",
         ";", ",")  # fmt: skip


def mutated(text: str, rng: np.random.Generator) -> bytes:
    """The text with a piece cut out, doubled, or replaced by a word that formats choke on."""
    for _ in range(int(rng.integers(1, 4))):
        start = int(rng.integers(0, len(text) + 1))
        end = min(len(text), start + int(rng.integers(0, 9)))
        put_in = ("", text[start:end] * 2, WORDS[int(rng.integers(0, len(WORDS)))])[int(rng.integers(0, 3))]
        text = text[:start] + put_in + text[end:]
    return text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("name", list(SEEDS))
def test_a_damaged_label_file_is_read_or_refused_but_never_a_crash(name: str) -> None:
    form, files = SEEDS[name]
    rng = np.random.default_rng(11)
    spec = SourceSpec(family="folder", rendered=False, origin="in", format=form)
    refused = 0
    for _ in range(400):
        damaged = {key: mutated(text, rng) if rng.random() < 0.8 else text.encode() for key, text in files.items()}
        try:
            found = FORMATS[form](damaged, Names(["a.png"]), lambda key: key, spec, "mine")
            for objects in found.images.values():
                for one in objects((10, 8)):
                    shape = one.mask.shape if isinstance(one, MaskObject) else one.xy_px.shape[1:]
                    assert shape in ((8, 10), (2,))
        except DataError:  # any other exception would be a crash
            refused += 1
    assert 50 < refused < 400


def test_a_damaged_label_csv_is_read_or_refused_but_never_a_crash() -> None:
    text = (
        "media,exercise,subject,split,start,end,reps,rep,turn,complete,verdict,view\n"
        "a.mp4,squats,anna,train,,,,,,,,\na.mp4,squat,,,2,10,3,,,,,\na.mp4,,,,2,6,,0,4,yes,incorrect,side\n"
    )
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(400):
        try:
            for rows in read_label_csv(mutated(text, rng), "labels.csv").values():
                events = events_of(rows, facts_of(rows), 12, 10.0)
                assert all(0 <= row["start"] < row["end"] <= 12 for row in events.sets + events.reps + events.form)
        except DataError:
            refused += 1
    assert 50 < refused < 400
