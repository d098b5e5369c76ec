"""The colours of pictures, charts and the report: Okabe and Ito's ("Color Universal Design", 2008), which stay apart
under colour blindness. A module of its own, so that what trains models does not depend on what draws people.
"""

Colour = tuple[int, int, int]
"""Blue, green, red, 0..255, as OpenCV has them."""

# Okabe-Ito, as blue, green, red.
ORANGE, SKY, GREEN, YELLOW = (0, 159, 230), (233, 180, 86), (115, 158, 0), (66, 228, 240)
BLUE, VERMILLION, PURPLE = (178, 114, 0), (0, 94, 213), (167, 121, 204)
WHITE, INK, GREY = (255, 255, 255), (28, 24, 22), (150, 145, 140)

VERDICTS: dict[str, tuple[Colour, str]] = {
    "correct": (GREEN, "✓"),
    "incorrect": (VERMILLION, "✗"),
    "unscorable": (GREY, "?"),
}
"""Colour and sign of each verdict."""
