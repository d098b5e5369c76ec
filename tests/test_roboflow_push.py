"""Masks back to Roboflow: measured polygons, nothing sent twice, no key anywhere (a loopback server stands in)."""

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import LoopbackServer
from pycocotools import mask as coco

from repset.cli import cli
from repset.errors import ConfigError, RepsetError
from repset.params import SourceSpec
from repset.project import Project
from repset.records import canonical_json, write_table
from repset.review.roboflow_plan import PushImage, mask_polygons, plan_push
from repset.review.roboflow_push import Pushed, push_images, record_path
from repset.video import ShardWriter, encode_png

KEY = "aSecretKey123"
TO = "jim-ps1mt/jim_sem"
SPEC = SourceSpec(family="roboflow", rendered=False, origin="roboflow:jim-ps1mt/jim_sem/1",
                  class_map={"background": "background", "Activated Biceps": "biceps", "calf": "calf"})  # fmt: skip


def blob(*boxes: tuple[int, int, int, int], hole: tuple[int, int, int, int] | None = None) -> np.ndarray:
    mask = np.zeros((48, 64), np.uint8)
    for x, y, w, h in boxes:
        mask[y : y + h, x : x + w] = 255
    if hole:
        x, y, w, h = hole
        mask[y : y + h, x : x + w] = 0
    return mask


MASKS = {"one": {"biceps": blob((5, 5, 20, 12)), "calf": blob((30, 20, 20, 20), hole=(36, 26, 6, 6))},
         "two": {"calf": blob((2, 2, 6, 30), (40, 4, 10, 10))}, "three": {}}  # fmt: skip


@pytest.fixture
def curated(project: Project) -> Project:
    """Three photos: a person has decided about two of them."""
    (project.pipelines / "rf.yaml").write_text(
        "family: roboflow\nrendered: false\norigin: roboflow:jim-ps1mt/jim_sem/1\n"
        "class_map: {Activated Biceps: biceps, calf: calf}\n"
    )
    index = project.index("rf")
    shards, rows = ShardWriter(index, 1 << 20), []
    for number, (stem, masks) in enumerate(MASKS.items()):
        image = np.full((48, 64, 3), 40 * number, np.uint8)
        shards.add(f"rf/{stem}", 0, "a" * 32, f"{stem}_jpg.rf.{'a' * 32}.jpg", bytes(cv2.imencode(".jpg", image)[1]))
        for label, mask in {"background": None, **masks}.items():
            target = {"class": label, "person": 0, "variant": "a" * 32}
            png = None if mask is None else encode_png(mask)
            rows.append(
                dict(sample_id=f"rf/{stem}", source="rf", fold="validation" if stem == "two" else "train",
                     task="muscle_mask", target=canonical_json(target), blob=png, origin="human", tier="edited",
                     reviewer=None if stem == "three" else "ann")
            )  # fmt: skip
    shards.close()
    write_table(index / "frames.parquet", "frames", shards.rows)
    write_table(project.curated("muscle_mask", "rf") / "table.parquet", "curated", rows)
    return project


class Api:
    """The requests of a push: key, workspace, project, then an image and its annotation at a time."""

    def __init__(self) -> None:
        self.uploads: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.known: set[str] = set()
        self.annotated: set[str] = set()
        self.fail: dict[str, list[int]] = {}  # path prefix → statuses of the next answers
        self.hang = False
        self.http = LoopbackServer(self.respond)

    def respond(self, request: BaseHTTPRequestHandler) -> None:
        status, content = self.answer(request)
        body = json.dumps(content).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("Content-Type", "application/json")
        request.end_headers()
        request.wfile.write(body)

    def answer(self, request: BaseHTTPRequestHandler) -> tuple[int, Any]:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        address = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        if query.get("api_key") != KEY:
            return 401, {"error": {"message": f"This API key ({query.get('api_key')}) does not exist"}}
        if self.hang and "upload" in address.path:
            time.sleep(4)
        for prefix, statuses in self.fail.items():
            if address.path.startswith(prefix) and statuses:
                return statuses.pop(0), {"error": {"message": f"told to fail at {request.path}"}}
        project = {
            "id": TO, "name": "jim_sem", "type": "semantic-segmentation", "created": 1.0, "updated": 2.0, "images": 3,
            "public": True, "splits": {}, "unannotated": 0, "annotation": "muscle", "classes": {}, "colors": {},
        }  # fmt: skip
        if address.path in ("/", "/jim-ps1mt", "/jim-ps1mt/jim_sem"):
            workspace = {"name": "jim", "url": "jim-ps1mt", "projects": [project], "members": 1}
            about = {"workspace": "jim-ps1mt" if address.path == "/" else workspace, "project": project, "versions": []}
            return 200, about
        if address.path == "/dataset/jim_sem/upload":
            name = body.split(b'name="name"\r\n\r\n')[1].split(b"\r\n")[0].decode()
            split = body.split(b'name="split"\r\n\r\n')[1].split(b"\r\n")[0].decode()
            self.uploads.append({"name": name, "split": split, "batch": query.get("batch")})
            duplicate = name in self.known
            self.known.add(name)
            return 200, {"duplicate": True, "id": name} if duplicate else {"success": True, "id": name}
        if address.path.startswith("/dataset/jim_sem/annotate/"):
            image = address.path.rsplit("/", 1)[1]
            if image in self.annotated and query.get("overwrite") != "true":
                return 409, {"error": {"message": "Image was already annotated."}}
            self.annotated.add(image)
            content = json.loads(json.loads(body)["annotationFile"])
            self.annotations.append({"image": image, "name": query["name"], "coco": content})
            return 200, {"success": True}
        return 404, {"error": {"message": "Unsupported request"}}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    api = Api()
    monkeypatch.setenv("API_URL", api.http.url)
    monkeypatch.setenv("ROBOFLOW_API_KEY", KEY)
    yield api
    api.http.close()


def plan(project: Project, everything: bool = False, min_iou: float = 1.0) -> list[PushImage]:
    return list(plan_push(project, "rf", SPEC, everything, min_iou))


def send(project: Project, images: list[PushImage] | None = None, **options: Any) -> Pushed:
    images = plan(project) if images is None else images
    options = {"overwrite": False, "silence_s": 60.0} | options
    return push_images(project, "rf", TO, images, "repset", meter=lambda done, total: None, **options)


def no_key_in(folder: Path) -> bool:
    return not any(b"aSecretKey" in p.read_bytes() for p in folder.rglob("*") if p.is_file())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 5, 9]))
def test_the_loss_of_every_mask_is_what_coco_itself_measures(seed: int, blur: int) -> None:
    """Random shapes, with holes and several parts; pycocotools rasterises what is sent."""
    noise = np.random.default_rng(seed).normal(0, 1, (40, 56)).astype(np.float32)
    mask = cv2.GaussianBlur(noise, (0, 0), blur) > 0
    if not mask.any():  # pycocotools merges no empty list
        assert mask_polygons(mask, 1.0) == ((), 1.0)
        return
    for wanted in (1.0, 0.97, 0.9):
        polygons, iou = mask_polygons(mask, wanted)
        drawn = coco.decode(coco.merge(coco.frPyObjects([list(p) for p in polygons], 40, 56))).astype(bool)
        union = (drawn | mask).sum()
        assert iou == pytest.approx((drawn & mask).sum() / union)
        assert iou >= min(wanted, 0.97)


def test_a_mask_with_holes_keeps_them() -> None:
    ring = blob((10, 10, 30, 30), hole=(20, 20, 8, 8)) > 0
    (polygon,), iou = mask_polygons(ring, 1.0)
    drawn = coco.decode(coco.merge(coco.frPyObjects([list(polygon)], 48, 64))).astype(bool)
    assert not drawn[22:26, 22:26].any()
    assert iou >= 0.98


def test_the_plan_holds_what_people_decided_in_the_sets_own_words(curated: Project) -> None:
    one, two = plan(curated)
    assert (one.key, one.name, one.split) == ("rf/one|" + "a" * 32, f"one_jpg.rf.{'a' * 32}.jpg", "train")
    assert [(shape.label, shape.iou) for shape in two.shapes] == [("calf", 1.0)]
    assert (two.split, len(two.shapes[0].polygons)) == ("valid", 2)
    content = json.loads(one.annotation)
    assert content["categories"] == [
        {"id": 1, "name": "Activated Biceps", "supercategory": "muscle"},
        {"id": 2, "name": "calf", "supercategory": "muscle"},
    ]
    assert content["images"] == [{"id": 1, "file_name": one.name, "width": 64, "height": 48}]
    box = content["annotations"][0]
    assert (box["bbox"], box["area"], box["category_id"]) == ([5.0, 5.0, 20.0, 12.0], 240.0, 1)
    assert sorted(zip(box["segmentation"][0][::2], box["segmentation"][0][1::2], strict=True)) == [
        (5.0, 5.0), (5.0, 17.0), (25.0, 5.0), (25.0, 17.0),
    ]  # fmt: skip
    assert len(plan(curated, everything=True)) == 3
    assert [image.digest for image in plan(curated)] == [one.digest, two.digest]


def test_what_was_sent_is_not_sent_again(curated: Project, api: Api, tmp_path: Path) -> None:
    done = send(curated)
    assert (done.states, done.before, done.refused) == ({"sent": 2}, 0, [])
    assert [(row["split"], row["batch"]) for row in api.uploads] == [("train", "repset"), ("valid", "repset")]
    assert [row["name"] for row in api.annotations] == [
        f"{stem}_jpg.rf.{'a' * 32}.coco.json" for stem in ("one", "two")
    ]
    assert [len(row["coco"]["annotations"]) for row in api.annotations] == [2, 1]
    again = send(curated)
    assert (again.states, again.before, len(api.uploads)) == ({}, 2, 2)
    assert no_key_in(tmp_path)


def test_without_the_record_the_server_says_what_it_has(curated: Project, api: Api) -> None:
    send(curated)
    record_path(curated, "rf").unlink()
    done = send(curated)
    assert done.states == {"already annotated": 2}
    assert [reason for _, reason in done.refused] == ["already annotated"] * 2
    assert send(curated, overwrite=True).states == {"known, annotated": 2}
    assert send(curated).before == 2


def test_a_push_that_was_stopped_goes_on_where_it_was(curated: Project, api: Api) -> None:
    api.fail = {"/dataset/jim_sem/annotate/two": [500, 500, 500]}
    with pytest.raises(RepsetError) as caught:
        send(curated)
    assert str(caught.value).startswith(f"roboflow:{TO}: expected every image to be taken, found AnnotationSaveError: ")
    assert str(caught.value).endswith(". What was sent is noted; run the same command again to go on.")
    assert [row["image"][:3] for row in api.annotations] == ["one"]
    record = record_path(curated, "rf")
    record.write_text(record.read_text() + '{"key": "rf/tw')  # as a kill may leave it
    done = send(curated)
    assert (done.states, done.before) == ({"known, annotated": 1}, 1)


def test_a_busy_server_is_asked_again_and_one_bad_image_does_not_stop_the_others(curated: Project, api: Api) -> None:
    api.fail = {"/dataset/jim_sem/annotate/one": [400], "/dataset/jim_sem/upload": [429]}
    done = send(curated)
    assert done.states == {"failed": 1, "sent": 1}
    ((key, reason),) = done.refused
    assert key == "rf/one|" + "a" * 32
    assert "told to fail" in reason


def test_no_key_stands_in_a_message_or_a_file(
    curated: Project, api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ROBOFLOW_API_KEY", "aSecretKey-wrong")
    with pytest.raises(RepsetError) as caught:
        send(curated)
    assert str(caught.value) == (
        f"roboflow:{TO}: expected every image to be taken, found that Roboflow does not accept the key. "
        "What was sent is noted; run the same command again to go on."
    )
    monkeypatch.setenv("ROBOFLOW_API_KEY", KEY)
    api.fail = {"/dataset/jim_sem/annotate/": [400, 400]}  # the server's text repeats the address, key and all
    assert send(curated).states == {"failed": 2}
    assert no_key_in(tmp_path)


def test_a_server_that_falls_silent_is_given_up(curated: Project, api: Api) -> None:
    api.hang = True
    begun = time.monotonic()
    with pytest.raises(RepsetError) as caught:
        send(curated, silence_s=2.5)
    assert "found no answer within 2 s" in str(caught.value)
    assert time.monotonic() - begun < 10
    with pytest.raises(ConfigError, match=r"^jim_sem: expected workspace/project\. Mend --to\.$"):
        push_images(curated, "rf", "jim_sem", [], "b", False, lambda done, total: None)


def test_the_command_measures_asks_and_sends(
    curated: Project, api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REPSET_ROOT", str(curated.root))

    def run(*words: str, answer: str = "") -> Any:
        return CliRunner().invoke(cli, ["roboflow", "push", "rf", *words], input=answer)

    monkeypatch.delenv("ROBOFLOW_API_KEY")
    dry = run("--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "2 images, 0 of them sent earlier; every mask: .repset/roboflow/rf.losses.csv" in dry.output
    assert dry.output.endswith("Nothing was sent.\n")
    rows = (curated.cache / "roboflow" / "rf.losses.csv").read_text().splitlines()
    assert rows[0] == "image,class,corners,iou"
    assert len(rows) == 4
    assert api.uploads == []
    monkeypatch.setenv("ROBOFLOW_API_KEY", KEY)
    assert run(answer="n\n").exit_code == 1
    assert api.uploads == []
    sent = run(answer="y\n")
    assert sent.exit_code == 0, sent.output
    assert f"Send 2 images to {TO}? [y/N]: y" in sent.output
    assert f"{TO}: 2 sent" in sent.output
    assert "Nothing to send: the project has all of it." in run("--yes").output
    assert no_key_in(tmp_path)


def test_nothing_reviewed_is_nothing_sent(curated: Project) -> None:
    rows = [dict(sample_id="rf/x", task="muscle_mask", target='{"class":"calf"}', fold="train")]
    write_table(curated.curated("muscle_mask", "rf") / "table.parquet", "curated", rows)
    with pytest.raises(RepsetError) as caught:
        plan(curated)
    assert str(caught.value) == (
        "rf: expected images that a person has reviewed, found none. Review some masks first, or send all: --all."
    )
