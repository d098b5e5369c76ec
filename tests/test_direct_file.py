"""Large files written past the page cache: the same bytes whatever the file system takes, and no loss in silence."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repset.direct_file import DirectFile

BUFFER = 4 << 20
SIZES = (0, 1, 4095, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER, 2 * BUFFER + 4097, 9_000_001)
NOISE = np.random.default_rng(1).bytes(max(SIZES))
Calls = list[str]


@pytest.fixture(params=["as it is", "no such flag", "refuses to open", "refuses to write", "writes in parts"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The file systems there are; returns what they were asked for."""
    calls: Calls = []
    true_open, true_write = os.open, os.write
    direct = getattr(os, "O_DIRECT", 0)
    bypassing: set[int] = set()

    def open_(path: Any, flags: int, *mode: int) -> int:
        if flags & direct:
            calls.append("open")
            if request.param == "refuses to open":
                raise OSError(errno.EINVAL, "Invalid argument")
        handle = true_open(path, flags & ~direct if "write" in request.param else flags, *mode)
        (bypassing.add if flags & direct else bypassing.discard)(handle)
        return handle

    def write(handle: int, data: Any) -> int:
        if handle in bypassing and "write" in request.param:
            if request.param == "refuses to write" or len(data) % 4096:
                calls.append("refused")
                raise OSError(errno.EINVAL, "Invalid argument")
            return true_write(handle, data[: max(1000, len(data) // 2)])  # what is left is no whole block
        return true_write(handle, data)

    if request.param == "no such flag":
        monkeypatch.delattr(os, "O_DIRECT", raising=False)
    else:
        monkeypatch.setattr(os, "open", open_)
        monkeypatch.setattr(os, "write", write)
    return calls


@pytest.mark.parametrize("size", SIZES)
def test_what_was_written_is_what_is_there(tmp_path: Path, system: Calls, size: int) -> None:
    rng, at = np.random.default_rng(size), 0
    out = DirectFile(tmp_path / "a")
    while at < size:
        end = min(size, at + int(rng.integers(1, 3 << 20)))
        out.write(NOISE[at:end])
        at = end
    assert out.size == size
    out.close()
    out.close()
    assert (tmp_path / "a").read_bytes() == NOISE[:size]
    assert system.count("open") <= 1
    assert system.count("refused") <= 1


def test_a_full_disk_is_an_error_and_not_a_short_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    out = DirectFile(tmp_path / "a")
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        out.write(NOISE[:BUFFER])
    monkeypatch.undo()
    out.close()


def test_another_fault_of_a_plain_file_is_not_taken_for_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(handle: int, data: Any) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.delattr(os, "O_DIRECT", raising=False)
    out = DirectFile(tmp_path / "a")
    monkeypatch.setattr(os, "write", broken)
    with pytest.raises(OSError, match="Invalid argument"):
        out.write(NOISE[:BUFFER])
    monkeypatch.undo()
    out.close()
