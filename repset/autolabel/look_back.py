"""Who is found late, followed back into the pictures before, in which nobody was.

The detector misses people who lie for seconds; once it has found them, they are followed, in either direction. So the
last pictures without anyone are kept, small: what is kept does not grow with the clip.
"""

from collections import deque
from typing import Protocol

import cv2
import numpy as np

from repset.autolabel.people import Crowd, Joints, body
from repset.video import Image

STEADY_FRAMES = 5
"""Who has been followed for so long is followed back into the frames before them without anyone, if they are as many.
Fewer are filled in from both sides (`repset.autolabel.smooth`)."""
KEPT_S = 10.0
KEPT_BYTES = 64 << 20  # ten seconds of 720p take about 50 MiB
LONGEST_PX = 1280  # larger pictures are scaled down: MediaPipe looks at a person in 256 × 256 pixels
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95]


class Tracker(Protocol):
    """One person in picture after picture, as `repset.autolabel.pose` has MediaPipe follow them."""

    def __call__(self, rgb: Image) -> list[Joints]:
        """The joints of the person, (33, 6) in pixels; empty: nobody."""

    def forget(self, rgb: Image) -> None:
        """Follow nobody from now on, in pictures of this size."""


class LookBack:
    """Told of every frame of a clip whether someone is followed, it says who was there before.

    Args:
        tracker: the one that follows the person: a second one would hold the networks twice.
        crowd: the people of the clip.
    """

    def __init__(self, tracker: Tracker, crowd: Crowd) -> None:
        self._tracker, self._crowd = tracker, crowd
        self._unseen = Unseen()
        self._run: list[Image] = []  # what the tracker was shown since it has someone who came late

    def miss(self, time_s: float, rgb: Image, cut: bool) -> None:
        """A picture without anyone; `cut`: of another scene than the last one."""
        if cut:
            self._unseen.clear()
        self._unseen.add(time_s, rgb)
        self._run = []

    def see(self, time_s: float, rgb: Image, cut: bool, shown: Image, number: int) -> list[Joints]:
        """A picture with the person of this number; `shown`: what the tracker saw of it.

        Returns: once they are followed steadily, their joints in the pictures before those STEADY_FRAMES, oldest first,
            as far back as they are found and look the same; else nothing.
        """
        if cut:
            self._unseen.clear()
        if not len(self._unseen):
            return []
        self._unseen.add(time_s, rgb)  # should it be a glimpse, it counts as one without anyone
        self._run.append(shown)
        if len(self._run) < STEADY_FRAMES:
            return []
        back = self._backwards(number) if len(self._unseen) >= 2 * STEADY_FRAMES else []
        self._unseen.clear()
        self._run = []
        return back

    def _backwards(self, number: int) -> list[Joints]:
        """Turn round, and take the tracker to where it was: by the pictures in which the detector saw the person."""
        found: list[Joints] = []
        for k in range(len(self._unseen) - 2, -1, -1):
            picture, scale = self._unseen[k]
            there = self._tracker(picture)
            if not there or not self._crowd.alike(number, body(there[0], picture)):
                break
            if k < len(self._unseen) - STEADY_FRAMES:
                there[0][:, :2] *= scale
                found.append(there[0])
        self._tracker.forget(picture)
        for shown in self._run:
            self._tracker(shown)
        return found[::-1]


class Unseen:
    """A queue of pictures, oldest out first, bounded in seconds and in bytes."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, float, bytes]] = deque()  # seconds, scale, JPEG
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, k: int) -> tuple[Image, float]:
        """The k-th picture, oldest first, and how many pixels of the original one of its pixels is wide."""
        _, scale, data = self._kept[k]
        return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8), scale

    def add(self, time_s: float, rgb: Image) -> None:
        """Keep one more picture, at most LONGEST_PX large."""
        height, width = rgb.shape[:2]
        scale = max(1.0, max(height, width) / LONGEST_PX)
        if scale > 1:
            size = max(1, round(width / scale)), max(1, round(height / scale))
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        data = cv2.imencode(".jpg", rgb, _JPEG)[1].tobytes()
        self._kept.append((time_s, scale, data))
        self._bytes += len(data)
        while self._bytes > KEPT_BYTES or time_s - self._kept[0][0] > KEPT_S:
            self._bytes -= len(self._kept.popleft()[2])

    def clear(self) -> None:
        """Forget them all."""
        self._kept.clear()
        self._bytes = 0
