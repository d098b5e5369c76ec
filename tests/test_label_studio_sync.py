"""Push and pull against a stand-in: each item there once, each decision in the ledger once."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import label_studio_stub as stub
import label_studio_world as world
import numpy as np
import pytest
from click.testing import CliRunner

from repset.cli import cli
from repset.curate.build import build_curated
from repset.curate.decision import Decision
from repset.curate.ledger import Ledger
from repset.errors import DataError, RepsetError
from repset.project import Project
from repset.records import read_rows
from repset.review.ls_connect import alone, connection, title_of
from repset.review.ls_items import select
from repset.review.ls_pull import reviewers, status
from repset.review.ls_values import mask_from_rle, rle_from_mask

client, send, bring = world.client, world.send, world.bring
by_sample, lines, shown = world.by_sample, world.lines, world.shown
TITLE = title_of("photos", "image")


@pytest.fixture
def there() -> Iterator[Any]:
    with stub.stub() as server:
        yield server


@pytest.fixture
def here(tmp_path: Path) -> Project:
    project: Project = world.project_at(tmp_path)
    world.photos(project, 6)
    return project


# --- push ------------------------------------------------------------------------------------------------------------


def test_pushing_twice_changes_nothing(here: Project, there: Any) -> None:
    first = send(here, there)
    assert (first.new, first.refreshed, first.unchanged, first.doubles) == (6, 0, 0, 0)
    before = json.dumps(there.store.tasks)
    second = send(here, there)
    assert (second.new, second.refreshed, second.unchanged, second.doubles) == (0, 0, 6, 0)
    assert json.dumps(there.store.tasks) == before
    project = there.store.projects[first.project]
    assert project["show_collab_predictions"] is True
    assert project["model_version"] == "dataset"
    folders = sorted(Path(storage["path"]).relative_to(here.root).as_posix() for storage in there.store.storages)
    assert folders == [".repset/media", "datasets"]


def test_a_task_shows_the_masks_and_serves_the_picture_as_stored(here: Project, there: Any) -> None:
    send(here, there)
    task = by_sample(there)["photos/002"]
    regions = {one["value"]["brushlabels"][0]: one for one in shown(task)}
    for number, name in enumerate(world.CLASSES):
        assert regions[name]["original_width"] == 64
        mask = mask_from_rle(regions[name]["value"]["rle"], 64, 48)
        assert np.array_equal(mask, world.blob_mask(6 + number))
    relative = task["data"]["image"].removeprefix("/data/local-files/?d=")
    stored = read_rows(here.index("photos") / "frames.parquet", "frames")[2]
    shard = (here.index("photos") / stored["shard"]).read_bytes()
    assert (here.root / relative).read_bytes() == shard[stored["offset"] : stored["offset"] + stored["size"]]


def test_labels_that_changed_are_renewed_unless_a_person_has_begun(here: Project, there: Any) -> None:
    send(here, there)
    tasks = by_sample(there)
    there.store.annotate(tasks["photos/000"]["id"], shown(tasks["photos/000"]))
    tasks["photos/001"]["drafts"].append({"id": 1})
    rows = read_rows(here.index("photos") / "masks.parquet", "masks")
    for row in rows[:9]:
        row["png"] = world.png(world.blob_mask(99))
    from repset.records import write_table

    write_table(here.index("photos") / "masks.parquet", "masks", rows)
    done = send(here, there)
    assert (done.new, done.refreshed, done.kept, done.unchanged) == (0, 1, 2, 3)
    renewed = by_sample(there)["photos/002"]
    assert len(renewed["predictions"]) == 1
    assert all(np.array_equal(mask_from_rle(r["value"]["rle"], 64, 48), world.blob_mask(99)) for r in shown(renewed))
    assert send(here, there).unchanged == 4


def test_second_tasks_of_an_item_go_unless_both_were_begun(here: Project, there: Any) -> None:
    project = send(here, there).project
    for task in list(there.store.tasks.values())[:3]:
        there.store.add(project, task)
    twin = list(there.store.tasks.values())[6]
    there.store.annotate(twin["id"], shown(twin))
    done = send(here, there)
    assert (done.doubles, done.new) == (3, 0)
    assert Counter(task["data"]["key"] for task in there.store.tasks.values()).most_common(1)[0][1] == 1
    assert twin["id"] in there.store.tasks


def test_a_share_goes_out_blank_by_hash_of_the_sample(here: Project, there: Any) -> None:
    done = send(here, there, blank_share=0.5)
    blank = {key for key, task in by_sample(there).items() if not task["predictions"]}
    assert 0 < done.blank == len(blank) < 6
    assert send(here, there, blank_share=0.5).unchanged == 6
    task = by_sample(there)[min(blank)]
    there.store.annotate(task["id"], [shown(t)[0] for t in there.store.tasks.values() if t["predictions"]][:1])
    assert bring(here, there).said == {"muscle_mask": Counter(new=1)}


def test_only_what_stands_there_is_counted_as_blank(here: Project, there: Any) -> None:
    assert send(here, there, blank_share=1.0, wanted=lambda item: item.sample_id < "photos/002").blank == 2
    assert send(here, there, blank_share=1.0, wanted=lambda item: False).blank == 2
    assert send(here, there, blank_share=1.0).blank == 6


def test_what_does_not_fit_its_picture_is_not_sent(here: Project, there: Any) -> None:
    rows = read_rows(here.index("photos") / "masks.parquet", "masks")
    rows[0]["png"] = world.png(np.ones((5, 7), bool))
    from repset.records import write_table

    write_table(here.index("photos") / "masks.parquet", "masks", rows)
    with pytest.raises(DataError) as error:
        send(here, there)
    assert str(error.value) == (
        "push: expected labels that fit their pictures, found photos/000: a mask of 7 × 5 on a picture of 64 × 48. "
        "Mend them, or leave them out: --on-error skip."
    )
    assert there.store.tasks == {}
    done = send(here, there, skip_faults=True)
    assert (done.new, len(done.faults)) == (5, 1)


# --- pull ------------------------------------------------------------------------------------------------------------


def test_pull_tells_accepted_edited_rejected_and_new_apart(here: Project, there: Any) -> None:
    send(here, there)
    task = by_sample(there)["photos/001"]
    result = {one["value"].get("brushlabels", ["?"])[0]: one for one in shown(task)}
    old = world.blob_mask(4)
    edited = old.copy()
    edited[:10, :10] = True
    result["calf"]["value"]["rle"] = rle_from_mask(edited)
    del result["triceps"]
    verdict = {"id": "q", "from_name": "form", "to_name": "image", "type": "choices", "value": {"choices": ["correct"]}}
    there.store.annotate(task["id"], [*result.values(), verdict], by=2)
    done = bring(here, there)
    assert done.said == {"muscle_mask": Counter(accept=1, edit=1, reject=1), "form": Counter(new=1)}
    assert done.mean_iou["muscle_mask"] == pytest.approx((old & edited).sum() / (old | edited).sum())
    assert (done.written, done.reviewers, done.seconds, done.faults) == (4, Counter(ben=1), 6.0, [])
    said = {(d.task, d.target.get("class")): d for d in lines(here)}
    assert {key: d.action for key, d in said.items()} == {
        ("muscle_mask", "biceps"): "accept", ("muscle_mask", "calf"): "edit",
        ("muscle_mask", "triceps"): "reject", ("form", None): "new",
    }  # fmt: skip
    assert {(d.reviewer, d.tool, d.seconds, d.at) for d in said.values()} == {
        ("ben", "label_studio", 1.5, "2026-11-21T10:00:00.000000Z")
    }
    assert said["muscle_mask", "calf"].png == world.png(edited)
    assert said["muscle_mask", "triceps"].png == world.png(world.blob_mask(5))
    assert said["form", None].value == "correct"
    table = build_curated(here, "muscle_mask", "photos").path
    curated = [r for r in read_rows(table, "curated") if r["sample_id"] == "photos/001" and r["blob"]]
    assert {(json.loads(r["target"])["class"], r["tier"]) for r in curated} == {
        ("biceps", "gold"), ("calf", "gold_corrected"),
    }  # fmt: skip
    assert next(r["blob"] for r in curated if r["tier"] == "gold_corrected") == world.png(edited)


def test_pulling_twice_changes_nothing_even_after_an_undo(here: Project, there: Any) -> None:
    send(here, there)
    for task in there.store.tasks.values():
        there.store.annotate(task["id"], shown(task))
    assert bring(here, there).written == 18
    assert bring(here, there).written == 0
    first = lines(here)[0]
    Ledger(here.reviews).append(
        Decision("ben", "t", first.sample_id, first.task, first.target, "undo", supersedes=first.id)
    )
    assert bring(here, there).written == 0
    assert status(client(there), TITLE, {}, Ledger(here.reviews)).pulled.written == 0
    assert len(lines(here)) == 19


def test_a_changed_answer_supersedes_the_pulled_one_and_undoes_what_it_no_longer_says(
    here: Project, there: Any
) -> None:
    send(here, there)
    task = by_sample(there)["photos/000"]
    verdict = {"id": "q", "from_name": "form", "to_name": "image", "type": "choices", "value": {"choices": ["correct"]}}
    annotation = there.store.annotate(task["id"], [*shown(task), verdict])
    assert bring(here, there).written == 4
    first = {(d.task, d.target.get("class")): d for d in lines(here)}
    result = shown(task)
    result[0]["value"]["rle"] = rle_from_mask(world.blob_mask(50))
    annotation |= {"result": result, "updated_at": "2026-11-21T12:00:00+02:00", "lead_time": 10.0}
    annotation["updated_at"] = "2026-11-21T13:00:00+02:00"
    done = bring(here, there)
    assert (done.written, done.undone) == (2, 1)
    edit, undo = (next(d for d in lines(here) if d.action == action) for action in ("edit", "undo"))
    assert edit.supersedes == first["muscle_mask", edit.target["class"]].id
    assert (edit.at, edit.seconds) == ("2026-11-21T11:00:00.000000Z", 4.0)
    assert undo.supersedes == first["form", None].id
    assert bring(here, there).written == 0


def test_several_reviewers_skips_drafts_and_strangers(here: Project, there: Any) -> None:
    project = send(here, there).project
    tasks = list(there.store.tasks.values())
    there.store.annotate(tasks[0]["id"], shown(tasks[0]), by=1)
    there.store.annotate(tasks[0]["id"], shown(tasks[0])[:2], by=2, at="2026-11-21T11:00:00Z")
    there.store.annotate(tasks[1]["id"], shown(tasks[1]), was_cancelled=True)
    tasks[2]["drafts"].append({"id": 5})
    there.store.add(project, {"data": {"image": "/other.jpg"}})
    done = bring(here, there)
    assert (done.tasks, done.begun, done.skipped, done.drafts, done.foreign) == (6, 2, 1, 1, 1)
    assert done.reviewers == Counter(anna=1, ben=1)
    assert Counter((d.reviewer, d.action) for d in lines(here)) == {
        ("anna", "accept"): 3, ("ben", "accept"): 2, ("ben", "reject"): 1,
    }  # fmt: skip


def test_an_empty_answer_to_labels_nobody_saw_decides_nothing(here: Project, there: Any) -> None:
    """Seen in 1.23.2: without a model version the queue shows an empty picture, and Submit stores an empty answer."""
    send(here, there)
    task = by_sample(there)["photos/003"]
    there.store.annotate(task["id"], [], parent_prediction=None, prediction=None)
    done = bring(here, there)
    assert done.faults == ["photos/003, anna: an empty answer to labels that were not on screen"]
    assert (done.written, lines(here)) == (0, [])


def test_reviewers_are_told_apart() -> None:
    assert reviewers({1: "Anna.B@x.org", 2: "ben@x.org"}, {"ben@x.org": "b2"}) == {1: "anna.b", 2: "b2"}
    with pytest.raises(DataError) as error:
        reviewers({1: "anna@x.org", 2: "anna@y.org"}, {})
    assert str(error.value) == (
        "anna@y.org: expected a reviewer of another name, found a second anna. "
        "Name them apart: --reviewer anna@y.org=NAME."
    )


# --- clips and frames ------------------------------------------------------------------------------------------------


def test_repetitions_of_a_clip_and_joints_of_a_frame(here: Project, there: Any) -> None:
    world.clips(here)
    assert send(here, there, "clips", "clip").new == 2
    assert send(here, there, "clips", "frame", frames=2).new == 4
    clip, frame = (
        next(t for t in there.store.tasks.values() if t["data"]["key"].startswith("clips/000") and name in t["data"])
        for name in ("video", "image")
    )
    assert clip["data"]["fps"] == 10.0
    assert clip["data"]["video"].endswith(".mp4")
    segments = [one for one in shown(clip) if one["type"] == "timelinelabels"]
    assert sorted((s["value"]["ranges"][0]["start"], s["value"]["ranges"][0]["end"]) for s in segments) == [
        (1, 10), (13, 22), (25, 34),
    ]  # fmt: skip
    result = shown(clip)
    segment = next(one for one in result if one["value"].get("timelinelabels") == ["incorrect"])
    segment["value"] = {"ranges": [{"start": 14, "end": 23}], "timelinelabels": ["correct"]}
    there.store.annotate(clip["id"], result)
    done = bring(here, there, "clips", "clip")
    assert done.said == {"form": Counter(accept=2, edit=1), "exercise": Counter(accept=1)}
    edit = next(d for d in lines(here) if d.action == "edit")
    assert (edit.value, edit.target["interval_s"], edit.target["frames"]) == ("correct", [1.3, 2.3], [13, 23])
    points = shown(frame)
    moved = next(one for one in points if one["value"].get("keypointlabels") == ["left_knee"])
    moved["value"]["x"] += 6.25 if moved["value"]["x"] < 50 else -6.25  # 4 px of 64
    there.store.annotate(frame["id"], points)
    done = bring(here, there, "clips", "frame")
    assert done.said["pose"] == Counter(edit=1)
    assert done.shift_px == [pytest.approx(4 / 12)]  # one of twelve joints; the thirteenth is absent
    pose = next(d for d in lines(here) if d.task == "pose")
    assert len(pose.value["joints"]) == 12
    assert bring(here, there, "clips", "frame").written == 0
    again = select(here, "clips", "frame", frames=2)
    person = next(s for i in again.items if i.key == frame["data"]["key"] for s in i.shown if s.task == "pose")
    assert (person.origin, person.value) == ("human", pose.value)


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_sends_brings_and_compares(here: Project, there: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("REPSET_ROOT", str(here.root)),
        ("LABEL_STUDIO_URL", there.url),
        ("LABEL_STUDIO_API_KEY", world.TOKEN),
    ):
        monkeypatch.setenv(name, value)
    run = CliRunner()
    done = run.invoke(cli, ["labelstudio", "push", "photos", "--limit", "4"], catch_exceptions=False)
    number = next(iter(there.store.projects))
    assert done.output == f"4 tasks new, 0 renewed, 0 as they were\n{there.url}/projects/{number}\n"
    task = by_sample(there)["photos/000"]
    there.store.annotate(task["id"], shown(task))
    done = run.invoke(cli, ["labelstudio", "status", "photos"], catch_exceptions=False)
    assert "4 tasks there, 2 items not sent, 0 tasks of other media, 0 doubles" in done.output
    assert "3 lines wait: repset labelstudio pull photos" in done.output
    done = run.invoke(cli, ["labelstudio", "pull", "photos"], catch_exceptions=False)
    assert done.output.splitlines()[-2:] == ["1 of 4 tasks answered (anna 1) in 6 s", "3 lines written to the ledger"]
    there.store.annotate(task["id"], [{"from_name": "x"}], at="2026-11-22T10:00:00Z")
    done = run.invoke(cli, ["labelstudio", "pull", "photos"])
    assert done.exit_code == 1
    assert "not believed: photos/000, anna: a region of no control of ours" in done.output
    assert len(lines(here)) == 3


def test_which_server(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RepsetError) as error:
        connection(here)
    assert str(error.value) == (
        "labelstudio: expected a Label Studio server, found none. "
        "Start one (make label-studio), or set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY."
    )
    made = here.cache / "label_studio" / "connection.json"
    made.parent.mkdir(parents=True)
    made.write_text('{"url": "http://127.0.0.1:8080", "api_key": "k"}')
    assert (connection(here).url, connection(here).key) == ("http://127.0.0.1:8080", "k")
    assert "'k'" not in repr(connection(here))
    with pytest.raises(RepsetError) as error:  # the key of our own server goes to no other
        connection(here, "http://elsewhere:8080")
    assert str(error.value).startswith("labelstudio: expected a key to http://elsewhere:8080, found none.")
    with alone(here), pytest.raises(RepsetError) as error, alone(here):
        pass
    assert str(error.value) == (
        "labelstudio: expected to be alone, found another push or pull under way. Wait until it has ended."
    )
