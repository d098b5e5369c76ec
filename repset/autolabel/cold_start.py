"""Muscle masks proposed for a whole source that has none, so that people have something to correct and a model to come
from: the same table of proposals that a trained model writes, with the pose as its origin."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repset.autolabel.muscle_proposals import MUSCLES, SECTORS, Proposed, propose_muscles
from repset.autolabel.pose import outline_image
from repset.errors import ConfigError, DataError
from repset.params import load_profile
from repset.project import Project
from repset.records import atomic_folder, canonical_json, read_rows, sha256_bytes, write_table
from repset.video import FrameStore, Image, encode_png

TASK = "muscle_mask"
Progress = Callable[[int, int, str], None]
Row = dict[str, Any]


@dataclass(frozen=True)
class Drafted:
    """What was written.

    Attributes:
        path: the table of proposals. images: looked at. empty: of these without a person that is seen.
        masks: muscle → number of masks.
    """

    path: Path
    images: int
    empty: int
    masks: dict[str, int]


def draft(
    project: Project,
    source: str,
    muscles: Sequence[str] = MUSCLES,
    exercise: str | None = None,
    progress: Progress = lambda done, total, label: None,
    model: str = "full",
) -> Drafted:
    """Write `datasets/proposals/muscle_mask/<source>` from the poses in the source's images.

    An image in which nobody is seen gives no row: nothing is known of it, which is not the same as background.

    Args:
        muscles: which to propose. exercise: canonical name, for images whose own is not known; None: whatever is seen.
    Raises: ConfigError where the profile pairs a trained model with this source, whose proposals these would replace;
        DataError where the source has no image.
    """
    if any((pair.task, pair.source) == (TASK, source) for pair in load_profile(project).pairs.values()):
        raise ConfigError(
            f"{source}: expected a source without a model, found one in pipelines/profile.yaml. "
            f"Use repset preannotate {TASK} {source}, whose proposals these would replace."
        )
    index = project.index(source)
    samples = [row for row in read_rows(index / "samples.parquet", "samples") if row["kind"] == "image"]
    if not samples:
        raise DataError(index / "samples.parquet", "images", "none", "Muscles of clips: repset segment --from-pose")
    store, rows, empty, done = FrameStore(index), list[Row](), 0, 0
    total = sum(len(store.rows(sample["sample_id"])) for sample in samples)
    for sample in samples:
        for frame in store.rows(sample["sample_id"]):
            found = _proposed(store.image(frame), sample["exercise"] or exercise, model)
            done += 1
            progress(done, total, "proposing masks")
            if found is None:
                empty += 1
            else:
                kept = [one for one in found if one.muscle in muscles]
                rows += _rows(sample["sample_id"], frame["variant"] or "", kept, origin_hash(model))
    masks = {name: sum(f'"{name}"' in row["target"] for row in rows) for name in muscles}
    with atomic_folder(project.proposals(TASK, source)) as temporary:
        write_table(temporary / "table.parquet", "proposals", rows)
    return Drafted(project.proposals(TASK, source) / "table.parquet", total, empty, masks)


def origin_hash(model: str) -> str:
    """What made the proposals: the table of sectors and the pose model."""
    return sha256_bytes(canonical_json([[vars(sector) for sector in SECTORS], model]).encode())


def _proposed(image: Image, exercise: str | None, model: str) -> list[Proposed] | None:
    found = outline_image(image, model)
    return None if found is None else propose_muscles(*found, exercise)


def _rows(sample_id: str, variant: str, found: Sequence[Proposed], made_by: str) -> Iterator[Row]:
    """The image's background row and one row a muscle, left and right in one mask, as sure as the less sure side."""
    yield _row(sample_id, variant, "background", None, None, made_by)
    for name in MUSCLES:
        mine = [one for one in found if one.muscle == name]
        if mine:
            mask = np.uint8(255) * np.any([one.mask for one in mine], axis=0)
            yield _row(sample_id, variant, name, encode_png(mask), min(one.confidence for one in mine), made_by)


def _row(sample_id: str, variant: str, label: str, blob: bytes | None, score: float | None, made_by: str) -> Row:
    return {
        "sample_id": sample_id,
        "task": TASK,
        "target": canonical_json({"class": label, "person": 0, "variant": variant}),
        "value": None,
        "blob": blob,
        "score": score,
        "origin": "mediapipe",
        "origin_hash": made_by,
        "value_hash": sha256_bytes(blob or b""),
    }
