"""Joints and angles of a source as FiftyOne's frames hold them, from whole columns at a time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from repset.landmarks import SKELETONS, JointState, convert
from repset.records import read_table, sha256_bytes

Floats = npt.NDArray[np.float64]

SHARED_JOINTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
"""Joints that every set places alike; heads and feet differ by convention."""


@dataclass(frozen=True)
class Track:
    """One person's joints in the frames that have some.

    Attributes:
        person; origin: of the table's rows.
        frame: (T,), sorted; xy_px: (T, K, 2), NaN where absent; visibility: (T, K); hidden: (T, K) occluded or outside.
    """

    person: int
    origin: str
    frame: npt.NDArray[np.int64]
    xy_px: Floats
    visibility: Floats
    hidden: npt.NDArray[np.bool_]


class Joints:
    """A table of poses by sample, all in one skeleton (that of its first row).

    Args:
        path: need not be there; only: samples to read.
    """

    def __init__(self, path: Path, only: Sequence[str]) -> None:
        self.skeleton: str | None = None
        self.tracks: dict[str, list[Track]] = {}
        if not path.is_file() or not only:
            return
        columns = ["sample_id", "frame", "person", "skeleton", "x_px", "y_px", "visibility", "state", "origin"]
        table = read_table(path, "poses", columns, [("sample_id", "in", sorted(only))])
        if not table.num_rows:
            return
        self.skeleton = str(table["skeleton"][0])
        table = table.filter(pa.compute.equal(table["skeleton"], self.skeleton))
        table = table.sort_by([("sample_id", "ascending"), ("person", "ascending"), ("frame", "ascending")])
        self._split(table, len(SKELETONS[self.skeleton].joints))

    def _split(self, table: pa.Table, joints: int) -> None:
        frame = table["frame"].to_numpy().astype(np.int64)
        person = np.nan_to_num(table["person"].to_numpy(zero_copy_only=False).astype(float)).astype(np.int64)
        x, y, seen, state = (_matrix(table, name, joints) for name in ("x_px", "y_px", "visibility", "state"))
        xy = np.where((state == JointState.ABSENT)[..., None], np.nan, np.stack([x, y], -1))
        hidden = (state == JointState.OCCLUDED) | (state == JointState.OUTSIDE)
        ids, origins = np.array(table["sample_id"].to_pylist()), table["origin"]
        new = np.flatnonzero(np.r_[True, (ids[1:] != ids[:-1]) | (person[1:] != person[:-1])])
        for start, end in zip(new, [*new[1:], len(ids)], strict=True):
            cut = slice(int(start), int(end))
            track = Track(int(person[start]), str(origins[int(start)]), frame[cut], xy[cut], seen[cut], hidden[cut])
            self.tracks.setdefault(str(ids[start]), []).append(track)


def _matrix(table: pa.Table, name: str, joints: int) -> Floats:
    flat = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float64).reshape(-1, joints)


def read_angles(path: Path, only: Sequence[str]) -> dict[str, dict[int, dict[str, float]]]:
    """Sample → frame → angle → degrees, of person 0; unknown ones are left out."""
    found: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    if path.is_file() and only:
        columns = ["sample_id", "frame", "person", "name", "value_deg"]
        table = read_table(path, "angles", columns, [("sample_id", "in", sorted(only)), ("person", "==", 0)])
        values = np.round(table["value_deg"].to_numpy(zero_copy_only=False).astype(float), 1)
        ids, names = table["sample_id"].to_pylist(), table["name"].to_pylist()
        for sample_id, frame, name, value in zip(ids, table["frame"].to_pylist(), names, values.tolist(), strict=True):
            if value == value:
                found[sample_id][frame][name] = value
    return found


def pose_error(truth: Track, guess: Track, skeletons: tuple[str, str]) -> float | None:
    """Mean distance of shared joints, as a share of the person's size; None where no frame has both.

    Args:
        skeletons: of truth and guess. Size is the median longer side of the box around the true joints.
    """
    _, at, other = np.intersect1d(truth.frame, guess.frame, return_indices=True)
    joints = [k for k, name in enumerate(SKELETONS[skeletons[0]].joints) if name.split("_")[-1] in SHARED_JOINTS]
    if not len(at) or not joints:
        return None
    true = truth.xy_px[at]
    moved = convert(np.asarray(guess.xy_px[other], np.float32), skeletons[1], skeletons[0])
    distance = np.linalg.norm(true - moved, axis=-1)[:, joints]
    boxed = true[np.isfinite(true).all(-1).any(1)]
    if not np.isfinite(distance).any() or not len(boxed):
        return None
    size = float(np.median((np.nanmax(boxed, 1) - np.nanmin(boxed, 1)).max(1)))
    return float(np.nanmean(distance)) / size if size > 0 else None


def keypoint(
    identity: str, points: Sequence[Sequence[float]], confidence: Sequence[float], person: int, about: Mapping[str, Any]
) -> dict[str, Any]:
    """One person's joints as FiftyOne stores them; `_id` is made into its id by the caller.

    Args:
        points: 0..1 of width and height; NaN: absent.
    """
    return {
        "_id": sha256_bytes(identity.encode())[:24],
        "_cls": "Keypoint",
        "attributes": {},
        "tags": [],
        "label": "person",
        "index": person,
        "points": points,
        "confidence": confidence,
        **about,
    }


def keypoints_by_frame(
    field: str, sample_id: str, tracks: Iterable[Track], skeleton: str, width: float, height: float
) -> dict[int, list[dict[str, Any]]]:
    """Frame → its people, in FiftyOne's form."""
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    names = SKELETONS[skeleton].joints
    for track in tracks:
        points = np.round(track.xy_px / [width, height], 5).tolist()
        confidence = np.round(np.nan_to_num(track.visibility), 3).tolist()
        tier = "gold" if track.origin == "dataset" else "auto"
        for t, frame in enumerate(track.frame.tolist()):
            about: dict[str, Any] = {"origin": track.origin, "tier": tier}
            if track.hidden[t].any():
                about["hidden"] = ", ".join(names[k] for k in np.flatnonzero(track.hidden[t]))
            identity = f"{sample_id}|{field}|{track.person}|{frame}"
            found[frame].append(keypoint(identity, points[t], confidence[t], track.person, about))
    return found


def joints_of_value(value: Mapping[str, Any], skeleton: str, width: float, height: float) -> dict[str, Any]:
    """The ledger's value of a pose as points and confidence in the order of `skeleton`."""
    at = value["joints"]
    points = [
        [at[name][0] / width, at[name][1] / height] if name in at else [float("nan")] * 2
        for name in SKELETONS[skeleton].joints
    ]
    hidden = ", ".join(name for name in SKELETONS[skeleton].joints if name in at and at[name][2] != "labelled")
    confidence = [1.0 if name in at else 0.0 for name in SKELETONS[skeleton].joints]
    return {"points": points, "confidence": confidence, **({"hidden": hidden} if hidden else {})}
