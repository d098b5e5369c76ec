"""By how much the pose model's positions come late in a video: repset.autolabel.smooth.LAG_S.

    python tools/trust_lag.py ../shared/data/videos

In a video the model follows a person with a causal filter; a picture by itself has no memory. For each real clip that
was counted with confidence: the lag at which its elbow and knee angles from the video come nearest to those from its
pictures looked at one by one, and how near. Five seconds a clip.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from trust_clips import clips, track_of

from repset import angles
from repset.autolabel.pose import estimate_image
from repset.schema import PoseTrack
from repset.video import read_video

NAMES = ("left_elbow", "right_elbow", "left_knee", "right_knee")
LAGS_S = np.arange(0, 0.0601, 0.005)
SAME_PERSON = 0.1
"""Of the picture's height: a frame in which the two tracks lie further apart shows another person, or a wrong guess."""

Doubles = npt.NDArray[np.float64]


def by_picture(path: Path) -> npt.NDArray[np.float32]:
    """(T, K, 2) positions with every frame looked at by itself, pixels; NaN where nobody is found."""
    return np.concatenate([estimate_image(image).xy_px for _, image in read_video(path)])


def off_deg(video: PoseTrack, pictures: npt.NDArray[np.float32]) -> Doubles:
    """Mean difference of the angles for each of LAGS_S: the video's read so much later, minus the pictures'."""
    apart = np.median(np.linalg.norm(video.xy_px - pictures, axis=-1), axis=1)  # NaN where either lacks the person
    same = apart < SAME_PERSON * video.height  # False for NaN
    found = []
    for lag_s in LAGS_S:
        parts = []
        for name in NAMES:
            late, now = (angles.evaluate(name, xy_px, video.skeleton) for xy_px in (video.xy_px, pictures))
            read = np.interp(video.time_s + lag_s, video.time_s, late)
            parts.append(np.abs(read - now)[same & (video.time_s + lag_s <= video.time_s[-1])])
        found.append(np.nanmean(np.concatenate(parts)))
    return np.array(found)


def main() -> None:
    """Print one row a clip, and the median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="clips and manifest.csv")
    print("| clip | lag | off without it | off with it |\n|---|--:|--:|--:|")
    best = []
    for clip in clips(parser.parse_args().folder):
        if clip.trusted and clip.reps:
            off = off_deg(track_of(clip.path), by_picture(clip.path))
            best.append(LAGS_S[off.argmin()])
            print(f"| {clip.name} | {1e3 * best[-1]:.0f} ms | {off[0]:.2f}° | {off.min():.2f}° |", flush=True)
    print(f"\nMedian of {len(best)}: {1e3 * np.median(best):.0f} ms.")


if __name__ == "__main__":
    main()
