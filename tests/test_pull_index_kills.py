"""A pull or an index that is killed at any moment leaves the old state or the new one, and the next run succeeds."""

import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from repset.params import SourceSpec
from repset.project import Project
from repset.sources.fetch import pull_source
from repset.sources.index import index_source

SPEC = SourceSpec(family="mmfit", rendered=False, origin="x")
KILLS = 25


def archive(path: Path, reps: int) -> Path:
    """A set of six workouts, 2 MB; `reps` tells old from new."""
    noise = np.random.default_rng(reps).bytes(350_000)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as out:
        for number in range(6):
            info = zipfile.ZipInfo(f"w{number:02d}/w{number:02d}_labels.csv")
            out.writestr(info, f"10,900,{reps},squats\n1000,1500,{reps},lunges\n")
            out.writestr(zipfile.ZipInfo(f"w{number:02d}/notes.bin"), noise)
    return path


def pull(project: Project, origin: Path) -> None:
    def draw(folder: Path) -> None:
        raise AssertionError("nothing to draw")

    pull_source(project, "set", SPEC, str(origin), draw, {}, force=False, meter=lambda done, total: None)


def index(project: Project) -> None:
    index_source(project, "set", SPEC, shard_mb=1)


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def killed(work: Callable[[], None], after_s: float) -> bool:
    """Run `work` in a process of its own and kill it after a while; whether it was still at work."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def duration(work: Callable[[], None]) -> float:
    """Seconds that it takes in a process of its own, the shortest of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        child = os.fork()
        if child == 0:
            try:
                work()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        times.append(time.perf_counter() - start)
    return min(times)


def beside(project: Project) -> list[str]:
    return sorted(path.name for path in project.source("set").iterdir())


def killed_in_between(
    folder: Callable[[], dict[str, bytes]], restore: Callable[[], None], work: Callable[[], None], project: Project
) -> list[str]:
    """Kill `work` at moments spread over its whole length; returns which state each left behind.

    Args:
        folder: reads the state; restore: brings the old one back; work: makes the new one.
    """
    restore()
    old = folder()
    whole_s = duration(work)
    restore()
    work()
    new, names = folder(), beside(project)
    assert old != new
    moments = np.random.default_rng(9).permutation(np.linspace(0.02, 1.1, KILLS)) * whole_s
    found = []
    for moment in moments:
        restore()
        before = beside(project)
        assert folder() == old
        died = killed(work, float(moment))
        state = folder()
        assert state in (old, new), f"killed after {moment:.3f} s of {whole_s:.3f}"
        found.append(("old" if state == old else "new") if died else "done")
        assert died or state == new
        work()
        assert folder() == new
        assert beside(project) == names == before  # what the killed one left behind is cleared away
    return found


def kill_pulls(project: Project, old: Path, new: Path) -> list[str]:
    raw = project.raw("set")
    return killed_in_between(lambda: content(raw), lambda: pull(project, old), lambda: pull(project, new), project)


def kill_indexes(project: Project, old: Path, new: Path) -> list[str]:
    raw, before, after = project.raw("set") / "set.zip", old.read_bytes(), new.read_bytes()

    def restore() -> None:
        raw.write_bytes(before)
        index(project)
        raw.write_bytes(after)

    return killed_in_between(lambda: content(project.index("set")), restore, lambda: index(project), project)


def main(what: str, folder: Path) -> None:
    """The program that the tests start: a process of its own, since one with threads should not be forked."""
    old, new = archive(folder / "set.zip", 3), archive(folder / "new.zip", 4)
    project = Project(folder / "project")
    pull(project, old)
    index(project)
    print(" ".join({"pull": kill_pulls, "index": kill_indexes}[what](project, old, new)))


@pytest.mark.parametrize("what", ["pull", "index"])
def test_what_is_killed_leaves_the_old_state_or_the_new_one(what: str, tmp_path: Path) -> None:
    words = (sys.executable, str(Path(__file__)), what, str(tmp_path))
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = done.stdout.split()
    assert len(found) == KILLS
    assert found.count("old") >= 5  # else the kills came too late to show anything


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
