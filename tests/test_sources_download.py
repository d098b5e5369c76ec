"""Downloads: resumed, never passing as complete, and only over https (a loopback server stands in)."""

import io
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from loopback import LoopbackServer

from repset.errors import RepsetError
from repset.params import SourceSpec
from repset.project import Project
from repset.records import sha256_bytes
from repset.sources import download as download_module
from repset.sources.download import download
from repset.sources.fetch import pull_source

SPEC = SourceSpec(family="mmfit", rendered=False, origin="x")
WAY_OUT = "Or pull from a copy on this machine: repset pull mm --from FILE."
KEY = "aSecretKey123"


def mmfit_zip(reps: int = 10) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("mm-fit/w00/w00_labels.csv"), f"110,120,{reps},squats\n" * 200)
    return out.getvalue()


def pull(project: Project, origin: str, spec: SourceSpec = SPEC, force: bool = False) -> bool:
    return pull_source(project, "mm", spec, origin, lambda folder: None, {}, force, lambda done, total: None)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def nothing_left_over(project: Project) -> bool:
    folder = project.source("mm")
    return not folder.exists() or {p.name for p in folder.iterdir()} <= {"raw"}


def refused(project: Project, origin: str, spec: SourceSpec = SPEC) -> str:
    """The message, after checking that what was there before is untouched and nothing else is left."""
    project.raw("mm").mkdir(parents=True, exist_ok=True)
    (project.raw("mm") / "before").write_bytes(b"old")
    with pytest.raises(RepsetError) as caught:
        pull(project, origin, spec)
    assert contents(project.raw("mm")) == {"before": b"old"}
    assert nothing_left_over(project)
    return str(caught.value)


class Server:
    """Serves `body`; `drop` ends a connection after so many bytes, once for each entry."""

    def __init__(self) -> None:
        self.body, self.ranges, self.etag, self.status = mmfit_zip(), True, '"one"', 200
        self.drop: list[int] = []
        self.seen: list[str] = []
        self.redirect = ""
        self.http = LoopbackServer(lambda request: self.answer(request))  # looked up anew: a test replaces it
        self.base = self.http.url

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range", "")
        self.seen.append(wanted)
        if self.redirect:
            request.send_response(302)
            request.send_header("Location", self.redirect)
            request.end_headers()
            return
        if self.status != 200:
            request.send_error(self.status)
            return
        start = 0
        if wanted and self.ranges and request.headers.get("If-Range") == self.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        body = self.body[start:]
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.body) - 1}/{len(self.body)}")
        request.send_header("Content-Length", str(len(body)))
        request.send_header("ETag", self.etag)
        request.end_headers()
        request.wfile.write(body[: self.drop.pop(0)] if self.drop else body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    yield server
    server.http.close()


def test_a_download_takes_its_place_under_its_own_name(project: Project, server: Server) -> None:
    assert pull(project, f"{server.base}/files/mm-fit.zip?token=1")
    assert contents(project.raw("mm")) == {"mm-fit.zip": server.body}
    assert not pull(project, f"{server.base}/files/mm-fit.zip?token=1")
    assert len(server.seen) == 1
    assert list((project.cache / "downloads").iterdir()) == []


def test_a_broken_connection_is_taken_up_where_it_ended(project: Project, server: Server) -> None:
    server.drop = [1000, 500]
    assert pull(project, f"{server.base}/mm-fit.zip")
    assert server.seen == ["", "bytes=1000-", "bytes=1500-"]
    assert contents(project.raw("mm")) == {"mm-fit.zip": server.body}


def test_without_ranges_it_starts_again(project: Project, server: Server) -> None:
    server.drop, server.ranges = [1000], False
    assert pull(project, f"{server.base}/mm-fit.zip")
    assert contents(project.raw("mm")) == {"mm-fit.zip": server.body}


def test_a_file_that_changed_meanwhile_is_not_glued_together(project: Project, server: Server) -> None:
    server.drop = [500] * 4
    refused(project, f"{server.base}/mm-fit.zip")
    server.body, server.etag = mmfit_zip(11), '"two"'
    assert pull(project, f"{server.base}/mm-fit.zip")
    assert contents(project.raw("mm")) == {"mm-fit.zip": mmfit_zip(11)}


def test_an_interrupted_download_never_passes_and_the_next_call_goes_on(project: Project, server: Server) -> None:
    server.drop = [100, 100, 100, 100]
    url = f"{server.base}/mm-fit.zip"
    assert refused(project, url) == (
        f"{url}: expected a download, found no connection (the connection ended early). What has arrived is kept; "
        f"run the same command again to go on. {WAY_OUT}"
    )
    server.seen.clear()
    assert pull(project, url)
    assert server.seen == ["bytes=400-"]
    assert contents(project.raw("mm")) == {"mm-fit.zip": server.body}


def test_no_network(project: Project, server: Server) -> None:
    server.http.close()
    url = f"{server.base}/mm-fit.zip"
    assert refused(project, url) == (f"{url}: expected a download, found no connection (Connection refused). {WAY_OUT}")


def test_not_found_is_not_tried_again_and_secrets_in_the_address_are_not_shown(
    project: Project, server: Server
) -> None:
    server.status = 404
    assert refused(project, f"{server.base}/mm-fit.zip?key={KEY}") == (
        f"{server.base}/mm-fit.zip: expected a download, found HTTP 404 (Not Found). {WAY_OUT}"
    )
    assert len(server.seen) == 1


def test_a_server_error_is_tried_again(project: Project, server: Server) -> None:
    server.status = 503
    assert refused(project, f"{server.base}/mm-fit.zip") == (
        f"{server.base}/mm-fit.zip: expected a download, found no connection (HTTP 503 (Service Unavailable)). "
        f"{WAY_OUT}"
    )
    assert len(server.seen) == 4


def test_a_sign_in_page_is_no_archive(project: Project, server: Server) -> None:
    server.body = b"<html>Please sign in</html>"
    assert refused(project, f"{server.base}/mm-fit.zip") == (
        f"{server.base}/mm-fit.zip: expected a zip or tar.gz archive, found a web page or XML. "
        "Check that this is the file you meant."
    )


def test_a_download_that_is_not_what_was_pinned_is_deleted(project: Project, server: Server) -> None:
    found = sha256_bytes(server.body)
    assert refused(project, f"{server.base}/mm-fit.zip", SPEC.model_copy(update={"sha256": "a" * 64})) == (
        f"{server.base}/mm-fit.zip: expected SHA-256 {'a' * 64}, found {found}. "
        "Check the address and the pinned values; the file was deleted."
    )
    assert list((project.cache / "downloads").iterdir()) == []


def test_only_https_and_this_machine(project: Project, server: Server) -> None:
    expected = "expected an https address, found"
    assert refused(project, "http://example.org/a.zip") == f"http://example.org/a.zip: {expected} http. Use https."
    assert refused(project, "ftp://example.org/a.zip") == f"ftp://example.org/a.zip: {expected} ftp. Use https."
    server.redirect = "http://example.org/b.zip"
    assert refused(project, f"{server.base}/a.zip") == f"http://example.org/b.zip: {expected} http. Use https."


def test_endless_redirects_end(project: Project, server: Server) -> None:
    server.redirect = f"{server.base}/again.zip"
    message = refused(project, f"{server.base}/a.zip")
    assert message.startswith(f"{server.base}/a.zip: expected a download, found HTTP 302 (")
    assert "\n" not in message
    assert len(server.seen) <= 7


def test_a_server_that_says_nothing_times_out(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(download_module, "TRIES", 1)
    silent = threading.Event()
    monkeypatch.setattr(server, "answer", lambda request: silent.wait(2))
    with pytest.raises(RepsetError) as caught:
        download(f"{server.base}/a.zip", tmp_path, None, None, lambda done, total: None, "Wait")
    silent.set()
    assert str(caught.value) == (f"{server.base}/a.zip: expected a download, found no connection (timed out). Wait.")
