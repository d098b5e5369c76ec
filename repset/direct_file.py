"""A large file written front to back past the system's page cache, where the system can.

Gigabytes that are written once and read much later only push other things out of the cache, and filling it costs more
than writing: indexing 0.4 GB of frames takes 4.4 s of processor time in place of 5.2 s (tools/bench_index.py, two
cores). A file system that refuses gets the same bytes the usual way.
"""

import errno
import mmap
import os
from pathlib import Path

_BLOCK = 4096  # what direct writing has to be a multiple of
_BUFFER = 4 << 20


class DirectFile:
    """A new file to append to.

    Files smaller than the buffer are written the usual way, so that only large ones bypass the cache.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._buffer, self._at, self.size = path, mmap.mmap(-1, _BUFFER), 0, 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o644)
        self._asked = self._bypasses = False

    def write(self, data: bytes) -> None:
        """Append. Raises: OSError, a full disk for one."""
        start = 0
        while start < len(data):
            part = min(len(data) - start, _BUFFER - self._at)
            self._buffer[self._at : self._at + part] = data[start : start + part]
            self._at, start = self._at + part, start + part
            if self._at == _BUFFER:
                self._try_direct()
                self._flush(_BUFFER)
        self.size += len(data)

    def close(self) -> None:
        """Write what is waiting; closing twice is harmless."""
        if self._file >= 0:
            try:
                self._flush(-(-self._at // _BLOCK) * _BLOCK)  # whole blocks, then cut to size
                os.ftruncate(self._file, self.size)
            finally:
                os.close(self._file)
                self._file = -1
                self._buffer.close()

    def _try_direct(self) -> None:
        if self._asked or not hasattr(os, "O_DIRECT"):
            return
        self._asked = True  # once: memory file systems, for example, refuse
        try:
            direct = os.open(self._path, os.O_WRONLY | os.O_DIRECT | getattr(os, "O_CLOEXEC", 0))
        except OSError:
            return
        os.close(self._file)
        self._file, self._bypasses = direct, True

    def _flush(self, count: int) -> None:
        with memoryview(self._buffer) as view:
            done = 0
            while done < count:
                try:
                    done += os.write(self._file, view[done:count])
                except OSError as error:
                    if error.errno != errno.EINVAL or not self._reopen_plain():
                        raise
        self._at = 0

    def _reopen_plain(self) -> bool:
        """Go on through the cache, where a file system takes the flag and then refuses to write; False if it had."""
        if not self._bypasses:
            return False
        self._bypasses = False
        plain = os.open(self._path, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0))
        os.lseek(plain, os.lseek(self._file, 0, os.SEEK_CUR), os.SEEK_SET)
        os.close(self._file)
        self._file = plain
        return True
