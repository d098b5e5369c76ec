"""Labels wrong on purpose: what they look like, that none is merged, and that the true one goes out again."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import label_studio_stub as stub
import label_studio_world as world
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repset.curate.build import build_curated
from repset.curate.decision import Decision
from repset.curate.ledger import Ledger
from repset.curate.queue import build_queue
from repset.curate.review_worth import Timed, outcomes, probed, timed_tasks
from repset.project import Project
from repset.records import sha256_bytes
from repset.review.ls_tasks import Item, Shown
from repset.review.ls_values import mask_from_rle
from repset.review.probes import judged_places, share_of, shifted, with_probe
from repset.review.rep_queue import Desk, Repetition, repetitions


@pytest.fixture
def there() -> Iterator[Any]:
    with stub.stub() as server:
        yield server


@pytest.fixture
def here(tmp_path: Path) -> Project:
    project: Project = world.project_at(tmp_path)
    world.photos(project, 8)
    return project


def masks_of(task: dict[str, Any]) -> dict[str, np.ndarray]:
    return {one["value"]["brushlabels"][0]: mask_from_rle(one["value"]["rle"], 64, 48) for one in world.shown(task)}


def wrong_of(task: dict[str, Any]) -> list[str]:
    """Classes whose mask on screen is not the one of the set."""
    number = int(task["data"]["sample_id"][-3:])
    truth = {name: world.blob_mask(3 * number + k) for k, name in enumerate(world.CLASSES)}
    return [name for name, mask in masks_of(task).items() if not np.array_equal(mask, truth[name])]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 0.999))
def test_a_shifted_mask_is_the_same_shape_elsewhere(seed: int, draw: float) -> None:
    mask = world.blob_mask(seed)
    moved = shifted(mask, draw)
    if moved is None:
        return
    assert (mask & moved).sum() <= 0.5 * (mask | moved).sum()
    assert 0.8 * mask.sum() <= moved.sum() <= mask.sum()


def test_a_mask_without_room_or_pixels_gives_no_probe() -> None:
    assert shifted(np.ones((8, 8), bool), 0.0) is None
    assert shifted(np.zeros((8, 8), bool), 0.0) is None


def pose(apart: float) -> Shown:
    names = ("shoulder", "hip", "knee", "ankle")
    joints = {f"{side}_{name}": [50.0 + apart * sign, 10.0 * row, "labelled"]
              for side, sign in (("left", 1), ("right", -1)) for row, name in enumerate(names)}  # fmt: skip
    return Shown("pose", {"frame": 0, "person": 0}, {"skeleton": "penn_13", "joints": joints}, value_hash="0" * 64)


def test_a_flip_changes_sides_and_is_only_made_where_it_shows() -> None:
    (wrong,) = with_probe([pose(8.0)], ("s/a", "", 0), 1.0)
    assert wrong.probe
    assert wrong.value["joints"]["left_knee"] == [42.0, 20.0, "labelled"]
    assert wrong.value["joints"]["right_knee"] == [58.0, 20.0, "labelled"]
    assert wrong.value_hash != "0" * 64
    (from_the_side,) = with_probe([pose(0.5)], ("s/a", "", 0), 1.0)
    assert not from_the_side.probe
    estimate = Shown("pose", {"frame": 0}, pose(8.0).value, origin="mediapipe")
    assert with_probe([estimate], ("s/a", "", 0), 1.0) == [estimate]  # nobody knows that it is right


def test_the_share_is_kept_and_does_not_depend_on_the_share_of_blank_ones() -> None:
    names = [f"photos/{n:05d}" for n in range(4000)]
    probes = [share_of("probe", f"{name}||0") < 0.05 for name in names]
    blank = [share_of("blank", name) < 0.1 for name in names]
    assert np.mean(probes) == pytest.approx(0.05, abs=0.01)
    assert np.mean(np.logical_and(probes, blank)) == pytest.approx(0.005, abs=0.004)


def test_the_key_of_a_probe_looks_like_any_other() -> None:
    true = Item("image", "s/a", 64, 48, frame=0, media_sha256="ab" * 32, shown=(pose(8.0),))
    flipped = tuple(with_probe([pose(8.0)], ("s/a", "", 0), 1.0))
    wrong = Item("image", "s/a", 64, 48, frame=0, media_sha256="ab" * 32, shown=flipped)
    assert (true.twin, wrong.twin) == (wrong.key, true.key)
    assert true.key == "s/a||0|" + "ab" * 8
    *place, end = wrong.key.split("|")
    assert place == ["s/a", "", "0"]
    assert len(end) == 16
    assert set(end) <= set("0123456789abcdef")


def test_one_mask_is_wrong_then_never_merged_then_the_true_one_is_sent(here: Project, there: Any) -> None:
    done = world.send(here, there, probe_share=1.0)
    assert (done.new, done.probes) == (8, 8)
    tasks = list(there.store.tasks.values())
    assert [len(wrong_of(task)) for task in tasks] == [1] * 8
    assert "probe" not in json.dumps(tasks[0]["data"])
    before = build_curated(here, "muscle_mask", "photos").path.read_bytes()
    for number, task in enumerate(tasks):
        kept = [one for one in world.shown(task) if number < 3 or one["value"]["brushlabels"] != wrong_of(task)]
        there.store.annotate(task["id"], kept)
    world.bring(here, there)
    lines: list[Decision] = world.lines(here)
    assert Counter((d.probe, d.action) for d in lines) == {
        (True, "accept"): 3, (True, "reject"): 5, (False, "accept"): 16,
    }  # fmt: skip
    (found,) = probed(lines)
    assert (found.shown, found.waved, found.owed) == (8, 3, 8)
    after = build_curated(here, "muscle_mask", "photos")
    assert after.report["decisions"]["status"] == {"applied": 16, "probe": 8}
    blobs = [row["blob"] for row in build_rows(after.path)]
    assert sorted(filter(None, blobs)) == sorted(filter(None, (row["blob"] for row in build_rows(before))))
    owed = build_queue(here, ["photos"], ["muscle_mask"])
    assert [one.reason for one in owed] == ["was shown wrong on purpose: the true label is still to be seen"] * 8

    again = world.send(here, there, probe_share=1.0)
    assert (again.new, again.probes) == (8, 0)
    new = [task for task in there.store.tasks.values() if task not in tasks]
    assert [wrong_of(task) for task in new] == [[]] * 8
    for task in new:
        there.store.annotate(task["id"], world.shown(task), at="2026-11-21T15:00:00Z")
    world.bring(here, there)
    assert probed(world.lines(here))[0].owed == 0
    assert build_queue(here, ["photos"], ["muscle_mask"]) == []
    assert world.bring(here, there).written == 0
    assert world.send(here, there, probe_share=1.0).new == 0


def build_rows(table: Path | bytes) -> list[dict[str, Any]]:
    import io

    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(table) if isinstance(table, bytes) else table).to_pylist()
    return rows


def test_a_probe_nobody_began_goes_when_the_true_task_comes_and_the_other_way_round(here: Project, there: Any) -> None:
    world.send(here, there)
    first = next(iter(there.store.tasks.values()))
    there.store.annotate(first["id"], world.shown(first))
    assert world.send(here, there, probe_share=1.0).new == 7  # the one that was begun stays the only one
    assert len(there.store.tasks) == 8
    assert [len(wrong_of(task)) for task in there.store.tasks.values()] == [0] + [1] * 7
    assert world.send(here, there).new == 7
    assert [len(wrong_of(task)) for task in there.store.tasks.values()] == [0] * 8


def test_pictures_that_somebody_judged_get_no_probe() -> None:
    value = {"skeleton": "penn_13", "joints": {}}
    line = Decision("a", "t", "s/a", "pose", {"frame": 3}, "new", value, at="2026-11-20T10:00:00Z")
    assert judged_places([line]) == {("s/a", "", 3)}


def test_answers_on_blank_pictures_say_so_and_the_curated_table_does_not(here: Project, there: Any) -> None:
    world.send(here, there, blank_share=1.0)
    task = world.by_sample(there)["photos/002"]
    verdict = {"id": "q", "from_name": "form", "to_name": "image", "type": "choices", "value": {"choices": ["correct"]}}
    there.store.annotate(task["id"], [verdict])
    world.bring(here, there)
    (line,) = world.lines(here)
    assert line.target["blank"] is True
    assert world.bring(here, there).written == 0


# --- verdicts --------------------------------------------------------------------------------------------------------


def verdict(word: str, origin: str = "dataset") -> Shown:
    target = {"person": 0, "interval_s": [0.0, 1.0], "frames": [0, 10]}
    return Shown("form", target, word, origin=origin, value_hash=sha256_bytes(f'"{word}"'.encode()))


def test_a_verdict_of_the_set_is_turned_and_nothing_else_is() -> None:
    for word, wrong in (("correct", "incorrect"), ("incorrect", "correct")):
        (turned,) = with_probe([verdict(word)], ("s/a", "", 0), 1.0)
        assert (turned.value, turned.probe, turned.target) == (wrong, True, verdict(word).target)
        assert turned.value_hash == sha256_bytes(f'"{wrong}"'.encode())
    for kept in (verdict("unscorable"), verdict("correct", "rule"), verdict("correct", "model")):
        assert with_probe([kept], ("s/a", "", 0), 1.0) == [kept]


def segments(task: dict[str, Any]) -> list[str]:
    """Verdicts of a clip's repetitions as a person sees them, in time."""
    found = [one for one in world.shown(task) if one["type"] == "timelinelabels"]
    found.sort(key=lambda one: one["value"]["ranges"][0]["start"])
    return [one["value"]["timelinelabels"][0] for one in found]


def test_a_clip_shows_one_verdict_turned_then_the_true_one(here: Project, there: Any) -> None:
    world.clips(here)
    truth = ["correct", "incorrect", "unscorable"]
    done = world.send(here, there, "clips", "clip", probe_share=1.0)
    assert (done.new, done.probes) == (2, 2)
    tasks = list(there.store.tasks.values())
    turned = [["incorrect", "incorrect", "unscorable"], ["correct", "correct", "unscorable"]]
    assert all(segments(task) in turned for task in tasks)
    before = build_curated(here, "form", "clips").path.read_bytes()
    there.store.annotate(tasks[0]["id"], world.shown(tasks[0]))
    seen = sorted(world.shown(tasks[1]), key=lambda one: one["value"].get("ranges", [{"start": 999}])[0]["start"])
    for region, word in zip(seen, truth, strict=False):
        region["value"]["timelinelabels"] = [word]
    there.store.annotate(tasks[1]["id"], seen)
    world.bring(here, there, "clips", "clip")
    lines: list[Decision] = world.lines(here)
    assert Counter((d.task, d.probe, d.action) for d in lines) == {
        ("form", True, "accept"): 1, ("form", True, "edit"): 1, ("form", False, "accept"): 4,
        ("exercise", False, "accept"): 2,
    }  # fmt: skip
    (found,) = probed(lines)
    assert (found.task, found.shown, found.waved, found.owed) == ("form", 2, 1, 2)
    after = build_curated(here, "form", "clips")
    assert after.report["decisions"]["status"] == {"applied": 4, "probe": 2}
    assert [row["value"] for row in build_rows(after.path)] == [row["value"] for row in build_rows(before)]
    owed = [one.reason for one in build_queue(here, ["clips"], ["form"])]
    assert owed == ["was shown wrong on purpose: the true label is still to be seen"] * 2

    again = world.send(here, there, "clips", "clip", probe_share=1.0)
    assert (again.new, again.probes) == (2, 0)
    new = [task for task in there.store.tasks.values() if task not in tasks]
    assert [segments(task) for task in new] == [truth, truth]
    for task in new:
        there.store.annotate(task["id"], world.shown(task), at="2026-11-21T15:00:00Z")
    world.bring(here, there, "clips", "clip")
    assert probed(world.lines(here))[0].owed == 0
    assert world.send(here, there, "clips", "clip", probe_share=1.0).new == 0


def press(desk: Desk, one: Repetition, word: str) -> None:
    """A key of the bench."""
    asked = {"id": one.id, "verdict": word, "start": one.start, "end": one.end, "seconds": 3.0}
    desk.decide({**asked, "nonce": f"{one.id}{word}{len(desk.done)}"})


def test_the_bench_shows_a_turned_verdict_without_what_gives_it_away_then_the_true_one(here: Project) -> None:
    world.clips(here)
    plain = repetitions(here, "clips", "anna", "clip")
    found = repetitions(here, "clips", "anna", "clip", probe_share=1.0)
    assert [one.verdict for one in plain] == ["correct", "incorrect", "unscorable"] * 2
    assert [one.verdict for one in found] == ["incorrect", "correct", "unscorable"] * 2
    assert [one.probe for one in found] == [True, True, False] * 2
    assert [one.id for one in found] == [one.id for one in plain]
    assert found[0].why == {"signal": "knee", "view": "side", "message": ""}
    assert found[2] == plain[2]
    ledger = Ledger(here.reviews)
    desk = Desk(ledger, "anna", found)
    press(desk, found[0], "incorrect")  # waved through
    press(desk, found[1], "incorrect")  # noticed: the true verdict
    press(desk, found[2], "unscorable")
    lines = ledger.read()
    assert [(d.action, d.value, d.probe) for d in sorted(lines, key=lambda d: d.target["frames"])] == [
        ("accept", "incorrect", True), ("edit", "incorrect", True), ("accept", "unscorable", False),
    ]  # fmt: skip
    rows = build_rows(build_curated(here, "form", "clips").path)
    first = [row for row in rows if row["sample_id"] == "clips/000"]
    assert [(json.loads(row["value"]), row["tier"]) for row in first] == [
        ("correct", "gold"), ("incorrect", "gold"), ("unscorable", "gold"),
    ]  # fmt: skip
    again = repetitions(here, "clips", "anna", "clip", probe_share=1.0)
    assert [(one.sample["sample_id"][-1], one.verdict, one.probe) for one in again] == [
        ("0", "correct", False), ("0", "incorrect", False),
        ("1", "incorrect", True), ("1", "correct", True), ("1", "unscorable", False),
    ]  # fmt: skip
    assert probed(lines)[0].owed == 2
    press(Desk(ledger, "anna", again), again[0], "correct")
    assert probed(ledger.read())[0].owed == 1


def test_a_reviewer_who_waves_through_three_of_ten_verdicts_is_told_so_and_none_is_merged(here: Project) -> None:
    """Simulated: 240 repetitions of known truth, a third of them turned, a person who looks at seven in ten."""
    rng = np.random.default_rng(12)
    truth = ["correct" if rng.random() < 0.6 else "incorrect" for _ in range(240)]
    samples = [world.sample("gym/000", "clip", 2) | {"exercise": "squat", "frames": 2400}]
    form = [
        {"sample_id": "gym/000", "person": 0, "set": 0, "level": "rep", "rep": n, "start": 10 * n, "end": 10 * n + 9,
         "exercise": "squat", "verdict": word, "origin": "dataset", "rule_set": "truth", "view": "side"}
        for n, word in enumerate(truth)
    ]  # fmt: skip
    world.write(here, "gym", [{**samples[0], "frames": 1}], form=form)
    whole = [dict.fromkeys(world.TABLES["samples"].names) | samples[0]]
    world.write_table(here.index("gym") / "samples.parquet", "samples", whole)
    found = repetitions(here, "gym", "anna", "clip", probe_share=1 / 3)
    shown_wrong = sum(one.probe for one in found)
    assert shown_wrong == pytest.approx(80, abs=20)
    desk = Desk(Ledger(here.reviews), "anna", found)
    waved = 0
    for one in found:
        looks = rng.random() < 0.7
        waved += one.probe and not looks
        press(desk, one, truth[one.start // 10] if looks else one.verdict)
    lines: list[Decision] = world.lines(here)
    (result,) = probed(lines)
    assert (result.shown, result.waved, result.owed) == (shown_wrong, waved, shown_wrong)
    assert result.interval[0] <= 0.3 <= result.interval[1]
    assert all(outcome.judged == n for outcome, n in zip(outcomes(lines), true_counts(truth, found), strict=True))
    rows = sorted(
        build_rows(build_curated(here, "form", "gym").path), key=lambda row: json.loads(row["target"])["frames"]
    )
    assert [json.loads(row["value"]) for row in rows] == truth


def true_counts(truth: list[str], found: list[Repetition]) -> list[int]:
    """Of what was shown as it is, how many correct and how many incorrect."""
    kept = [truth[one.start // 10] for one in found if not one.probe]
    return [kept.count("correct"), kept.count("incorrect")]


# --- blank tasks in which there is nothing to label ------------------------------------------------------------------


def test_a_blank_task_without_a_label_leaves_its_time_and_nothing_else(here: Project, there: Any) -> None:
    world.send(here, there, blank_share=1.0)
    tasks = world.by_sample(there)
    before = build_curated(here, "muscle_mask", "photos").path.read_bytes()
    answer = there.store.annotate(tasks["photos/002"]["id"], [], lead_time=12.5)
    done = world.bring(here, there)
    assert (done.written, done.nothing, done.faults) == (1, 1, [])
    (line,) = world.lines(here)
    assert (line.action, line.task, line.seconds, line.value) == ("nothing", "exercise", 12.5, None)
    assert dict(line.target) == {"interval_s": None, "frame": 0, "blank": True}
    assert timed_tasks([line]) == [Timed("anna", "photos", True, 12.5)]
    assert outcomes([line]) == []
    assert build_rows(build_curated(here, "muscle_mask", "photos").path) == build_rows(before)
    assert world.bring(here, there).written == 0

    verdict = {"id": "q", "from_name": "form", "to_name": "image", "type": "choices", "value": {"choices": ["correct"]}}
    answer |= {"result": [verdict], "updated_at": "2026-11-21T12:00:00Z", "lead_time": 20.0}
    assert world.bring(here, there).written == 1
    assert timed_tasks(world.lines(here)) == [Timed("anna", "photos", True, 20.0)]  # one task, all of its time
    answer |= {"result": [], "updated_at": "2026-11-21T13:00:00Z", "lead_time": 21.0}
    done = world.bring(here, there)
    assert (done.written, done.undone) == (2, 1)
    assert timed_tasks(world.lines(here)) == [Timed("anna", "photos", True, 21.0)]
    assert world.bring(here, there).written == 0


def test_a_clip_too(here: Project, there: Any) -> None:
    world.clips(here)
    world.send(here, there, "clips", "clip", blank_share=1.0)
    for task in list(there.store.tasks.values()):
        there.store.annotate(task["id"], [])
    before = build_rows(build_curated(here, "exercise", "clips").path)
    assert world.bring(here, there, "clips", "clip").nothing == 2
    for line in world.lines(here):
        assert (line.action, line.seconds, dict(line.target)) == ("nothing", 6.0, {"interval_s": None, "blank": True})
    after = build_curated(here, "exercise", "clips")
    assert after.report["decisions"]["status"] == {"nothing": 2}
    assert build_rows(after.path) == before
    assert world.bring(here, there, "clips", "clip").written == 0
