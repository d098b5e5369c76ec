"""Proof for one's own camera: what is picked, that answers survive, and numbers written out by hand."""

import json
import math
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import repset.cli.validate as command_module
from repset.cli.validate import command
from repset.errors import ConfigError, DataError
from repset.landmarks import SKELETONS
from repset.records import TABLES, write_table
from repset.review.validate_desk import Answers, Desk, DeskServer, prepare, shown_box
from repset.review.validate_picks import Pick, picks, spread
from repset.video import write_video

JOINTS = SKELETONS["blazepose_33"].joints
PLACES = {"shoulder": (100.0, 60.0), "elbow": (100.0, 110.0), "wrist": (150.0, 110.0), "hip": (100.0, 160.0),
          "knee": (100.0, 220.0), "ankle": (100.0, 280.0)}  # fmt: skip
Row = dict[str, Any]


def place(name: str) -> tuple[float, float]:
    """Of a joint with its side, pixels."""
    side, part = name.split("_")
    return PLACES[part][0] - 60 * (side == "right"), PLACES[part][1]


def pose(sample_id: str, frame: int, shift: float = 0.0) -> Row:
    """A body standing upright, elbows at 90°, the right side 60 px beside the left one."""
    xy = np.full((33, 2), np.nan)
    for name, (x, y) in PLACES.items():
        xy[JOINTS.index(f"left_{name}")] = x + shift, y
        xy[JOINTS.index(f"right_{name}")] = x + shift - 60, y
    seen = np.where(np.isfinite(xy[:, 0]), 0.9, 0.1)
    row = {"sample_id": sample_id, "frame": frame, "time_s": frame / 10, "person": 0, "skeleton": "blazepose_33"}
    return row | {"x_px": xy[:, 0].tolist(), "y_px": xy[:, 1].tolist(), "visibility": seen.tolist(), "state": [0] * 33}


def labels_of(folder: Path, clips: dict[str, tuple[str, int]]) -> Path:
    """An autolabel job: clip → view and number of repetitions, each of 20 frames at 10 a second, 5 frames around."""
    tables: dict[str, list[Row]] = {name: [] for name in ("poses", "angles", "reps", "form", "sets")}
    for name, (view, count) in clips.items():
        frames = 10 + 20 * count
        tables["poses"] += [pose(name, frame) for frame in range(frames)]
        tables["angles"] += [{"sample_id": name, "frame": frame, "person": 0, "name": "left_elbow", "value_deg": 94.0}
                             for frame in range(frames)]  # fmt: skip
        if count:
            tables["sets"].append({"sample_id": name, "set": 0, "start": 5, "end": 5 + 20 * count, "exercise": "squat"})
            tables["form"].append({"sample_id": name, "set": 0, "level": "clip", "view": view})
        for n in range(count):
            start = 5 + 20 * n
            tables["reps"].append({"sample_id": name, "set": 0, "rep": n, "exercise": "squat", "start": start,
                                   "turn": start + 10, "end": start + 20, "complete": True})  # fmt: skip
    for name, rows in tables.items():
        write_table(folder / f"{name}.parquet", name, [dict.fromkeys(TABLES[name].names) | row for row in rows])
    return folder


CLIPS = {"cam/a.mp4": ("front", 2), "cam/b.mp4": ("side", 1), "cam/c.mp4": ("front", 0)}


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    """Three short videos of a grey wall, and what a labeller says of them in `labels`."""
    for name, (_, count) in CLIPS.items():
        images = [np.full((320, 200, 3), 40 + frame, np.uint8) for frame in range(10 + 20 * count)]
        write_video(tmp_path / name, images, 10.0)
    labels_of(tmp_path / "labels", CLIPS)
    return tmp_path


# --- what is picked --------------------------------------------------------------------------------------------------


def test_frames_come_from_every_view_and_phase_and_clips_show_their_sets(camera: Path) -> None:
    found = picks(camera / "labels")
    frames = [one for one in found if one.kind == "frame"]
    assert Counter((one.view, one.phase) for one in frames) == {
        ("front", "start"): 2, ("front", "half-way"): 2, ("front", "turn"): 2, ("side", "start"): 1,
        ("side", "half-way"): 1, ("side", "turn"): 1, ("unknown", "no repetition"): 3,
    }  # fmt: skip
    assert [one.frame for one in frames if one.sample_id == "cam/a.mp4"] == [5, 10, 15, 25, 30, 35]
    assert {len(one.joints) for one in frames if one.view == "front"} == {12}
    assert {one.joints[0] for one in frames if one.view == "side"} == {"right_shoulder"}  # both seen alike
    clips = {one.sample_id: one for one in found if one.kind == "clip"}
    assert [(clips[name].frame, clips[name].end, clips[name].counted) for name in sorted(clips)] == [
        (0, 50, 2), (0, 30, 1), (0, 10, 0),
    ]  # fmt: skip
    assert picks(camera / "labels") == found


def test_few_are_spread_first_over_cells_then_over_clips() -> None:
    made = [Pick("frame", f"cam/{name}.mp4", view, phase, "squat", n)
            for n, (name, view, phase) in enumerate([("a", "front", "turn")] * 5 + [("b", "front", "turn")] * 5
                                                    + [("a", "side", "start")])]  # fmt: skip
    found = spread(made, 3, lambda one: (one.view, one.phase))
    assert Counter((one.view, one.sample_id) for one in found) == {
        ("side", "cam/a.mp4"): 1, ("front", "cam/a.mp4"): 1, ("front", "cam/b.mp4"): 1,
    }  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 60)), max_size=40, unique=True),
       st.integers(0, 25), st.randoms(use_true_random=False))  # fmt: skip
def test_no_cell_gives_two_more_than_one_that_still_has_some(
    drawn: list[tuple[int, int, int]], wanted: int, rng: Any
) -> None:
    made = [Pick("frame", f"s/{clip}", f"v{view}", "turn", "squat", frame) for view, clip, frame in drawn]
    found = spread(made, wanted, lambda one: (one.view,))
    assert len(found) == min(wanted, len(made))
    assert len(set(found)) == len(found)
    given_, there = Counter(one.view for one in found), Counter(one.view for one in made)
    for view, count in there.items():
        if given_[view] < count:  # it has some left: nobody else got two more
            assert max(given_.values(), default=0) <= given_[view] + 1
    shuffled = list(made)
    rng.shuffle(shuffled)
    assert spread(shuffled, wanted, lambda one: (one.view,)) == found


def test_what_was_answered_stays_when_the_labeller_says_something_else(camera: Path) -> None:
    answers = Answers(camera / "out" / "answers.jsonl")
    before = picks(camera / "labels", frames=4, clips=1)
    for one in before:
        said: Row = {"reps": 2} if one.kind == "clip" else {"joints": dict.fromkeys(one.joints)}
        answers.append(one, {"seconds": 3.0, **said}, "anna")
    labels_of(camera / "labels", {"cam/a.mp4": ("three_quarter", 2), "cam/b.mp4": ("front", 1)})
    again = Answers(camera / "out" / "answers.jsonl")
    after = picks(camera / "labels", frames=6, clips=2, answered=again.picks())
    there = [one for one in before if one.sample_id != "cam/c.mp4"]
    assert {one.id for one in there} <= {one.id for one in after}
    assert Counter(one.kind for one in after) == {"frame": 6, "clip": 2}
    assert {one.view for one in after if one.id in {o.id for o in there} and one.kind == "frame"} <= {"front", "side"}


# --- answers and page ------------------------------------------------------------------------------------------------


def test_answers_are_appended_and_the_last_one_counts(tmp_path: Path) -> None:
    path, one = tmp_path / "answers.jsonl", Pick("clip", "cam/a.mp4", "front", "", "squat", 0, 50, 0.0, 4.9, counted=2)
    answers = Answers(path)
    answers.append(one, {"reps": 3, "seconds": 4.0}, "anna")
    first = path.read_bytes()
    answers.append(one, {"reps": 2, "seconds": 4.0}, "anna")
    assert path.read_bytes().startswith(first)
    assert Answers(path).latest[one.id]["reps"] == 2
    assert Answers(path).picks() == [Pick("clip", "cam/a.mp4", "front", "", "squat", 0, 50, 0.0, 4.9)]
    changed = path.read_bytes().replace(b'"reps":3', b'"reps":4')
    path.write_bytes(changed)
    with pytest.raises(DataError) as error:
        Answers(path)
    assert str(error.value) == (
        f"{path}:1: expected a line as it was written, found a torn or changed one. "
        "Restore it from a copy, or delete the line."
    )
    path.write_bytes(first[:-5])
    with pytest.raises(DataError):
        Answers(path)
    path.write_bytes(first.rstrip(b"\n"))
    with pytest.raises(DataError) as error:
        Answers(path).append(one, {"reps": 2, "seconds": 4.0}, "anna")
    assert "expected a last line that ends in a newline, found a torn line" in str(error.value)


def test_a_box_is_cut_to_the_picture() -> None:
    assert shown_box((-20, 10, 100, 500), 200, 320) == (0, 10, 80, 310)
    assert shown_box((0, 0, 0, 0), 200, 320) == (0, 0, 200, 320)
    assert shown_box((500, 10, 100, 50), 200, 320) == (0, 0, 200, 320)


@pytest.fixture
def desk(camera: Path) -> Desk:
    chosen = prepare(camera / "cam", camera / "out", picks(camera / "labels"), lambda done, total, label: None)
    return Desk(camera / "out", chosen, Answers(camera / "out" / "answers.jsonl"), "anna")


def test_only_answers_are_taken(desk: Desk) -> None:
    frame = next(one for one in desk.picks.values() if one.kind == "frame")
    clip = next(one for one in desk.picks.values() if one.kind == "clip")
    for asked, said in (
        ({"id": "x"}, "expected a frame or clip of this page, found another. Reload the page."),
        ({"id": clip.id, "reps": -1}, "expected a number of repetitions up to 999, found -1. Correct it."),
        ({"id": clip.id, "reps": 3, "does": "x"}, "expected an exercise of the list, found 'x'. Choose one."),
        ({"id": clip.id, "reps": True}, "expected a number of repetitions up to 999, found True. Correct it."),
        ({"id": frame.id, "joints": {"nose": [1, 1]}}, "expected joints of this frame, found others. Reload the page."),
        ({"id": frame.id, "joints": {"left_hip": [9999, 1]}},
         "expected left_hip inside the picture, found [9999, 1]. Place it again."),
        ({"id": frame.id, "joints": {"left_hip": [math.nan, 1]}},
         "expected left_hip inside the picture, found [nan, 1]. Place it again."),
    ):  # fmt: skip
        with pytest.raises(ConfigError) as error:
            desk.answer(asked)
        assert str(error.value) == f"validate: {said}"
    assert not desk.answers.path.exists()
    assert desk.answer({"id": clip.id, "reps": None, "seconds": 1e9}) == {"done": 1}
    assert desk.answers.latest[clip.id]["seconds"] is None


@pytest.fixture
def server(desk: Desk) -> Iterator[DeskServer]:
    made = DeskServer(desk)
    worker = threading.Thread(target=made.serve_until_finished)
    worker.start()
    yield made
    desk.finished.set()
    worker.join()
    made.server_close()


def call(url: str, body: Any = None, **headers: str) -> tuple[int, bytes, str]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:
            return answer.status, answer.read(), answer.headers["Content-Security-Policy"]
    except urllib.error.HTTPError as error:
        return error.code, error.read(), ""


def test_the_page_shows_pictures_and_takes_answers_behind_its_secret(server: DeskServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    status, body, policy = call(server.url)
    assert status == 200
    assert b"page.js" in body
    assert "default-src 'none'" in policy
    queue = json.loads(call(server.url + "queue")[1])
    assert len(queue["items"]) == 15
    first = queue["items"][0]
    assert call(server.url + first["media"])[1][:2] == b"\xff\xd8"  # JPEG
    left, top, *_ = first["box"]
    sent = {
        "id": first["id"],
        "joints": dict.fromkeys(first["joints"]) | {"left_hip": [left + 3, top + 4]},
        "seconds": 2,
    }
    assert json.loads(call(server.url + "answer", sent)[1]) == {"done": 1}
    assert server.desk.answers.latest[first["id"]]["joints"]["left_hip"] == [left + 3, top + 4]
    assert call(server.url.replace(server.token, "x"))[0] == 404
    assert call(server.url + "answer", sent, Origin="http://evil.example")[0] == 404
    assert call(server.url + "../answers.jsonl")[0] == 404
    assert call(server.url + "answer", {"id": "x"})[0] == 400
    assert json.loads(call(server.url + "finish", {})[1]) == {"finished": True}
    assert server.desk.finished.wait(5)


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_reports_on_answers_and_goes_on_where_it_was(camera: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The labeller has run already; everything behind it is real."""
    monkeypatch.setattr(command_module, "_label", lambda folder, labels, *rest: camera / "labels")
    run, out = CliRunner(), camera / "cam-validation"
    nothing = run.invoke(command, [str(camera / "cam"), "--report-only"])
    assert str(nothing.exception) == (
        f"{out / 'answers.jsonl'}: expected answers on these frames and clips, found none. "
        f"Run: repset validate {camera / 'cam'}."
    )
    answers = Answers(out / "answers.jsonl")
    for one in picks(camera / "labels"):
        if one.kind == "clip":
            does = "lunge" if one.sample_id == "cam/b.mp4" else one.exercise
            answers.append(one, {"reps": one.counted + (does == "lunge"), "does": does, "seconds": 9.0}, "anna")
        else:
            joints = {name: list(place(name)) for name in one.joints}
            answers.append(one, {"joints": joints, "seconds": 9.0}, "anna")
    result = run.invoke(command, [str(camera / "cam"), "--report-only"], catch_exceptions=False)
    lines = result.output.splitlines()
    assert lines[0] == "12 of 12 frames and 3 of 3 clips labelled"
    assert "  elbow       front            4.0°    4.0°  6 ×, bias +4.0°" in lines
    assert "repetitions: 2 of 3 clips counted exactly, 3 within one; on average off by 0.3, 0.3 too few" in lines
    assert "  squat: depth, front: too few frames (0)" in lines
    assert "exercises: 2 of 3 recognised; it was lunge for squat" in lines
    html = (out / "report.html").read_text()
    assert "http" not in html.replace("http-equiv", "")
    assert html.count("<figure>") == 6
    found = json.loads(
        run.invoke(command, [str(camera / "cam"), "--report-only", "--json"], catch_exceptions=False).stdout
    )
    assert found["counts"][1] == {"media": "cam/b.mp4", "start_s": 0.0, "end_s": 2.9, "you": 2, "labeller": 1,
                                  "exercise": "lunge", "recognised": "squat"}  # fmt: skip
    assert found["visibility"]["visibility"] == 0.0
    assert found == json.loads((out / "report.json").read_text())


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path / "nowhere")])
    assert str(result.exception) == (
        f"{tmp_path / 'nowhere'}: expected a folder of videos or images, found none. Check the path."
    )
