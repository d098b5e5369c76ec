"""The FiftyOne App in a real browser: joints and masks are drawn, a button writes to the ledger, nothing goes out."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser as chrome
import cv2
import label_studio_world as world
import numpy as np
import pytest

from repset.curate.ledger import Ledger
from repset.palette import GREEN, ORANGE, PURPLE, SKY
from repset.project import Project

if importlib.util.find_spec("fiftyone") is None:
    pytest.skip("FiftyOne (extra: review) is not installed", allow_module_level=True)


START_S = 300  # importing FiftyOne takes half a minute on a busy machine, its database as long


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    chrome.chromium()  # skips before anything is built
    found: Project = world.project_at(tmp_path_factory.mktemp("app"))
    world.photos(found, 4)
    world.clips(found)
    return found


@pytest.fixture(scope="module")
def app(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The App's address, served by the command itself."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "repset", "review", "photos", "clips", "--remote", "--port", str(port)]
    log = tmp_path_factory.mktemp("log") / "app.txt"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--reviewer", "ana"], cwd=project.root, stdout=out, stderr=out,
            env={key: value for key, value in os.environ.items() if not key.startswith(("FIFTYONE", "REPSET"))},
        )  # fmt: skip
    try:
        _until_it_answers(f"http://127.0.0.1:{port}/", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)  # as Ctrl-C does
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
    assert (process.returncode, "Traceback" in log.read_text()) == (0, False), log.read_text()[-800:]


def _until_it_answers(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.3)
    said = log.read_text()
    if "expected its database to start" in said:
        pytest.skip(said.strip())
    raise AssertionError(f"the App did not start: {said}")


@pytest.fixture
def page(app: str, tmp_path: Path) -> Iterator[Any]:
    """A fresh browser without FiftyOne's advertisement."""
    with chrome.browser(tmp_path) as found:
        seen = "localStorage.setItem('fiftyone-enterprise-tooltip-seen', 'true')"
        found.call("Page.addScriptToEvaluateOnNewDocument", source=seen)
        yield found


def grid(page: Any, url: str, count: int) -> None:
    page.open(url)
    page.wait(f"document.querySelectorAll('[data-cy=looker]').length >= {count}", 120)


def thumbnail(page: Any, number: int) -> list[float]:
    script = f"document.querySelectorAll('[data-cy=looker]')[{number}].getBoundingClientRect()"
    box: list[float] = page.run(f"(() => {{ const r = {script}; return [r.x, r.y, r.width, r.height]; }})()")
    return box


def select_first(page: Any) -> None:
    """Tick the first thumbnail; a page that is still loading takes a click for nothing, so look and click again."""
    selected = "document.querySelector('[data-cy=action-manage-selected]') !== null"
    for _ in range(12):
        x, y, width, height = thumbnail(page, 0)
        page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + width / 2, y=y + height / 2)
        time.sleep(0.5)
        page.click(x + 14, y + 14)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            if page.run(selected):
                return
            if page.run("document.querySelector('[data-cy=modal]') !== null"):
                page.key("Escape")
            time.sleep(0.3)
    raise AssertionError("no thumbnail could be ticked")


def pixels_like(page: Any, colours: list[tuple[int, int, int]], file: Path, apart: int = 40) -> list[int]:
    """How many pixels of the first thumbnail are near each colour (blue, green, red)."""
    image = cv2.imread(str(page.picture(file)))
    x, y, width, height = (round(value) for value in thumbnail(page, 0))
    cut = image[y : y + height, x : x + width].astype(int)
    return [int((np.abs(cut - np.array(colour)).max(-1) < apart).sum()) for colour in colours]


def until_drawn(page: Any, colours: list[tuple[int, int, int]], least: int, file: Path) -> list[int]:
    end, found = time.monotonic() + 60, [0]
    while time.monotonic() < end:
        found = pixels_like(page, colours, file)
        if min(found) >= least:
            break
        time.sleep(0.5)
    return found


def over(mask: tuple[int, int, int], ground: tuple[int, int, int], share: float = 0.6) -> tuple[int, int, int]:
    """A mask's colour laid over the picture's."""
    blue, green, red = (round(share * a + (1 - share) * b) for a, b in zip(mask, ground, strict=True))
    return blue, green, red


def test_masks_are_drawn_in_their_colours(page: Any, app: str, tmp_path: Path) -> None:
    """Photos are one flat colour; the classes biceps, calf, triceps take the first three colours."""
    grid(page, f"{app}/datasets/photos", 4)
    ground = (40, 90, 120)
    drawn = until_drawn(page, [over(colour, ground) for colour in (SKY, ORANGE, PURPLE)], 200, tmp_path / "a.png")
    assert min(drawn) >= 200, drawn
    away = [url for url in page.asked if "127.0.0.1" not in url and not url.startswith(("data:", "blob:"))]
    assert away == []


def test_joints_of_a_clip_are_drawn_with_their_bones(page: Any, app: str, tmp_path: Path) -> None:
    grid(page, f"{app}/datasets/clips", 2)
    (drawn,) = until_drawn(page, [GREEN], 400, tmp_path / "b.png")
    assert drawn >= 400  # a dozen points alone cover less


def test_a_button_of_the_app_writes_to_the_ledger(page: Any, app: str, project: Project) -> None:
    """Select one photo, Accept by its form, Execute: a line for each of its three masks."""
    grid(page, f"{app}/datasets/photos", 4)
    select_first(page)
    page.key("`", "Backquote")
    page.click_on("document.querySelector('input[placeholder^=\"Search operations\"]')")
    page.call("Input.insertText", text="repset: Accept")
    page.wait("document.body.innerText.includes('repset: Accept')")
    page.key("Enter", "Enter", text="\r")
    execute = "[...document.querySelectorAll('button')].find(one => one.innerText === 'Execute' && !one.disabled)"
    page.click_on(execute, 60)
    end = time.monotonic() + 60
    while len(Ledger(project.reviews).read()) < 3 and time.monotonic() < end:
        time.sleep(0.2)
    said = Ledger(project.reviews).read()
    assert [(d.action, d.target["class"], d.reviewer, d.tool) for d in said] == [
        ("accept", name, "ana", "fiftyone") for name in world.CLASSES
    ]
    assert {d.sample_id for d in said} == {"photos/000"}
