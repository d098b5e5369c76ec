"""`repset live`: what is counted as it comes is what a recorded clip gives; pages, cameras and the command."""

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import browser
from click.testing import CliRunner
from drawn_tracks import REPS, SIZE, seen
from trust_relations import joined, taken

from repset import stream
from repset.autolabel import live
from repset.autolabel.label import label_track
from repset.autolabel.people import Joints
from repset.autolabel.ruleset import load_rules
from repset.cli import cli
from repset.cli.live import _fitted
from repset.errors import DataError
from repset.review.live_page import LivePage
from repset.schema import PoseTrack, Stretch
from repset.video import Image, read_video, write_video

RULES = load_rules("default")
BLANK = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)


class Known:
    """A follower that finds what a track says, so that no pose model is needed."""

    def __init__(self, track: PoseTrack) -> None:
        space = track.xyz_m if track.xyz_m is not None else np.zeros((*track.visibility.shape, 3))
        self._rows = iter(np.concatenate([track.xy_px, track.visibility[..., None], space], -1).astype(np.float32))

    def push(self, time_s: float, image: Image) -> Joints | None:
        return next(self._rows)

    def close(self) -> None:
        pass


def labelled(
    track: PoseTrack, monkeypatch: pytest.MonkeyPatch, exercise: str | None = None, beside: bool = False
) -> tuple[live.LiveLabeller, list[live.LiveRep]]:
    """A labeller that has seen a whole track, and the repetitions it told of."""
    monkeypatch.setattr(live, "Follower", lambda model: Known(track))
    labeller = live.LiveLabeller((track.width, track.height), RULES, exercise, beside=beside)
    told = [rep for time_s in track.time_s for rep in labeller.push(float(time_s), BLANK)]
    return labeller, told + labeller.close()


def again(track: PoseTrack, times: int) -> PoseTrack:
    frames = [*range(len(track.time_s))] * times
    return taken(track, frames)


@pytest.mark.parametrize("exercise", ["squat", "push_up", "bicep_curl", "shoulder_press", "jumping_jack"])
def test_a_drawn_set_is_named_and_counted(exercise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    labeller, told = labelled(seen(exercise), monkeypatch)
    assert [(done.exercise, len(done.reps)) for done in labeller.sets] == [(exercise, REPS)]
    assert [rep.number for rep in told] == [1, 2, 3, 4]


def test_sets_of_several_exercises_with_rests_between(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [seen(name) for name in ("bicep_curl", "lateral_raise", "squat")]
    track = parts[0]
    for part in parts[1:]:
        track = joined(track, taken(track, [0] * 180), part, 6.0)
    labeller, told = labelled(track, monkeypatch)
    sets = labeller.sets
    assert [(one.exercise, len(one.reps)) for one in sets] == [("bicep_curl", 4), ("lateral_raise", 4), ("squat", 4)]
    assert [rep.exercise for rep in told] == ["bicep_curl"] * 4 + ["lateral_raise"] * 4 + ["squat"] * 4
    edges = [edge for one in sets for edge in (one.start_s, one.end_s)]
    assert edges == sorted(edges)


def test_a_long_set_is_counted_as_if_it_were_known_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times as long as what is kept of it."""
    monkeypatch.setattr(live, "LONGEST_S", 10.0)
    monkeypatch.setattr(live, "KEEP_S", 6.0)
    track = again(seen("squat"), 5)
    labeller, told = labelled(track, monkeypatch, "squat")
    whole = label_track("s", track, [Stretch(0, len(track.time_s), "squat", 1.0, "given")], RULES, 0.5)
    assert track.time_s[-1] > 3 * live.LONGEST_S
    assert len(labeller.sets[0].reps) == len(told) == len(whole.reps) == 5 * REPS
    verdicts = [row["verdict"] for row in whole.form if row["level"] == "rep"]
    assert [rep.verdict for rep in labeller.sets[0].reps] == verdicts
    assert np.abs([rep.end_s - row["end_s"] for rep, row in zip(told, whole.reps, strict=True)]).max() < live.EVERY_S
    assert len(labeller._frames) <= (live.LONGEST_S + 1) * 30


def test_who_stands_still_or_is_not_there_has_no_set(monkeypatch: pytest.MonkeyPatch) -> None:
    still = taken(seen("squat"), [0] * 300)
    nobody = PoseTrack(still.skeleton, still.time_s, np.full_like(still.xy_px, np.nan), still.visibility, *SIZE)
    for track in (still, nobody):
        labeller, told = labelled(track, monkeypatch)
        assert (sum(len(one.reps) for one in labeller.sets), told) == (0, [])


def test_counting_in_a_thread_of_its_own_ends_with_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    labeller, told = labelled(seen("squat"), monkeypatch, "squat", beside=True)
    assert (len(labeller.sets[0].reps), len(told)) == (REPS, REPS)


def test_a_picture_shows_counter_and_skeleton(monkeypatch: pytest.MonkeyPatch) -> None:
    track = seen("squat")
    monkeypatch.setattr(live, "Follower", lambda model: Known(track))
    labeller = live.LiveLabeller(SIZE, RULES, "squat", beside=False)
    picture = BLANK.copy()
    for time_s in track.time_s:
        labeller.push(float(time_s), BLANK)
    labeller.draw(picture)
    assert picture[:120, :200].any()  # the counter
    joints = track.xy_px[-1][np.isfinite(track.xy_px[-1]).all(-1)].astype(int)
    near = [picture[max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5].any() for x, y in joints]
    assert np.mean(near) > 0.6  # face and hands are drawn as few lines
    labeller.close()


def test_a_mirrored_picture_has_the_mirrored_skeleton(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, half = [], BLANK.copy()
    half[:, : SIZE[0] // 2] = 60
    for mirrored in (False, True):
        monkeypatch.setattr(live, "Follower", lambda model: Known(seen("bicep_curl")))
        labeller = live.LiveLabeller(SIZE, RULES, beside=False)
        picture = half.copy()
        labeller.push(0.0, BLANK)
        labeller.draw(picture, mirrored)
        labeller.close()
        drawn.append(picture)
    plain, turned = drawn
    below = slice(120, None)  # of the panel
    assert (turned[below, -20:] == 60).all()
    assert (plain[below] != half[below]).any(-1).sum() > 500
    assert np.abs(turned[below, ::-1].astype(int) - plain[below]).max() < 60  # edges are smooth, and rounded


@pytest.mark.parametrize(
    ("source", "options", "mirrored"),
    [("0", [], True), ("0", ["--no-mirror"], False), ("clip.mp4", [], False), ("clip.mp4", ["--mirror"], True)],
)
def test_a_camera_is_shown_as_a_mirror_and_a_file_as_it_is(
    source: str, options: list[str], mirrored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = BLANK.copy()
    half[:, : SIZE[0] // 2] = 255
    pictures: list[Image] = []

    @contextmanager
    def two(source: str) -> Iterator[Iterator[tuple[float, Image]]]:
        yield iter([(0.0, half), (0.1, half)])

    monkeypatch.setattr(stream, "open_stream", two)
    monkeypatch.setattr(LivePage, "show", lambda page, image: pictures.append(image.copy()))
    done = CliRunner().invoke(cli, ["live", source, "--no-browser", *options], catch_exceptions=False)
    assert done.exit_code == 0
    sides = [(int(image[-9, 9, 0]), int(image[-9, -9, 0])) for image in pictures]
    assert sides == [(0, 255) if mirrored else (255, 0)] * 3


def test_the_verdict_shown_is_never_that_of_the_repetition_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose end nobody has seen: it would be unscorable until it ends."""
    track = seen("squat")
    banners: list[tuple[float, str, str]] = []
    monkeypatch.setattr(live, "Follower", lambda model: Known(track))
    monkeypatch.setattr(live, "draw_verdict", lambda image, row: banners.append((now, row["verdict"], row["message"])))
    labeller = live.LiveLabeller(SIZE, RULES, "squat", beside=False)
    picture, half_way = BLANK.copy(), 0
    for now in map(float, track.time_s):
        labeller.push(now, BLANK)
        labeller.draw(picture)
        half_way += bool(labeller.now and labeller.now.reps and not labeller.now.reps[-1].complete)
    labeller.close()
    first_s = labeller.sets[0].reps[0].end_s
    assert half_way > 10
    assert banners[0][0] >= first_s - live.EVERY_S
    assert {verdict for _, verdict, _ in banners} == {"correct"}
    assert not any("not in the clip" in message for _, _, message in banners)


@pytest.mark.real
def test_a_real_clip_is_counted_as_it_plays(shared_data: Path) -> None:
    """Eight squats by eye, with MediaPipe's own poses."""
    path = shared_data / "videos" / "squat_3.mp4"
    labeller = None
    for time_s, image in read_video(path):
        labeller = labeller or live.LiveLabeller((image.shape[1], image.shape[0]), RULES, beside=False)
        labeller.push(time_s, image)
    assert labeller
    labeller.close()
    assert [(one.exercise, len(one.reps)) for one in labeller.sets] == [("squat", 8)]


# --- where frames come from ---------------------------------------------------------------------------------------


class Clock:
    """Time that passes when somebody sleeps or works."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_a_file_plays_at_its_own_pace_and_late_frames_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(stream, "time", clock)
    frames = stream._at_its_pace((k / 10, BLANK) for k in range(20))
    got = []
    for time_s, _ in frames:
        got.append((round(time_s, 1), round(clock.now_s - 100, 2)))
        clock.sleep(0.28 if time_s < 1 else 0.01)  # slow at first, then fast
    assert got[:4] == [(0.0, 0.0), (0.1, 0.38), (0.4, 0.68), (0.7, 0.98)]  # the clock starts after the first
    assert got[4:] == [(round(k / 10, 1), round(k / 10 + 0.28, 2)) for k in range(10, 20)]


class Webcam:
    """A camera of 50 pictures a second that is unplugged after some; picture k is of brightness k."""

    def __init__(self, pictures: int) -> None:
        self.left, self.number, self.released = pictures, 0, False

    def isOpened(self) -> bool:  # OpenCV's name
        return self.left > 0

    def read(self) -> tuple[bool, Image]:
        time.sleep(0.02)
        self.left, self.number = self.left - 1, self.number + 1
        return self.left >= 0, np.full((4, 4, 3), self.number, np.uint8)

    def release(self) -> None:
        self.released = True


def test_a_camera_gives_its_latest_picture_and_says_when_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    webcam = Webcam(40)
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: webcam)
    seen_pictures: list[int] = []

    def watch() -> None:
        with stream.open_stream("3") as frames:
            for _, image in frames:
                seen_pictures.append(int(image[0, 0, 0]))
                time.sleep(0.1)

    with pytest.raises(DataError, match=r"camera 3: expected another picture, found none. See that it is plugged in."):
        watch()
    assert seen_pictures == sorted(set(seen_pictures))
    assert 3 <= len(seen_pictures) <= 12  # of 40: the others came while one was worked on
    assert webcam.released


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("99", r"^camera 99: expected a camera, found none. Give another number, or the path of a video file.$"),
        ("none.mp4", r"^none.mp4: expected a video file or the number of a camera \(0 is the first\), found neither."),
    ],
)
def test_no_such_camera_or_file(source: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=said), stream.open_stream(source):
        pass
    assert capfd.readouterr().err == ""


# --- page and command ---------------------------------------------------------------------------------------------


@contextmanager
def shown(colour: tuple[int, int, int]) -> Iterator[LivePage]:
    page = LivePage()
    page.show(np.full((120, 160, 3), colour, np.uint8))
    try:
        yield page
    finally:
        page.server_close()


def test_the_page_streams_jpegs_to_who_has_its_secret() -> None:
    with shown((0, 0, 255)) as page:
        link = http.client.HTTPConnection(page.host, timeout=10)
        link.request("GET", f"/{page.token}/stream")
        answer = link.getresponse()
        assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=picture"
        head = [answer.readline() for _ in range(4)]
        jpeg = answer.read(int(head[2].split(b":")[1]))
        assert head[:2] == [b"--picture\r\n", b"Content-Type: image/jpeg\r\n"]
        blue, green, red = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[60, 80]
        assert (red > 240, green < 20, blue < 20) == (True, True, True)
        link.close()
        other = http.client.HTTPConnection(page.host, timeout=10)
        other.request("GET", "/another/stream")
        assert other.getresponse().status == 404
        other.close()


def test_a_browser_shows_the_latest_picture(tmp_path: Path) -> None:
    with shown((255, 0, 0)) as page, browser(tmp_path, 900, 700) as tab:
        tab.open(page.url)
        tab.wait("document.querySelector('#stream')?.naturalWidth === 160")
        assert tab.asked
        assert all(address.startswith(page.url) for address in tab.asked if address.startswith("http"))

        def middle() -> np.ndarray:
            picture = cv2.imread(str(tab.picture(tmp_path / "page.png")))
            return np.asarray(picture[picture.shape[0] // 2, picture.shape[1] // 2])

        assert middle().tolist() == pytest.approx([255, 0, 0], abs=6)
        for _ in range(40):
            page.show(np.full((120, 160, 3), (0, 255, 0), np.uint8))
            if middle()[1] > 240:
                break
            time.sleep(0.1)
        assert middle().tolist() == pytest.approx([0, 255, 0], abs=6)


@pytest.mark.parametrize(
    ("wide", "high", "fitted"), [(640, 480, (480, 640)), (3840, 2160, (720, 1280)), (2160, 3840, (1280, 720))]
)
def test_a_large_picture_is_fitted_upright_or_not(wide: int, high: int, fitted: tuple[int, int]) -> None:
    whole = np.zeros((high, wide, 3), np.uint8)
    picture = _fitted(whole)
    assert picture.shape[:2] == fitted
    assert not np.shares_memory(picture, whole)  # it is drawn into


def test_the_command_ends_with_the_file_and_says_what_it_saw(tmp_path: Path) -> None:
    write_video(tmp_path / "empty.mp4", [BLANK] * 12, 12)
    done = CliRunner().invoke(cli, ["live", str(tmp_path / "empty.mp4"), "--no-browser"], catch_exceptions=False)
    assert done.exit_code == 0
    first, second, last = done.output.splitlines()
    assert first.startswith("Open: http://127.0.0.1:")
    assert second == "no repetition was seen; name what is done: --exercise squat"
    assert last.split()[1] == "pictures,"


def test_what_was_counted_is_said_before_a_camera_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    track = seen("squat")
    rows = iter(track.time_s)

    class Camera(Webcam):
        def read(self) -> tuple[bool, Image]:
            return next(rows, None) is not None, BLANK

    class Frames(stream._Camera):
        def frames(self) -> Iterator[tuple[float, Image]]:  # none is left out, and time is the track's
            for time_s in track.time_s:
                yield float(time_s), BLANK
            yield from super().frames()

    monkeypatch.setattr(cv2, "VideoCapture", lambda number: Camera(1))
    monkeypatch.setattr(stream, "_Camera", Frames)
    monkeypatch.setattr(live, "Follower", lambda model: Known(track))
    done = CliRunner().invoke(cli, ["live", "0", "--exercise", "squat", "--no-browser"])
    lines = done.output.splitlines()
    assert isinstance(done.exception, DataError)
    assert [line.split("  ")[-1].split(":")[0] for line in lines[1:5]] == [f"squat {k}" for k in (1, 2, 3, 4)]
    assert lines[5].startswith("squat, ")
    assert lines[5].split(": ")[1].startswith("4 repetitions, ")


def test_a_taken_port_is_a_sentence(tmp_path: Path) -> None:
    write_video(tmp_path / "empty.mp4", [BLANK] * 3, 12)
    with shown((0, 0, 0)) as page:
        taken_port = page.server_port
        done = CliRunner().invoke(cli, ["live", str(tmp_path / "empty.mp4"), "--no-browser", "--port", str(taken_port)])
    assert str(done.exception) == f"port {taken_port}: expected a free port, found it taken. Choose another: --port N"
    assert done.output == ""
