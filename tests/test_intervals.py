"""Intervals, against values computed elsewhere, and how often a borrowed error turns a verdict."""

import numpy as np
import pytest

from repset.autolabel import intervals
from repset.autolabel.flips import flip_rates
from repset.autolabel.joint_error import Pairs
from repset.autolabel.ruleset import load_rules
from repset.landmarks import PENN_13


def test_a_share_has_wilsons_interval() -> None:
    """Printed by R's prop.test(81, 263, correct = FALSE): 0.2553 to 0.3662 (Newcombe 1998, table I)."""
    assert intervals.of_share(81, 263) == pytest.approx([0.2553, 0.3662], abs=1e-4)
    assert intervals.of_share(0, 0) is None


def test_frames_of_one_clip_do_not_count_as_many() -> None:
    """Two clips, all right and all wrong: the share 0.5 is known no better for having 100 frames of each."""
    hits = np.repeat([1.0, 0.0], 100)
    clips = np.repeat([0, 1], 100)
    # residual sums ±50; √(2 · 2 · 50²) / 200 = 0.5
    assert intervals.of_clustered_mean(hits, clips) == pytest.approx([0.5 - 0.98, 0.5 + 0.98])
    assert intervals.of_clustered_mean(hits, clips, within=(0, 1)) == [0, 1]
    assert intervals.of_clustered_mean(hits, np.zeros(200, np.int64)) is None


def squatting(depths: tuple[float, ...]) -> np.ndarray:
    """(T, 13, 2) Penn joints of a body seen from the side; the knee turns at these angles."""
    way = (1 - np.cos(np.linspace(0, 2 * np.pi, 60))) / 2
    parts = [np.full(20, 172.0)]
    for depth in depths:
        parts += [172 - (172 - depth) * way, np.full(20, 172.0)]
    turn = np.radians(180 - np.concatenate(parts))
    zero = np.zeros_like(turn)
    ankle = np.stack([zero + 300, zero + 400], -1)
    knee = ankle + 100 * np.stack([np.sin(0.4 * turn), -np.cos(0.4 * turn)], -1)
    hip = knee + 100 * np.stack([-np.sin(0.6 * turn), -np.cos(0.6 * turn)], -1)
    shoulder = hip + 100 * np.stack([np.sin(0.35 * turn), -np.cos(0.35 * turn)], -1)
    at = {"ankle": ankle, "knee": knee, "hip": hip, "shoulder": shoulder, "elbow": shoulder + np.array([10, 50]),
          "wrist": shoulder + np.array([40, 70]), "head": shoulder + np.array([5, -50])}  # fmt: skip
    return np.stack([at[name.rsplit("_", 1)[-1]] for name in PENN_13.joints], 1).astype(np.float64)


def pairs(seen: tuple[float, float]) -> Pairs:
    """Three clips of two squats each, 80° and 112° deep; the detector sees them as deep as `seen`."""
    truth, found = (np.concatenate([squatting(depths)] * 3) for depths in ((80.0, 112.0), seen))
    length = len(truth) // 3
    key, frame = np.repeat(np.arange(3), length), np.tile(np.arange(length), 3)
    state = np.zeros(truth.shape[:2], np.int8)
    return Pairs("penn_13", ["a", "b", "c"], key, frame, truth, found, state, np.empty(0, np.int64))


@pytest.mark.parametrize(("seen", "flipped"), [((80.0, 112.0), 0.0), ((130.0, 130.0), 0.5), ((84.0, 116.0), 0.0)])
def test_an_error_that_hides_the_depth_turns_the_verdict_of_deep_squats_only(
    seen: tuple[float, float], flipped: float
) -> None:
    """Three clips, two donors each, two squats: 12."""
    names, fps = dict.fromkeys("abc", "squat"), dict.fromkeys("abc", 30.0)
    rates = flip_rates(pairs(seen), names, fps, load_rules("default"))
    assert rates is not None
    assert rates["per_exercise"]["squat"] == rates["overall"]
    assert (rates["overall"]["n"], rates["overall"]["flipped"]) == (12, flipped)


def test_without_a_second_clip_no_error_can_be_borrowed() -> None:
    alone = pairs((80.0, 112.0))
    assert flip_rates(alone, {"a": "squat"}, {"a": 30.0}, load_rules("default")) is None
