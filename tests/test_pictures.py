"""Pictures of a job: which there are, where they lie, and that they show what they are named after."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from repset.autolabel.label import label_track
from repset.autolabel.pictures import Labelled, write_pictures, write_plots
from repset.autolabel.ruleset import load_rules
from repset.landmarks import COCO_17
from repset.schema import PoseTrack, Stretch
from repset.video import probe_video

FPS = 30


def squats(depths: tuple[float, ...], rest: tuple[float, ...] | None = None) -> PoseTrack:
    """Seen from the left: stands at the knee angles `rest` (first to last), and between goes down to `depths`."""
    rest = rest or (175.0,) * (len(depths) + 1)
    half = (1 - np.cos(np.linspace(0, np.pi, FPS))) / 2
    knee = [np.full(FPS, rest[0])]
    for k, depth in enumerate(depths):
        knee += [rest[k] + (depth - rest[k]) * half, depth + (rest[k + 1] - depth) * half, np.full(FPS, rest[k + 1])]
    turn = np.radians(np.concatenate(knee)) / 2
    xy = np.full((len(turn), 17, 2), np.nan, np.float32)
    hip_y = 190 - 80 * np.sin(turn)
    joints = {
        "ankle": (0 * turn + 100, 0 * turn + 190), "knee": (100 + 40 * np.cos(turn), 190 - 40 * np.sin(turn)),
        "hip": (0 * turn + 100, hip_y), "shoulder": (0 * turn + 100, hip_y - 45),
    }  # fmt: skip
    for joint, (x, y) in joints.items():
        xy[:, COCO_17.index(f"left_{joint}")] = np.stack([x, y], axis=1)
    seen = np.isfinite(xy[..., 0]).astype(np.float32)
    return PoseTrack("coco_17", np.arange(len(turn)) / FPS, xy, seen, 240, 200)


def item(track: PoseTrack, rules: str = "default", *, still: bool = False, media: str = "gym/a.mp4") -> Labelled:
    loaded = load_rules(rules)
    stretches = [Stretch(0, len(track.time_s), "squat", None, "given")]
    if still and loaded.kind != "frame":
        stretches = []
    labels = label_track(media, track, stretches, loaded, 0.5)
    return Labelled(media, still, track, labels, loaded, "squat", 0.5)


def blank(frames: int) -> list[np.ndarray]:
    return [np.full((200, 240, 3), 90, np.uint8) for _ in range(frames)]


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_turn_of_each_repetition_lies_in_the_folder_of_its_verdict(tmp_path: Path) -> None:
    one = item(squats((80, 130)))
    write_pictures(tmp_path, one, blank(len(one.track.time_s)), overlay=False, frames=True, fps=FPS)
    assert names(tmp_path) == [
        "frames/correct/gym/a.mp4-set1-rep1-turn.jpg",
        "frames/incorrect/gym/a.mp4-set1-rep2-turn.jpg",
    ]
    picture = cv2.imread(str(tmp_path / names(tmp_path)[1]))
    assert picture.shape == (200, 240, 3)
    assert (np.abs(picture.astype(int) - 90).max(-1) > 40).mean() > 0.05  # skeleton, counter, banner


def test_a_rule_broken_elsewhere_than_at_the_turn_has_its_own_picture(tmp_path: Path) -> None:
    one = item(squats((80, 80, 80), rest=(175.0, 175.0, 140.0, 175.0)))  # the second does not stand up
    write_pictures(tmp_path, one, blank(len(one.track.time_s)), overlay=False, frames=True, fps=FPS)
    assert "frames/incorrect/gym/a.mp4-set1-rep2-lockout.jpg" in names(tmp_path)
    assert "frames/incorrect/gym/a.mp4-set1-rep2-turn.jpg" in names(tmp_path)
    assert "frames/correct/gym/a.mp4-set1-rep1-turn.jpg" in names(tmp_path)


def test_overlay_and_frames_come_from_one_pass(tmp_path: Path) -> None:
    one = item(squats((80,)))
    images = iter(blank(len(one.track.time_s)))
    write_pictures(tmp_path, one, images, overlay=True, frames=True, fps=FPS)
    assert next(images, None) is None
    assert names(tmp_path) == ["frames/correct/gym/a.mp4-set1-rep1-turn.jpg", "overlay/gym/a.mp4"]
    assert probe_video(tmp_path / "overlay" / "gym" / "a.mp4").frames == len(one.track.time_s)


@pytest.mark.parametrize(
    ("depth", "rules", "folder"),
    [(80.0, "gympose", "correct"), (45.0, "gympose", "incorrect"), (80.0, "default", "unscorable")],
)
def test_a_single_picture_is_sorted_where_a_frame_rule_can_judge_it(
    tmp_path: Path, depth: float, rules: str, folder: str
) -> None:
    track = squats((depth,))
    bottom = slice(2 * FPS - 1, 2 * FPS)
    still = PoseTrack("coco_17", np.zeros(1), track.xy_px[bottom], track.visibility[bottom], 240, 200)
    write_pictures(tmp_path, item(still, rules, still=True, media="a.png"), blank(1), overlay=True, frames=True, fps=1)
    assert names(tmp_path) == [f"frames/{folder}/a.png.jpg"]


def test_a_picture_without_a_person_is_unscorable(tmp_path: Path) -> None:
    nobody = PoseTrack("coco_17", np.zeros(1), np.full((1, 17, 2), np.nan, np.float32),
                       np.zeros((1, 17), np.float32), 240, 200)  # fmt: skip
    write_pictures(tmp_path, item(nobody, still=True, media="a.png"), blank(1), overlay=False, frames=True, fps=1)
    assert names(tmp_path) == ["frames/unscorable/a.png.jpg"]


def test_a_chart_a_set(tmp_path: Path) -> None:
    one = item(squats((80, 130)))
    write_plots(tmp_path, one)
    assert names(tmp_path) == ["plot/gym/a.mp4-set1.png"]
    chart = cv2.imread(str(tmp_path / "plot/gym/a.mp4-set1.png"))
    assert chart.shape[1] > 1000
    write_plots(tmp_path / "still", item(one.track, still=True))
    assert not (tmp_path / "still").exists()
