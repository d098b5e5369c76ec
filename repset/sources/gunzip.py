"""A gzip file unpacked by a thread of its own, so that reading it and working on it share two cores.

Python lets go of its lock while zlib works. What is on the way is bounded, whatever the file claims.
"""

import gzip
import queue
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

_PIECE = 1 << 18  # bytes read, and at most four times as many unpacked, at a time
_WAITING = 8  # pieces between the two threads
_KEPT = 4  # pieces kept of what was handed out; tarfile reads ahead by one


class GunzipStream:
    """The unpacked bytes of a gzip file, front to back.

    Args:
        path: one or more gzip members; zeros may follow.
        allow: called with the number of bytes unpacked so far, before they are handed out; raises if they are too many.
    Raises (while reading): EOFError for a file that is cut off, gzip.BadGzipFile for a wrong checksum or something
        after the end, zlib.error for damage, and what `allow` raises.
    """

    def __init__(self, path: Path, allow: Callable[[int], None]) -> None:
        self._path, self._allow = path, allow
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(_WAITING)
        self._stop = threading.Event()
        self._piece, self._at, self._ended = b"", 0, False
        self._kept: deque[bytes] = deque(maxlen=_KEPT)
        self._position = 0
        self._thread = threading.Thread(target=self._unpack, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.01)
            except queue.Empty:
                continue

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        out = self._piece[self._at : self._at + size]
        self._at += len(out)
        if len(out) < size and not self._ended:
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
        piece = self._queue.get()
        if isinstance(piece, BaseException):
            self._ended = True
            raise piece
        self._piece, self._at, self._ended = piece or b"", 0, piece is None
        return piece is not None

    def _unpack(self) -> None:
        """The thread's work."""
        try:
            total = 0
            for piece in _gunzip(self._path):
                total += len(piece)
                self._allow(total)
                if not self._put(piece):
                    return
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _put(self, piece: bytes | BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(piece, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False


def _gunzip(path: Path) -> Iterator[bytes]:
    """Unpacked pieces of at most 4 × _PIECE bytes."""
    with path.open("rb") as handle:
        member, data, full = zlib.decompressobj(31), handle.read(_PIECE), False
        while data or full:  # a full piece may have left something inside zlib
            try:
                piece = member.decompress(data, 4 * _PIECE)
            except zlib.error as error:
                if "incorrect data check" in str(error) or "incorrect length check" in str(error):
                    raise gzip.BadGzipFile("CRC check failed") from error
                raise
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
            member, full = zlib.decompressobj(31), False
        raise EOFError("Compressed file ended before the end-of-stream marker was reached")
