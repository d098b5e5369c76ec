"""Charts (matplotlib): angles over a set, what rules measured, confusion matrices, training curves.

The same input gives the same bytes: DejaVu fonts, fixed ids in SVG, no date and no version in the file. Colours are
Okabe and Ito's; a verdict is also written, a curve also named, so that no colour stands alone.
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from repset.palette import VERDICTS
from repset.records import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Okabe-Ito, in the order curves take them."""

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.axisbelow": True,
    "legend.fontsize": 8,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "svg.hashsalt": "repset",
    "svg.fonttype": "path",
    "path.simplify": True,
}


P = ParamSpec("P")
R = TypeVar("R")


def _styled(function: Callable[P, R]) -> Callable[P, R]:
    """Draw under our settings alone, whatever the caller's matplotlibrc says."""

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_STYLE)
            return function(*args, **kwargs)

    return inner


@dataclass(frozen=True)
class Panel:
    """One joint over time.

    Attributes:
        name: what the axis shows.
        curves: name → (T,) degrees, NaN leaves a gap.
        limits: degrees and words: drawn as dashed lines.
        points: time in seconds, degrees and verdict of each measurement that a rule took.
    """

    name: str
    curves: Mapping[str, npt.NDArray[Any]]
    limits: Sequence[tuple[float, str]] = ()
    points: Sequence[tuple[float, float, str]] = ()


def angle_chart(
    time_s: npt.NDArray[np.float64],
    panels: Sequence[Panel],
    reps: Sequence[Mapping[str, Any]],
    verdicts: Mapping[int, str],
    path: Path,
    *,
    title: str = "",
    subtitle: str = "",
) -> Path:
    """Angles over the time of one set, with repetitions, turns, limits and what was measured.

    Args:
        time_s: (T,) seconds of the clip.
        panels: one below the other; the first is the tallest.
        reps: rows of the table `reps`, one set: bands from start to end, a dotted line at the turn, their number on top
            (from 1, in brackets where incomplete) with the sign of the verdict.
        verdicts: number of the repetition in the table → verdict, which colours its band.
        path: .png or .svg.
    """
    return save(angle_figure(time_s, panels, reps, verdicts, title=title, subtitle=subtitle), path)


@_styled
def angle_figure(
    time_s: npt.NDArray[np.float64],
    panels: Sequence[Panel],
    reps: Sequence[Mapping[str, Any]],
    verdicts: Mapping[int, str],
    *,
    title: str = "",
    subtitle: str = "",
) -> "Figure":
    """The figure of `angle_chart`."""
    heights = [2.5, *([1.5] * (len(panels) - 1))][: max(1, len(panels))]
    figure, axes = _stack(9.0, heights)
    for axis, panel in zip(axes, panels, strict=False):
        _bands(axis, reps, verdicts)
        _panel(axis, time_s, panel)
    for row in reps:
        colour, sign = _look(verdicts.get(row["rep"]))
        label = f"{row['rep'] + 1}{sign}"
        label = label if row["complete"] else f"({label})"
        middle = (row["start_s"] + row["end_s"]) / 2
        style = {"ha": "center", "fontsize": 9, "fontweight": "bold", "color": _dark(colour)}
        _note(axes[0], label, (middle, 1), ("data", "axes fraction"), (0, 2), **style)
    axes[-1].set_xlabel("time (s)")
    top = 20 if reps else 8
    axes[0].set_title(title, pad=top + (12 if subtitle else 0), fontsize=12)
    if subtitle:
        _note(axes[0], subtitle, (0, 1), ("axes fraction", "axes fraction"), (0, top - 4), fontsize=9, color="#555")
    return figure


def _bands(axis: "Axes", reps: Sequence[Mapping[str, Any]], verdicts: Mapping[int, str]) -> None:
    for row in reps:
        colour, _ = _look(verdicts.get(row["rep"]))
        axis.axvspan(row["start_s"], row["end_s"], color=colour, alpha=0.14, linewidth=0)
        axis.axvline(row["turn_s"], color=colour, linewidth=1.0, linestyle=":")


def _panel(axis: "Axes", time_s: npt.NDArray[np.float64], panel: Panel) -> None:
    for n, (name, values) in enumerate(panel.curves.items()):
        axis.plot(time_s, values, color=CURVES[n % len(CURVES)], linewidth=1.7 if n == 0 else 1.1, label=name)
    for value, words in panel.limits:
        axis.axhline(value, color="#333", linewidth=1.0, linestyle=(0, (5, 3)))
        _note(axis, words, (1, value), ("axes fraction", "data"), (4, -4), ha="left", fontsize=8, color="#333")
    for at, value, verdict in panel.points:
        colour, _ = _look(verdict)
        marker = {"correct": "o", "incorrect": "X"}.get(verdict, "s")
        axis.plot([at], [value], marker, color=colour, markersize=7, markeredgecolor="white", zorder=5)
    axis.set(ylim=(0, 185), yticks=range(0, 181, 30 if len(axis.figure.axes) == 1 else 45))
    axis.set_ylabel(f"{panel.name} (°)")
    axis.margins(x=0.01)
    if len(panel.curves) > 1:
        axis.legend(loc="lower left", ncols=len(panel.curves), frameon=True, framealpha=0.85, edgecolor="none")


def _look(verdict: str | None) -> tuple[str, str]:
    """Colour and sign of a verdict; grey without one."""
    if verdict is None:
        return "#888888", ""
    colour, sign = VERDICTS[verdict]
    return _hex(colour), sign


@dataclass(frozen=True)
class Spread:
    """What one rule measured in all repetitions from one view.

    Attributes:
        title: rule, view and number, in words.
        angle: name of the angle.
        values: (N,) degrees; verdicts: of this rule on each.
        limits: the range as applied, None where it is open; other: that of the rule it is compared with.
        error_deg: measured error of the angle, None where there is no measurement of it.
        judged: degrees and verdict of repetitions that a person judged.
    """

    title: str
    angle: str
    values: npt.NDArray[Any]
    verdicts: Sequence[str]
    limits: tuple[float | None, float | None]
    other: tuple[float | None, float | None] | None = None
    error_deg: float | None = None
    judged: Sequence[tuple[float, str]] = ()


def spread_chart(spreads: Sequence[Spread], path: Path, *, title: str = "") -> Path:
    """Distribution of what rules measured, one panel a rule and view, with the limit drawn in (.png or .svg)."""
    return save(spread_figure(spreads, title=title), path)


@_styled
def spread_figure(spreads: Sequence[Spread], *, title: str = "") -> "Figure":
    """The figure of `spread_chart`: bars of 5°, coloured and named by verdict."""
    figure, axes = _stack(7.6, [1.75] * max(1, len(spreads)), share_x=False)
    for axis, spread in zip(axes, spreads, strict=False):
        _spread(axis, spread)
    if not spreads:
        axes[0].set_axis_off()
        _note(axes[0], "nothing was measured", (0.5, 0.5), ("axes fraction", "axes fraction"), (0, 0), ha="center")
    if title:
        said = any(spread.judged for spread in spreads)
        words = f"{title}\nsigns on the axis: what people, or the set itself, said" if said else title
        figure.suptitle(words, x=0.01, ha="left", fontsize=11, fontweight="bold")
    figure.get_layout_engine().execute(figure)  # type: ignore[union-attr]
    figure.set_layout_engine("none")  # once: a save would lay it out again, twice
    return figure


def _spread(axis: "Axes", spread: Spread) -> None:
    from matplotlib.ticker import MaxNLocator

    values = np.asarray(spread.values, float)
    marks = [v for pair in (spread.limits, spread.other or ()) for v in pair if v is not None]
    every = [*values, *marks, *(v for v, _ in spread.judged)]
    low, high = (math.floor((min(every) - 7) / 10) * 10, math.ceil((max(every) + 7) / 10) * 10) if every else (0, 180)
    low, high = max(0, low), min(180, high)
    bins = np.arange(low, high + 5, 5)
    names = [name for name in VERDICTS if name in spread.verdicts]
    parts = [values[np.array([v == name for v in spread.verdicts], bool)] for name in names]
    if names:
        colours = [_look(name)[0] for name in names]
        label = [f"{_look(n)[1]} {n} {len(part)}" for n, part in zip(names, parts, strict=True)]
        axis.hist(parts, bins=list(bins), stacked=True, color=colours, label=label, rwidth=0.9)
    for value, word in zip(spread.limits, ("at least", "at most"), strict=True):
        if value is None:
            continue
        if spread.error_deg:
            axis.axvspan(value - spread.error_deg, value + spread.error_deg, color="#FBE6BF", linewidth=0, zorder=0.5)
        axis.axvline(value, color="#111", linewidth=1.6)
        _note(axis, f" {word} {value:g}°", (value, 1), ("data", "axes fraction"), (0, -10), fontsize=8, color="#111")
    for value in spread.other or ():
        if value is not None and value not in spread.limits:
            axis.axvline(value, color="#555", linewidth=1.2, linestyle=(0, (4, 3)))
            _note(axis, f" was {value:g}°", (value, 1), ("data", "axes fraction"), (0, -20), fontsize=8, color="#555")
    for value, verdict in spread.judged:
        colour, sign = _look(verdict)
        box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": colour, "linewidth": 0.6}
        style = {"ha": "center", "fontsize": 8, "color": _dark(colour), "bbox": box}
        _note(axis, sign, (value, 0), ("data", "axes fraction"), (0, 3), **style)
    error = f"   orange: angle error ±{spread.error_deg:g}°" if spread.error_deg else ""
    axis.set(xlim=(low, high), xlabel=f"{spread.angle} (°)", ylabel="repetitions")
    axis.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axis.set_ylim(0, max(1.0, axis.get_ylim()[1]) * 1.25)
    axis.set_title(f"{spread.title}{error}")
    if names:
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05), frameon=False)


def confusion_chart(matrix: Sequence[Sequence[int]], classes: Sequence[str], path: Path, *, title: str = "") -> Path:
    """A confusion matrix: rows are the truth, columns the prediction, cells the count, shade the share of the row."""
    return save(confusion_figure(matrix, classes, title=title), path)


@_styled
def confusion_figure(matrix: Sequence[Sequence[int]], classes: Sequence[str], *, title: str = "") -> "Figure":
    """The figure of `confusion_chart`."""
    counts = np.asarray(matrix, float)
    totals = counts.sum(1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    side = 1.6 + 0.42 * len(classes)
    figure, axes = _figure(side + 0.6, side)
    axes.grid(False)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    names = [name.replace("_", " ") for name in classes]
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="truth")
    axes.set_title(title)
    for i, j in np.ndindex(*counts.shape):
        if counts[i, j]:
            text = _short(counts[i, j])
            axes.text(
                j, i, text, ha="center", va="center", fontsize=7.5, color="white" if share[i, j] > 0.55 else "#222"
            )
    return figure


def training_chart(series: Mapping[str, Sequence[float]], path: Path, *, title: str = "", xlabel: str = "step") -> Path:
    """Curves over training steps or epochs: name → values in order, NaN leaves a gap."""
    return save(training_figure(series, title=title, xlabel=xlabel), path)


@_styled
def training_figure(series: Mapping[str, Sequence[float]], *, title: str = "", xlabel: str = "step") -> "Figure":
    """The figure of `training_chart`."""
    figure, axes = _figure(4.6, 2.6)
    for n, (name, values) in enumerate(series.items()):
        colour, style = CURVES[n % len(CURVES)], ("-", "--", ":", "-.")[n % 4]
        axes.plot(range(1, len(values) + 1), values, color=colour, linestyle=style, linewidth=1.6, label=name)
    axes.set(xlabel=xlabel)
    axes.set_title(title)
    if series:
        axes.legend(frameon=False)
    return figure


def save(figure: "Figure", path: Path) -> Path:
    """Write a figure as .png or .svg in one step, the same bytes for the same figure."""
    data = figure_bytes(figure, path.suffix.lstrip(".").lower())
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return path


@_styled
def figure_bytes(figure: "Figure", kind: str = "png", dpi: int = 144) -> bytes:
    """A figure as PNG or SVG bytes without date, version or random ids."""
    buffer = io.BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata, bbox_inches="tight", pad_inches=0.08)
    return buffer.getvalue()


def _figure(width_in: float, height_in: float) -> "tuple[Figure, Axes]":
    """A figure on white without pyplot, whose global state and window back-ends nobody here needs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), facecolor="white")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _stack(width_in: float, heights_in: Sequence[float], share_x: bool = True) -> "tuple[Figure, list[Axes]]":
    """Axes one below the other, with the heights in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, sum(heights_in) + 0.6), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(
        len(heights_in), 1, sharex=share_x, squeeze=False, gridspec_kw={"height_ratios": list(heights_in)}
    )
    return figure, list(grid[:, 0])


def _note(
    axes: "Axes", text: str, at: tuple[float, float], units: tuple[str, str], by_pt: tuple[int, int], **style: Any
) -> None:
    axes.annotate(text, at, xycoords=units, xytext=by_pt, textcoords="offset points", va="bottom", **style)


def _hex(bgr: tuple[int, int, int]) -> str:
    return "#{:02X}{:02X}{:02X}".format(*reversed(bgr))


def _dark(colour: str) -> str:
    """Half-way to black: readable as small text on white."""
    return "#" + "".join(f"{int(colour[i : i + 2], 16) * 6 // 10:02X}" for i in (1, 3, 5))


def _short(count: float) -> str:
    """A count in at most four signs: 950, 12k, 3.4M."""
    for size, sign in ((1e6, "M"), (1e3, "k")):
        if count >= 10 * size or (sign == "M" and count >= size):
            return f"{count / size:.0f}{sign}" if count >= 10 * size else f"{count / size:.1f}{sign}"
    return f"{count:.0f}"
