"""What a person left in Label Studio, as our labels again: every region checked, since the server checks none."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from repset.curate.decision import VERDICTS
from repset.landmarks import SKELETONS
from repset.records import canonical_json
from repset.review.ls_config import HIDDEN, JOINT, MASK, SEGMENT, STATE, Screen, labels_of, names_of
from repset.review.ls_tasks import Item, Json, Shown, mask_digest
from repset.review.ls_values import Mask, ValueFault, frames_from_range, mask_from_rle, one_choice, pixels

_TAIL_FRAMES = 15  # a browser may count this much more than the clip has: half a second of longer sound at 30/s


@dataclass(frozen=True)
class Got:
    """One label as a person left it; attributes as in Shown. `regions`: ids of the regions that carry it."""

    task: str
    target: Json
    value: Any = None
    mask: Mask | None = field(default=None, repr=False, compare=False)
    regions: tuple[str, ...] = ()


@dataclass
class Answer:
    """What an annotation says.

    Attributes:
        labels: as the person left them, sorted by task and target.
        faults: task → what is wrong, in words; nothing of that task is to be believed.
    """

    labels: list[Got] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def read_answer(results: Any, item: Item, screen: Screen) -> Answer:
    """An annotation's regions as our labels, every one checked.

    Args:
        results: the annotation's `result`, from anywhere.
        screen: the labels there are.
    """
    answer = Answer()
    groups: dict[str, list[Json]] = defaultdict(list)
    for region in results if isinstance(results, list) else [None]:
        name = region.get("from_name") if isinstance(region, dict) else None
        task = _TASK_OF.get(name) if isinstance(name, str) else None
        if task is None or not isinstance(region, dict) or not isinstance(region.get("value"), dict):
            answer.faults["any"].append("a region of no control of ours")
        elif name in (MASK, JOINT, SEGMENT, STATE) and not isinstance(region.get("id"), str):
            answer.faults[task].append("a region without an id")
        else:
            groups[task].append(region)
    for task, regions in sorted(groups.items()):
        try:
            answer.labels += _READERS[task](regions, item, screen, answer.faults[task])
        except ValueFault as fault:
            answer.faults[task].append(str(fault))
    answer.faults = {task: faults for task, faults in answer.faults.items() if faults}
    if "pose" not in answer.faults:
        _carry_outside(answer, item, "pose" in groups)
    answer.labels.sort(key=lambda got: (got.task, canonical_json(got.target)))
    return answer


_TASK_OF = {
    MASK: "muscle_mask", JOINT: "pose", STATE: "pose", SEGMENT: "form", "exercise": "exercise", "form": "form",
}  # fmt: skip


def _check_size(region: Json, item: Item) -> None:
    size = region.get("original_width"), region.get("original_height")
    if size != (item.width, item.height):
        raise ValueFault(f"a region of an image of {size[0]} × {size[1]} on one of {item.width} × {item.height}")


def _read_masks(regions: list[Json], item: Item, screen: Screen, faults: list[str]) -> list[Got]:
    """One mask a class and person: several regions of one class are united."""
    found: dict[str, list[tuple[str, Mask]]] = defaultdict(list)
    shown = {one.region for one in item.shown}
    for region in regions:
        value = region["value"]
        label = one_choice(value.get("brushlabels"), labels_of(screen.classes, screen))
        _check_size(region, item)
        if value.get("format") != "rle":
            raise ValueFault(f"a brush of format {str(value.get('format'))[:20]!r}")
        mask = mask_from_rle(value.get("rle"), item.width, item.height)
        if not mask.any() and region["id"] not in shown:
            faults.append(f"an empty region of {label}")
        found[label].append((region["id"], mask))
    return [
        Got(
            "muscle_mask",
            {"class": names_of(label)[0], "person": names_of(label)[1], "variant": item.variant},
            mask=np.logical_or.reduce([mask for _, mask in parts]),
            regions=tuple(sorted(region for region, _ in parts)),
        )
        for label, parts in found.items()
    ]


def _read_poses(regions: list[Json], item: Item, screen: Screen, _faults: list[str]) -> list[Got]:
    """One pose a person: its points, each with its state."""
    hidden = set()
    for region in (one for one in regions if one["from_name"] == STATE):
        one_choice(region["value"].get("choices"), (HIDDEN,))
        hidden.add(region["id"])
    poses: dict[int, Json] = defaultdict(dict)
    ids: dict[int, list[str]] = defaultdict(list)
    for region in (one for one in regions if one["from_name"] == JOINT):
        value = region["value"]
        label = one_choice(value.get("keypointlabels"), labels_of(screen.joints, screen))
        _check_size(region, item)
        joint, person = names_of(label)
        if joint in poses[person]:
            raise ValueFault(f"two points for {label}")
        x, y = pixels(value.get("x"), value.get("y"), item.width, item.height)
        poses[person][joint] = [x, y, "occluded" if region["id"] in hidden else "labelled"]
        ids[person].append(region["id"])
    found = []
    for person, joints in poses.items():
        skeleton = next(
            (s.value["skeleton"] for s in _poses(item) if s.target.get("person", 0) == person), item.skeleton
        )
        known = SKELETONS[skeleton].joints if skeleton else ()
        if odd := sorted(set(joints) - set(known)):
            raise ValueFault(f"the joint {odd[0]}, which {skeleton or 'this picture'} does not have")
        target = {"frame": item.frame, "person": person, "variant": item.variant}
        found.append(Got("pose", target, {"skeleton": skeleton, "joints": joints}, regions=tuple(sorted(ids[person]))))
    return found


def _poses(item: Item) -> list[Shown]:
    return [shown for shown in item.shown if shown.task == "pose"]


def _carry_outside(answer: Answer, item: Item, answered: bool) -> None:
    """Joints outside the image were not shown: they stay as they were, and so does a pose of nothing else."""
    got = {one.target["person"]: one for one in answer.labels if one.task == "pose"}
    for shown in _poses(item):
        person = int(shown.target.get("person") or 0)
        outside = {name: list(at) for name, at in shown.value["joints"].items() if at[2] == "outside"}
        if person in got:
            joints = got[person].value["joints"]
            joints |= {name: at for name, at in outside.items() if name not in joints}
        elif len(outside) == len(shown.value["joints"]):
            target = {"frame": item.frame, "person": person, "variant": item.variant}
            answer.labels.append(Got("pose", target, {"skeleton": shown.value["skeleton"], "joints": outside}))


def _read_choice(regions: list[Json], item: Item, screen: Screen, _faults: list[str]) -> list[Got]:
    """The one choice of exercise or form, or the segments of a clip."""
    task = _TASK_OF[regions[0]["from_name"]]
    if item.kind == "clip" and task == "form":
        return [_segment(region, item, screen) for region in regions]
    known = VERDICTS if task == "form" else screen.exercises
    if len(regions) != 1:
        raise ValueFault(f"{len(regions)} answers for {task}")
    value = one_choice(regions[0]["value"].get("choices"), known)
    target = next((one.target for one in item.shown if one.task == task), item.about.get(task))
    if target is None:
        raise ValueFault(f"an answer for {task}, which was not asked")
    return [Got(task, target, value, regions=(str(regions[0].get("id")),))]


def _segment(region: Json, item: Item, screen: Screen) -> Got:
    """One repetition: an untouched one keeps its own seconds, so that nothing is rounded twice."""
    if region["from_name"] != SEGMENT:
        raise ValueFault("a choice where a segment is meant")
    value = region["value"]
    verdict, person = names_of(one_choice(value.get("timelinelabels"), labels_of(VERDICTS, screen)))
    start, end = frames_from_range(value.get("ranges"), item.frames, slack=_TAIL_FRAMES)
    before = next((one for one in item.shown if one.region == region["id"]), None)
    if before is not None and [start, end] == list(before.target["frames"]):
        target = {**before.target, "person": person}
    else:
        assert item.fps
        about: dict[str, Any] = before.target if before is not None else {}
        more: Json = {name: about[name] for name in ("exercise", "rule_id") if name in about}
        interval = [round(start / item.fps, 6), round(end / item.fps, 6)]
        target = {**more, "person": person, "interval_s": interval, "frames": [start, end]}
    return Got("form", target, verdict, regions=(region["id"],))


_READERS = {"muscle_mask": _read_masks, "pose": _read_poses, "exercise": _read_choice, "form": _read_choice}


def shown_masks(predictions: Any, hashes: Mapping[str, str], item: Item) -> dict[str, Mask]:
    """Masks that were shown, by region: from the server's copies, each checked against its hash.

    Args:
        predictions: bodies of predictions that may hold them, the likeliest first.
    """
    found: dict[str, Mask] = {}
    regions: Sequence[Any] = [
        region
        for body in predictions
        if isinstance(body, dict) and isinstance(body.get("result"), list)
        for region in body["result"]
        if isinstance(region, dict) and isinstance(region.get("value"), dict)
    ]
    for region in regions:
        wanted = hashes.get(str(region.get("id")))
        if wanted is None or str(region["id"]) in found:
            continue
        try:
            mask = mask_from_rle(region["value"].get("rle"), item.width, item.height)
        except ValueFault:
            continue
        if mask_digest(mask) == wanted:
            found[str(region["id"])] = mask
    return found
