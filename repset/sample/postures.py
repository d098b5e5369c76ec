"""Postures of motions that are only ever projected: where trunk and legs are while the arms work, or the legs work.

Each function poses one set (`Set`) over all its frames. The amounts are this project's own choice, wide on purpose.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from repset.sample.course import Course, alternating, frozen
from repset.sample.geometry import Array, lerp, rot_x, rot_y, rot_z, unit, vec
from repset.sample.motions import _over_feet
from repset.sample.skeleton import ANKLE, SIDES, Frame, Limb, Pose

Key = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Directions of upper arm and forearm of the left side: x outwards, y towards the head, z ahead of the chest."""

HANG: Key = ((0.13, -1, 0.03), (0.08, -1, 0.16))
HIPS: Key = ((0.7, -0.8, -0.35), (-0.75, -0.6, 0.35))
REACH: Key = ((0.08, -0.1, 1), (0.0, -0.05, 1))
GOBLET: Key = ((0.15, -0.9, 0.4), (-0.3, 0.75, 0.5))
RACK: Key = ((0.25, -0.35, 0.9), (-0.2, 0.8, -0.5))
BAR: Key = ((0.75, -0.75, -0.25), (0.2, 0.95, -0.1))
NECK: Key = ((0.85, 0.35, -0.1), (-0.75, 0.45, -0.25))
CROSSED: Key = ((0.15, -0.75, 0.65), (-0.9, 0.35, 0.2))
CARRIES = (HANG, HANG, HIPS, REACH, GOBLET, RACK, BAR, BAR, NECK, CROSSED)
"""Where the arms may be while the legs work."""


@dataclass
class Set:
    """One set while it is posed: build, course, chance, and the phase of each side."""

    frame: Frame
    course: Course
    rng: np.random.Generator

    def draw(self, low: float, high: float) -> float:
        """A number chosen once for the set."""
        return float(self.rng.uniform(low, high))

    @property
    def phase(self) -> Array:
        """(T,) 0 at the start, 1 at the turn."""
        return self.course.phase

    @property
    def zero(self) -> Array:
        """(T,) zeros."""
        return np.zeros(self.course.frames)


Body = Callable[[Set], Pose]


def _legs(pose: Pose, half_width: float, ahead: float, pole: tuple[float, float, float], lift: float = 0.0) -> Pose:
    for side, sign in SIDES:
        at = vec(half_width * sign, ANKLE + lift, ahead)
        out = vec(0.2 * sign, 0, 1)
        pose.legs[side] = Limb(target=at, pole=vec(pole[0] * sign, pole[1], pole[2]), end=out)
    return pose


def standing(s: Set) -> Pose:
    """Upright, feet somewhat apart."""
    width, lean = s.draw(0.07, 0.22), s.draw(-5, 14)
    pelvis = _over_feet(s.frame, s.zero + s.draw(158, 177), width, s.zero, np.eye(3)[None])
    pose = Pose(pelvis, np.eye(3), rot_x(lean), rot_x(s.draw(-8, 12)))
    return _legs(pose, width, 0.0, (0.2, 0, 1))


def split_stance(s: Set) -> Pose:
    """One foot ahead of the other, as at a cable."""
    pose = standing(s)
    gap = s.draw(0.1, 0.3) * (1 if s.rng.random() < 0.5 else -1)
    for side, sign in SIDES:
        pose.legs[side].target = vec(0.1 * sign, ANKLE, gap * sign)
    pose.pelvis = pose.pelvis - vec(0, 0.03, 0)
    return pose


def seated(s: Set) -> Pose:
    """On a bench or a chair, upright or leaning back."""
    lean = s.draw(-28, 8)
    pose = Pose(vec(0.0, s.draw(0.44, 0.56), s.zero), rot_x(0.7 * lean), rot_x(lean), rot_x(s.draw(-6, 8)))
    return _legs(pose, s.draw(0.1, 0.36), s.draw(0.28, 0.58), (0.3, 1, 0.8))


def incline(s: Set) -> Pose:
    """On a bench whose back is half-way down."""
    lean = s.draw(-72, -42)
    pose = Pose(vec(0.0, 0.50, s.zero), rot_x(0.8 * lean), rot_x(lean), rot_x(lean + 20))
    return _legs(pose, s.draw(0.15, 0.36), s.draw(0.3, 0.55), (0.3, 1, 0.8))


def kneeling(s: Set) -> Pose:
    """On both knees."""
    pose = Pose(vec(0.0, s.frame.thigh + 0.07, s.zero), np.eye(3), rot_x(s.draw(-6, 25)), np.eye(3))
    return _legs(pose, s.draw(0.08, 0.2), -0.93 * s.frame.shank, (0, -0.6, 1))


def supine(s: Set) -> Pose:
    """On the back, on a bench or the floor, legs bent or stretched."""
    height = s.draw(0.5, 0.6) if s.rng.random() < 0.6 else 0.12
    back = rot_x(-90.0 + s.draw(-4, 6))
    pose = Pose(vec(0.0, height, s.zero), back, back, rot_x(-80.0))
    if s.rng.random() < 0.75:
        return _legs(pose, s.draw(0.1, 0.3), s.draw(0.3, 0.6), (0.2, 1, 0.6))
    return _legs(pose, s.draw(0.06, 0.2), 0.84, (0, 1, 0.1), height - 0.05)


def bent_over(s: Set) -> Pose:
    """Hips back, trunk well forward and still."""
    lean, width = s.draw(28, 82), s.draw(0.08, 0.22)
    turn = rot_x(np.full(s.course.frames, 0.85 * lean))
    pelvis = _over_feet(s.frame, s.zero + s.draw(128, 172), width, s.zero + s.draw(0.08, 0.2), turn)
    pose = Pose(pelvis, turn, rot_x(lean + s.draw(-6, 6) * s.phase), rot_x(lean - s.draw(5, 40)))
    return _legs(pose, width, 0.0, (0.2, 0, 1))


def braced(s: Set) -> Pose:
    """Trunk level, one knee and hand on a bench."""
    pose = bent_over(s)
    side, sign = SIDES[0] if s.course.style["side"] < 0.5 else SIDES[1]
    pose.legs[side] = Limb(target=vec(0.1 * sign, 0.52, -0.5), pole=vec(0, -0.8, 0.6), end=vec(0, -0.3, -1))
    return pose


def prone(s: Set) -> Pose:
    """Straight from feet or knees to shoulders; the phase lowers the shoulders. Hands stay where they are."""
    knees = s.rng.random() < 0.25
    top, low = s.draw(0.46, 0.58), s.draw(0.14, 0.32)
    raised, sag = s.draw(0, 0.35) if s.rng.random() < 0.25 else 0.0, s.draw(-0.06, 0.05)
    reach = s.frame.rest["uarm_left"][1] - s.frame.rest["pelvis"][1]
    root = s.frame.thigh if knees else s.frame.thigh + s.frame.shank
    foot = 0.09
    rise = np.arcsin(np.clip((lerp(top, low, s.phase) + raised - foot) / (root + reach), -0.2, 0.95))
    hip = vec(0.0, foot + root * np.sin(rise) - sag, root * np.cos(rise))
    turn = rot_x(90 - np.degrees(rise))
    pose = Pose(hip, turn, turn, turn @ rot_x(s.draw(-35, 8)))
    width, hands = s.draw(0.14, 0.36), (root + reach) * np.cos(float(rise[0])) + s.draw(-0.08, 0.06)
    for side, sign in SIDES:
        end = vec(0, -1, 0.2)
        if knees:
            shin = vec(0.08 * sign, foot + s.frame.shank * 0.6, -0.75 * s.frame.shank)
            pose.legs[side] = Limb(target=shin, pole=vec(0, -1, 0.3), end=end)
        else:
            pose.legs[side] = Limb(target=vec(0.08 * sign, foot, 0), pole=vec(0, -1, 0), end=end)
        pose.arms[side] = Limb(target=vec(width * sign, raised + 0.04, hands), pole=vec(0.8 * sign, 0.3, -0.6))
    return pose


def hanging(s: Set) -> Pose:
    """From a bar, the phase pulls up; grip narrow or wide, knees straight or bent."""
    width, bend, bar = s.draw(0.14, 0.46), s.draw(0, 1.6), 2.2
    drop = s.frame.rest["uarm_left"][1] - s.frame.rest["pelvis"][1]
    reach = np.sqrt(np.maximum((s.frame.upper_arm + s.frame.forearm - 0.005) ** 2 - (width - 0.17) ** 2, 0.1))
    shoulder = bar - lerp(reach, s.draw(0.02, 0.16), s.phase)
    lean = rot_x(s.draw(-22, 2) * s.phase)
    pose = Pose(vec(0.0, shoulder - drop, -0.04 * s.phase), rot_x(s.draw(0, 14) * s.phase), lean, np.eye(3))
    ahead = s.draw(0.0, 0.3)
    for side, sign in SIDES:
        knee = pose.pelvis + vec(0.09 * sign, -s.frame.thigh, ahead)
        foot = knee + 0.97 * s.frame.shank * vec(0, -np.cos(bend), -np.sin(bend))
        pose.legs[side] = Limb(target=foot, pole=vec(0, 0, 1), end=vec(0, -0.75, 0.4))
        pose.arms[side] = Limb(target=vec(width * sign, bar, 0.0), pole=vec(0.8 * sign, -1, -0.15))
    return pose


def squatting(s: Set) -> Pose:
    """Down to a depth and up, by the knees or more by the hips."""
    knee, width = lerp(s.draw(162, 177), s.draw(52, 118), s.phase), s.draw(0.1, 0.32)
    bend = (175 - knee) / 95
    lean = lerp(s.draw(0, 8), s.draw(14, 52), np.clip(bend, 0, 1))
    turn = rot_x(0.9 * lean)
    pelvis = _over_feet(s.frame, knee, width, s.draw(0.12, 0.26) * bend, turn)
    pose = Pose(pelvis, turn, rot_x(lean), rot_x(s.draw(0, 0.7) * lean))
    return _legs(pose, width, 0.0, (s.draw(0.2, 0.8), 0, 1))


def lunging(s: Set) -> Pose:
    """Split stance or a step ahead, back foot on the floor or on a bench, the same leg or both in turn."""
    step, raised = s.rng.random() < 0.5, 0.45 if s.rng.random() < 0.3 else 0.06
    turns = alternating(s.course) if s.rng.random() < 0.5 else np.full(s.course.frames, s.draw(0, 1) < 0.5)
    gap, drop = s.draw(0.28, 0.5), s.draw(0.2, 0.42)
    open_ = np.clip(2.2 * s.phase, 0, 1) if step and raised < 0.1 else np.ones(s.course.frames)
    deep = np.clip(1.6 * s.phase - 0.6, 0, 1) if step and raised < 0.1 else s.phase
    back = 0.0 if s.rng.random() < 0.5 else 1.0
    pelvis = vec(0.0, s.frame.hip_height + 0.0 - drop * deep - 0.03 * open_, gap * (1 - 2 * back) * open_ * 0.5)
    lean = rot_x(lerp(s.draw(0, 6), s.draw(2, 24), s.phase))
    pose = Pose(pelvis, np.eye(3), lean, np.eye(3))
    for side, sign in SIDES:
        front = turns if side == "left" else ~turns
        reach = gap * open_ * np.where(front, 1.0, -1.0)
        high = np.where(front, ANKLE, ANKLE + raised * np.maximum(open_, 0))
        toes = unit(vec(0, np.where(front, 0.0, -0.8), 1.0))
        at = vec(0.1 * sign, high, reach + pelvis[..., 2] * (1.0 if step else 0.0))
        pose.legs[side] = Limb(target=at, pole=vec(0.05 * sign, 0, 1), end=toes)
    return pose


def hinging(s: Set) -> Pose:
    """Deadlift, good morning, swing: the hips bend, the knees hardly."""
    lean = lerp(s.draw(0, 8), s.draw(45, 95), s.phase)
    knee, width = lerp(174, s.draw(112, 172), s.phase), s.draw(0.08, 0.25)
    turn = rot_x(0.9 * lean)
    pose = Pose(
        _over_feet(s.frame, knee, width, s.draw(0.1, 0.24) * s.phase, turn), turn, rot_x(lean), rot_x(lean * 0.6)
    )
    return _legs(pose, width, 0.0, (0.2, 0, 1))


def leaning(s: Set) -> Pose:
    """Side bends, twists and turns of the trunk on still legs."""
    pose = standing(s)
    wave = np.sin(np.pi * s.phase) if s.rng.random() < 0.3 else 2 * s.phase - 1
    turn = rot_y(s.draw(-70, 70) * wave) @ rot_z(s.draw(-35, 35) * wave) @ rot_x(s.draw(-10, 30) * s.phase)
    pose.chest_turn, pose.head_turn, pose.hip_turn = turn, turn, rot_y(s.draw(-15, 15) * wave)
    return pose


def marching(s: Set) -> Pose:
    """High knees, marching or running on the spot, kicks, butt kicks."""
    pose = standing(s)
    turns, height = alternating(s.course), s.draw(0.08, 0.55)
    ahead = s.draw(-0.35, 0.45)
    for side, sign in SIDES:
        up = np.where(turns if side == "left" else ~turns, s.phase, 0)
        at = vec(0.1 * sign, ANKLE + height * up, ahead * up)
        pose.legs[side] = Limb(target=at, pole=vec(0.1 * sign, 0, 1), end=vec(0, -0.3, 1))
    return pose


def floor_work(s: Set) -> Pose:
    """On the back: leg raises, bridges, bicycle; no trunk comes up."""
    pose = supine(s)
    bridge, raise_ = (s.draw(0.1, 0.3), 0.0) if s.rng.random() < 0.4 else (0.0, s.draw(0.2, 0.8))
    pose.pelvis = vec(0.0, 0.12 + bridge * s.phase, 0.0)
    pose.hip_turn = rot_x(-90 - 90 * bridge * s.phase)
    for side, sign in SIDES:
        shift = alternating(s.course) if s.course.style["knees"] < 0.3 else np.full(s.course.frames, True)
        up = np.where(shift if side == "left" else shift | (s.course.style["knees"] >= 0.3), s.phase, 0)
        at = vec(0.1 * sign, ANKLE + raise_ * up, lerp(0.8 if raise_ else 0.5, 0.4, up))
        pose.legs[side] = Limb(target=at, pole=vec(0, 1, 0.3), end=vec(0, 0.6, 1))
    return pose


def climbing(s: Set) -> Pose:
    """Mountain climbers and taps: a plank whose feet or hands move."""
    still = Set(s.frame, frozen(s.course, 0.0), s.rng)
    pose = prone(still)
    turns = alternating(s.course)
    if s.rng.random() < 0.6:
        for side, sign in SIDES:
            up = np.where(turns if side == "left" else ~turns, s.phase, 0)
            at = lerp(1, 0, up)[:, None] * vec(0.08 * sign, 0.09, 0) + up[:, None] * vec(0.1 * sign, 0.2, 0.6)
            pose.legs[side] = Limb(target=at, pole=vec(0, -1, 0.5), end=vec(0, -1, 0.2))
    return pose
