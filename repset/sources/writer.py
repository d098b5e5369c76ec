"""Gathers what a reader finds and writes one index folder: its tables, image shards, videos, report.json."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from repset.errors import DataError
from repset.records import TableWriter, write_json, write_table
from repset.video import ShardWriter

_ORDER: dict[str, tuple[str, ...]] = {
    "samples": ("sample_id",),
    "masks": ("sample_id", "variant", "person", "label"),
    "sets": ("sample_id", "set"),
    "muscles": ("sample_id", "label"),
    "reps": ("sample_id", "person", "set", "rep"),
    "form": ("sample_id", "person", "set", "rep", "level", "rule_id"),
}
"""Small tables and the columns they are sorted by; large ones are handled apart."""


class IndexWriter:
    """Rows and images of one source on their way to disk.

    Args:
        folder: a temporary folder; what is in it after `finish` is the index.
        source: its name, prefix of every sample_id.
        shard_bytes: size from which a new image shard begins.
        skip: leave out a faulty item and count it, instead of stopping at the first.
    Attributes:
        rows: table name → rows so far.
        left_out: why items were left out on purpose → how many (an action filter, say).
        skipped: faulty items and their reasons.
        notes: facts for report.json that are no rows.
    """

    def __init__(self, folder: Path, source: str, shard_bytes: int, skip: bool) -> None:
        self.source, self._folder, self._skip, self._shard_bytes = source, folder, skip, shard_bytes
        self.shards = ShardWriter(folder, shard_bytes)
        self.large = {name: TableWriter(folder / f"{name}.parquet", name) for name in ("poses", "boxes", "inertial")}
        self.poses, self.boxes, self.inertial = self.large.values()
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in _ORDER}
        self.left_out: Counter[str] = Counter()
        self.notes: dict[str, Any] = {}
        self.skipped: list[dict[str, str]] = []

    def sample_id(self, native: str) -> str:
        """`<source>/<native id>`."""
        return f"{self.source}/{native}"

    def add_sample(self, native: str, **columns: Any) -> str:
        """One row of `samples`; columns not given are null. Returns its sample_id."""
        row = dict(sample_id=self.sample_id(native), source=self.source, media=None) | columns
        self.rows["samples"].append(row)
        return self.sample_id(native)

    def add_video(self, native: str, suffix: str, data: bytes) -> tuple[str, Path]:
        """Store a video file; returns what stands in `samples.media`, and where it lies until the index is in place."""
        name = f"videos/{native}{suffix.lower()}"
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return f"datasets/{self.source}/index/{name}", path

    def drop_images(self, natives: set[str]) -> None:
        """Take the images of some items out again: the shards are written anew without them."""
        dropped = {self.sample_id(native) for native in natives}
        rows = self.shards.rows
        if dropped.isdisjoint(row["sample_id"] for row in rows):
            return
        self.shards.close()
        old = self._folder / "old"
        old.mkdir()
        for name in {row["shard"] for row in rows}:
            (self._folder / name).rename(old / name)
        self.shards = ShardWriter(self._folder, self._shard_bytes)
        for shard, of_shard in groupby(rows, key=lambda row: str(row["shard"])):
            with (old / shard).open("rb") as handle:
                for row in of_shard:
                    if row["sample_id"] not in dropped:
                        handle.seek(row["offset"])
                        data = handle.read(row["size"])
                        self.shards.add(row["sample_id"], row["frame"], row["variant"], row["name"], data)
            (old / shard).unlink()
        old.rmdir()

    @contextmanager
    def item(self, name: str) -> Iterator[None]:
        """Read one item inside; a DataError stops everything, or under `skip` is counted with its reason."""
        try:
            yield
        except DataError as error:
            if not self._skip:
                raise
            self.skipped.append({"item": name, "reason": str(error)})

    def finish(self, about: dict[str, Any]) -> dict[str, Any]:
        """Write everything; returns what stands in report.json."""
        self.abandon()
        frames = sorted(self.shards.rows, key=lambda row: (row["sample_id"], row["frame"], row["variant"]))
        write_table(self._folder / "frames.parquet", "frames", frames)
        for name, keys in _ORDER.items():
            rows = sorted(self.rows[name], key=lambda row: [_sortable(row.get(key)) for key in keys])
            write_table(self._folder / f"{name}.parquet", name, rows)
        counts = {name: len(rows) for name, rows in self.rows.items()}
        counts |= {"frames": len(frames)} | {name: table.rows for name, table in self.large.items()}
        report = about | {
            "counts": counts,
            "kinds": _count(row["kind"] for row in self.rows["samples"]),
            "exercises": _count(row["exercise_native"] for row in self.rows["samples"] if row.get("exercise_native")),
            "official_split": _count(row.get("official_split") or "none" for row in self.rows["samples"]),
            **self.notes,
            "left_out": dict(sorted(self.left_out.items())),
            "skipped": sorted(self.skipped, key=lambda row: (row["item"], row["reason"])),
        }
        write_json(self._folder / "report.json", report)
        return report

    def abandon(self) -> None:
        """Close what is open, so that the temporary folder can go."""
        self.shards.close()
        for table in self.large.values():
            table.close()


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)


def _count(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def check_image(data: bytes, where: str, reduced: bool = False) -> tuple[int, int]:
    """Width and height of an encoded image that decodes to its last byte.

    Args:
        reduced: decode at an eighth of the size, which is several times faster; the returned size is rounded up to
            whole eighths then.
    Raises: DataError if it is no JPEG or PNG, or is cut off (OpenCV fills a truncated JPEG with grey in silence).
    """
    mode = cv2.IMREAD_REDUCED_GRAYSCALE_8 if reduced else cv2.IMREAD_GRAYSCALE
    height, width = _decode(data, mode, where).shape
    return width, height


LARGEST_PX = 200_000_000
"""Pixels of an image: more than any camera's, less than what exhausts memory."""


def stated_size(data: bytes, where: str) -> tuple[int, int]:
    """Width and height that an image's header states; the file is there to its end mark, its pixels are not decoded.

    Raises: DataError if it is no JPEG or PNG, is cut off, or states more than LARGEST_PX pixels.
    """
    jpeg = data[:2] == b"\xff\xd8"
    whole = (b"\xff\xd9" if jpeg else b"IEND") in data[-4096:]
    size = (_jpeg_size(data) if jpeg else _png_size(data)) if whole else None
    if size is None:
        raise _no_image(data, where)
    if size[0] * size[1] > LARGEST_PX:
        found = f"one of {size[0]:,} × {size[1]:,}"
        raise DataError(where, f"an image of at most {LARGEST_PX:,} pixels", found, "Make it smaller, or leave it out")
    return size


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """From the first frame header (marker C0 to CF without C4, C8, CC); the markers before it are stepped over."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # filling
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _png_size(data: bytes) -> tuple[int, int] | None:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _decode(data: bytes, mode: int, where: str) -> npt.NDArray[Any]:
    """The decoded image, if it is there to its end mark."""
    stated_size(data, where)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    if image is None:
        raise _no_image(data, where)
    return image


def _no_image(data: bytes, where: str) -> DataError:
    found = f"{len(data):,} bytes that do not decode to the end"
    return DataError(where, "a whole JPEG or PNG image", found, "Pull it again, or leave it out with --on-error skip")


def decode_index_mask(data: bytes, where: str) -> npt.NDArray[np.uint8]:
    """An 8-bit mask, (H, W), pixel = class number. Raises: DataError if it is no single-channel 8-bit image."""
    mask = _decode(data, cv2.IMREAD_UNCHANGED, where)
    if mask.ndim == 3 and (mask[..., :1] == mask[..., :3]).all():
        mask = mask[..., 0]
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise DataError(
            where,
            "a mask with one 8-bit channel (pixel value = class number)",
            f"shape {mask.shape}, {mask.dtype}",
            "Export it as PNG masks for semantic segmentation",
        )
    return np.asarray(mask, np.uint8)


def digest(parts: list[str]) -> str:
    """One hash for several: of a clip's frames, or of an image's augmented copies. A single part is itself."""
    if len(parts) == 1:
        return parts[0]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
