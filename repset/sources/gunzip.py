"""A gzip file unpacked by a process of its own, so that reading it and working on it share two cores.

A thread would not do: on an archive of many small files, unpacking and the work on them wait for each other's turn at
Python's lock longer than they work. What is on the way is bounded, whatever the file claims. Run as a script, this file
is that process; it imports nothing else of ours.
"""

import gzip
import io
import signal
import subprocess
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, cast

from isal import isal_zlib

_PIECE = 1 << 18  # bytes read, and at most four times as many unpacked, at a time
_KEPT = 4  # pieces kept of what was handed out; tarfile reads ahead by one
_SMALL = 8 << 20  # bytes of an archive that is unpacked before a process would have started
_PIPE = 1 << 20  # bytes on the way; the system's default is 64 kB, a switch for every three frames
DAMAGE = cast(type[Exception], isal_zlib.error)  # its types call it an instance
_FAULTS: dict[str, type[Exception]] = {one.__name__: one for one in (EOFError, gzip.BadGzipFile, zlib.error, OSError)}


class GunzipStream:
    """The unpacked bytes of a gzip file, front to back.

    Args:
        path: one or more gzip members; zeros may follow.
        allow: called with the number of bytes unpacked so far, before they are handed out; raises if they are too many.
        It is asked again after every _PIECE bytes.
    Raises (while reading): EOFError for a file that is cut off, gzip.BadGzipFile for a wrong checksum or something
        after the end, zlib.error for damage, and what `allow` raises.
    """

    def __init__(self, path: Path, allow: Callable[[int], None]) -> None:
        self._allow = allow
        self._process = None if path.stat().st_size < _SMALL else _start(path)
        self._plain = _stdout(self._process) if self._process else io.BufferedReader(_Pieces(_gunzip(path)))
        self._kept: deque[bytes] = deque(maxlen=_KEPT)
        self._position = self._allowed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._plain.close()  # which ends the process
        if self._process:
            self._process.wait()
            assert self._process.stderr is not None
            self._process.stderr.close()

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        out = self._plain.read(size)
        if len(out) < size and self._process:
            _raise_fault(self._process)
        self._position += len(out)
        if self._position >= self._allowed:
            self._allow(self._position)
            self._allowed = self._position + _PIECE
        self._kept.append(out)
        return out

    def only_zeros_from(self, offset: int) -> bool:
        """Read to the end; whether nothing but zeros lies behind `offset`, which is not far back."""
        tail, back = b"".join(self._kept), self._position - offset
        zeros = 0 <= back <= len(tail) and not tail[len(tail) - back :].strip(b"\0")
        while piece := self.read(_PIECE):
            zeros = zeros and not piece.strip(b"\0")
        return zeros


class _Pieces(io.RawIOBase):
    """Pieces as one stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._piece = pieces, memoryview(b"")

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with what is left of a piece."""
        if not self._piece:
            self._piece = memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(self._piece))
        buffer[:count], self._piece = self._piece[:count], self._piece[count:]
        return count


def _start(path: Path) -> subprocess.Popen[bytes]:
    """`main` in a process of its own, its output in a pipe."""
    command = [sys.executable, "-I", __file__, str(path.resolve())]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=_PIPE
    )


def _stdout(process: subprocess.Popen[bytes]) -> io.BufferedReader:
    """What the process writes, through a larger pipe where the system has such."""
    assert isinstance(process.stdout, io.BufferedReader)
    try:
        import fcntl

        fcntl.fcntl(process.stdout.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
    except (ImportError, AttributeError, OSError):  # Windows, macOS, a limit of the system's
        pass
    return process.stdout


def _raise_fault(process: subprocess.Popen[bytes]) -> None:
    """What the process ended with, if not well."""
    if process.wait():
        assert process.stderr is not None
        kind, _, reason = process.stderr.read().decode(errors="replace").strip().rpartition("\n")[2].partition("\t")
        raise _FAULTS.get(kind, OSError)(reason or f"the unpacking process ended with {process.returncode}")


def _gunzip(path: Path) -> Iterator[bytes]:
    """Unpacked pieces of at most 4 × _PIECE bytes."""
    with path.open("rb") as handle:
        member, data = isal_zlib.decompressobj(31), handle.read(_PIECE)
        full = False
        while data or full:  # a full piece may have left something inside
            try:
                piece = member.decompress(data, 4 * _PIECE)
            except DAMAGE as error:
                if "checksum" in str(error):
                    raise gzip.BadGzipFile("CRC check failed") from error
                raise zlib.error(str(error)) from error
            full = len(piece) == 4 * _PIECE
            if piece:
                yield piece
            if not member.eof:
                data = member.unconsumed_tail or handle.read(_PIECE)
                continue
            data = member.unused_data.lstrip(b"\0")
            while not data and (more := handle.read(_PIECE)):
                data = more.lstrip(b"\0")
            if not data:
                return
            if data[:2] != b"\x1f\x8b"[: len(data)]:
                raise gzip.BadGzipFile("something after the end")
            member, full = isal_zlib.decompressobj(31), False
        raise EOFError("Compressed file ended before the end-of-stream marker was reached")


def main() -> None:
    """Write the unpacked bytes of the named file to the standard output; a fault is one line: its kind, tab, reason."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the reader decides; without one the pipe breaks and this ends
    try:
        with open(1, "wb", buffering=0, closefd=False) as out:
            for piece in _gunzip(Path(sys.argv[1])):
                view = memoryview(piece)
                while view:
                    view = view[out.write(view) :]
    except BrokenPipeError:
        sys.exit(1)
    except (EOFError, OSError, zlib.error) as error:
        name = next(name for name, kind in _FAULTS.items() if isinstance(error, kind))
        print(name, " ".join(str(error).split()), sep="\t", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
