"""What people are shown in Label Studio: a source's pictures or clips with the labels that hold on them now."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repset.curate.decision import Decision
from repset.curate.gather import gather
from repset.curate.ledger import Ledger
from repset.curate.merge import merge_slots
from repset.curate.pose_labels import pose_label
from repset.curate.pose_labels import pose_value as pose_value  # what shows poses imports it from here
from repset.curate.queue import build_queue
from repset.curate.slots import PROPOSED, Row, Slot
from repset.curate.targets import BACKGROUND, as_dict, interval_of
from repset.errors import DataError, RepsetError
from repset.exercises import NAMES, NONE
from repset.project import Project
from repset.records import canonical_json, read_rows, sha256_bytes
from repset.review import media
from repset.review.ls_config import Screen
from repset.review.ls_tasks import Item, Shown, mask_of_png
from repset.review.probes import judged_places, share_of, with_probe
from repset.video import FrameStore

KINDS = ("image", "frame", "clip")
"""Photos of a source, single frames of its clips, or its clips."""


@dataclass(frozen=True)
class Selection:
    """Items and how to get at them.

    Attributes:
        items: sorted by key, or as `repset queue` has them. screen: what their tasks can hold.
        media: key → what makes (once) and returns the file to be served.
        version: of what is shown: a model's name and hash, or a hash over all origins; "none" where nothing is.
        pngs: SHA-256 → the PNG a mask was stored as, so that an accept keeps its bytes.
    """

    items: list[Item]
    screen: Screen
    media: dict[str, Callable[[], Path]]
    version: str
    pngs: dict[str, bytes]


def kind_of(project: Project, source: str) -> str:
    """`image` for a source of photos, `clip` for one of clips or poses."""
    samples = read_rows(project.index(source) / "samples.parquet", "samples", ["kind"])
    return "image" if samples and all(row["kind"] == "image" for row in samples) else "clip"


def select(
    project: Project,
    source: str,
    kind: str,
    *,
    proposals: bool = False,
    frames: int = 3,
    blank_share: float = 0.0,
    probe_share: float = 0.0,
    queue: bool = False,
) -> Selection:
    """The items of a source.

    Args:
        kind: image | frame | clip.
        proposals: show what models propose where they do, in place of the label that holds.
        frames: of each clip, evenly spread, for kind frame.
        blank_share: of the items go out without labels, chosen by hash of the sample id.
        probe_share: of the items show one label wrong on purpose (repset.review.probes), until they are answered.
        queue: in the order of `repset queue`, in place of that of the keys.
    Raises: RepsetError where the source has nothing of this kind.
    """
    rows = read_rows(project.index(source) / "samples.parquet", "samples")
    samples = {row["sample_id"]: row for row in rows if (row["kind"] == "image") == (kind == "image")}
    if not samples:
        raise RepsetError(f"{source}: expected samples of kind {kind}, found none. Choose another kind or source.")
    builder = _Builder(project, source, kind, samples, proposals, frames, blank_share, probe_share)
    items = sorted(builder.items(), key=lambda item: item.key)
    items = _queued(project, source, items) if queue else items
    return Selection(items, builder.screen(items), builder.media, _version(builder.origins), builder.pngs)


def _queued(project: Project, source: str, items: Sequence[Item]) -> list[Item]:
    """Items by the best place of a label of theirs in the queue; those with none last, as they were."""
    places: dict[tuple[str, str], int] = {}
    for one in build_queue(project, [source]):
        places.setdefault((one.sample_id, str(one.target.get("variant") or "")), one.place)
    last = max(places.values(), default=0) + 1

    def place(item: Item) -> int:
        return min(places.get((item.sample_id, variant), last) for variant in {item.variant, ""})

    return sorted(items, key=place)


def _version(origins: set[tuple[str, str]]) -> str:
    if not origins:
        return "none"
    if len(origins) == 1:
        ((origin, digest),) = origins
        return f"{origin}@{digest[:12]}" if digest else origin
    return f"labels@{sha256_bytes(canonical_json(sorted(origins)).encode())[:12]}"


class _Builder:
    def __init__(
        self,
        project: Project,
        source: str,
        kind: str,
        samples: Mapping[str, Row],
        proposals: bool,
        frames: int,
        blank_share: float,
        probe_share: float,
    ) -> None:
        self.project, self.source, self.kind, self.samples = project, source, kind, samples
        self.proposals, self.frames, self.blank_share, self.probe_share = proposals, frames, blank_share, probe_share
        self.media: dict[str, Callable[[], Path]] = {}
        self.pngs: dict[str, bytes] = {}
        self.origins: set[tuple[str, str]] = set()
        self.store = FrameStore(project.index(source))
        self.decisions = [d for d in Ledger(project.reviews).read() if d.sample_id.split("/", 1)[0] == source]
        self.judged = judged_places(self.decisions)
        self.scores = _scores(project, source)
        self.slots = {task: self._slots(task) for task in ("muscle_mask", "exercise", "form")}
        self.skeleton, self.poses = self._poses()

    def _slots(self, task: str) -> dict[str, list[Slot]]:
        """Sample → what was said of each of its targets."""
        if task == "muscle_mask" and self.kind != "image":
            return {}
        rows = gather(self.project, task, self.source, automatic=True).rows
        found: dict[str, list[Slot]] = defaultdict(list)
        for slot in merge_slots(rows, self.decisions, task)[0]:
            if slot.key.label != BACKGROUND and slot.key.sample_id in self.samples:
                found[slot.key.sample_id].append(slot)
        return found

    def _poses(self) -> tuple[str | None, dict[tuple[str, int], list[Row]]]:
        """The skeleton and, by sample and frame, its rows; the set's own joints before estimated ones."""
        if self.kind == "clip":
            return None, {}
        for folder in (self.project.index(self.source), self.project.labels(self.source)):
            path = folder / "poses.parquet"
            rows: list[Row] = []
            if path.is_file():
                chosen = [("sample_id", "in", sorted(self.samples)), ("frame", "in", sorted(self._all_frames()))]
                rows = read_rows(path, "poses", filters=chosen)
            if rows:
                found: dict[tuple[str, int], list[Row]] = defaultdict(list)
                for row in rows:
                    if row["skeleton"] == rows[0]["skeleton"]:
                        found[row["sample_id"], row["frame"]].append(row)
                return str(rows[0]["skeleton"]), found
        return None, {}

    def _all_frames(self) -> set[int]:
        return {frame for row in self.samples.values() for frame in self._frames_of(row)}

    def _frames_of(self, sample: Row) -> list[int]:
        count = int(sample["frames"] or 1)
        if self.kind == "image":
            return [0]
        return sorted({int((n + 0.5) * count / self.frames) for n in range(self.frames)})

    def items(self) -> Iterable[Item]:
        """Every item of the kind; their media is made later."""
        for sample_id, sample in sorted(self.samples.items()):
            if self.kind == "clip":
                yield self._clip(sample)
                continue
            stored = self.store.rows(sample_id)
            for row in stored if self.kind == "image" else self._chosen(sample, stored):
                yield self._picture(sample, row)

    def _chosen(self, sample: Row, stored: Sequence[Row]) -> Iterable[Row]:
        frames = self._frames_of(sample)
        if not stored:
            todo = "Send its clips: --kind clip"
            raise DataError(sample["sample_id"], "stored frames", "a video or poses alone", todo)
        return [row for row in stored if row["frame"] in frames]

    def _picture(self, sample: Row, row: Row) -> Item:
        sample_id, variant, frame = sample["sample_id"], row["variant"] or "", int(row["frame"])
        width, height = int(sample["width"]), int(sample["height"])
        masks = [s for s in self.slots["muscle_mask"].get(sample_id, ()) if s.key.variant == variant]
        shown = [*self._shown(masks), *self._pose(sample_id, variant, frame)]
        about: dict[str, Any] = {}
        for task in ("exercise", "form"):
            covering = self._covering(task, sample, frame)
            shown += self._shown(covering)
            about[task] = self._asked(task, sample, frame)
        item = self._item(sample, shown, width=width, height=height, variant=variant, frame=frame, about=about,
                          media_sha256=row["sha256"], skeleton=self.skeleton)  # fmt: skip
        self.media[item.key] = lambda: media.picture(self.project, self.source, row, self.store)
        return item

    def _covering(self, task: str, sample: Row, frame: int) -> list[Slot]:
        """The one label of a task that speaks of this picture: of its frame, its stretch, or its whole clip."""
        slots = self.slots[task].get(sample["sample_id"], [])
        at = (frame + 0.5) / sample["fps"] if sample["fps"] else None
        mine = [s for s in slots if s.key.frame == frame]
        mine += [s for s in slots if s.interval and at is not None and s.interval[0] <= at < s.interval[1]]
        mine += [s for s in slots if s.interval is None and s.key.frame == -1]
        return [slot for slot in mine if self._label(slot) is not None][:1]

    def _asked(self, task: str, sample: Row, frame: int) -> dict[str, Any]:
        """What an answer speaks of where nothing is shown."""
        if task == "exercise" and self.kind == "frame":
            return {"interval_s": None}
        target: dict[str, Any] = {"frame": frame, "interval_s": None, "person": 0}
        return {**target, "frames": [frame, frame + 1]} if self.kind == "frame" else target

    def _clip(self, sample: Row) -> Item:
        sample_id = sample["sample_id"]
        reps = [slot for slot in self.slots["form"].get(sample_id, ()) if slot.interval is not None]
        whole = [slot for slot in self.slots["exercise"].get(sample_id, ()) if slot.interval is None]
        shown = [*self._shown(reps, sample), *self._shown(whole[:1])]
        about = {} if self.slots["exercise"].get(sample_id) and not whole else {"exercise": {"interval_s": None}}
        size = {"width": int(sample["width"] or 0), "height": int(sample["height"] or 0)}
        item = self._item(sample, shown, **size, frames=int(sample["frames"]), fps=float(sample["fps"] or 0),
                          about=about, media_sha256=sample["media_sha256"])  # fmt: skip
        self.media[item.key] = lambda: media.clip(self.project, self.source, dict(sample), self.store)
        return item

    def _item(self, sample: Row, shown: list[Shown], **more: Any) -> Item:
        blank = share_of("blank", sample["sample_id"]) < self.blank_share
        place = (sample["sample_id"], more.get("variant") or "", more.get("frame") or 0)
        if not blank and place not in self.judged:
            shown = with_probe(shown, place, self.probe_share)
        return Item(
            "clip" if self.kind == "clip" else "image",
            sample["sample_id"],
            sample_sha256=sample["media_sha256"],
            shown=() if blank else tuple(sorted(shown, key=_in_time)),
            blank=blank,
            **more,
        )

    def _label(self, slot: Slot) -> Row | None:
        """What to show of a slot: the label that holds, or what is proposed where nobody said anything else."""
        proposed = next((row for row in slot.candidates if row["tier"] == PROPOSED), None)
        if slot.decisions or not self.proposals:
            return slot.row if slot.row is not None or slot.note != "only proposed" else proposed
        return proposed or slot.row

    def _shown(self, slots: Sequence[Slot], sample: Row | None = None) -> Iterable[Shown]:
        for slot in slots:
            row = self._label(slot)
            if row is None:
                continue
            target, blob = as_dict(row["target"]), row["blob"]
            if sample is not None and target.get("frames") is None:
                target["frames"] = _frames(interval_of(target), sample)
            digest = sha256_bytes(blob if blob is not None else str(row["value"]).encode())
            if blob is not None:
                self.pngs[digest] = blob
            self.origins.add((row["origin"], row["origin_hash"] or ""))
            yield Shown(
                row["task"],
                target,
                value=None if row["value"] is None else json.loads(row["value"]),
                mask=None if blob is None else mask_of_png(blob),
                origin=row["origin"],
                origin_hash=row["origin_hash"],
                value_hash=digest,
                score=self.scores.get((row["sample_id"], row["target"], row["origin_hash"])),
            )

    def _pose(self, sample_id: str, variant: str, frame: int) -> Iterable[Shown]:
        rows, sample = self.poses.get((sample_id, frame), ()), self.samples[sample_id]
        said = _said(self.decisions, sample_id, variant, frame, [pose_label(row, sample, variant) for row in rows])
        for row in rows:
            person = int(row["person"] or 0)
            target = {"frame": frame, "person": person, "variant": variant}
            value, origin = pose_value(row, int(sample["width"]), int(sample["height"])), str(row["origin"])
            decision = said.pop(person, None)
            if decision is not None:
                if decision.action == "reject":
                    continue
                value, origin = decision.value, "human"
            yield self._pose_shown(target, value, origin)
        for person, decision in sorted(said.items()):
            if decision.action != "reject":
                target = {"frame": frame, "person": person, "variant": variant}
                yield self._pose_shown(target, decision.value, "human")

    def _pose_shown(self, target: dict[str, Any], value: dict[str, Any], origin: str) -> Shown:
        self.origins.add((origin, ""))
        return Shown("pose", target, value, origin=origin, value_hash=sha256_bytes(canonical_json(value).encode()))

    def screen(self, items: Sequence[Item]) -> Screen:
        """Every label that these items can have."""
        people = [int(one.target.get("person") or 0) for item in items for one in item.shown]
        classes = sorted({slot.key.label for slots in self.slots["muscle_mask"].values() for slot in slots})
        words = {one.value for item in items for one in item.shown if one.task == "exercise"}
        return Screen(
            "clip" if self.kind == "clip" else "image",
            tuple(classes),
            (self.skeleton,) if self.skeleton else (),
            (*NAMES, NONE, *sorted(words - {*NAMES, NONE})),
            max(people, default=0) + 1,
        )


def _in_time(one: Shown) -> tuple[Any, ...]:
    return one.task, interval_of(one.target) or (-1.0, -1.0), one.region


def _said(
    decisions: Sequence[Decision], sample_id: str, variant: str, frame: int, there: Sequence[Row]
) -> dict[int, Decision]:
    """Person → the last word on their joints in one picture that still holds.

    Args:
        there: the joints that are shown without it, to tell accepts of others that lay elsewhere.
    """
    mine = [d for d in decisions if d.task == "pose" and d.sample_id == sample_id]
    mine = [d for d in mine if d.target["frame"] == frame and (d.target.get("variant") or "") == variant]
    if not mine:
        return {}
    return {slot.key.person: slot.decisions[-1] for slot in merge_slots(there, mine, "pose")[0] if slot.decisions}


def _frames(interval: tuple[float, float] | None, sample: Row) -> list[int]:
    count = int(sample["frames"])
    if interval is None:
        return [0, count]
    start = min(max(round(interval[0] * sample["fps"]), 0), count - 1)
    return [start, max(min(round(interval[1] * sample["fps"]), count), start + 1)]


def _scores(project: Project, source: str) -> dict[tuple[str, str, str | None], float]:
    """Sample, target and model → score of a proposal."""
    found = {}
    for task in ("muscle_mask", "exercise"):
        path = project.proposals(task, source) / "table.parquet"
        if path.is_file():
            columns = ["sample_id", "target", "origin_hash", "score"]
            for row in read_rows(path, "proposals", columns):
                if row["score"] is not None:
                    found[row["sample_id"], row["target"], row["origin_hash"]] = float(row["score"])
    return found
