"""Views of trunks whose joints are written out."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from repset.autolabel import view
from repset.landmarks import COCO_17
from repset.schema import PoseTrack


def trunk(half_width: float, back: bool = False, depth: float | None = None) -> PoseTrack:
    """Ten frames of a trunk 100 pixels long; `half_width` of shoulders and hips in the image, `depth` in space."""
    xy = np.full((10, 17, 2), np.nan, np.float32)
    xyz = np.full((10, 17, 3), np.nan, np.float32) if depth is not None else None
    for sign, side in ((1, "left"), (-1, "right")):
        for joint, y in (("shoulder", 100), ("hip", 200)):
            x = sign * half_width * (-1 if back else 1)
            xy[:, COCO_17.index(f"{side}_{joint}")] = (200 + x, y)
            if xyz is not None:
                xyz[:, COCO_17.index(f"{side}_{joint}")] = (x, y, sign * (depth or 0.0))
    return PoseTrack("coco_17", np.arange(10) / 30, xy, np.ones((10, 17), np.float32), 0, 0, xyz)


@pytest.mark.parametrize(("half_width", "name"), [(25, "front"), (18, "three_quarter"), (8, "side"), (0, "side")])
def test_the_view_follows_from_how_narrow_the_trunk_looks(half_width: float, name: str) -> None:
    assert view.estimate(trunk(half_width)).name == name


def test_the_back_is_told_from_the_front_by_left_and_right() -> None:
    assert view.estimate(trunk(25, back=True)).name == "back"


def test_positions_in_space_decide_where_there_are_any() -> None:
    assert view.estimate(trunk(25, depth=0)).name == "front"
    assert view.estimate(trunk(25, depth=25)).name == "three_quarter"  # 45°
    assert view.estimate(trunk(25, depth=100)).name == "side"  # 76°


def test_a_view_without_a_trunk_is_unknown() -> None:
    empty = trunk(25)
    empty.xy_px[:] = np.nan
    assert view.estimate(empty).name == "unknown"


def test_a_trunk_of_which_one_side_is_never_seen_is_seen_from_the_side() -> None:
    half = trunk(25)
    for joint in ("right_shoulder", "right_hip"):
        half.xy_px[:, COCO_17.index(joint)] = np.nan
    assert view.estimate(half).name == "side"


def test_turning_the_picture_does_not_change_the_view() -> None:
    for half_width in (25, 18, 8):
        one = trunk(half_width)
        lying = PoseTrack("coco_17", one.time_s, one.xy_px[..., ::-1] * np.float32([1, -1]), one.visibility, 0, 0)
        assert view.estimate(lying).name == view.estimate(one).name


@pytest.mark.parametrize(("elbow_y_px", "name", "yaw_deg"), [(150, "three_quarter", 36.9), (50, "front", 29.6)])
def test_arms_overhead_narrow_a_trunk_that_is_not_turned(elbow_y_px: float, name: str, yaw_deg: float) -> None:
    lifted = trunk(20)
    for side, x in (("left", 220), ("right", 180)):
        lifted.xy_px[:, COCO_17.index(f"{side}_elbow")] = (x, elbow_y_px)
    seen = view.estimate(lifted)
    assert (seen.name, round(seen.width_yaw_deg, 1)) == (name, yaw_deg)  # arccos of 0.40 / 0.5 and 0.40 / 0.46


def test_raised_arms_narrow_the_annotated_trunks_of_penn_action(shared_data: Path) -> None:
    """Seen from front or back, by the set's own joints: the shares that WIDTH_OVERHEAD's comment names."""
    widths: dict[bool, list[float]] = {False: [], True: []}
    for path in sorted((shared_data / "penn_action" / "labels").glob("*.mat")):
        label = loadmat(path, variable_names=["action", "pose", "x", "y", "visibility"])
        if label["action"][0] not in ("pullup", "jumping_jacks") or label["pose"][0] not in ("front", "back"):
            continue
        points = np.stack([label["x"], label["y"]], axis=-1).astype(float)
        points[label["visibility"] == 0] = np.nan
        shoulders, elbows, hips = points[:, 1:3], points[:, 3:5], points[:, 7:9]
        up = shoulders.mean(1) - hips.mean(1)
        across = [np.linalg.norm(pair[:, 0] - pair[:, 1], axis=-1) for pair in (shoulders, hips)]
        width = (across[0] + across[1]) / 2 / np.linalg.norm(up, axis=-1)
        lift = ((elbows.mean(1) - shoulders.mean(1)) * up).sum(-1) / (up**2).sum(-1)
        for raised in (False, True):
            mine = (lift > 0.1 if raised else lift < -0.1) & np.isfinite(width)
            if mine.sum() >= 5:
                widths[raised].append(float(np.median(width[mine])))
    assert 0.46 < np.median(widths[True]) < 0.50
    assert 0.51 < np.median(widths[False]) < 0.58


@pytest.mark.parametrize(("length_px", "end_on"), [(101, False), (99, True), (60, True)])
def test_a_trunk_wider_than_one_seen_straight_on_points_at_the_camera(length_px: float, end_on: bool) -> None:
    lying = trunk(25, depth=25)
    for joint in ("left_hip", "right_hip"):
        lying.xy_px[:, COCO_17.index(joint), 1] = 100 + length_px
    seen = view.estimate(lying)
    assert (seen.name, round(seen.yaw_deg), seen.width_yaw_deg == 0) == ("three_quarter", 45, end_on)
    assert seen.beside == ("front" if end_on else None)


@pytest.mark.parametrize(
    ("name", "yaw_deg", "facing", "beside"),
    [
        ("side", 64.9, 0.5, "three_quarter"), ("side", 65.1, 0.5, None), ("three_quarter", 55.5, 0.5, "side"),
        ("three_quarter", 34.0, 0.9, "front"), ("three_quarter", 34.0, 0.1, "back"), ("three_quarter", 45.0, 0.9, None),
        ("front", 26.0, 0.9, "three_quarter"), ("back", 26.0, 0.1, "three_quarter"), ("front", 24.0, 0.9, None),
        ("unknown", float("nan"), float("nan"), None),
    ],
)  # fmt: skip
def test_near_a_border_a_view_may_be_the_one_beside(name: str, yaw_deg: float, facing: float, beside: str) -> None:
    assert view.View(name, yaw_deg, facing).beside == beside


@pytest.mark.parametrize(("facing", "beside"), [(0.9, "front"), (0.1, "back")])
def test_an_oblique_trunk_that_points_at_the_camera_may_be_seen_from_ahead(facing: float, beside: str) -> None:
    assert view.View("three_quarter", 45.0, facing, width_yaw_deg=0.0).beside == beside
    assert view.View("side", 75.0, facing, width_yaw_deg=0.0).beside is None


@pytest.mark.parametrize(
    ("name", "yaw_deg", "width_yaw_deg", "beside"),
    [
        ("front", 15.0, 29.9, None), ("front", 15.0, 43.0, "three_quarter"), ("front", 15.0, 66.0, "side"),
        ("three_quarter", 48.0, 71.0, "side"), ("three_quarter", 48.0, 50.0, None), ("side", 80.0, 40.0, None),
        ("three_quarter", 48.0, 12.0, None), ("unknown", float("nan"), float("nan"), None),
    ],
)  # fmt: skip
def test_a_trunk_as_narrow_as_one_turned_farther_may_be(
    name: str, yaw_deg: float, width_yaw_deg: float, beside: str | None
) -> None:
    assert view.View(name, yaw_deg, 1.0, width_yaw_deg).beside == beside
