"""Charts (matplotlib): angle curves with repetitions and limits, confusion matrices, training curves.

The same input gives the same bytes: DejaVu fonts, fixed ids in SVG, no date and no version in the file. Colours are
Okabe and Ito's; a verdict is also written, a curve also named, so that no colour stands alone.
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence
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


def angle_chart(
    time_s: npt.NDArray[np.float64],
    angle_deg: Mapping[str, npt.NDArray[Any]],
    reps: Sequence[Mapping[str, Any]],
    limits: Sequence[Mapping[str, Any]],
    path: Path,
    *,
    title: str = "",
) -> Path:
    """Angle curves over time, counted repetitions as numbered bands, rule limits as dashed lines.

    Args:
        time_s: (T,) seconds; angle_deg: name → (T,) degrees, NaN leaves a gap.
        reps: rows of the table `reps`.
        limits: rows of the table `form`: low_deg and high_deg draw the limits of the signals that are plotted, the
            verdict colours and names the band of the repetition it judges.
        path: .png or .svg.
    """
    return save(angle_figure(time_s, angle_deg, reps, limits, title=title), path)


@_styled
def angle_figure(
    time_s: npt.NDArray[np.float64],
    angle_deg: Mapping[str, npt.NDArray[Any]],
    reps: Sequence[Mapping[str, Any]],
    limits: Sequence[Mapping[str, Any]],
    *,
    title: str = "",
) -> "Figure":
    """The figure of `angle_chart`."""
    figure, axes = _figure(6.2, 2.7)
    verdicts = {(row["set"], row["rep"]): row["verdict"] for row in limits if row["level"] == "rep"}
    for row in reps:
        verdict = verdicts.get((row["set"], row["rep"]))
        colour = _hex(VERDICTS[verdict][0]) if verdict else "#888888"
        axes.axvspan(row["start_s"], row["end_s"], color=colour, alpha=0.13, linewidth=0)
        axes.axvline(row["turn_s"], color=colour, linewidth=0.8, linestyle=":")
        label = f"{row['rep'] + 1}{VERDICTS[verdict][1] if verdict else ''}"
        label = label if row["complete"] else f"({label})"
        middle = (row["start_s"] + row["end_s"]) / 2
        _note(axes, label, (middle, 1), ("data", "axes fraction"), (0, 2), ha="center", fontsize=8, color=_dark(colour))
    for n, (name, values) in enumerate(angle_deg.items()):
        axes.plot(time_s, values, color=CURVES[n % len(CURVES)], linewidth=1.6, label=name.replace("_", " "))
    seen: set[tuple[str, float]] = set()
    for row in limits:
        for key, word in (("low_deg", "at least"), ("high_deg", "at most")):
            value, signal = row[key], str(row["signal"] or "")
            drawn = any(signal and signal in name for name in angle_deg)
            if drawn and value is not None and math.isfinite(value) and (signal, value) not in seen:
                seen.add((signal, value))
                axes.axhline(value, color="#444444", linewidth=0.9, linestyle=(0, (5, 3)))
                text = f"{signal.replace('_', ' ')} {word} {value:.0f}°".strip()
                _note(
                    axes, text, (1, value), ("axes fraction", "data"), (-3, 2), ha="right", fontsize=7.5, color="#333"
                )
    axes.set(ylim=(0, 185), yticks=range(0, 181, 30), ylabel="angle (°)")
    axes.set_xlabel("time (s)", loc="left")
    axes.margins(x=0.01)
    axes.set_title(title, pad=16 if reps else 6)
    if angle_deg:  # beside the time axis' name, so that it covers no curve
        axes.legend(loc="upper right", bbox_to_anchor=(1.01, -0.09), ncols=min(3, len(angle_deg)), frameon=False)
    return figure


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
