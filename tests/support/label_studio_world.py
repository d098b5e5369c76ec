"""A small project with photos and clips to send to Label Studio, written as `repset index` writes it."""

import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from repset.curate.decision import Decision
from repset.curate.ledger import Ledger
from repset.landmarks import PENN_13
from repset.project import Project
from repset.records import TABLES, sha256_bytes, write_table
from repset.review.label_studio import Server
from repset.review.ls_connect import title_of
from repset.review.ls_items import select
from repset.review.ls_pull import Pulled, pull
from repset.review.ls_push import Pushed, push
from repset.video import ShardWriter

SIZE = (48, 64)  # rows and columns of every picture
CLASSES = ("biceps", "calf", "triceps")
Row = dict[str, Any]


def png(mask: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", (mask * 255).astype(np.uint8))[1])


def blob_mask(seed: int) -> np.ndarray:
    """A filled ellipse, another one for each seed."""
    rng = np.random.default_rng(seed)
    image = np.zeros(SIZE, np.uint8)
    centre, axes = (
        (int(rng.integers(20, 44)), int(rng.integers(16, 32))),
        (int(rng.integers(5, 15)), int(rng.integers(5, 12))),
    )
    cv2.ellipse(image, centre, axes, float(rng.integers(0, 90)), 0, 360, [1], -1)
    return image > 0


def write(project: Project, source: str, samples: list[Row], **tables: list[Row]) -> None:
    """An index with these rows; the other tables are empty."""
    for name in ("samples", "masks", "sets", "poses", "reps", "form"):
        rows = [dict.fromkeys(TABLES[name].names) | row for row in ({"samples": samples} | tables).get(name, [])]
        write_table(project.index(source) / f"{name}.parquet", name, rows)
    shards = ShardWriter(project.index(source), 1 << 20)
    for sample in samples:
        for frame in range(sample["frames"]):
            picture = np.full((*SIZE, 3), (40 + 7 * frame, 90, 120), np.uint8)
            cv2.putText(picture, sample["sample_id"][-3:], (2, 30), cv2.FONT_HERSHEY_PLAIN, 1, [255, 255, 255])
            shards.add(sample["sample_id"], frame, "", f"{frame:06d}.png", bytes(cv2.imencode(".png", picture)[1]))
    shards.close()
    rows = [dict.fromkeys(TABLES["frames"].names) | row for row in shards.rows]
    write_table(project.index(source) / "frames.parquet", "frames", rows)
    split = [
        {"sample_id": s["sample_id"], "group": s["group"], "fold": "train", "official_split": None} for s in samples
    ]
    write_table(project.split(source) / "split.parquet", "split", split)


def sample(sample_id: str, kind: str, frames: int = 1) -> Row:
    row = {"sample_id": sample_id, "source": sample_id.split("/")[0], "kind": kind, "width": SIZE[1], "height": SIZE[0]}
    row |= {"frames": frames, "fps": 10.0 if kind == "clip" else None, "group": sample_id}
    return row | {"media_sha256": sha256_bytes(sample_id.encode())}


def photos(project: Project, count: int) -> None:
    """Source `photos`: `count` pictures with a mask of each class."""
    samples = [sample(f"photos/{n:03d}", "image") for n in range(count)]
    masks = [
        {"sample_id": s["sample_id"], "variant": "", "person": 0, "label": name, "origin": "dataset",
         "png": png(blob_mask(3 * n + k))}
        for n, s in enumerate(samples) for k, name in enumerate(CLASSES)
    ]  # fmt: skip
    write(project, "photos", samples, masks=masks)


def clips(project: Project) -> None:
    """Source `clips`: two clips of 40 frames at 10 a second, a squat each, three repetitions, joints in every frame."""
    samples = [sample(f"clips/{n:03d}", "clip", 40) | {"exercise": "squat"} for n in range(2)]
    form = [
        {"sample_id": s["sample_id"], "person": 0, "set": 0, "level": "rep", "rep": r, "start": 12 * r,
         "end": 12 * r + 10, "exercise": "squat", "verdict": verdict, "origin": "dataset",
         "rule_set": "truth", "signal": "knee",         "value_deg": 80.0 + 10 * r, "high_deg": 95.0, "view": "side",
         "rule_id": "depth" if verdict == "incorrect" else None}
        for s in samples for r, verdict in enumerate(("correct", "incorrect", "unscorable"))
    ]  # fmt: skip
    poses = []
    for s in samples:
        for frame in range(40):
            rng = np.random.default_rng(frame)
            x, y = rng.random(13) * (SIZE[1] - 1), rng.random(13) * (SIZE[0] - 1)
            state = rng.integers(0, 2, 13)
            state[3], x[3], y[3] = 3, np.nan, np.nan
            poses.append({"sample_id": s["sample_id"], "frame": frame, "time_s": frame / 10, "person": 0,
                          "skeleton": PENN_13.name, "x_px": x.tolist(), "y_px": y.tolist(),
                          "visibility": [1.0] * 13, "state": state.tolist(), "origin": "dataset"})  # fmt: skip
    write(project, "clips", samples, form=form, poses=poses)


def project_at(root: Path) -> Project:
    """An empty project."""
    (root / "datasets" / "reviews").mkdir(parents=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    return Project(root)


# --- speaking to a server ------------------------------------------------------------------------------------------

TOKEN = "0123456789abcdef0123456789abcdef01234567"


def client(there: Any, timeout_s: float = 10) -> Server:
    return Server(there.url, TOKEN, timeout_s, sleep=lambda seconds: time.sleep(min(seconds, 0.02)))


def send(project: Project, there: Any, source: str = "photos", kind: str = "image", **more: Any) -> Pushed:
    options = {name: more.pop(name) for name in ("frames", "blank_share", "probe_share", "proposals") if name in more}
    selection = select(project, source, kind, **options)
    return push(client(there), selection, title_of(source, kind), project.root, **more)


def bring(project: Project, there: Any, source: str = "photos", kind: str = "image", **more: Any) -> Pulled:
    return pull(client(there), title_of(source, kind), Ledger(project.reviews), **more)


def by_sample(there: Any) -> dict[str, dict[str, Any]]:
    """Sample (and frame, where there are several) → its task."""
    return {task["data"]["key"].split("|")[0]: task for task in there.store.tasks.values()}


def lines(project: Project) -> list[Decision]:
    return Ledger(project.reviews).read()


def shown(task: dict[str, Any]) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = json.loads(json.dumps(task["predictions"][0]["result"]))
    return result
