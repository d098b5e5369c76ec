"""Muscle masks over an image, and pictures side by side on a sheet."""

import math
from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from repset.draw.canvas import Image, fit_text, panel, put_text, text_px, text_size
from repset.palette import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILLION, WHITE, YELLOW, Colour

MUSCLE_COLOURS: dict[str, Colour] = {"biceps": VERMILLION, "triceps": BLUE, "calf": YELLOW}
"""Named muscles; any other takes the next of PALETTE."""

PALETTE: tuple[Colour, ...] = (PURPLE, GREEN, ORANGE, SKY, VERMILLION, BLUE, YELLOW)


def draw_masks(image: Image, masks: Mapping[str, npt.NDArray[np.uint8]], *, legend: bool = True) -> None:
    """Muscle masks in colour with an outline, and a legend naming them.

    Args:
        masks: label → (H, W), 0 outside; a label whose mask is empty is not drawn and not in the legend.
    """
    present = {label: mask for label, mask in masks.items() if mask.any()}
    colours = mask_colours(masks)
    width = max(1, round(min(image.shape[:2]) / 240))
    for label, mask in present.items():
        inside = mask > 0
        image[inside] = np.round(image[inside] * 0.45 + np.array(colours[label]) * 0.55).astype(np.uint8)
        outline, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, outline, -1, INK, width + 2, cv2.LINE_AA)
        cv2.drawContours(image, outline, -1, colours[label], width, cv2.LINE_AA)
    if legend and present:
        draw_legend(image, {label: colours[label] for label in present})


def mask_colours(labels: Iterable[str]) -> dict[str, Colour]:
    """A colour for each label, the same wherever the same labels are drawn."""
    spare = iter(PALETTE * 4)
    return {label: MUSCLE_COLOURS.get(label) or next(spare) for label in sorted(labels)}


def draw_legend(image: Image, colours: Mapping[str, Colour]) -> None:
    """A panel at the bottom left: a swatch and a name a line."""
    size = text_px(image)
    pad, line = size // 2, text_size("X", size)[1]
    width = max(text_size(label, size)[0] for label in colours) + 2 * size + pad
    top = image.shape[0] - line * len(colours) - 2 * pad
    panel(image, pad, top, width, line * len(colours) + pad)
    for n, (label, colour) in enumerate(colours.items()):
        y = top + pad // 2 + n * line
        cv2.rectangle(image, (2 * pad, y + line // 4), (2 * pad + size // 2, y + line // 4 + size // 2), colour, -1)
        put_text(image, label, 2 * pad + size, y, size, WHITE)


def contact_sheet(
    images: Sequence[Image], captions: Sequence[str], columns: int, cell_px: tuple[int, int], gap_px: int = 8
) -> Image:
    """Pictures on a grid, each fitted into (width, height) pixels without distortion, its caption below it."""
    width, height = cell_px
    size = max(10, round(0.055 * width))
    line = text_size("X", size)[1] + 4
    rows = max(1, math.ceil(len(images) / columns))
    shape = (rows * (height + line + gap_px) + gap_px, columns * (width + gap_px) + gap_px, 3)
    sheet = np.full(shape, 250, np.uint8)
    for n, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x = gap_px + n % columns * (width + gap_px)
        y = gap_px + n // columns * (height + line + gap_px)
        sheet[y : y + height, x : x + width] = fit_image(image, width, height)
        put_text(sheet, fit_text(caption, size, width), x, y + height + 2, size, INK)
    return sheet


def fit_image(image: Image, width: int, height: int) -> Image:
    """The whole image, scaled to fit and centred on light grey; shape (height, width, 3)."""
    scale = min(width / image.shape[1], height / image.shape[0])
    w, h = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    small = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    out = np.full((height, width, 3), 235, np.uint8)
    x, y = (width - w) // 2, (height - h) // 2
    out[y : y + h, x : x + w] = small
    return out
