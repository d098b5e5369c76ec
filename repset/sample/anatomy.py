"""The athlete's shapes: trunk and limbs with their muscles, head, hands, hair, as functions of the build."""

import numpy as np

from repset.sample.geometry import Array, basis, unit, vec
from repset.sample.identity import Identity
from repset.sample.mesh import Shape
from repset.sample.skeleton import SIDES, Frame, mirrored


def ball(bone: str, at: Array, axes: Array, turn: Array | None = None) -> Shape:
    """An ellipsoid."""
    return Shape(bone, at, at, axes=axes, turn=turn)


def cone(bone: str, a: Array, b: Array, r0: float, r1: float) -> Shape:
    """A rounded cone."""
    return Shape(bone, a, b, r0, r1)


def body_shapes(who: Identity, frame: Frame) -> list[Shape]:
    """Trunk, arms, legs and shoes, without head and hands."""
    up = vec(0, frame.hip_height - 0.915, 0)
    w, hips, shoulders = who.torso, who.hips, who.shoulders
    waist = 0.90 if who.female else 1.0
    neck = 0.047 if who.female else 0.057
    chest = (0.93 if who.female else 1.0) * shoulders
    shapes = [
        ball("pelvis", vec(0, 0.945, -0.005) + up, vec(0.150 * hips, 0.105, 0.098) * w),
        ball("abdomen", vec(0, 1.08, 0.005 + 0.02 * (who.belly - 1)) + up,
             vec(0.125 * waist, 0.13, 0.086 * who.belly) * w),
        ball("chest", vec(0, 1.20, 0) + up, vec(0.133 * waist, 0.14, 0.092) * w),
        ball("chest", vec(0, 1.315, -0.005) + up, vec(0.142 * chest, 0.12, 0.098 * np.sqrt(w))),
        ball("chest", vec(0, 1.40, -0.025) + up, vec(0.12 * chest, 0.045, 0.062)),
        cone("neck", vec(0, 1.42, -0.02) + up, vec(0, 1.56, 0) + up, neck, neck - 0.006),
    ]  # fmt: skip
    if who.belly > 1.05:
        shapes.append(ball("abdomen", vec(0, 1.05, 0.045) + up, vec(0.11, 0.11, 0.085 * who.belly)))
    for side, sign in SIDES:
        shapes += _trunk_side(who, side, sign, up)
        shapes += _arm(who, frame, side, sign)
        shapes += _leg(who, frame, side, sign)
    return shapes


def _trunk_side(who: Identity, side: str, sign: float, up: Array) -> list[Shape]:
    w, chest = who.torso, who.shoulders

    def at(x: float, y: float, z: float) -> Array:
        return mirrored(vec(x, y, z), sign) + up

    shapes = [
        ball("pelvis", at(0.068 * who.hips, 0.90, -0.058), vec(0.077, 0.087, 0.064 + 0.006 * who.female) * w),
        ball("chest", at(0.10 * chest, 1.30, -0.06), vec(0.065, 0.10, 0.04) * chest),
        cone("chest", at(0.02, 1.455, -0.03), at(0.13 * chest, 1.415, -0.02), 0.040 * w, 0.036 * w),
        cone(f"clav_{side}", at(0.07, 1.40, -0.01), at(0.145 * chest, 1.403, -0.012), 0.050, 0.052 * who.arm**0.5),
    ]
    if who.female:
        shapes.append(ball("chest", at(0.070 * chest, 1.292, 0.068), vec(0.064, 0.058, 0.036 + 0.018 * who.bust)))
    else:
        shapes.append(ball("chest", at(0.072 * chest, 1.325, 0.062), vec(0.078, 0.055, 0.040) * chest))
    return shapes


def _arm(who: Identity, frame: Frame, side: str, sign: float) -> list[Shape]:
    shoulder, elbow, wrist = (frame.rest[f"{bone}_{side}"] for bone in ("uarm", "farm", "hand"))
    d, a = unit(elbow - shoulder), who.arm
    turn = basis(d, vec(0, 0, 1))
    upper, fore = f"uarm_{side}", f"farm_{side}"
    return [
        ball(upper, shoulder + d * 0.03, vec(0.055, 0.080, 0.056) * a, turn),  # deltoid
        cone(upper, shoulder + d * 0.04, elbow, 0.043 * a, 0.036 * a),
        ball(upper, shoulder + d * 0.165 + vec(0, 0, 0.018 * a), vec(0.034, 0.080, 0.038) * a, turn),  # biceps
        ball(upper, shoulder + d * 0.150 + vec(0, 0, -0.020 * a), vec(0.034, 0.092, 0.040) * a, turn),  # triceps
        ball(fore, elbow + d * 0.075, vec(0.039, 0.092, 0.042) * a, turn),
        cone(fore, elbow, wrist, 0.035 * a, 0.0255 * a**0.5),
    ]


def _leg(who: Identity, frame: Frame, side: str, sign: float) -> list[Shape]:
    hip, knee, ankle = (frame.rest[f"{bone}_{side}"] for bone in ("thigh", "shank", "foot"))
    s, g = frame.legs, who.leg
    thigh, shank, foot = f"thigh_{side}", f"shank_{side}", f"foot_{side}"
    return [
        cone(thigh, hip, knee, 0.080 * g, 0.050 * g),
        ball(thigh, hip + vec(0.012 * sign, -0.16 * s, 0.018), vec(0.072, 0.17, 0.075) * g),  # quadriceps
        ball(thigh, hip + vec(0, -0.17 * s, -0.022), vec(0.062, 0.16, 0.060) * g),  # hamstrings
        ball(shank, knee + vec(0, 0, 0.012), vec(0.049, 0.057, 0.049) * g),
        cone(shank, knee, ankle, 0.046 * g, 0.032 * g**0.5),
        ball(shank, knee + vec(0.013 * sign, -0.12 * s, -0.026), vec(0.043, 0.110, 0.043) * g),  # calf, outer head
        ball(shank, knee + vec(-0.013 * sign, -0.13 * s, -0.024), vec(0.043, 0.118, 0.043) * g),  # calf, inner head
        ball(foot, ankle + vec(0, -0.030, 0), vec(0.036, 0.048, 0.048)),
        cone(foot, ankle + vec(0, -0.035, -0.025), ankle + vec(0.006 * sign, -0.042, 0.10), 0.038, 0.034),
        cone(foot, ankle + vec(0, -0.044, 0.07), ankle + vec(0.008 * sign, -0.048, 0.155), 0.036, 0.028),
    ]


def head_shapes(who: Identity, frame: Frame) -> list[Shape]:
    """Skull, jaw, nose, ears, neck: no hair."""
    pivot = vec(0, 1.545, 0)
    up = vec(0, frame.hip_height - 0.915, 0)
    jaw = 0.92 if who.female else 1.03
    brow = 0.009 if who.female else 0.011

    def at(x: float, y: float, z: float) -> Array:
        return pivot + (vec(x, y, z) - pivot) * who.head + up

    parts = [
        ball("head", at(0, 1.668, -0.002), vec(0.073, 0.082, 0.092)),
        ball("head", at(0, 1.635, 0.028), vec(0.062, 0.085, 0.068)),
        ball("head", at(0, 1.585, 0.045), vec(0.051 * jaw, 0.047, 0.051)),
        cone("head", at(0, 1.565, 0.070), at(0, 1.566, 0.077), 0.020 * jaw, 0.017 * jaw),  # chin
        cone("head", at(0, 1.660, 0.092), at(0, 1.622, 0.111), 0.0075, 0.0125),  # nose
        ball("head", at(0, 1.588, 0.090), vec(0.022, 0.0115, 0.0125)),
    ]
    for _, sign in SIDES:
        parts += [
            ball("head", at(0.014 * sign, 1.617, 0.097), vec(0.0095, 0.008, 0.012)),
            cone("head", at(0.016 * sign, 1.673, 0.083), at(0.046 * sign, 1.669, 0.067), brow, brow),
            ball("head", at(0.040 * sign, 1.624, 0.060), vec(0.020, 0.022, 0.020)),
            ball("head", at(0.076 * sign, 1.635, -0.004), vec(0.009, 0.032, 0.019)),
        ]
    radius = 0.043 if who.female else 0.053
    return [*parts, cone("neck", vec(0, 1.46, -0.02) + up, vec(0, 1.57, 0) + up, radius, radius - 0.004)]


def hair_shapes(who: Identity, frame: Frame) -> list[Shape]:
    """Hair that stands off the skull; crop and buzz are painted on the skin instead."""
    pivot = vec(0, 1.545, 0)
    up = vec(0, frame.hip_height - 0.915, 0)

    def at(x: float, y: float, z: float) -> Array:
        return pivot + (vec(x, y, z) - pivot) * who.head + up

    cap = [ball("head", at(0, 1.680, -0.014), vec(0.083, 0.085, 0.098))]
    if who.hair == "bun":
        return [*cap, ball("head", at(0, 1.765, -0.055), vec(0.042, 0.036, 0.042))]
    if who.hair == "ponytail":
        return [
            *cap,
            ball("head", at(0, 1.705, -0.115), vec(0.026, 0.026, 0.026)),
            cone("head", at(0, 1.70, -0.135), at(0, 1.60, -0.165), 0.028, 0.030),
            cone("head", at(0, 1.60, -0.165), at(0, 1.50, -0.150), 0.030, 0.012),
        ]
    if who.hair == "long":
        sides = [cone("head", at(0.072 * s, 1.67, -0.025), at(0.078 * s, 1.52, -0.035), 0.026, 0.022) for s in (1, -1)]
        return [*cap, *sides, cone("head", at(0, 1.66, -0.055), at(0, 1.49, -0.075), 0.072, 0.055)]
    if who.hair == "afro":
        return [ball("head", at(0, 1.705, -0.025), vec(0.125, 0.115, 0.125))]
    if who.hair == "crop":
        return [ball("head", at(0, 1.686, -0.008), vec(0.080, 0.083, 0.096))]
    return []


def fist_shapes(sign: float) -> list[Shape]:
    """A closed hand in its own frame: y along the hand, x across the knuckles towards the thumb, z the palm."""
    shapes = [
        ball("hand", vec(0, 0.045, 0), vec(0.040, 0.052, 0.019)),
        cone("hand", vec(0, -0.02, 0), vec(0, 0.02, 0), 0.026, 0.024),
        cone("hand", vec(0.034 * sign, 0.03, 0.01), vec(0.040 * sign, 0.065, 0.032), 0.013, 0.010),
    ]
    for i in range(4):
        x = -0.030 + 0.020 * i
        knuckle, bend = vec(x, 0.085, 0), vec(x * 0.95, 0.108 - 0.004 * abs(i - 1.4), 0.022)
        shapes.append(cone("hand", knuckle, bend, 0.0105, 0.0095))
        shapes.append(cone("hand", bend, vec(x * 0.9, 0.09, 0.045), 0.0095, 0.0085))
    return shapes


def flat_shapes(sign: float) -> list[Shape]:
    """An open hand in the frame of `fist_shapes`."""
    shapes = [
        ball("hand", vec(0, 0.05, 0), vec(0.042, 0.055, 0.016)),
        cone("hand", vec(0, -0.02, 0), vec(0, 0.02, 0), 0.026, 0.024),
        cone("hand", vec(0.034 * sign, 0.03, 0), vec(0.065 * sign, 0.085, 0.01), 0.014, 0.009),
    ]
    for i in range(4):
        x = -0.031 + 0.021 * i
        tip = vec(x * 1.25, 0.165 - 0.008 * abs(i - 1.4), 0.004)
        shapes.append(cone("hand", vec(x, 0.085, 0), tip, 0.0105, 0.0075))
    return shapes
