"""Value types that pass between modules: frozen, shape-checked on construction, numpy only.

Axis letters: T frames, K joints of the skeleton, H and W image rows and columns.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from repset.errors import ShapeError
from repset.landmarks import SKELETONS

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PoseTrack:
    """One person through one clip.

    Attributes:
        skeleton: name in repset.landmarks.SKELETONS; gives K.
        time_s: (T,) seconds from the first frame, strictly increasing.
        xy_px: (T, K, 2) pixels, x right, y down; NaN: absent.
        visibility: (T, K) 0..1; NaN with the position.
        width, height: image size in pixels (0 where the set does not say).
        xyz_m: (T, K, 3) metres, or None where the set gives none.
    """

    skeleton: str
    time_s: npt.NDArray[np.float64]
    xy_px: Floats
    visibility: Floats
    width: int
    height: int
    xyz_m: Floats | None = None

    def __post_init__(self) -> None:
        frames, joints = len(self.time_s), len(SKELETONS[self.skeleton].joints)
        for name, found, wanted in (
            ("xy_px", self.xy_px.shape, (frames, joints, 2)),
            ("visibility", self.visibility.shape, (frames, joints)),
            ("xyz_m", self.xyz_m.shape if self.xyz_m is not None else None, (frames, joints, 3)),
        ):
            if found is not None and found != wanted:
                raise ShapeError(f"PoseTrack.{name}: expected shape {wanted} for {self.skeleton}, found {found}")
        if frames > 1 and not np.all(np.diff(self.time_s) > 0):
            raise ShapeError("PoseTrack.time_s: expected strictly increasing seconds")

    @property
    def fps(self) -> float:
        """Median frame rate; NaN for a single frame."""
        return float(1 / np.median(np.diff(self.time_s))) if len(self.time_s) > 1 else float("nan")


@dataclass(frozen=True)
class Stretch:
    """Part of a clip in which one exercise is done: frames [start, end).

    Attributes:
        exercise: canonical name, `none` for rest.
        exercise_p: probability where the name was estimated, None where it was given.
        origin: dataset | human | model | given (a person named it on the command line).
    """

    start: int
    end: int
    exercise: str
    exercise_p: float | None
    origin: str
