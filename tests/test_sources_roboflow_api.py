"""Roboflow through its own package: a process apart, and no message with the key (a loopback server stands in)."""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from loopback import LoopbackServer

from repset.errors import ConfigError, RepsetError
from repset.params import SourceSpec
from repset.project import Project
from repset.sources import roboflow as roboflow_module
from repset.sources.fetch import pull_source
from repset.sources.roboflow import fetch_version

WAY_OUT = "Or pull from a copy on this machine: repset pull mm --from FILE."
KEY = "aSecretKey123"


def pull(project: Project, origin: str, spec: SourceSpec, force: bool = False) -> bool:
    return pull_source(project, "mm", spec, origin, lambda folder: None, {}, force, lambda done, total: None)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def nothing_left_over(project: Project) -> bool:
    folder = project.source("mm")
    return not folder.exists() or {p.name for p in folder.iterdir()} <= {"raw"}


def refused(project: Project, origin: str, spec: SourceSpec) -> str:
    """The message, after checking that what was there before is untouched and nothing else is left."""
    project.raw("mm").mkdir(parents=True, exist_ok=True)
    (project.raw("mm") / "before").write_bytes(b"old")
    with pytest.raises(RepsetError) as caught:
        pull(project, origin, spec)
    assert contents(project.raw("mm")) == {"before": b"old"}
    assert nothing_left_over(project)
    return str(caught.value)


def export_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for split in ("train", "valid", "test"):
            archive.writestr(f"{split}/_classes.csv", "Pixel Value, Class\n0, background\n1, biceps")
            image = np.zeros((16, 16, 3), np.uint8)
            name = f"{split}/{split}_jpg.rf.{'0' * 32}"
            archive.writestr(f"{name}.jpg", bytes(cv2.imencode(".jpg", image)[1]))
            archive.writestr(f"{name}_mask.png", bytes(cv2.imencode(".png", image[..., 0])[1]))
        archive.writestr("README.roboflow.txt", "The dataset includes 3 images.")
    return out.getvalue()


PROJECT = {
    "id": "jim-ps1mt/jim_sem", "name": "jim_sem", "type": "semantic-segmentation", "created": 1.0, "updated": 2.0,
    "images": 3, "public": True, "splits": {}, "unannotated": 0, "annotation": "muscle", "classes": {}, "colors": {},
}  # fmt: skip
VERSION = {
    "id": "jim-ps1mt/jim_sem/1", "name": "v1", "created": 1.0, "images": 3, "splits": {}, "preprocessing": {},
    "augmentation": {}, "exports": [], "generating": False, "progress": 1,
}  # fmt: skip


NO_KEY = {"error": {"message": f"This API key ({KEY}) does not exist (or has been revoked)."}}


class Api:
    """The six requests that Roboflow's package makes for a download."""

    def __init__(self) -> None:
        self.export = export_zip()
        self.key_status, self.link_status, self.hang = 200, 200, False
        self.http = LoopbackServer(self.answer)
        self.base = self.http.url

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        request.rfile.read(int(request.headers.get("Content-Length") or 0))
        path = request.path.split("?")[0]
        if self.hang:
            time.sleep(3)
        answers: dict[str, tuple[int, Any]] = {
            "/": (self.key_status, {"workspace": "jim-ps1mt"} if self.key_status == 200 else NO_KEY),
            "/jim-ps1mt": (
                200,
                {"workspace": {"name": "jim", "url": "jim-ps1mt", "projects": [PROJECT], "members": 1}},
            ),
            "/jim-ps1mt/jim_sem": (200, {"workspace": {}, "project": PROJECT, "versions": [VERSION]}),
            "/jim-ps1mt/jim_sem/1": (200, {"version": VERSION}),
            "/jim-ps1mt/jim_sem/1/png-mask-semantic": (200, {"export": {"link": f"{self.base}/export.zip"}}),
            "/export.zip": (self.link_status, self.export if self.link_status == 200 else b"<html>no</html>"),
        }
        status, content = answers.get(path, (404, {"error": {"message": "Unsupported request"}}))
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("Content-Type", "application/json")
        request.end_headers()
        request.wfile.write(body)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    api = Api()
    monkeypatch.setenv("API_URL", api.base)
    monkeypatch.setenv("ROBOFLOW_API_KEY", KEY)
    yield api
    api.http.close()


ROBOFLOW = SourceSpec(family="roboflow", rendered=False, origin="roboflow:jim-ps1mt/jim_sem/1")
NAMED = "roboflow:jim-ps1mt/jim_sem/1: expected"


def test_a_roboflow_version_becomes_one_archive_without_the_key(project: Project, api: Api, tmp_path: Path) -> None:
    assert pull(project, ROBOFLOW.origin, ROBOFLOW)
    (archive,) = project.raw("mm").iterdir()
    with zipfile.ZipFile(archive) as opened:
        assert len(opened.namelist()) == 10
    assert not pull(project, ROBOFLOW.origin, ROBOFLOW)
    assert nothing_left_over(project)
    assert not any(KEY.encode() in data for data in contents(tmp_path).values())


def test_an_export_that_lacks_images_is_refused(project: Project, api: Api) -> None:
    with zipfile.ZipFile(io.BytesIO(api.export)) as whole:
        files = {name: whole.read(name) for name in whole.namelist() if not name.startswith("test/")}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    api.export = out.getvalue()
    assert refused(project, ROBOFLOW.origin, ROBOFLOW) == (
        f"{NAMED} an export as png-mask-semantic, found 2 of the 3 images it states. {WAY_OUT}"
    )


def test_an_export_that_leads_outside_is_not_unpacked(project: Project, api: Api, tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("train/_classes.csv", "Pixel Value, Class\n0, background")
        archive.writestr("../../escaped.txt", "out")
    api.export = out.getvalue()
    assert refused(project, ROBOFLOW.origin, ROBOFLOW) == (
        f"{NAMED} an export as png-mask-semantic, found the name '../../escaped.txt', which leads outside. {WAY_OUT}"
    )
    assert not list(tmp_path.rglob("escaped.txt"))


def test_roboflow_refuses_the_key(project: Project, api: Api) -> None:
    api.key_status = 401
    assert refused(project, ROBOFLOW.origin, ROBOFLOW) == (
        f"{NAMED} an export as png-mask-semantic, found that Roboflow does not accept the key. {WAY_OUT}"
    )


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("x\nBadZipFile: File is not a zip file\n", "a download that is no archive"),
        ("TypeError: int() argument must be a string, not 'NoneType'", "a download that is no archive"),
        ("RuntimeError: Version number 9 is not found.", "RuntimeError: Version number 9 is not found"),
        ("RoboflowError: Unsupported request", "RoboflowError: Unsupported request"),
        ("", "no reason given"),
    ],
)
def test_what_the_package_says_becomes_a_phrase(said: str, reason: str) -> None:
    assert roboflow_module.explain(said) == reason


def test_roboflow_without_a_network(project: Project, api: Api) -> None:
    api.http.close()
    assert refused(project, ROBOFLOW.origin, ROBOFLOW) == (
        f"{NAMED} an export as png-mask-semantic, found no connection to Roboflow. {WAY_OUT}"
    )


def test_roboflow_that_never_answers_is_stopped(tmp_path: Path, api: Api) -> None:
    api.hang = True
    with pytest.raises(RepsetError) as caught:
        fetch_version(ROBOFLOW.origin, "png-mask-semantic", tmp_path / "new", "Go on", timeout_s=1)
    assert str(caught.value) == f"{NAMED} an export as png-mask-semantic, found no answer within 1 s. Go on."


def test_a_missing_key_a_placeholder_and_a_misspelt_origin(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROBOFLOW_API_KEY", raising=False)
    assert refused(project, ROBOFLOW.origin, ROBOFLOW) == (
        f"{NAMED} a key in ROBOFLOW_API_KEY, found none. Set it to the private API key of your Roboflow account. "
        f"{WAY_OUT}"
    )
    monkeypatch.setenv("ROBOFLOW_API_KEY", "YOUR_KEY")
    assert refused(project, ROBOFLOW.origin, ROBOFLOW) == (
        f"{NAMED} a private API key in ROBOFLOW_API_KEY, found a placeholder. Copy it again."
    )
    with pytest.raises(ConfigError) as caught:
        pull(project, "roboflow:jim_sem", ROBOFLOW)
    assert str(caught.value) == "roboflow:jim_sem: expected roboflow:workspace/project/version. Mend the origin."


def test_no_message_shows_the_key() -> None:
    said = f"Traceback\nHTTPError: 500 for https://api.example/?api_key={KEY}&x=1 and api_key=other"
    explained = roboflow_module.explain(roboflow_module.scrub(said, KEY))
    assert explained == "HTTPError: 500 for https://api.example/?api_key=***&x=1 and api_key=***"
