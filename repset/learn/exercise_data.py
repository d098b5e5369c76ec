"""Labelled stretches of pose tracks from curated tables, and their windows."""

import itertools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from repset import pose_features as features
from repset.landmarks import SKELETONS
from repset.pose_features import Floats, WindowSpec
from repset.project import Project
from repset.records import read_rows, read_table
from repset.schema import PoseTrack

GOLD = ("gold", "gold_corrected")
Split = Literal["ours", "official"]
Frames = npt.NDArray[np.int32]

_COLUMNS = ("sample_id", "frame", "time_s", "person", "skeleton", "x_px", "y_px", "visibility")
_CURATED = ("sample_id", "source", "fold", "official_split", "task", "target", "value", "tier")


@dataclass(frozen=True)
class Clip:
    """One labelled stretch of one person.

    Attributes:
        label: canonical exercise name, `none`, or the set's own word.
        frames: (T,) frame numbers; track: the stretch alone, as the set has it.
        xy, seen: the same on the common joints, (T, J, 2) and (T, J), as `common_joints` gives them.
    """

    sample_id: str
    source: str
    label: str
    frames: Frames
    track: PoseTrack
    xy: Floats
    seen: Floats

    @property
    def seconds(self) -> float:
        """From the first to the last frame."""
        return float(self.track.time_s[-1] - self.track.time_s[0])


def read_tracks(
    project: Project, source: str, wanted: Collection[str], poses: Path | None = None
) -> dict[str, tuple[Frames, PoseTrack]]:
    """Poses of a source's index, or of another table `poses`: sample_id → (frame numbers, track of the first person).

    Read column by column. Samples without positions in the image are not in the result, and of several skeletons the
    one that has them is taken (MM-Fit's 3-D joints are a skeleton of their own).
    Raises: DataError if the table is missing or unreadable, ShapeError if times of a track do not increase.
    """
    return tracks_of(read_table(poses or project.index(source) / "poses.parquet", "poses", _COLUMNS), wanted)


def tracks_of(table: pa.Table, wanted: Collection[str]) -> dict[str, tuple[Frames, PoseTrack]]:
    """The same of a table `poses` that is in memory."""
    table = table.filter(pc.is_in(table["sample_id"], value_set=pa.array(sorted(wanted), pa.string())))
    keys = ("sample_id", "person", "skeleton")
    table = table.sort_by([(name, "ascending") for name in (*keys, "frame")])
    columns = [table[name].to_numpy() for name in keys]
    changes = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    bounds = np.flatnonzero(np.r_[True, changes, True]) if table.num_rows else np.zeros(0, np.int64)
    tracks: dict[str, tuple[Frames, PoseTrack]] = {}
    people: dict[str, int] = {}
    for start, end in itertools.pairwise(bounds.tolist()):
        name, person, skeleton = (column[start] for column in columns)
        if person != people.setdefault(name, person):
            continue
        part = table.slice(start, end - start)
        x, y, seen = (
            pc.list_flatten(part[column]).to_numpy().reshape(-1, len(SKELETONS[skeleton].joints))
            for column in ("x_px", "y_px", "visibility")
        )
        if np.isfinite(x).any():
            track = PoseTrack(skeleton, part["time_s"].to_numpy(), np.stack([x, y], axis=-1), seen, 0, 0)
            tracks[name] = part["frame"].to_numpy(), track
    return tracks


def fold_of(row: Mapping[str, Any], split: Split) -> str:
    """The fold of a curated row: our own, or the set's official one where it has one."""
    return str((row["official_split"] or row["fold"]) if split == "official" else row["fold"])


def load_clips(
    project: Project, tables: Mapping[str, Path], folds: Sequence[str], split: Split, gold_only: bool
) -> tuple[list[Clip], dict[str, int]]:
    """The labelled stretches of some folds, in the order of their tables.

    Args:
        tables: source → curated table; rows of other tasks are ignored.
    Returns: the clips, and for each source how many labelled stretches have no pose and were left out.
    """
    clips: list[Clip] = []
    without: dict[str, int] = {}
    for source, path in tables.items():
        rows = [
            row
            for row in read_rows(path, "curated", _CURATED, filters=[("task", "==", "exercise")])
            if row["value"] and fold_of(row, split) in folds and (row["tier"] in GOLD or not gold_only)
        ]
        tracks = read_tracks(project, source, {row["sample_id"] for row in rows})
        found = [_clip(source, row, tracks) for row in rows]
        clips += [clip for clip in found if clip]
        without[source] = found.count(None)
    return clips, without


def _clip(source: str, row: Mapping[str, Any], tracks: Mapping[str, tuple[Frames, PoseTrack]]) -> Clip | None:
    if row["sample_id"] not in tracks:
        return None
    frames, track = tracks[row["sample_id"]]
    target = json.loads(row["target"])
    inside = np.ones(len(frames), bool)
    if (interval := target.get("interval_s")) is not None:
        inside = (track.time_s >= interval[0] - 1e-6) & (track.time_s < interval[1] - 1e-6)
    elif (limits := target.get("frames")) is not None:
        inside = (frames >= limits[0]) & (frames < limits[1])
    part = cut(track, inside)
    xy, seen = features.common_joints(part.xy_px, part.visibility, part.skeleton)
    if not (seen > 0).any():
        return None
    return Clip(row["sample_id"], source, str(json.loads(row["value"])), frames[inside], part, xy, seen)


def cut(track: PoseTrack, inside: npt.NDArray[np.bool_]) -> PoseTrack:
    """Some frames of a track; its times stay those of the whole clip."""
    return PoseTrack(
        track.skeleton, track.time_s[inside], track.xy_px[inside], track.visibility[inside], track.width, track.height
    )


def clip_windows(clip: Clip, spec: WindowSpec, hop_s: float) -> Floats:
    """All windows of a clip as network input: (W, CHANNELS, N)."""
    return features.track_windows(clip.track, spec, hop_s)[0]
