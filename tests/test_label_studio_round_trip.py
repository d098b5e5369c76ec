"""Labels pushed, edited elsewhere and pulled: all of it comes back, and every fault of a foreign hand is told."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from label_studio_sdk.converter import brush

from repset.landmarks import SKELETONS
from repset.records import canonical_json, sha256_bytes
from repset.review.ls_answers import read_answer, shown_masks
from repset.review.ls_config import Screen
from repset.review.ls_decide import Outcome, outcomes
from repset.review.ls_tasks import Item, Shown, item_of, results_of, task_of
from repset.review.ls_values import (
    ValueFault,
    rle_from_mask,
)

QUIET = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
CLASSES = ("biceps", "calf", "triceps")
MASKS = hnp.arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24)))


@st.composite
def shaped_mask(draw: Any, height: int, width: int) -> np.ndarray:
    """Empty, full, one pixel, a thin line, noise."""
    kind, mask = draw(st.sampled_from(["empty", "full", "pixel", "line", "noise"])), np.zeros((height, width), bool)
    row, column = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    if kind == "full":
        mask[:] = True
    elif kind == "pixel":
        mask[row, column] = True
    elif kind == "line":
        mask[row, :] = True
        mask[:, column] |= draw(st.booleans())
    elif kind == "noise":
        mask = draw(hnp.arrays(np.bool_, (height, width)))
    return mask


# --- push, edit elsewhere, pull --------------------------------------------------------------------------------------


@st.composite
def pictures(draw: Any) -> Item:
    """A picture with masks, joints of 1–33 landmarks, and choices; each of them may be missing."""
    width, height = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    shown = []
    for name in draw(st.sets(st.sampled_from(CLASSES))):
        mask = draw(shaped_mask(height, width))
        shown.append(Shown("muscle_mask", {"class": name, "person": 0, "variant": ""}, mask=mask, origin="model",
                           value_hash=sha256_bytes(mask.tobytes())))  # fmt: skip
    skeleton = draw(st.sampled_from(sorted(SKELETONS)))
    joints = {}
    for joint in draw(st.sets(st.sampled_from(SKELETONS[skeleton].joints), min_size=1)):
        state = draw(st.sampled_from(["labelled", "occluded", "outside"]))
        room = 3.0 if state == "outside" else 1.0
        joints[joint] = [draw(st.floats(0, room * width)), draw(st.floats(0, room * height)), state]
    if draw(st.booleans()):
        target = {"frame": 0, "person": 0, "variant": ""}
        shown.append(Shown("pose", target, {"skeleton": skeleton, "joints": joints}, origin="mediapipe"))
    if draw(st.booleans()):
        shown.append(Shown("exercise", {"interval_s": None}, draw(st.sampled_from(["squat", "none"])), score=0.5))
    if draw(st.booleans()):
        shown.append(Shown("form", {"frame": 0, "interval_s": None}, draw(st.sampled_from(["correct", "unscorable"]))))
    about = {task: {"frame": 0, "interval_s": None} for task in ("exercise", "form")}
    shown.sort(key=lambda one: (one.task, one.region))
    return Item("image", "s/a", width, height, frame=0, skeleton=skeleton, about=about, shown=tuple(shown))


def screen_of(item: Item) -> Screen:
    return Screen(item.kind, CLASSES, (item.skeleton,) if item.skeleton else ())


def sent(item: Item) -> tuple[Item, dict[str, str], Screen, list[dict[str, Any]]]:
    """As the server gives it back: everything went through JSON."""
    task = json.loads(json.dumps(task_of(item, screen_of(item), "/x", "m@1")))
    return *item_of(task["meta"]), task["predictions"][0]["result"]


def judged(
    item: Item, hashes: dict[str, str], screen: Screen, result: Any, shown: Any
) -> tuple[list[Outcome], dict[str, list[str]]]:
    answer = read_answer(json.loads(json.dumps(result)), item, screen)
    masks = shown_masks([{"result": shown}], hashes, item)
    return outcomes(item, hashes, answer, lambda one: masks.get(one.region)), answer.faults


@QUIET
@given(pictures())
def test_untouched_labels_come_back_as_accepts_with_nothing_changed(item: Item) -> None:
    back, hashes, screen, result = sent(item)
    assert [canonical_json([one.task, one.target, one.value]) for one in back.shown] == [
        canonical_json([one.task, one.target, one.value]) for one in item.shown
    ]
    found, faults = judged(back, hashes, screen, result, result)
    assert faults == {}
    assert sorted(one.task for one in found) == sorted(one.task for one in item.shown)
    for one in found:
        assert one.action == "accept"
        assert one.shown is not None
        assert one.got is not None
        truth = next(s for s in item.shown if s.region == one.shown.region)
        if truth.mask is not None:
            assert np.array_equal(one.got.mask, truth.mask)
        elif truth.task == "pose":
            assert {name: at[2] for name, at in one.got.value["joints"].items()} == {
                name: at[2] for name, at in truth.value["joints"].items()
            }
            for name, at in one.got.value["joints"].items():
                assert np.hypot(*(np.array(at[:2]) - truth.value["joints"][name][:2])) <= 1e-6
        else:
            assert one.got.value == truth.value


@QUIET
@given(pictures(), st.data())
def test_what_is_edited_elsewhere_comes_back_as_it_was_edited(item: Item, data: st.DataObject) -> None:
    """Masks are redrawn with Label Studio's own encoder, points moved, hidden, removed, choices changed."""
    back, hashes, screen, shown = sent(item)
    result = json.loads(json.dumps(shown))
    masks: dict[str, np.ndarray] = {}
    for region in result:
        if region["type"] == "brushlabels" and data.draw(st.booleans()):
            mask = data.draw(shaped_mask(item.height, item.width))
            region["value"]["rle"] = brush.mask2rle((mask * 255).astype(np.uint8))
            masks[region["value"]["brushlabels"][0]] = mask
    joints = {}
    for region in [one for one in result if one["type"] == "keypointlabels"]:
        joint, what = (
            region["value"]["keypointlabels"][0],
            data.draw(st.sampled_from(["keep", "move", "remove", "hide"])),
        )
        states = [one for one in result if one["id"] == region["id"] and one["type"] == "choices"]
        if what == "move":
            x, y = data.draw(st.floats(0, 100)), data.draw(st.floats(0, 100))
            region["value"] |= {"x": x, "y": y}
        if what == "remove":
            result = [one for one in result if one["id"] != region["id"]]
            continue
        if what == "hide" and not states:
            hidden = {"id": region["id"], "from_name": "joint_state", "to_name": "image", "type": "choices",
                      "value": {"choices": ["occluded"]}}  # fmt: skip
            result.append(hidden)
            states = [hidden]
        value = region["value"]
        place = [value["x"] / 100 * item.width, value["y"] / 100 * item.height]
        joints[joint] = [*place, "occluded" if states else "labelled"]
    found, faults = judged(back, hashes, screen, result, shown)
    assert faults == {}
    by_task = {(one.task, (one.shown or one.got).target.get("class")): one for one in found}  # type: ignore[union-attr]
    for name, mask in masks.items():
        one, old = by_task["muscle_mask", name], next(s.mask for s in item.shown if s.target.get("class") == name)
        assert old is not None
        same, gone = np.array_equal(mask, old), not mask.any()
        assert one.action == ("accept" if same else "reject" if gone else "edit")
        if one.action == "edit":
            assert np.array_equal(one.got.mask, mask)  # type: ignore[union-attr]
            assert one.iou == pytest.approx((mask & old).sum() / (mask | old).sum())
    pose = next((s for s in item.shown if s.task == "pose"), None)
    if pose is not None:
        outside = {name: at for name, at in pose.value["joints"].items() if at[2] == "outside"}
        one, wanted = by_task["pose", None], joints | outside
        if not joints and len(outside) < len(pose.value["joints"]):
            assert one.action == "reject"
        else:
            assert one.got is not None
            assert {k: v[2] for k, v in one.got.value["joints"].items()} == {k: v[2] for k, v in wanted.items()}
            for name, at in one.got.value["joints"].items():
                assert np.hypot(*(np.array(at[:2]) - wanted[name][:2])) <= 1e-6


@st.composite
def segment_lists(draw: Any, frames: int) -> list[tuple[int, int, str]]:
    cuts = sorted(draw(st.sets(st.integers(0, frames), min_size=2, max_size=8)))
    verdicts = st.sampled_from(["correct", "incorrect", "unscorable"])
    return [(a, b, draw(verdicts)) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]


@QUIET
@given(segment_lists(200), segment_lists(200), st.floats(5, 60))
def test_repetitions_come_back_with_their_frames_and_verdicts(
    before: list[tuple[int, int, str]], added: list[tuple[int, int, str]], fps: float
) -> None:
    """Shown segments stay, new ones come in wherever they lie; every one comes back once, to the frame."""
    shown = tuple(
        Shown("form", {"person": 0, "interval_s": [a / fps, b / fps], "frames": [a, b], "exercise": "squat"}, verdict)
        for a, b, verdict in before
    )
    item = Item("clip", "s/a", 0, 0, frames=200, fps=fps, shown=shown)
    back, hashes, screen, result = sent(item)
    more = [
        {"id": f"new{n}", "from_name": "repetition", "to_name": "video", "type": "timelinelabels",
         "value": {"ranges": [{"start": a + 1, "end": b}], "timelinelabels": [verdict]}}
        for n, (a, b, verdict) in enumerate(added)
    ]  # fmt: skip
    found, faults = judged(back, hashes, screen, [*result, *more], result)
    assert faults == {}
    assert sorted(one.action for one in found) == ["accept"] * len(before) + ["new"] * len(added)
    for action, wanted in (("accept", before), ("new", added)):
        mine = [one.got for one in found if one.action == action]
        assert sorted((*g.target["frames"], g.value) for g in mine if g) == sorted(wanted)
    for one in found:
        if one.action == "accept":
            assert one.got.target == one.shown.target  # type: ignore[union-attr]


def rep(start: int, end: int, verdict: str = "correct") -> Shown:
    return Shown("form", {"person": 0, "interval_s": [start / 10, end / 10], "frames": [start, end]}, verdict)


@pytest.mark.parametrize(
    ("start", "end", "verdict", "expected"),
    [
        (10, 20, "correct", [("accept", [1.0, 2.0], None)]),
        (10, 20, "incorrect", [("edit", [1.0, 2.0], 1.0)]),
        (11, 20, "correct", [("edit", [1.1, 2.0], 0.9)]),
        (30, 40, "correct", [("reject", [1.0, 2.0], None), ("new", [3.0, 4.0], None)]),  # another stretch altogether
    ],
)
def test_a_moved_segment(start: int, end: int, verdict: str, expected: list[Any]) -> None:
    back, hashes, screen, result = sent(Item("clip", "s/a", 0, 0, frames=100, fps=10.0, shown=(rep(10, 20),)))
    result[0]["value"] = {"ranges": [{"start": start + 1, "end": end}], "timelinelabels": [verdict]}
    found, faults = judged(back, hashes, screen, result, [])
    said = [(one.action, (one.got or one.shown).target["interval_s"], one.iou and round(one.iou, 9)) for one in found]  # type: ignore[union-attr]
    assert faults == {}
    assert said == expected


# --- faults of a foreign hand ----------------------------------------------------------------------------------------


def picture() -> Item:
    mask = np.zeros((6, 8), bool)
    mask[2:4, 2:5] = True
    pose = {"skeleton": "penn_13", "joints": {"head": [1.0, 2.0, "labelled"], "left_knee": [3.0, 4.0, "occluded"]}}
    shown = (
        Shown("exercise", {"interval_s": None}, "squat"),
        Shown("muscle_mask", {"class": "calf", "person": 0, "variant": ""}, mask=mask),
        Shown("pose", {"frame": 0, "person": 0, "variant": ""}, pose),
    )
    return Item("image", "s/a", 8, 6, frame=0, skeleton="penn_13", about={"form": {"frame": 0}}, shown=shown)


def changed(kind: str, **value: Any) -> Callable[[list[dict[str, Any]]], None]:
    def change(result: list[dict[str, Any]]) -> None:
        region = next(one for one in result if one["type"] == kind)
        region["value"] |= {k: v for k, v in value.items() if not k.startswith("original")}
        region |= {k: v for k, v in value.items() if k.startswith("original")}

    return change


@pytest.mark.parametrize(
    ("change", "task", "said"),
    [
        (changed("brushlabels", brushlabels=["quads"]), "muscle_mask", "the unknown label 'quads'"),
        (changed("brushlabels", original_width=9), "muscle_mask", "a region of an image of 9 × 6 on one of 8 × 6"),
        (changed("brushlabels", original_height=0), "muscle_mask", "a region of an image of 8 × 0 on one of 8 × 6"),
        (changed("brushlabels", rle=[1]), "muscle_mask", "a brush that breaks off"),
        (changed("brushlabels", format="png"), "muscle_mask", "a brush of format 'png'"),
        (changed("keypointlabels", x=101.0), "pose", "a point at 101 %, 33.3333 %, outside the image"),
        (changed("keypointlabels", keypointlabels=["left_knee"]), "pose", "two points for left_knee"),
        (changed("keypointlabels", keypointlabels=["nose"]), "pose", "the unknown label 'nose'"),
        (lambda r: r.append({**r[0]}), "exercise", "2 answers for exercise"),
        (lambda r: r.append({"from_name": "other", "value": {}}), "any", "a region of no control of ours"),
        (lambda r: r.append(None), "any", "a region of no control of ours"),
        (
            lambda r: r.append({**next(x for x in r if x["type"] == "brushlabels"), "id": "n", "value": {
                "format": "rle", "brushlabels": ["biceps"], "rle": rle_from_mask(np.zeros((6, 8), bool))}}),
            "muscle_mask", "an empty region of biceps",
        ),
    ],
)  # fmt: skip
def test_an_answer_with_a_fault_decides_nothing_of_that_task(change: Any, task: str, said: str) -> None:
    back, hashes, screen, result = sent(picture())
    shown = json.loads(json.dumps(result))
    change(result)
    found, faults = judged(back, hashes, screen, result, shown)
    assert faults == {task: [said]}
    others = {"exercise", "muscle_mask", "pose"} - {task} if task != "any" else set()
    assert {(one.task, one.action) for one in found} == {(name, "accept") for name in others}


def test_a_record_of_what_was_shown_cannot_be_changed() -> None:
    meta = task_of(picture(), screen_of(picture()), "/x", "m@1")["meta"]
    meta["repset"]["shown"][0]["origin"] = "human"
    for odd, said in (
        (meta, "a record of what was shown that was changed"),
        ({}, "a task that repset did not send"),
        (None, "a task that repset did not send"),
    ):
        with pytest.raises(ValueFault) as fault:
            item_of(odd)
        assert str(fault.value) == said


def test_a_mask_of_the_servers_is_believed_only_with_its_hash() -> None:
    item = picture()
    back, hashes, _, result = sent(item)
    region = next(one for one in result if one["type"] == "brushlabels")
    assert list(shown_masks([{"result": [region]}], hashes, back)) == [region["id"]]
    region["value"]["rle"] = rle_from_mask(np.ones((6, 8), bool))
    assert shown_masks([None, {"result": [region, 3]}], hashes, back) == {}


def test_two_regions_of_one_class_are_one_mask() -> None:
    back, hashes, screen, result = sent(picture())
    region = json.loads(json.dumps(next(one for one in result if one["type"] == "brushlabels")))
    extra = np.zeros((6, 8), bool)
    extra[0, 0] = True
    region |= {"id": "mine", "value": {**region["value"], "rle": rle_from_mask(extra)}}
    found, _ = judged(back, hashes, screen, [*result, region], result)
    edit = next(one for one in found if one.task == "muscle_mask")
    assert edit.action == "edit"
    assert edit.got is not None
    assert np.array_equal(edit.got.mask, picture().shown[1].mask | extra)  # type: ignore[operator]
    assert edit.iou == pytest.approx(6 / 7)


def test_results_carry_scores_and_regions_keep_their_names() -> None:
    item = Item("image", "s/a", 8, 6, frame=0, shown=(Shown("exercise", {"interval_s": None}, "squat", score=0.25),))
    task = task_of(item, screen_of(item), "/x", "m@1")
    assert task["predictions"][0]["score"] == 0.25
    assert results_of(item)[0]["id"] == item.shown[0].region == "exercise-" + sha256_bytes(b'{"interval_s":null}')[:12]
