"""Small grey pictures by which images and clips are compared: table `fingerprints`.

A picture is stretched to a square of SIDE pixels, so that a copy at another scale or proportion gives nearly the same
one. An image has one for each augmented copy, a clip one every STEP_S seconds or so. What cannot be read on the way is
handed back as a fault and never stops the work.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from repset.errors import DataError
from repset.project import Project
from repset.records import sha256_bytes, sha256_file
from repset.video import FrameStore, read_video

SIDE = 48
"""Pixels of a fingerprint's side: enough to tell two poses in one room apart, small enough to keep 4 a second."""

STEP_S = 0.25
"""Seconds between two fingerprints of a clip, so that a trimmed copy finds a frame within an eighth of a second."""

LEAST, MOST = 16, 240
"""Fingerprints of one clip: a short one is sampled more densely, a long one more sparsely."""

Grey = npt.NDArray[np.uint8]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """Media that cannot be used: missing_media | corrupt_media | size_mismatch, where, and a sentence."""

    code: str
    frame: int | None
    sentence: str


def thumbnail(grey: Grey) -> Grey:
    """(H, W) grey → (SIDE, SIDE), area-averaged."""
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def read_sample(project: Project, store: FrameStore, sample: Row) -> tuple[list[dict[str, Any]], list[Fault]]:
    """Rows of table `fingerprints` for one image or clip, and what is wrong with its media.

    Every stored frame is compared with the hash the index took of it (a frame that was whole then is whole now);
    only the sampled frames are decoded again.
    """
    if sample["kind"] == "poses":
        return [], []
    rows, faults = [], list[Fault]()
    stored = store.rows(sample["sample_id"])
    pictures = _from_shards(store, sample, stored, faults) if stored else _from_file(project, sample, faults)
    for frame, variant, time_s, grey in pictures:
        rows.append(
            {
                "sample_id": sample["sample_id"],
                "frame": frame,
                "variant": variant,
                "time_s": round(time_s, 4),
                "picture": thumbnail(grey).tobytes(),
            }
        )
    return rows, faults


_Picture = tuple[int, str, float, Grey]  # frame, variant, seconds, grey


def step_of(frames: int, fps: float) -> float:
    """Seconds between two fingerprints of a clip of so many frames."""
    seconds = frames / fps
    return max(min(STEP_S, seconds / LEAST), seconds / MOST)


def _from_shards(
    store: FrameStore, sample: Row, stored: list[dict[str, Any]], faults: list[Fault]
) -> Iterator[_Picture]:
    clip = sample["kind"] == "clip"
    fps = float(sample["fps"] or 30.0)
    step = max(1, round(step_of(len(stored), fps) * fps)) if clip else 1
    shrink = _shrink(sample) if clip else 1
    for position, row in enumerate(stored):
        if not row["shard"]:
            faults.append(Fault("missing_media", row["frame"], "the index names no shard for it."))
            continue
        try:
            data = store.data(row)
        except OSError as error:
            faults.append(Fault("missing_media", row["frame"], f"{row['shard']}: {error.strerror or error}."))
            continue
        if len(data) != row["size"] or sha256_bytes(data) != row["sha256"]:
            faults.append(Fault("corrupt_media", row["frame"], f"{row['name']}: the bytes are not those indexed."))
            continue
        if position % step:
            continue
        grey = cv2.imdecode(np.frombuffer(data, np.uint8), _REDUCED[shrink])
        if grey is None:
            faults.append(Fault("corrupt_media", row["frame"], f"{row['name']}: it does not decode as an image."))
            continue
        if (found := _other_size(grey, sample, shrink)) is not None:
            faults.append(Fault("size_mismatch", row["frame"], f"{row['name']}: {found}."))
        yield row["frame"], row["variant"] or "", row["frame"] / fps if clip else 0.0, np.asarray(grey, np.uint8)


_REDUCED: dict[int, int] = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def _shrink(sample: Row) -> int:
    """The largest factor a JPEG decoder can save that leaves two pixels for each of the fingerprint's."""
    side = min(int(sample["width"] or 0), int(sample["height"] or 0))
    return next((factor for factor in (8, 4, 2) if side // factor >= 2 * SIDE), 1)


def _other_size(grey: npt.NDArray[Any], sample: Row, shrink: int) -> str | None:
    """How the size differs from the sample's, None if it is the same (to the pixel where nothing was shrunk)."""
    if not sample["width"] or not sample["height"]:
        return None
    wanted = -(-int(sample["width"]) // shrink), -(-int(sample["height"]) // shrink)
    if (grey.shape[1], grey.shape[0]) == wanted:
        return None
    about = "about " if shrink > 1 else ""
    return (
        f"{about}{grey.shape[1] * shrink} × {grey.shape[0] * shrink} px where the index says "
        f"{sample['width']} × {sample['height']}"
    )


def _from_file(project: Project, sample: Row, faults: list[Fault]) -> Iterator[_Picture]:
    if not sample["media"]:
        faults.append(Fault("missing_media", None, "the index names neither frames nor a file."))
        return
    path = project.root / sample["media"]
    if not path.is_file():
        faults.append(Fault("missing_media", None, f"{sample['media']}: no such file."))
        return
    if sample["media_sha256"] and sha256_file(path) != sample["media_sha256"]:
        faults.append(Fault("corrupt_media", None, f"{sample['media']}: the bytes are not those indexed."))
    if sample["kind"] == "image":
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if grey is None:
            faults.append(Fault("corrupt_media", None, f"{sample['media']}: it does not decode as an image."))
        else:
            yield 0, "", 0.0, np.asarray(grey, np.uint8)
        return
    step_s = step_of(int(sample["frames"] or MOST), float(sample["fps"] or 30.0))
    next_s = 0.0
    try:
        for frame, (time_s, image) in enumerate(read_video(path)):
            if time_s + 1e-6 >= next_s:
                next_s = time_s + step_s
                yield frame, "", time_s, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    except DataError as error:
        faults.append(
            Fault("corrupt_media", None, f"{sample['media']}: expected {error.expected}, found {error.found}.")
        )


def read_all(
    project: Project, samples: list[dict[str, Any]], store: FrameStore, progress: Callable[[int, int, str], None]
) -> tuple[list[dict[str, Any]], dict[str, list[Fault]]]:
    """`read_sample` of every sample: rows in the order of sample, frame and variant; sample_id → faults."""
    rows: list[dict[str, Any]] = []
    faults: dict[str, list[Fault]] = {}
    for done, sample in enumerate(sorted(samples, key=lambda row: str(row["sample_id"]))):
        found, wrong = read_sample(project, store, sample)
        rows += sorted(found, key=lambda row: (row["frame"], row["variant"]))
        if wrong:
            faults[sample["sample_id"]] = wrong
        progress(done + 1, len(samples), "reading media")
    return rows, faults
