"""Pictures and videos as a browser can show them, in `.repset/media`: rebuildable, made once, named by content.

A file that a browser plays is served where it lies. Frames out of a shard, videos in another codec and samples that
are poses alone become proxies: JPEG as stored, or H.264 at a constant rate, frames one to one.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from repset.draw import draw_skeleton
from repset.errors import DataError
from repset.landmarks import SKELETONS, JointState
from repset.project import Project
from repset.records import atomic_path, read_table, sha256_bytes
from repset.video import FrameStore, Image, probe_video, read_video, write_video

Row = dict[str, Any]
Floats = npt.NDArray[np.float32]

STAGE_PX = 480
"""Height of a picture drawn for a sample that is poses alone."""

_NEAR = 90  # frames; nearer to the beginning a video is read in order, which needs no seeking
_PAPER = (34, 30, 28)  # behind a stick figure: near black, as blue, green, red


def media_folder(project: Project, source: str) -> Path:
    """Where the proxies of a source lie."""
    return project.cache / "media" / source


def picture(project: Project, source: str, row: Row, store: FrameStore) -> Path:
    """One stored image as a file of its own, bytes unchanged.

    Args:
        row: of table `frames`.
    """
    suffix = Path(str(row["name"])).suffix.lower() or ".jpg"
    path = media_folder(project, source) / "pictures" / str(row["sha256"])[:2] / f"{row['sha256']}{suffix}"
    if not path.is_file():
        with atomic_path(path) as temporary:
            temporary.write_bytes(store.data(row))
    return path


def clip(project: Project, source: str, sample: Row, store: FrameStore) -> Path:
    """A clip as a file that browsers play: the set's own where it is one, else a proxy.

    Args:
        sample: row of table `samples`, kind clip or poses.
    Raises: DataError for a sample without frames, video or poses, or without a frame rate.
    """
    own = project.root / str(sample["media"]) if sample["media"] else None
    if own is not None and own.is_file() and plays(own):
        return own
    path = media_folder(project, source) / "clips" / f"{file_name(sample['sample_id'])}-{_content(sample, store)}.mp4"
    if path.is_file():
        return path
    if not (sample["fps"] and sample["fps"] > 0):
        raise DataError(sample["sample_id"], "a frame rate", f"fps {sample['fps']}", f"Run: repset index {source}")
    return write_video(path, frames(project, source, sample, store), float(sample["fps"]))


def frames(
    project: Project, source: str, sample: Row, store: FrameStore, start: int = 0, end: int | None = None
) -> Iterator[Image]:
    """Images [start, end) of a sample, one at a time: stored, decoded, or drawn from its poses."""
    end = int(sample["frames"]) if end is None else end
    rows = store.rows(sample["sample_id"])
    if rows:
        yield from (store.image(row) for row in rows[start:end])
    elif sample["media"]:
        yield from itertools.islice(
            _seek(project.root / str(sample["media"]), start, float(sample["fps"])), end - start
        )
    else:
        xy, seen, skeleton = poses(project, source, sample["sample_id"])
        if not len(xy):
            todo = f"Run: repset index {source}"
            raise DataError(sample["sample_id"], "frames, a video or poses", "none of them", todo)
        yield from stick_figures(xy, seen, skeleton, start, end)


def _seek(path: Path, start: int, fps: float) -> Iterator[Image]:
    """Frames of a video from number `start` on, without decoding all before it."""
    if start < _NEAR:
        yield from (image for _, image in itertools.islice(read_video(path), start, None))
        return
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        tick = float(stream.time_base or 0)
        first = (stream.start_time or 0) * tick
        container.seek(int((start / fps - 0.5 + first) / tick), stream=stream)
        for frame in container.decode(stream):
            if round((float(frame.time or 0) - first) * fps) >= start:
                turns = round(frame.rotation / 90) % 4
                image = frame.to_ndarray(format="bgr24", threads=1).astype(np.uint8, copy=False)
                yield np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def poses(project: Project, source: str, sample_id: str, person: int = 0) -> tuple[Floats, Floats, str]:
    """Joints of one person by frame: xy_px (T, K, 2), visibility (T, K), skeleton; NaN where absent.

    The automatic poses where there are some (they are what verdicts were measured on), else the set's own; T is 0 and
    the skeleton '' where there are none.
    """
    for folder in (project.labels(source), project.index(source)):
        path = folder / "poses.parquet"
        if not path.is_file():
            continue
        wanted = [("sample_id", "==", sample_id), ("person", "==", person)]
        columns = ["frame", "skeleton", "x_px", "y_px", "visibility", "state"]
        table = read_table(path, "poses", columns, wanted).sort_by("frame")
        if table.num_rows:
            return _dense(table)
    return np.empty((0, 0, 2), np.float32), np.empty((0, 0), np.float32), ""


def _dense(table: Any) -> tuple[Floats, Floats, str]:
    """Rows of one person as arrays by frame; a sample in two skeletons gives those of its first row."""
    skeletons = np.array(table["skeleton"].to_pylist())
    skeleton = str(skeletons[0])
    table = table.filter(skeletons == skeleton)
    joints, at = len(SKELETONS[skeleton].joints), table["frame"].to_numpy()

    def values(name: str) -> Floats:
        flat = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return np.asarray(flat, np.float32).reshape(-1, joints)

    xy = np.full((int(at[-1]) + 1, joints, 2), np.nan, np.float32)
    seen = np.full(xy.shape[:2], np.nan, np.float32)
    xy[at] = np.stack([values("x_px"), values("y_px")], -1)
    seen[at] = np.where(values("state") >= JointState.OUTSIDE, 0, values("visibility"))
    return xy, seen, skeleton


def stick_figures(xy_px: Floats, seen: Floats, skeleton: str, start: int, end: int) -> Iterator[Image]:
    """The person alone on dark ground, framed by the whole clip so that nothing jumps."""
    place = Stage(xy_px)
    for t in range(start, min(end, len(xy_px))):
        image = place.ground()
        draw_skeleton(image, place.fit(xy_px[t]), np.nan_to_num(seen[t], nan=0), skeleton, body_px=STAGE_PX * 0.8)
        yield image


class Stage:
    """Where joints of a clip without pictures are drawn: one scale and place for all frames.

    Args:
        xy_px: (T, K, 2), in the set's own pixels.
    """

    def __init__(self, xy_px: Floats) -> None:
        known = xy_px[np.isfinite(xy_px).all(-1)]
        low, high = (known.min(0), known.max(0)) if len(known) else (np.zeros(2), np.ones(2))
        size = np.maximum(high - low, 1e-6)
        self._scale = float(0.86 * STAGE_PX / max(size[1], size[0] / 1.6))
        self.width = max(round(float(size[0]) * self._scale + 0.14 * STAGE_PX), round(0.56 * STAGE_PX)) // 2 * 2
        self._offset = np.array([self.width, STAGE_PX]) / 2 - (low + high) / 2 * self._scale

    def ground(self) -> Image:
        """An empty picture."""
        image = np.empty((STAGE_PX, self.width, 3), np.uint8)
        image[:] = _PAPER
        return image

    def fit(self, xy_px: Floats) -> Floats:
        """Joints (K, 2) in the picture's pixels."""
        return np.asarray(xy_px * self._scale + self._offset, np.float32)


def plays(path: Path) -> bool:
    """Whether every browser plays a video frame by frame: H.264, 4:2:0, constant rate, upright, MP4."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            codec, kind = stream.codec_context, str(container.format.name)
            steady = stream.average_rate == stream.guessed_rate and len(container.streams.audio) == 0
            fits = codec.name == "h264" and codec.pix_fmt == "yuv420p" and "mp4" in kind and steady
            info = probe_video(path)
            return bool(fits and (info.width, info.height) == (codec.width, codec.height))
    except (av.error.FFmpegError, IndexError, DataError):
        return False


def file_name(sample_id: str) -> str:
    """A sample id as a file's name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", sample_id.split("/", 1)[-1])[:80]


def _content(sample: Row, store: FrameStore) -> str:
    """What a proxy is made of, as 12 hex digits."""
    parts = [sample["sample_id"], sample["media_sha256"] or "", f"{sample['fps']}", f"{sample['frames']}"]
    return sha256_bytes("|".join([*parts, *(row["sha256"] for row in store.rows(sample["sample_id"]))]).encode())[:12]
