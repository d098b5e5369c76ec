"""Angles in the image: expected values are drawn by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repset import angles
from repset.landmarks import BLAZEPOSE_33, COCO_17, PENN_13, SKELETONS, mirror_name


def body(**points: tuple[float, float]) -> np.ndarray:
    """(1, 17, 2) of COCO-17 joints in pixels; what is not named is NaN."""
    xy = np.full((1, 17, 2), np.nan, np.float32)
    for name, point in points.items():
        xy[0, COCO_17.index(name)] = point
    return xy


def test_a_right_angle_is_90_and_a_straight_arm_180() -> None:
    bent = body(left_shoulder=(0, 0), left_elbow=(0, 30), left_wrist=(20, 30))
    straight = body(left_shoulder=(0, 0), left_elbow=(0, 30), left_wrist=(0, 70))
    assert angles.evaluate("left_elbow", bent, "coco_17")[0] == pytest.approx(90)
    assert angles.evaluate("left_elbow", straight, "coco_17")[0] == pytest.approx(180)


def test_angles_are_measured_in_pixels_not_in_shares_of_the_picture() -> None:
    """45° in pixels; on a picture 200 wide and 100 high the same points, normalised, would give 26.6°."""
    bent = body(left_hip=(100, 0), left_knee=(0, 0), left_ankle=(50, 50))
    assert angles.evaluate("left_knee", bent, "coco_17")[0] == pytest.approx(45, abs=1e-4)


def test_a_missing_joint_makes_the_angle_unknown() -> None:
    assert np.isnan(angles.evaluate("left_elbow", body(left_shoulder=(0, 0), left_elbow=(0, 9)), "coco_17")[0])


def test_coinciding_joints_make_the_angle_unknown() -> None:
    same = body(left_shoulder=(5, 5), left_elbow=(5, 5), left_wrist=(9, 9))
    assert np.isnan(angles.evaluate("left_elbow", same, "coco_17")[0])


@pytest.mark.parametrize(("top", "lean"), [((0, 10), 0), ((50, 60), 45), ((50, 110), 90), ((0, 210), 180)])
def test_trunk_lean_is_0_upright_and_90_lying(top: tuple[float, float], lean: float) -> None:
    hips, shoulders = (0.0, 110.0), top
    lying = body(left_hip=hips, right_hip=hips, left_shoulder=shoulders, right_shoulder=shoulders)
    assert angles.evaluate("trunk_lean", lying, "coco_17")[0] == pytest.approx(lean, abs=1e-3)
    one_side = body(right_hip=hips, right_shoulder=shoulders)
    assert angles.evaluate("right_trunk_lean", one_side, "coco_17")[0] == pytest.approx(lean, abs=1e-3)


def test_the_right_side_is_the_mirror_of_the_left() -> None:
    for angle in angles.ANGLES:
        twin = angles.BY_NAME[mirror_name(angle.name)]
        assert [mirror_name(part) for part in (angle.a, angle.b, angle.c)] == [twin.a, twin.b, twin.c]


def test_every_joint_of_the_table_is_one_of_blazepose_or_derived_from_it() -> None:
    known = {*BLAZEPOSE_33.joints, "neck", "pelvis", "head", "vertical"}
    assert {part for angle in angles.ANGLES for part in (angle.a, angle.b, angle.c)} <= known


def test_a_skeleton_without_the_joint_gives_an_unknown_angle() -> None:
    full = np.random.default_rng(1).uniform(0, 100, (4, 13, 2)).astype(np.float32)
    assert np.isnan(angles.evaluate("left_wrist", full, "penn_13")).all()  # Penn has no fingers
    assert np.isfinite(angles.evaluate("left_elbow", full, "penn_13")).all()


@pytest.mark.parametrize("skeleton", sorted(SKELETONS))
def test_mirroring_a_body_exchanges_the_sides(skeleton: str) -> None:
    count = len(SKELETONS[skeleton].joints)
    xy = np.random.default_rng(3).uniform(0, 100, (5, count, 2)).astype(np.float32)
    flipped = (xy * [-1, 1] + [100, 0]).astype(np.float32)[:, list(SKELETONS[skeleton].mirror)]
    before, after = angles.evaluate_all(xy, skeleton), angles.evaluate_all(flipped, skeleton)
    for name, values in before.items():
        np.testing.assert_allclose(after[mirror_name(name)], values, atol=0.02)


@given(st.floats(1, 179), st.floats(0.1, 50), st.floats(-500, 500), st.floats(0, 360))
def test_an_interior_angle_does_not_depend_on_size_place_or_turn(
    angle: float, size: float, shift: float, turn: float
) -> None:
    a, c = math.radians(turn), math.radians(turn + angle)
    b = np.array([shift, -shift])
    points = [b + size * 20 * np.array([math.cos(x), math.sin(x)]) for x in (a, c)]
    found = angles.interior_deg(points[0][None], b[None], points[1][None])[0]
    assert found == pytest.approx(angle, abs=1e-3)


def test_the_head_of_penn_is_a_joint_and_of_blazepose_the_mean_of_the_ears() -> None:
    penn = np.zeros((1, 13, 2), np.float32)
    penn[0, PENN_13.index("head")] = (0, -50)
    for side, x in (("left", 10), ("right", -10)):
        penn[0, PENN_13.index(f"{side}_shoulder")] = (x, 0)
        penn[0, PENN_13.index(f"{side}_hip")] = (x, 100)
    assert angles.evaluate("neck", penn, "penn_13")[0] == pytest.approx(180)
    blaze = np.full((1, 33, 2), np.nan, np.float32)
    for name, point in (("left_ear", (12, -50)), ("right_ear", (-12, -50)), ("left_shoulder", (10, 0)),
                        ("right_shoulder", (-10, 0)), ("left_hip", (10, 100)), ("right_hip", (-10, 100))):  # fmt: skip
        blaze[0, BLAZEPOSE_33.index(name)] = point
    assert angles.evaluate("neck", blaze, "blazepose_33")[0] == pytest.approx(180)


def test_an_elbow_that_points_at_the_camera_has_no_angle_in_the_image() -> None:
    """Shoulder at the origin, an upper arm of 60 px turned away from the image, the forearm 50 px straight up."""
    turned_deg = np.array([0, 45, 70, 89])  # 60, 42, 21 and 1 px in the image
    xy = np.full((4, 17, 2), np.nan, np.float32)
    for side in ("left", "right"):
        elbow = np.stack([60 * np.cos(np.radians(turned_deg)), np.zeros(4)], -1)
        xy[:, COCO_17.index(f"{side}_shoulder")] = 0
        xy[:, COCO_17.index(f"{side}_elbow")] = elbow
        xy[:, COCO_17.index(f"{side}_wrist")] = elbow - (0, 50)
    torso_px = np.array([100.0, 100, 100, np.nan])  # 27 px is the least of 64.6; nothing is known of the last
    for name in ("left_elbow", "right_elbow"):
        assert np.allclose(angles.evaluate(name, xy, "coco_17"), 90)
        found = angles.evaluate(name, xy, "coco_17", torso_px)
        assert np.allclose(found[[0, 1, 3]], 90)
        assert np.isnan(found[2])
    xy[:, COCO_17.index("left_hip")] = (0, 100)
    assert np.allclose(angles.evaluate("left_shoulder", xy, "coco_17", torso_px), 90)  # only elbows are asked
