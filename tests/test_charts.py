"""Charts: the same bytes for the same input, gaps, limits only where they belong."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from repset.charts import angle_chart, angle_figure, confusion_chart, confusion_figure, training_chart

TIME = np.arange(60) / 30
KNEE = 130 + 45 * np.cos(TIME * np.pi)
REPS = [{"set": 0, "rep": 0, "start_s": 0.0, "turn_s": 1.0, "end_s": 1.9, "complete": False}]
JUDGED = {"level": "rep", "set": 0, "rep": 0, "verdict": "incorrect"}
FORM = [
    {**JUDGED, "signal": "knee", "low_deg": None, "high_deg": 80.0},
    {**JUDGED, "signal": "trunk_lean", "low_deg": 45.0, "high_deg": None},
]


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_same_chart_is_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / f"{n}.{suffix}" for n in "ab"]
    for path in paths:
        angle_chart(TIME, {"left_knee": KNEE}, REPS, FORM, path, title="squat")
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_chart_names_no_date_and_no_program(tmp_path: Path) -> None:
    svg = angle_chart(TIME, {"left_knee": KNEE}, REPS, FORM, tmp_path / "a.svg").read_text(encoding="utf-8")
    png = angle_chart(TIME, {"left_knee": KNEE}, REPS, FORM, tmp_path / "a.png").read_bytes()
    assert "<dc:date>" not in svg
    assert "Matplotlib v" not in svg
    assert b"tEXt" not in png
    assert b"tIME" not in png


def test_a_chart_heeds_no_settings_of_the_user(tmp_path: Path) -> None:
    import matplotlib

    plain = angle_chart(TIME, {"left_knee": KNEE}, REPS, FORM, tmp_path / "a.png").read_bytes()
    with matplotlib.rc_context({"font.family": "serif", "axes.facecolor": "red", "lines.linewidth": 9}):
        assert angle_chart(TIME, {"left_knee": KNEE}, REPS, FORM, tmp_path / "b.png").read_bytes() == plain
        assert matplotlib.rcParams["font.family"] == ["serif"]


def test_limits_are_drawn_for_the_signals_that_are_plotted() -> None:
    assert texts(angle_figure(TIME, {"left_knee": KNEE}, REPS, FORM)) == ["(1✗)", "knee at most 80°"]


def test_unknown_angles_leave_a_gap() -> None:
    values = KNEE.copy()
    values[20:30] = np.nan
    line = angle_figure(TIME, {"left_knee": values}, [], []).axes[0].lines[0]
    assert np.isnan(np.asarray(line.get_ydata(), float)).sum() == 10


def test_a_chart_of_nothing_is_a_chart(tmp_path: Path) -> None:
    image = cv2.imread(str(angle_chart(np.array([]), {}, [], [], tmp_path / "a.png")))
    assert image is not None


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
