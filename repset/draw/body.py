"""One person in one frame: skeleton, joint visibility, angle arcs. Drawn in place."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from repset import angles
from repset.draw.canvas import SHIFT, Image, disc, fixed, fixed_points, panel, put_text, text_px, text_size
from repset.landmarks import DERIVED, SKELETONS
from repset.palette import INK, ORANGE, SKY, WHITE, YELLOW, Colour
from repset.schema import PoseTrack

Floats = npt.NDArray[np.float32]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""

SIDE_COLOURS: dict[str, Colour] = {"left": SKY, "right": ORANGE, "middle": WHITE}
"""Bones and joints of the person's left, of the right, and across."""

MIN_VISIBILITY = 0.5
"""Gate for callers that have no `autolabel.min_visibility` at hand: MediaPipe's own drawing gate."""


def body_size_px(track: PoseTrack) -> float:
    """Median over frames of the longer side of the box around all joints; NaN where no joint is known."""
    known = np.isfinite(track.xy_px).all(-1).any(1)
    if not known.any():
        return math.nan
    boxes = np.nanmax(track.xy_px[known], axis=1) - np.nanmin(track.xy_px[known], axis=1)
    return float(np.median(boxes.max(axis=1)))


def draw_skeleton(
    image: Image,
    xy_px: Floats,
    visibility: Floats,
    skeleton: str,
    *,
    min_visibility: float = MIN_VISIBILITY,
    body_px: float = math.nan,
) -> None:
    """Bones and joints of one person; a joint is filled where it is clearly seen, hollow where it is doubtful.

    Args:
        xy_px: (K, 2) pixels; visibility: (K,) 0..1; both NaN where absent.
        body_px: size of the body, so that a far person gets thin lines; NaN takes the image's size.
    """
    shown = _shown(xy_px, visibility, min_visibility)
    line = _line_px(image, body_px)
    joints = SKELETONS[skeleton].joints
    bones = [(a, b) for a, b in _bone_indices(skeleton) if not (joints[a] in _FACE and joints[b] in _FACE)]
    lines = [(xy_px[a], xy_px[b], _side(joints[a], joints[b])) for a, b in bones if shown[a] and shown[b]]
    if neck := _neck(joints, shown):
        nose, *shoulders = neck
        lines.append((xy_px[nose], xy_px[shoulders].mean(0), "middle"))
        bones = [*bones, (nose, nose)]
    for under in (True, False):
        for start, end, side in lines:
            colour = INK if under else SIDE_COLOURS[side]
            width = max(1, round(line + 2 if under else line))
            cv2.line(image, fixed(start), fixed(end), colour, width, cv2.LINE_AA, SHIFT)
    sure = (1 + min_visibility) / 2
    for k in sorted({k for bone in bones for k in bone if shown[k]}):
        colour = SIDE_COLOURS[_side(joints[k], joints[k])]
        disc(image, xy_px[k], 1.25 * line + 1, INK)
        disc(image, xy_px[k], 1.25 * line, colour)
        disc(image, xy_px[k], 0.7 * line, WHITE if visibility[k] >= sure else INK)


_FACE = frozenset(("nose", "left_eye", "right_eye", "left_ear", "right_ear", "mouth_left", "mouth_right"))
"""A mask of lines over a face tells nothing about form and spoils the picture: the nose alone stands for the head."""


def _neck(joints: Sequence[str], shown: npt.NDArray[np.bool_]) -> list[int]:
    """Nose and both shoulders, where the skeleton has no neck of its own and all three are seen; else nothing."""
    if "neck" in joints or "nose" not in joints:
        return []
    found = [joints.index(name) for name in ("nose", "left_shoulder", "right_shoulder")]
    return found if shown[found].all() else []


def draw_angle(
    image: Image, a: Floats, b: Floats, c: Floats, *, body_px: float = math.nan, taken: Sequence[Box] = ()
) -> Box | None:
    """The interior angle at b as a sector with its degrees; nothing where a point is NaN.

    Args:
        a, b, c: (2,) pixels.
        taken: boxes that the degrees should not cover: they go to the other side of the joint, or are left out.
    Returns: box of the degrees, None where none were written.
    """
    value = float(angles.interior_deg(np.asarray(a), np.asarray(b), np.asarray(c)))
    if not math.isfinite(value):
        return None
    u, v = np.asarray(a, float) - b, np.asarray(c, float) - b
    small = min(image.shape[:2])
    size_px = min(body_px, small) if math.isfinite(body_px) else small
    radius = max(0.3 * min(np.hypot(*u), np.hypot(*v), 0.4 * size_px), 5.0)
    start = math.atan2(u[1], u[0])
    sweep = (math.atan2(v[1], v[0]) - start + math.pi) % (2 * math.pi) - math.pi
    arc = start + np.linspace(0, sweep, max(3, int(abs(sweep) * 12)))
    rim = np.stack([b[0] + radius * np.cos(arc), b[1] + radius * np.sin(arc)], 1)
    x0, y0 = np.floor(np.vstack([rim, b]).min(0) - 2).astype(int)
    x1, y1 = np.ceil(np.vstack([rim, b]).max(0) + 3).astype(int)
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, image.shape[1]), min(y1, image.shape[0])
    if x0 < x1 and y0 < y1:
        part = image[y0:y1, x0:x1]
        ink = part.copy()
        offset = np.array([x0, y0])
        cv2.fillPoly(ink, [fixed_points(np.vstack([rim, b]) - offset)], YELLOW, cv2.LINE_AA, SHIFT)
        cv2.addWeighted(ink, 0.5, part, 0.5, 0, dst=part)
        width = max(1, round(_line_px(image, body_px) * 0.6))
        cv2.polylines(part, [fixed_points(rim - offset)], False, YELLOW, width, cv2.LINE_AA, SHIFT)
    size = text_px(image)
    text = f"{value:.0f}°"
    w, h = text_size(text, size, bold=True)
    middle = start + sweep / 2
    near = 0.5 * math.hypot(w, h)
    for reach, turn in ((radius + near, 0.0), (near, math.pi)):
        x, y = b[0] + reach * math.cos(middle + turn) - w / 2, b[1] + reach * math.sin(middle + turn) - h / 2
        box = tag_box(image, text, x, y, size)
        if not any(_overlap(box, other) for other in taken):
            draw_tag(image, text, x, y, size)
            return box
    return None


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def angle_sides(signal: str, track: PoseTrack) -> list[angles.Angle]:
    """Rows of the angle table behind a signal, the better seen side of the clip first."""
    names = [signal] if signal in angles.BY_NAME else [f"left_{signal}", f"right_{signal}"]
    rows = [angles.BY_NAME[name] for name in names if name in angles.BY_NAME]
    joints = SKELETONS[track.skeleton].joints

    def seen(row: angles.Angle) -> float:
        parts = [track.visibility[:, joints.index(j)] for j in (row.a, row.b, row.c) if j in joints]
        return float(np.nan_to_num(np.stack(parts)).mean()) if parts else 0.0

    return sorted(rows, key=seen, reverse=True)


def draw_signal(
    image: Image,
    rows: Sequence[angles.Angle],
    xy_px: Floats,
    visibility: Floats,
    skeleton: str,
    gate: float,
    body: float,
    torso_px: float = math.nan,
    taken: Sequence[Box] = (),
) -> list[Box]:
    """The better side's angle, and the other's where it would not lie upon it; none where a bone is seen end-on.

    Args:
        torso_px: the body's size, as in `repset.angles.evaluate`; NaN: it is not known whether one is.
        taken: as in `draw_angle`.
    Returns: boxes of the degrees that were written.
    """
    shown = np.where(_shown(xy_px, visibility, gate)[:, None], xy_px, np.nan).astype(np.float32)
    drawn: list[Floats] = []
    tags: list[Box] = []
    for row in rows:
        a, b, c = (_joint(name, row, shown, skeleton) for name in (row.a, row.b, row.c))
        near = [p for p in drawn if float(np.hypot(*(p - b))) < 0.2 * body]
        known = np.isfinite(angles.evaluate(row.name, shown[None], skeleton, np.array([torso_px]))[0])
        if known and not near:
            tag = draw_angle(image, a, b, c, body_px=body, taken=[*taken, *tags])
            drawn.append(b)
            tags += [tag] if tag else []
    return tags


def _joint(name: str, row: angles.Angle, xy_px: Floats, skeleton: str) -> Floats:
    if name == "vertical":
        known = xy_px[np.isfinite(xy_px).all(-1)]
        up = float(np.ptp(known, axis=0).max()) if len(known) else math.nan
        return _joint(row.b, row, xy_px, skeleton) - np.array([0, up], np.float32)
    joints = SKELETONS[skeleton].joints
    parts = (name,) if name in joints else DERIVED.get(name, ())
    if not parts or any(part not in joints for part in parts):
        return np.full(2, np.nan, np.float32)
    return np.asarray(xy_px[[joints.index(part) for part in parts]].mean(0), np.float32)


def _shown(xy_px: Floats, visibility: Floats, gate: float) -> npt.NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.isfinite(xy_px).all(-1) & (visibility >= gate), np.bool_)


def _line_px(image: Image, body_px: float) -> float:
    by_image = min(image.shape[:2]) * 0.0065
    return max(1.2, min(by_image, 0.011 * body_px) if math.isfinite(body_px) else by_image)


def _bone_indices(skeleton: str) -> list[tuple[int, int]]:
    have = SKELETONS[skeleton]
    return [(have.index(a), have.index(b)) for a, b in have.bones]


def _side(a: str, b: str) -> str:
    sides = {joint.split("_")[0] if joint.startswith(("left_", "right_")) else "middle" for joint in (a, b)}
    sides.discard("middle") if len(sides) == 2 else None
    return sides.pop() if len(sides) == 1 else "middle"


def tag_box(image: Image, text: str, x: float, y: float, size: int) -> Box:
    """Where `draw_tag` would put its panel: left, top, right, bottom in pixels."""
    w, h = text_size(text, size, bold=True)
    pad = max(2, size // 5)
    x = float(np.clip(x, pad, max(pad, image.shape[1] - w - pad)))
    y = float(np.clip(y, pad, max(pad, image.shape[0] - h - pad)))
    return x - pad, y, x + w + pad, y + h


def draw_tag(image: Image, text: str, x: float, y: float, size: int) -> None:
    """A word on a dark panel at (x, y), moved so that it stays inside the image."""
    left, top, right, bottom = tag_box(image, text, x, y, size)
    panel(image, left, top, right - left, bottom - top)
    put_text(image, text, left + max(2, size // 5), top, size, WHITE, bold=True)
