"""When two labels speak of the same thing, and when they say the same: targets, overlap, tolerance.

A target is a dict. `class person variant frame` must be equal; `interval_s` ([start, end) in seconds, null: the whole
clip) matches by temporal overlap, never by repetition number. Any other key (`frames`, `rule_id`, `exercise`) is
information for the reader and takes no part.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from repset.errors import DataError

Interval = tuple[float, float]

SAME_INTERVAL_IOU = 0.5
"""Two intervals are the same stretch from this temporal overlap on (the usual threshold of temporal detection,
as in ActivityNet's mAP@0.5)."""

TOLERANCE_IOU = 0.9
"""A person's accept holds for masks and intervals that overlap at least this much (DESIGN.md, "ledger line")."""

TOLERANCE_PX = 5.0
"""… and for poses whose joints lie at most this far apart."""

BACKGROUND = "background"
"""The class that stands for the image itself in the task muscle_mask, so that images without a muscle are kept."""


@dataclass(frozen=True, order=True)
class Key:
    """The part of a target that must be equal."""

    sample_id: str
    person: int
    variant: str
    label: str
    frame: int


def key_of(sample_id: str, target: Mapping[str, Any]) -> Key:
    """The key of a label; a missing person is 0, a missing variant or class '', a missing frame -1."""
    frame = target.get("frame")
    return Key(
        sample_id,
        int(target.get("person") or 0),
        str(target.get("variant") or ""),
        str(target.get("class") or ""),
        -1 if frame is None else int(frame),
    )


def interval_of(target: Mapping[str, Any]) -> Interval | None:
    """`interval_s` of a target, None for the whole clip or image."""
    interval = target.get("interval_s")
    return None if interval is None else (float(interval[0]), float(interval[1]))


def overlap_s(a: Interval, b: Interval) -> float:
    """Seconds two half-open intervals share."""
    return max(0.0, min(a[1], b[1]) - max(a[0], b[0]))


def interval_iou(a: Interval | None, b: Interval | None) -> float:
    """Temporal intersection over union, 0..1. The whole clip (None) equals only itself."""
    if a is None or b is None:
        return 1.0 if a is b else 0.0
    shared = overlap_s(a, b)
    union = (a[1] - a[0]) + (b[1] - b[0]) - shared
    return shared / union if union > 0 else float(a == b)


def mask_iou(a: bytes, b: bytes) -> float:
    """Intersection over union of two PNG masks (any non-zero pixel counts); 1 if both are empty, 0 if sizes differ."""
    if a == b:
        return 1.0
    first, second = _mask(a), _mask(b)
    if first.shape != second.shape:
        return 0.0
    union = int(np.count_nonzero(first | second))
    return int(np.count_nonzero(first & second)) / union if union else 1.0


@lru_cache(maxsize=256)
def _mask(png: bytes) -> npt.NDArray[np.bool_]:
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE) if png else None
    if image is None:
        raise DataError("a mask", "a PNG image", f"{len(png)} bytes that do not decode", "Restore it from git")
    return np.asarray(image > 0)


def within_tolerance(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two labels of one thing agree: equal value, masks and intervals with IoU ≥ 0.9, joints within 5 px.

    Args:
        a, b: with `target` (JSON or dict), `value` (JSON text or null) and `blob` (PNG or null).
    """
    if (a["blob"] is None) != (b["blob"] is None) or (a["blob"] is None and not _same_value(a["value"], b["value"])):
        return False
    if interval_iou(interval_of(as_dict(a["target"])), interval_of(as_dict(b["target"]))) < TOLERANCE_IOU:
        return False
    return a["blob"] is None or mask_iou(a["blob"], b["blob"]) >= TOLERANCE_IOU


def _same_value(a: str | None, b: str | None) -> bool:
    """Whether two values (JSON) are equal; poses are if they have the same joints, in the same state, near enough."""
    if a == b or a is None or b is None or '"joints"' not in a or '"joints"' not in b:
        return a == b
    first, second = json.loads(a), json.loads(b)
    if first["skeleton"] != second["skeleton"] or set(first["joints"]) != set(second["joints"]):
        return False
    pairs = [(at, second["joints"][name]) for name, at in first["joints"].items()]
    return all(p[2] == q[2] and np.hypot(p[0] - q[0], p[1] - q[1]) <= TOLERANCE_PX for p, q in pairs)


def as_dict(target: str | Mapping[str, Any]) -> dict[str, Any]:
    """A target from its JSON text, or as it is."""
    return dict(json.loads(target)) if isinstance(target, str) else dict(target)
