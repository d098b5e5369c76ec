"""What a page is made of: plain values that page.html turns into HTML. A block's class name picks its macro."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2

from repset.draw.canvas import Image


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Missing:
    """A part that is not there yet, and the command that makes it."""

    text: str
    command: str


@dataclass(frozen=True)
class Table:
    """A table; cells are text, numbers are aligned right where the whole column is numeric."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    @property
    def numeric(self) -> list[bool]:
        """Per column: do all its cells look like numbers?"""
        columns = list(zip(*self.rows, strict=True)) if self.rows else [()] * len(self.head)
        return [n > 0 and all(_numeric(cell) for cell in column) for n, column in enumerate(columns)]


@dataclass(frozen=True)
class Figure:
    """A picture with its text alternative. `paper`: it is a chart on white."""

    src: str
    alt: str
    caption: str = ""
    width: int = 0
    height: int = 0
    paper: bool = False


@dataclass(frozen=True)
class Gallery:
    """Figures side by side; `look`: "" three to a line, wide: two, thumbs: many."""

    figures: "Sequence[Figure | Clip]"
    look: str = ""


@dataclass(frozen=True)
class Clip:
    """A short silent video that loops, with its text alternative and a still for print."""

    src: str
    poster: str
    alt: str
    caption: str
    width: int
    height: int


@dataclass(frozen=True)
class Part:
    """One stretch of a bar."""

    name: str
    count: int
    colour: str
    ink: str
    percent: float


@dataclass(frozen=True)
class Bar:
    """A bar of parts that sum to a total."""

    label: str
    total: int
    parts: Sequence[Part]

    @property
    def spoken(self) -> str:
        """The bar as a sentence."""
        return f"{self.label}: " + ", ".join(f"{part.count} {part.name}" for part in self.parts)


@dataclass(frozen=True)
class Bars:
    """Stacked bars with one legend."""

    caption: str
    bars: Sequence[Bar]
    legend: Sequence[tuple[str, str]]  # name, colour
    note: str = ""


@dataclass(frozen=True)
class Cards:
    """Large numbers: (value, what it is, remark)."""

    items: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class More:
    """Blocks folded away under a line."""

    summary: str
    blocks: Sequence[Any]


@dataclass(frozen=True)
class Code:
    """Text in a fixed-width font."""

    text: str


@dataclass(frozen=True)
class Heading:
    """A heading inside a section, with an optional mark such as `rendered sample`."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Section:
    """A numbered part of the page: `id` its anchor, `short` its name in the menu, `lead` what to look for."""

    id: str
    title: str
    short: str
    lead: str
    blocks: list[Any] = field(default_factory=list)

    def add(self, *blocks: Any) -> None:
        """Append blocks."""
        self.blocks.extend(blocks)


INK_ON: dict[str, str] = {"#0072B2": "#FFFFFF", "#D55E00": "#FFFFFF", "#6B6B6B": "#FFFFFF"}
"""Text colour on the dark ones of the palette; black on every other."""


def bar(label: str, counts: dict[str, int], colours: dict[str, str]) -> Bar:
    """A bar of the counts that are not zero, in the order given."""
    total = sum(counts.values())
    parts = [
        Part(name, count, colours.get(name, "#6B6B6B"), INK_ON.get(colours.get(name, "#6B6B6B"), "#000000"),
             round(100 * count / total, 2))
        for name, count in counts.items()
        if count
    ]  # fmt: skip
    return Bar(label, total, parts)


def missing(names: Sequence[str], stage: str, what: str) -> list[Missing]:
    """One block for all that a stage has not made yet; none where nothing is missing."""
    if not names:
        return []
    subject = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    verb = "has" if len(names) == 1 else "have"
    return [Missing(f"{subject} {verb} not {what} yet.", f"dvc repro {stage}" + f"@{names[0]}" * (len(names) == 1))]


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as a `data:` address of a media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def jpeg_uri(image: Image, quality: int = 82) -> str:
    """A picture as JPEG inside the page."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    if not done:
        raise ValueError(f"cannot encode an array of shape {image.shape}")
    return data_uri(bytes(data), "image/jpeg")


def picture(image: Image, alt: str, caption: str = "") -> Figure:
    """A picture of an array."""
    return Figure(jpeg_uri(image), alt, caption, image.shape[1], image.shape[0])


def number(value: Any, digits: int = 3) -> str:
    """A value as a reader wants it: 12,345 · 0.912 · yes · –."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.{digits}f}" if abs(value) <= 1 else f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


_SPELLED = {
    "miou": "mIoU",
    "iou": "IoU",
    "f1": "F1",
    "pck": "PCK",
    "mae": "MAE",
    "deg": "(°)",
    "px": "(px)",
    "p95": "P95",
}


def words(name: str) -> str:
    """A key as words, with the abbreviations of the field as they are written."""
    return " ".join(_SPELLED.get(word, word) for word in name.replace("_", " ").split(" "))


def _numeric(cell: str) -> bool:
    plain = cell.replace(",", "").replace("%", "").replace("°", "").replace("±", "").replace("–", "").strip()
    try:
        float(plain or "0")
    except ValueError:
        return False
    return True
