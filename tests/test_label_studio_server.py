"""The real server agrees with the stand-in.

Skipped where `python tools/label_studio_server.py --install` was not run.
"""

import json
import os
import shutil
import socket
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import label_studio_server as tool
import label_studio_world as world
import numpy as np
import pytest
from label_studio_sdk.converter import brush

from repset.curate.ledger import Ledger
from repset.landmarks import PENN_13
from repset.project import Project
from repset.review.label_studio import Server, ServerError
from repset.review.ls_connect import title_of
from repset.review.ls_items import select
from repset.review.ls_pull import pull, status
from repset.review.ls_push import push

ROOT = Path(__file__).resolve().parent.parent
ENV = Path(os.environ.get("REPSET_LABEL_STUDIO_ENV", ROOT / ".repset" / "label_studio" / "env"))
pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(
        not (ENV / "bin" / "label-studio").is_file(),
        reason=f"no Label Studio in {ENV.name}/: python tools/label_studio_server.py --install",
    ),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Project]]:
    """A server on a copy of a fresh database (made once, beside the environment) and a project it can serve."""
    project = world.project_at(tmp_path_factory.mktemp("project"))
    world.photos(project, 5)
    world.clips(project)
    folder, template = tmp_path_factory.mktemp("server"), ENV / f"template-{tool.VERSION}"
    program = ENV / "bin" / "label-studio"
    if not template.is_dir():  # a fresh database takes a minute and a half to migrate, a copied one comes up in seconds
        with tool.serving(program, folder, project.root, free_port()):
            pass
        shutil.copytree(folder, template, ignore=shutil.ignore_patterns("home", "server.log"))
    else:
        shutil.copytree(template, folder, dirs_exist_ok=True)
    with tool.serving(program, folder, project.root, free_port()) as server:
        yield server, project


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(server: Any, method: str, path: str, body: Any = None) -> Any:
    """Straight to the server, past our own code."""
    headers = {"Authorization": f"Token {server.token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}/api/{path}", method=method, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def tasks(server: Any, project: int) -> dict[str, dict[str, Any]]:
    rows = ask(server, "GET", f"tasks/?project={project}&fields=all&page_size=500")["tasks"]
    assert len({row["data"]["key"] for row in rows}) == len(rows)
    return {row["data"]["key"]: row for row in rows}


def test_photos_go_there_and_back(running: tuple[Any, Project]) -> None:
    server, project = running
    door, selection = Server(server.url, server.token), select(project, "photos", "image")
    title, ledger = title_of("photos", "image"), Ledger(project.reviews)
    done = push(door, selection, title, project.root)
    assert (done.new, done.unchanged) == (5, 0)
    assert push(door, selection, title, project.root).unchanged == 5
    there = tasks(server, done.project)
    task = next(row for key, row in there.items() if key.startswith("photos/001"))
    result = task["predictions"][0]["result"]
    for number, name in enumerate(world.CLASSES):
        region = next(one for one in result if one["value"].get("brushlabels") == [name])
        rgba = brush.decode_rle(region["value"]["rle"]).reshape(48, 64, 4)
        assert np.array_equal(rgba[..., 3] == 255, world.blob_mask(3 + number))
    with urllib.request.urlopen(
        urllib.request.Request(server.url + task["data"]["image"], headers={"Authorization": f"Token {server.token}"})
    ) as answer:
        assert answer.read() == selection.media[task["data"]["key"]]().read_bytes()
    edited = world.blob_mask(70)
    for region in result:
        if region["value"].get("brushlabels") == ["calf"]:
            region["value"]["rle"] = brush.mask2rle((edited * 255).astype(np.uint8))
    prediction = task["predictions"][0]["id"]
    body = {"result": result, "lead_time": 9.0, "parent_prediction": prediction}
    ask(server, "POST", f"tasks/{task['id']}/annotations/", body)
    first = pull(door, title, ledger, pngs=selection.pngs)
    assert first.said == {"muscle_mask": Counter(accept=2, edit=1)}
    assert (first.written, first.faults, first.reviewers) == (3, [], Counter(curator=1))
    assert next(d for d in ledger.read() if d.action == "edit").png == world.png(edited)
    assert pull(door, title, ledger, pngs=selection.pngs).written == 0
    # a new server in its place: what people decided is shown there again, and nothing is decided twice
    ask(server, "DELETE", f"projects/{done.project}/")
    again = push(door, select(project, "photos", "image"), title, project.root)
    assert again.new == 5
    shown = next(row for key, row in tasks(server, again.project).items() if key.startswith("photos/001"))
    region = next(r for r in shown["predictions"][0]["result"] if r["value"]["brushlabels"] == ["calf"])
    assert np.array_equal(brush.decode_rle(region["value"]["rle"]).reshape(48, 64, 4)[..., 3] == 255, edited)
    assert pull(door, title, ledger).written == 0
    assert len(ledger.read()) == 3


def test_clips_and_frames_go_there_and_back(running: tuple[Any, Project]) -> None:
    server, project = running
    door, ledger = Server(server.url, server.token), Ledger(project.reviews)
    for kind, count in (("clip", 2), ("frame", 4)):
        selection, title = select(project, "clips", kind, frames=2), title_of("clips", kind)
        done = push(door, selection, title, project.root)
        assert done.new == count
        for task in tasks(server, done.project).values():
            body = {"result": task["predictions"][0]["result"], "lead_time": 1.0}
            ask(server, "POST", f"tasks/{task['id']}/annotations/", body)
        pulled = pull(door, title, ledger)
        assert pulled.faults == []
        assert {action for counts in pulled.said.values() for action in counts} == {"accept"}
        assert pull(door, title, ledger).written == 0
        assert status(door, title, {item.key: item.twin for item in selection.items}, ledger).missing == 0
    pose = next(d for d in ledger.read() if d.task == "pose")
    truth = next(i for i in select(project, "clips", "frame", frames=2).items if i.sample_id == pose.sample_id)
    assert set(pose.value["joints"]) == set(PENN_13.joints) - {PENN_13.joints[3]}
    assert pose.target["frame"] in (10, 30)
    assert truth.skeleton == "penn_13"


def test_a_personal_access_token_opens_the_door_and_a_wrong_key_does_not(running: tuple[Any, Project]) -> None:
    server, _ = running
    token = ask(server, "POST", "token/", {})["token"]
    assert Server(server.url, token).users() == {1: tool.EMAIL}
    assert Server(server.url, token).version() == tool.VERSION
    with pytest.raises(ServerError) as error:
        Server(server.url, "0" * 40).users()
    assert str(error.value) == (
        f"{server.url}: expected a key that it takes, found status 401. "
        "Set LABEL_STUDIO_API_KEY to a token of your account page there."
    )


def test_a_taken_port_is_told_before_the_server_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SystemExit) as stop, tool.serving(ENV / "bin" / "label-studio", tmp_path, tmp_path, port):
            pass
    said = f"Port {port}: expected a free port, found another program on it. Choose one: --port N"
    assert str(stop.value) == said
