"""A person's answers on one's own camera: the pictures to look at, the answers as they are written, and the page.

Answers are lines of JSON that are only ever appended (`answers.jsonl`), each with the hash of its content as its id;
the last one on a frame or clip counts. They hold what the person saw, so they outlive any labeller.
"""

import json
import math
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from repset.curate.decision import content_id
from repset.errors import ConfigError, DataError
from repset.exercises import NAMES, NONE
from repset.records import atomic_path, canonical_json
from repset.review.local_page import POLICY, TYPES, LocalServer, PageHandler
from repset.review.validate_picks import STILL, Pick
from repset.video import Image, probe_video, read_picture, read_video, write_video

VERSION = 1
CLIP_PX = 540  # largest height of a clip on the page
LONGEST_S = 3600.0  # of one answer; more is a page left open
MOST_REPS = 999
EXERCISES = (*NAMES, NONE)

Row = dict[str, Any]
Report = Callable[[int, int, str], None]


def media_of(folder: Path, sample_id: str) -> Path:
    """The file behind a sample of an autolabel job on `folder`."""
    return folder.resolve().parent / sample_id


def prepare(folder: Path, out: Path, chosen: Sequence[Pick], report: Report) -> list[Pick]:
    """Make what the page shows (`out/media`); picks with the box that is really shown.

    Args:
        folder: one's own files; out: where the validation lies.
    Raises: DataError for a file that cannot be read.
    """
    boxes: dict[str, tuple[int, int, int, int]] = {}
    by_source: dict[str, list[Pick]] = defaultdict(list)
    for one in chosen:
        by_source[one.sample_id].append(one)
    for number, (sample_id, mine) in enumerate(sorted(by_source.items()), 1):
        report(number, len(by_source), "cutting out frames and clips")
        source = media_of(folder, sample_id)
        for one, image in _frames(source, [one for one in mine if one.kind == "frame"]):
            left, top, width, height = boxes[one.id] = shown_box(one.box, image.shape[1], image.shape[0])
            _write_jpeg(media_path(out, one), image[top : top + height, left : left + width])
        for one in mine:
            if one.kind == "clip" and not media_path(out, one).is_file():
                write_video(media_path(out, one), _stretch(source, one), probe_video(source).fps or 25.0)
    return [replace(one, box=boxes.get(one.id, one.box)) for one in chosen]


def shown_box(box: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """The part of a box that lies in the picture; all of it where that is empty."""
    left, top = max(box[0], 0), max(box[1], 0)
    right, bottom = min(box[0] + box[2], width), min(box[1] + box[3], height)
    return (left, top, right - left, bottom - top) if right - left > 8 and bottom - top > 8 else (0, 0, width, height)


def media_path(out: Path, one: Pick) -> Path:
    """Of a pick's picture or video."""
    return out / "media" / f"{one.id}.{'mp4' if one.kind == 'clip' else 'jpg'}"


def _stretch(source: Path, one: Pick) -> Iterable[Image]:
    for number, (_, image) in enumerate(read_video(source)):
        if number >= one.end:
            return
        if number >= one.frame:
            scale = min(1.0, CLIP_PX / image.shape[0])
            size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
            yield image if scale == 1.0 else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _frames(source: Path, wanted: Sequence[Pick]) -> Iterator[tuple[Pick, Image]]:
    """The pictures of one file, read once."""
    if wanted and wanted[0].phase == STILL:
        image = read_picture(source)
        yield from ((one, image) for one in wanted)
        return
    left = {one.frame: one for one in wanted}
    for at, (_, image) in enumerate(read_video(source)):
        if not left:
            return
        if at in left:
            yield left.pop(at), image
    if left:
        raise DataError(source, f"a frame {min(left)}", "a shorter video", "Run repset validate again")


def _write_jpeg(path: Path, image: Image) -> None:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


# --- answers ---------------------------------------------------------------------------------------------------------


class Answers:
    """The file of answers, append-only.

    Raises: DataError naming file and line for a line that is torn or was changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self.latest: dict[str, Row] = {}
        if path.is_file():
            for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
                if line:
                    row = self._parsed(line, number)
                    self.latest[row["pick"]] = row

    def _parsed(self, line: bytes, number: int) -> Row:
        try:
            row: Row = json.loads(line)
            good = row["id"] == content_id(row) and isinstance(row["pick"], str)
        except (ValueError, KeyError, TypeError):
            good = False
        if not good:
            where, todo = f"{self.path}:{number}", "Restore it from a copy, or delete the line"
            raise DataError(where, "a line as it was written", "a torn or changed one", todo)
        return row

    def picks(self) -> list[Pick]:
        """What was answered, as it was picked then."""
        names = [field.name for field in fields(Pick) if field.name not in ("counted", "joints", "box")]
        return [
            Pick(**{name: row[name] for name in names}, box=tuple(row["box"]), joints=tuple(row.get("joints", ())))
            for row in self.latest.values()
        ]

    def append(self, one: Pick, said: Mapping[str, Any], reviewer: str) -> Row:
        """Write one answer; it is on the disk when this returns.

        Args:
            said: `joints` (name → [x_px, y_px] in the whole picture, null: cannot be seen) or `reps`, and `seconds`.
        """
        at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        said_of = {"v": VERSION, "at": at, "reviewer": reviewer, "pick": one.id, **one.about(), **said}
        row: Row = json.loads(canonical_json(said_of))  # as it will be read
        row["id"] = content_id(row)
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as handle:
                if handle.tell() and handle.seek(-1, os.SEEK_END) >= 0 and handle.read(1) != b"\n":
                    todo = "Delete the last line"
                    raise DataError(self.path, "a last line that ends in a newline", "a torn line", todo)
                handle.write((canonical_json(row) + "\n").encode())
                handle.flush()
                os.fsync(handle.fileno())
            self.latest[one.id] = row
        return row


class Desk:
    """What the page shows and takes."""

    def __init__(self, out: Path, chosen: Sequence[Pick], answers: Answers, reviewer: str) -> None:
        self.out, self.answers, self.reviewer = out, answers, reviewer
        self.picks = {one.id: one for one in chosen}
        self.finished = threading.Event()

    def queue(self) -> Row:
        """What the page needs at its start."""
        items = []
        for one in self.picks.values():
            about = {"id": one.id, "kind": one.kind, "sample": one.sample_id, "box": one.box, "joints": one.joints}
            shown = {"media": f"media/{media_path(self.out, one).name}"}  # nothing that the labeller says
            items.append({**about, **shown, "answer": self.answers.latest.get(one.id)})
        return {"reviewer": self.reviewer, "items": items, "exercises": EXERCISES}

    def answer(self, asked: Mapping[str, Any]) -> Row:
        """Write what the page sent. Raises: ConfigError for anything that is no answer; nothing is written then."""
        one = self.picks.get(str(asked.get("id")))
        if one is None:
            raise ConfigError("validate: expected a frame or clip of this page, found another. Reload the page.")
        seconds = asked.get("seconds")
        timed = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds <= LONGEST_S
        said: Row = {"seconds": round(float(seconds), 2) if timed and seconds is not None else None}
        if one.kind == "clip":
            said |= {"reps": _reps(asked.get("reps")), "does": _exercise(asked.get("does"))}
        else:
            said |= {"joints": _joints(asked.get("joints"), one)}
        self.answers.append(one, said, self.reviewer)
        return {"done": sum(name in self.answers.latest for name in self.picks)}


def _reps(value: Any) -> int | None:
    """A number of repetitions; None: cannot be said."""
    if value is not None and not (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_REPS):
        raise ConfigError(f"validate: expected a number of repetitions up to {MOST_REPS}, found {value!r}. Correct it.")
    return value


def _exercise(value: Any) -> str | None:
    """A name; None: not said."""
    if value is not None and value not in EXERCISES:
        raise ConfigError(f"validate: expected an exercise of the list, found {value!r}. Choose one.")
    return None if value is None else str(value)


def _joints(value: Any, one: Pick) -> Row:
    """Joints in the whole picture; None: cannot be seen."""
    if not isinstance(value, dict) or not set(value) <= set(one.joints):
        raise ConfigError("validate: expected joints of this frame, found others. Reload the page.")
    left, top, width, height = one.box
    found: Row = {}
    for name, at in value.items():
        if at is None:
            found[name] = None
            continue
        good = isinstance(at, list) and len(at) == 2 and all(_number(part) for part in at)
        if not good or not (left <= at[0] <= left + width and top <= at[1] <= top + height):
            raise ConfigError(f"validate: expected {name} inside the picture, found {at!r}. Place it again.")
        found[name] = [round(float(at[0]), 2), round(float(at[1]), 2)]
    return found


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# --- the page --------------------------------------------------------------------------------------------------------

_ASSETS = {
    "": ("validate_page", "index.html"), "page.js": ("validate_page", "page.js"),
    "page.css": ("validate_page", "page.css"), "bench.css": ("bench", "bench.css"),
}  # fmt: skip


class _Handler(PageHandler):
    server: "DeskServer"
    policy = POLICY.replace("img-src data:", "img-src 'self' data:")

    def get(self, path: str) -> None:
        """Page, queue, pictures and videos."""
        desk = self.server.desk
        if path in _ASSETS:
            folder, name = _ASSETS[path]
            data = files("repset.review").joinpath(folder, name).read_bytes()
            self.send_bytes(HTTPStatus.OK, data, TYPES[name.rpartition(".")[2]])
        elif path == "queue":
            self.send_json(desk.queue())
        elif path.startswith("media/") and (one := desk.picks.get(path[6:].partition(".")[0])) is not None:
            file = media_path(desk.out, one)
            self.send_bytes(HTTPStatus.OK, file.read_bytes(), TYPES[file.suffix[1:]])
        else:
            self.not_found()

    def post(self, path: str) -> None:
        """Answers, and the word that it is enough."""
        asked = self.body()
        if path == "answer":
            self.send_json(self.server.desk.answer(asked))
        elif path == "finish":
            self.send_json({"finished": True})
            self.server.desk.finished.set()
        else:
            self.not_found()


class DeskServer(LocalServer):
    """The page's server on the loopback."""

    def __init__(self, desk: Desk, port: int = 0) -> None:
        super().__init__(_Handler, port)
        self.desk = desk

    def serve_until_finished(self) -> None:
        """Serve until the person is done."""
        worker = threading.Thread(target=self.serve_forever, daemon=True)
        worker.start()
        try:
            self.desk.finished.wait()
        finally:
            self.shutdown()
            worker.join()
