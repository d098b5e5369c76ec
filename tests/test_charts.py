"""Charts: the same bytes for the same input, gaps, limits only where they belong."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from repset.charts import (
    Panel,
    Spread,
    angle_chart,
    angle_figure,
    confusion_chart,
    confusion_figure,
    spread_chart,
    spread_figure,
    training_chart,
)

TIME = np.arange(60) / 30
KNEE = 130 + 45 * np.cos(TIME * np.pi)
REPS = [
    {"rep": 0, "start_s": 0.0, "turn_s": 1.0, "end_s": 1.4, "complete": True},
    {"rep": 1, "start_s": 1.4, "turn_s": 1.7, "end_s": 1.9, "complete": False},
]
VERDICTS = {0: "correct", 1: "incorrect"}
PANEL = Panel("knee", {"knee": KNEE}, [(95.0, "depth ≤ 95°")], [(1.0, 85.0, "correct")])
LEAN = Panel("trunk lean", {"trunk lean": KNEE / 3})


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_same_chart_is_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / f"{n}.{suffix}" for n in "ab"]
    for path in paths:
        angle_chart(TIME, [PANEL, LEAN], REPS, VERDICTS, path, title="squat", subtitle="view: side")
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_chart_names_no_date_and_no_program(tmp_path: Path) -> None:
    svg = angle_chart(TIME, [PANEL], REPS, VERDICTS, tmp_path / "a.svg").read_text(encoding="utf-8")
    png = angle_chart(TIME, [PANEL], REPS, VERDICTS, tmp_path / "a.png").read_bytes()
    assert "<dc:date>" not in svg
    assert "Matplotlib v" not in svg
    assert b"tEXt" not in png
    assert b"tIME" not in png


def test_a_chart_heeds_no_settings_of_the_user(tmp_path: Path) -> None:
    import matplotlib

    plain = angle_chart(TIME, [PANEL], REPS, VERDICTS, tmp_path / "a.png").read_bytes()
    with matplotlib.rc_context({"font.family": "serif", "axes.facecolor": "red", "lines.linewidth": 9}):
        assert angle_chart(TIME, [PANEL], REPS, VERDICTS, tmp_path / "b.png").read_bytes() == plain
        assert matplotlib.rcParams["font.family"] == ["serif"]


def test_repetitions_count_from_one_and_bear_the_sign_of_their_verdict() -> None:
    figure = angle_figure(TIME, [PANEL, LEAN], REPS, VERDICTS, title="squat", subtitle="side")
    assert texts(figure) == ["depth ≤ 95°", "1✓", "(2✗)", "side"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["knee (°)", "trunk lean (°)"]
    assert [len(axes.patches) for axes in figure.axes] == [2, 2]


def test_what_was_measured_is_a_point_on_the_curve() -> None:
    drawn = {line.get_marker(): line for line in angle_figure(TIME, [PANEL], [], {}).axes[0].lines}
    assert [list(drawn["o"].get_xdata()), list(drawn["o"].get_ydata())] == [[1.0], [85.0]]


def test_unknown_angles_leave_a_gap() -> None:
    values = KNEE.copy()
    values[20:30] = np.nan
    line = angle_figure(TIME, [Panel("knee", {"left": values})], [], {}).axes[0].lines[0]
    assert np.isnan(np.asarray(line.get_ydata(), float)).sum() == 10


def test_a_chart_of_nothing_is_a_chart(tmp_path: Path) -> None:
    assert cv2.imread(str(angle_chart(np.array([]), [], [], {}, tmp_path / "a.png"))) is not None
    assert cv2.imread(str(spread_chart([], tmp_path / "b.png"))) is not None


SPREAD = Spread(
    "squat depth", "knee", np.array([82.0, 83.0, 97.0]), ["correct", "correct", "incorrect"], (None, 95.0),
    (None, 105.0), 2.4, [(97.0, "correct")],
)  # fmt: skip


def test_a_distribution_has_the_limit_the_earlier_one_and_what_people_said() -> None:
    figure = spread_figure([SPREAD], title="mine")
    assert texts(figure) == [" at most 95°", " was 105°", "✓"]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["✓ correct 2", "✗ incorrect 1"]
    bars = [(patch.get_x(), patch.get_height()) for patch in figure.axes[0].patches if hasattr(patch, "get_x")]
    heights = {round(x): height for x, height in bars if height > 0 and float(height).is_integer()}
    assert (heights[80], heights[95]) == (2.0, 1.0)


def test_the_same_distribution_is_the_same_bytes(tmp_path: Path) -> None:
    paths = [spread_chart([SPREAD, SPREAD], tmp_path / f"{n}.png", title="mine") for n in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_confusion_cells_hold_the_counts(tmp_path: Path) -> None:
    matrix = [[7, 1], [0, 12345]]
    assert texts(confusion_figure(matrix, ["squat", "push_up"])) == ["7", "1", "12k"]
    paths = [confusion_chart(matrix, ["squat", "push_up"], tmp_path / f"{n}.png") for n in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_class_without_truth_has_no_shade_and_no_error() -> None:
    assert texts(confusion_figure([[0, 0], [3, 1]], ["calf", "biceps"])) == ["3", "1"]


def test_training_curves_are_the_same_bytes(tmp_path: Path) -> None:
    series = {"bootstrap": [1.0, 0.5, float("nan")], "final": [0.9, 0.4, 0.2]}
    paths = [training_chart(series, tmp_path / f"{n}.png", title="loss", xlabel="epoch") for n in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()
