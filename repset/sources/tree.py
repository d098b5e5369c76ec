"""What was pulled, read as a tree of named files: a folder, a zip or a tar.gz, each with the same three methods.

Nothing is extracted. A hostile archive is refused before its content is used: no name leaves the tree, no links or
devices, and limits on the number of files, their size and their compression.
"""

import gzip
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from repset.errors import DataError
from repset.sources.gunzip import GunzipStream
from repset.sources.member_names import Names, check_name, unsafe
from repset.sources.tar_headers import MemberInfo, RefusedError

Wanted = Callable[[str], bool]
"""Says by its name whether a file is to be read."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold before it is taken for a bomb.

    The largest set read here (Penn Action) has about 170 000 files and 3 GB; JPEG and PNG do not shrink, arrays of
    poses shrink about threefold.
    """

    files: int = 2_000_000
    file_bytes: int = 8 << 30
    total_bytes: int = 500 << 30
    ratio: float = 200.0  # unpacked : packed, judged beyond `ratio_from_bytes`
    ratio_from_bytes: int = 64 << 20


TRUTH = "truth.json"
"""Beside the rendered sample's archive: what it knows and the real formats have no place for."""

LIMITS = Limits()
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, NotImplementedError,
           UnicodeError, ValueError, OverflowError, struct.error)  # fmt: skip
"""What the archive libraries raise on damaged or made-up content."""

_ZIP_HEADER = 30  # bytes before a member's name
_PULL_AGAIN = "Pull it again, or ask its sender for a whole copy"


class Tree(ABC):
    """Named files below one root.

    Attributes:
        where: the root as the user would type it; starts every message.
    """

    def __init__(self, where: str) -> None:
        self.where = where

    def close(self) -> None:  # noqa: B027  # only a zip keeps a file open
        """Let go of open files."""

    @abstractmethod
    def at(self, name: str) -> str:
        """How a message names one file."""

    @abstractmethod
    def names(self) -> list[str]:
        """All files, sorted, with forward slashes. Raises: DataError for an unsafe or damaged archive."""

    @abstractmethod
    def walk(self, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
        """Name and content of every wanted file, one at a time; sorted, but in stored order from a tar.gz."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Content of one file."""


class FolderTree(Tree):
    """A folder; links in it are refused, hidden files are not seen."""

    def __init__(self, path: Path, where: str) -> None:
        super().__init__(where)
        self._path = path

    def at(self, name: str) -> str:
        """`folder/name`."""
        return f"{self.where}/{name}"

    def names(self) -> list[str]:
        """All files, sorted."""
        found: list[str] = []
        for folder, folders, files in os.walk(self._path):
            for name in (*folders, *files):
                path = Path(folder, name)
                relative = path.relative_to(self._path).as_posix()
                if path.is_symlink():
                    raise DataError(self.at(relative), "a file or folder", "a link", "Replace it by what it points to")
                if not (path.is_file() or path.is_dir()):
                    raise DataError(self.at(relative), "a file or folder", "a pipe, socket or device", "Remove it")
                check_name(self.where, relative)
            found += [Path(folder, name).relative_to(self._path).as_posix() for name in files]
        return sorted(name for name in found if not _is_junk(name))

    def walk(self, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
        """Wanted files, sorted."""
        for name in self.names():
            if wanted(name):
                yield name, self.read(name)

    def read(self, name: str) -> bytes:
        """Content of one file."""
        try:
            return (self._path / name).read_bytes()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(self.at(name), "a readable file", reason, "Check its permissions") from error


class ZipTree(Tree):
    """A zip, read in place."""

    def __init__(self, path: Path, where: str) -> None:
        super().__init__(where)
        self._path = path
        with _damage(where, "zip"):
            self._zip = zipfile.ZipFile(path)
        self._members = {info.filename: info for info in self._checked()}
        self._sizes = {name: info.file_size for name, info in self._members.items()}
        for info in self._members.values():
            info.file_size += 1  # of a file that goes on, one byte more is unpacked, not all that zlib would give

    def _checked(self) -> Iterator[zipfile.ZipInfo]:
        names, total, packed = Names(self.where), 0, self._path.stat().st_size
        self._check_overlap()
        for info in self._zip.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise unsafe(self.where, f"the link or device {info.filename!r}")
            if info.flag_bits & 0x1:
                raise DataError(self.where, "an archive without a password", "an encrypted one", "Unlock it first")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                found = f"method {info.compress_type} in {info.filename!r}"
                raise DataError(self.where, "files that are stored or deflated", found, "Pack it again as a plain zip")
            if not names.add(info.orig_filename, info.is_dir()):  # filename ends at a NUL
                _check_size(self.where, info.filename, names.count, 0, total, packed)
                continue
            total += info.file_size
            _check_size(self.where, info.filename, names.count, info.file_size, total, packed)
            if not _is_junk(info.filename):
                yield info

    def _check_overlap(self) -> None:
        """No byte is part of two members: a bomb states one for many (Python looks for it since 3.11.8)."""
        infos, end, before = sorted(self._zip.infolist(), key=lambda info: info.header_offset), 0, ""
        for info in infos:
            if info.header_offset < end:
                raise unsafe(self.where, f"{before!r} and {info.filename!r} in the same place")
            end = info.header_offset + _ZIP_HEADER + len(info.orig_filename) + info.compress_size
            before = info.filename

    def close(self) -> None:
        """Close the zip."""
        self._zip.close()

    def at(self, name: str) -> str:
        """`archive.zip:name`."""
        return f"{self.where}:{name}"

    def names(self) -> list[str]:
        """All files, sorted."""
        return sorted(self._members)

    def walk(self, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
        """Wanted files, sorted."""
        for name in self.names():
            if wanted(name):
                yield name, self.read(name)

    def read(self, name: str) -> bytes:
        """Content of one file, its checksum and stated size verified; no more memory is taken than it states."""
        stated = self._sizes[name]
        with _damage(self.where, "zip"):
            with self._zip.open(self._members[name]) as handle:
                data = handle.read(stated + 1)
            if len(data) != stated:
                raise zipfile.BadZipFile(f"{name} is not of the {stated:,} bytes it states")
        return data


class TarTree(Tree):
    """A tar.gz, streamed: a walk costs one decompression, so callers walk rather than read."""

    def __init__(self, path: Path, where: str) -> None:
        super().__init__(where)
        self._path = path

    def at(self, name: str) -> str:
        """`archive.tar.gz:name`."""
        return f"{self.where}:{name}"

    def _stream(self) -> Iterator[tuple[str, IO[bytes]]]:
        """Every file once; reads to the end, so that the checksum of the whole is verified."""
        packed, total = self._path.stat().st_size, 0
        names = Names(self.where)

        def allow(unpacked: int) -> None:
            _check_total(self.where, unpacked, packed)

        with _damage(self.where, "tar.gz"), GunzipStream(self._path, allow) as plain:
            with tarfile.open(fileobj=cast(IO[bytes], plain), mode="r|", tarinfo=MemberInfo) as archive:
                for info in archive:
                    archive.members = []  # type: ignore[attr-defined]  # tarfile would keep every header: 170 000 of them
                    name = info.name.removeprefix("./")
                    if not (info.isfile() or info.isdir()):
                        raise unsafe(self.where, f"the link or device {name!r}")
                    if not names.add(name, info.isdir()):
                        _check_size(self.where, name, names.count, 0, total, packed)
                        continue
                    total += info.size
                    _check_size(self.where, name, names.count, info.size, total, packed)
                    handle = archive.extractfile(info)
                    if handle is not None and not _is_junk(name):
                        yield name, handle
                end = int(archive.offset)
            if not plain.only_zeros_from(end):  # tarfile takes a damaged header for the end
                raise tarfile.ReadError("a damaged header, or something after the end")

    def names(self) -> list[str]:
        """All files, sorted."""
        return sorted(name for name, _ in self._stream())

    def walk(self, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
        """Wanted files in stored order."""
        for name, handle in self._stream():
            if wanted(name):
                with _damage(self.where, "tar.gz"):
                    data = handle.read()
                yield name, data

    def read(self, name: str) -> bytes:
        """Content of one file (streams the archive up to its end)."""
        content = dict(self.walk(lambda other: other == name))
        return content[name]


def open_archive(path: Path, where: str) -> Tree:
    """The tree in one archive file, told by its content rather than its name.

    Raises: DataError if it is neither a zip nor a tar.gz, or is cut off.
    """
    with path.open("rb") as handle:
        head = handle.read(512)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return ZipTree(path, where)
    if head[:2] == b"\x1f\x8b":
        return TarTree(path, where)
    raise DataError(where, "a zip or tar.gz archive", _describe(head), "Check that this is the file you meant")


def open_raw(raw: Path, where: str, pull: str) -> Tree:
    """The tree in a source's raw/ folder: its one archive, else the folder itself.

    Args:
        pull: the command that fills the folder, for the message.
    Raises: DataError if there is nothing, or more than one archive.
    """
    if not raw.is_dir():
        raise DataError(where, "what `repset pull` brings", "no such folder", f"Run: {pull}")
    archives = sorted(p for p in raw.iterdir() if p.is_file() and p.name.lower().endswith((".zip", ".tar.gz", ".tgz")))
    if len(archives) > 1:
        names = ", ".join(path.name for path in archives)
        raise DataError(where, "one archive", f"{len(archives)} ({names})", f"Remove it and run: {pull}")
    if archives:
        return open_archive(archives[0], f"{where}/{archives[0].name}")
    return FolderTree(raw, where)


def _is_junk(name: str) -> bool:
    """Files that operating systems and Git leave behind."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _check_size(where: str, name: str, count: int, size: int, total: int, packed: int) -> None:
    if count > LIMITS.files:
        raise unsafe(where, f"more than {LIMITS.files:,} files")
    if size > LIMITS.file_bytes:
        raise unsafe(where, f"{name!r} of {size:,} bytes")
    _check_total(where, total, packed)


def _check_total(where: str, total: int, packed: int) -> None:
    if total > LIMITS.total_bytes:
        raise unsafe(where, f"more than {LIMITS.total_bytes:,} bytes unpacked")
    if total > LIMITS.ratio_from_bytes and total > LIMITS.ratio * packed:
        raise unsafe(where, f"{total:,} bytes packed into {packed:,}")


@contextmanager
def _damage(where: str, kind: str) -> Iterator[None]:
    """Turn what the archive libraries raise into one sentence."""
    try:
        yield
    except RefusedError as error:
        raise unsafe(where, str(error)) from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(where, f"a whole {kind} archive", f"one that is cut off or damaged ({reason})", _PULL_AGAIN) \
            from error  # fmt: skip


def _describe(head: bytes) -> str:
    if not head:
        return "an empty file"
    if head.lstrip()[:1] == b"<":
        return "a web page or XML"
    text = head.decode("utf-8", errors="ignore")
    printable = sum(character.isprintable() or character.isspace() for character in text)
    return "a text file" if printable > 0.95 * len(head) else "some other kind of file"
