"""Readers for small files of other people's making, which can build nothing but plain values, and not too many.

A pickle is a program: only the operations that build lists, tuples, strings and whole numbers are let through.
A NumPy or MATLAB file states its size before its content: what it states is compared with what is there first.
"""

import csv
import io
import json
import math
import pickle
import pickletools
import struct
from collections.abc import Iterator
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from isal import isal_zlib

from repset.errors import DataError
from repset.sources.gunzip import DAMAGE

LARGEST_PICKLE = 64 << 20
"""Bytes; a list of 100,000 paths has about 10 MB."""
LARGEST_YAML = 1 << 20
LARGEST_MAT = 64 << 20
"""Bytes of a label file once unpacked; Penn Action's largest has 168,456."""
_DO_NOT = "Do not use it unless you made it yourself"

_PLAIN = (
    "PROTO FRAME STOP MARK EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 "
    "SHORT_BINUNICODE BINUNICODE BINUNICODE8 UNICODE SHORT_BINSTRING BINSTRING STRING INT BININT "
    "BININT1 BININT2 LONG LONG1 PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET"
)
_PLAIN_OPCODES = frozenset(_PLAIN.split())
_MEMO = ("PUT", "LONG_BINPUT")


class _PlainUnpickler(pickle.Unpickler):
    """The second fence behind the list of operations: no class, no function, no outside object."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError(f"the outside object {pid!r}")


def read_pickle(data: bytes, where: str) -> Any:
    """The lists, tuples, strings and whole numbers of a pickle of any protocol.

    Raises: DataError, before anything is built, for an operation that could build something else, call something, or
        claim memory; and for a damaged file.
    """
    expected = "a pickle of lists, tuples, strings and whole numbers alone"
    if len(data) > LARGEST_PICKLE:
        raise DataError(where, f"a pickle of at most {LARGEST_PICKLE:,} bytes", f"{len(data):,}", _DO_NOT)
    try:
        count = 0
        for count, (operation, value, _) in enumerate(_operations(data)):
            if operation.name not in _PLAIN_OPCODES:
                what = f"{operation.name} {value}" if operation.name == "GLOBAL" else operation.name
                raise DataError(where, expected, f"the operation {what[:80]}", _DO_NOT)
            if operation.name in _MEMO and int(value) > count:
                raise DataError(where, expected, f"a memo of {int(value):,} places", _DO_NOT)
        # STRING of old protocols is latin-1 here: bytes for bytes, never an error
        return _PlainUnpickler(io.BytesIO(data), encoding="latin-1").load()
    except DataError:
        raise
    except Exception as error:  # whatever unpickling raises on made-up bytes: IndexError, TypeError, ValueError …
        reason = " ".join(str(error).split())[:100].rstrip(".") or type(error).__name__
        raise DataError(
            where, expected, f"one that is damaged ({reason})", "Ask its sender for a whole copy"
        ) from error


def _operations(data: bytes) -> Iterator[tuple[pickletools.OpcodeInfo, Any, int | None]]:
    return pickletools.genops(data)


def read_npy(data: bytes) -> npt.NDArray[Any]:
    """The array of a `.npy` file, as large as the file states and holds.

    Raises: ValueError for anything else, before memory is claimed.
    """
    stream = io.BytesIO(data)
    try:
        read_magic: Any = np.lib.format.read_magic
        version = read_magic(stream)
        head: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = head(stream)
        if dtype.hasobject or min(shape, default=0) < 0:
            raise ValueError("objects")
        if math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
            raise ValueError("another size than it states")
        stream.seek(0)
        return np.asarray(np.load(stream, allow_pickle=False))
    except (EOFError, OSError, TypeError, OverflowError, RecursionError, MemoryError, SyntaxError, TokenError) as error:
        raise ValueError(str(error)) from error  # the last two of a header that is no Python literal


def read_json_bytes(data: bytes) -> Any:
    """Parsed JSON. Raises: ValueError also for one that is nested too deeply."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


class _PlainLoader(yaml.SafeLoader):
    """Plain values written out: a name for another part (an alias) lets a page of text stand for terabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias, which can stand for any amount of text")
        return super().compose_node(parent, index)


def read_yaml_bytes(data: bytes) -> Any:
    """Parsed YAML of plain values. Raises: ValueError, also for an alias, deep nesting and more than LARGEST_YAML."""
    if len(data) > LARGEST_YAML:
        raise ValueError(f"{len(data):,} bytes")
    try:
        return yaml.load(data.decode("utf-8-sig"), _PlainLoader)  # noqa: S506  # a SafeLoader
    except (yaml.YAMLError, RecursionError, OverflowError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise ValueError(reason) from error


def read_csv_bytes(data: bytes) -> list[list[str]]:
    """Rows of a comma-separated text (UTF-8, with or without a byte-order mark). Raises: ValueError if it is none."""
    try:
        return list(csv.reader(data.decode("utf-8-sig").splitlines(), skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(str(error)) from error


def plain_mat(data: bytes) -> bytes:
    """A MATLAB 5 file with its elements unpacked, safe to hand to scipy: arrays of numbers and text alone.

    Raises: ValueError for another version, a cell, structure, function or object (which nest), a size that the file
        does not hold, and more than LARGEST_MAT bytes unpacked.
    """
    if len(data) < 128 or data[126:128] != b"IM" or data[124:126] != b"\x00\x01":
        raise ValueError("not a MATLAB 5 file of this byte order")
    return data[:128] + b"".join(_mat_elements(data))


_MAT_MATRIX, _MAT_PACKED = 14, 15
_MAT_TAG = struct.Struct("<II")  # kind and size
_MAT_CLASSES = frozenset((4, *range(6, 16)))  # text, double, single, whole numbers


def _mat_elements(data: bytes) -> Iterator[bytes]:
    at, total = 128, 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("an element that is cut off")
        kind, size = _MAT_TAG.unpack_from(data, at)
        if at + 8 + size > len(data):
            raise ValueError("an element that is cut off")
        element = data[at : at + 8 + size]
        if kind == _MAT_PACKED:
            try:
                element = isal_zlib.decompressobj().decompress(element[8:], LARGEST_MAT + 1 - min(total, LARGEST_MAT))
            except DAMAGE as error:
                raise ValueError("a packed element that is damaged") from error
            if len(element) < 8:
                raise ValueError("an element that is cut off")
            kind, inner = _MAT_TAG.unpack_from(element)
            if inner + 8 > len(element) and len(element) + total <= LARGEST_MAT:
                raise ValueError("an element that is cut off")
            at += 8 + size
        else:
            at += 8 + size + (-size % 8 if kind != _MAT_MATRIX else 0)
        total += len(element)
        if total > LARGEST_MAT:
            raise ValueError(f"more than {LARGEST_MAT:,} bytes unpacked")
        if kind != _MAT_MATRIX or len(element) < 24 or element[16] not in _MAT_CLASSES:
            raise ValueError("something other than arrays of numbers and text")
        yield element
