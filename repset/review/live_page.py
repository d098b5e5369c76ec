"""One local page that shows pictures as they come; nothing of them is kept."""

import threading
from collections.abc import Iterator
from http import HTTPStatus
from importlib.resources import files

import cv2

from repset.review.local_page import TYPES, LocalServer, PageHandler
from repset.video import Image

_ASSETS = {"": "index.html", "live.css": "live.css"}
_QUALITY = 85  # of JPEG
_WAIT_S = 5.0  # for a picture, before the browser is looked for again


class _Handler(PageHandler):
    policy = "default-src 'none'; style-src 'self'; img-src 'self' data:"
    server: "LivePage"

    def get(self, path: str) -> None:
        """The page, and the stream of JPEGs that it shows."""
        if path in _ASSETS:
            name = _ASSETS[path]
            data = files("repset.review").joinpath("live", name).read_bytes()
            self.send_bytes(HTTPStatus.OK, data, TYPES[name.rpartition(".")[2]])
        elif path == "stream":
            self._stream()
        else:
            self.not_found()

    def post(self, path: str) -> None:
        """Nothing is taken."""
        self.close_connection = True  # its body is not read
        self.not_found()

    def _stream(self) -> None:
        """Each new picture as a part of one answer, until the server or the browser ends."""
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        for name, value in (
            ("Content-Type", "multipart/x-mixed-replace; boundary=picture"), ("Cache-Control", "no-store"),
            ("Connection", "close"), ("X-Content-Type-Options", "nosniff"),
        ):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        for jpeg in self.server.pictures():
            head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")


class LivePage(LocalServer):
    """The page's server on the loopback; it answers in a thread of its own.

    Args:
        port: 0 takes a free one.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(_Handler, port)
        self._new, self._jpeg, self._number, self._open = threading.Condition(), b"", 0, True
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def show(self, image: Image) -> None:
        """The picture (BGR) that everyone who looks sees next."""
        jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
        with self._new:
            self._jpeg, self._number = jpeg, self._number + 1
            self._new.notify_all()

    def pictures(self) -> Iterator[bytes]:
        """The latest JPEG again and again; ends with the server."""
        jpeg, number = self._after(0)
        while self._open:
            if jpeg:
                yield jpeg
            jpeg, number = self._after(number)

    def _after(self, number: int) -> tuple[bytes, int]:
        """The latest JPEG and its number, as soon as that is another."""
        with self._new:
            self._new.wait_for(lambda: self._number > number or not self._open, _WAIT_S)
            return self._jpeg, self._number

    def server_close(self) -> None:
        """End every stream and close the port."""
        with self._new:
            self._open = False
            self._new.notify_all()
        self.shutdown()
        super().server_close()
