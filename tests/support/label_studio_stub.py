"""A stand-in for a Label Studio server on the loopback: its answers for what we ask, and every way to fail.

Written from what version 1.23.2 was seen to answer; the test with the real server checks that both agree.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "0123456789abcdef0123456789abcdef01234567"
Json = dict[str, Any]


class Store:
    """What the server holds, and how it shall fail next.

    Attributes:
        fail: called with (method, path) before a request is served; returns (status, body, content type, headers),
            or "half" (serve half of an import, then break the connection), "late" (serve it, then break the
            connection), or None to serve it.
    """

    def __init__(self) -> None:
        self.projects: dict[int, Json] = {}
        self.tasks: dict[int, Json] = {}
        self.storages: list[Json] = []
        self.users = [{"id": 1, "email": "anna@example.org"}, {"id": 2, "email": "ben@example.org"}]
        self.fail: Any = lambda method, path: None
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.RLock()
        self._next = 0

    def number(self) -> int:
        self._next += 1
        return self._next

    def add(self, project: int, task: Json) -> int:
        """Store a task as an import does: no look at whether it is there already."""
        number = self.number()
        predictions = [{**one, "id": self.number(), "task": number} for one in task.get("predictions", [])]
        self.tasks[number] = {"id": number, "project": project, "data": task["data"], "meta": task.get("meta"),
                              "predictions": predictions, "annotations": [], "drafts": []}  # fmt: skip
        return number

    def annotate(
        self, task: int, result: list[Json], by: int = 1, at: str = "2026-11-21T10:00:00.000000Z", **more: Any
    ) -> Json:
        """What a person's Submit leaves."""
        there = self.tasks[task]
        shown = there["predictions"][0] if there["predictions"] else None
        annotation = {"id": self.number(), "task": task, "completed_by": by, "result": json.loads(json.dumps(result)),
                      "was_cancelled": False, "created_at": at, "updated_at": at, "lead_time": 6.0, "prediction": shown,
                      "parent_prediction": shown["id"] if shown else None} | more  # fmt: skip
        there["annotations"].append(annotation)
        return annotation


class _Handler(BaseHTTPRequestHandler):
    server: "StubServer"
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        store, path = self.server.store, urlsplit(self.path).path
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        with store.lock:
            store.requests.append((self.command, path))
            failure = store.fail(self.command, path)
            if isinstance(failure, tuple):
                return self._send(*failure)
            if self.headers.get("Authorization") != f"Token {TOKEN}":
                return self._send(401, b'{"detail": "Invalid token."}')
            query = parse_qs(urlsplit(self.path).query)
            if failure == "half":
                some = json.loads(body)
                body = json.dumps(some[: len(some) // 2]).encode()
            status, answer = _answer(store, self.command, path, query, json.loads(body) if body else None)
        if failure in ("half", "late"):
            self.close_connection = True
            self.connection.close()
            return None
        return self._send(status, b"" if answer is None else json.dumps(answer).encode())

    do_GET = do_POST = do_PATCH = do_DELETE = _serve

    def _send(self, status: int, body: bytes, kind: str = "application/json", headers: Any = ()) -> None:
        if status == 0:  # time-out: say nothing for a while
            time.sleep(float(body))
            self.close_connection = True
            return
        try:
            self.send_response(status)
            for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *headers):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


def _answer(store: Store, method: str, path: str, query: Any, body: Any) -> tuple[int, Any]:  # noqa: C901 - a table
    match method, path.strip("/").split("/"):
        case "GET", ["api", "version"]:
            return 200, {"release": "1.23.2"}
        case "GET", ["api", "users"]:
            return 200, store.users
        case "GET", ["api", "projects"]:
            return 200, {"results": [p for p in store.projects.values() if query["title"][0] in p["title"]]}
        case "POST", ["api", "projects"]:
            number = store.number()
            store.projects[number] = {"id": number, "model_version": "", **body}
            return 201, store.projects[number]
        case "GET" | "PATCH", ["api", "projects", number]:
            store.projects[int(number)] |= body or {}
            count = sum(task["project"] == int(number) for task in store.tasks.values())
            return 200, store.projects[int(number)] | {"task_number": count}
        case "POST", ["api", "projects", number, "import"]:
            for task in body:
                store.add(int(number), task)
            predictions = sum(len(task.get("predictions", [])) for task in body)
            return 201, {"task_count": len(body), "prediction_count": predictions}
        case "GET", ["api", "projects", number, "export"]:
            wanted = {int(i) for i in query["ids[]"]}
            found = [t for t in store.tasks.values() if t["project"] == int(number) and t["id"] in wanted]
            return 200, [{**t, "predictions": [p["id"] for p in t["predictions"]]} for t in found]
        case "GET", ["api", "storages", "localfiles"]:
            return 200, [s for s in store.storages if s["project"] == int(query["project"][0])]
        case "POST", ["api", "storages", "localfiles"]:
            store.storages.append({**body, "id": store.number()})
            return 201, store.storages[-1]
        case "GET", ["api", "tasks"]:
            return _page(store, int(query["project"][0]), int(query["page"][0]), int(query["page_size"][0]))
        case "PATCH", ["api", "tasks", number]:
            store.tasks[int(number)] |= body
            return 200, {"id": int(number)}
        case "DELETE", ["api", "tasks", number]:
            return (204, None) if store.tasks.pop(int(number), None) else (404, {"detail": "Not found."})
        case "GET", ["api", "predictions"]:
            return 200, store.tasks[int(query["task"][0])]["predictions"]
        case "POST", ["api", "predictions"]:
            one = {**body, "id": store.number()}
            store.tasks[body["task"]]["predictions"].append(one)
            return 201, one
        case "DELETE", ["api", "predictions", number]:
            for task in store.tasks.values():
                task["predictions"] = [p for p in task["predictions"] if p["id"] != int(number)]
            return 204, None
    return 404, {"detail": "Not found."}


def _page(store: Store, project: int, page: int, size: int) -> tuple[int, Any]:
    mine = [t for t in store.tasks.values() if t["project"] == project]
    rows = [
        {"id": t["id"], "data": t["data"], "meta": t["meta"], "drafts": t["drafts"],
         "total_annotations": sum(not a["was_cancelled"] for a in t["annotations"]),
         "cancelled_annotations": sum(a["was_cancelled"] for a in t["annotations"]),
         "total_predictions": len(t["predictions"])}
        for t in mine[(page - 1) * size : page * size]
    ]  # fmt: skip
    return (200, {"tasks": rows, "total": len(mine)}) if rows or page == 1 else (404, {"detail": "Invalid page."})


class StubServer(ThreadingHTTPServer):
    """The stand-in on a free port."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store = Store()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """A client that goes away is no news."""


@contextmanager
def stub() -> Iterator[StubServer]:
    """A stand-in from here to the end of the block."""
    server = StubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
