"""What lies on the body's surface: clothes, skin tone, face, and where biceps, triceps and calf are."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from repset.sample.geometry import Array, vec
from repset.sample.identity import Identity
from repset.sample.mesh import Surface
from repset.sample.skeleton import BONE, REST_ARM, SIDES, Frame, mirrored

FOOTWEAR = ("skin", "shoe", "sock", "sole")
_CLIP = 0.04
"""Fields are clipped to this (body units), so that a seam between two regions does not pull their outlines."""


@dataclass(frozen=True)
class Wear:
    """Clothes per vertex, as signed fields whose zero is the hem, so that hems stay sharp at any resolution.

    Attributes:
        cover: > 0 where clothed. layer: > 0 the top, < 0 the bottom. accent: > 0 on stripes and prints.
        foot: index of FOOTWEAR, painted in place of the skin. lift: cloth's distance from the skin. shade: folds.
        skin: bare skin colour.
    """

    cover: Array
    layer: Array
    accent: Array
    foot: npt.NDArray[np.int64]
    lift: Array
    shade: Array
    skin: Array


def along_arm(frame: Frame, points: Array, side: str, sign: float) -> Array:
    """Position along the arm in upper-arm lengths: 0 shoulder, 1 elbow."""
    direction = mirrored(REST_ARM, sign)
    return np.asarray((points - frame.rest[f"uarm_{side}"]) @ direction / frame.upper_arm, np.float64)


def along_leg(frame: Frame, points: Array, side: str) -> Array:
    """Position along the leg in thigh lengths: 0 hip joint, 1 knee."""
    return np.asarray((frame.rest[f"thigh_{side}"][1] - points[:, 1]) / frame.thigh, np.float64)


def dress(who: Identity, frame: Frame, surface: Surface, weights: Array) -> Wear:
    """The clothes of an identity on a body mesh at rest."""
    p, up = surface.vertices, frame.hip_height - 0.915
    x, y, z = p[:, 0], p[:, 1] - up, p[:, 2]
    tank = who.sleeve <= 0
    tight = who.female and tank
    hem = 1.165 if tight else 0.965
    waist = 1.03 if tight else 0.975
    neck_x, neck_z = (0.115, 0.105) if tank else (0.088, 0.088)
    collar = (np.hypot(x / neck_x, (z + 0.015) / neck_z) - 1) * neck_x + np.clip(1.435 - y, 0, 1)
    top, bottom = np.minimum(y - hem, collar), waist - y
    folds = 0.5 + 0.5 * np.sin(y * 70 + 3 * np.sin(x * 25) + 2 * np.sin(z * 30))
    leg_lift, foot = np.zeros(len(p)), np.zeros(len(p), np.int64)
    for side, sign in SIDES:
        on_arm = weights[:, BONE[f"uarm_{side}"]] + weights[:, BONE[f"farm_{side}"]]
        arm = (x * sign > 0.12 * who.shoulders) & (on_arm > 0.3)
        reach = -0.12 if tank else who.sleeve
        top = np.where(arm, (reach - along_arm(frame, p, side, sign)) * frame.upper_arm, top)
        bottom = np.where(arm, -1.0, bottom)
        leg_bones = [BONE[f"{bone}_{side}"] for bone in ("thigh", "shank", "foot")]
        leg = (x * sign > 0) & (weights[:, leg_bones].sum(1) > 0.5)
        s = along_leg(frame, p, side)
        bottom = np.where(leg, (who.trousers - s) * frame.thigh, bottom)
        top = np.where(leg, -1.0, top)
        flare = 0.004 if who.trousers > 1.5 else 0.006 + 0.014 * np.clip(s / who.trousers, 0, 1)
        leg_lift = np.where(leg, flare, leg_lift)
        above = p[:, 1] - frame.rest[f"foot_{side}"][1]
        lower = (x * sign > 0) & (above < 0.055)
        foot = np.where(lower, np.where(above < -0.056, 3, np.where(above < 0.008, 1, 2)), foot)
    cover, layer = np.maximum(top, bottom), top - bottom
    body_lift = 0.004 if tight else 0.006 + 0.004 * folds
    lift = np.where(cover > 0, np.where(layer > 0, body_lift, np.maximum(leg_lift, 0.006)), 0.0)
    shade = 0.93 + 0.14 * folds * (0.3 if tight else 1.0)
    accent = _trim(who, x, y, z, layer)
    return Wear(np.clip(cover, -_CLIP, _CLIP), np.clip(layer, -_CLIP, _CLIP), accent, foot, lift, shade, _skin(who, p))


def _trim(who: Identity, x: Array, y: Array, z: Array, layer: Array) -> Array:
    """Stripes and prints in the accent colour; the pattern follows from the name, so it never changes."""
    kind = sum(map(ord, who.name)) % 4
    a = np.abs(x)
    side_stripe = np.minimum(np.minimum(0.018 - np.abs(z), a - 0.12), -layer)
    chest_band = np.minimum(0.030 - np.abs(y - 1.27), np.where(a < 0.17, layer, -1.0))
    shoulder = np.minimum(y - 1.405, layer)
    badge = np.minimum(np.minimum(0.026 - np.abs(x - 0.065), 0.022 - np.abs(y - 1.33)), np.minimum(z - 0.05, layer))
    chosen = (np.maximum(side_stripe, badge), chest_band, np.maximum(shoulder, side_stripe), badge)[kind]
    return np.clip(chosen, -_CLIP, _CLIP)


def _skin(who: Identity, p: Array) -> Array:
    """Skin with a faint mottle."""
    mottle = 0.03 * np.sin(p[:, 0] * 90 + p[:, 1] * 60) * np.sin(p[:, 2] * 80 + p[:, 1] * 40)
    return np.asarray(np.array(who.skin) * (1 + mottle)[:, None], np.float64)


def muscle_regions(frame: Frame, points: Array, weights: Array) -> Array:
    """Signed fields (V, 3) of biceps, triceps and calf: positive inside an ellipse on the limb's surface.

    The ellipse lives in (position along the limb, angle around it), so its outline is smooth between vertices.
    """
    fields = np.full((len(points), 3), -1.0)
    for side, sign in SIDES:
        t = along_arm(frame, points, side, sign)
        direction = mirrored(REST_ARM, sign)
        radial = points - frame.rest[f"uarm_{side}"]
        radial = radial - direction * (radial @ direction)[:, None]
        angle = np.degrees(np.arctan2(radial[:, 2], radial[:, 1]))  # 90: front
        on = (points[:, 0] * sign > 0.12) & (weights[:, [BONE[f"uarm_{side}"], BONE[f"farm_{side}"]]].sum(1) > 0.3)
        fields[on, 0] = _ellipse(t[on], 0.60, 0.31, angle[on] - 88, 66)
        fields[on, 1] = _ellipse(t[on], 0.52, 0.36, angle[on] + 90, 76)
        knee = frame.rest[f"shank_{side}"]
        s = (knee[1] - points[:, 1]) / frame.shank
        around = np.degrees(np.arctan2(points[:, 0] - knee[0], -(points[:, 2] - knee[2])))  # 0: back
        on = (points[:, 0] * sign > 0) & (weights[:, BONE[f"shank_{side}"]] > 0.5)
        fields[on, 2] = _ellipse(s[on], 0.33, 0.29, around[on], 92)
    return fields


def _ellipse(t: Array, centre: float, reach: float, angle_deg: Array, half_deg: float) -> Array:
    wrapped = (angle_deg + 180) % 360 - 180
    return np.asarray(1 - ((t - centre) / reach) ** 2 - (wrapped / half_deg) ** 2, np.float64)


def paint_face(who: Identity, frame: Frame, surface: Surface) -> Array:
    """Skin colour of the head's vertices with eyes, brows, lips, stubble or beard, and cropped hair."""
    pivot = vec(0, 1.545, 0)
    p = (surface.vertices - vec(0, frame.hip_height - 0.915, 0) - pivot) / who.head + pivot
    x, y, z = p.T
    a = np.abs(x)
    skin, hair = np.array(who.skin), np.array(who.hair_rgb)
    rgb = _skin(who, p)
    cheek = np.exp(-(((a - 0.045) / 0.02) ** 2 + ((y - 1.612) / 0.02) ** 2)) * (z > 0.03)
    rgb *= 1 + cheek[:, None] * np.array([0.05, -0.05, -0.05])
    face = z > 0.03
    socket = np.exp(-(((a - 0.031) / 0.022) ** 2 + ((y - 1.650) / 0.014) ** 2)) * face
    rgb *= (1 - 0.28 * socket)[:, None]
    if who.beard > 0:
        edge = np.clip((1.610 - y - 0.35 * np.maximum(0, 0.05 - a)) / 0.012, 0, 1) * np.clip((z + 0.01) / 0.02, 0, 1)
        moustache = np.exp(-((a / 0.024) ** 4 + ((y - 1.603) / 0.006) ** 2)) * face
        grown = np.clip(np.maximum(edge * (y > 1.545), moustache), 0, 1) * 0.75 * who.beard
        rgb = rgb * (1 - grown)[:, None] + (hair * 0.9 + 0.02) * grown[:, None]
    if who.hair in ("buzz", "crop"):
        line = 1.708 - 0.018 * (a / 0.06) ** 2
        scalp = np.where(z > 0.02, (y - line) / 0.008, np.where(z > -0.03, (y - 1.660) / 0.012, (y - 1.600) / 0.015))
        shade = np.clip(scalp, 0, 1) * (0.78 if who.hair == "buzz" else 0.9) * (a < 0.074)
        rgb = rgb * (1 - shade)[:, None] + hair * shade[:, None]
    brow = face & (np.abs(y - 1.671 - 0.004 * np.cos((a - 0.033) * 60)) < 0.0046) & (a > 0.013) & (a < 0.051)
    rgb[brow] = hair * 0.7 + skin * 0.12
    white = face & (((a - 0.031) / 0.0150) ** 2 + ((y - 1.649) / 0.0068) ** 2 < 1)
    rgb[white] = (0.90, 0.89, 0.87)
    iris = face & (((a - 0.031) / 0.0070) ** 2 + ((y - 1.649) / 0.0070) ** 2 < 1)
    rgb[iris] = (0.12, 0.08, 0.06)
    lips = face & ((a / 0.024) ** 2 + ((y - 1.588) / 0.0085) ** 2 < 1)
    rgb[lips] = skin * (np.array([0.92, 0.52, 0.52]) if who.female else np.array([0.88, 0.62, 0.60]))
    rgb[face & (np.abs(y - 1.589) < 0.0020) & (a < 0.021)] = skin * 0.35
    rgb[face & ((a - 0.010) ** 2 + (y - 1.612) ** 2 < 0.0045**2)] *= 0.55
    return np.clip(rgb, 0, 1)
