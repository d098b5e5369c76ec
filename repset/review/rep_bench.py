"""The repetition bench: one local page on which a person judges repetitions at keyboard speed.

It listens on 127.0.0.1 alone, under an address that holds a secret, and loads nothing from anywhere else. Every key
press is a line in the ledger before the page shows the next repetition. Strips are made ahead by one worker.
"""

import hmac
import json
import math
import secrets
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from repset.curate.ledger import Ledger
from repset.errors import ConfigError, RepsetError
from repset.project import Project
from repset.review.rep_queue import Desk, Repetition, repetitions, usual_limits
from repset.review.strips import STRIP_S, Stretch, Strips

AHEAD = 8
"""Strips made before they are asked for."""

_LARGEST = 4096  # bytes of a request's body: a decision takes 200
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; media-src 'self' blob:; img-src data:"
)
_ASSETS = {"": "index.html", "bench.css": "bench.css", "bench.js": "bench.js"}
_TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}

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


class Bench:
    """The queue, the desk and the strips behind the page.

    Raises: RepsetError where a source has no repetitions.
    """

    def __init__(self, project: Project, asked: Asked) -> None:
        self.strips = {source: Strips(project, source) for source in asked.sources}
        found = [
            (source, one)
            for source in asked.sources
            for one in repetitions(project, source, asked.reviewer, asked.order, asked.again)
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


class _Handler(BaseHTTPRequestHandler):
    """Answers under /<token>/ only, and only to a browser that was sent to this very address."""

    protocol_version = "HTTP/1.1"
    server: "BenchServer"

    def do_GET(self) -> None:
        """Page, queue, items and strips."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Decisions and undo."""
        self._answer(self._post)

    def _answer(self, handle: Any) -> None:
        try:
            path = self._path()
            if path is None:
                self.close_connection = True  # its body is not read
                self._send(HTTPStatus.NOT_FOUND, b"not found", "text/plain; charset=utf-8")
                return
            handle(path)
        except RepsetError as error:
            self._json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _path(self) -> str | None:
        """The path behind the token; None for a wrong token or a page of another site that was pointed here."""
        host = self.headers.get("Host", "")
        token, _, rest = urlsplit(self.path).path.lstrip("/").partition("/")
        good = hmac.compare_digest(token.encode(), self.server.token.encode()) and host == self.server.host
        origin = self.headers.get("Origin")
        return rest if good and origin in (None, f"http://{self.server.host}") else None

    def _get(self, path: str) -> None:
        bench = self.server.bench
        if path in _ASSETS:
            name = _ASSETS[path]
            data = files("repset.review").joinpath("bench", name).read_bytes()
            self._send(HTTPStatus.OK, data, _TYPES[name.rpartition(".")[2]])
        elif path == "queue":
            bench.ahead(0)
            self._json(bench.queue())
        elif path.startswith("item/"):
            query = self._query()
            self._json(bench.item(self._one(path[5:]), query.get("start"), query.get("end")))
        elif path.startswith("strip/") and path.endswith(".mp4"):
            query = self._query()
            data = bench.strip(self._one(path[6:-4]), query.get("first", -1), query.get("last", -1))
            self._send(HTTPStatus.OK, data, "video/mp4")
        else:
            self._send(HTTPStatus.NOT_FOUND, b"not found", "text/plain; charset=utf-8")

    def _post(self, path: str) -> None:
        asked = self._body()
        if path == "decide":
            self._json(self.server.bench.desk.decide(asked))
        elif path == "undo":
            self._json(self.server.bench.desk.undo(str(asked.get("nonce"))))
        else:
            self._send(HTTPStatus.NOT_FOUND, b"not found", "text/plain; charset=utf-8")

    def _one(self, name: str) -> Repetition:
        one = self.server.bench.desk.items.get(name)
        if one is None:
            raise ConfigError("bench: expected a repetition of this sitting, found another. Reload the page.")
        return one

    def _query(self) -> dict[str, int]:
        values = parse_qs(urlsplit(self.path).query)
        return {name: int(found[0]) for name, found in values.items() if found[0].isdecimal()}

    def _body(self) -> Mapping[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LARGEST:
            self.close_connection = True
            raise ConfigError(f"bench: expected a body of at most {_LARGEST} bytes, found another. Reload the page.")
        try:
            found = json.loads(self.rfile.read(int(length)))
        except ValueError as error:
            raise ConfigError("bench: expected JSON, found other text. Reload the page.") from error
        if not isinstance(found, dict):
            raise ConfigError("bench: expected a JSON object, found other JSON. Reload the page.")
        return found

    def _json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(status, json.dumps(value, allow_nan=False).encode(), "application/json")

    def _send(self, status: HTTPStatus, data: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(data))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", _POLICY),
            ("Referrer-Policy", "no-referrer"),  # the address holds the secret
            ("X-Content-Type-Options", "nosniff"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing: the address in a log would be the key to the page."""


class BenchServer(ThreadingHTTPServer):
    """The page's server on the loopback.

    Args:
        port: 0 takes a free one.
    """

    daemon_threads = True

    def __init__(self, bench: Bench, port: int = 0) -> None:
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise RepsetError(f"port {port}: expected a free port, found it taken. Choose another: --port N") from error
        self.bench, self.token = bench, secrets.token_urlsafe(16)
        self.host = f"127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        """The page's address, with its secret."""
        return f"http://{self.host}/{self.token}/"

    def server_close(self) -> None:
        """Close the port and let the worker end."""
        super().server_close()
        self.bench.close()
