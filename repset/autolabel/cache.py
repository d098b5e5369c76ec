"""Poses that were estimated once: one file a clip, named by content, model and code, so a killed job goes on."""

import json
import zipfile
from functools import cache
from pathlib import Path

import numpy as np

from repset.autolabel.pose import Followed
from repset.autolabel.pose_bundle import mediapipe_version, model_sha256
from repset.records import atomic_path, canonical_json, sha256_bytes
from repset.schema import PoseTrack

SHAPING = ("autolabel/pose.py", "autolabel/look_back.py", "autolabel/people.py", "autolabel/pose_bundle.py", "video.py")
"""Files of the package that say which poses a medium gives; with another line in them tracks are made anew."""

_PACKAGE = Path(__file__).parent.parent


def pose_key(content: str, model: str, how: str) -> str:
    """Name of a cached track: equal for equal input alone.

    Args:
        content: SHA-256 of the media.
        model: as `estimate` takes it.
        how: what else shapes the track (the kind of media, its rate, the frames kept, whom to follow).
    """
    parts = [shaping_code(), content, model_sha256(model), mediapipe_version(), how]
    return sha256_bytes(canonical_json(parts).encode())


@cache
def shaping_code(package: Path = _PACKAGE) -> str:
    """SHA-256 of the files SHAPING."""
    return sha256_bytes(b"".join((package / name).read_bytes() for name in SHAPING))


def read_track(folder: Path, key: str) -> PoseTrack | None:
    """The cached track, or None where there is none or its file is damaged."""
    found = read_followed(folder, key)
    return None if found is None else found.track


def read_followed(folder: Path, key: str) -> Followed | None:
    """The cached track with who else was there, or None where there is none or its file is damaged."""
    try:
        with np.load(_file(folder, key), allow_pickle=False) as stored:
            about = json.loads(str(stored["about"]))
            track = PoseTrack(
                about["skeleton"], stored["time_s"], stored["xy_px"], stored["visibility"],
                about["width"], about["height"], stored["xyz_m"],
            )  # fmt: skip
            begin = about["begin"]
            return Followed(track, about["people"], (tuple(begin[0]), begin[1]) if begin else None, about["others"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def write_track(folder: Path, key: str, track: PoseTrack) -> None:
    """`write_followed` of a track of which nothing more is known."""
    write_followed(folder, key, Followed(track, 1, None, 0))


def write_followed(folder: Path, key: str, found: Followed) -> None:
    """Store what MediaPipe found in one step; several processes may write the same one."""
    track = found.track
    assert track.xyz_m is not None  # MediaPipe always gives it
    about = {
        "skeleton": track.skeleton, "width": track.width, "height": track.height,
        "people": found.people, "begin": found.begin, "others": found.others,
    }  # fmt: skip
    with atomic_path(_file(folder, key)) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(
            handle, about=np.array(json.dumps(about)), time_s=track.time_s, xy_px=track.xy_px,
            visibility=track.visibility, xyz_m=track.xyz_m,
        )  # fmt: skip


def _file(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key}.npz"
