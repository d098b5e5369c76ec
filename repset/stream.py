"""Frames as they come, of a camera or of a video file at its own pace: who is slower misses some."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from repset.errors import DataError
from repset.video import Image, read_video

LATE_S = 0.05
"""A file's frame that comes later than this is left out."""

WAIT_S = 10.0
"""Without a new picture for so long a camera counts as gone."""


@contextmanager
def open_stream(source: str) -> Iterator[Iterator[tuple[float, Image]]]:
    """Seconds since the start and BGR pictures.

    Args:
        source: the number of a camera, or the path of a video file.
    Raises: DataError if there is no such camera or file; it does not decode, or the camera is gone, among the pictures.
    """
    if not source.isdecimal():
        if not Path(source).is_file():
            raise DataError(source, "a video file or the number of a camera (0 is the first)", "neither", "Check it")
        yield _at_its_pace(read_video(Path(source)))
        return
    camera = _Camera(int(source))
    try:
        yield camera.frames()
    finally:
        camera.close()


def _at_its_pace(frames: Iterator[tuple[float, Image]]) -> Iterator[tuple[float, Image]]:
    begun = None  # when the first frame has been worked on, for which networks are loaded
    for time_s, image in frames:
        early_s = 0.0 if begun is None else begun + time_s - time.monotonic()
        if early_s < -LATE_S:
            continue
        time.sleep(max(0.0, early_s))
        yield time_s, image
        begun = time.monotonic() - time_s if begun is None else begun


class _Camera:
    """Reads in a thread of its own and keeps the latest picture alone, so that nobody sees an old one."""

    def __init__(self, number: int) -> None:
        level = cv2.getLogLevel()
        cv2.setLogLevel(0)  # what it says is said below
        try:
            self._capture = cv2.VideoCapture(number)
        finally:
            cv2.setLogLevel(level)
        if not self._capture.isOpened():
            raise DataError(f"camera {number}", "a camera", "none", "Give another number, or the path of a video file")
        self._number, self._latest, self._open = number, (-1.0, np.empty(0, np.uint8)), True
        self._new = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def frames(self) -> Iterator[tuple[float, Image]]:
        """The latest picture whenever it is asked for, each once."""
        latest_s = -1.0
        while True:
            latest_s, image = self._after(latest_s)
            yield latest_s, image

    def _after(self, time_s: float) -> tuple[float, Image]:
        with self._new:
            came = self._new.wait_for(lambda: self._latest[0] > time_s or not self._open, WAIT_S)
            if not self._open or not came:
                raise DataError(f"camera {self._number}", "another picture", "none", "See that it is plugged in")
            return self._latest

    def close(self) -> None:
        """Give the camera back."""
        self._open = False
        self._thread.join(WAIT_S)
        self._capture.release()

    def _read(self) -> None:
        begun = time.monotonic()
        while self._open:
            found, image = self._capture.read()
            with self._new:
                self._open = self._open and found
                if found:
                    self._latest = time.monotonic() - begun, np.asarray(image, np.uint8)
                self._new.notify_all()
