"""Tempo of movements whose phases are written out."""

import numpy as np
import pytest

from repset.autolabel.tempo import Tempo, tempo


def movement(down_s: float, hold_s: float, up_s: float, fps: float = 100, depth: float = 90) -> tuple[np.ndarray, ...]:
    """A half cosine down, a hold, a half cosine up; the effort as the repetition counter sees it."""
    t = np.arange(0, down_s + hold_s + up_s + 0.5 / fps, 1 / fps)
    down = np.clip(t / down_s, 0, 1)
    up = np.clip((t - down_s - hold_s) / up_s, 0, 1)
    return depth * (np.cos(np.pi * up) - np.cos(np.pi * down)) / 2, t


def measured(down_s: float, hold_s: float, up_s: float, fps: float = 100, lift_first: bool = False) -> Tempo:
    values, t = movement(down_s, hold_s, up_s, fps)
    turn = int(np.argmax(values))
    return tempo(values, t, (0, turn, len(t)), (True, True), lift_first)


@pytest.mark.parametrize(("down", "hold", "up"), [(2.0, 1.0, 1.0), (1.0, 0.0, 1.0), (3.0, 0.5, 1.5), (0.6, 0.0, 0.9)])
@pytest.mark.parametrize("fps", [100, 30, 10])
def test_the_phases_are_those_that_were_moved(down: float, hold: float, up: float, fps: float) -> None:
    found = measured(down, hold, up, fps)
    values = (found.eccentric_s, found.pause_s, found.concentric_s)
    assert values == pytest.approx((down, hold, up), abs=0.03 + 0.7 / fps)
    assert sum(v or 0 for v in values) == pytest.approx(down + hold + up, abs=1.1 / fps)


def test_a_turn_on_the_spot_has_no_pause() -> None:
    assert measured(1.0, 0.0, 1.0) == Tempo(1.0, 0.0, 1.0)


def test_a_curl_lifts_before_the_turn() -> None:
    found = measured(2.0, 1.0, 1.0, lift_first=True)
    assert (found.concentric_s, found.eccentric_s) == pytest.approx((2.0, 1.0), abs=0.04)


def test_a_phase_that_the_clip_does_not_show_is_unknown() -> None:
    values, t = movement(2.0, 0.0, 1.0)
    turn = int(np.argmax(values))
    assert tempo(values, t, (0, turn, len(t)), (True, False), False) == Tempo(2.0, None, None)
    assert tempo(values, t, (0, turn, len(t)), (False, True), False) == Tempo(None, None, 1.0)
    assert tempo(values, t, (0, turn, len(t)), (False, True), True) == Tempo(1.0, None, None)


def test_a_signal_that_is_not_known_has_no_tempo() -> None:
    values = np.full(20, np.nan)
    assert tempo(values, np.arange(20) / 10, (0, 10, 20), (True, True), False) == Tempo(None, None, None)


def test_the_table_has_the_tempo_of_every_repetition() -> None:
    from repset.autolabel.label import label_track
    from repset.autolabel.ruleset import load_rules
    from repset.landmarks import COCO_17
    from repset.schema import PoseTrack, Stretch

    effort, _ = movement(1.5, 0.5, 1.0, fps=30, depth=1)
    rest = np.zeros(30)
    effort = np.concatenate([rest, effort, rest, effort, rest])
    hip_y = 100 + 60 * effort  # the shank stands, the hip sinks: knee and hip bend
    xy = np.full((len(effort), 17, 2), np.nan, np.float32)
    for side, x in (("left", 95.0), ("right", 105.0)):
        knee_x = x + np.sqrt(np.maximum(50.0**2 - ((200 - hip_y) / 2) ** 2, 0))
        for joint, jx, jy in (
            ("ankle", x, 200.0), ("knee", knee_x, (200 + hip_y) / 2), ("hip", x, hip_y), ("shoulder", x, hip_y - 60),
        ):  # fmt: skip
            xy[:, COCO_17.index(f"{side}_{joint}"), 0] = jx
            xy[:, COCO_17.index(f"{side}_{joint}"), 1] = jy
    track = PoseTrack("coco_17", np.arange(len(effort)) / 30, xy, np.isfinite(xy[..., 0]).astype(np.float32), 200, 300)
    labels = label_track("a/1", track, [Stretch(0, len(effort), "squat", None, "given")], load_rules("default"), 0.5)
    assert [(row["eccentric_s"], row["pause_s"], row["concentric_s"]) for row in labels.reps] == [
        pytest.approx((1.5, 0.5, 1.0), abs=0.3)
    ] * 2
