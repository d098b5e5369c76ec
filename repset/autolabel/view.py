"""From where the camera sees the trunk: front, three_quarter, side, back or unknown, and which side is better seen.

How far the shoulder and hip lines are turned out of the image plane tells front from side (from 3-D positions, or
from how narrow the trunk looks); their direction relative to the trunk tells chest from back. All of it is measured
along the body's own axes, so a person lying down or an image turned on its side gives the same answer.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from repset.landmarks import SKELETONS
from repset.schema import Floats, PoseTrack

Doubles = npt.NDArray[np.float64]

VIEWS = ("front", "three_quarter", "side", "back", "unknown")

SIDE_FROM_DEG = 60.0  # yaw of the trunk from which a view is one from the side ...
FRONT_BELOW_DEG = 30.0  # ... and below which it is one from the front or back
BORDER_DEG = (
    5.0  # the median error of the yaw on drawn clips (tools/trust.py): so near a border it may be the view beyond
)
WIDTH_OF_TRUNK = 0.5  # (shoulder width + hip width) / 2 over trunk length of a body seen straight on; the project's
# own choice, between BlazePose's 0.45-0.55 and Penn Action's 0.5-0.6 on frontal clips ...
WIDTH_OVERHEAD = 0.46  # ... and with the elbows above the shoulders, which draws those together and up: Penn Action's
# own joints give 0.47-0.49 for 0.52-0.57 (pull-ups, jumping jacks, from front and back), drawn clips 0.42-0.46 for 0.53
MIN_FRAMES_SHARE = 0.1  # of frames in which the trunk can be measured, else the view is unknown
MIN_VISIBILITY = 0.5  # a trunk joint seen less is hidden by the body
HIDDEN_SIDE_SHARE = 0.5  # of the frames with a trunk must show both its sides, else it is seen from the side
SIDE_MARGIN = 0.1  # difference of mean visibility from which one side counts as better seen


@dataclass(frozen=True)
class View:
    """A clip's view.

    Attributes:
        name: one of VIEWS; three_quarter covers both oblique from the front and from behind.
        yaw_deg: how far the trunk is turned from the image plane, 0 straight on, 90 from the side; NaN unknown.
        facing: share of frames in which the chest faces the camera; NaN where unknown.
        width_yaw_deg: the yaw by how narrow the trunk looks, 0 where it looks too wide for one seen straight on; NaN
            unknown.
    """

    name: str
    yaw_deg: float
    facing: float
    width_yaw_deg: float = float("nan")

    @property
    def beside(self) -> str | None:
        """The view that it may be as well; None: there is no doubt.

        So may an oblique trunk that looks too wide for one, as it points at the camera (a push-up from the head: there
        the yaw of drawn clips is up to 15° too large); one that looks as narrow as one turned farther (arms overhead:
        up to 30° too small); and one whose yaw is within BORDER_DEG of a border.
        """
        if self.name == "unknown":
            return None
        others = [self.yaw_deg + BORDER_DEG, self.yaw_deg - BORDER_DEG]
        if self.width_yaw_deg > self.yaw_deg or (self.name == "three_quarter" and self.width_yaw_deg == 0):
            others.insert(0, self.width_yaw_deg)
        return next((name for yaw in others if (name := _named(yaw, self.facing)) != self.name), None)


def _named(yaw_deg: float, facing: float) -> str:
    if yaw_deg >= SIDE_FROM_DEG:
        return "side"
    if yaw_deg >= FRONT_BELOW_DEG:
        return "three_quarter"
    return "front" if facing >= 0.5 else "back"


UNKNOWN = View("unknown", float("nan"), float("nan"))


def estimate(track: PoseTrack) -> View:
    """View of a whole clip (or stretch): the median over its frames.

    Args:
        track: any skeleton with shoulders and hips. With 3-D positions their yaw is used, else it follows from how
            narrow the trunk looks. Where one side of the trunk is mostly hidden, it is a side view.
    """
    seen = np.where((track.visibility >= MIN_VISIBILITY)[..., None], track.xy_px, np.float32(np.nan))
    left_shoulder, right_shoulder = _sides(seen, "shoulder", track.skeleton)
    left_hip, right_hip = _sides(seen, "hip", track.skeleton)
    enough = max(1.0, MIN_FRAMES_SHARE * len(track.time_s))
    up = _mean(left_shoulder - left_hip, right_shoulder - right_hip)
    shoulders, hips = left_shoulder - right_shoulder, left_hip - right_hip
    across = _mean(shoulders, hips)
    upright, wide = np.isfinite(up).all(-1), np.isfinite(across).all(-1)
    both = upright & wide
    if upright.sum() < enough:
        return UNKNOWN
    if both.sum() < max(enough, HIDDEN_SIDE_SHARE * upright.sum()):
        return View("side", 90.0, float("nan"))
    # y points down: across × up is positive when the person's left lies to the right of the trunk, chest to us
    turned = across[both, 1] * up[both, 0] - across[both, 0] * up[both, 1]
    facing = float((turned > 0).mean())
    straight_on = np.where(_overhead(seen, up, track.skeleton), WIDTH_OVERHEAD, WIDTH_OF_TRUNK)
    with np.errstate(divide="ignore", invalid="ignore"):
        width = _mean(np.linalg.norm(shoulders, axis=-1), np.linalg.norm(hips, axis=-1))
        narrow = float(np.median((width / np.linalg.norm(up, axis=-1) / straight_on)[both]))
    by_width = float(np.degrees(np.arccos(np.clip(narrow, 0, 1))))
    yaw = _yaw_3d(track, both)
    yaw = yaw if np.isfinite(yaw) else by_width
    return View(_named(yaw, facing), yaw, facing, by_width)


def _overhead(points: Floats, up: Doubles, skeleton: str) -> npt.NDArray[np.bool_]:
    """(T,) whether the elbows lie beyond the shoulders along the trunk `up` (T, 2); False where no arm is seen."""
    elbows, shoulders = (_sides(points, joint, skeleton) for joint in ("elbow", "shoulder"))
    left, right = ((elbow - shoulder) * up for elbow, shoulder in zip(elbows, shoulders, strict=True))
    return np.asarray(_mean(left.sum(-1), right.sum(-1)) > 0, np.bool_)


def _mean(one: Doubles, other: Doubles) -> Doubles:
    """Mean of two, or the one that is known."""
    mean = (one + other) / 2
    return np.where(np.isfinite(mean), mean, np.where(np.isfinite(one), one, other))


def _sides(points: Floats, joint: str, skeleton: str) -> tuple[Doubles, Doubles]:
    """(T, D) each: the left and the right one."""
    left, right = (SKELETONS[skeleton].index(f"{side}_{joint}") for side in ("left", "right"))
    return points[:, left].astype(np.float64), points[:, right].astype(np.float64)


def _yaw_3d(track: PoseTrack, frames: npt.NDArray[np.bool_]) -> float:
    """Median yaw of the shoulder and hip lines, degrees 0..90; NaN without 3-D positions."""
    if track.xyz_m is None:
        return float("nan")
    shoulders, hips = (_sides(track.xyz_m[frames], joint, track.skeleton) for joint in ("shoulder", "hip"))
    across = shoulders[0] - shoulders[1] + hips[0] - hips[1]
    across = across[np.isfinite(across).all(-1)]
    if not len(across):
        return float("nan")
    return float(np.median(np.degrees(np.arctan2(np.abs(across[:, 2]), np.linalg.norm(across[:, :2], axis=-1)))))


def better_side(track: PoseTrack, joints: tuple[str, ...]) -> str:
    """left | right | both: the side whose joints are seen better.

    Args:
        joints: names without their side, for example ("hip", "knee", "ankle").
    """
    seen = {side: mean_visibility(track, tuple(f"{side}_{joint}" for joint in joints)) for side in ("left", "right")}
    if abs(seen["left"] - seen["right"]) < SIDE_MARGIN:
        return "both"
    return max(("left", "right"), key=lambda side: seen[side])


def mean_visibility(track: PoseTrack, joints: tuple[str, ...]) -> float:
    """Mean over frames of the worst-seen of these joints; 0 where the skeleton lacks one or nothing is detected."""
    names = SKELETONS[track.skeleton].joints
    columns = [names.index(joint) for joint in joints if joint in names]
    if len(columns) < len(joints) or not len(track.time_s):
        return 0.0
    return float(np.nan_to_num(track.visibility[:, columns]).min(1).mean())
