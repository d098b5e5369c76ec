"""A file over https: resumed where the server allows it, never passing as complete when it is not."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from repset.errors import DataError, RepsetError
from repset.records import sha256_bytes, sha256_file

TIMEOUT_S = 30.0
TRIES = 4
_PIECE = 1 << 20
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

Meter = Callable[[int, int | None], None]
"""Told the bytes so far and in all (None: the server does not say)."""


def download(
    url: str, cache: Path, size: int | None, sha256: str | None, meter: Meter, way_out: str, pause_s: float = 1.0
) -> Path:
    """Fetch `url` into the folder `cache`; returns the finished file, which is the caller's to move.

    A broken connection is taken up again a few times, and by the next call after that.

    Args:
        size, sha256: what the file must have, where known.
        way_out: last sentence of a message, without its full stop.
        pause_s: first wait between two tries; doubles.
    Raises: RepsetError without a connection; DataError if what arrived is not what was pinned (it is deleted then).
    """
    check_url(url)
    part = cache / f"{sha256_bytes(url.encode())[:16]}.part"
    cache.mkdir(parents=True, exist_ok=True)
    reason = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(pause_s * 2 ** (attempt - 1))
        try:
            if _transfer(url, part, meter):
                break
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} ({str(error.reason).splitlines()[0]})"
            if error.code < 500 and error.code not in (408, 429):
                raise RepsetError(f"{public(url)}: expected a download, found {reason}. {way_out}.") from None
        except (OSError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", None) or error
            reason = str(getattr(cause, "strerror", None) or cause) or type(error).__name__
    else:
        kept = " What has arrived is kept; run the same command again to go on." if part.exists() else ""
        raise RepsetError(f"{public(url)}: expected a download, found no connection ({reason}).{kept} {way_out}.")
    _verify(part, public(url), size, sha256)
    _note(part).unlink(missing_ok=True)
    return part


def check_url(url: str) -> None:
    """Refuse what is not https; plain http only to this machine. Raises: RepsetError."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise RepsetError(f"{public(url)}: expected an https address, found {parts.scheme or 'none'}. Use https.")


def public(url: str) -> str:
    """The address without user, password and query, which may carry secrets."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Few, and never to a place that `check_url` refuses."""

    max_redirections = 5

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _note(part: Path) -> Path:
    """Beside a part: the server's mark of the version it belongs to."""
    return part.with_suffix(".json")


def _transfer(url: str, part: Path, meter: Meter) -> bool:
    """One connection; returns whether the file is complete as far as the server says."""
    have = part.stat().st_size if part.exists() else 0
    mark: str | None = json.loads(_note(part).read_text()) if have and _note(part).exists() else None
    if mark is None:
        have = 0
    headers: dict[str, str] = {"User-Agent": "repset", "Accept-Encoding": "identity"}
    if mark is not None:
        headers |= {"Range": f"bytes={have}-", "If-Range": mark}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  # check_url allowed it
    try:
        answer = urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        part.unlink()  # as long as the file or longer: start again
        return False
    with answer:
        resumed = answer.status == 206 and str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-")
        if not resumed:
            have = 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        strong = answer.headers.get("ETag", "")
        mark = strong if strong and not strong.startswith("W/") else answer.headers.get("Last-Modified")
        if mark:
            _note(part).write_text(json.dumps(mark))
        else:
            _note(part).unlink(missing_ok=True)
        with part.open("ab" if resumed else "wb") as handle:
            while piece := answer.read(_PIECE):
                handle.write(piece)
                have += len(piece)
                meter(have, total)
    return total is None or have == total


def _verify(part: Path, where: str, size: int | None, sha256: str | None) -> None:
    found_size = part.stat().st_size
    wrong = None
    if size is not None and found_size != size:
        wrong = (f"{size:,} bytes", f"{found_size:,}")
    elif sha256 is not None and (found := sha256_file(part)) != sha256.lower():
        wrong = (f"SHA-256 {sha256.lower()}", found)
    if wrong:
        part.unlink()
        _note(part).unlink(missing_ok=True)
        raise DataError(where, *wrong, "Check the address and the pinned values; the file was deleted")
