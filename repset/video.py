"""Pixels in and out: image shards written by the index, video files, H.264 proxies.

Images are BGR uint8, shape (H, W, 3), as OpenCV has them. Frames of a set are stored as they came (JPEG bytes) in
few uncompressed tar shards with byte offsets in the `frames` table: random access without 80 000 loose files.
"""

import re
import struct
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from repset.direct_file import DirectFile
from repset.errors import DataError
from repset.records import atomic_path, read_table, sha256_bytes

Image = npt.NDArray[np.uint8]


def decode_image(data: bytes, where: object, todo: str = "Pull it again") -> Image:
    """Encoded bytes as BGR, upright. Raises: DataError naming `where` and `todo` if they are no image."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error:  # a size that no picture has
        image = None
    if image is None:
        raise DataError(where, "a JPEG or PNG image", f"{len(data)} bytes that do not decode", todo)
    return image.astype(np.uint8, copy=False)


MAX_PIXELS = 1 << 28
"""Largest picture that is decoded (16384 × 16384, 0.8 GiB): a header can state any size."""


def read_picture(path: Path) -> Image:
    """A picture file as BGR, upright, 8 bits a channel, transparency left out; of several pages the first.

    Raises: DataError if it cannot be read, is no picture that OpenCV reads, breaks off, or is larger than MAX_PIXELS.
    """
    todo = "Check that it opens, or leave it out"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(path, "an image", str(error.strerror).lower(), "Check the path and its permissions") from error
    size, whole = image_header(data)
    if size is not None and size[0] * size[1] > MAX_PIXELS:
        found = f"{size[0]} × {size[1]}"
        raise DataError(path, f"an image of at most {MAX_PIXELS >> 20} megapixels", found, "Scale it down")
    if not whole:
        raise DataError(path, "a whole image", f"{len(data)} bytes that break off", "Copy or download it again")
    return decode_image(data, path, todo)


def image_header(data: bytes) -> tuple[tuple[int, int] | None, bool]:
    """Width and height that a JPEG or PNG states (None: neither), and whether its data reach its end mark.

    OpenCV fills the missing part of a cut picture with grey and says nothing.
    """
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return (width, height), b"IEND" in data
    if data[:2] != b"\xff\xd8":
        return None, True
    size, at = None, 2
    while at + 4 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if data[at] != 0xFF or marker == 0xD9:
            return size, marker == 0xD9 or size is None
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and at + 9 <= len(data):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            size = (width, height)
        at += 2 + length
        if marker == 0xDA:  # coded pixels: to the next marker that is no restart
            found = _MARKER.search(data, at)
            at = found.start() if found else len(data)
    return size, at + 2 <= len(data) and data[at : at + 2] == b"\xff\xd9"


_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """PNG bytes of an image or mask."""
    done, data = cv2.imencode(".png", image)
    if not done:
        raise ValueError(f"cannot encode an array of shape {image.shape}")
    return bytes(data)


class ShardWriter:
    """Appends encoded images to tar shards and keeps the `frames` rows.

    Args:
        folder: where `frames-00000.tar` … are written (the stage's temporary output folder).
        shard_bytes: a new shard begins once one is larger than this.
    """

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self._folder, self._limit = folder, shard_bytes
        self._tar: DirectFile | None = None
        self._count = 0
        self.rows: list[dict[str, Any]] = []

    def add(self, sample_id: str, frame: int, variant: str, name: str, data: bytes) -> str:
        """Store one image's bytes unchanged; returns their SHA-256."""
        if self._tar is None or self._tar.size > self._limit:
            self.close()
            self._folder.mkdir(parents=True, exist_ok=True)
            self._shard = f"frames-{self._count:05d}.tar"
            self._tar = DirectFile(self._folder / self._shard)
            self._count += 1
        header = _tar_header(name, len(data))
        offset, sha256 = self._tar.size + len(header), sha256_bytes(data)
        for part in (header, data, bytes(-len(data) % tarfile.BLOCKSIZE)):
            self._tar.write(part)
        self.rows.append(
            dict(sample_id=sample_id, frame=frame, variant=variant, name=name, shard=self._shard,
                 offset=offset, size=len(data), sha256=sha256)
        )  # fmt: skip
        return sha256

    def close(self) -> None:
        """Finish the open shard: two empty blocks, filled up to a whole record, as tarfile does."""
        if self._tar is not None:
            end = 2 * tarfile.BLOCKSIZE
            self._tar.write(bytes(end + -(self._tar.size + end) % tarfile.RECORDSIZE))
            self._tar.close()
            self._tar = None


def _tar_header(name: str, size: int) -> bytes:
    """As tarfile writes it, faster for a short name; no time and no owner: equal bytes for equal images."""
    if len(name) > 100 or not name.isascii() or size >= 8**11:
        info = tarfile.TarInfo(name)
        info.size = size
        return info.tobuf(tarfile.GNU_FORMAT)
    header = name.encode().ljust(100, b"\0") + _PLAIN_HEADER[100:124] + b"%011o\0" % size + _PLAIN_HEADER[136:]
    return header[:148] + b"%06o\0" % sum(header) + header[155:]


_PLAIN_HEADER = tarfile.TarInfo("").tobuf(tarfile.GNU_FORMAT)
_PLAIN_HEADER = _PLAIN_HEADER[:148] + b" " * 8 + _PLAIN_HEADER[156:]  # its sum is taken with a blank checksum


class FrameStore:
    """Random access to the images of one index folder."""

    def __init__(self, index: Path) -> None:
        self._index = index
        self._by_sample: dict[str, list[dict[str, Any]]] = {}
        for row in read_table(index / "frames.parquet", "frames").to_pylist():
            self._by_sample.setdefault(row["sample_id"], []).append(row)

    def rows(self, sample_id: str) -> list[dict[str, Any]]:
        """`frames` rows of a sample, in stored order; empty where it has no images."""
        return self._by_sample.get(sample_id, [])

    def data(self, row: dict[str, Any]) -> bytes:
        """Encoded bytes of one `frames` row."""
        with (self._index / row["shard"]).open("rb") as handle:
            handle.seek(row["offset"])
            data: bytes = handle.read(row["size"])
            return data

    def image(self, row: dict[str, Any]) -> Image:
        """Decoded image of one `frames` row."""
        return decode_image(self.data(row), f"{row['shard']}:{row['name']}")

    def clip(self, sample_id: str) -> Iterator[Image]:
        """Frames of a clip in order, one at a time."""
        for row in self.rows(sample_id):
            yield self.image(row)


@dataclass(frozen=True)
class VideoInfo:
    """What the container says.

    Attributes:
        width, height: pixels as displayed: turned as the file asks (phones), widened where its pixels are not square.
        fps: mean rate; 0 where the file does not say.
        frames: an estimate where the file does not say; 0 where it cannot be estimated.
    """

    width: int
    height: int
    fps: float
    frames: int


def probe_video(path: Path) -> VideoInfo:
    """Size, rate and length, from the header and the first frame.

    Raises: DataError if the file is no video that FFmpeg reads, or its first frame does not decode.
    """
    with _open(path) as container:
        stream = _stream(container)
        fps = _fps(stream)
        frames = stream.frames or round(_declared_s(stream, container) * fps)
        for frame in _decode(container, stream, path, fps):
            width, height = _displayed_size(stream, frame)
            if frame.rotation % 180:
                width, height = height, width
            return VideoInfo(width, height, fps, frames)
    raise DataError(path, "a video with frames", "none", "Check that it plays, or leave it out")


def at_rate(fps: float | None) -> Callable[[float], bool]:
    """Whether the frame at a time is one of those kept at `fps` a second (None: all); asked in order of time.

    The first frame at or after each tick of 1/fps is kept, under its own time; where there are fewer frames, all are.
    """
    last = -1

    def keep(time_s: float) -> bool:
        nonlocal last
        tick = 0 if fps is None else int(time_s * fps + 1e-6)
        kept = fps is None or tick > last
        last = max(last, tick)
        return kept

    return keep


def read_video(
    path: Path, *, rgb: bool = False, threads: int = 1, fps: float | None = None
) -> Iterator[tuple[float, Image]]:
    """Frames in display order as (seconds from the first frame, image (H, W, 3) uint8), one at a time.

    Every stored frame is given once, upright and with square pixels, at the time the file gives it (a variable frame
    rate stays variable). Times increase strictly: where a file's clock stands or jumps back, it goes on at the mean
    rate.

    Args:
        rgb: channel order RGB in place of BGR.
        threads: of the decoder; more than one helps only while other cores are idle.
        fps: give only so many frames a second (see `at_rate`).
    Raises: DataError if the file is no video, holds no frame, breaks off, or ends before the length it states.
    """
    first, last = 0.0, None
    with _open(path) as container:
        stream = _stream(container)
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        rate, keep = _fps(stream) or 25.0, at_rate(fps)
        size = (0, 0)
        for number, frame in enumerate(_decode(container, stream, path, rate)):
            stated = float(frame.time) if frame.time is not None else number / rate
            if last is None:
                first, size = stated, _displayed_size(stream, frame)  # later frames of another size are scaled
            elif stated - first <= last:
                first = stated - last - 1 / rate
            last = stated - first
            if keep(last):
                yield last, _upright(frame, size, "rgb24" if rgb else "bgr24")
        if last is None:
            raise DataError(path, "a video with frames", "none", "Check that it plays, or leave it out")
        if "mp4" not in container.format.name and number + 1 < stream.frames * 0.9 - 2:  # an MP4 may hide frames
            found = f"{number + 1}"
            raise DataError(path, f"{stream.frames} frames as its header says", found, "Copy or download it again")
        declared = _declared_s(stream, container if len(container.streams) == 1 else None)
        end = max(first, 0.0) + last + 1 / rate  # some containers count from 0, not from the first frame
        if end < declared * 0.95 - 0.5:
            found = f"an end after {end:.1f} s"
            raise DataError(path, f"{declared:.1f} s of video as its header says", found, "Copy or download it again")


def _upright(frame: Any, size: tuple[int, int], pixels: str) -> Image:
    # One thread: for one 720p frame the converter's own threads cost ten times what they save.
    image: Image = frame.to_ndarray(format=pixels, width=size[0], height=size[1], threads=1)
    turns = round(frame.rotation / 90) % 4  # counter-clockwise
    return image if not turns else np.ascontiguousarray(np.rot90(image, turns))


def _displayed_size(stream: Any, frame: Any) -> tuple[int, int]:
    """Width and height with square pixels, before turning."""
    return round(frame.width * float(stream.sample_aspect_ratio or 1)), frame.height


def _decode(container: Any, stream: Any, path: Path, fps: float) -> Iterator[Any]:
    import av

    number = 0
    try:
        for frame in container.decode(stream):
            number += 1
            yield frame
    except av.error.FFmpegError as error:
        found = f"damaged data after {number / fps if fps else 0:.1f} s"
        raise DataError(path, "a video that decodes to its end", found, "Copy, download or export it again") from error


def _stream(container: Any) -> Any:
    """The first video that is no cover picture of a sound file."""
    return next(s for s in container.streams.video if not _is_cover(s))


def _is_cover(stream: Any) -> bool:
    from av.stream import Disposition

    return Disposition.attached_pic in stream.disposition


def _fps(stream: Any) -> float:
    return float(stream.average_rate or stream.guessed_rate or stream.base_rate or 0)


def _declared_s(stream: Any, container: Any | None) -> float:
    """Length the header states for the video (else for the whole file, where asked); 0 where it does not say."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return float((container.duration if container is not None else None) or 0) / 1e6


def _open(path: Path) -> Any:
    import av

    try:
        # `file:` and the whitelist: neither a name nor a playlist inside leads anywhere but to this machine's files.
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, OSError) as error:
        found = "an empty file" if path.is_file() and not path.stat().st_size else _short(error)
        raise DataError(path, "a video file", found, "Check that it plays, or leave it out") from error
    if all(_is_cover(stream) for stream in container.streams.video):
        container.close()
        raise DataError(path, "a video file", "no video stream", "Check that it plays, or leave it out")
    stream = _stream(container)
    if (stream.width or 0) * (stream.height or 0) > MAX_PIXELS:
        container.close()
        found = f"{stream.width} × {stream.height}"
        raise DataError(path, f"pictures of at most {MAX_PIXELS >> 20} megapixels", found, "Scale it down")
    return container


def _short(error: BaseException) -> str:
    text = str(getattr(error, "strerror", "") or error)
    known = {
        "Invalid data": "a file of another kind",
        "End of file": "a file of another kind",  # its first bytes look like a format's that has more of them
        "Input/output error": "a file that breaks off or cannot be read",  # FFmpeg does not tell these apart
        "Operation not permitted": "a list of files elsewhere",
    }
    for begin, found in known.items():
        if text.startswith(begin):
            return found
    return text[:1].lower() + text[1:]


# Without the macroblock tree: its result depends on what the process encoded before, so the same film would be other
# bytes the first time.
_X264 = {"crf": "23", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}


def write_video(path: Path, images: Iterable[Image], fps: float) -> Path:
    """An H.264 proxy that every browser plays: constant rate, yuv420p, index first, frames one to one.

    Odd sizes lose their last row or column. Written in one step.
    """
    import av

    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"}) as out,
    ):
        stream: Any = None
        for image in images:
            height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
            if stream is None:
                rate = Fraction(fps).limit_denominator(1001)
                stream = out.add_stream("libx264", rate=rate, options=_X264)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="bgr24")
            out.mux(stream.encode(frame))
        if stream is None:
            raise DataError(path, "at least one frame to write", "none", "Check the clip")
        out.mux(stream.encode())
    return path
