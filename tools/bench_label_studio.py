"""How long `repset labelstudio push` takes beside the server's own bare bulk import of the same payload, in one run.

    python tools/label_studio_server.py --install
    python tools/bench_label_studio.py

520 drawn pictures with three masks, thirteen joints and two choices each go to a fresh project of a server started for
this run, by turns through `push` and, task by task the same JSON, through one request to the server's import address.
Goal: at most 1.5 times the bare import.
"""

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import label_studio_server as tool
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))  # the tests' small project, made larger

import label_studio_world as world  # noqa: E402

from repset.curate.decision import Decision  # noqa: E402
from repset.curate.ledger import Ledger  # noqa: E402
from repset.landmarks import PENN_13  # noqa: E402
from repset.project import Project  # noqa: E402
from repset.records import write_table  # noqa: E402
from repset.review.label_studio import Server  # noqa: E402
from repset.review.ls_config import xml  # noqa: E402
from repset.review.ls_items import select  # noqa: E402
from repset.review.ls_push import push  # noqa: E402

SIZE = (480, 640)  # rows and columns of every picture
AT = "2026-11-21T10:00:00Z"


class Listening(Server):
    """The door to the server, which keeps what is imported through it."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(url, token)
        self.bodies: list[bytes] = []

    def add_tasks(self, project: int, body: bytes) -> tuple[int, Any]:
        """Import and remember."""
        self.bodies.append(body)
        return super().add_tasks(project, body)


def fill(project: Project, count: int) -> None:
    """Pictures with masks and joints of the source, an exercise and a verdict of a person each."""
    world.SIZE, world.blob_mask = SIZE, ellipse
    world.photos(project, count)
    rng, poses, ledger = np.random.default_rng(0), [], Ledger(project.reviews)
    for number in range(count):
        sample_id = f"photos/{number:03d}"
        poses.append({"sample_id": sample_id, "frame": 0, "time_s": 0.0, "person": 0, "skeleton": PENN_13.name,
                      "x_px": (rng.random(13) * (SIZE[1] - 1)).tolist(), "visibility": [1.0] * 13,
                      "y_px": (rng.random(13) * (SIZE[0] - 1)).tolist(), "state": [0] * 13,
                      "origin": "dataset"})  # fmt: skip
        target = {"frame": 0, "person": 0}
        for task, value in (("exercise", "squat"), ("form", "correct")):
            ledger.append(Decision("ana", "rep_bench", sample_id, task, target, "new", value, at=AT))
    whole = [dict.fromkeys(world.TABLES["poses"].names) | row for row in poses]
    write_table(project.index("photos") / "poses.parquet", "poses", whole)


def ellipse(seed: int) -> Any:
    """A muscle's worth of mask: about a fiftieth of the picture."""
    rng, image = np.random.default_rng(seed), np.zeros(SIZE, np.uint8)
    centre = (int(rng.integers(100, SIZE[1] - 100)), int(rng.integers(100, SIZE[0] - 100)))
    axes = (int(rng.integers(30, 90)), int(rng.integers(20, 50)))
    return cv2.ellipse(image, centre, axes, float(rng.integers(0, 90)), 0, 360, [1], -1) > 0


def bare_import(url: str, token: str, config: str, body: bytes, title: str) -> float:
    """Seconds of one request to the server's import address, into a fresh project."""

    def ask(path: str, data: bytes) -> bytes:
        headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/api/{path}", data=data, headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=600) as answer:  # noqa: S310
            return bytes(answer.read())

    made = json.loads(ask("projects", json.dumps({"title": title, "label_config": config}).encode()))
    begun = time.perf_counter()
    ask(f"projects/{made['id']}/import", body)
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=520)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--env", type=Path, default=os.environ.get("REPSET_LABEL_STUDIO_ENV"))
    options = parser.parse_args()
    env = Path(options.env or ROOT / ".repset" / "label_studio" / "env")
    with tempfile.TemporaryDirectory() as scratch, socket.socket() as probe:
        project = world.project_at(Path(scratch) / "project")
        fill(project, options.count)
        selection = select(project, "photos", "image")
        shown = [len(item.shown) for item in selection.items]
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        with tool.serving(tool.install(env), Path(scratch) / "server", project.root, port) as server:
            ours, bare, size = [], [], 0
            for number in range(options.rounds):
                door = Listening(server.url, server.token)
                begun = time.perf_counter()
                done = push(door, selection, f"pushed {number}", project.root)
                ours.append(time.perf_counter() - begun)
                assert done.new == options.count
                body = b"[" + b",".join(body[1:-1] for body in door.bodies) + b"]"  # the same bytes
                assert len(json.loads(body)) == options.count
                size = len(body)
                bare.append(bare_import(server.url, server.token, xml(selection.screen), body, f"bare {number}"))
    result = {
        "pictures": options.count,
        "regions_and_choices": float(np.mean(shown)),
        "payload_bytes": size,
        "push_s": [round(value, 2) for value in ours],
        "bare_s": [round(value, 2) for value in bare],
        "ratio": round(statistics.median(ours) / statistics.median(bare), 2),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
