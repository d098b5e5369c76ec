"""The numbers of a validation, written out by hand."""

import math
from pathlib import Path

import pytest

from repset.review.validate_desk import media_path
from repset.review.validate_picks import Pick
from repset.review.validate_report import counting, findings, threshold_words
from repset.review.validate_score import (
    NOT_HERE,
    TOO_FEW,
    TRUSTED,
    WIDER,
    AngleCell,
    Count,
    RuleRow,
    Seen,
    angle_cells,
    joint_cells,
    threshold,
    trust,
)

PLACES = {"shoulder": (100.0, 60.0), "elbow": (100.0, 110.0), "wrist": (150.0, 110.0), "hip": (100.0, 160.0),
          "knee": (100.0, 220.0), "ankle": (100.0, 280.0)}  # fmt: skip
ASKED = tuple(f"{side}_{name}" for side in ("left", "right") for name in PLACES)


def place(name: str) -> tuple[float, float]:
    """Of a joint with its side, pixels."""
    side, part = name.split("_")
    return PLACES[part][0] - 60 * (side == "right"), PLACES[part][1]


def seen(view: str = "front", shift: float = 0.0, angles: dict[str, float] | None = None, visibility: float = 0.9,
         hidden: tuple[str, ...] = ()) -> Seen:  # fmt: skip
    """The body of PLACES; the labeller has every joint `shift` px to the right."""
    mine = {name: None if name in hidden else list(place(name)) for name in ASKED}
    found = {name: (place(name)[0] + shift, place(name)[1]) for name in ASKED}
    pick = Pick("frame", "cam/a.mp4", view, "turn", "squat", 0, joints=ASKED)
    return Seen(pick, mine, found, dict.fromkeys(ASKED, visibility), angles or {})


def test_angles_are_compared_with_the_persons_own() -> None:
    """The person's elbows stand at 90°, the knees at 180°; the labeller says 94 and 88, and 171 once."""
    both = {"left_elbow": 94.0, "right_elbow": 88.0, "left_knee": 171.0, "right_knee": math.nan}
    hidden = tuple(name for name in ASKED if name.startswith("right"))
    frames = [seen(angles=both), seen("side", angles={"left_elbow": 91.0}, hidden=hidden)]
    cells = {(cell.name, cell.view): cell for cell in angle_cells(frames)}
    elbow = cells["elbow", "front"]
    assert (elbow.n, elbow.missed, elbow.bias, elbow.median) == (2, 0, 1.0, 3.0)
    assert elbow.p90 == pytest.approx(3.8)  # nine tenths of the way from 2 to 4
    knee = cells["knee", "front"]
    assert (knee.n, knee.missed, knee.median) == (1, 1, 9.0)
    assert (cells["elbow", "side"].n, cells["elbow", "side"].median) == (1, 1.0)
    assert cells["knee", "side"].n == 0
    assert math.isnan(cells["knee", "side"].median)


def test_joints_are_measured_in_lengths_of_the_trunk() -> None:
    """The trunk is 100 px long: 15 px are 15 %."""
    cells = joint_cells([seen(shift=15.0), seen(shift=5.0, hidden=("left_hip",))])
    hip = next(cell for cell in cells if cell.name == "hip")
    assert (hip.n, hip.median) == (3, pytest.approx(0.15))
    assert hip.missed == 0


RULE = RuleRow("squat", "depth", "knee", "reach", "front", 10.0, None, 95.0)


@pytest.mark.parametrize(
    ("n", "p90", "word", "needed"),
    [
        (8, 10.0, TRUSTED, 10),
        (8, 10.1, WIDER, 11),
        (8, 20.0, WIDER, 20),
        (8, 20.1, NOT_HERE, 21),
        (7, 1.0, TOO_FEW, None),
    ],
)
def test_a_rule_is_trusted_where_nine_in_ten_lie_within_its_tolerance(
    n: int, p90: float, word: str, needed: int | None
) -> None:
    (found,) = trust([RULE], [AngleCell("knee", "front", n, 0, 0.0, 1.0, p90)])
    assert (found.word, found.needed_deg) == (word, needed)


def test_a_rule_whose_angle_was_never_seen_has_too_few() -> None:
    (found,) = trust([RULE], [])
    assert (found.word, found.n) == (TOO_FEW, 0)


def test_the_lowest_visibility_that_is_right_nineteen_times_in_twenty() -> None:
    """24 joints right at 0.9, 12 right at 0.55, 12 wrong (30 % of the trunk off) at 0.25."""
    frames = [seen(visibility=0.9), seen(visibility=0.9), seen(visibility=0.55), seen(shift=30.0, visibility=0.25)]
    found = threshold(frames)
    assert found is not None
    assert (found.visibility, found.right, found.kept, found.joints) == (0.3, 1.0, 0.75, 48)
    bad = threshold([seen(shift=30.0, visibility=0.9)] * 2)
    assert bad is not None
    assert (bad.visibility, bad.right) == (None, 0.0)
    assert threshold([seen()]) is None


def test_the_count_in_a_sentence() -> None:
    clip = Pick("clip", "cam/a.mp4", "front", "", "squat", 0, 50, counted=4)
    assert counting([Count(clip, 4), Count(clip, 5), Count(clip, 7)]) == (
        "repetitions: 1 of 3 clips counted exactly, 2 within one; on average off by 1.3, 1.3 too few"
    )
    assert counting([]) == "repetitions: no clip was counted"


def test_the_threshold_in_words() -> None:
    found = findings([seen(visibility=0.9)] * 2, [], [RULE], (40, 10), 0.5)
    assert threshold_words(found) == (
        "visibility: with --min-visibility 0 (it ran with 0.5) 100% of the joints lie within 20% of the trunk's "
        "length; 100% of 24 are kept"
    )
    assert media_path(Path("out"), found.frames[0].pick).suffix == ".jpg"
