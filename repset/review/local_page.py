"""One local page for one person: a server on the loopback alone, under an address that holds a secret.

It answers only a browser that was sent to this very address, loads nothing from anywhere else, and writes no log, in
which the address would be the key to the page.
"""

import hmac
import json
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from repset.errors import ConfigError, RepsetError

LARGEST = 4096  # bytes of a request's body: a decision takes 200
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; media-src 'self' blob:; img-src data:"
)
TYPES = {
    "html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8",
    "mp4": "video/mp4", "jpg": "image/jpeg",
}  # fmt: skip


class PageHandler(BaseHTTPRequestHandler):
    """Answers under /<token>/ only; a page of ours says what by `get` and `post`."""

    protocol_version = "HTTP/1.1"
    policy = POLICY
    server: "LocalServer"

    def get(self, path: str) -> None:
        """Answer a GET of `path` (behind the token)."""
        raise NotImplementedError

    def post(self, path: str) -> None:
        """Answer a POST."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """As the standard library names it."""
        self._answer(self.get)

    def do_POST(self) -> None:
        """As the standard library names it."""
        self._answer(self.post)

    def _answer(self, handle: Any) -> None:
        try:
            path = self._path()
            if path is None:
                self.close_connection = True  # its body is not read
                self.not_found()
                return
            handle(path)
        except RepsetError as error:
            self.send_json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _path(self) -> str | None:
        """The path behind the token; None for a wrong token or a page of another site that was pointed here."""
        host = self.headers.get("Host", "")
        token, _, rest = urlsplit(self.path).path.lstrip("/").partition("/")
        good = hmac.compare_digest(token.encode(), self.server.token.encode()) and host == self.server.host
        origin = self.headers.get("Origin")
        return rest if good and origin in (None, f"http://{self.server.host}") else None

    def query(self) -> dict[str, int]:
        """Whole numbers of the query."""
        values = parse_qs(urlsplit(self.path).query)
        return {name: int(found[0]) for name, found in values.items() if found[0].isdecimal()}

    def body(self) -> Mapping[str, Any]:
        """The JSON object that was sent. Raises: ConfigError for anything else."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST:
            self.close_connection = True
            raise ConfigError(f"bench: expected a body of at most {LARGEST} bytes, found another. Reload the page.")
        try:
            found = json.loads(self.rfile.read(int(length)))
        except ValueError as error:
            raise ConfigError("bench: expected JSON, found other text. Reload the page.") from error
        if not isinstance(found, dict):
            raise ConfigError("bench: expected a JSON object, found other JSON. Reload the page.")
        return found

    def not_found(self) -> None:
        """Answer that there is no such thing."""
        self.send_bytes(HTTPStatus.NOT_FOUND, b"not found", "text/plain; charset=utf-8")

    def send_json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Answer with JSON."""
        self.send_bytes(status, json.dumps(value, allow_nan=False).encode(), "application/json")

    def send_bytes(self, status: HTTPStatus, data: bytes, kind: str) -> None:
        """Answer with bytes of a media type."""
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(data))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", self.policy),
            ("Referrer-Policy", "no-referrer"),  # the address holds the secret
            ("X-Content-Type-Options", "nosniff"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing: the address in a log would be the key to the page."""


class LocalServer(ThreadingHTTPServer):
    """A page's server on the loopback.

    Args:
        port: 0 takes a free one.
    """

    daemon_threads = True

    def __init__(self, handler: type[PageHandler], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), handler, bind_and_activate=False)
        try:
            self.server_bind()
            self.server_activate()
        except OSError as error:
            super().server_close()  # the socket alone: a page's own has nothing to close yet
            raise RepsetError(f"port {port}: expected a free port, found it taken. Choose another: --port N") from error
        self.token = secrets.token_urlsafe(16)
        self.host = f"127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        """The page's address, with its secret."""
        return f"http://{self.host}/{self.token}/"
