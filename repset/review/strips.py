"""A repetition as a two-second looping strip: H.264 with the skeleton drawn in, cut to the person, kept by content."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from repset.angles import evaluate
from repset.draw import draw_skeleton
from repset.draw.body import angle_sides
from repset.exercises import BY_NAME as EXERCISE
from repset.project import Project
from repset.records import atomic_path, canonical_json, sha256_bytes
from repset.review import media
from repset.schema import PoseTrack
from repset.video import FrameStore, Image

Row = dict[str, Any]
Floats = npt.NDArray[np.float32]

STRIP_S, STRIP_FPS = 2.0, 25
"""Length of a strip, whatever the repetition took, and its frames a second."""

ROOM = 0.18  # of the repetition's length, shown before and after it
HEIGHT_PX, WIDEST = 480, 1.5
MARGIN = 0.22  # around the person, of the person's size
_CODEC = {"crf": "25", "preset": "veryfast", "tune": "zerolatency", "threads": "1"}
_LOOK = 2  # raise it when strips are drawn in another way, so that old ones are not used


@dataclass(frozen=True)
class Stretch:
    """What a strip shows: frames [first, last) of a clip, a repetition with some room."""

    first: int
    last: int

    @classmethod
    def around(cls, start: int, end: int, frames: int) -> "Stretch":
        """The repetition [start, end) with room on both sides, inside the clip."""
        room = max(2, round(ROOM * (end - start)))
        return cls(max(0, start - room), min(frames, end + room))

    def shown(self) -> npt.NDArray[np.int64]:
        """The clip's frame for each frame of the strip."""
        count = round(STRIP_S * STRIP_FPS)
        return np.clip((self.first + (np.arange(count) + 0.5) * (self.last - self.first) / count).astype(int),
                       self.first, self.last - 1)  # fmt: skip


class Strips:
    """Strips and angle curves of one source's clips."""

    def __init__(self, project: Project, source: str) -> None:
        self._project, self._source = project, source
        self._store = FrameStore(project.index(source))
        self.poses = lru_cache(maxsize=16)(self._poses)

    def _poses(self, sample_id: str, person: int) -> tuple[Floats, Floats, str]:
        return media.poses(self._project, self._source, sample_id, person)

    def path(self, sample: Row, person: int, stretch: Stretch) -> Path:
        """The strip as a file, made if it is not there."""
        xy, seen, skeleton = self.poses(sample["sample_id"], person)
        cut = slice(stretch.first, stretch.last)
        digest = sha256_bytes(xy[cut].tobytes() + seen[cut].tobytes())
        parts = [sample["sample_id"], sample["media_sha256"], stretch.first, stretch.last, person, digest, _LOOK]
        name = f"{media.file_name(sample['sample_id'])}-{sha256_bytes(canonical_json(parts).encode())[:16]}.mp4"
        path = media.media_folder(self._project, self._source) / "strips" / name
        if not path.is_file():
            _write(path, self._images(sample, stretch, xy, seen, skeleton))
        return path

    def _images(self, sample: Row, stretch: Stretch, xy: Floats, seen: Floats, skeleton: str) -> Iterator[Image]:
        """The strip's frames: each picture cut to the person, scaled, with the skeleton drawn sharp."""
        wanted = stretch.shown()
        drawn = not (sample["media"] or self._store.rows(sample["sample_id"]))
        crop: tuple[int, int, int, int] | None = None
        body = np.nan
        last, image = -1, None
        place = self._project, self._source, sample, self._store, stretch.first, stretch.last
        cut = slice(stretch.first, stretch.last)  # drawn figures fill the picture during this repetition
        source = media.stick_figures(xy[cut], seen[cut], skeleton, 0, len(xy[cut])) if drawn else media.frames(*place)
        for number, picture in enumerate(source, stretch.first):
            if crop is None:
                height, width = picture.shape[:2]
                crop = (0, 0, width, height) if drawn else _box(xy[stretch.first : stretch.last], width, height)
                body = _body_px(xy[stretch.first : stretch.last])
            repeats = int(np.count_nonzero(wanted == number))
            if repeats:
                image, last = (
                    _frame(picture, crop, None if drawn else _joints(xy, seen, number), skeleton, body),
                    number,
                )
                yield from [image] * repeats
        if image is not None and last < wanted[-1]:  # a clip that holds fewer frames than its table says
            yield from [image] * int(np.count_nonzero(wanted > last))

    def curve(self, sample: Row, person: int, stretch: Stretch, exercise: str, signal: str | None) -> Row | None:
        """The angle that is counted or judged, over the stretch: name, degrees by frame (None: unknown); None without.

        Args:
            signal: of the verdict, None takes the exercise's own.
        """
        xy, seen, skeleton = self.poses(sample["sample_id"], person)
        wanted = signal or (EXERCISE[exercise].signal if exercise in EXERCISE else None)
        if wanted is None or not len(xy):
            return None
        track = PoseTrack(skeleton, np.arange(len(xy), dtype=float), xy, seen, 0, 0)
        for row in angle_sides(wanted, track):
            degrees = evaluate(row.name, xy[stretch.first : stretch.last], skeleton)
            if np.isfinite(degrees).any():
                values = [None if not np.isfinite(v) else round(float(v), 1) for v in degrees]
                return {"name": row.name.replace("_", " "), "deg": values}
        return None


def _joints(xy: Floats, seen: Floats, frame: int) -> tuple[Floats, Floats] | None:
    return (xy[frame], seen[frame]) if frame < len(xy) else None


def _body_px(xy: Floats) -> float:
    """As repset.draw.body_size_px, of joints alone: the median longer side of the box around them."""
    known = xy[np.isfinite(xy).all(-1).any(1)] if len(xy) else xy
    if not len(known):
        return float("nan")
    return float(np.median((np.nanmax(known, 1) - np.nanmin(known, 1)).max(1)))


def _box(xy: Floats, width: int, height: int) -> tuple[int, int, int, int]:
    """Where the person is during the stretch, with a margin, not wider or higher than looks well; else everything."""
    known = xy[np.isfinite(xy).all(-1)] if len(xy) else xy.reshape(-1, 2)
    known = known[(known >= 0).all(1) & (known <= [width, height]).all(1)] if len(known) else known
    if not len(known):
        return 0, 0, width, height
    low, high = known.min(0), known.max(0)
    size = (high - low) * (1 + 2 * MARGIN)
    w, h = float(size[0]), float(size[1])
    w, h = max(w, 0.75 * h), max(h, w / WIDEST)
    w, h = min(w, width), min(h, height)
    centre = (low + high) / 2
    x0 = int(np.clip(centre[0] - w / 2, 0, width - w))
    y0 = int(np.clip(centre[1] - h / 2, 0, height - h))
    return x0, y0, x0 + max(int(w), 2), y0 + max(int(h), 2)


def _frame(
    picture: Image, crop: tuple[int, int, int, int], joints: tuple[Floats, Floats] | None, skeleton: str, body: float
) -> Image:
    x0, y0, x1, y1 = crop
    scale = HEIGHT_PX / (y1 - y0)
    size = (max(round((x1 - x0) * scale) // 2 * 2, 2), HEIGHT_PX)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    out: Image = cv2.resize(picture[y0:y1, x0:x1], size, interpolation=way).astype(np.uint8, copy=False)
    if joints is not None and skeleton:
        xy = np.asarray((joints[0] - np.array([x0, y0], np.float32)) * np.float32(scale), np.float32)
        draw_skeleton(out, xy, np.nan_to_num(joints[1], nan=0), skeleton, body_px=body * scale)
    return out


def _write(path: Path, images: Iterator[Image]) -> None:
    """H.264, all frames 1:1, a key frame every fifth so that stepping to one is quick."""
    import av

    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"}) as out,
    ):
        stream: Any = None
        for image in images:
            if stream is None:
                stream = out.add_stream("libx264", rate=Fraction(STRIP_FPS), options={**_CODEC, "g": "5"})
                stream.width, stream.height, stream.pix_fmt = image.shape[1], image.shape[0], "yuv420p"
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")))
        out.mux(stream.encode())
