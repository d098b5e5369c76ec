"""The whole graph, through the real `dvc repro`, on a tiny sample in a folder of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from repset.project import Project
from repset.records import read_rows

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.graph, pytest.mark.train, pytest.mark.pose]

TINY_SAMPLE = {"penn_clips": 9, "penn_frames": 40, "roboflow_photos": 16, "mmfit_workouts": 4}


def run(folder: Path, *words: str) -> str:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(folder / ".cache"),
        "DVC_NO_ANALYTICS": "1",
    }
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def clone(folder: Path) -> Project:
    """The tracked files as they are now, in a git repository of their own, with a tiny sample."""
    listing = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in listing.stdout.splitlines():
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    params = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    params["sample"] |= TINY_SAMPLE
    for group in ("bootstrap", "train"):
        params[group]["segmentation"] |= {"size_px": 64, "max_steps": 3}
        params[group]["exercise"] |= {"epochs": 1}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    run(folder, "git", "init", "-q")
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "start")
    return Project(folder)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which `dvc repro` has run once."""
    project = clone(tmp_path_factory.mktemp("graph"))
    run(project.root, "dvc", "repro")
    return project


def test_every_stage_leaves_its_tables(done: Project) -> None:
    for source, kind in (("sample_roboflow", "image"), ("sample_penn_action", "clip"), ("sample_mmfit", "poses")):
        samples = read_rows(done.index(source) / "samples.parquet", "samples")
        assert samples
        assert {row["kind"] for row in samples} == {kind}
        folds = read_rows(done.split(source) / "split.parquet", "split")
        assert {row["sample_id"] for row in folds} == {row["sample_id"] for row in samples}
        assert (done.labels(source) / "summary.csv").is_file()
        assert done.labeller_scores(source).is_file()
    assert read_rows(done.curated("muscle_mask", "sample_roboflow") / "table.parquet", "curated")
    assert read_rows(done.curated("exercise", "sample_mmfit") / "table.parquet", "curated")


def test_scores_say_that_the_data_is_rendered(done: Project) -> None:
    for model in ("segmentation", "exercise"):
        metrics = json.loads((done.model(model) / "metrics.json").read_text(encoding="utf-8"))
        assert metrics["data"] == "rendered sample"


def test_the_report_is_one_page_without_outside_requests(done: Project) -> None:
    page = (done.root / "report.html").read_text(encoding="utf-8")
    assert "rendered sample" in page
    assert 'src="http' not in page


def test_the_next_repro_finds_nothing_to_do(done: Project) -> None:
    assert "Data and pipelines are up to date." in run(done.root, "dvc", "repro")


def would_run(project: Project) -> set[str]:
    """Stages that the next `dvc repro` would run, with all that depend on them."""
    return set(re.findall(r"Running stage '(.+?)'", run(project.root, "dvc", "repro", "--dry", "--force-downstream")))


def test_a_change_to_one_source_runs_only_what_depends_on_it(done: Project) -> None:
    assert would_run(done) == set()
    path = done.root / "pipelines" / "sample_mmfit.yaml"
    before = path.read_text(encoding="utf-8")
    path.write_text(f"{before}fps: 31.0\n", encoding="utf-8")
    try:
        stages = would_run(done)
    finally:
        path.write_text(before, encoding="utf-8")
    assert stages == {
        *(f"{s}@sample_mmfit" for s in ("pull", "index", "check", "split", "autolabel", "evaluate_labels")),
        *(f"{s}@sample_mmfit" for s in ("accept_count", "curate_form")),
        "seed@exercise-sample_mmfit",
        "bootstrap@exercise",
        *(f"{s}@exercise-sample_mmfit" for s in ("preannotate", "accept", "curate")),
        # the model that learns from both sources proposes for both
        *(f"{s}@exercise-sample_penn_action" for s in ("preannotate", "accept", "curate")),
        "train@exercise",
        "evaluate@exercise",
        "report",
    }
    assert would_run(done) == set()


def test_no_output_names_the_folder_it_was_made_in(done: Project) -> None:
    needle = str(done.root).encode()
    outputs = [
        p for p in done.root.rglob("*") if p.is_file() and not {".git", ".dvc", ".repset", ".cache"} & set(p.parts)
    ]
    assert [str(p.relative_to(done.root)) for p in outputs if needle in p.read_bytes()] == []
