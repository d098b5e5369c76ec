"""A source's pictures or clips as the documents that FiftyOne keeps in its database, built from files alone.

FiftyOne's own way of adding samples takes seven milliseconds a frame; plain documents in bulk take a fraction of one.
Nothing here talks to a database. A document's `digest` tells whether it has changed since it was written.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bson import ObjectId, encode

from repset.curate.build import official_leaks
from repset.curate.checks import CODES
from repset.project import Project
from repset.records import canonical_json, read_rows, sha256_bytes
from repset.review import media
from repset.review.fiftyone_drawn import Drawn
from repset.review.fiftyone_labels import FINAL, LOW_IOU, PREDICTED, Disagreement, Label, Said, disagreements
from repset.review.fiftyone_parts import Doc, base, cut, finding, finite, mask, metadata, told, word
from repset.review.fiftyone_poses import (
    Joints,
    Track,
    joints_of_value,
    keypoint,
    keypoints_by_frame,
    pose_error,
    read_angles,
)
from repset.video import FrameStore

Frames = Callable[[], list[Doc]]
Fit = Callable[[media.Floats], media.Floats]

LEAK, STALE, DECIDED = "leak", "stale", "decided"
TAGS = frozenset((*CODES, LEAK, STALE, DECIDED))
"""The tags that are ours: those of findings, and three of our own. Others belong to whoever set them."""

POSE_OFF = 0.1
"""Joints that lie further from the truth than a tenth of the person's size on the mean are said to disagree (half of
PCK@0.2's radius; the project's own choice)."""

_LAYOUT = 3  # raise it when documents are made in another way, so that old ones are written anew
_REASONS = 3  # of doubt, shown with a sample


@dataclass(frozen=True)
class Entry:
    """One sample of the App.

    Attributes:
        key, digest: its id in FiftyOne, and a hash of all it shows.
        document: makes what is stored of the sample, frames: of its frames (None for a picture).
    """

    key: ObjectId
    digest: str
    document: Callable[[], Doc]
    frames: Frames | None


class Source:
    """One source's files, read once; `entries` builds from them.

    Attributes:
        said: its labels and decisions.
        skeletons: field → name of its skeleton.
    """

    def __init__(self, project: Project, source: str) -> None:
        self.project, self.source = project, source
        self.said = Said(project, source)
        self.store = FrameStore(project.index(source))
        shown = [key for key, row in self.said.samples.items() if row["kind"] != "poses"]
        self.truth = Joints(project.index(source) / "poses.parquet", shown)
        self.guess = Joints(project.labels(source) / "poses.parquet", shown)
        self.angles = read_angles(project.labels(source) / "angles.parquet", shown)
        self.drawn = Drawn(project, source, sorted(self.said.samples.keys() - set(shown)))
        own, automatic = self.drawn.skeletons
        automatic = self.guess.skeleton or automatic
        self.skeletons = {"pose": self.truth.skeleton or own or automatic, PREDICTED + "pose": automatic}
        self.folds = _folds(project, source)
        self.findings = _findings(project, source)
        self.leaks = set(official_leaks(project, source))
        self._proxies: dict[str, Path] = {}

    def entries(self, kind: str, only: Sequence[str] | None = None) -> Iterator[Entry]:
        """Samples of one kind (image | clip) in order; of `only` these sample ids."""
        for sample_id in sorted(self.said.samples if only is None else only):
            sample = self.said.samples[sample_id]
            if (sample["kind"] == "image") == (kind == "image"):
                yield from self._pictures(sample) if kind == "image" else [self._clip(sample)]

    def _pictures(self, sample: Doc) -> Iterator[Entry]:
        rows = self.store.rows(sample["sample_id"])
        if not rows and sample["media"]:
            yield self._entry(sample, "", True, self.project.root / str(sample["media"]))
        for number, row in enumerate(rows):
            path = media.picture(self.project, self.source, row, self.store)
            yield self._entry(sample, str(row["variant"] or ""), number == 0, path)

    def _clip(self, sample: Doc) -> Entry:
        return self._entry(sample, "", True, self.proxy(sample))

    def proxy(self, sample: Doc) -> Path:
        """The video of a clip, made if it is not there yet; safe in threads."""
        if sample["sample_id"] not in self._proxies:
            path = media.clip(self.project, self.source, sample, self.store)
            self._proxies[sample["sample_id"]] = path
        return self._proxies[sample["sample_id"]]

    def _entry(self, sample: Doc, variant: str, posed: bool, path: Path) -> Entry:
        """
        Args:
            posed: whether the sample's automatic joints are of this very picture (of several copies, the first).
        """
        sample_id, clip = sample["sample_id"], sample["kind"] != "image"
        labels = self.said.labels(sample_id, variant)
        truth = self.truth.tracks.get(sample_id, []) if posed else []
        guess = self.guess.tracks.get(sample_id, []) if posed else []
        angles, fit = self.angles.get(sample_id, {}) if posed else {}, None
        if sample["kind"] == "poses":
            shot = self.drawn.shot(sample_id)
            truth, guess, angles, fit = shot.truth, shot.guess, shot.angles, shot.stage.fit
            sample = {**sample, "width": shot.stage.width, "height": media.STAGE_PX}
        error = self._pose_error(truth, guess)
        doc: Doc = {
            "_id": ObjectId(sample_key(sample_id, variant)),
            "filepath": str(path),
            "_media_type": "video" if clip else "image",
            "metadata": metadata(sample, clip),
            "sample_id": sample_id,
            "variant": variant,
            "source": self.source,
            "group": sample["group"],
            "fold": self.folds.get(sample_id),
            "official_split": sample["official_split"],
            "exercise_native": sample["exercise_native"],
            **self._label_fields(labels, sample),
            **self._doubt_fields(sample, variant, labels, error),
        }
        people = self._people(sample, variant, labels, truth, guess, fit)
        if clip:
            return _sealed(doc, _digest_of_frames(people, angles), lambda: _frame_docs(people, angles))
        for name, frames in people.items():
            doc[name] = {"_cls": "Keypoints", "keypoints": [_with_id(one) for one in frames().get(0, [])]}
        if 0 in angles:
            doc["angles"] = {"_cls": "DynamicEmbeddedDocument", **angles[0]}
        return _sealed(doc, "", None)

    # --- labels --------------------------------------------------------------------------------------------------

    def _label_fields(self, labels: Sequence[Label], sample: Doc) -> Doc:
        found: Doc = {}
        by_field: dict[str, list[Label]] = {}
        for label in labels:
            if label.task != "pose":
                by_field.setdefault(label.field, []).append(label)
        for name, mine in by_field.items():
            kind = name.removeprefix(PREDICTED).removeprefix(FINAL)
            if kind == "masks":
                found[name] = {"_cls": "Detections", "detections": [mask(label) for label in mine]}
            elif kind in ("sets", "reps") or (kind == "form" and sample["kind"] != "image"):
                spans = [self._span(label, sample) for label in mine]
                name = name.replace("form", "reps")
                spans = [*found.get(name, {}).get("detections", []), *spans]
                found[name] = {"_cls": "TemporalDetections", "detections": spans}
            elif not mine[0].holds:
                found[name] = {"_cls": "Classifications", "classifications": [word(label) for label in mine]}
            else:
                found[name] = word(mine[0])
        held = [label for label in labels if label.holds]
        found["origins"] = sorted({label.origin for label in held})
        found["tiers"] = sorted({label.tier for label in held if label.tier})
        return found

    def _span(self, label: Label, sample: Doc) -> Doc:
        frames = label.target.get("frames") or [
            round(at * float(sample["fps"] or 1)) for at in label.target.get("interval_s") or (0, 0)
        ]
        last = max(int(sample["frames"] or 1), 1)
        start = min(int(frames[0]) + 1, last)  # FiftyOne counts from 1 and means the last frame too
        why = self.said.why(label) if label.task == "form" else {}
        more = {key: why[key] for key in ("value_deg", "low_deg", "high_deg") if finite(why.get(key))}
        more |= {key: str(why[key]) for key in ("signal", "view", "message") if why.get(key)}
        if rule := label.target.get("rule_id"):
            more["rule"] = str(rule)
        if label.task == "form" and label.target.get("exercise"):
            more["exercise"] = str(label.target["exercise"])
        support = [start, min(max(int(frames[1]), start), last)]
        return {**base(label, "TemporalDetection", str(label.value)), "support": support, **more}

    # --- joints --------------------------------------------------------------------------------------------------

    def _people(
        self,
        sample: Doc,
        variant: str,
        labels: Sequence[Label],
        truth: Sequence[Track],
        guess: Sequence[Track],
        fit: Fit | None,
    ) -> "dict[str, _Lazy]":
        """Field → what makes frame → people; a person's own word takes the place of what it speaks of.

        Args:
            fit: from the set's pixels to those of the picture, where this is drawn of the joints.
        """
        width, height = float(sample["width"] or 0), float(sample["height"] or 0)
        if not width or not height:
            return {}
        said = [label for label in labels if label.task == "pose"]
        refused = {
            (slot.key.frame, slot.key.person)
            for slot in self.said.poses[sample["sample_id"]]
            if slot.key.variant == variant and slot.decisions and slot.decisions[-1].action == "reject"
        }
        found = {}
        for name, tracks, skeleton in (
            ("pose", truth, self.skeletons["pose"]),
            (PREDICTED + "pose", guess, self.skeletons[PREDICTED + "pose"]),
        ):
            own = said if name == "pose" else []
            if skeleton is not None and (tracks or own):
                gone = refused if tracks is (truth or guess) else set()
                found[name] = _Lazy(name, sample["sample_id"], tracks, skeleton, (width, height), own, gone, fit)
        return found

    def _pose_error(self, truth: Sequence[Track], guess: Sequence[Track]) -> float | None:
        true, guessed = self.skeletons["pose"], self.skeletons[PREDICTED + "pose"]
        if not truth or not guess or true is None or guessed is None:
            return None
        return pose_error(truth[0], guess[0], (true, guessed))

    # --- doubts, findings, decisions -----------------------------------------------------------------------------

    def _doubt_fields(self, sample: Doc, variant: str, labels: Sequence[Label], error: float | None) -> Doc:
        sample_id = sample["sample_id"]
        doubts = self.said.doubts(sample_id, variant)
        clip_s = None if sample["kind"] == "image" else float(sample["frames"] or 0) / float(sample["fps"] or 1)
        differing = [one for one in disagreements(labels, clip_s) if one.size >= LOW_IOU or "overlaps" not in one.words]
        if error is not None and error >= POSE_OFF:
            words = f"pose against truth: joints lie {error:.0%} of the person's size away"
            differing.append(Disagreement("pose against truth", min(error, 1.0), words))
        scores = [label.score for label in labels if label.score is not None]
        findings = self.findings.get(sample_id, [])
        said = [d for d in self.said.decisions[sample_id] if (d.target.get("variant") or "") in ("", variant)]
        stale = self.said.stale(sample_id, variant)
        tags = {row["code"] for row in findings} | ({LEAK} if sample_id in self.leaks else set())
        tags |= {LEAK for row in findings if "different sides" in row["sentence"]}
        tags |= ({STALE} if stale else set()) | ({DECIDED} if said else set())
        return {
            "tags": sorted(tags),
            "doubt": doubts[0].chance if doubts else None,
            "why": list(dict.fromkeys(one.words for one in doubts))[:_REASONS],
            "confidence": min(scores) if scores else None,
            "disagreement": max((one.size for one in differing), default=None),
            "disagrees": sorted({one.who for one in differing}),
            "differences": list(dict.fromkeys(one.words for one in differing))[:_REASONS],
            "pose_error": error,
            "findings": {"_cls": "Classifications", "classifications": [finding(row) for row in findings]},
            "decisions": [told(one) for one in said],
            "reviewers": sorted({one.reviewer for one in said}),
            "decided": len(said),
            "stale": stale,
        }


@dataclass(frozen=True)
class _Lazy:
    """One field of joints: its arrays, and when called, frame → people as FiftyOne stores them."""

    name: str
    sample_id: str
    tracks: Sequence[Track]
    skeleton: str
    size: tuple[float, float]
    said: Sequence[Label]
    refused: "set[tuple[int, int]]"
    fit: Fit | None = None

    def __call__(self) -> dict[int, list[Doc]]:
        found = keypoints_by_frame(self.name, self.sample_id, self.tracks, self.skeleton, *self.size)
        for frame, person in self.refused:
            found[frame] = [one for one in found.get(frame, []) if one["index"] != person]
        for label in self.said:
            frame, person = int(label.target["frame"]), int(label.target.get("person") or 0)
            joints = joints_of_value(_fitted(label.value, self.fit), self.skeleton, *self.size)
            points, confidence = joints.pop("points"), joints.pop("confidence")
            about = {"origin": label.origin, "tier": label.tier, "reviewer": label.reviewer, **joints}
            mine = {**keypoint("", points, confidence, person, about), "_id": label.id}
            found[frame] = [one for one in found.get(frame, []) if one["index"] != person] + [mine]
        return found

    def parts(self) -> Iterator[bytes]:
        """What it is made of, for a digest."""
        yield canonical_json([self.name, self.skeleton, self.size, sorted(self.refused)]).encode()
        for track in self.tracks:
            for array in (track.frame, track.xy_px, track.visibility, track.hidden):
                yield array.tobytes()
        for label in self.said:
            yield canonical_json([label.id, label.value, label.tier]).encode()


def _fitted(value: Doc, fit: Fit | None) -> Doc:
    """The ledger's value of a pose, its joints in the picture's pixels."""
    if fit is None or not value["joints"]:
        return value
    names = list(value["joints"])
    placed = fit(np.array([value["joints"][name][:2] for name in names], np.float32)).tolist()
    return {**value, "joints": {name: [*at, value["joints"][name][2]] for name, at in zip(names, placed, strict=True)}}


def sample_key(sample_id: str, variant: str) -> str:
    """A sample's id in FiftyOne: the same in every database."""
    return sha256_bytes(f"{sample_id}|{variant}".encode())[:24]


def _with_id(one: Doc) -> Doc:
    return {**one, "_id": ObjectId(one["_id"])}


def _sealed(doc: Doc, frames: str, make: Frames | None) -> Entry:
    doc = {key: value for key, value in doc.items() if value is not None}
    doc["_rand"] = int(str(doc["_id"])[:8], 16) / 2**32
    digest = sha256_bytes(f"{_LAYOUT}|{frames}".encode() + encode(doc))

    def whole() -> Doc:
        cuts = {
            name: {**doc[name], "detections": [cut(one) for one in doc[name]["detections"]]}
            for name in ("masks", PREDICTED + "masks", FINAL + "masks")
            if name in doc
        }
        return {**doc, **cuts, "digest": digest}

    return Entry(doc["_id"], digest, whole, make)


def _frame_docs(people: "Mapping[str, _Lazy]", angles: Mapping[int, Mapping[str, float]]) -> list[Doc]:
    frames: dict[int, Doc] = {}
    for name, lazy in people.items():
        for frame, keypoints in lazy().items():
            one = {"_cls": "Keypoints", "keypoints": [_with_id(keypoint) for keypoint in keypoints]}
            frames.setdefault(frame, {})[name] = one
    for frame, values in angles.items():
        frames.setdefault(frame, {})["angles"] = {"_cls": "DynamicEmbeddedDocument", **values}
    return [{"frame_number": frame + 1, **frames[frame]} for frame in sorted(frames)]


def _digest_of_frames(people: Mapping[str, _Lazy], angles: Any) -> str:
    parts = [part for name in sorted(people) for part in people[name].parts()]
    return sha256_bytes(b"|".join([*parts, repr(sorted((angles or {}).items())).encode()]))


def _folds(project: Project, source: str) -> dict[str, str]:
    path = project.split(source) / "split.parquet"
    rows = read_rows(path, "split", ["sample_id", "fold"]) if path.is_file() else []
    return {row["sample_id"]: row["fold"] for row in rows}


def _findings(project: Project, source: str) -> dict[str, list[Doc]]:
    """Sample → findings of `repset check`; a pair's stands with both."""
    path = project.checks(source) / "findings.parquet"
    found: dict[str, list[Doc]] = {}
    for row in read_rows(path, "findings") if path.is_file() else ():
        for sample_id in {row["sample_id"], row["other_id"]} - {None}:
            found.setdefault(sample_id, []).append(row)
    return found


def source_findings(project: Project, source: str) -> list[str]:
    """Sentences of findings that name no sample."""
    path = project.checks(source) / "findings.parquet"
    rows = read_rows(path, "findings", ["sample_id", "sentence"]) if path.is_file() else []
    return [row["sentence"] for row in rows if row["sample_id"] is None]
