"""Skeletons and the maps between them, against the published joint lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repset.errors import ShapeError
from repset.landmarks import (
    BLAZEPOSE_33,
    COCO_17,
    COCO_18,
    H36M_17,
    PENN_13,
    SKELETONS,
    conversion,
    convert,
    mirror_name,
)


def test_joint_counts_and_places_are_the_published_ones() -> None:
    assert [len(s.joints) for s in (BLAZEPOSE_33, COCO_18, COCO_17, PENN_13, H36M_17)] == [33, 18, 17, 13, 17]
    assert (BLAZEPOSE_33.index("left_shoulder"), BLAZEPOSE_33.index("right_knee")) == (11, 26)  # MediaPipe's list
    assert (COCO_18.index("neck"), COCO_18.index("left_ankle")) == (1, 13)  # OpenPose's COCO model
    assert (COCO_17.index("left_wrist"), COCO_17.index("right_ankle")) == (9, 16)
    assert (PENN_13.index("head"), PENN_13.index("right_ankle")) == (0, 12)


@pytest.mark.parametrize("name", sorted(SKELETONS))
def test_bones_join_joints_and_mirroring_twice_changes_nothing(name: str) -> None:
    skeleton = SKELETONS[name]
    assert len(set(skeleton.joints)) == len(skeleton.joints)
    assert {joint for bone in skeleton.bones for joint in bone} <= set(skeleton.joints)
    mirror = skeleton.mirror
    assert [mirror[mirror[k]] for k in range(len(mirror))] == list(range(len(mirror)))


def test_mirror_name_exchanges_the_sides_only() -> None:
    assert [mirror_name(name) for name in ("left_elbow", "right_hip", "nose")] == ["right_elbow", "left_hip", "nose"]


def test_an_unknown_joint_is_named_with_the_ones_there_are() -> None:
    with pytest.raises(ShapeError) as error:
        PENN_13.index("nose")
    assert str(error.value) == f"skeleton penn_13 has no joint 'nose': {', '.join(PENN_13.joints)}"


def test_the_wrong_number_of_joints_is_refused() -> None:
    with pytest.raises(ShapeError) as error:
        convert(np.zeros((2, 14, 2), np.float32), "penn_13", "coco_17")
    assert str(error.value) == "penn_13: expected 13 joints, found 14"


def test_blazepose_becomes_penn_by_name_and_the_head_is_the_mean_of_the_ears() -> None:
    points = np.zeros((1, 33, 2), np.float32)
    points[0, BLAZEPOSE_33.index("left_ear")], points[0, BLAZEPOSE_33.index("right_ear")] = (4, 2), (8, 6)
    points[0, BLAZEPOSE_33.index("right_wrist")] = (7, 9)
    penn = convert(points, "blazepose_33", "penn_13")
    assert penn[0, PENN_13.index("head")].tolist() == [6, 4]
    assert penn[0, PENN_13.index("right_wrist")].tolist() == [7, 9]


def test_a_joint_the_source_lacks_is_absent_not_zero() -> None:
    coco = convert(np.ones((1, 13, 2), np.float32), "penn_13", "coco_17")
    assert np.isnan(coco[0, COCO_17.index("left_eye")]).all()
    assert conversion("penn_13", "coco_17")[COCO_17.index("left_eye")] == ()


@given(st.sampled_from(sorted(SKELETONS)))
def test_conversion_to_itself_changes_nothing(name: str) -> None:
    points = np.arange(len(SKELETONS[name].joints) * 2, dtype=np.float32).reshape(1, -1, 2)
    np.testing.assert_array_equal(convert(points, name, name), points)


def test_conversion_and_mirroring_can_be_exchanged() -> None:
    points = np.random.default_rng(0).normal(size=(3, 33, 2)).astype(np.float32)
    one = convert(points[:, list(BLAZEPOSE_33.mirror)], "blazepose_33", "coco_18")
    other = convert(points, "blazepose_33", "coco_18")[:, list(COCO_18.mirror)]
    np.testing.assert_array_equal(one, other)
