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
from repset.curate.queue import build_queue
from repset.curate.review_worth import probed
from repset.project import Project
from repset.review.ls_tasks import Item, Shown
from repset.review.ls_values import mask_from_rle
from repset.review.probes import judged_places, share_of, shifted, with_probe


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
