"""One process a core, one task at a time: progress, a clean stop, no orphans."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

import cv2

from repset.autolabel.inputs import Task
from repset.autolabel.work import Options, Outcome, run_task
from repset.errors import RepsetError

Progress = Callable[[int, int], None]
"""Called several times a second with the frames and the tasks that are done."""

_POLL_S = 0.2


def run_tasks(
    tasks: Sequence[Task], options: Options, folder: Path, jobs: int, progress: Progress | None = None
) -> Iterator[Outcome]:
    """Outcomes as they are finished, the longest tasks begun first.

    Workers are spawned, not forked: MediaPipe's threads do not survive a fork. When the caller stops early (an
    exception, Ctrl-C) the workers end at once; what they had finished is in the cache.
    Raises: RepsetError if a worker dies (out of memory, say).
    """
    context = multiprocessing.get_context("spawn")
    frames_done = context.Value("q", 0)
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(min(jobs, len(tasks)), context, _start_worker, (frames_done,))
    tasks_done = 0
    try:
        ordered = sorted(tasks, key=lambda task: (-task.frames, task.number))
        waiting: set[Future[Outcome]] = {executor.submit(_run, task, options, folder) for task in ordered}
        while waiting:
            finished, waiting = wait(waiting, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            tasks_done += len(finished)
            if progress is not None:
                progress(frames_done.value, tasks_done)
            for future in finished:
                yield future.result()
    except BrokenProcessPool as error:
        raise RepsetError(
            f"a worker process ended unexpectedly with {len(tasks) - tasks_done} of {len(tasks)} items left, "
            "out of memory perhaps. Finished items are kept; run the same command again with --jobs 1."
        ) from error
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
            child.join()


_TICKS: Any = None
"""The shared count of finished frames, in a worker."""


def _start_worker(frames_done: Any) -> None:
    global _TICKS
    _TICKS = frames_done
    cv2.setLogLevel(0)  # what it has to say of a damaged picture is in the sentence
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent alone decides
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """End with the parent, even when it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _tick(frames: int) -> None:
    with _TICKS.get_lock():
        _TICKS.value += frames


def _run(task: Task, options: Options, folder: Path) -> Outcome:
    return run_task(task, options, folder, _tick)
