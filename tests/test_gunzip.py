"""A gzip file unpacked here or by a process of its own: the same bytes, the same faults, no process left behind."""

import gzip
import os
import random
import subprocess
import sys
import time
import zlib
from collections import deque
from pathlib import Path

import pytest

from repset.sources import gunzip
from repset.sources.gunzip import GunzipStream

PLAIN = random.Random(4).randbytes(700_000) + bytes(3_000_000) + b"end"
PACKED = gzip.compress(PLAIN, 1)


@pytest.fixture(params=["here", "process"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small archives are unpacked here, others by a process."""
    if request.param == "process":
        monkeypatch.setattr(gunzip, "_SMALL", 0)
    return str(request.param)


def allow_all(count: int) -> None:
    """No limit."""


def unpack(path: Path, size: int = 10_240) -> bytes:
    with GunzipStream(path, allow_all) as stream:
        return b"".join(iter(lambda: stream.read(size), b""))


@pytest.mark.parametrize("size", [1, 10_240, 5_000_000])
@pytest.mark.parametrize("packed", [PACKED, PACKED + bytes(9_000), gzip.compress(PLAIN[:9]) + gzip.compress(PLAIN[9:])])
def test_the_bytes_are_those_of_the_standard_library(tmp_path: Path, way: str, size: int, packed: bytes) -> None:
    """Also with zeros behind the end, and in two members."""
    (tmp_path / "a.gz").write_bytes(packed)
    if size == 1:
        with GunzipStream(tmp_path / "a.gz", allow_all) as stream:
            assert [stream.read(1) for _ in range(20)] == [PLAIN[at : at + 1] for at in range(20)]
    else:
        assert unpack(tmp_path / "a.gz", size) == PLAIN == gzip.decompress(packed)


@pytest.mark.parametrize(
    ("packed", "error", "words"),
    [
        (PACKED[:-9], EOFError, "ended before"),
        (PACKED[: len(PACKED) // 2], EOFError, "ended before"),
        (PACKED[:-8] + b"abcd" + PACKED[-4:], gzip.BadGzipFile, "CRC"),
        (PACKED[:-4] + b"abcd", gzip.BadGzipFile, "CRC"),
        (PACKED + b"more", gzip.BadGzipFile, "after the end"),
        (PACKED[:10] + b"\xff" * 40 + PACKED[50:], zlib.error, "Error"),
    ],
)
def test_damage_is_raised_as_the_standard_library_would(
    tmp_path: Path, way: str, packed: bytes, error: type[Exception], words: str
) -> None:
    """Cut off, a wrong checksum, a wrong length, something behind the end, no deflate stream."""
    (tmp_path / "a.gz").write_bytes(packed)
    with pytest.raises(error, match=words):
        unpack(tmp_path / "a.gz")


def test_a_missing_file_is_raised_before_anything_is_read(tmp_path: Path, way: str) -> None:
    with pytest.raises(FileNotFoundError):
        GunzipStream(tmp_path / "none.gz", allow_all)


def test_the_limit_holds_before_the_bytes_are_handed_out(tmp_path: Path, way: str) -> None:
    """1 GB of zeros in 1 MB: refused once the limit is passed, long before its end."""
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(200_000_000), 9))
    seen: list[int] = []

    def allow(count: int) -> None:
        seen.append(count)
        if count > 5_000_000:
            raise ValueError("too many")

    with GunzipStream(tmp_path / "a.gz", allow) as stream, pytest.raises(ValueError, match="too many"):
        deque(iter(lambda: stream.read(100_000), b""), maxlen=0)
    assert 5_000_000 < seen[-1] <= 5_000_000 + (1 << 18) + 100_000


def children() -> set[str]:
    """Process numbers of what this process has started."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.mark.skipif(not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="reads Linux's /proc")
def test_no_process_is_left_when_reading_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gunzip, "_SMALL", 0)
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(50_000_000), 1))
    before = children()
    with GunzipStream(tmp_path / "a.gz", allow_all) as stream:
        stream.read(10)
        assert len(children() - before) == 1
    assert children() == before


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs POSIX signals")
def test_the_process_ends_with_a_reader_that_was_killed(tmp_path: Path) -> None:
    """kill -9 of the reader breaks the pipe, which ends the process quietly."""
    (tmp_path / "a.gz").write_bytes(gzip.compress(random.Random(1).randbytes(20_000_000), 1))
    code = (
        "import sys, time; from pathlib import Path; from repset.sources.gunzip import GunzipStream\n"
        "with GunzipStream(Path(sys.argv[1]), lambda count: None) as stream:\n"
        "    stream.read(10); print('read', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.gz")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"read\n"
        reader.kill()
    for _ in range(100):
        try:
            os.killpg(reader.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the unpacking process still runs")
