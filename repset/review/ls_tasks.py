"""What a person is shown, as a Label Studio task, and the record of it that comes back with the answer.

An item is one picture or clip with the labels shown on it. Its key is our sample id, variant and frame with the hash
of its media; the server's own numbers are never looked at. What was shown stands in the task's `meta`, sealed by a
hash, and comes back with the answer. All of this is pure: no server, no project.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from repset.records import canonical_json, sha256_bytes
from repset.review.ls_config import HIDDEN, JOINT, MASK, SEGMENT, STATE, Screen, label_of
from repset.review.ls_values import Mask, ValueFault, numbers_text, percent, range_from_frames, rle_bytes

VERSION = 1
POINT_SIZE = 0.5  # of a joint on screen, percent of the image's width

Json = dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """One label as a person is shown it.

    Attributes:
        task, target: as in the ledger.
        value: JSON-ready; None where it is a mask.
        mask: shape (H, W), only for muscle_mask.
        origin, origin_hash, value_hash: as in the ledger's proposal.
        score: 0..1, None where its model gives none.
        probe: wrong on purpose.
    """

    task: str
    target: Json
    value: Any = None
    mask: Mask | None = field(default=None, repr=False, compare=False)
    origin: str = "dataset"
    origin_hash: str | None = None
    value_hash: str | None = None
    score: float | None = None
    probe: bool = False

    @cached_property
    def region(self) -> str:
        """Its id within a task: the same label, the same id."""
        return f"{self.task}-{sha256_bytes(canonical_json(self.target).encode())[:12]}"


@dataclass(frozen=True)
class Item:
    """One picture or clip, and the labels shown on it.

    Attributes:
        kind: image | clip.
        sample_id, variant, frame: what it shows; frame is 0 for a photo, None for a clip.
        media_sha256: of the picture, or of the clip's media; None where the set has none.
        sample_sha256: `media_sha256` of table samples, for the ledger.
        width, height: pixels; frames, fps: of a clip.
        skeleton: whose joints a new pose has, None where joints are not asked for.
        about: task → target of an answer where nothing was shown (the exercise of a clip, the verdict of a picture).
        shown: empty also where the item goes out blank on purpose.
    """

    kind: str
    sample_id: str
    width: int
    height: int
    variant: str = ""
    frame: int | None = None
    media_sha256: str | None = None
    sample_sha256: str | None = None
    frames: int = 1
    fps: float | None = None
    skeleton: str | None = None
    about: Mapping[str, Json] = field(default_factory=dict)
    shown: tuple[Shown, ...] = ()
    blank: bool = False

    @property
    def key(self) -> str:
        """Sample, variant, frame and content: the identity of its task on any server."""
        return self._key(any(one.probe for one in self.shown))

    @property
    def twin(self) -> str:
        """The key of the task that shows the same with its true labels or, of a true one, with one made wrong."""
        return self._key(not any(one.probe for one in self.shown))

    def _key(self, probe: bool) -> str:
        place = f"{self.sample_id}|{self.variant}|{'' if self.frame is None else self.frame}"
        content = self.media_sha256 or ""
        # A reviewer sees the key: that of a probe looks like any other.
        return f"{place}|{sha256_bytes(f'probe|{place}|{content}'.encode())[:16] if probe else content[:16]}"


def mask_digest(mask: Mask) -> str:
    """SHA-256 of a mask's size and pixels."""
    return sha256_bytes(f"{mask.shape}".encode() + np.packbits(mask).tobytes())


def mask_of_png(png: bytes) -> Mask:
    """The mask of a PNG (any non-zero pixel counts)."""
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ValueFault("a mask that does not decode")
    return np.asarray(image > 0)


# --- to Label Studio -------------------------------------------------------------------------------------------------


def results_of(item: Item) -> list[Json]:
    """The labels shown, as Label Studio's regions."""
    found: list[Json] = json.loads(_text({"result": _regions(item)}))["result"]
    return found


def _regions(item: Item) -> list[Json]:
    """As `results_of`, a brush still as bytes."""
    found: list[Json] = []
    for shown in item.shown:
        found += _SENDERS[shown.task](shown, item)
    return found


def _send_mask(shown: Shown, item: Item) -> list[Json]:
    assert shown.mask is not None
    label = label_of(shown.target["class"], int(shown.target.get("person") or 0))
    value = {"format": "rle", "rle": rle_bytes(shown.mask), "brushlabels": [label]}
    return [_scored(_region(shown.region, MASK, "brushlabels", item, value), shown)]


def _send_pose(shown: Shown, item: Item) -> list[Json]:
    """A point a joint; a joint outside the image cannot be shown and stays as it was."""
    found, person = [], int(shown.target.get("person") or 0)
    for joint, (x, y, state) in sorted(shown.value["joints"].items()):
        if state == "outside":
            continue
        left, top = percent((x, y), item.width, item.height)
        place = {"x": left, "y": top, "width": POINT_SIZE}
        region, label = f"{shown.region}-{joint}", label_of(joint, person)
        point = _region(region, JOINT, "keypointlabels", item, {**place, "keypointlabels": [label]})
        found.append(_scored(point, shown))
        if state == "occluded":
            found.append(_region(region, STATE, "choices", item, {**place, "choices": [HIDDEN]}))
    return found


def _send_choice(shown: Shown, item: Item) -> list[Json]:
    if item.kind == "clip" and shown.task == "form":
        start, end = shown.target["frames"]
        label = label_of(shown.value, int(shown.target.get("person") or 0))
        value: Json = {"ranges": [range_from_frames(start, end)], "timelinelabels": [label]}
        return [_scored(_region(shown.region, SEGMENT, "timelinelabels", item, value), shown)]
    return [_region(shown.region, shown.task, "choices", item, {"choices": [shown.value]})]


_SENDERS = {"muscle_mask": _send_mask, "pose": _send_pose, "exercise": _send_choice, "form": _send_choice}


def _region(region: str, name: str, kind: str, item: Item, value: Json) -> Json:
    out: Json = {"id": region, "from_name": name, "type": kind, "value": value}
    if item.kind == "clip":
        return {**out, "to_name": "video"}
    size = {"original_width": item.width, "original_height": item.height, "image_rotation": 0}
    return {**out, "to_name": "image", **(size if kind != "choices" or name == STATE else {})}


def _scored(region: Json, shown: Shown) -> Json:
    return region if shown.score is None else {**region, "score": shown.score}


@dataclass(frozen=True)
class Packed:
    """A task ready to be imported.

    Attributes:
        data, meta: what it says of itself. predictions: 0 of a blank one, else 1. body: all of it as JSON.
    """

    data: Json
    meta: Json
    predictions: int
    body: bytes

    @property
    def state(self) -> tuple[Any, ...]:
        """What tells whether a task on the server is this one: its seal, number of predictions and data."""
        return self.meta["repset"]["seal"], self.predictions, self.data

    @property
    def prediction(self) -> Json | None:
        """What is shown, None of a blank one."""
        return next(iter(json.loads(self.body).get("predictions", ())), None)


def packed(item: Item, screen: Screen, url: str, model_version: str) -> Packed:
    """The task as it is imported: data, meta and (where it is not blank) one prediction.

    Args:
        url: where the server or the browser finds the picture or video.
    """
    data: Json = {"image" if item.kind == "image" else "video": url, "sample_id": item.sample_id, "key": item.key}
    if item.kind == "clip":
        data["fps"] = item.fps
    else:
        data |= {"variant": item.variant, "frame": item.frame}
    scores = [shown.score for shown in item.shown if shown.score is not None]
    score = min(scores, default=None)
    text = _text({"model_version": model_version, "score": score, "result": _regions(item)})
    meta = {"repset": _meta(item, screen, text)}
    head = canonical_json({"data": data, "meta": meta})
    whole = head if item.blank else f'{head[:-1]},"predictions":[{text}]}}'
    return Packed(data, meta, 0 if item.blank else 1, whole.encode())


def task_of(item: Item, screen: Screen, url: str, model_version: str) -> Json:
    """As `packed`, as an object."""
    task: Json = json.loads(packed(item, screen, url, model_version).body)
    return task


_BRUSH = "\x01brush"


def _text(prediction: Json) -> str:
    """Canonical JSON; the numbers of a brush, nearly all of it, are written past the JSON encoder."""
    brushes: list[bytes] = []

    def aside(region: Json) -> Json:
        if "rle" not in region["value"]:
            return region
        brushes.append(region["value"]["rle"])
        return {**region, "value": {**region["value"], "rle": _BRUSH}}

    parts = canonical_json({**prediction, "result": [aside(one) for one in prediction["result"]]})
    first, *rest = parts.split(canonical_json(_BRUSH))
    return first + "".join(numbers_text(brush) + part for brush, part in zip(brushes, rest, strict=True))


def _meta(item: Item, screen: Screen, sent: str) -> Json:
    plain = {
        name: getattr(item, name)
        for name in (
            "kind", "sample_id", "width", "height", "variant", "frame", "media_sha256", "sample_sha256", "frames",
            "fps", "skeleton", "blank",
        )
    }  # fmt: skip
    shown = [
        {
            **{name: getattr(one, name) for name in _SHOWN},
            "mask_sha256": None if one.mask is None else mask_digest(one.mask),
        }
        for one in item.shown
    ]
    labels = {name: list(getattr(screen, name)) for name in ("classes", "skeletons", "exercises")}
    there = {"labels": {**labels, "persons": screen.persons}, "about": dict(item.about), "sent": _short(sent)}
    meta = {"v": VERSION, **plain, **there, "shown": shown}
    return {**meta, "seal": _digest(meta)}


_SHOWN = ("task", "target", "value", "origin", "origin_hash", "value_hash", "score", "probe")


def _digest(value: Any) -> str:
    return _short(canonical_json(value))


def _short(text: str) -> str:
    return sha256_bytes(text.encode())[:32]


# --- back from Label Studio ------------------------------------------------------------------------------------------


def item_of(meta: Any) -> tuple[Item, dict[str, str], Screen]:
    """The item a task was made of, from the task's `meta`; its masks are only known by their hash.

    Returns: the item, region → hash of its mask, and the labels there were.
    Raises: ValueFault if it is no meta of ours or was changed.
    """
    found = meta.get("repset") if isinstance(meta, dict) else None
    if not isinstance(found, dict):
        raise ValueFault("a task that repset did not send")
    rest = {name: value for name, value in found.items() if name != "seal"}
    if found.get("v") != VERSION or found.get("seal") != _digest(rest):
        raise ValueFault("a record of what was shown that was changed")
    plain = {name: value for name, value in rest.items() if name not in ("v", "shown", "sent", "labels")}
    shown = tuple(Shown(**{name: one[name] for name in _SHOWN}) for one in rest["shown"])
    hashes = {
        s.region: one["mask_sha256"] for s, one in zip(shown, rest["shown"], strict=True) if s.task == "muscle_mask"
    }
    labels = {name: tuple(rest["labels"][name]) for name in ("classes", "skeletons", "exercises")}
    screen = Screen(rest["kind"], **labels, persons=rest["labels"]["persons"])
    return Item(**plain, shown=shown), hashes, screen
