"""What a person's answers say about the labeller on one's own camera: pure functions of answers, picks and tables.

Angles are those of repset.angles, from the person's joints and as the labeller wrote them, in the same frame. A joint
is right when it lies within a fifth of the trunk's length (PCK@0.2 torso, Yang & Ramanan 2013).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from repset import angles
from repset.landmarks import SKELETONS
from repset.records import read_table
from repset.review.validate_picks import Pick

SKELETON = "blazepose_33"
FEWEST = 8  # measured frames from which something is said about a rule; the project's own choice
SHARE = 0.2  # of the trunk's length
SURE = 0.95  # share of joints above a visibility threshold that must be right
GRID = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
FEWEST_JOINTS = 20

TRUSTED, WIDER, NOT_HERE, TOO_FEW = "trusted", "with a wider tolerance", "not on this camera", "too few frames"

Row = dict[str, Any]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RuleRow:
    """One rule in one view, in plain values.

    Attributes:
        measure: angle, or reach (which no picture shows: the image angle stands for it).
        tolerance_deg: as the rule grants it. low_deg, high_deg: the range without it.
    """

    exercise: str
    rule: str
    angle: str
    measure: str
    view: str
    tolerance_deg: float
    low_deg: float | None
    high_deg: float | None


@dataclass(frozen=True)
class Seen:
    """One labelled frame: the person's joints and the labeller's.

    Attributes:
        mine: joint → pixels, None where the person could not see it. found: joint → pixels, without gating.
        visibility: joint → as the labeller has it. angles: name → degrees of the labeller, NaN unknown.
    """

    pick: Pick
    mine: Mapping[str, Sequence[float] | None]
    found: Mapping[str, Sequence[float]]
    visibility: Mapping[str, float]
    angles: Mapping[str, float]

    @property
    def torso_px(self) -> float:
        """Mean length shoulder to hip of the sides the person placed; NaN without one."""
        sides = [np.hypot(*np.subtract(a, b)) for side in ("left", "right")
                 if (a := self.mine.get(f"{side}_shoulder")) and (b := self.mine.get(f"{side}_hip"))]  # fmt: skip
        return float(fmean(sides)) if sides else math.nan

    def own_angles(self) -> dict[str, float]:
        """Every angle that the person's joints give."""
        xy = np.full((1, len(SKELETONS[SKELETON].joints), 2), np.nan, np.float32)
        for name, at in self.mine.items():
            if at is not None:
                xy[0, SKELETONS[SKELETON].index(name)] = at
        return {name: float(value[0]) for name, value in angles.evaluate_all(xy, SKELETON).items()}


@dataclass(frozen=True)
class AngleCell:
    """The error of one angle in one view (or of one joint's position, in shares of the trunk).

    Attributes:
        n: frames measured by both; missed: by the person alone.
        bias: median of labeller − person; median, p90: of the absolute error. NaN without a frame.
    """

    name: str
    view: str
    n: int
    missed: int
    bias: float
    median: float
    p90: float


@dataclass(frozen=True)
class Trust:
    """Whether a rule may be trusted, and with which tolerance it could be.

    Attributes:
        needed_deg: tolerance that covers nine in ten frames, whole degrees up; None with too few.
    """

    rule: RuleRow
    n: int
    p90_deg: float
    needed_deg: int | None
    word: str


@dataclass(frozen=True)
class Threshold:
    """A visibility from which the labeller's joints are right often enough.

    Attributes:
        visibility: None where none reaches SURE. right: share right at it (or over all joints, where None).
        kept: share of the joints that lie above it. joints: compared.
    """

    visibility: float | None
    right: float
    kept: float
    joints: int


@dataclass(frozen=True)
class Count:
    """One clip: complete repetitions as the person and the labeller count them, and what the person says is done."""

    pick: Pick
    mine: int
    does: str | None = None

    @property
    def error(self) -> int:
        """Labeller − person."""
        return self.pick.counted - self.mine


def seen_frames(labels: Path, picks: Iterable[Pick], answers: Mapping[str, Row]) -> list[Seen]:
    """Frames that the person labelled, with the labeller's joints and angles."""
    mine = [one for one in picks if one.kind == "frame" and "joints" in answers.get(one.id, {})]
    places = {(one.sample_id, one.frame) for one in mine}
    poses = {(row["sample_id"], row["frame"]): row for row in _rows(labels, "poses", places)}
    measured: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    for row in _rows(labels, "angles", places):
        measured[row["sample_id"], row["frame"]][row["name"]] = float(row["value_deg"])
    return [_seen(one, answers[one.id]["joints"], poses.get((one.sample_id, one.frame)),
                  measured[one.sample_id, one.frame]) for one in mine]  # fmt: skip


def _rows(labels: Path, name: str, places: set[tuple[str, int]]) -> list[Row]:
    samples, frames = sorted({one[0] for one in places}), sorted({one[1] for one in places})
    if not places:
        return []
    table = read_table(labels / f"{name}.parquet", name, filters=pc.field("sample_id").isin(samples)
                       & pc.field("frame").isin(frames))  # fmt: skip
    return [row for row in table.to_pylist() if (row["sample_id"], row["frame"]) in places]


def _seen(one: Pick, mine: Mapping[str, Any], row: Row | None, measured: Mapping[str, float]) -> Seen:
    found: dict[str, Sequence[float]] = {}
    visibility: dict[str, float] = {}
    if row is not None:
        for name, x, y, seen in zip(SKELETONS[row["skeleton"]].joints, row["x_px"], row["y_px"], row["visibility"],
                                    strict=True):  # fmt: skip
            if name in one.joints and math.isfinite(x) and math.isfinite(y):
                found[name], visibility[name] = (float(x), float(y)), float(seen)
    return Seen(one, mine, found, visibility, measured)


def base_of(name: str) -> str:
    """An angle's or joint's name without its side."""
    return name.removeprefix("left_").removeprefix("right_")


def angle_cells(frames: Sequence[Seen]) -> list[AngleCell]:
    """Per angle and view, both sides together; sorted."""
    errors: dict[tuple[str, str], list[float]] = defaultdict(list)
    missed: dict[tuple[str, str], int] = defaultdict(int)
    for frame in frames:
        for name, mine in frame.own_angles().items():
            key = base_of(name), frame.pick.view
            if not math.isfinite(mine):
                continue
            if math.isfinite(found := frame.angles.get(name, math.nan)):
                errors[key].append(found - mine)
            else:
                missed[key] += 1
    return [_cell(*key, errors[key], missed[key]) for key in sorted({*errors, *missed})]


def joint_cells(frames: Sequence[Seen]) -> list[AngleCell]:
    """Per joint and view: distance in shares of the trunk's length (`bias` is the same as `median`); sorted."""
    errors: dict[tuple[str, str], list[float]] = defaultdict(list)
    missed: dict[tuple[str, str], int] = defaultdict(int)
    for frame in frames:
        for name, at in frame.mine.items():
            key = base_of(name), frame.pick.view
            if at is None or not math.isfinite(frame.torso_px):
                continue
            if name in frame.found:
                errors[key].append(float(np.hypot(*np.subtract(at, frame.found[name]))) / frame.torso_px)
            else:
                missed[key] += 1
    return [_cell(*key, errors[key], missed[key]) for key in sorted({*errors, *missed})]


def _cell(name: str, view: str, errors: Sequence[float], missed: int) -> AngleCell:
    if not errors:
        return AngleCell(name, view, 0, missed, math.nan, math.nan, math.nan)
    values: Floats = np.asarray(errors, np.float64)
    size = np.abs(values)
    return AngleCell(name, view, len(values), missed, float(np.median(values)), float(np.median(size)),
                     float(np.percentile(size, 90)))  # fmt: skip


def trust(rules: Iterable[RuleRow], cells: Iterable[AngleCell]) -> list[Trust]:
    """Of each rule whether nine in ten frames lie within the tolerance it grants.

    A rule measures over several frames, one frame is rougher: what is trusted here is trusted on the safe side.
    """
    by_name = {(cell.name, cell.view): cell for cell in cells}
    found = []
    for rule in rules:
        cell = by_name.get((rule.angle, rule.view))
        if cell is None or cell.n < FEWEST:
            found.append(Trust(rule, cell.n if cell else 0, math.nan, None, TOO_FEW))
            continue
        needed = math.ceil(cell.p90 - 1e-9)
        wide = needed > 2 * max(rule.tolerance_deg, 1.0)
        word = TRUSTED if needed <= rule.tolerance_deg else NOT_HERE if wide else WIDER
        found.append(Trust(rule, cell.n, cell.p90, needed, word))
    return found


def threshold(frames: Sequence[Seen]) -> Threshold | None:
    """The lowest visibility of GRID above which SURE of the joints are right; None with too few joints."""
    seen = [
        (frame.visibility[name], float(np.hypot(*np.subtract(at, frame.found[name]))) <= SHARE * frame.torso_px)
        for frame in frames
        for name, at in frame.mine.items()
        if at is not None and name in frame.found and math.isfinite(frame.torso_px)
    ]
    if len(seen) < FEWEST_JOINTS:
        return None
    for lowest in GRID:
        above = [right for visibility, right in seen if visibility >= lowest]
        if len(above) >= FEWEST_JOINTS and fmean(above) >= SURE:
            return Threshold(lowest, fmean(above), len(above) / len(seen), len(seen))
    return Threshold(None, fmean(right for _, right in seen), 1.0, len(seen))


def counts(picks: Iterable[Pick], answers: Mapping[str, Row]) -> list[Count]:
    """Clips in which the person counted; sorted as they were picked."""
    return [Count(one, answers[one.id]["reps"], answers[one.id].get("does")) for one in picks
            if one.kind == "clip" and answers.get(one.id, {}).get("reps") is not None]  # fmt: skip
