"""Motions that are only ever projected, never drawn: the many ways people do an exercise, and what looks like one.

The motion library (tools/motion_library.py) teaches the exercise model with them. The drawn sample knows one build of
movement an exercise (`repset.sample.catalogue.MOTIONS`); here are seated, kneeling, lying and bent-over forms, one arm
or both in turn, other grips and paths, and movements and holds outside the ontology, which are `none`.

A motion is a posture and the path of the limbs between the start (phase 0) and the turn (phase 1) of a repetition. The
amounts are this project's own choice, wide on purpose; only names are taken from the gym.
"""

from dataclasses import dataclass

import numpy as np

from repset.sample.course import Course, Tempo, alternating, draw_course, frozen
from repset.sample.geometry import apply, vec
from repset.sample.postures import (
    CARRIES,
    HANG,
    HIPS,
    RACK,
    REACH,
    Body,
    Key,
    Set,
    bent_over,
    braced,
    climbing,
    floor_work,
    hanging,
    hinging,
    incline,
    kneeling,
    leaning,
    lunging,
    marching,
    prone,
    seated,
    split_stance,
    squatting,
    standing,
    supine,
)
from repset.sample.skeleton import SIDES, Frame, Limb, Pose, Solved, mirrored, solve

BODY_RANGE = {"shoulders": (0.88, 1.12), "hips": (0.90, 1.12), "legs": (0.93, 1.08)}
"""Builds: a little wider than the ten athletes of the drawn sample."""

KEY_NOISE, SIDE_NOISE = 0.10, 0.05
"""Standard deviation of a key direction from set to set, and between left and right of one set."""


@dataclass(frozen=True)
class Variant:
    """One way to do something.

    Attributes:
        exercise: canonical name, or "" where the ontology has none.
        bodies: postures to choose from; one that places the arms itself has no keys.
        start, turn: arms at phase 0 and 1; `via` in between where the straight path would be wrong. An empty `start`
            takes one of CARRIES and holds it.
        world: keys are in the room's axes, not the chest's (what hangs, hangs down).
        frames: length of a repetition at 30 frames/s. sides: may be done with one arm, or with both in turn.
    """

    exercise: str
    bodies: tuple[Body, ...]
    start: Key | None = None
    turn: Key | None = None
    via: Key | None = None
    world: bool = False
    frames: tuple[int, int] = (34, 80)
    sides: bool = True


_UP: tuple[Body, ...] = (standing, standing, split_stance, seated, kneeling)
_ELBOWS_IN: Key = ((0.12, -1, 0.05), (0.02, -1, 0.15))
_PRESS_TOP: Key = ((0.3, 1, 0.02), (-0.05, 1, 0.0))

VARIANTS: tuple[Variant, ...] = (
    Variant("squat", (squatting,), frames=(40, 100), sides=False),
    Variant("squat", (squatting,), HANG, REACH, frames=(40, 90), sides=False),
    Variant("lunge", (lunging,), frames=(40, 90), sides=False),
    Variant("push_up", (prone,), frames=(26, 70), sides=False),
    Variant("pull_up", (hanging,), frames=(34, 80), sides=False),
    Variant("bench_press", (supine, supine, incline), ((0.9, -0.45, 0.15), (0.05, 0.0, 1)),
            ((0.25, -0.05, 1), (0.0, 0.0, 1)), sides=False),
    Variant("bench_press", (supine, incline), ((0.45, -0.8, 0.1), (0.0, -0.1, 1)), ((0.2, -0.1, 1), (0, 0, 1))),
    Variant("bicep_curl", _UP, _ELBOWS_IN, ((0.10, -1, 0.22), (-0.05, 0.9, 0.45)), ((0.10, -1, 0.1), (0.0, -0.1, 1))),
    Variant("bicep_curl", (*_UP, incline), ((0.15, -1, -0.15), (0.15, -1, 0.05)), ((0.15, -1, 0.1), (0.25, 0.85, 0.5)),
            ((0.12, -1, 0), (0.2, -0.1, 1))),
    Variant("bicep_curl", (seated, standing), ((0.1, -0.75, 0.65), (0.05, -0.8, 0.6)),
            ((0.1, -0.75, 0.65), (-0.05, 0.95, 0.0)), ((0.1, -0.75, 0.65), (0.0, 0.1, 1))),
    Variant("tricep_extension", _UP, ((0.15, 1, 0.12), (-0.1, 1, 0.0)), ((0.2, 1, 0.15), (-0.15, -0.75, -0.6)),
            ((0.2, 1, 0.15), (-0.15, 0.2, -1))),
    Variant("tricep_extension", (standing, split_stance, standing, kneeling), ((0.13, -1, 0.12), (-0.05, 0.35, 1)),
            ((0.13, -1, 0.0), (0.05, -1, 0.2)), frames=(30, 90)),
    Variant("tricep_extension", (supine, incline), ((0.15, 0.15, 1), (-0.05, 0.1, 1)),
            ((0.2, 0.3, 1), (-0.1, 0.85, -0.5)), ((0.2, 0.25, 1), (-0.1, 1, 0.3))),
    Variant("tricep_extension", (bent_over, braced), ((0.1, -0.5, -0.85), (0.05, -1, 0.1)),
            ((0.1, -0.45, -0.9), (0.1, -0.35, -0.95)), world=True),
    Variant("dumbbell_row", (bent_over, bent_over, braced), ((0.1, -1, 0.12), (0.03, -1, 0.05)),
            ((0.3, -0.2, -0.95), (0.0, -0.95, 0.15)), world=True),
    Variant("dumbbell_row", (bent_over,), ((0.25, -1, 0.25), (0.1, -1, 0.2)), ((0.75, -0.15, -0.7), (-0.1, -1, 0.1)),
            world=True),
    Variant("shoulder_press", _UP, ((0.75, -0.6, 0.15), (0.05, 1, 0.05)), _PRESS_TOP),
    Variant("shoulder_press", _UP, ((0.3, -0.75, 0.55), (0.0, 1, 0.15)), _PRESS_TOP,
            ((0.7, 0.2, 0.3), (0.05, 1, 0.05))),
    Variant("shoulder_press", _UP, ((0.95, -0.1, 0.0), (0.1, 1, 0.0)), ((0.55, 1, 0.0), (-0.2, 1, 0.0))),
    Variant("shoulder_press", (seated, seated, standing), ((0.5, -0.8, 0.3), (0.1, 0.9, 0.35)),
            ((0.3, 0.95, 0.3), (0.0, 1, 0.1))),
    Variant("lateral_raise", _UP, ((0.15, -1, 0.08), (0.1, -1, 0.15)), ((1, 0.05, 0.12), (1, -0.05, 0.25))),
    Variant("lateral_raise", _UP, ((0.2, -1, 0.1), (0.0, -0.8, 0.6)), ((1, -0.05, 0.15), (0.55, -0.15, 0.8))),
    Variant("", _UP, HANG, REACH),
    Variant("", _UP, ((0.1, -1, 0.1), (-0.1, -1, 0.15)), ((0.95, 0.1, 0.2), (-0.5, -0.85, 0.2))),
    Variant("", (*_UP, supine), ((1, -0.05, 0.15), (0.9, 0, 0.5)), ((0.1, -0.05, 1), (-0.05, 0, 1))),
    Variant("", (standing, seated), ((0.3, 0.8, 0.8), (0, 0.9, 0.4)), ((0.1, -0.9, 0.35), (0, -0.4, 0.9))),
    Variant("", (hinging,), HANG, HANG, world=True, sides=False),
    Variant("", (hinging,), ((0.1, -0.1, 1), (0.0, -0.1, 1)), ((0.08, -1, -0.2), (0, -1, -0.3)), world=True),
    Variant("", (leaning, leaning)), Variant("", (marching,), frames=(14, 34)),
    Variant("", (marching,), ((0.15, -1, 0.4), (0, 0.3, 1)), ((0.15, -1, -0.5), (0, -0.2, 1)), frames=(12, 26)),
    Variant("", (floor_work,)), Variant("", (climbing,), frames=(14, 34), sides=False),
    Variant("", (standing, seated, kneeling, split_stance), RACK, REACH, frames=(10, 24)),
    Variant("", (standing, seated), ((0.2, -1, 0.2), (-0.2, 0.1, 1)), ((0.35, -0.9, 0.35), (0.1, 0.35, 0.9)),
            frames=(16, 60)),
)  # fmt: skip
"""Every variant; the order is part of the library's identity (a set names one by position)."""

HOLD_P = 0.10
"""Share of sets that are held at a random phase instead of repeated: `none`, whatever the posture."""


def perform_variant(variant: Variant, rng: np.random.Generator, reps: int) -> tuple[Course, Solved, str]:
    """One set of a variant by a random body; the name is "" where it is held or outside the ontology."""
    course = draw_course(Tempo((0, 0), (1, 1), variant.frames, down=(0.3, 0.7)), rng, reps, None, 0.0, (3, 25))
    held = rng.random() < HOLD_P
    if held:
        course = frozen(course, float(rng.random()))
    body = Frame(**{name: float(rng.uniform(*span)) for name, span in BODY_RANGE.items()})
    s = Set(body, course, rng)
    pose = variant.bodies[int(rng.integers(len(variant.bodies)))](s)
    if not pose.arms:
        pose_arms(s, pose, variant)
    t = np.arange(course.frames)
    sway = 0.012 * np.sin(t / s.draw(9, 30) + s.draw(0, 6))
    pose.pelvis = pose.pelvis + vec(sway * s.draw(0, 1), 0.0, sway * s.draw(0, 1))
    return course, solve(body, pose), "" if held else variant.exercise


def pose_arms(s: Set, pose: Pose, variant: Variant) -> None:
    """Set both arms of `pose` to a variant's keys, each set a little otherwise."""
    keys = [key for key in (variant.start, variant.via, variant.turn) if key]
    if not keys:
        keys = [CARRIES[int(s.rng.integers(len(CARRIES)))]]
    table = np.array(keys) + s.rng.normal(0, KEY_NOISE, (len(keys), 2, 3))
    rest = np.array(HANG if s.rng.random() < 0.6 else HIPS)
    chance, turns, shift = s.rng.random(), alternating(s.course), s.draw(0.8, 1.0)
    one = variant.sides and chance < 0.2
    taken = "left" if s.course.style["side"] < 0.5 else "right"
    chest = np.broadcast_to(pose.chest_turn, (s.course.frames, 3, 3))
    for side, sign in SIDES:
        phase = s.phase * (shift if side == taken else 1.0)
        if variant.sides and 0.2 <= chance < 0.35:
            phase = np.where(turns if side == "left" else ~turns, phase, 0)
        path = table + s.rng.normal(0, SIDE_NOISE, table.shape)
        at = phase * (len(path) - 1)
        low = np.minimum(at.astype(int), max(len(path) - 2, 0))
        after = np.minimum(low + 1, len(path) - 1)
        directions = path[low] + (path[after] - path[low]) * (at - low)[:, None, None]
        if one and side != taken:
            directions = np.broadcast_to(rest, directions.shape)
        upper, lower = (mirrored(directions[:, part], sign) for part in (0, 1))
        if not variant.world:
            upper, lower = apply(chest, upper), apply(chest, lower)
        pose.arms[side] = Limb(upper=upper, lower=lower, pole=vec(0.2 * sign, -0.3, -1))
