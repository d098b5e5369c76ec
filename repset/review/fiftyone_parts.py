"""The parts of a document as FiftyOne keeps them: classifications, masks, findings, metadata."""

import zlib
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from bson import ObjectId

from repset.curate.decision import Decision
from repset.records import canonical_json, sha256_bytes
from repset.review.fiftyone_labels import Label

Doc = dict[str, Any]


def base(label: Label, kind: str, word: str) -> Doc:
    """What every label has: id, word, score and where it comes from."""
    about = {"confidence": label.score, "origin": label.origin, "tier": label.tier or None, "reviewer": label.reviewer}
    known = {key: value for key, value in about.items() if value is not None}
    return {"_id": ObjectId(label.id), "_cls": kind, "tags": [], "label": word, **known}


def word(label: Label) -> Doc:
    """A word on the whole picture or clip."""
    return base(label, "Classification", str(label.value))


def finding(row: Doc) -> Doc:
    """A row of table findings as a word with its sentence."""
    identity = canonical_json([row["code"], row["sample_id"], row["frame"], row["other_id"], row["sentence"]])
    frame = {} if row["frame"] is None else {"frame": int(row["frame"]) + 1}
    return {
        "_id": ObjectId(sha256_bytes(identity.encode())[:24]), "_cls": "Classification", "tags": [],
        "label": row["code"], "severity": row["severity"], "sentence": row["sentence"], **frame,
    }  # fmt: skip


def mask(label: Label) -> Doc:
    """A mask as it is stored; `cut` makes of it what FiftyOne draws, which takes longer than all the rest."""
    about = {**base(label, "Detection", str(label.target["class"])), "attributes": {}}
    return {**about, "index": int(label.target.get("person") or 0), _PNG: label.png or b""}


_PNG = "png"


def cut(stored: Doc) -> Doc:
    """A mask cut to what it covers; an empty one has a box without extent."""
    about = {key: value for key, value in stored.items() if key != _PNG}
    image = cv2.imdecode(np.frombuffer(stored[_PNG], np.uint8), cv2.IMREAD_GRAYSCALE) if stored[_PNG] else None
    if image is None or not image.any():
        return {**about, "bounding_box": [0.0, 0.0, 0.0, 0.0]}
    x, y, width, height = cv2.boundingRect(image)
    rows, columns = image.shape
    box = [x / columns, y / rows, width / columns, height / rows]
    buffer = BytesIO()
    np.save(buffer, np.ascontiguousarray(image[y : y + height, x : x + width] > 0), allow_pickle=False)
    return {**about, "bounding_box": box, "mask": zlib.compress(buffer.getvalue(), 1)}


def metadata(sample: Doc, clip: bool) -> Doc | None:
    """Written by us: FiftyOne would ask ffprobe for a video's."""
    width, height = int(sample["width"] or 0), int(sample["height"] or 0)
    if not clip:
        size = {"width": width, "height": height} if width and height else {}
        return {"_cls": "ImageMetadata", **size}
    frames, fps = int(sample["frames"] or 0), float(sample["fps"] or 0)
    known = {"frame_width": width, "frame_height": height} if width and height else {}
    rate = {"frame_rate": fps, "duration": frames / fps} if fps else {}
    return {"_cls": "VideoMetadata", "total_frame_count": frames, "encoding_str": "avc1", **known, **rate}


def told(one: Decision) -> str:
    """A decision as a sentence."""
    target = one.target
    what = target.get("class") or one.value or "joints"
    where = "" if target.get("interval_s") is None else " {:.2f}-{:.2f} s".format(*target["interval_s"])
    where += "" if target.get("frame") is None else f" frame {target['frame']}"
    return f"{one.at[:16].replace('T', ' ')} {one.reviewer}: {one.action} {one.task}{where}: {what}"


def finite(value: Any) -> bool:
    """Whether it is a number that is not NaN or infinite."""
    return isinstance(value, int | float) and bool(np.isfinite(value))
