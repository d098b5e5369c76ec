"""Archives whose bytes depend on their content alone, and work spread over processes in a fixed order."""

import gzip
import io
import multiprocessing
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from repset.records import atomic_path

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]
"""As repset.cli.progress.track: (items, label, total) → the same items."""
Entries = Iterable[tuple[str, bytes]]
T = TypeVar("T")
R = TypeVar("R")


def write_zip(path: Path, entries: Entries) -> Path:
    """A zip in the entries' order; text and arrays deflated, images stored; every date 1980-01-01."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, data in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o644 << 16
            stored = name.endswith((".jpg", ".png"))
            info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return path


def write_tar_gz(path: Path, entries: Entries) -> Path:
    """A gzipped tar in the entries' order, without dates, owners or the file's own name."""
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            archive.addfile(info, io.BytesIO(data))
    return path


def jpeg(image: npt.NDArray[np.uint8], quality: int) -> bytes:
    """JPEG bytes of a BGR image."""
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def spread(work: Callable[[T], R], tasks: Sequence[T], jobs: int, progress: Progress | None, label: str) -> list[R]:
    """Results of `work` for all tasks, in their order, whatever the number of processes.

    Neighbouring tasks go to one process, so that tasks sorted by athlete build each body once.
    """
    if jobs <= 1 or len(tasks) < 4:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            return _watch((work(task) for task in tasks), len(tasks), progress, label)
        finally:
            cv2.setNumThreads(threads)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        chunk = max(1, min(4, len(tasks) // (2 * jobs)))
        return _watch(pool.map(work, tasks, chunksize=chunk), len(tasks), progress, label)


def _watch(results: Iterable[R], total: int, progress: Progress | None, label: str) -> list[R]:
    if progress is None:
        return list(results)
    return list(progress(results, label, total))
