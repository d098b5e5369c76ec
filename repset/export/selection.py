"""Which labels of which source are exported, and into which split folder each sample goes."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from repset.errors import DataError, RepsetError
from repset.landmarks import SKELETONS
from repset.project import Project
from repset.records import TABLES, read_rows, read_table
from repset.shapes import Mask
from repset.video import FrameStore, decode_image, read_video

LABELS = ("curated", "dataset", "automatic")
"""In the order of the project's precedence: what people and the dataset say before what a machine says."""

SPLITS = ("ours", "official", "none")
WHOLE = "all"
"""Split folder of everything where there is no split."""

JPEG_QUALITY = 95
Row = dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """One stored image, or one frame of a video.

    Attributes:
        name: path below an image folder, without suffix; suffix: as stored, in lower case, with its point.
        data: encoded bytes.
    """

    sample: Row
    frame: int
    variant: str
    name: str
    suffix: str
    data: bytes


@dataclass(frozen=True)
class MaskRow:
    """One mask of one image: label, person, (H, W)."""

    label: str
    person: int
    mask: Mask


@dataclass(frozen=True)
class Track:
    """One person's poses of one sample, in one skeleton.

    Attributes:
        frame: (T,) rising; time_s: (T,) seconds; xy_px: (T, K, 2); visibility, state: (T, K).
        xyz_m: (T, K, 3) metres, NaN where the table has none.
    """

    sample: Row
    person: int
    skeleton: str
    frame: npt.NDArray[np.int32]
    time_s: npt.NDArray[np.float64]
    xy_px: npt.NDArray[np.float32]
    visibility: npt.NDArray[np.float32]
    state: npt.NDArray[np.int8]
    xyz_m: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Selection:
    """A source, the labels chosen of it, and the split its samples are sorted by.

    Attributes:
        labels: one of LABELS; split: one of SPLITS.
    """

    project: Project
    source: str
    labels: str
    split: str

    @cached_property
    def samples(self) -> list[Row]:
        """Rows of table samples, sorted."""
        rows = read_rows(self.project.index(self.source) / "samples.parquet", "samples")
        return sorted(rows, key=lambda row: str(row["sample_id"]))

    @cached_property
    def by_id(self) -> dict[str, Row]:
        """sample_id → row of table samples."""
        return {row["sample_id"]: row for row in self.samples}

    @cached_property
    def store(self) -> FrameStore:
        """The stored images."""
        return FrameStore(self.project.index(self.source))

    @cached_property
    def folders(self) -> dict[str, str]:
        """sample_id → split folder: a fold of ours, an official part, or `all`."""
        if self.split == "none":
            return {row["sample_id"]: WHOLE for row in self.samples}
        if self.split == "official":
            return {row["sample_id"]: row["official_split"] or WHOLE for row in self.samples}
        folds = read_rows(self.project.split(self.source) / "split.parquet", "split", ["sample_id", "fold"])
        return {row["sample_id"]: row["fold"] for row in folds}

    def native(self, sample_id: str) -> str:
        """A sample's id without its source; it becomes a path. Raises: DataError if that would lead elsewhere."""
        native = sample_id.removeprefix(f"{self.source}/")
        if native.startswith("/") or ".." in native.split("/"):
            raise DataError(sample_id, "an id that is a path inside a folder", "another", "Index the source again")
        return native

    # --- images ------------------------------------------------------------------------------------------------

    def pictures(self, kinds: Iterable[str] = ("image", "clip")) -> Iterator[Picture]:
        """Stored images and frames of videos, one at a time; frames of a video as JPEG."""
        for sample in self.samples:
            if sample["kind"] not in kinds:
                continue
            native = self.native(sample["sample_id"])
            for row in self.store.rows(sample["sample_id"]):
                suffix = Path(row["name"]).suffix.lower() or ".jpg"
                frame, variant = row["frame"], row["variant"] or ""
                yield Picture(
                    sample, frame, variant, picture_name(sample, native, frame, variant), suffix, self.store.data(row)
                )
            if sample["media"]:
                for frame, (_, image) in enumerate(read_video(self.project.root / sample["media"])):
                    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
                    yield Picture(sample, frame, "", picture_name(sample, native, frame, ""), ".jpg", data)

    # --- masks -------------------------------------------------------------------------------------------------

    def masks(self) -> dict[tuple[str, str], list[tuple[str, int, bytes]]]:
        """(sample_id, variant) → label, person and PNG of each mask, sorted."""
        found: dict[tuple[str, str], list[tuple[str, int, bytes]]] = {}
        for sample_id, variant, label, person, png in self._mask_rows():
            if png is not None and sample_id in self.by_id:
                found.setdefault((sample_id, variant or ""), []).append((label, person or 0, png))
        return {key: sorted(rows, key=lambda row: row[:2]) for key, rows in found.items()}

    def _mask_rows(self) -> Iterator[tuple[str, str, str, int, bytes | None]]:
        if self.labels == "dataset":
            for row in read_rows(self.project.index(self.source) / "masks.parquet", "masks"):
                yield row["sample_id"], row["variant"], row["label"], row["person"], row["png"]
            return
        folder = self.project.curated if self.labels == "curated" else self.project.proposals
        table = "curated" if self.labels == "curated" else "proposals"
        path = folder("muscle_mask", self.source) / "table.parquet"
        for row in read_rows(path, table, ["sample_id", "target", "blob"]):
            target = json.loads(row["target"])
            yield row["sample_id"], target.get("variant"), target["class"], target.get("person"), row["blob"]

    # --- angles ------------------------------------------------------------------------------------------------

    @cached_property
    def _angles(self) -> tuple[pa.Table, dict[tuple[str, int], tuple[int, int]]]:
        return _angle_runs(self.project.labels(self.source) / "angles.parquet")

    def angles(self, sample_id: str, person: int) -> pa.Table:
        """Rows of the automatic angles of one person."""
        table, runs = self._angles
        return table.slice(*runs.get((sample_id, person), (0, 0)))

    # --- poses -------------------------------------------------------------------------------------------------

    def tracks(self, solid: bool) -> Iterator[Track]:
        """Poses by sample, person and skeleton, one sample in memory at a time.

        Args:
            solid: those with 3-D positions; else those with pixels.
        """
        folder = self.project.labels(self.source) if self.labels == "automatic" else self.project.index(self.source)
        for sample_id, table in _by_sample(folder / "poses.parquet"):
            if sample_id not in self.by_id:
                continue
            keys = zip(table["person"].to_pylist(), table["skeleton"].to_pylist(), strict=True)
            for person, skeleton in sorted(set(keys)):
                chosen = pc.and_(pc.equal(table["person"], person), pc.equal(table["skeleton"], skeleton))
                track = _track(self.by_id[sample_id], person, skeleton, table.filter(chosen))
                if np.isfinite(track.xyz_m if solid else track.xy_px).any():
                    yield track


def _angle_runs(path: Path) -> tuple[pa.Table, dict[tuple[str, int], tuple[int, int]]]:
    """The automatic angles sorted by sample and person, and where each one's rows lie."""
    table = read_table(path, "angles").sort_by([("sample_id", "ascending"), ("person", "ascending")])
    ids = table["sample_id"].combine_chunks().dictionary_encode()
    code, person = ids.indices.to_numpy(), table["person"].to_numpy()
    edges = np.flatnonzero((np.diff(code, prepend=-1) != 0) | (np.diff(person, prepend=-1) != 0))
    names = ids.dictionary.to_pylist()
    ends = [*edges[1:].tolist(), table.num_rows]
    runs = {
        (names[code[start]], int(person[start])): (start, end - start)
        for start, end in zip(edges.tolist(), ends, strict=True)
    }
    return table, runs


def picture_name(sample: Row, native: str, frame: int, variant: str) -> str:
    """Path of an image below an image folder, without suffix: frames of a clip in a folder of their own, from 0."""
    if sample["kind"] == "image":
        return f"{native}.rf.{variant}" if variant else native
    return f"{native}/{frame:06d}"


def _by_sample(path: Path) -> Iterator[tuple[str, pa.Table]]:
    """Rows of a poses table, sample by sample (a sample's rows stand together)."""
    if not path.is_file():
        raise DataError(path, "the table poses", "no file", "Run the stage that writes it, for example: dvc repro")
    waiting: list[pa.Table] = []
    for batch in pq.ParquetFile(path).iter_batches(batch_size=4096, columns=TABLES["poses"].names):
        table = pa.Table.from_batches([batch])
        while table.num_rows:
            own = waiting[0]["sample_id"][0] if waiting else table["sample_id"][0]
            others = pc.not_equal(table["sample_id"], own)
            end = pc.index(others, True).as_py()
            end = table.num_rows if end < 0 else end
            if end:
                waiting.append(table.slice(0, end))
            table = table.slice(end)
            if table.num_rows:
                yield own.as_py(), pa.concat_tables(waiting)
                waiting = []
    if waiting:
        yield waiting[0]["sample_id"][0].as_py(), pa.concat_tables(waiting)


def _track(sample: Row, person: int, skeleton: str, table: pa.Table) -> Track:
    table = table.sort_by("frame").combine_chunks()
    joints, rows = len(SKELETONS[skeleton].joints), table.num_rows

    def array(name: str, kind: type) -> npt.NDArray[Any]:
        column = table[name].combine_chunks()
        return np.asarray(column.flatten().to_numpy(zero_copy_only=False), kind).reshape(rows, joints)

    solid = np.full((rows, joints, 3), np.nan, np.float32)
    has = table["xyz_m"].is_valid().to_numpy()
    if has.any():
        values = table["xyz_m"].combine_chunks().drop_null().flatten().to_numpy(zero_copy_only=False)
        solid[has] = values.reshape(-1, joints, 3)
    return Track(
        sample,
        person,
        skeleton,
        table["frame"].to_numpy(),
        table["time_s"].to_numpy(),
        np.stack([array("x_px", np.float32), array("y_px", np.float32)], axis=-1),
        array("visibility", np.float32),
        array("state", np.int8),
        solid,
    )


def decode_mask(png: bytes, where: str) -> Mask:
    """A stored mask as booleans (H, W)."""
    return np.asarray(decode_image(png, where)[..., 0] > 127, bool)


def choose_labels(project: Project, source: str, needs: str, wanted: str | None) -> str:
    """The labels to export: those asked for, else the first of LABELS that the source has.

    Raises: RepsetError if they are not there.
    """
    there = [labels for labels in LABELS if _has(project, source, needs, labels)]
    if wanted is None and there:
        return there[0]
    if wanted in there:
        return str(wanted)
    listed = ", ".join(there) or "none"
    asked = f"{wanted} {needs}" if wanted else needs
    raise RepsetError(
        f"{source}: expected {asked} to export, found {listed}. Name others with --labels, or run: dvc repro"
    )


def _has(project: Project, source: str, needs: str, labels: str) -> bool:
    index, automatic = project.index(source), project.labels(source)
    if needs == "poses":
        path = {"dataset": index, "automatic": automatic}.get(labels)
        return path is not None and _rows(path / "poses.parquet") > 0
    if needs == "masks":
        tables = {
            "curated": project.curated("muscle_mask", source) / "table.parquet",
            "dataset": index / "masks.parquet",
            "automatic": project.proposals("muscle_mask", source) / "table.parquet",
        }
        return _rows(tables[labels]) > 0
    if labels == "curated":
        return any((project.curated(task, source) / "table.parquet").is_file() for task in ("exercise", "form"))
    return ((index / "samples.parquet") if labels == "dataset" else (automatic / "sets.parquet")).is_file()


def _rows(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows) if path.is_file() else 0


def choose_split(project: Project, source: str, wanted: str | None) -> str:
    """The split to sort by: the one asked for, else ours where there is one, else none.

    Raises: RepsetError if ours is asked for and not there.
    """
    ours = (project.split(source) / "split.parquet").is_file()
    if wanted == "ours" and not ours:
        raise RepsetError(f"{source}: expected a split, found none. Run: repset split {source}")
    return wanted or ("ours" if ours else "none")
