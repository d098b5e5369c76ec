"""The repetition bench: one local page on which a person judges repetitions at keyboard speed.

It listens on 127.0.0.1 alone, under an address that holds a secret, and loads nothing from anywhere else. Every key
press is a line in the ledger before the page shows the next repetition. Strips are made ahead by one worker.
"""

import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from repset.curate.ledger import Ledger
from repset.errors import ConfigError
from repset.project import Project
from repset.review.local_page import TYPES, LocalServer, PageHandler
from repset.review.rep_queue import Desk, Repetition, repetitions, usual_limits
from repset.review.strips import STRIP_S, Stretch, Strips

AHEAD = 8
"""Strips made before they are asked for."""

_ASSETS = {"": "index.html", "bench.css": "bench.css", "bench.js": "bench.js"}

Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What `repset review reps` was asked for."""

    sources: Sequence[str]
    reviewer: str
    order: str = "doubtful"
    limit: int | None = None
    again: bool = False
    verdict: str | None = None
    probe_share: float = 0.0


class Bench:
    """The queue, the desk and the strips behind the page.

    Raises: RepsetError where a source has no repetitions.
    """

    def __init__(self, project: Project, asked: Asked) -> None:
        self.strips = {source: Strips(project, source) for source in asked.sources}
        found = [
            (source, one)
            for source in asked.sources
            for one in repetitions(project, source, asked.reviewer, asked.order, asked.again, asked.probe_share)
            if asked.verdict in (None, one.verdict)
        ][: asked.limit]
        self.source = {one.id: source for source, one in found}
        self.order = [one for _, one in found]
        self.place = {one.id: number for number, one in enumerate(self.order)}
        self.desk = Desk(Ledger(project.reviews), asked.reviewer, self.order)
        self.limits = usual_limits(self.order)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="strips")
        self._asked: set[str] = set()
        self._making = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Let the worker end; what it has not begun is dropped."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def queue(self) -> Json:
        """What the page needs at its start."""
        items = [{"id": one.id, "verdict": one.verdict, "exercise": one.exercise} for one in self.order]
        return {"reviewer": self.desk.reviewer, "items": items, "done": self.desk.done, "loop_s": STRIP_S}

    def item(self, one: Repetition, start: int | None = None, end: int | None = None) -> Json:
        """One repetition as the page shows it; start, end: the boundaries as the person has moved them."""
        stretch = Stretch.around(start if start is not None else one.start, end or one.end, int(one.sample["frames"]))
        why = one.why
        usual = self.limits.get((one.exercise, why.get("view") or ""), {})
        limit = why if why.get("low_deg") is not None or why.get("high_deg") is not None else usual
        strips = self.strips[self.source[one.id]]
        curve = strips.curve(one.sample, one.person, stretch, one.exercise, why.get("signal") or usual.get("signal"))
        return {
            "id": one.id,
            "sample": one.sample["sample_id"],
            "person": one.person,
            "exercise": one.exercise.replace("_", " "),
            "verdict": one.verdict,
            "origin": one.origin,
            "message": why.get("message") or "",
            "value_deg": _number(why.get("value_deg")),
            "signal": (why.get("signal") or "").replace("_", " "),
            "low_deg": _number(limit.get("low_deg")),
            "high_deg": _number(limit.get("high_deg")),
            "view": (why.get("view") or "").replace("_", " "),
            "fps": one.sample["fps"],
            "frames": one.sample["frames"],
            "start": one.start,
            "end": one.end,
            "first": stretch.first,
            "last": stretch.last,
            "curve": curve,
            "strip": f"strip/{one.id}.mp4?first={stretch.first}&last={stretch.last}",
        }

    def strip(self, one: Repetition, first: int, last: int) -> bytes:
        """The bytes of a strip; those that come after it in the queue are made meanwhile."""
        if not 0 <= first < last <= int(one.sample["frames"]):
            raise ConfigError(f"strip: expected frames of the clip, found {first} to {last}. Reload the page.")
        with self._making:
            path = self.strips[self.source[one.id]].path(one.sample, one.person, Stretch(first, last))
        self.ahead(self.place[one.id] + 1)
        return path.read_bytes()

    def ahead(self, start: int) -> None:
        """Make the next strips in the background."""
        for one in self.order[start : start + AHEAD]:
            if one.id not in self._asked and not self._closed:
                self._asked.add(one.id)
                self._pool.submit(self._make, one)

    def _make(self, one: Repetition) -> None:
        stretch = Stretch.around(one.start, one.end, int(one.sample["frames"]))
        with self._making:
            self.strips[self.source[one.id]].path(one.sample, one.person, stretch)


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


class _Handler(PageHandler):
    server: "BenchServer"

    def get(self, path: str) -> None:
        """Page, queue, items and strips."""
        bench = self.server.bench
        if path in _ASSETS:
            name = _ASSETS[path]
            data = files("repset.review").joinpath("bench", name).read_bytes()
            self.send_bytes(HTTPStatus.OK, data, TYPES[name.rpartition(".")[2]])
        elif path == "queue":
            bench.ahead(0)
            self.send_json(bench.queue())
        elif path.startswith("item/"):
            query = self.query()
            self.send_json(bench.item(self._one(path[5:]), query.get("start"), query.get("end")))
        elif path.startswith("strip/") and path.endswith(".mp4"):
            query = self.query()
            data = bench.strip(self._one(path[6:-4]), query.get("first", -1), query.get("last", -1))
            self.send_bytes(HTTPStatus.OK, data, TYPES["mp4"])
        else:
            self.not_found()

    def post(self, path: str) -> None:
        """Decisions and undo."""
        asked = self.body()
        if path == "decide":
            self.send_json(self.server.bench.desk.decide(asked))
        elif path == "undo":
            self.send_json(self.server.bench.desk.undo(str(asked.get("nonce"))))
        else:
            self.not_found()

    def _one(self, name: str) -> Repetition:
        one = self.server.bench.desk.items.get(name)
        if one is None:
            raise ConfigError("bench: expected a repetition of this sitting, found another. Reload the page.")
        return one


class BenchServer(LocalServer):
    """The bench's server on the loopback.

    Args:
        port: 0 takes a free one.
    """

    def __init__(self, bench: Bench, port: int = 0) -> None:
        super().__init__(_Handler, port)
        self.bench = bench

    def server_close(self) -> None:
        """Close the port and let the worker end."""
        super().server_close()
        self.bench.close()
