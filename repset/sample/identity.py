"""Who is drawn: ten athletes that differ in build, skin, hair and clothes, and the outfits they own."""

from dataclasses import dataclass

RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Identity:
    """One athlete. Colours are sRGB 0..1; widths and girths are factors of the average build.

    Attributes:
        height_m: stature; scales the joint positions written to the archives.
        shoulders, hips, legs, head: widths of the frame, length of the legs, size of the head.
        torso, arm, leg: girths. belly: depth of the abdomen. bust: 0..1.
        sleeve: how far down the upper arm the top reaches (0 sleeveless, 0.5 T-shirt, 2 long).
        trousers: how far down the leg, in thigh lengths (0.5 shorts, 1.0 to the knee, 1.95 leggings).
        hair: crop | buzz | bald | long | bun | ponytail | afro.
        outfits: (top, bottom, accent, shoe) to choose from, one per clip.
    """

    name: str
    female: bool
    height_m: float
    shoulders: float
    hips: float
    legs: float
    head: float
    torso: float
    arm: float
    leg: float
    belly: float
    bust: float
    skin: RGB
    hair: str
    hair_rgb: RGB
    beard: float
    sleeve: float
    trousers: float
    outfits: tuple[tuple[RGB, RGB, RGB, RGB], ...]


_BLACK, _CHARCOAL, _GREY, _WHITE = (0.09, 0.09, 0.10), (0.20, 0.21, 0.24), (0.52, 0.53, 0.56), (0.90, 0.90, 0.88)
_NAVY, _ROYAL, _SKY, _TEAL = (0.11, 0.16, 0.32), (0.14, 0.30, 0.68), (0.45, 0.67, 0.86), (0.08, 0.46, 0.48)
_RED, _WINE, _CORAL, _PINK = (0.78, 0.15, 0.16), (0.42, 0.10, 0.20), (0.93, 0.44, 0.36), (0.88, 0.45, 0.62)
_GREEN, _OLIVE, _MINT, _LIME = (0.12, 0.45, 0.25), (0.38, 0.40, 0.22), (0.56, 0.80, 0.68), (0.66, 0.80, 0.20)
_YELLOW, _ORANGE, _PURPLE, _SAND = (0.93, 0.76, 0.22), (0.92, 0.49, 0.13), (0.40, 0.25, 0.58), (0.74, 0.65, 0.50)

ATHLETES: tuple[Identity, ...] = (
    Identity("ben", False, 1.80, 1.03, 1.00, 1.01, 0.99, 1.02, 1.06, 1.02, 1.00, 0.0, (0.87, 0.66, 0.54), "crop",
             (0.24, 0.15, 0.09), 0.0, 0.50, 0.62,
             ((_ROYAL, _BLACK, _WHITE, _WHITE), (_GREY, _NAVY, _SKY, _BLACK))),
    Identity("amara", True, 1.70, 0.93, 1.05, 1.02, 1.00, 0.94, 0.92, 1.00, 0.95, 0.75, (0.43, 0.28, 0.20), "bun",
             (0.06, 0.05, 0.05), 0.0, 0.00, 1.95,
             ((_CORAL, _CHARCOAL, _CORAL, _WHITE), (_YELLOW, _PURPLE, _YELLOW, _GREY))),
    Identity("kenji", False, 1.69, 0.97, 0.97, 0.97, 1.04, 0.93, 0.95, 0.94, 0.95, 0.0, (0.85, 0.67, 0.50), "crop",
             (0.06, 0.06, 0.07), 0.0, 0.55, 0.95,
             ((_WHITE, _OLIVE, _RED, _RED), (_BLACK, _SAND, _ORANGE, _BLACK))),
    Identity("freya", True, 1.76, 0.94, 1.03, 1.04, 0.97, 0.92, 0.92, 0.97, 0.93, 0.65, (0.94, 0.77, 0.67), "ponytail",
             (0.82, 0.66, 0.38), 0.0, 0.00, 0.42,
             ((_TEAL, _BLACK, _TEAL, _PINK), (_PINK, _GREY, _WHITE, _WHITE))),
    Identity("marcus", False, 1.88, 1.09, 1.02, 1.02, 0.96, 1.08, 1.20, 1.10, 0.98, 0.0, (0.34, 0.22, 0.16), "buzz",
             (0.05, 0.04, 0.04), 0.6, 0.00, 0.66,
             ((_BLACK, _RED, _WHITE, _RED), (_LIME, _CHARCOAL, _LIME, _BLACK))),
    Identity("lucia", True, 1.61, 0.92, 1.08, 0.97, 1.05, 0.99, 0.97, 1.06, 1.03, 0.85, (0.76, 0.55, 0.41), "long",
             (0.20, 0.11, 0.07), 0.0, 0.42, 1.00,
             ((_PURPLE, _BLACK, _PINK, _WHITE), (_MINT, _NAVY, _WHITE, _CORAL))),
    Identity("igor", False, 1.77, 1.06, 1.06, 0.98, 1.00, 1.14, 1.14, 1.10, 1.16, 0.0, (0.91, 0.73, 0.64), "bald",
             (0.45, 0.27, 0.14), 1.0, 0.55, 0.72,
             ((_GREEN, _CHARCOAL, _YELLOW, _BLACK), (_WINE, _GREY, _WHITE, _WHITE))),
    Identity("zoe", True, 1.66, 0.92, 1.00, 1.00, 1.02, 0.90, 0.88, 0.92, 0.92, 0.50, (0.60, 0.41, 0.29), "afro",
             (0.10, 0.06, 0.05), 0.0, 0.48, 0.48,
             ((_ORANGE, _NAVY, _WHITE, _WHITE), (_WHITE, _RED, _RED, _BLACK))),
    Identity("arjun", False, 1.74, 0.99, 0.98, 1.00, 1.01, 0.96, 0.98, 0.96, 1.00, 0.0, (0.66, 0.47, 0.33), "crop",
             (0.07, 0.06, 0.06), 0.9, 2.00, 0.62,
             ((_NAVY, _GREY, _ORANGE, _ORANGE), (_OLIVE, _BLACK, _WHITE, _WHITE))),
    Identity("mei", True, 1.63, 0.91, 0.98, 0.99, 1.05, 0.90, 0.88, 0.91, 0.92, 0.45, (0.92, 0.76, 0.62), "ponytail",
             (0.07, 0.05, 0.05), 0.0, 0.45, 1.95,
             ((_SKY, _NAVY, _WHITE, _WHITE), (_RED, _BLACK, _RED, _GREY))),
)  # fmt: skip
"""The athletes; their order is part of the sample's identity (a clip names one by position)."""
