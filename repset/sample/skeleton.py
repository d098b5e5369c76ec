"""The athlete's bones: rest positions, pose targets, and the solver that turns targets into bone transforms."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from repset.landmarks import SKELETONS
from repset.sample.geometry import Array, apply, basis, between, rotation, two_bones, unit, vec
from repset.sample.identity import Identity

BONES = (
    "pelvis", "abdomen", "chest", "neck", "head", "clav_left", "clav_right", "uarm_left", "uarm_right", "farm_left",
    "farm_right", "hand_left", "hand_right", "thigh_left", "thigh_right", "shank_left", "shank_right", "foot_left",
    "foot_right",
)  # fmt: skip
BONE = {name: index for index, name in enumerate(BONES)}
SIDES = (("left", 1.0), ("right", -1.0))
ANKLE = 0.08
"""Ankle joint above the floor."""
STATURE = 1.755
"""Height of the average rest skeleton: body units per stature."""

REST_ARM = np.array([np.sin(np.radians(72)), -np.cos(np.radians(72)), 0.0])
"""Direction of the left arm at rest: held out, so that the skin of arm and trunk does not merge."""


def mirrored(point: Array, sign: float) -> Array:
    """A point of the left side on the side of `sign` (+1 left, -1 right)."""
    return np.asarray(point * np.array([sign, 1.0, 1.0]), np.float64)


@dataclass(frozen=True)
class Frame:
    """Rest skeleton of one build: bone lengths and joint positions in body units."""

    shoulders: float = 1.0
    hips: float = 1.0
    legs: float = 1.0

    @classmethod
    def of(cls, who: Identity) -> "Frame":
        """The frame of an athlete."""
        return cls(who.shoulders, who.hips, who.legs)

    upper_arm = 0.285
    forearm = 0.25

    @property
    def thigh(self) -> float:
        """Hip to knee."""
        return 0.43 * self.legs

    @property
    def shank(self) -> float:
        """Knee to ankle."""
        return 0.415 * self.legs

    @property
    def hip_height(self) -> float:
        """Hip joint above the floor with straight legs."""
        return ANKLE + self.thigh + self.shank

    @cached_property
    def rest(self) -> dict[str, Array]:
        """Joint at the root of every bone."""
        lift = np.array([0.0, self.hip_height - 0.915, 0.0])
        joints = {
            "pelvis": vec(0, 0.93, 0) + lift,
            "abdomen": vec(0, 1.03, 0) + lift,
            "chest": vec(0, 1.16, -0.005) + lift,
            "neck": vec(0, 1.455, -0.02) + lift,
            "head": vec(0, 1.545, 0) + lift,
        }
        for side, sign in SIDES:
            shoulder = vec(0.172 * self.shoulders, 1.405, -0.012) + lift
            hip = vec(0.09 * self.hips, 0.915, 0) + lift
            for bone, point in (
                ("clav", vec(0.03, 1.42, 0) + lift),
                ("uarm", shoulder),
                ("farm", shoulder + REST_ARM * self.upper_arm),
                ("hand", shoulder + REST_ARM * (self.upper_arm + self.forearm)),
                ("thigh", hip),
                ("shank", hip - vec(0, self.thigh, 0)),
                ("foot", hip - vec(0, self.thigh + self.shank, 0)),
            ):
                joints[f"{bone}_{side}"] = mirrored(point, sign)
        return joints

    @cached_property
    def landmarks(self) -> dict[str, tuple[str, Array]]:
        """Every named joint of repset.landmarks as a point at rest fixed to a bone."""
        rest, up = self.rest, self.rest["head"] - vec(0, 1.545, 0)
        table = {
            "nose": ("head", vec(0, 1.622, 0.122) + up),
            "head": ("head", vec(0, 1.665, 0.01) + up),
            "head_top": ("head", vec(0, 1.752, 0) + up),
            "spine": ("abdomen", vec(0, 1.12, 0) + up),
            "pelvis": ("pelvis", rest["pelvis"] - vec(0, 0.015, 0)),
        }
        for side, sign in SIDES:
            at = {name: rest[f"{name}_{side}"] for name in ("uarm", "farm", "hand", "thigh", "shank", "foot")}
            along = mirrored(REST_ARM, sign)
            face = {
                f"{side}_eye_inner": (0.020, 1.648, 0.090), f"{side}_eye": (0.031, 1.648, 0.088),
                f"{side}_eye_outer": (0.043, 1.648, 0.080), f"{side}_ear": (0.080, 1.635, -0.004),
                f"mouth_{side}": (0.022, 1.589, 0.095),
            }  # fmt: skip
            table |= {name: ("head", mirrored(vec(*point), sign) + up) for name, point in face.items()}
            table |= {
                f"{side}_shoulder": (f"uarm_{side}", at["uarm"]),
                f"{side}_elbow": (f"farm_{side}", at["farm"]),
                f"{side}_wrist": (f"hand_{side}", at["hand"]),
                f"{side}_index": (f"hand_{side}", at["hand"] + along * 0.085 + vec(0, 0, 0.02)),
                f"{side}_pinky": (f"hand_{side}", at["hand"] + along * 0.08 + vec(0, 0, -0.02)),
                f"{side}_thumb": (f"hand_{side}", at["hand"] + along * 0.05 + vec(0, 0, 0.035)),
                f"{side}_hip": (f"thigh_{side}", at["thigh"]),
                f"{side}_knee": (f"shank_{side}", at["shank"]),
                f"{side}_ankle": (f"foot_{side}", at["foot"]),
                f"{side}_heel": (f"foot_{side}", at["foot"] + vec(0, -0.06, -0.045)),
                f"{side}_foot_index": (f"foot_{side}", at["foot"] + vec(0.006 * sign, -0.06, 0.14)),
            }
        return table


@dataclass
class Limb:
    """Where one arm or leg should go; every array is (3,) or (T, 3).

    Attributes:
        target: wrist or ankle position (inverse kinematics), or None when `upper` and `lower` give directions.
        pole: direction in which elbow or knee points; for directions, the bend's side when the limb is straight.
        end: direction of hand or toes. grip: axis of what the fist holds. hand: fist | flat.
    """

    pole: Array
    target: Array | None = None
    upper: Array | None = None
    lower: Array | None = None
    end: Array | None = None
    grip: Array | None = None
    hand: str = "fist"


@dataclass
class Pose:
    """Targets of a clip: pelvis joint (T, 3), orientations (T, 3, 3), one Limb per side."""

    pelvis: Array
    hip_turn: Array
    chest_turn: Array
    head_turn: Array
    arms: dict[str, Limb] = field(default_factory=dict)
    legs: dict[str, Limb] = field(default_factory=dict)


@dataclass(frozen=True)
class Solved:
    """Bone transforms of a clip.

    Attributes:
        turn: (T, B, 3, 3) rotation of every bone from rest. origin: (T, B, 3) its root joint.
        hands: side → (kind, rotation (T, 3, 3) of the hand mesh).
    """

    frame: Frame
    turn: Array
    origin: Array
    hands: dict[str, tuple[str, Array]]

    def point(self, bone: str, at_rest: Array) -> Array:
        """Where a point fixed to a bone goes: (T, 3)."""
        b = BONE[bone]
        return self.origin[:, b] + apply(self.turn[:, b], at_rest - self.frame.rest[bone])

    def joint(self, name: str) -> Array:
        """A named joint through the clip: (T, 3) body units."""
        if name in ("neck", "thorax"):
            return np.asarray((self.joint("left_shoulder") + self.joint("right_shoulder")) / 2, np.float64)
        bone, at_rest = self.frame.landmarks[name]
        if bone.startswith("hand_") and not name.endswith("wrist"):
            side = bone.removeprefix("hand_")
            local = {"index": (0.018, 0.09, 0.01), "pinky": (-0.02, 0.085, 0.01), "thumb": (0.036, 0.05, 0.02)}
            x, y, z = local[name.rsplit("_", 1)[1]]
            offset = vec(x if side == "left" else -x, y, z)
            return np.asarray(self.origin[:, BONE[bone]] + apply(self.hands[side][1], offset), np.float64)
        return self.point(bone, at_rest)

    def joints(self, skeleton: str) -> Array:
        """All joints of a skeleton of repset.landmarks: (T, K, 3) body units."""
        return np.stack([self.joint(name) for name in SKELETONS[skeleton].joints], axis=1)

    def transforms(self) -> Array:
        """(T, B, 3, 4): rest position → posed position, for skinning."""
        rest = np.stack([self.frame.rest[bone] for bone in BONES])
        shift = self.origin - apply(self.turn, np.broadcast_to(rest, self.origin.shape))
        return np.concatenate([self.turn, shift[..., None]], axis=-1)

    def grip(self, side: str) -> tuple[Array, Array]:
        """Centre of what a fist holds (T, 3) and the axis it is held along (T, 3)."""
        turn = self.hands[side][1]
        centre = self.origin[:, BONE[f"hand_{side}"]] + apply(turn, vec(0, 0.085, 0.022))
        return np.asarray(centre, np.float64), turn[..., 0]


def solve(frame: Frame, pose: Pose) -> Solved:
    """Bone transforms that meet the targets as far as the bones reach."""
    rest, frames = frame.rest, len(pose.pelvis)
    turn: dict[str, Array] = {}
    origin: dict[str, Array] = {"pelvis": pose.pelvis}
    full = (frames, 3, 3)
    hip, chest = np.broadcast_to(pose.hip_turn, full), np.broadcast_to(pose.chest_turn, full)
    head = np.broadcast_to(pose.head_turn, full)
    turn |= {"pelvis": hip, "abdomen": between(hip, chest), "chest": chest, "neck": between(chest, head), "head": head}

    def child(parent: str, bone: str) -> Array:
        return np.asarray(origin[parent] + apply(turn[parent], rest[bone] - rest[parent]), np.float64)

    for parent, bone in (("pelvis", "abdomen"), ("abdomen", "chest"), ("chest", "neck"), ("neck", "head")):
        origin[bone] = child(parent, bone)
    hands = {}
    for side, sign in SIDES:
        origin[f"clav_{side}"] = child("chest", f"clav_{side}")
        hands[side] = _arm(frame, pose.arms[side], side, sign, turn, origin, child("chest", f"uarm_{side}"))
        _leg(frame, pose.legs[side], side, turn, origin, child("pelvis", f"thigh_{side}"))
    return Solved(
        frame,
        np.stack([np.broadcast_to(turn[bone], full) for bone in BONES], axis=1),
        np.stack([np.broadcast_to(origin[bone], (frames, 3)) for bone in BONES], axis=1),
        hands,
    )


def _arm(
    frame: Frame, limb: Limb, side: str, sign: float, turn: dict[str, Array], origin: dict[str, Array], socket: Array
) -> tuple[str, Array]:
    """Place clavicle, upper arm, forearm and hand; the shoulder rises with the arm."""
    chest, shoulder = turn["chest"], socket
    for _ in range(2):
        if limb.target is not None:
            elbow, wrist = two_bones(shoulder, limb.target, frame.upper_arm, frame.forearm, limb.pole)
        else:
            assert limb.upper is not None
            assert limb.lower is not None
            elbow = shoulder + unit(limb.upper) * frame.upper_arm
            wrist = elbow + unit(limb.lower) * frame.forearm
        local = apply(np.swapaxes(chest, -1, -2), unit(elbow - shoulder))
        raised = np.clip((np.degrees(np.arccos(np.clip(-local[..., 1], -1, 1))) - 50) / 120, 0, 1)
        lift = vec(-0.03 * sign * raised, 0.065 * raised, 0.025 * np.maximum(0, local[..., 2]))
        shoulder = socket + apply(chest, lift) if shoulder is socket else shoulder
    upper, lower = unit(elbow - shoulder), unit(wrist - elbow)
    hinge = _hinge(upper, lower, limb.pole)
    along = mirrored(REST_ARM, sign)
    at_rest = basis(along, np.cross(along, vec(0, 0, -1)))
    for bone, start, direction in (("uarm", shoulder, upper), ("farm", elbow, lower), ("hand", wrist, lower)):
        origin[f"{bone}_{side}"] = start
        turn[f"{bone}_{side}"] = basis(direction, hinge) @ at_rest.T
    collar = basis(unit(frame.rest[f"uarm_{side}"] - frame.rest[f"clav_{side}"]), vec(0, 0, 1))
    turn[f"clav_{side}"] = basis(unit(shoulder - origin[f"clav_{side}"]), chest[..., 2]) @ collar.T
    end = lower if limb.end is None else np.broadcast_to(limb.end, lower.shape)
    grip = hinge if limb.grip is None else np.broadcast_to(limb.grip, lower.shape)
    return limb.hand, basis(end, grip)


def _hinge(upper: Array, lower: Array, pole: Array) -> Array:
    """Axis of the elbow: square to both bones, taken from the pole where the arm is straight."""
    bent = -np.cross(upper, lower)
    straight = np.cross(upper, np.broadcast_to(pole, upper.shape))
    size = np.linalg.norm(bent, axis=-1, keepdims=True)
    blend = np.clip((size - 0.04) / 0.12, 0, 1)
    return unit(unit(bent) * blend + unit(straight) * (1 - blend))


def _leg(frame: Frame, limb: Limb, side: str, turn: dict[str, Array], origin: dict[str, Array], hip: Array) -> None:
    assert limb.target is not None
    knee, ankle = two_bones(hip, np.broadcast_to(limb.target, hip.shape), frame.thigh, frame.shank, limb.pole)
    upper, lower = unit(knee - hip), unit(ankle - knee)
    hinge = unit(np.cross(unit(ankle - hip), np.broadcast_to(limb.pole, hip.shape)))
    down = vec(0, -1, 0)
    at_rest = basis(down, np.cross(down, vec(0, 0, 1)))
    for bone, start, direction in (("thigh", hip, upper), ("shank", knee, lower)):
        origin[f"{bone}_{side}"] = start
        turn[f"{bone}_{side}"] = basis(direction, hinge) @ at_rest.T
    assert limb.end is not None
    toes = unit(np.broadcast_to(limb.end, hip.shape))
    flat = np.cross(vec(0, 1, 0), toes)
    across = np.where(np.abs(toes[..., 1:2]) < 0.8, flat, -hinge)
    across = unit(across - toes * (across * toes).sum(-1, keepdims=True))
    origin[f"foot_{side}"] = ankle
    turn[f"foot_{side}"] = np.stack([across, np.cross(toes, across), toes], axis=-1)


def swing(axis: Array, angle_deg: Array | float, v: Array) -> Array:
    """Vectors turned about an axis: (T, 3)."""
    return apply(rotation(unit(axis), angle_deg), v)
