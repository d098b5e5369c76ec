"""Who is found late is followed back: by a tracker whose pictures say who is in them, and on real footage."""

from pathlib import Path

import numpy as np
import pytest

from repset.autolabel import look_back, pose
from repset.autolabel.look_back import STEADY_FRAMES, LookBack, Unseen
from repset.autolabel.people import Crowd, Joints, body
from repset.autolabel.pose import follow
from repset.landmarks import BLAZEPOSE_33
from repset.video import Image, read_video

FPS = 10
NOBODY = 10  # grey of a picture without anyone; others stand at ten pixels a level of grey
TRUNK = [BLAZEPOSE_33.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("shoulder", "hip")]


def picture(grey: int, size: tuple[int, int] = (48, 64)) -> Image:
    return np.full((*size, 3), grey, np.uint8)


class Reader:
    """A tracker that finds a person where the picture's grey says."""

    def __init__(self) -> None:
        self.shown: list[int] = []

    def __call__(self, rgb: Image) -> list[Joints]:
        grey = round(float(rgb.mean()))
        self.shown.append(grey)
        if abs(grey - NOBODY) < 2:
            return []
        joints = np.ones((33, 6), np.float32)
        joints[:, 0] = grey * 10 + np.linspace(0, 20, 33)
        joints[:, 1] = np.linspace(0, 40, 33)
        return [joints]

    def forget(self, rgb: Image) -> None:
        self.shown.append(-1)


def tell(greys: list[int], seen: list[bool], cuts: tuple[int, ...] = ()) -> tuple[dict[int, int], Reader]:
    """Frames that the detector sees or misses → of those filled in later, frame and the grey they were found at."""
    reader, crowd = Reader(), Crowd("largest")
    back, filled = LookBack(reader, crowd), {}
    crowd.look(picture(0))
    for frame, (grey, is_seen) in enumerate(zip(greys, seen, strict=True)):
        if not is_seen:
            back.miss(frame / FPS, picture(grey), frame in cuts)
            continue
        joints = Reader()(picture(grey))[0]
        number = crowd.follow(body(joints), frame / FPS)
        found = back.see(frame / FPS, picture(grey), frame in cuts, picture(grey), number)
        for k, one in enumerate(found):
            filled[frame - STEADY_FRAMES + 1 - len(found) + k] = round(float(one[0, 0]) / 10)
    return filled, reader


def test_a_person_found_late_is_followed_to_the_first_frame() -> None:
    greys = list(range(100, 130, 2))
    filled, reader = tell(greys, [False] * 8 + [True] * 7)
    assert filled == dict(enumerate(greys[:8]))
    # back to the first frame, then from where the detector saw them to where they are now; no more work after that
    assert reader.shown == [*range(122, 98, -2), -1, *range(116, 126, 2)]


def test_the_way_back_ends_where_nobody_is() -> None:
    greys = [100, 102, NOBODY, 106, 108, 110, 112, 114, 116, 118, 120, 122]
    assert tell(greys, [False] * 7 + [True] * 5)[0] == {3: 106, 4: 108, 5: 110, 6: 112}


def test_a_glimpse_is_not_believed_and_few_frames_are_left_alone() -> None:
    greys = list(range(100, 130, 2))
    assert tell(greys, [False] * 5 + [True] * 2 + [False] * 3 + [True] * 5)[0] == dict(enumerate(greys[:10]))
    assert tell(greys[:9], [False] * 4 + [True] * 5)[0] == {}
    assert tell(greys[:9], [False] * 5 + [True] * 4)[0] == {}


@pytest.mark.parametrize("cut", [6, 8])  # while nobody is seen; with the first frame of the person
def test_a_cut_is_not_crossed(cut: int) -> None:
    greys = list(range(100, 140, 2))
    found = tell(greys, [False] * 8 + [True] * 12, (cut,))[0]
    assert found == {}
    assert tell(greys, [False] * 13 + [True] * 7, (cut,))[0] == dict(list(enumerate(greys[:13]))[cut:])


def test_a_clip_in_which_someone_is_always_seen_costs_nothing() -> None:
    assert tell(list(range(100, 130, 2)), [True] * 15)[1].shown == []


def test_someone_in_other_clothes_is_not_followed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Crowd, "alike", lambda self, number, now: now.centre_px[0] > 1080)
    greys = list(range(100, 130, 2))
    assert tell(greys, [False] * 8 + [True] * 7)[0] == {4: 108, 5: 110, 6: 112, 7: 114}


def test_what_is_kept_is_bounded_in_seconds_bytes_and_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Unseen()
    for frame in range(150):
        kept.add(frame / FPS, picture(frame, (1, 5000) if frame == 149 else (48, 64)))
    assert len(kept) == 101  # ten seconds back from the last
    assert round(float(kept[0][0].mean())) == 49
    wide, scale = kept[100]
    assert (wide.shape, scale) == ((1, 1280, 3), 5000 / 1280)
    monkeypatch.setattr(look_back, "KEPT_BYTES", 5000)
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)
    for frame, image in enumerate(noise):
        kept.add(20 + frame / FPS, image)
    assert 0 < len(kept) < 5
    kept.clear()
    assert len(kept) == 0


def test_positions_are_those_of_the_large_picture() -> None:
    reader, crowd = Reader(), Crowd("largest")
    back, large = LookBack(reader, crowd), (96, 2 * look_back.LONGEST_PX)
    crowd.look(picture(0, large))
    for frame in range(6):
        back.miss(frame / FPS, picture(100, large), False)
    joints = reader(picture(100, large))[0]
    number = crowd.follow(body(joints), 0.6)
    shown = picture(100, large)
    found = [back.see((6 + k) / FPS, shown, False, shown, number) for k in range(5)][-1]
    assert len(found) == 6
    np.testing.assert_allclose(found[0][:, :2], joints[:, :2] * 2)


@pytest.mark.pose
def test_a_stream_is_never_looked_back_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would stall, and nobody sees those pictures again."""
    monkeypatch.setattr(pose, "LookBack", lambda *_: pytest.fail("a stream keeps pictures"))
    stream = pose.Follower()
    try:
        assert stream.push(0.0, picture(128)) is None
    finally:
        stream.close()


@pytest.mark.pose
def test_who_lies_and_is_found_after_seconds_is_where_the_mirrored_clip_has_them(shared_data: Path) -> None:
    """The detector misses this man for 2.8 s; his mirror image it sees from the first frames on."""
    video = shared_data / "videos" / "bench_press_1.mp4"
    found = follow(read_video(video, rgb=True), rgb=True).track
    assert np.isfinite(found.xy_px).all()
    mirrored = ((t, np.ascontiguousarray(image[:, ::-1])) for t, image in read_video(video, rgb=True))
    other = follow(mirrored, rgb=True).track.xy_px[:, list(BLAZEPOSE_33.mirror)] * (-1, 1) + (found.width - 1, 0)
    trunk = np.linalg.norm(found.xy_px[:67, TRUNK] - other[:67, TRUNK], axis=-1)  # frames that were looked back into
    assert np.median(trunk) < 10
    assert np.percentile(trunk, 95) < 25
