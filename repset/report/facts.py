"""What the report reads of a source and how it finds what there is; nothing here draws."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from repset.landmarks import SKELETONS
from repset.params import SourceSpec
from repset.project import Project
from repset.records import read_json, read_rows, read_table
from repset.schema import PoseTrack
from repset.video import FrameStore, Image, read_video

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """One source as it stands on disk; a table of a stage that has not run is empty."""

    project: Project
    name: str
    spec: SourceSpec

    @property
    def mark(self) -> str:
        """What every picture and score of it says: `rendered sample`, or nothing for real material."""
        return "rendered sample" if self.spec.rendered else ""

    @property
    def indexed(self) -> bool:
        """Has `repset index` run?"""
        return (self.project.index(self.name) / "samples.parquet").is_file()

    @property
    def labelled(self) -> bool:
        """Has `repset autolabel` run?"""
        return (self.project.labels(self.name) / "poses.parquet").is_file()

    @cached_property
    def samples(self) -> list[dict[str, Any]]:
        """Rows of `samples`, by sample_id."""
        return sorted(self._rows(self.project.index(self.name), "samples"), key=lambda row: str(row["sample_id"]))

    @cached_property
    def frames(self) -> FrameStore | None:
        """Images of the index."""
        folder = self.project.index(self.name)
        return FrameStore(folder) if (folder / "frames.parquet").is_file() else None

    @cached_property
    def truth_sets(self) -> list[dict[str, Any]]:
        """The set's own stretches."""
        return self._rows(self.project.index(self.name), "sets")

    @cached_property
    def reps(self) -> dict[str, list[dict[str, Any]]]:
        """sample_id → automatic repetitions."""
        return _by_sample(self._rows(self.project.labels(self.name), "reps"))

    @cached_property
    def form(self) -> dict[str, list[dict[str, Any]]]:
        """sample_id → automatic verdicts."""
        return _by_sample(self._rows(self.project.labels(self.name), "form"))

    @cached_property
    def truth_reps(self) -> dict[str, list[dict[str, Any]]]:
        """sample_id → the set's own repetitions."""
        return _by_sample(self._rows(self.project.index(self.name), "reps"))

    @cached_property
    def posed(self) -> frozenset[str]:
        """sample_ids with automatic poses."""
        path = self.project.labels(self.name) / "poses.parquet"
        if not path.is_file():
            return frozenset()
        return frozenset(read_table(path, "poses", ["sample_id"])["sample_id"].unique().to_pylist())

    def origins(self, folder: Path, table: str) -> Counter[str]:
        """Rows of a table by origin, without reading its other columns."""
        path = folder / f"{table}.parquet"
        if not path.is_file():
            return Counter()
        counts = read_table(path, table, ["origin"])["origin"].value_counts().to_pylist()
        return Counter({str(entry["values"]): int(entry["counts"]) for entry in counts})

    def track(self, sample_id: str, automatic: bool) -> PoseTrack | None:
        """Person 0 of a clip as the labeller or the set itself has it; frames without a pose are NaN.

        Where a set gives several skeletons, the first with image coordinates is taken.
        """
        folder = self.project.labels(self.name) if automatic else self.project.index(self.name)
        path = folder / "poses.parquet"
        if not path.is_file():
            return None
        rows = read_rows(path, "poses", filters=[("sample_id", "=", sample_id), ("person", "=", 0)])
        sample = next(row for row in self.samples if row["sample_id"] == sample_id)
        return track_of(rows, int(sample["width"] or 0), int(sample["height"] or 0))

    def angles(self, sample_id: str, names: tuple[str, ...]) -> dict[str, np.ndarray[Any, Any]]:
        """Automatic angles of a clip: name → (T,) degrees over frames 0 … T-1, NaN where unknown."""
        path = self.project.labels(self.name) / "angles.parquet"
        if not path.is_file():
            return {}
        rows = read_rows(path, "angles", filters=[("sample_id", "=", sample_id), ("name", "in", list(names))])
        frames = max((row["frame"] for row in rows), default=-1) + 1
        out = {name: np.full(frames, np.nan) for name in names if any(row["name"] == name for row in rows)}
        for row in rows:
            if row["person"] == 0:
                out[row["name"]][row["frame"]] = row["value_deg"]
        return out

    def images(self, sample: Row) -> Iterator[Image]:
        """Frames of a clip, in order, from the shards or from its video file; none for poses alone."""
        if self.frames is not None and self.frames.rows(sample["sample_id"]):
            yield from self.frames.clip(sample["sample_id"])
        elif sample["media"] and (self.project.root / sample["media"]).is_file():
            yield from (image for _, image in read_video(self.project.root / sample["media"]))

    def image(self, sample: Row, frame: int) -> Image | None:
        """One frame of a clip, or None where it has no images."""
        if self.frames is not None:
            for row in self.frames.rows(sample["sample_id"]):
                if row["frame"] == frame:
                    return self.frames.image(row)
        return next((image for n, image in enumerate(self.images(sample)) if n == frame), None)

    def _rows(self, folder: Path, table: str) -> list[dict[str, Any]]:
        path = folder / f"{table}.parquet"
        return read_rows(path, table) if path.is_file() else []


def track_of(rows: list[dict[str, Any]], width: int, height: int) -> PoseTrack | None:
    """Rows of `poses` of one clip and person as a track over frames 0 … last; None without a row."""
    rows = [row for row in rows if row["x_px"] is not None]
    if not rows:
        return None
    skeleton = rows[0]["skeleton"]
    rows = sorted((row for row in rows if row["skeleton"] == skeleton), key=lambda row: int(row["frame"]))
    frames, joints = rows[-1]["frame"] + 1, len(SKELETONS[skeleton].joints)
    xy, seen = np.full((frames, joints, 2), np.nan, np.float32), np.full((frames, joints), np.nan, np.float32)
    known = np.array([row["frame"] for row in rows])
    xy[known, :, 0], xy[known, :, 1] = [row["x_px"] for row in rows], [row["y_px"] for row in rows]
    seen[known] = [row["visibility"] for row in rows]
    times = np.array([row["time_s"] for row in rows], np.float64)
    # Frames without a pose get the time that the known ones imply.
    step = float(np.median(np.diff(times) / np.diff(known))) if len(rows) > 1 else 1.0
    time_s = np.interp(np.arange(frames), known, times)
    time_s[: known[0]] = times[0] - step * np.arange(known[0], 0, -1)
    return PoseTrack(skeleton, time_s, xy, seen, width, height)


def optional_json(path: Path) -> Any | None:
    """Parsed JSON, or None where there is no file."""
    return read_json(path) if path.is_file() else None


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested dicts as (path with dots, value); lists count as leaves."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _by_sample(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    out: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        out.setdefault(str(row["sample_id"]), []).append(row)
    return out
