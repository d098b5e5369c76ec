"""MediaPipe's pose landmarker: images in, one person's 33 joints out. The only module that runs mediapipe."""

import importlib
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from repset.autolabel.look_back import STEADY_FRAMES, LookBack
from repset.autolabel.people import DEFAULT, MAX_PEOPLE, Crowd, Joints, Rule, blinkers, body, close, distinct
from repset.autolabel.pose_bundle import model_bundle, quick_bundle, quiet
from repset.landmarks import BLAZEPOSE_33
from repset.schema import PoseTrack
from repset.video import Image

Confidence = npt.NDArray[np.float32]

SKELETON = BLAZEPOSE_33.name
JOINTS = len(BLAZEPOSE_33.joints)

STEP_MS = 1000 / 30
"""Time stamp step MediaPipe is told, whatever the clip's rate. Its smoothing is tuned to 30 frames a second, and its
legacy API stamped the frames of a file so. Seen on the published BlazePose output of a 5 frames/s clip: mean distance
4.9 px so, 5.9 px with the true times. And poses depend on the images alone: a clip played faster has the same ones."""

LOOK_FRAMES = 10
"""How often the colours of the person followed are looked at."""


def _import_mediapipe() -> Any:
    """mediapipe, without the pyplot that it imports for a drawing helper: that takes two thirds of its import time."""
    if "mediapipe" in sys.modules or "matplotlib" in sys.modules:
        return importlib.import_module("mediapipe")
    stand_in = {name: ModuleType(name) for name in ("matplotlib", "matplotlib.pyplot")}
    sys.modules.update(stand_in)
    try:
        with quiet():
            return importlib.import_module("mediapipe")
    finally:
        for name in stand_in:
            del sys.modules[name]


class _Landmarker:
    """One MediaPipe landmarker. In video mode it follows people, so it must see one clip only."""

    def __init__(self, model: str, video: bool, people: int, mask: bool = False) -> None:
        bundle = model_bundle(model) if mask else quick_bundle(model)
        mediapipe = _import_mediapipe()
        with quiet():
            from mediapipe.tasks.python import BaseOptions, vision

            # OpenCV's own threads only contend with the other clips' processes.
            cv2.setNumThreads(1)
            mode = vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE
            options = vision.PoseLandmarkerOptions(
                BaseOptions(model_asset_path=str(bundle)), running_mode=mode, num_poses=people,
                output_segmentation_masks=mask,
            )  # fmt: skip
            self._landmarker = vision.PoseLandmarker.create_from_options(options)
        self._image, self._srgb = mediapipe.Image, mediapipe.ImageFormat.SRGB
        self._video, self._frames, self._found = video, 0, False
        self.masks: list[npt.NDArray[np.float32]] = []  # of the last picture, one a person, where they were asked for

    def __call__(self, rgb: Image) -> list[Joints]:
        """Joints of everyone found: (33, 6) x y visibility X Y Z (pixels, 0..1, metres) each."""
        if self._found:  # the landmark network's last remark comes with the first person found
            return self._detect(rgb)
        with quiet():
            return self._detect(rgb)

    def _detect(self, rgb: Image) -> list[Joints]:
        image = self._image(image_format=self._srgb, data=np.ascontiguousarray(rgb))
        if self._video:
            result: Any = self._landmarker.detect_for_video(image, round(self._frames * STEP_MS))
            self._frames += 1
        else:
            result = self._landmarker.detect(image)
        self._found = self._found or bool(result.pose_landmarks)
        self.masks = [mask.numpy_view().copy() for mask in result.segmentation_masks or ()]
        height, width = rgb.shape[:2]
        return [
            np.array(
                [(p.x * width, p.y * height, p.visibility, w.x, w.y, w.z) for p, w in zip(flat, world, strict=True)],
                np.float32,
            )
            for flat, world in zip(result.pose_landmarks, result.pose_world_landmarks, strict=True)
        ]

    def forget(self, rgb: Image) -> None:
        """In video mode MediaPipe follows whom it has until they are gone: show it nothing, of this size."""
        self(np.zeros_like(rgb))

    def close(self) -> None:
        """Free the networks."""
        with quiet():
            self._landmarker.close()


@cache
def _everyone(model: str) -> _Landmarker:
    """Finds all people of one picture. Loading the networks costs ten pictures, and in image mode nothing is carried
    over: kept for the process."""
    return _Landmarker(model, video=False, people=MAX_PEOPLE)


@cache
def _outliner(model: str) -> _Landmarker:
    return _Landmarker(model, video=False, people=MAX_PEOPLE, mask=True)


def outline_image(image: Image, model: str = "full", rule: Rule = DEFAULT) -> tuple[Joints, Confidence] | None:
    """The joints of one person of a picture, and how likely each pixel is a person's; None where nobody is found.

    Args:
        image: (H, W, 3) uint8, BGR.
    Returns: (33, 6) x y visibility X Y Z (pixels, 0..1, metres), and (H, W) 0..1.
    """
    rgb = _rgb(image)
    found = (outliner := _outliner(model))(rgb)
    bodies = [body(joints, rgb) for joints in found]
    kept = distinct(bodies)
    crowd = Crowd(rule)
    crowd.look(rgb)
    chosen = crowd.choose([bodies[k] for k in kept], 0.0)
    if chosen is None:
        return None
    return found[kept[chosen]], outliner.masks[kept[chosen]].reshape(image.shape[:2])


@dataclass(frozen=True)
class Followed:
    """One person of a clip, and who else was there.

    Attributes:
        track: skeleton blazepose_33, pixels, visibility 0..1, xyz_m in metres from the mid-hip (y down); a frame
            without the person is NaN throughout. MediaPipe also places joints that it cannot see and joints outside
            the image: their visibility is low.
        people: the most in view at once, or in turn; 0 where nobody was found.
        begin: box (left, top, right, bottom, pixels) and seconds at which the person was first followed, or None.
        others: frames in which someone else was followed for a while and that were left out.
    """

    track: PoseTrack
    people: int
    begin: tuple[tuple[float, ...], float] | None
    others: int


def estimate(frames: Iterable[tuple[float, Image]], model: str = "full", *, rgb: bool = False) -> PoseTrack:
    """The track that `follow` gives under the default rule."""
    return follow(frames, model, rgb=rgb).track


def follow(
    frames: Iterable[tuple[float, Image]], model: str = "full", *, rgb: bool = False, rule: Rule = DEFAULT
) -> Followed:
    """One person of one clip, followed from frame to frame; frames are taken one at a time.

    MediaPipe follows one person by itself and looks for people only where it has nobody: at the start and after a
    loss. There everyone is looked for, one is chosen, and MediaPipe begins anew with that one. A clip of one person
    costs one more inference in all. Who is found after a while without anyone is followed backwards, too (up to a cut,
    look_back.KEPT_S at most). Under `tracked` everyone (at most MAX_PEOPLE) is followed all the time, which takes up
    to MAX_PEOPLE times as long, and the one seen longest is kept.

    Args:
        frames: (seconds from the first frame, image (H, W, 3) uint8), times strictly increasing; all of one size.
        model: lite | full | heavy | path of a `.task` bundle.
        rgb: the images are RGB (as `read_video` gives them when asked), not BGR.
        rule: see repset.autolabel.people.RULES.
    """
    times: list[float] = []
    rows: list[dict[int, Joints]] = []
    size = (0, 0)
    seeker = _Seeker(model, rule, back=True)
    try:
        for time_s, image in frames:
            size = (image.shape[1], image.shape[0])
            rows.append(seeker.add(time_s, image if rgb else _rgb(image)))
            times.append(time_s)
            begun = len(rows) - STEADY_FRAMES
            rows[begun - len(seeker.earlier) : begun] = seeker.earlier
    finally:
        seeker.close()
    return _followed(times, rows, size, seeker.crowd)


class Follower:
    """One person of a stream, followed as `follow` does, but never back; nothing is kept. Close it at the end."""

    def __init__(self, model: str = "full", rule: Rule = DEFAULT) -> None:
        self._seeker = _Seeker(model, rule, back=False)

    def push(self, time_s: float, image: Image) -> Joints | None:
        """The joints in the next frame (BGR): (33, 6) x y visibility X Y Z (pixels, 0..1, metres); None: nobody."""
        return next(iter(self._seeker.add(time_s, _rgb(image)).values()), None)

    def close(self) -> None:
        """Free the networks."""
        self._seeker.close()


def estimate_image(image: Image, model: str = "full") -> PoseTrack:
    """The track that `follow_image` gives under the default rule."""
    return follow_image(image, model).track


def follow_image(image: Image, model: str = "full", rule: Rule = DEFAULT) -> Followed:
    """One person of one picture, with no memory of others: a track of one frame at 0 s.

    Args:
        image: (H, W, 3) uint8, BGR.
        rule: largest or centre (tracked, of a single picture: largest).
    """
    rgb = _rgb(image)
    crowd = Crowd(rule)
    crowd.look(rgb)
    found = _everyone(model)(rgb)
    bodies = [body(joints, rgb) for joints in found]
    kept = distinct(bodies)
    chosen = crowd.choose([bodies[k] for k in kept], 0.0)
    row = {} if chosen is None else {crowd.follow(bodies[kept[chosen]], 0.0): found[kept[chosen]]}
    return _followed([0.0], [row], (image.shape[1], image.shape[0]), crowd)


class _Seeker:
    """The landmarkers of one clip, and the people they follow.

    Attributes:
        earlier: whom the last frames found, followed back into those before the STEADY_FRAMES last; oldest first.
    """

    def __init__(self, model: str, rule: Rule, back: bool) -> None:
        self._model, self._all = model, rule == "tracked"
        self.earlier: list[dict[int, Joints]] = []
        self._tracker = _Landmarker(model, video=True, people=MAX_PEOPLE if self._all else 1)
        self.crowd = Crowd(rule)
        self._look_back: LookBack | None = None
        if back and not self._all:
            self._look_back = LookBack(self._tracker, self.crowd)
        self._shown = np.empty((0, 0, 3), np.uint8)  # what the tracker saw of the last frame
        self._tracking = False
        self._frames = 0

    def add(self, time_s: float, rgb: Image) -> dict[int, Joints]:
        """Who is followed in the next frame, by number: one person, under `tracked` everyone."""
        cut = self.crowd.look(rgb)
        self.earlier = []
        if self._all:
            everyone = self._tracker(rgb)
            numbers = self.crowd.sort([body(joints, rgb) for joints in everyone], time_s)
            return dict(zip(numbers, everyone, strict=True))
        self._shown = rgb
        joints = self._track(rgb) if self._tracking else None
        if joints is None and not self._tracking:
            joints = self._find(rgb, time_s)
        self._tracking = joints is not None
        look = self._frames % LOOK_FRAMES == 0 or not self.crowd.people
        self._frames += 1
        if joints is None:
            if self._look_back is not None:
                self._look_back.miss(time_s, rgb, cut)
            return {}
        number = self.crowd.follow(body(joints, rgb if look else None), time_s)
        if self._look_back is not None:
            self.earlier = [{number: one} for one in self._look_back.see(time_s, rgb, cut, self._shown, number)]
        return {number: joints}

    def _track(self, rgb: Image) -> Joints | None:
        """Let MediaPipe follow; None where it lost the person or went over to another."""
        found = self._tracker(rgb)
        if not found or self.crowd.people < 2:
            return found[0] if found else None
        look = self._frames % LOOK_FRAMES == 0
        if self.crowd.holds(body(found[0], rgb if look else None)):
            return found[0]
        self._tracker.forget(rgb)
        self._tracking = False
        return None

    def _find(self, rgb: Image, time_s: float) -> Joints | None:
        """Look for everyone, choose one, and let MediaPipe begin with that one."""
        found = _everyone(self._model)(rgb)
        bodies = [body(joints, rgb) for joints in found]
        bodies = [bodies[k] for k in distinct(bodies)]
        chosen = self.crowd.choose(bodies, time_s)
        if chosen is None:
            return None
        if len(bodies) > 1:
            self._shown = blinkers(rgb, bodies[chosen].box_px)
        begun = self._tracker(self._shown)
        if begun and len(bodies) > 1 and not close(body(begun[0]), bodies[chosen]):
            self._tracker.forget(rgb)
            return None
        return begun[0] if begun else None

    def close(self) -> None:
        """Free the networks."""
        self._tracker.close()


def _followed(times: list[float], rows: list[dict[int, Joints]], size: tuple[int, int], crowd: Crowd) -> Followed:
    kept = crowd.kept(Counter(number for row in rows for number in row))
    xy, seen, xyz = (np.full((len(times), JOINTS, *last), np.nan, np.float32) for last in ((2,), (), (3,)))
    others = 0
    for frame, row in enumerate(rows):
        mine = [number for number in row if number in kept]
        if mine:
            joints = row[mine[0]]
            xy[frame], seen[frame], xyz[frame] = joints[:, :2], joints[:, 2], joints[:, 3:]
        others += bool(row) and not mine
    track = PoseTrack(SKELETON, np.array(times, np.float64), xy, seen, *size, xyz_m=xyz)
    return Followed(track, crowd.people, crowd.first[min(kept)] if kept else None, others)


def _rgb(image: Image) -> Image:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
