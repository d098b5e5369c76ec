"""Pictures of labels: skeletons, angle arcs, repetition counter, verdicts, muscle masks, contact sheets.

Images are BGR uint8 (H, W, 3), positions pixels with y down. Everything scales with the image or the body, text
stays inside the frame, a joint that is NaN or below the visibility gate draws nothing, and no colour stands alone.
"""

from repset.draw.body import MIN_VISIBILITY, body_size_px, draw_angle, draw_skeleton, draw_tag
from repset.draw.masks import contact_sheet, draw_legend, draw_masks, fit_image, mask_colours
from repset.draw.overlay import (
    ClipLabels,
    draw_overlay,
    draw_verdict,
    limit_text,
    measurement,
    overlay_frames,
)

__all__ = [
    "MIN_VISIBILITY",
    "ClipLabels",
    "body_size_px",
    "contact_sheet",
    "draw_angle",
    "draw_legend",
    "draw_masks",
    "draw_overlay",
    "draw_skeleton",
    "draw_tag",
    "draw_verdict",
    "fit_image",
    "limit_text",
    "mask_colours",
    "measurement",
    "overlay_frames",
]
