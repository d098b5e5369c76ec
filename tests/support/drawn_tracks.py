"""True joints of drawn sets, as a camera far away would see them."""

import numpy as np

from repset.landmarks import BLAZEPOSE_33
from repset.sample.catalogue import motion_tracks
from repset.schema import PoseTrack

SIZE, PIXELS_PER_M = (640, 480), 180.0
REPS = 4


def seen(exercise: str, azimuth_deg: float = 50.0, seed: int = 3, reps: int = REPS) -> PoseTrack:
    """True joints of a drawn set, seen from an angle by a camera far away, with a tremor of a hundredth of a torso."""
    points = motion_tracks(exercise, seed, reps)
    turn = np.radians(azimuth_deg)
    across = points[..., 0] * np.cos(turn) - points[..., 2] * np.sin(turn)
    depth = points[..., 0] * np.sin(turn) + points[..., 2] * np.cos(turn)
    rng = np.random.default_rng(seed)
    xy = np.stack([320 + PIXELS_PER_M * across, 440 - PIXELS_PER_M * points[..., 1]], -1) + rng.normal(
        0, 0.9, (*points.shape[:2], 2)
    )
    space = np.stack([across, -points[..., 1], -depth], -1)
    ones = np.full(points.shape[:2], 0.95, np.float32)
    times = np.arange(len(points)) / 30
    return PoseTrack(
        BLAZEPOSE_33.name, times, xy.astype(np.float32), ones, *SIZE, xyz_m=space.astype(np.float32)
    )  # fmt: skip
