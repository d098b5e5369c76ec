"""Skeletons and the maps between them, always by joint name.

Image coordinates: pixels, x right, y down. "left" is the person's left. Left joints are written out, mirrors are
found by name, so a table cannot disagree with its mirror image.

Sources of the joint orders: BlazePose-33 - MediaPipe Pose landmark list; COCO-18 - OpenPose's COCO body model,
which MM-Fit's 2-D poses use; COCO-17 - COCO keypoint challenge; Penn-13 - the Penn Action README; H36M-17 - the
17 joints of the 3-D lifting baseline that MM-Fit's 3-D poses come from.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np
import numpy.typing as npt

from repset.errors import ShapeError

Floats = npt.NDArray[np.float32]


class JointState(IntEnum):
    """What is known about one joint in one frame."""

    LABELLED = 0  # seen and placed
    OCCLUDED = 1  # placed though hidden (or marked invisible while inside the image)
    OUTSIDE = 2  # outside the image
    ABSENT = 3  # no position: NaN


@dataclass(frozen=True)
class Skeleton:
    """A named joint order with bones.

    Attributes:
        joints: K joint names, in storage order.
        bones: pairs of joint names to draw and to measure limb lengths on.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[str, str], ...]

    def index(self, joint: str) -> int:
        """Position of a joint. Raises: ShapeError if the skeleton lacks it."""
        try:
            return self.joints.index(joint)
        except ValueError:
            raise ShapeError(f"skeleton {self.name} has no joint {joint!r}: {', '.join(self.joints)}") from None

    @property
    def mirror(self) -> tuple[int, ...]:
        """For each joint the index of its left/right twin (itself for the midline)."""
        return tuple(self.joints.index(mirror_name(joint)) for joint in self.joints)


def mirror_name(name: str) -> str:
    """`left_elbow` for `right_elbow` and back; other names unchanged."""
    if name.startswith("left_"):
        return "right_" + name[len("left_") :]
    if name.startswith("right_"):
        return "left_" + name[len("right_") :]
    return name


def _sides(*bones: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Left bones as written, right ones generated."""
    return tuple(pair for a, b in bones for pair in ((a, b), (mirror_name(a), mirror_name(b))))


_LIMBS = _sides(
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"),
)
_TRUNK = (
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
    *_sides(("left_shoulder", "left_hip")),
)

BLAZEPOSE_33 = Skeleton(
    "blazepose_33",
    (
        "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
        "left_ear", "right_ear", "mouth_left", "mouth_right",
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
        "left_pinky", "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb",
        "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
        "left_heel", "right_heel", "left_foot_index", "right_foot_index",
    ),
    (
        *_LIMBS, *_TRUNK,
        *_sides(("left_wrist", "left_index"), ("left_ankle", "left_heel"), ("left_heel", "left_foot_index"),
                ("nose", "left_ear")),
    ),
)  # fmt: skip

COCO_18 = Skeleton(
    "coco_18",
    (
        "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
        "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
        "right_eye", "left_eye", "right_ear", "left_ear",
    ),
    (*_LIMBS, ("nose", "neck"), *_sides(("neck", "left_shoulder"), ("neck", "left_hip"), ("nose", "left_eye"),
                                        ("left_eye", "left_ear"))),
)  # fmt: skip

COCO_17 = Skeleton(
    "coco_17",
    (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
        "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
        "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    (*_LIMBS, *_TRUNK, *_sides(("nose", "left_eye"), ("left_eye", "left_ear"))),
)  # fmt: skip

PENN_13 = Skeleton(
    "penn_13",
    (
        "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
        "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    (*_LIMBS, *_TRUNK, *_sides(("head", "left_shoulder"))),
)  # fmt: skip

H36M_17 = Skeleton(
    "h36m_17",
    (
        "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
        "spine", "thorax", "nose", "head_top", "left_shoulder", "left_elbow", "left_wrist",
        "right_shoulder", "right_elbow", "right_wrist",
    ),
    (*_LIMBS, ("pelvis", "spine"), ("spine", "thorax"), ("thorax", "nose"), ("nose", "head_top"),
     *_sides(("pelvis", "left_hip"), ("thorax", "left_shoulder"))),
)  # fmt: skip

SKELETONS: dict[str, Skeleton] = {s.name: s for s in (BLAZEPOSE_33, COCO_18, COCO_17, PENN_13, H36M_17)}

DERIVED: dict[str, tuple[str, ...]] = {
    "neck": ("left_shoulder", "right_shoulder"),
    "thorax": ("left_shoulder", "right_shoulder"),
    "pelvis": ("left_hip", "right_hip"),
    "head": ("left_ear", "right_ear"),
}
"""Joints a skeleton may lack, as the mean of others. Conventions differ between sets by a constant offset (Penn's
head is not the mid-point of the ears): compare such joints only after that offset is taken out."""


@cache
def conversion(source: str, target: str) -> tuple[tuple[int, ...], ...]:
    """For each target joint the source joints whose mean it is; empty where the source cannot give it."""
    have = SKELETONS[source]
    rows: list[tuple[int, ...]] = []
    for joint in SKELETONS[target].joints:
        if joint in have.joints:
            rows.append((have.index(joint),))
        elif joint in DERIVED and all(part in have.joints for part in DERIVED[joint]):
            rows.append(tuple(have.index(part) for part in DERIVED[joint]))
        else:
            rows.append(())
    return tuple(rows)


def convert(values: Floats, source: str, target: str) -> Floats:
    """Per-joint values in another skeleton's order.

    Args:
        values: shape (..., K, D) in `source` order (positions, or visibility with D = 1).
    Returns: shape (..., K', D); NaN where the source has no such joint.
    Raises: ShapeError if K is not the source's joint count.
    """
    if values.shape[-2] != len(SKELETONS[source].joints):
        raise ShapeError(f"{source}: expected {len(SKELETONS[source].joints)} joints, found {values.shape[-2]}")
    rows = conversion(source, target)
    out = np.full((*values.shape[:-2], len(rows), values.shape[-1]), np.nan, np.float32)
    for k, parts in enumerate(rows):
        if parts:
            out[..., k, :] = values[..., list(parts), :].mean(axis=-2)
    return out
