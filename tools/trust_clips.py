"""Real clips and what is made of them: other pictures of the same movement, and footage in which nothing is repeated.

Poses are estimated once for each piece of content and recipe and kept in the user's cache folder; counting again
takes seconds.
"""

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from repset.autolabel.cache import pose_key, read_track, write_track
from repset.autolabel.pose import estimate
from repset.autolabel.pose_bundle import cache_folder
from repset.exercises import canonical
from repset.records import sha256_bytes, sha256_file
from repset.schema import PoseTrack
from repset.video import Image, read_video

Frames = Iterable[tuple[float, Image]]
Recipe = Callable[[Frames], Frames]
FPS = 30.0


@dataclass(frozen=True)
class Clip:
    """A clip of the manifest: exercise is canonical, `none` where there is none, None where the ontology lacks it."""

    path: Path
    exercise: str | None
    reps: int
    complete: int
    trusted: bool

    @property
    def name(self) -> str:
        """File name without its ending."""
        return self.path.stem


def clips(folder: Path) -> list[Clip]:
    """The rows of `manifest.csv`; trusted: real footage counted by eye with high confidence."""
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as handle:
        return [
            Clip(
                folder / row["file"], canonical(row["exercise"], "videos"), int(row["reps_by_eye"]),
                int(row["reps_complete"]), (row["kind"], row["confidence"]) == ("real", "high"),
            )
            for row in csv.DictReader(handle)
        ]  # fmt: skip


def track_of(path: Path, recipe: str = "") -> PoseTrack:
    """MediaPipe's track of a file, or of what a recipe of PICTURES makes of it."""
    make = PICTURES[recipe] if recipe else None
    return cached_track(
        sha256_file(path), f"video {recipe}", lambda: (make or _same)(read_video(path, rgb=True)), rgb=True
    )


def cached_track(content: str, how: str, frames: Callable[[], Frames], rgb: bool = False) -> PoseTrack:
    """The track of the frames, estimated once for each content and recipe."""
    key = pose_key(content, "full", f"trust 1 {how}")
    folder = cache_folder() / "trust"
    track = read_track(folder, key)
    if track is None:
        track = estimate(frames(), rgb=rgb)
        write_track(folder, key, track)
    return track


def _same(frames: Frames) -> Frames:
    return frames


def _each(change: Callable[[Image], Image]) -> Recipe:
    return lambda frames: ((time_s, np.ascontiguousarray(change(image))) for time_s, image in frames)


def _resize(image: Image, factor: float) -> Image:
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)


def _portrait(image: Image) -> Image:
    """Bars above and below to 9:16; a picture that is as narrow already gets them at its sides, to 3:4."""
    height, width = image.shape[:2]
    tall = width * 16 // 9
    if tall > height:
        return cv2.copyMakeBorder(image, (tall - height) // 2, (tall - height + 1) // 2, 0, 0, cv2.BORDER_CONSTANT)
    side = (height * 3 // 4 - width) // 2
    return cv2.copyMakeBorder(image, 0, 0, max(side, 0), max(side, 0), cv2.BORDER_CONSTANT)


def _recompressed(frames: Frames) -> Iterator[tuple[float, Image]]:
    """Through H.264 at a strong setting (crf 36), as a messenger sends it."""
    import av

    times, buffer, stream = [], BytesIO(), None
    with av.open(buffer, "w", format="mp4") as out:
        for time_s, image in frames:
            times.append(time_s)
            if stream is None:
                stream = out.add_stream("libx264", rate=Fraction(30), options={"crf": "36", "threads": "1"})
                stream.width, stream.height, stream.pix_fmt = (
                    image.shape[1] // 2 * 2,
                    image.shape[0] // 2 * 2,
                    "yuv420p",
                )
            even = np.ascontiguousarray(image[: stream.height, : stream.width])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        if stream is not None:
            out.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as back:
        for time_s, frame in zip(times, back.decode(video=0), strict=True):
            yield time_s, frame.to_ndarray(format="rgb24")


def _half_rate(frames: Frames) -> Iterator[tuple[float, Image]]:
    yield from (frame for number, frame in enumerate(frames) if number % 2 == 0)


def _frozen_second(frames: Frames) -> Iterator[tuple[float, Image]]:
    """The picture stands for one second in the middle of the clip."""
    held = list(frames)
    middle, step = len(held) // 2, held[1][0] - held[0][0]
    yield from held[:middle]
    pause = round(1 / step)
    yield from ((held[middle][0] + k * step, held[middle][1]) for k in range(pause))
    yield from ((time_s + pause * step, image) for time_s, image in held[middle:])


_DARK = np.uint8(np.round(255 * (np.arange(256) / 255) ** 2.2 * 0.6))
_BRIGHT = np.uint8(np.minimum(255, np.round(np.arange(256) * 1.3 + 40)))


def _grainy(frames: Frames) -> Iterator[tuple[float, Image]]:
    """The grain of a small sensor in little light (15 grey levels)."""
    rng = np.random.default_rng(0)
    for time_s, image in frames:
        grain = rng.standard_normal(image.shape, np.float32) * np.float32(15)
        yield time_s, np.clip(image + grain, 0, 255).astype(np.uint8)


def _tilted(image: Image, angle_deg: float) -> Image:
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, 1.0)
    return np.asarray(cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


PICTURES: dict[str, Recipe] = {
    "mirrored": _each(lambda image: image[:, ::-1]),
    "half the size": _each(lambda image: _resize(image, 0.5)),
    "1.5 times the size": _each(lambda image: _resize(image, 1.5) if max(image.shape) < 1000 else image),
    "padded to portrait": _each(_portrait),
    "recompressed": _recompressed,
    "half the frame rate": _half_rate,
    "a second frozen": _frozen_second,
    "in the dark": _each(lambda image: _DARK[image]),
    "overexposed": _each(lambda image: _BRIGHT[image]),
    "grey": _each(lambda image: np.repeat(image.mean(2, keepdims=True), 3, 2).astype(np.uint8)),
    "grainy": _grainy,
    "tilted by 5°": _each(lambda image: _tilted(image, 5)),
    "tilted by -5°": _each(lambda image: _tilted(image, -5)),
}
"""Other pictures of the same movement: the count must not change."""


# --- footage without a repetition ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """Seconds [start, end) of a clip in which nobody repeats anything."""

    file: str
    start_s: float
    end_s: float


IDLE = {
    "set-up: bar on the shoulders, standing (squat_2)": (Part("squat_2.mp4", 0.0, 0.6),),
    "set-up: bar on the chest (shoulder_press_1)": (Part("shoulder_press_1.mp4", 0.0, 1.2),),
    "walk to the bar and grip it (negative_1)": (Part("negative_1.mp4", 0.0, 2.0),),
    "hold at the bar (negative_1)": (Part("negative_1.mp4", 3.0, 8.0),),
    "idle tail: on hands and knees (pushup_1)": (Part("pushup_1.mp4", 6.0, 8.0),),
    "walking on a beam (negative_2)": (Part("negative_2.mp4", 0.0, 1.7),),
    "walking, running, climbing; several people (negative_3)": (Part("negative_3.mp4", 0.0, 7.7),),
    "cut: standing with a bar / bar on the chest": (
        Part("squat_2.mp4", 0.0, 0.6), Part("shoulder_press_1.mp4", 0.0, 1.2), Part("squat_2.mp4", 5.6, 6.2),
    ),
    "cut: at the pull-up bar / plank": (Part("negative_1.mp4", 4.0, 7.0), Part("plank_1.mp4", 1.0, 4.0)),
    "cuts to and fro: standing / plank": (
        Part("squat_2.mp4", 5.6, 6.4), Part("plank_1.mp4", 1.0, 2.0), Part("squat_2.mp4", 5.6, 6.4),
        Part("plank_1.mp4", 2.0, 3.0), Part("squat_2.mp4", 5.6, 6.4),
    ),
}  # fmt: skip
"""What is shown and where it lies in the clips, as seen by eye."""

STILL = (
    ("squat_2.mp4", 3.0), ("squat_3.mp4", 1.2), ("shoulder_press_2.mp4", 0.6), ("bicep_curl_1.mp4", 0.6),
    ("bench_press_1.mp4", 2.3), ("pushup_1.mp4", 2.5), ("lunge_2.mp4", 3.0), ("front_raise_1.mp4", 1.8),
)  # fmt: skip
"""Single pictures, many of them in the middle of a repetition, that are held, panned over and zoomed into."""
HOLD_S = 5.0


def negatives(folder: Path) -> dict[str, PoseTrack]:
    """What has no repetition, by its description."""
    made = {f"{name} (whole clip)": track_of(folder / f"{name}.mp4") for name in ("plank_1", "negative_1")}
    for title, parts in IDLE.items():
        content = sha256_bytes("".join(sha256_file(folder / part.file) for part in parts).encode())
        made[title] = cached_track(content, f"parts {parts}", lambda parts=parts: _joined(folder, parts), rgb=True)
    for file, at_s in STILL:
        for how, move in (("frozen", _hold), ("slow pan", _pan), ("slow zoom", _zoom)):
            made[f"{how} ({Path(file).stem} at {at_s:g} s)"] = cached_track(
                sha256_file(folder / file), f"{how} {at_s}", lambda file=file, at_s=at_s, move=move: move(
                    _picture(folder / file, at_s)), rgb=True,
            )  # fmt: skip
    return made


def _picture(path: Path, at_s: float) -> Image:
    return next(image for time_s, image in read_video(path, rgb=True) if time_s >= at_s)


def _joined(folder: Path, parts: tuple[Part, ...]) -> Iterator[tuple[float, Image]]:
    """Parts one after the other at 30 frames a second, letter-boxed to the size of the first."""
    size, number = None, 0
    for part in parts:
        kept = [(t, image) for t, image in read_video(folder / part.file, rgb=True) if part.start_s <= t < part.end_s]
        size = size or kept[0][1].shape[:2]
        times = np.array([t for t, _ in kept])
        for at in np.arange(times[0], times[-1], 1 / FPS):
            yield number / FPS, _fitted(kept[int(np.searchsorted(times, at))][1], size)
            number += 1


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    factor = min(size[0] / image.shape[0], size[1] / image.shape[1])
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)[: size[0], : size[1]]
    out: Any = np.zeros((*size, 3), np.uint8)
    top, left = (size[0] - small.shape[0]) // 2, (size[1] - small.shape[1]) // 2
    out[top : top + small.shape[0], left : left + small.shape[1]] = small
    return np.asarray(out, np.uint8)


def _hold(image: Image) -> Iterator[tuple[float, Image]]:
    """Held, with the grain of a sensor (2 grey levels)."""
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 2, (*image.shape[:2], 1))
    for k in range(round(HOLD_S * FPS)):
        shifted = np.roll(grain, (37 * k % image.shape[0], 23 * k % image.shape[1]), (0, 1))
        yield k / FPS, np.clip(image + shifted, 0, 255).astype(np.uint8)


def _pan(image: Image) -> Iterator[tuple[float, Image]]:
    """The camera goes from the left to the right sixth of the picture and back."""
    yield from _moved(image, lambda share: (np.array([-np.cos(2 * np.pi * share) / 12, 0.0]), 1.2))


def _zoom(image: Image) -> Iterator[tuple[float, Image]]:
    """The camera closes in by a half and goes out again."""
    yield from _moved(image, lambda share: (np.zeros(2), 1 + 0.25 * (1 - np.cos(2 * np.pi * share))))


def _moved(image: Image, path: Callable[[float], tuple[Any, float]]) -> Iterator[tuple[float, Image]]:
    height, width = image.shape[:2]
    count = round(HOLD_S * FPS)
    for k in range(count):
        shift, factor = path(k / count)
        centre = np.array([width, height]) / 2
        offset = centre - factor * (centre + shift * [width, height])
        turn = np.array([[factor, 0, offset[0]], [0, factor, offset[1]]])
        yield k / FPS, cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
