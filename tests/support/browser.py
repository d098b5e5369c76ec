"""A headless Chromium driven over its own debugging pipe: no driver, no port, nothing to install.

Looks for the program named in CHROMIUM, then on PATH; a test skips where there is none.
"""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--mute-audio",
    "--hide-scrollbars", "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)  # fmt: skip


def chromium() -> str:
    """Its path; skips the test where it is not installed."""
    named = os.environ.get("CHROMIUM")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip("no Chromium on PATH (or in CHROMIUM)")
    return found


class Page:
    """One page."""

    def __init__(self, out: int, into: int) -> None:
        self._out, self._in, self._number, self._rest = out, into, 0, b""
        self._sent: dict[str, str] = {}
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")

    @property
    def asked(self) -> list[str]:
        """Every address the page has asked for and was not kept from by its own policy."""
        return list(self._sent.values())

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol and its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            about = answer.get("params", {})
            if answer.get("method") == "Network.requestWillBeSent":
                self._sent[about["requestId"]] = about["request"]["url"]
            if answer.get("method") == "Network.loadingFailed" and about.get("blockedReason") == "csp":
                self._sent.pop(about["requestId"], None)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not wait([self._in], 120):
                raise AssertionError("the browser does not answer")
            self._rest += os.read(self._in, 1 << 20)
        data, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(data)
        return message

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        got = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in got, got["exceptionDetails"]
        return got["result"].get("value")

    def open(self, url: str) -> None:
        """Go there; `wait` for what should be there."""
        self.call("Page.navigate", url=url)

    def wait(self, script: str, seconds: float = 60) -> Any:
        """Until an expression is true; returns its value."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.run(script):
                return value
            time.sleep(0.15)
        raise AssertionError(
            f"not within {seconds} s: {script}; page says: {self.run('document.body.innerText')[:800]}"
        )

    def size(self, width: int, height: int) -> None:
        """Of the window, in pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def click(self, x: float, y: float) -> None:
        """The left button at a place of the page."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def click_on(self, script: str, seconds: float = 30) -> None:
        """The middle of the element that an expression gives."""
        found = f"(() => {{ const e = {script}; if (!e) return null; const r = e.getBoundingClientRect(); "
        x, y = self.wait(found + "return r.width ? [r.x + r.width / 2, r.y + r.height / 2] : null; })()", seconds)
        self.click(x, y)

    def key(self, key: str, code: str = "", text: str | None = None) -> None:
        """One key, down and up."""
        about = {"key": key, "code": code or key, "windowsVirtualKeyCode": ord(key.upper()) if len(key) == 1 else 0}
        text = key if text is None and len(key) == 1 else text or ""
        self.call("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def picture(self, path: Path, kind: str = "png", quality: int = 80) -> Path:
        """What the page looks like, as a file (png | jpeg)."""
        more = {"quality": quality} if kind == "jpeg" else {}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format=kind, **more)["data"]))
        return path


@contextmanager
def browser(profile: Path, width: int = 1400, height: int = 900) -> Iterator[Page]:
    """A page of a fresh browser that cannot leave the machine by name; skips where there is no Chromium."""
    program = chromium()
    to_browser, from_page = os.pipe()
    to_page, from_browser = os.pipe()

    def pipes() -> None:  # the protocol's places: 3 to read commands from, 4 to answer on
        read, write = os.dup(to_browser), os.dup(from_browser)
        os.dup2(read, 3)
        os.dup2(write, 4)

    command = [program, *_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
    process = subprocess.Popen(
        command, close_fds=False, preexec_fn=pipes, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        page = Page(from_page, to_page)
        page.size(width, height)
        yield page
        page._session = None
        page.call("Browser.close")
        process.wait(20)
    finally:
        process.kill()
        process.wait(20)
        os.close(from_page)
        os.close(to_page)
