"""Motions that are not one joint going down and up: clean and jerk, rope, serve, and what people do between sets."""

from collections.abc import Sequence

import numpy as np

from repset.sample.course import Course
from repset.sample.geometry import Array, apply, chord, lerp, rot_x, rot_y, unit, vec
from repset.sample.motions import _chest, _feet, _over_feet, _standing
from repset.sample.skeleton import ANKLE, SIDES, Frame, Limb, Pose


def keyed(progress: Array, table: Sequence[tuple[float, ...]]) -> Array:
    """Rows (time, values...) interpolated with eased segments: (T, values)."""
    rows = np.array(table)
    at = np.clip(np.searchsorted(rows[:, 0], progress, side="right") - 1, 0, len(rows) - 2)
    span = rows[at + 1, 0] - rows[at, 0]
    u = np.clip((progress - rows[at, 0]) / span, 0, 1)
    u = u * u * (3 - 2 * u)
    return np.asarray(rows[at, 1:] + (rows[at + 1, 1:] - rows[at, 1:]) * u[:, None], np.float64)


def hang_arms(pose: Pose) -> Pose:
    """Arms at rest by the sides."""
    for side, sign in SIDES:
        pose.arms[side] = Limb(upper=vec(0.17 * sign, -1, 0.0), lower=vec(0.10 * sign, -1, 0.16), pole=vec(0, 0, -1))
    return pose


_CLEAN_AND_JERK = [  # time, knee, lean, hips back, bar above the shoulders, bar in front of them
    (0.00, 172, 4, 0.02, -0.520, 0.10),
    (0.20, 88, 56, 0.22, -0.535, 0.05),
    (0.34, 170, 2, 0.00, -0.420, 0.13),
    (0.44, 112, 8, 0.10, -0.010, 0.15),
    (0.54, 172, 2, 0.00, -0.010, 0.15),
    (0.60, 140, 3, 0.02, -0.010, 0.15),
    (0.68, 158, 3, 0.02, 0.520, 0.03),
    (0.74, 173, 2, 0.00, 0.535, 0.02),
    (0.82, 173, 2, 0.00, 0.535, 0.02),
    (0.90, 165, 3, 0.00, 0.000, 0.15),
    (1.00, 172, 4, 0.02, -0.520, 0.10),
]


def clean_and_jerk(frame: Frame, c: Course) -> Pose:
    """Bar from the hang to the floor, to the shoulders, overhead and back."""
    knee, lean, back, up, ahead = keyed(c.progress, _CLEAN_AND_JERK).T
    turn = rot_x(0.9 * lean)
    pose = Pose(_over_feet(frame, knee, 0.15, back, turn), turn, rot_x(lean), rot_x(0.5 * lean), legs=_feet(0.15, 18))
    shoulder = _chest(frame, pose, vec(0, 0.245, 0))
    over = np.clip((up + 0.4) / 0.4, 0, 1)[:, None]
    for side, sign in SIDES:
        at = shoulder + vec(lerp(0.26, 0.30, over[:, 0]) * sign, up, ahead)
        end = unit(vec(0, -1, 0.05) * (1 - over) + vec(0, 1, -0.1) * over)
        pole = vec(0.8 * sign, 0.2, -0.8) * (1 - over) + vec(0.7 * sign, -1, 0.6) * over
        pose.arms[side] = Limb(target=at, pole=pole, end=end, grip=vec(1, 0, 0))
    return pose


def jump_rope(frame: Frame, c: Course) -> Pose:
    """Small hops, hands at the hips turning a rope."""
    flight = np.clip((c.progress - 0.55) / 0.45, 0, 1)
    hop = 0.11 * np.sin(np.pi * flight)
    back = 0.03 * c.phase
    pelvis = _over_feet(frame, c.angle_deg, 0.08, back, rot_x(4 + 6 * c.phase)) + vec(0, hop, 0)
    pose = Pose(pelvis, rot_x(4 + 6 * c.phase), rot_x(4 + 8 * c.phase), np.eye(3), legs=_feet(0.08, 8, hop))
    for side, sign in SIDES:
        at = (
            pelvis
            + vec(0.33 * sign, 0.10, 0.10)
            + 0.02 * vec(0, np.sin(2 * np.pi * c.progress), np.cos(2 * np.pi * c.progress))
        )
        pose.arms[side] = Limb(
            target=at, pole=vec(0.5 * sign, -0.2, -1), end=vec(0.7 * sign, -0.1, 0.6), grip=vec(sign, 0, 0.2)
        )
    return pose


_SERVE_BODY = [  # time, knee, lean, twist, hop
    (0.00, 168, 10, -25, 0.0), (0.30, 140, -6, -50, 0.0), (0.48, 128, -13, -60, 0.0), (0.62, 172, 4, 5, 0.09),
    (0.78, 158, 34, 35, 0.0), (1.00, 168, 10, -25, 0.0),
]  # fmt: skip
_SERVE_ARMS = [  # time, right upper arm, right forearm, left upper arm, left forearm (directions)
    (0.00, -0.2, -0.8, 0.5, 0.2, 0.3, 1.0, 0.2, -0.8, 0.5, -0.2, 0.1, 1.0),
    (0.30, -1.0, -0.3, -0.4, -0.4, 0.3, -0.9, 0.2, 0.9, 0.5, 0.1, 1.0, 0.3),
    (0.48, -1.0, 0.3, -0.3, -0.1, 1.0, -0.6, 0.2, 1.0, 0.3, 0.1, 1.0, 0.1),
    (0.62, -0.3, 1.0, 0.2, -0.05, 1.0, 0.25, 0.2, -0.3, 0.8, -0.5, -0.2, 0.6),
    (0.78, 0.2, -0.3, 1.0, 0.7, -0.8, 0.4, 0.3, -0.9, 0.2, -0.3, -0.2, 0.8),
    (1.00, -0.2, -0.8, 0.5, 0.2, 0.3, 1.0, 0.2, -0.8, 0.5, -0.2, 0.1, 1.0),
]


def tennis_serve(frame: Frame, c: Course) -> Pose:
    """Toss, trophy, contact, follow-through, right-handed."""
    knee, lean, twist, hop = keyed(c.progress, _SERVE_BODY).T
    arms = keyed(c.progress, _SERVE_ARMS).reshape(-1, 4, 3)
    turn = rot_y(0.5 * twist)
    pelvis = _over_feet(frame, knee, 0.16, 0.02 + 0 * knee, np.broadcast_to(np.eye(3), turn.shape)) + vec(0, hop, 0)
    pose = Pose(
        pelvis, turn, rot_y(twist) @ rot_x(lean), rot_y(0.3 * twist) @ rot_x(0.3 * lean), legs=_feet(0.16, 16, hop)
    )
    pose.arms["right"] = Limb(upper=arms[:, 0], lower=arms[:, 1], pole=vec(-1, -0.5, -0.5))
    pose.arms["left"] = Limb(upper=arms[:, 2], lower=arms[:, 3], pole=vec(1, -0.5, -0.5), hand="flat")
    return pose


def stand(frame: Frame, c: Course) -> Pose:
    """At rest, shifting weight a little."""
    pose = hang_arms(_standing(frame, c))
    t = np.arange(c.frames)
    pose.pelvis = pose.pelvis + vec(0.015 * np.sin(t / 17.0), -0.004, 0.01 * np.sin(t / 23.0))
    return pose


def walk(frame: Frame, c: Course) -> Pose:
    """A few steps to and fro; a full stride is 34 frames."""
    t = np.arange(c.frames)
    stride = 2 * np.pi * t / 34
    heading = np.where(np.cos(2 * np.pi * t / max(68, c.frames)) > 0, 1.0, -1.0)
    facing = np.degrees(np.unwrap(np.angle(np.convolve(heading, np.ones(9) / 9, "same") + 1e-6 + 0.15j)))
    turn = rot_y(facing)
    away = np.cumsum(0.022 * np.cos(np.radians(facing)))
    bob = 0.02 * np.cos(2 * stride)
    reach = chord(frame.thigh, frame.shank, np.full(c.frames, 168.0))
    pelvis = vec(0.0, ANKLE + reach - 0.005 + bob - 0.03, away)
    pose = Pose(pelvis, turn, turn @ rot_x(4.0), turn)
    for side, sign in SIDES:
        swing = np.sin(stride) * sign
        lift = 0.09 * np.clip(np.cos(stride) * sign, 0, 1)
        at = vec(0.09 * sign, 0, 0) + vec(0, 0, 1) * (0.27 * swing)[:, None]
        forward = apply(turn, vec(0, 0, 1) + np.zeros((c.frames, 3)))
        foot = pelvis * np.array([1, 0, 1]) + apply(turn, at) + vec(0, ANKLE + lift, 0)
        pose.legs[side] = Limb(target=foot, pole=forward, end=forward)
        arm = np.radians(22) * -swing
        upper = apply(turn, vec(0.15 * sign, -np.cos(arm), np.sin(arm)))
        lower = apply(turn, vec(0.08 * sign, -np.cos(arm + 0.3), np.sin(arm + 0.3)))
        pose.arms[side] = Limb(upper=upper, lower=lower, pole=apply(turn, vec(0, 0, -1) + np.zeros((c.frames, 3))))
    return pose


def pick_up(frame: Frame, c: Course) -> Pose:
    """Bending to the floor for a pair of dumbbells and up again, once over the whole stretch."""
    u = np.sin(np.pi * np.linspace(0, 1, c.frames)) ** 2
    turn = rot_x(lerp(4, 62, u))
    pelvis = _over_feet(frame, lerp(172, 112, u), 0.13, 0.18 * u, turn)
    pose = Pose(pelvis, turn, rot_x(lerp(4, 72, u)), rot_x(lerp(0, 45, u)), legs=_feet(0.13, 12))
    for side, sign in SIDES:
        pose.arms[side] = Limb(upper=vec(0.14 * sign, -1, 0.1), lower=vec(0.08 * sign, -1, 0.16), pole=vec(0, 0, -1))
    return pose


def drink(frame: Frame, c: Course) -> Pose:
    """A bottle to the mouth with the right hand."""
    pose = hang_arms(_standing(frame, c))
    u = np.clip(1.8 * np.sin(np.pi * np.linspace(0, 1, c.frames)), 0, 1)
    upper = vec(-0.30, -1, 0) * (1 - u)[:, None] + vec(-0.45, -0.45, 0.75) * u[:, None]
    lower = vec(-0.1, -1, 0.16) * (1 - u)[:, None] + vec(0.55, 0.85, 0.25) * u[:, None]
    pose.arms["right"] = Limb(upper=upper, lower=lower, pole=vec(-0.6, -1, -0.4))
    pose.head_turn = rot_x(-14 * u)
    return pose
