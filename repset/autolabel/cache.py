"""Poses that were estimated once: one file a clip, named by content, model and code, so a killed job goes on."""

import json
import zipfile
from pathlib import Path

import numpy as np

from repset.autolabel.pose import STEP_MS, mediapipe_version, model_sha256
from repset.records import atomic_path, canonical_json, sha256_bytes
from repset.schema import PoseTrack

_CODE = 1
"""Raise it when repset.autolabel.pose gives other poses for the same images."""


def pose_key(content: str, model: str, how: str) -> str:
    """Name of a cached track: equal for equal input alone.

    Args:
        content: SHA-256 of the media.
        model: as `estimate` takes it.
        how: what else shapes the track (the kind of media, a frame rate that the media does not state).
    """
    parts = [_CODE, content, model_sha256(model), mediapipe_version(), STEP_MS, how]
    return sha256_bytes(canonical_json(parts).encode())


def read_track(folder: Path, key: str) -> PoseTrack | None:
    """The cached track, or None where there is none or its file is damaged."""
    try:
        with np.load(_file(folder, key), allow_pickle=False) as stored:
            about = json.loads(str(stored["about"]))
            return PoseTrack(
                about["skeleton"], stored["time_s"], stored["xy_px"], stored["visibility"],
                about["width"], about["height"], stored["xyz_m"],
            )  # fmt: skip
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def write_track(folder: Path, key: str, track: PoseTrack) -> None:
    """Store a track of MediaPipe's in one step; several processes may write the same one."""
    assert track.xyz_m is not None  # MediaPipe always gives it
    about = {"skeleton": track.skeleton, "width": track.width, "height": track.height}
    with atomic_path(_file(folder, key)) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(
            handle, about=np.array(json.dumps(about)), time_s=track.time_s, xy_px=track.xy_px,
            visibility=track.visibility, xyz_m=track.xyz_m,
        )  # fmt: skip


def _file(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key}.npz"
