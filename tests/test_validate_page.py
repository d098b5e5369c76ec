"""The page of `repset validate` in a real browser: clicks become joints, a number becomes a count."""

import threading
from pathlib import Path

import browser
import numpy as np
import pytest

from repset.review.validate_desk import Answers, Desk, DeskServer, prepare
from repset.review.validate_picks import Pick
from repset.video import write_video

BOX = (20, 40, 160, 240)
JOINTS = ("left_shoulder", "left_elbow", "left_wrist")


def test_clicks_become_joints_in_the_whole_picture_and_a_number_a_count(tmp_path: Path) -> None:
    images = [np.full((320, 200, 3), 60, np.uint8) for _ in range(20)]
    write_video(tmp_path / "cam" / "a.mp4", images, 10.0)
    frame = Pick("frame", "cam/a.mp4", "side", "turn", "squat", 7, joints=JOINTS, box=BOX)
    clip = Pick("clip", "cam/a.mp4", "side", "", "squat", 0, 20, 0.0, 1.9, counted=1)
    chosen = prepare(tmp_path / "cam", tmp_path / "out", [frame, clip], lambda done, total, label: None)
    desk = Desk(tmp_path / "out", chosen, Answers(tmp_path / "out" / "answers.jsonl"), "anna")
    server = DeskServer(desk)
    worker = threading.Thread(target=server.serve_until_finished)
    worker.start()
    try:
        with browser.browser(tmp_path / "profile") as page:
            page.open(server.url)
            page.wait("document.querySelector('#ask')?.textContent === 'left shoulder'")
            left, top, scale = page.run(
                "(() => { const m = document.querySelector('#picture').getScreenCTM(); return [m.e, m.f, m.a]; })()"
            )
            page.click(left + 30 * scale, top + 50 * scale)
            page.wait("document.querySelector('#ask').textContent === 'left elbow'")
            page.key("h")
            page.wait("document.querySelector('#ask').textContent === 'left wrist'")
            page.click(left + 90 * scale, top + 120 * scale)
            page.key("u")
            page.wait("document.querySelector('#ask').textContent === 'left wrist'")
            page.click(left + 100 * scale, top + 130 * scale)
            page.wait("!document.querySelector('#next').disabled")
            page.click_on("document.querySelector('#next')")
            page.wait("document.querySelector('#ask').textContent.startsWith('How many')")
            page.run("(() => { const e = document.querySelector('#reps'); e.focus(); return 1; })()")
            page.key("3")
            page.wait("document.querySelector('#reps').value === '3'")
            page.run("(() => { document.querySelector('#does').value = 'squat'; return 1; })()")
            page.key("Enter", text="\r")
            page.wait("!document.querySelector('#end').hidden")
            assert all(url.startswith(server.url) or url.startswith("data:") for url in page.asked)
        assert desk.finished.wait(10)
    finally:
        desk.finished.set()
        worker.join()
        server.server_close()
    joints = desk.answers.latest[frame.id]["joints"]
    assert joints["left_elbow"] is None
    assert joints["left_shoulder"] == pytest.approx([BOX[0] + 30, BOX[1] + 50], abs=0.6)  # a click is a whole pixel
    assert joints["left_wrist"] == pytest.approx([BOX[0] + 100, BOX[1] + 130], abs=0.6)
    assert (desk.answers.latest[clip.id]["reps"], desk.answers.latest[clip.id]["does"]) == (3, "squat")
