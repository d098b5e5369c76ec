"""The drawing board under repset.draw: text, panels, discs. All in place on BGR uint8 (H, W, 3).

Text is DejaVu Sans (it comes with matplotlib), anti-aliased, with °, ✓ and ✗, at any size: OpenCV's own stroke fonts
have neither the degree sign nor an even weight at small sizes.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from repset.palette import INK, Colour

Image = npt.NDArray[np.uint8]


SHIFT = 4
"""Fractional bits of OpenCV's sub-pixel drawing."""

_OVERSAMPLE = 4  # outlines are filled this much larger, then averaged down
_ASCENT, _DESCENT = 0.93, 0.24  # of the size: DejaVu Sans' hhea table (1901 and 483 of 2048 units)


@lru_cache(maxsize=2048)
def text_mask(text: str, size_px: int, bold: bool = False) -> npt.NDArray[np.float32]:
    """Coverage of a line of text.

    Args:
        text: one line; size_px: em size in pixels, so that the mask is about 1.2 times as high.
    Returns: shape (H, W), 0..1, read-only. Every line of one size has the same height and base line.
    """
    height = int(np.ceil(size_px * (_ASCENT + _DESCENT)))
    if not text.strip():
        return np.zeros((height, 1), np.float32)
    from matplotlib import get_data_path
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    font = FontProperties(fname=str(Path(get_data_path()) / "fonts" / "ttf" / name))
    outline = TextPath((0, 0), text.replace("$", r"\$"), size=size_px, prop=font)
    width = int(np.ceil(outline.vertices[:, 0].max())) + 1
    big = np.zeros((height * _OVERSAMPLE, width * _OVERSAMPLE), np.uint8)
    place = np.array([0.0, np.ceil(size_px * _ASCENT)])
    polygons = [
        np.round((np.asarray(points) * [1, -1] + place) * _OVERSAMPLE * 16).astype(np.int32)
        for points in outline.to_polygons()
    ]
    cv2.fillPoly(big, polygons, [255], cv2.LINE_AA, shift=4)  # even-odd: the eyes of letters stay open
    mask = cv2.resize(big, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    mask.setflags(write=False)
    return mask


def text_size(text: str, size_px: int, bold: bool = False) -> tuple[int, int]:
    """Width and height in pixels of a line as `put_text` draws it."""
    height, width = text_mask(text, size_px, bold).shape
    return width, height


def put_text(image: Image, text: str, x: float, y: float, size_px: int, colour: Colour, bold: bool = False) -> None:
    """Draw a line of text in place; (x, y) is its top-left corner, moved so that it stays inside the image."""
    mask = text_mask(text, size_px, bold)
    height, width = mask.shape
    left = int(np.clip(round(x), 0, max(0, image.shape[1] - width)))
    top = int(np.clip(round(y), 0, max(0, image.shape[0] - height)))
    part = image[top : top + height, left : left + width]
    alpha = mask[: part.shape[0], : part.shape[1], None]
    part[:] = np.round(part * (1 - alpha) + np.array(colour, np.float32) * alpha).astype(np.uint8)


def fit_text(text: str, size_px: int, width: int, bold: bool = False) -> str:
    """The text, or as much of it as fits into `width` pixels with an ellipsis."""
    if text_size(text, size_px, bold)[0] <= width:
        return text
    for end in range(len(text) - 1, 0, -1):
        short = text[:end].rstrip() + "…"
        if text_size(short, size_px, bold)[0] <= width:
            return short
    return "…"


def wrap_text(text: str, size_px: int, width: int, lines: int, bold: bool = False) -> list[str]:
    """The text broken at spaces into at most `lines` lines of `width` pixels; the last one may end in an ellipsis."""
    out: list[str] = []
    words = text.split()
    while words and len(out) < lines:
        taken = 1
        while taken < len(words) and text_size(" ".join(words[: taken + 1]), size_px, bold)[0] <= width:
            taken += 1
        if len(out) == lines - 1:
            taken = len(words)
        out.append(fit_text(" ".join(words[:taken]), size_px, width, bold))
        words = words[taken:]
    return out


def panel(image: Image, x: float, y: float, width: float, height: float, alpha: float = 0.68) -> None:
    """A dark, see-through rectangle with round corners, clipped at the image's edge."""
    x0, y0 = max(0, round(x)), max(0, round(y))
    part = image[y0 : max(y0, round(y + height)), x0 : max(x0, round(x + width))]
    if not part.size:
        return
    h, w = part.shape[:2]
    radius = min(h, w) // 2 if min(h, w) < 12 else max(3, text_px(image) // 3)
    mask = np.zeros((h, w), np.uint8)
    cv2.rectangle(mask, (radius, 0), (w - 1 - radius, h - 1), 255, -1)
    cv2.rectangle(mask, (0, radius), (w - 1, h - 1 - radius), 255, -1)
    for cx, cy in (
        (radius, radius),
        (w - 1 - radius, radius),
        (radius, h - 1 - radius),
        (w - 1 - radius, h - 1 - radius),
    ):
        cv2.circle(mask, (cx, cy), radius, [255], -1, cv2.LINE_AA)
    weight = mask[..., None].astype(np.float32) * (alpha / 255)
    part[:] = np.round(part * (1 - weight) + np.array(INK, np.float32) * weight).astype(np.uint8)


def text_px(image: Image) -> int:
    """Size of text that reads well on this image: 11 px at 240 lines, 19 at 480, 39 at 1080."""
    return max(11, round(0.033 * min(image.shape[:2]) + 3))


def fixed(point: npt.NDArray[Any]) -> tuple[int, int]:
    """A point (2,) in OpenCV's fixed-point units."""
    x, y = np.clip(np.asarray(point, float) * (1 << SHIFT), -(1 << 24), 1 << 24)
    return round(x), round(y)


def fixed_points(points: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Points (N, 2) in OpenCV's fixed-point units."""
    return np.asarray(np.round(points * (1 << SHIFT)), np.int32)


def disc(image: Image, centre: npt.NDArray[Any], radius: float, colour: Colour) -> None:
    """A filled, anti-aliased circle; centre and radius in pixels with fractions."""
    cv2.circle(image, fixed(centre), max(1, round(radius * (1 << SHIFT))), colour, -1, cv2.LINE_AA, SHIFT)
