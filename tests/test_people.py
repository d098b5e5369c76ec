"""Whom a clip is about when several are in view."""

from collections import Counter
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from repset.autolabel.people import Body, Crowd, blinkers, body, close, distinct, unlike
from repset.autolabel.pose import follow, follow_image
from repset.landmarks import BLAZEPOSE_33
from repset.video import Image, read_video

RED, BLUE = np.array([200.0, 30, 30, 40, 40, 40]), np.array([30.0, 30, 200, 220, 220, 220])
FRAME = np.zeros((480, 640, 3), np.uint8)
FPS = 10


def someone(x: float, y: float = 240, height: float = 200, colour: np.ndarray = RED) -> Body:
    """A person standing at (x, y), half as wide as high."""
    box = (x - height / 4, y - height / 2, x + height / 4, y + height / 2)
    return Body(box, np.array([x, y]), float(np.hypot(height / 2, height)), colour.copy())


def walk(crowd: Crowd, views: list[list[Body]]) -> list[float | None]:
    """Show the crowd what is found in every frame, as if nobody were tracked. Returns: where the one followed is."""
    places: list[float | None] = []
    for frame, found in enumerate(views):
        crowd.look(FRAME)
        chosen = crowd.choose(found, frame / FPS)
        places.append(None if chosen is None else float(found[chosen].centre_px[0]))
        if chosen is not None:
            crowd.follow(found[chosen], frame / FPS)
    return places


def test_largest_and_most_central_are_chosen_at_the_start() -> None:
    found = [someone(100, height=300), someone(330, height=120), someone(600, height=310)]
    crowd = Crowd("largest")
    assert walk(crowd, [found]) == [100.0]  # half of the one at 600 is outside the picture
    assert (crowd.people, crowd.first) == (3, [(found[0].box_px, 0.0)])
    assert walk(Crowd("centre"), [found]) == [330.0]


def test_someone_larger_who_comes_by_is_not_followed() -> None:
    mine, other = [someone(300)], [someone(300 + 200), someone(340, height=330, colour=BLUE)]
    views = [mine, mine, [mine[0], other[0]], [other[1]], [other[1]], [mine[0], other[0]], mine]
    assert walk(Crowd("largest"), views) == [300, 300, 300, None, None, 300, 300]


def test_someone_who_left_gives_way_after_a_second_and_the_longer_one_is_kept() -> None:
    crowd = Crowd("largest")
    first, second = [someone(100, colour=BLUE)], [someone(560)]
    places = walk(crowd, [first] * 5 + [second] * 40)
    assert places == [100.0] * 5 + [None] * 10 + [560.0] * 30
    assert crowd.people == 2
    assert crowd.kept(Counter({0: 5, 1: 30})) == {1}


def test_one_person_alone_may_come_back_anywhere() -> None:
    crowd = Crowd("largest")
    views = [[someone(100)]] * 5 + [[]] * 15 + [[someone(560, colour=BLUE)]] * 5
    assert walk(crowd, views)[-5:] == [560.0] * 5
    assert crowd.people == 1
    assert crowd.kept(Counter({0: 10})) == {0}


def test_person_known_by_their_colours_keeps_their_number() -> None:
    crowd = Crowd("largest")
    both = [someone(100), someone(500, height=150, colour=BLUE)]
    walk(crowd, [both] * 3 + [[]] * 15 + [[someone(500, height=150, colour=BLUE)]] * 2)
    walk_back = [crowd.choose([someone(400)], 4.0), crowd.follow(someone(400), 4.0)]
    assert walk_back == [0, 0]
    assert len(crowd.first) == 2


def test_camera_cut_begins_anew_at_once() -> None:
    crowd = Crowd("largest")
    crowd.people = 2
    for frame, (picture, place) in enumerate([(FRAME, 100), (FRAME, 100), (FRAME + 200, 560), (FRAME + 200, 560)]):
        assert crowd.look(picture) == (frame == 2)
        found = [someone(place, colour=BLUE if place == 560 else RED)]
        assert crowd.choose(found, frame / FPS) == 0
        crowd.follow(found[0], frame / FPS)
    assert crowd.kept(Counter({0: 2, 1: 2})) == {0, 1}  # one of each scene


def test_everyone_keeps_their_number_when_all_are_followed() -> None:
    crowd = Crowd("tracked")
    numbers = []
    for frame in range(20):
        crowd.look(FRAME)
        left, right = someone(100 + 5 * frame), someone(500 - 5 * frame, height=150, colour=BLUE)
        found = [left, right] if frame % 2 else [right, left]
        numbers.append(crowd.sort(found, frame / FPS))
    assert numbers == [[0, 1], [1, 0]] * 10
    assert crowd.kept(Counter({0: 20, 1: 19})) == {0}


def test_jump_of_the_tracker_is_noticed() -> None:
    crowd = Crowd("largest")
    walk(crowd, [[someone(100), someone(500, colour=BLUE)]] * 3)
    assert crowd.holds(someone(140))
    assert not crowd.holds(someone(500))
    assert not crowd.holds(someone(110, colour=BLUE))


def test_a_person_of_another_frame_is_told_by_their_colours() -> None:
    crowd = Crowd("largest")
    walk(crowd, [[someone(100)]])
    assert crowd.alike(0, someone(600))
    assert not crowd.alike(0, someone(100, colour=BLUE))


def test_same_person_found_twice_counts_once() -> None:
    found = [someone(100), someone(110), someone(400)]
    assert distinct(found) == [0, 2]
    assert close(found[0], found[1])
    assert not close(found[0], found[2])


def test_colours_are_those_of_trunk_and_thighs() -> None:
    joints = np.full((33, 2), 200.0, np.float32)
    for side, x in (("left", 260), ("right", 200)):
        for name, y in (("shoulder", 100), ("hip", 200), ("knee", 300)):
            joints[BLAZEPOSE_33.joints.index(f"{side}_{name}")] = (x, y)
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[100:201, 190:270], picture[201:300, 190:270] = (250, 10, 20), (0, 0, 90)
    seen = body(joints, picture)
    assert seen.colour.tolist() == [250, 10, 20, 0, 0, 90]
    assert seen.centre_px.tolist() == [230, 150]
    assert seen.box_px == (200, 100, 260, 300)
    assert np.isnan(body(joints).colour).all()
    assert unlike(seen.colour, np.array([250, 10, 50, 0, 0, 90.0])) == 15
    assert unlike(seen.colour, np.full(6, np.nan)) == 0


def test_blinkers_leave_the_box_and_a_margin() -> None:
    out = blinkers(np.full((100, 100, 3), 9, np.uint8), (40, 40, 60, 60))
    assert out.any(-1).sum() == 27 * 27  # 20 wide, 3 more on each side, and the last pixel
    assert (int(out[37, 37, 0]), int(out[36, 36, 0]), int(out[63, 63, 0]), int(out[64, 64, 0])) == (9, 0, 9, 0)


# --- through MediaPipe ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gym(shared_data: Path) -> list[Image]:
    """A squat on the left, a shoulder press, seen smaller, in the middle."""

    def clip(name: str) -> list[Image]:
        frames = islice(read_video(shared_data / "videos" / f"{name}.mp4", rgb=True), 20)
        return [cv2.resize(image, (270, 480)) for _, image in frames]

    edge = np.zeros((480, 136, 3), np.uint8)
    return [
        np.hstack([left, right, edge]) for left, right in zip(clip("squat_1"), clip("shoulder_press_3"), strict=True)
    ]


@pytest.mark.real
@pytest.mark.pose
@pytest.mark.parametrize(("rule", "left", "right"), [("largest", 0, 270), ("centre", 270, 540), ("tracked", 0, 540)])
def test_person_asked_for_is_followed(gym: list[Image], rule: str, left: int, right: int) -> None:
    found = follow(((n / 5, image) for n, image in enumerate(gym)), rgb=True, rule=rule)  # type: ignore[arg-type]
    hips = found.track.xy_px[:, [23, 24], 0].mean(1)
    assert found.people == 2
    assert np.isfinite(hips).mean() >= 0.9
    seen = hips[np.isfinite(hips)]
    assert ((seen > left) & (seen < right)).all()
    assert np.abs(np.diff(seen)).max() < 60  # nobody is exchanged
    if rule != "tracked":
        alone = follow_image(gym[0][..., ::-1], rule=rule).track.xy_px[0, [23, 24], 0].mean()  # type: ignore[arg-type]
        assert left < alone < right


@pytest.mark.real
@pytest.mark.pose
def test_man_on_the_roof_is_followed_though_a_woman_walks_by(shared_data: Path) -> None:
    """By eye: he stands at the top left (y < 480) until he jumps at 5.5 s; she is below (y > 540) from 1.5 s on."""
    found = follow(read_video(shared_data / "videos" / "negative_3.mp4", rgb=True), rgb=True)
    hips = found.track.xy_px[:, [23, 24]].mean(1)
    before = hips[(found.track.time_s > 0.5) & (found.track.time_s < 5.0)]
    assert np.isfinite(before).all(-1).mean() >= 0.95
    assert np.nanmax(before[:, 1]) < 480
    after = hips[found.track.time_s > 6.6]  # he has landed on the right of the grass, she has gone to the left
    assert np.nanmin(after[:, 0]) > 900
    assert found.people >= 2
