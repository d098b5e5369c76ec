"""Headers of a tar, read with the bounds that tarfile lacks: how long, how many in a row, and what they may change.

tarfile reads a header's text into memory before anyone has seen its size, follows headers of headers until Python's
stack ends, keeps the map of a sparse file whatever its length, and (before Python 3.11.10) searches a pax header for
its character set in time that grows with the square of its length.
"""

import re
import tarfile
from collections.abc import Iterator
from typing import Any, Self

LARGEST_HEADER = 1 << 20  # a name, or a handful of attributes
MOST_HEADERS = 8  # before one file: long name, long link and attributes make three
_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_HEADERS = (*_PAX, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_PLAIN_NAME = re.compile(rb"[A-Za-z0-9_./-]*[A-Za-z0-9_-]")
_PLAIN_REST = re.compile(  # mode, owner; size; time; checksum; a plain file, no link; users, devices; no prefix
    rb".{24}(?P<size>[0-7]{11})[\0 ].{12}(?P<sum>[0-7]{6})[\0 ]{2}0\0{100}ustar.{83}\0{167}", re.DOTALL
)


class RefusedError(tarfile.TarError):
    """What a whole tar may hold and is not taken from one of unknown make."""


class MemberInfo(tarfile.TarInfo):
    """A header; one of a plain file, which is nearly every one, is read without the fields that nobody asks for."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """One block. Raises: tarfile.HeaderError."""
        name, rest = buf[:100].rstrip(b"\0"), _PLAIN_REST.fullmatch(buf, 100)
        if not rest or not _PLAIN_NAME.fullmatch(name) or int(rest["sum"], 8) != 256 + sum(buf) - sum(buf[148:156]):
            return super().frombuf(buf, encoding, errors)
        info = cls(bytes(name).decode())
        info.size = int(rest["size"], 8)
        return info

    def _proc_member(self, archive: Any) -> Any:
        if self.size < 0 or (self.type in _HEADERS and self.size > LARGEST_HEADER):
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise RefusedError(f"the sparse file {self.name!r}")
        if self.type not in _HEADERS:
            return super()._proc_member(archive)  # type: ignore[misc]
        row = archive.headers_in_a_row = getattr(archive, "headers_in_a_row", 0) + 1
        if row > MOST_HEADERS:
            raise RefusedError(f"more than {MOST_HEADERS} headers before one file")
        info = super()._proc_member(archive)  # type: ignore[misc]
        archive.headers_in_a_row = 0
        return info

    def _proc_pax(self, archive: Any) -> Any:
        """The next file, with the name, link and size that this header gives it; nothing else is taken from it."""
        facts = dict(_records(archive.fileobj.read(self._block(self.size))))  # type: ignore[attr-defined]
        if any(key.startswith("GNU.sparse.") for key in facts):
            raise RefusedError("a sparse file")
        if self.type == tarfile.XGLTYPE and facts.keys() & {"path", "linkpath", "size"}:
            raise RefusedError("one header that renames or resizes every file after it")
        try:
            info = self.fromtarfile(archive)
        except tarfile.HeaderError as error:  # at the end of the file, say
            raise tarfile.ReadError(f"a header without its file ({error})") from error
        if self.type != tarfile.XGLTYPE:
            info.name = facts.get("path", info.name).rstrip("/")
            info.linkname = facts.get("linkpath", info.linkname)
            if "size" in facts:
                if not re.fullmatch("[0-9]{1,15}", facts["size"]):
                    raise tarfile.ReadError(f"a size of {facts['size'][:20]!r}")
                info.size = int(facts["size"])
                blocks = info._block(info.size) if info.isreg() else 0  # type: ignore[attr-defined]
                archive.offset = info.offset_data + blocks
        info.offset = self.offset
        return info


def _records(data: bytes) -> Iterator[tuple[str, str]]:
    """Key and value of a pax header's rows `length key=value`. Raises: tarfile.ReadError."""
    at = 0
    while at < len(data) and data[at]:
        digits, blank, _ = data[at : at + 9].partition(b" ")
        length = int(digits) if blank and digits.isdigit() else 0
        row = data[at + len(digits) + 1 : at + length]
        key, equals, value = row.partition(b"=")
        if length < len(digits) + 4 or at + length > len(data) or not equals or value[-1:] != b"\n":
            raise tarfile.ReadError("an extended header that does not parse")
        yield key.decode("utf-8", "surrogateescape"), value[:-1].decode("utf-8", "surrogateescape")
        at += length
