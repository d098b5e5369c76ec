"""One action a clip, for the muscle model: the ontology's exercises, and others whose muscles are written down.

Muscles are the same within an action, so what counts is how many different actions there are, not how many clips. Each
has a row in muscle_map.yaml (the ontology's under its canonical name, the others among `words` of `motion_actions`).
Nothing here is drawn: joints are projected by tools/motion_actions.py. The amounts are this project's own choice.
"""

import numpy as np

from repset.exercises import NAMES
from repset.sample.catalogue import MOTIONS, perform
from repset.sample.course import Tempo, alternating, draw_course, frozen
from repset.sample.geometry import Array, lerp, rot_x, rot_z, vec
from repset.sample.identity import ATHLETES
from repset.sample.postures import (
    HANG,
    REACH,
    Body,
    Set,
    hinging,
    kneeling,
    marching,
    prone,
    seated,
    split_stance,
    standing,
    supine,
)
from repset.sample.skeleton import ANKLE, SIDES, Frame, Limb, Pose, Solved, solve
from repset.sample.variants import BODY_RANGE, VARIANTS, Variant, pose_arms


def bridging(s: Set) -> Pose:
    """On the back, feet near the hips: the hips rise."""
    pose = supine(s)
    rise = s.draw(0.18, 0.32) * s.phase
    pose.pelvis = vec(0.0, 0.12 + rise, s.zero)
    pose.hip_turn = rot_x(-90 - 80 * rise)
    pose.chest_turn = rot_x(-90 - 60 * rise)
    for side, sign in SIDES:
        pose.legs[side] = Limb(target=vec(0.12 * sign, ANKLE, 0.42), pole=vec(0.1 * sign, 1, 0.3), end=vec(0, -0.2, 1))
    return pose


def raising_legs(s: Set) -> Pose:
    """On the back, legs straight: they rise together or in turn."""
    pose = supine(s)
    pose.pelvis = vec(0.0, 0.12, s.zero)
    top, turns = np.radians(s.draw(40, 95)), s.rng.random() < 0.25
    length = 0.98 * (s.frame.thigh + s.frame.shank)
    for side, sign in SIDES:
        mine = alternating(s.course) if side == "left" else ~alternating(s.course)
        angle = top * np.where(mine, s.phase, 0) if turns else top * s.phase
        at = pose.pelvis + vec(0.08 * sign, length * np.sin(angle), length * np.cos(angle))
        pose.legs[side] = Limb(target=at, pole=vec(0, 1, 0.1), end=vec(0, 0.6, 1))
    return pose


def bending_aside(s: Set) -> Pose:
    """Upright; the trunk leans to one side and comes back."""
    pose = standing(s)
    turn = rot_z(s.draw(20, 42) * (1 if s.rng.random() < 0.5 else -1) * s.phase)
    pose.chest_turn = pose.head_turn = turn
    return pose


def climbing_mountains(s: Set) -> Pose:
    """A plank whose knees come to the chest in turn."""
    pose = prone(Set(s.frame, frozen(s.course, 0.0), s.rng))
    turns = alternating(s.course)
    for side, sign in SIDES:
        up = np.where(turns if side == "left" else ~turns, s.phase, 0)
        at = lerp(1, 0, up)[:, None] * vec(0.08 * sign, 0.09, 0) + up[:, None] * vec(0.1 * sign, 0.22, 0.5)
        pose.legs[side] = Limb(target=at, pole=vec(0.5 * sign, 0.3, 1), end=vec(0, -1, 0.2))
    return pose


def dipping(s: Set) -> Pose:
    """Hands on a bench behind, feet ahead: the hips go down and up."""
    high, low = s.draw(0.52, 0.6), s.draw(0.24, 0.36)
    pose = Pose(vec(0.0, lerp(high, low, s.phase), s.zero), rot_x(s.draw(-12, 4)), rot_x(s.draw(-6, 6)), np.eye(3))
    ahead = s.draw(0.55, 0.85)
    for side, sign in SIDES:
        pose.legs[side] = Limb(target=vec(0.1 * sign, ANKLE, ahead), pole=vec(0.1 * sign, 1, 0.5), end=vec(0, 0.6, 1))
        pose.arms[side] = Limb(target=vec(0.2 * sign, 0.52, -0.16), pole=vec(0.25 * sign, 0.1, -1))
    return pose


_UP: tuple[Body, ...] = (standing, standing, split_stance, seated, kneeling)
_RUN = ((0.15, -1, 0.4), (0, 0.3, 1)), ((0.15, -1, -0.5), (0, -0.2, 1))

OTHERS: dict[str, Variant] = {
    "front_raise": Variant("", _UP, HANG, REACH),
    "upright_row": Variant("", _UP, ((0.1, -1, 0.1), (-0.1, -1, 0.15)), ((0.95, 0.1, 0.2), (-0.5, -0.85, 0.2))),
    "chest_fly": Variant("", (supine,), ((1, -0.05, 0.15), (0.9, 0, 0.5)), ((0.1, -0.05, 1), (-0.05, 0, 1)),
                         sides=False),
    "lat_pulldown": Variant("", (seated,), ((0.6, 0.9, 0.15), (0, 0.95, 0.1)), ((0.75, -0.7, -0.1), (-0.1, 0.95, 0.1)),
                            sides=False),
    "romanian_deadlift": Variant("", (hinging,), HANG, HANG, world=True, sides=False),
    "kettlebell_swing": Variant("", (hinging,), ((0.05, -0.1, 1), (-0.05, -0.1, 1)),
                                ((0.05, -1, -0.2), (-0.05, -1, -0.3)), world=True, frames=(30, 55), sides=False),
    "running": Variant("", (marching,), *_RUN, frames=(12, 26), sides=False),
    "calf_raise": Variant("", (standing,)),
    "mountain_climber": Variant("", (climbing_mountains,), frames=(14, 34), sides=False),
    "glute_bridge": Variant("", (bridging,), HANG, HANG, sides=False),
    "leg_raise": Variant("", (raising_legs,), HANG, HANG, sides=False),
    "side_bend": Variant("", (bending_aside,), HANG, HANG, world=True, sides=False),
    "bench_dip": Variant("", (dipping,), sides=False),
}  # fmt: skip
"""Actions outside the ontology, by their word in muscle_map.yaml. `calf_raise` is the drawn sample's own motion."""

ACTIONS: tuple[str, ...] = (*NAMES, *OTHERS)
"""Every action, in a fixed order."""

VARIANT_P = 0.6
"""Share of an exercise's clips that are one of its variants, where it has any."""

REPS = (2, 5)


def perform_action(action: str, rng: np.random.Generator) -> Array:
    """Joints of one clip of an action.

    Args:
        action: one of ACTIONS.
    Returns: (T, 13, 3) in statures, in the order of penn_13; 30 frames/s.
    """
    return perform_solved(action, rng).joints("penn_13")


def perform_solved(action: str, rng: np.random.Generator) -> Solved:
    """The same as a solved skeleton, for those who want other joints."""
    reps = int(rng.integers(REPS[0], REPS[1] + 1))
    variants = [OTHERS[action]] if action in OTHERS else [v for v in VARIANTS if v.exercise == action]
    if action in MOTIONS and (not variants or action == "calf_raise" or rng.random() > VARIANT_P):
        who = int(rng.integers(len(ATHLETES)))
        return perform(action, who, rng, reps, None, 0.0)[1]
    return _perform(variants[int(rng.integers(len(variants)))], rng, reps)


def _perform(variant: Variant, rng: np.random.Generator, reps: int) -> Solved:
    """One set of a variant that is never held (see `repset.sample.variants.perform_variant`)."""
    course = draw_course(Tempo((0, 0), (1, 1), variant.frames, down=(0.3, 0.7)), rng, reps, None, 0.0, (3, 25))
    s = Set(Frame(**{name: float(rng.uniform(*span)) for name, span in BODY_RANGE.items()}), course, rng)
    pose = variant.bodies[int(rng.integers(len(variant.bodies)))](s)
    if not pose.arms:
        pose_arms(s, pose, variant)
    pose.pelvis = (
        np.broadcast_to(pose.pelvis, (course.frames, 3)) + 0.004 * np.sin(np.arange(course.frames) / 17)[:, None]
    )
    return solve(s.frame, pose)
