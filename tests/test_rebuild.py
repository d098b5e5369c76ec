"""Everything but the ledger is lost at once: stage outputs, DVC's cache, FiftyOne's database, the Label Studio server.

Decisions made with all three tools come back: in the curated tables of a forced `dvc repro`, in what FiftyOne is given,
and in what a new Label Studio server is sent.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import label_studio_stub as stub
import label_studio_world as world
import pytest

pytest.importorskip("bson", reason="FiftyOne (extra: review) is not installed")
pytest.importorskip("dvc", reason="DVC (extra: pipeline) is not installed")

from repset.curate.chain import trace
from repset.curate.ledger import Ledger
from repset.project import TASKS, Project
from repset.records import read_rows, sha256_bytes
from repset.review.fiftyone_decide import Picked, decide, labels_of
from repset.review.fiftyone_docs import Source
from repset.review.ls_values import rle_from_mask
from repset.review.rep_queue import Desk, repetitions

pytestmark = pytest.mark.graph
SOURCES = {"muscle_mask": "photos", "exercise": "clips", "form": "clips"}


def run(project: Project, *words: str) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                   "DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[1])}  # fmt: skip
    done = subprocess.run(words, cwd=project.root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def here(tmp_path: Path) -> Project:
    """Photos and clips under a graph of three stages, as the project's own curate."""
    project: Project = world.project_at(tmp_path)
    world.photos(project, 4)
    world.clips(project)
    stages = "".join(
        f"  {task}:\n    cmd: repset curate {task} {source}\n    deps:\n    - datasets/{source}/index\n"
        f"    - datasets/reviews\n    outs:\n    - datasets/curated/{task}/{source}\n"
        for task, source in SOURCES.items()
    )
    (tmp_path / "dvc.yaml").write_text(f"stages:\n{stages}")
    run(project, "git", "init", "-q")
    run(project, "dvc", "init", "-q")
    return project


def decisions_with_every_tool(project: Project, there: Any) -> None:
    """Anna and Ben in Label Studio (and at odds), Carl at the bench, Dora in FiftyOne."""
    world.send(project, there)
    tasks = world.by_sample(there)
    edited = world.shown(tasks["photos/000"])
    biceps = next(one for one in edited if one["value"]["brushlabels"] == ["biceps"])
    biceps["value"]["rle"] = rle_from_mask(world.blob_mask(77))
    there.store.annotate(tasks["photos/000"]["id"], edited)
    without = [one for one in edited if one is not biceps]
    there.store.annotate(tasks["photos/000"]["id"], without, by=2, at="2026-11-21T12:00:00Z")
    there.store.annotate(tasks["photos/001"]["id"], world.shown(tasks["photos/001"]))
    world.bring(project, there)
    items = repetitions(project, "clips", "carl", "clip")
    desk = Desk(Ledger(project.reviews), "carl", items)
    for number, (verdict, end) in enumerate((("incorrect", 10), ("incorrect", 20), ("reject", 34), ("correct", 10))):
        one = items[number]
        desk.decide(
            {"id": one.id, "verdict": verdict, "start": one.start, "end": end, "seconds": 2.0, "nonce": f"n{number}"}
        )
    desk.undo("u")
    source = Source(project, "clips")
    decide(project, source, labels_of(source, Picked((("clips/001", ""),), {}), "exercise"), "relabel", "lunge", "dora")


def curated(project: Project) -> dict[str, bytes]:
    return {task: (project.curated(task, source) / "table.parquet").read_bytes() for task, source in SOURCES.items()}


def said(project: Project) -> list[tuple[str, str, str, str]]:
    """Sample, what it is about, what holds, who said so; of every label a person decided."""
    found = []
    for task, source in SOURCES.items():
        for row in read_rows(project.curated(task, source) / "table.parquet", "curated"):
            if row["reviewer"] is not None:
                target = json.loads(row["target"])
                about = target.get("class") or f"{target.get('frames')}"
                value = sha256_bytes(row["blob"])[:8] if row["blob"] else json.loads(row["value"])
                found.append((row["sample_id"], about, value, row["reviewer"]))
    return sorted(found)


def shown_in_fiftyone(project: Project) -> dict[str, str]:
    """What its database is built from, sample by sample."""
    kinds = (("photos", "image"), ("clips", "clip"))
    return {str(entry.key): entry.digest
            for name, kind in kinds for entry in Source(project, name).entries(kind)}  # fmt: skip


def shown_in_label_studio(project: Project, server: Any) -> dict[str, Any]:
    world.send(project, server)
    world.send(project, server, "clips", "clip")
    tasks = server.store.tasks.values()
    return {task["data"]["key"]: [task["meta"]["repset"]["seal"], task["predictions"][0]["result"]] for task in tasks}


def what_became(project: Project) -> dict[str, str]:
    """Decision → applied, overruled, undone, …"""
    samples = {decision.sample_id for decision in Ledger(project.reviews).read()}
    return {
        key: status
        for sample in samples
        for task in trace(project, sample).tasks
        for key, status in task.status.items()
    }


def test_the_ledger_rebuilds_every_decision(here: Project) -> None:
    with stub.stub() as there:
        decisions_with_every_tool(here, there)
    run(here, "dvc", "repro", "-q")
    png = {n: sha256_bytes(world.png(world.blob_mask(n)))[:8] for n in (*range(6), 77)}
    expected = [
        ("clips/000", "[0, 10]", "incorrect", "carl"),
        ("clips/000", "[12, 20]", "incorrect", "carl"),
        ("clips/001", "[0, 40]", "lunge", "dora"),
        ("photos/000", "calf", png[1], "ben"),
        ("photos/000", "triceps", png[2], "ben"),
        ("photos/001", "biceps", png[3], "anna"),
        ("photos/001", "calf", png[4], "anna"),
        ("photos/001", "triceps", png[5], "anna"),
    ]
    assert said(here) == expected
    report = json.loads((here.curated("muscle_mask", "photos") / "report.json").read_text())
    (conflict,) = report["decisions"]["conflicts"]  # anna's edited biceps, ben's rejected one
    assert [(one["reviewer"], one["action"]) for one in conflict["said"]] == [("anna", "edit"), ("ben", "reject")]
    status = what_became(here)
    assert sorted(status.values()) == ["applied"] * 10 + ["overruled"] * 3 + ["undo", "undone"]
    ledger = {path.name: path.read_bytes() for path in sorted(here.reviews.rglob("*")) if path.is_file()}
    before, in_app = curated(here), shown_in_fiftyone(here)
    with stub.stub() as another:
        in_editor = shown_in_label_studio(here, another)

    for folder in (here.root / "datasets" / "curated", here.root / ".dvc" / "cache", here.cache):
        assert folder.exists()
        shutil.rmtree(folder)
    (here.root / "dvc.lock").unlink()

    run(here, "dvc", "repro", "-q", "--force")
    assert curated(here) == before
    assert said(here) == expected
    assert what_became(here) == status
    assert len(in_app) == 6
    assert shown_in_fiftyone(here) == in_app
    with stub.stub() as fresh:
        assert shown_in_label_studio(here, fresh) == in_editor
        assert world.bring(here, fresh).written == 0
    assert {path.name: path.read_bytes() for path in sorted(here.reviews.rglob("*")) if path.is_file()} == ledger
    assert set(SOURCES) == set(TASKS)
