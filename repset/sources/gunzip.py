"""A gzip file unpacked by a process of its own, so that reading it and working on it share two cores.

A thread would not do: on an archive of many small files, unpacking and the work on them wait for each other's turn at
Python's lock longer than they work (7.4 s for 1 GB of frames in place of 4.0 s, tools/bench_index.py). What is on the
way is bounded, whatever the file claims. Run as a script, this file is that process; it imports nothing else of ours.
"""

import gzip
import os
import signal
import subprocess
import sys
import zlib
from collections import deque
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO, Self, cast

from isal import isal_zlib

_PIECE = 1 << 18  # bytes read, and at most four times as many unpacked, at a time
_KEPT = 4  # pieces kept of what was handed out; tarfile reads ahead by one
_SMALL = 8 << 20  # bytes of an archive that is unpacked before a process would have started
_PIPE = 1 << 20  # bytes on the way; the system's default is 64 kB, a switch for every three frames
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ of Linux; Python has the name since 3.10, on Linux alone
DAMAGE = cast(type[Exception], isal_zlib.error)  # its types call it an instance
_FAULTS: dict[str, type[Exception]] = {one.__name__: one for one in (EOFError, gzip.BadGzipFile, zlib.error, OSError)}


class GunzipStream:
    """The unpacked bytes of a gzip file, front to back.

    Args:
        path: one or more gzip members; zeros may follow.
        allow: called with the number of bytes unpacked so far, before they are handed out; raises if they are too many.
    Raises (while reading): EOFError for a file that is cut off, gzip.BadGzipFile for a wrong checksum or something
        after the end, zlib.error for damage, and what `allow` raises.
    """

    def __init__(self, path: Path, allow: Callable[[int], None]) -> None:
        self._allow = allow
        self._pieces = _gunzip(path) if path.stat().st_size < _SMALL else _from_process(path)
        self._piece, self._at, self._unpacked = b"", 0, 0
        self._kept: deque[bytes] = deque(maxlen=_KEPT)
        self._position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pieces.close()

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        out = self._piece[self._at : self._at + size]
        self._at += len(out)
        if len(out) < size:
            parts, have = [out], len(out)
            while have < size and self._next():
                part = self._piece[: size - have]
                self._at = len(part)
                parts.append(part)
                have += len(part)
            out = b"".join(parts)
        self._position += len(out)
        self._kept.append(out)
        return out

    def only_zeros_from(self, offset: int) -> bool:
        """Read to the end; whether nothing but zeros lies behind `offset`, which is not far back."""
        tail, back = b"".join(self._kept), self._position - offset
        zeros = 0 <= back <= len(tail) and not tail[len(tail) - back :].strip(b"\0")
        while piece := self.read(_PIECE):
            zeros = zeros and not piece.strip(b"\0")
        return zeros

    def _next(self) -> bool:
        self._piece, self._at = next(self._pieces, b""), 0
        self._unpacked += len(self._piece)
        self._allow(self._unpacked)
        return bool(self._piece)


def _from_process(path: Path) -> Generator[bytes, None, None]:
    """What `main` writes in a process of its own, which ends with this generator, however that ends."""
    command = [sys.executable, "-I", __file__, str(path.resolve())]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        try:
            _widen(child.stdout)
            while piece := os.read(child.stdout.fileno(), _PIPE):
                yield piece
            kind, _, reason = child.stderr.read().decode(errors="replace").strip().rpartition("\n")[2].partition("\t")
            if child.wait():
                raise _FAULTS.get(kind, OSError)(reason or f"the unpacking process ended with {child.returncode}")
        finally:
            child.kill()


def _widen(pipe: IO[bytes]) -> None:
    """A larger pipe, where the system has such."""
    try:
        import fcntl

        fcntl.fcntl(pipe.fileno(), _SET_PIPE_SIZE, _PIPE)
    except (ImportError, OSError):
        pass


def _gunzip(path: Path) -> Generator[bytes, None, None]:
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
