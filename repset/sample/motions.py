"""The exercises as motions of the skeleton: for each, a pose for every frame of a course.

The signal that is counted (knee, elbow, hip ...) is met to a tenth of a degree, so that a repetition's true depth is
what the course drew. `MOTIONS` is the table; `motion_tracks` gives the true joints of a set for anyone who wants
motion without pictures.
"""

from collections.abc import Callable

import numpy as np

from repset.angles import interior_deg
from repset.landmarks import mirror_name
from repset.sample.course import Course
from repset.sample.geometry import Array, apply, chord, lerp, rot_x, rot_y, rot_z, unit, vec
from repset.sample.skeleton import ANKLE, SIDES, Frame, Limb, Pose, Solved, mirrored, solve, swing

PoseOf = Callable[[Frame, Course], Pose]

SIGNALS = {
    "knee": ("left_hip", "left_knee", "left_ankle"),
    "elbow": ("left_shoulder", "left_elbow", "left_wrist"),
    "hip": ("left_shoulder", "left_hip", "left_knee"),
    "shoulder": ("left_hip", "left_shoulder", "left_elbow"),
    "ankle": ("left_knee", "left_ankle", "left_foot_index"),
}


def signal_deg(solved: Solved, name: str) -> Array:
    """True 3-D angle of a signal, the mean of both sides: (T,)."""
    sides = [[solved.joint(j if left else mirror_name(j)) for j in SIGNALS[name]] for left in (True, False)]
    return np.asarray(np.mean([interior_deg(*(p.astype(np.float32) for p in side)) for side in sides], axis=0), float)


def meet(frame: Frame, target_deg: Array, signal: str, make: Callable[[Array], Pose], low: float, high: float) -> Pose:
    """The pose whose signal is the target: bisection on one number per frame.

    Args:
        make: pose of a parameter (T,); the signal grows from `low` to `high` (which may be below `low`).
    """
    a, b = np.full(len(target_deg), low), np.full(len(target_deg), high)
    for _ in range(14):
        middle = (a + b) / 2
        under = signal_deg(solve(frame, make(middle)), signal) < target_deg
        a, b = np.where(under, middle, a), np.where(under, b, middle)
    return make((a + b) / 2)


def _feet(half_width: float | Array, out_deg: float, lift: Array | float = 0.0, z: float = 0.0) -> dict[str, Limb]:
    legs = {}
    for side, sign in SIDES:
        out = np.radians(out_deg) * sign
        toes = vec(np.sin(out), 0, np.cos(out))
        legs[side] = Limb(pole=toes, target=vec(np.asarray(half_width) * sign, ANKLE + np.asarray(lift), z), end=toes)
    return legs


def _over_feet(frame: Frame, knee_deg: Array, half_width: float, back: Array, turn: Array) -> Array:
    """Pelvis (T, 3) such that both knees have this angle, the feet `half_width` apart and the hips `back` behind."""
    reach = chord(frame.thigh, frame.shank, knee_deg)
    sideways = half_width - 0.09 * frame.hips
    height = ANKLE + np.sqrt(np.maximum(reach**2 - sideways**2 - back**2, 0.01))
    hip = vec(0.0, height, -back)
    offset = (frame.rest["thigh_left"] - frame.rest["pelvis"]) * np.array([0.0, 1.0, 1.0])
    return np.asarray(hip - apply(turn, np.broadcast_to(offset, hip.shape)), np.float64)


def _standing(frame: Frame, c: Course, half_width: float = 0.11, knee_deg: float = 174.0) -> Pose:
    tall = _over_feet(frame, np.full(c.frames, knee_deg), half_width, np.zeros(c.frames), np.eye(3)[None])
    lean = rot_x(2 + c.amount("trunk_lean"))
    return Pose(tall, np.eye(3), lean, rot_x(c.amount("trunk_lean") * 0.5), legs=_feet(half_width, 12))


def _chest(frame: Frame, pose: Pose, at: Array) -> Array:
    """A point given relative to the chest joint, in the chest's own axes, in the world: (T, 3)."""
    turn = np.broadcast_to(pose.chest_turn, (len(pose.pelvis), 3, 3))
    spine = (frame.rest["chest"] - frame.rest["pelvis"])[1]
    middle = 0.5 * (apply(pose.hip_turn, vec(0, spine, 0)) + apply(turn, vec(0, spine, 0)))
    return np.asarray(pose.pelvis + middle + apply(turn, at), np.float64)


def squat(frame: Frame, c: Course) -> Pose:
    """Feet apart, hips back and down; arms forward, crossed, or a bar on the shoulders."""
    bend = np.clip((172 - c.angle_deg) / 92, 0, 1.15)
    lean = lerp(4, 36, bend) + c.amount("trunk_lean")
    turn = rot_x(0.92 * lean)
    width = 0.15 + 0.05 * c.style["width"]
    pelvis = _over_feet(frame, c.angle_deg, width, 0.20 * bend, turn)
    pose = Pose(pelvis, turn, rot_x(lean), rot_x(0.4 * lean), legs=_feet(width, 20))
    for side, sign in SIDES:
        if c.style["variant"] < 0.4:
            at = _chest(frame, pose, mirrored(vec(0.07, 0.20, 0.06), sign)) + vec(0, lerp(-0.10, 0.0, bend), 0.42)
            pose.arms[side] = Limb(target=at, pole=vec(sign * 0.6, -1, -0.2), hand="flat")
        elif c.style["variant"] < 0.65:
            at = _chest(frame, pose, mirrored(vec(0.04, 0.13, 0.20), sign))
            pose.arms[side] = Limb(target=at, pole=vec(sign * 0.6, -1, -0.1))
        else:  # bar on the shoulders
            at = _chest(frame, pose, mirrored(vec(0.33, 0.19, -0.055), sign))
            pose.arms[side] = Limb(target=at, pole=vec(sign * 0.5, -1, -0.6), end=pose.chest_turn[..., 1],
                                   grip=vec(1, 0, 0))  # fmt: skip
    return pose


def lunge(frame: Frame, c: Course) -> Pose:
    """Split stance, straight down; the front knee is the signal's leading side, the back knee follows."""
    front = "left" if c.style["side"] < 0.5 else "right"
    gap = 0.37

    def make(drop: Array) -> Pose:
        pelvis = vec(0.0, frame.hip_height + 0.015 - drop, 0.0)
        lean = rot_x(lerp(2, 6, c.phase) + c.amount("trunk_lean"))
        pose = Pose(pelvis, np.eye(3), lean, np.eye(3))
        for side, sign in SIDES:
            if side == front:
                pose.legs[side] = Limb(
                    target=vec(0.09 * sign, ANKLE, gap), pole=vec(0.05 * sign, 0, 1), end=vec(0, 0, 1)
                )
            else:
                down = unit(vec(0, -lerp(0.35, 1.1, np.clip(drop / 0.35, 0, 1)), 0.8))
                heel = vec(0.09 * sign, ANKLE + 0.05 + 0.1 * np.clip(drop / 0.35, 0, 1), -gap)
                pose.legs[side] = Limb(target=heel, pole=vec(0, -0.3, 1), end=down)
            if c.style["variant"] < 0.4:
                at = pelvis + vec(0.19 * sign, 0.04, 0.03)
                pose.arms[side] = Limb(target=at, pole=vec(sign, 0.1, -1))
            else:
                pose.arms[side] = Limb(upper=vec(0.16 * sign, -1, 0.02), lower=vec(0.1 * sign, -1, 0.08),
                                       pole=vec(0, 0, -1), grip=vec(0, 0, 1))  # fmt: skip
        return pose

    return meet(frame, c.angle_deg, "knee", make, 0.62, 0.0)


def push_up(frame: Frame, c: Course) -> Pose:
    """Hands on the floor, the body a line over the toes (or sagging at the hips)."""
    toe, leg = 0.11, frame.thigh + frame.shank + 0.01
    trunk = frame.rest["uarm_left"][1] - frame.rest["pelvis"][1]
    hands_z = float(np.sqrt((leg + trunk) ** 2 - 0.42**2)) - 0.03
    width = 0.20 + 0.06 * c.style["width"]
    sag = c.amount("hip_sag")

    def make(height: Array) -> Pose:
        incline = np.arcsin(np.clip((height - toe) / (leg + trunk), -0.2, 0.9))
        hip = vec(0.0, toe + leg * np.sin(incline) - sag, leg * np.cos(incline))
        shoulder = vec(0.0, height, (leg + trunk) * np.cos(incline))
        along = unit(shoulder - hip)
        turn = rot_x(90 - np.degrees(np.arctan2(along[..., 1], along[..., 2])))
        pose = Pose(hip, turn, turn, turn @ rot_x(-14))
        for side, sign in SIDES:
            pose.legs[side] = Limb(target=vec(0.07 * sign, toe, 0), pole=vec(0, -1, 0), end=vec(0, -1, 0.25))
            direction = vec(0.05 * sign, -0.05, 1)
            across = np.cross(direction, vec(0, -1, 0))
            pose.arms[side] = Limb(target=vec(width * sign, 0.035, hands_z), pole=vec(0.75 * sign, 0.3, -0.7),
                                   hand="flat", end=direction, grip=across)  # fmt: skip
        return pose

    return meet(frame, c.angle_deg, "elbow", make, 0.10, 0.62)


BAR_HEIGHT = 2.30


def pull_up(frame: Frame, c: Course) -> Pose:
    """Hanging from a bar."""
    width = 0.24 + 0.08 * c.style["width"]
    bend = 0.05 + 1.0 * c.style["knees"]
    lean = rot_x(lerp(0, -9, c.phase))
    drop = frame.rest["uarm_left"][1] - frame.rest["pelvis"][1]

    def make(shoulder: Array) -> Pose:
        pelvis = vec(0.0, shoulder - drop, -0.03)
        pose = Pose(pelvis, rot_x(lerp(0, 8, c.phase)), lean, rot_x(lerp(-4, -14, c.phase)))
        for side, sign in SIDES:
            knee = pelvis + vec(0.09 * sign, -frame.thigh, 0.06)
            shin = frame.shank * 0.97
            foot = knee + vec(0, -shin * np.cos(bend), -shin * np.sin(bend))
            pose.legs[side] = Limb(target=foot, pole=vec(0, 0, 1), end=vec(0, -0.75, 0.4))
            pose.arms[side] = Limb(target=vec(width * sign, BAR_HEIGHT - 0.085, 0.03), pole=vec(0.8 * sign, -1, -0.15),
                                   end=vec(0, 1, 0), grip=vec(1, 0, 0))  # fmt: skip
        return pose

    return meet(frame, c.angle_deg, "elbow", make, BAR_HEIGHT - 0.02, BAR_HEIGHT - 0.78)


def sit_up(frame: Frame, c: Course) -> Pose:
    """Lying with bent knees, trunk up and down."""
    head = lerp(12, 18, c.phase)

    def make(raised: Array) -> Pose:
        hip, chest = rot_x(-90 + 0.56 * raised), rot_x(-90 + raised)
        pose = Pose(vec(0.0, 0.115, np.zeros(c.frames)), hip, chest, chest @ rot_x(head))
        for side, sign in SIDES:
            pose.legs[side] = Limb(target=vec(0.12 * sign, ANKLE, 0.52), pole=vec(0.1 * sign, 1, 0.3), end=vec(0, 0, 1))
            if c.style["variant"] < 0.5:
                at = _chest(frame, pose, mirrored(vec(-0.05, 0.17, 0.16), sign))
                pole = vec(sign * 0.9, 0, 0) + apply(chest, vec(0, -0.8, 0.2))
            else:
                at = _chest(frame, pose, mirrored(vec(0.10, 0.43, 0.02), sign))
                pole = vec(sign, 0, 0) + apply(chest, vec(0, 0.35, 0.4))
            pose.arms[side] = Limb(target=at, pole=pole)
        return pose

    return meet(frame, c.angle_deg, "hip", make, 98.0, 0.0)


BENCH_HEIGHT = 0.44


def bench_press(frame: Frame, c: Course) -> Pose:
    """On the back on a bench, a bar over the chest."""
    width = 0.31 + 0.05 * c.style["width"]
    back = rot_x(np.full(c.frames, -90.0))
    reach = frame.rest["uarm_left"][1] - frame.rest["pelvis"][1]

    def make(height: Array) -> Pose:
        pose = Pose(vec(0.0, BENCH_HEIGHT + 0.10, np.zeros(c.frames)), back, back, back @ rot_x(8))
        for side, sign in SIDES:
            pose.legs[side] = Limb(
                target=vec(0.24 * sign, ANKLE, 0.40), pole=vec(0.2 * sign, 1, 0.6), end=vec(0.2 * sign, 0, 1)
            )
            at = vec(width * sign, BENCH_HEIGHT + 0.12 + height, -reach + lerp(0.04, 0.12, c.phase))
            pose.arms[side] = Limb(target=at, pole=vec(sign, -0.6, 0.45), end=vec(0, 1, 0), grip=vec(1, 0, 0))
        return pose

    return meet(frame, c.angle_deg, "elbow", make, 0.05, 0.58)


def bicep_curl(frame: Frame, c: Course) -> Pose:
    """Forearms up, upper arms still (or drifting forward)."""
    pose = _standing(frame, c)
    forward = np.radians(lerp(2, 10, c.phase) + c.amount("elbow_drift"))
    for side, sign in SIDES:
        upper = unit(vec(0.12 * sign, -np.cos(forward), np.sin(forward)))
        hinge = unit(np.cross(upper, np.broadcast_to(vec(0, 0.2, 1), upper.shape)))
        lower = swing(hinge, 180 - c.angle_deg, upper)
        pose.arms[side] = Limb(upper=upper, lower=lower, pole=vec(0, 0, -1))
    return pose


def tricep_extension(frame: Frame, c: Course) -> Pose:
    """One dumbbell overhead in both hands, lowered behind the head."""
    pose = _standing(frame, c)
    bend = np.clip((168 - c.angle_deg) / 110, 0, 1)
    reach = chord(frame.upper_arm, frame.forearm, c.angle_deg)
    shoulder_x = 0.172 * frame.shoulders - 0.03
    tilt = np.radians(lerp(4, 64, bend**0.8))
    inward = shoulder_x - 0.048
    plane = np.sqrt(np.maximum(reach**2 - inward**2, 1e-4))
    for side, sign in SIDES:
        socket = _chest(frame, pose, mirrored(vec(shoulder_x, 0.31, -0.007), sign))
        at = socket + vec(-inward * sign, plane * np.cos(tilt), -plane * np.sin(tilt))
        pose.arms[side] = Limb(target=at, pole=vec(0.55 * sign, 0.5, 0.9), grip=vec(0, 0, 1) + vec(0.2 * sign, 0, 0))
    return pose


def lateral_raise(frame: Frame, c: Course) -> Pose:
    """Straight arms out to the sides."""
    pose = _standing(frame, c)

    def make(out_deg: Array) -> Pose:
        a, b = np.radians(out_deg), np.radians(0.97 * out_deg)
        for side, sign in SIDES:
            pose.arms[side] = Limb(upper=vec(np.sin(a) * sign, -np.cos(a), 0.10),
                                   lower=vec(np.sin(b) * sign, -np.cos(b), 0.30), pole=vec(0, 0, -1))  # fmt: skip
        return pose

    return meet(frame, c.angle_deg, "shoulder", make, 0.0, 130.0)


def shoulder_press(frame: Frame, c: Course) -> Pose:
    """Dumbbells from the shoulders to overhead."""
    pose = _standing(frame, c)

    def make(u: Array) -> Pose:
        for side, sign in SIDES:
            at = _chest(frame, pose, mirrored(vec(lerp(0.33, 0.19, u), lerp(0.27, 0.86, u), 0.04 - 0.04 * u), sign))
            pose.arms[side] = Limb(target=at, pole=vec(sign, -1, 0.25), end=vec(0, 1, 0), grip=vec(1, 0, 0))
        return pose

    return meet(frame, c.angle_deg, "elbow", make, 0.0, 1.05)


def dumbbell_row(frame: Frame, c: Course) -> Pose:
    """Bent over, both elbows drawn up and back."""
    lean = 56 + 8 * c.style["width"]
    turn = rot_x(np.full(c.frames, lean - 12.0))
    pelvis = _over_feet(frame, np.full(c.frames, 150.0), 0.13, np.full(c.frames, 0.17), turn)
    pose = Pose(
        pelvis, turn, rot_x(np.full(c.frames, lean)), rot_x(np.full(c.frames, lean - 28.0)), legs=_feet(0.13, 10)
    )

    def make(u: Array) -> Pose:
        shoulder = _chest(frame, pose, vec(0, 0.245, 0))
        for side, sign in SIDES:
            at = shoulder + vec(lerp(0.19, 0.23, u) * sign, lerp(-0.53, -0.15, u), lerp(0.03, -0.24, u))
            pose.arms[side] = Limb(target=at, pole=vec(0.4 * sign, 0.6, -1), end=vec(0, -1, 0.1), grip=vec(0, 0, 1))
        return pose

    return meet(frame, c.angle_deg, "elbow", make, 1.0, 0.0)


def jumping_jack(frame: Frame, c: Course) -> Pose:
    """Arms up and feet apart in a hop, and back."""
    hop = 0.05 * np.sin(np.pi * c.phase) ** 2
    width = lerp(0.09, 0.33, c.phase)
    reach = chord(frame.thigh, frame.shank, lerp(172, 166, c.phase))
    height = ANKLE + np.sqrt(reach**2 - (width - 0.09 * frame.hips) ** 2) + 0.015 + hop
    legs = _feet(width, 14, hop)
    pose = Pose(vec(0.0, height, 0.0), np.eye(3), np.eye(3), np.eye(3), legs=legs)

    def make(out_deg: Array) -> Pose:
        a, b = np.radians(out_deg), np.radians(out_deg * 1.04)
        for side, sign in SIDES:
            pose.arms[side] = Limb(upper=vec(np.sin(a) * sign, -np.cos(a), 0.04),
                                   lower=vec(np.sin(b) * sign, -np.cos(b), 0.10), pole=vec(0, -0.5, -1),
                                   hand="flat")  # fmt: skip
        return pose

    return meet(frame, c.angle_deg, "shoulder", make, 0.0, 178.0)


def calf_raise(frame: Frame, c: Course) -> Pose:
    """Heels up on straight legs."""
    up = 0.085 * c.phase
    pose = _standing(frame, c)
    pose.pelvis = pose.pelvis + vec(0.0, up, 0.02 * c.phase)
    tip = np.radians(40 * c.phase)
    for side, sign in SIDES:
        at = vec(0.10 * sign, ANKLE + up, 0.03 * c.phase)
        pose.legs[side] = Limb(target=at, pole=vec(0, 0, 1), end=vec(0.1 * sign, -np.sin(tip), np.cos(tip)))
        pose.arms[side] = Limb(upper=vec(0.14 * sign, -1, 0.02), lower=vec(0.1 * sign, -1, 0.1), pole=vec(0, 0, -1))
        if c.style["variant"] < 0.5:
            pose.arms[side] = Limb(target=pose.pelvis + vec(0.19 * sign, 0.05, 0.02), pole=vec(0.8 * sign, 0, -1))
    return pose


def settle(pose: Pose, frames: int, rng: np.random.Generator, degrees: float = 3.0) -> Pose:
    """A living head: slow small turns, which no counted signal depends on."""
    t = np.arange(frames)
    wander = [degrees * np.sin(2 * np.pi * (t / rng.uniform(40, 90) + rng.random())) for _ in range(3)]
    head = np.broadcast_to(pose.head_turn, (frames, 3, 3))
    pose.head_turn = head @ rot_y(1.6 * wander[0]) @ rot_x(wander[1]) @ rot_z(0.6 * wander[2])
    return pose
