"""The tables of the data contract and their files: Parquet, checked, atomic, the same bytes for the same input.

What stands in them is written out in `repset.tables`.
"""

import csv
import ctypes
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from repset.errors import DataError, ShapeError
from repset.tables import F32
from repset.tables import TABLES as TABLES  # readers of tables import both from here


def table_from_rows(name: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows of plain values as a checked table.

    Raises: ShapeError if a row has a column the table lacks or a value of another type.
    """
    schema, rows = TABLES[name], list(rows)
    for row in rows:
        if unknown := sorted(set(row) - set(schema.names)):
            raise ShapeError(f"table {name}: unknown column {unknown[0]!r} (columns: {', '.join(schema.names)})")
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ShapeError(f"table {name}: {error}") from error


def write_table(path: Path, name: str, table: pa.Table | Iterable[Mapping[str, Any]]) -> Path:
    """Write `path` (Parquet) in one step; row order is the caller's, bytes depend on nothing else."""
    table = _checked(name, table if isinstance(table, pa.Table) else table_from_rows(name, table))
    with atomic_path(path) as temporary:
        whole = table.combine_chunks()  # chunks shape pages
        pq.write_table(whole, temporary, row_group_size=_GROUP_ROWS, **_parquet(name))
    return path


_GROUP_ROWS = 1 << 14


def _parquet(name: str) -> dict[str, Any]:
    """How a table is stored; a dictionary for text alone, since numbers rarely repeat and looking for it costs time."""
    text = [field.name for field in TABLES[name] if pa.types.is_string(field.type)]
    return {"compression": "zstd", "version": "2.6", "store_schema": False, "use_dictionary": text}


def _checked(name: str, table: pa.Table) -> pa.Table:
    if table.schema.names != TABLES[name].names:
        raise ShapeError(f"table {name}: expected columns {TABLES[name].names}, found {table.schema.names}")
    return table.cast(TABLES[name])


class TableWriter:
    """Writes a table piece by piece in constant memory; the same rows give the same bytes as `write_table`.

    Use it as a context manager. It writes `path` itself, so `path` lies in a folder that is not in place yet. A thread
    packs the last whole row groups while the caller makes the next rows.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._name, self.rows = name, 0
        self._waiting: list[pa.Table] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(path, TABLES[name], **_parquet(name))
        self._worker = ThreadPoolExecutor(1)
        self._packing: Future[None] | None = None

    def add(self, table: pa.Table | Iterable[Mapping[str, Any]]) -> None:
        """Append rows; whole row groups go to the disk. Raises: ShapeError as `table_from_rows`."""
        table = _checked(self._name, table if isinstance(table, pa.Table) else table_from_rows(self._name, table))
        before = self.rows % _GROUP_ROWS
        self.rows += table.num_rows
        self._waiting.append(table)
        if before + table.num_rows >= _GROUP_ROWS:
            whole = pa.concat_tables(self._waiting)
            left = self.rows % _GROUP_ROWS
            self._waiting = [whole.slice(whole.num_rows - left).combine_chunks()]
            self._pack(whole.slice(0, whole.num_rows - left))

    def _pack(self, groups: pa.Table) -> None:
        """Hand over to the thread. Raises: what the last handing over led to, a full disk for one."""
        if self._packing:
            self._packing.result()

        def write() -> None:
            for start in range(0, groups.num_rows, _GROUP_ROWS):
                self._writer.write_table(groups.slice(start, _GROUP_ROWS).combine_chunks())

        self._packing = self._worker.submit(write)

    def close(self) -> None:
        """Write what is waiting and finish the file; closing twice is harmless."""
        if self._writer.is_open:
            self._worker.shutdown()
            try:
                if self._packing:
                    self._packing.result()
                if self.rows % _GROUP_ROWS or not self.rows:
                    rest = pa.concat_tables(self._waiting or [TABLES[self._name].empty_table()])
                    self._writer.write_table(rest.combine_chunks())
            finally:
                self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def pose_table(
    sample_id: str | Sequence[str],
    skeleton: str,
    frame: npt.NDArray[Any],
    time_s: npt.NDArray[Any],
    xy_px: npt.NDArray[Any],
    visibility: npt.NDArray[Any],
    state: npt.NDArray[Any],
    origin: str,
    xyz_m: npt.NDArray[Any] | None = None,
    person: int = 0,
) -> pa.Table:
    """Rows of table `poses` from whole arrays (no Python object per joint).

    Args:
        sample_id: of all rows, or one for each row (many clips at once, which is much faster than one by one).
        frame, time_s: (T,); xy_px: (T, K, 2) pixels; visibility, state: (T, K); xyz_m: (T, K, 3) metres or None.
    """
    rows, joints = visibility.shape

    def lists(values: npt.NDArray[Any], kind: pa.DataType, width: int) -> pa.ListArray:
        offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * width)
        flat = np.ascontiguousarray(values, dtype=kind.to_pandas_dtype()).reshape(-1)
        return pa.ListArray.from_arrays(offsets, pa.array(flat, kind, from_pandas=False))

    columns = {
        "sample_id": pa.array([sample_id] * rows if isinstance(sample_id, str) else sample_id, pa.string()),
        "frame": pa.array(np.asarray(frame, np.int32)),
        "time_s": pa.array(np.asarray(time_s, np.float64), from_pandas=False),
        "person": pa.array(np.full(rows, person, np.int32)),
        "skeleton": pa.array([skeleton] * rows, pa.string()),
        "x_px": lists(xy_px[..., 0], pa.float32(), joints),
        "y_px": lists(xy_px[..., 1], pa.float32(), joints),
        "visibility": lists(visibility, pa.float32(), joints),
        "state": lists(state, pa.int8(), joints),
        "xyz_m": pa.nulls(rows, F32) if xyz_m is None else lists(xyz_m, pa.float32(), joints * 3),
        "origin": pa.array([origin] * rows, pa.string()),
    }
    return pa.table(columns, schema=TABLES["poses"])


def box_table(
    sample_id: str | Sequence[str], frame: npt.NDArray[Any], box_px: npt.NDArray[Any], origin: str, person: int = 0
) -> pa.Table:
    """Rows of table `boxes` from whole arrays.

    Args:
        sample_id: of all rows, or one for each row.
        frame: (N,); box_px: (N, 4) left, top, width, height.
    """
    rows = len(frame)
    columns = {
        "sample_id": pa.array([sample_id] * rows if isinstance(sample_id, str) else sample_id, pa.string()),
        "frame": pa.array(np.asarray(frame, np.int32)),
        "person": pa.array(np.full(rows, person, np.int32)),
        **{
            name: pa.array(np.ascontiguousarray(box_px[:, column], np.float32), from_pandas=False)
            for column, name in enumerate(("x_px", "y_px", "width_px", "height_px"))
        },
        "origin": pa.array([origin] * rows, pa.string()),
    }
    return pa.table(columns, schema=TABLES["boxes"])


def inertial_table(
    sample_id: str, device: str, sensor: str, frame: npt.NDArray[Any], time_s: npt.NDArray[Any], value: npt.NDArray[Any]
) -> pa.Table:
    """Rows of table `inertial` from whole arrays.

    Args:
        frame, time_s: (N,); value: (N, D).
    """
    rows, width = value.shape
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * width)
    flat = pa.array(np.ascontiguousarray(value, np.float32).reshape(-1), from_pandas=False)
    columns = {
        "sample_id": pa.array([sample_id] * rows, pa.string()),
        "device": pa.array([device] * rows, pa.string()),
        "sensor": pa.array([sensor] * rows, pa.string()),
        "frame": pa.array(np.asarray(frame, np.int32)),
        "time_s": pa.array(np.asarray(time_s, np.float64), from_pandas=False),
        "value": pa.ListArray.from_arrays(offsets, flat),
    }
    return pa.table(columns, schema=TABLES["inertial"])


def read_table(path: Path, name: str, columns: Sequence[str] | None = None, filters: Any = None) -> pa.Table:
    """A table of the contract.

    Args:
        columns: only these; filters: as pyarrow.parquet.read_table takes them.
    Raises: DataError if the file is missing, unreadable or has other columns.
    """
    if not path.is_file():
        raise DataError(path, f"the table {name}", "no file", "Run the stage that writes it, for example: dvc repro")
    try:
        table = pq.read_table(path, columns=list(columns) if columns else None, filters=filters)
    except (pa.ArrowInvalid, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(path, f"the table {name} (Parquet)", first, "Delete it and run its stage again") from error
    wanted = list(columns) if columns else TABLES[name].names
    if table.schema.names != wanted:
        raise DataError(path, f"columns {wanted}", f"{table.schema.names}", "Delete it and run its stage again")
    return table.cast(pa.schema([TABLES[name].field(column) for column in wanted]))


def read_rows(path: Path, name: str, columns: Sequence[str] | None = None, filters: Any = None) -> list[dict[str, Any]]:
    """`read_table` as a list of dicts, for small tables."""
    rows: list[dict[str, Any]] = read_table(path, name, columns, filters).to_pylist()
    return rows


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and vanishes when not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends well, and vanishes when not.

    What stood at `path` before stays untouched until then; the two change places in one step. What a process that was
    killed has left behind is cleared away by the next one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*.part"):
        owner = left.name.removeprefix(f".{path.name}.").split(".")[0]
        if owner.isdigit() and not _runs(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.{os.getpid()}.", suffix=".part"))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.is_symlink() or path.is_file():
            path.unlink()
        if not path.exists() or not _exchange(temporary, path):
            old = temporary.with_suffix(".old.part")
            if path.exists():
                path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # someone else's
    return True


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change names in one step; False where the system cannot (Linux can since 3.15)."""
    try:
        rename: Any = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def write_text(path: Path, text: str) -> Path:
    """Write a text file in one step (UTF-8, LF)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values, equal text. NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def write_json(path: Path, value: Any) -> Path:
    """Readable JSON, keys in the caller's order. NaN is refused: write None."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Parsed JSON. Raises: DataError naming the line if it does not parse."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(path, "a JSON file", "no file", "Run the stage that writes it") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(path, "JSON", str(error), "Mend or delete it") from error


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Path:
    """A CSV with a header; None becomes the empty cell."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if row[key] is None else row[key] for key in columns} for row in rows)
    return write_text(path, buffer.getvalue())


def sha256_bytes(data: bytes) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
