"""`repset add-source`: what it writes works at once, and nothing that is there is written over."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from repset.errors import RepsetError
from repset.project import Project
from repset.sources.cards import gaps_of
from repset.sources.scaffold import plan_source, write_plan

ROOT = Path(__file__).resolve().parent.parent


def clone(folder: Path) -> Project:
    """The program and the project's own files, without its tests."""
    for name in ("dvc.yaml", "params.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("repset", "pipelines"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", folder / "tests")
    return Project(folder)


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("reader", [False, True])
def test_what_is_written_passes_its_test_and_is_clean(tmp_path: Path, reader: bool) -> None:
    clone(tmp_path)
    done = run(tmp_path, "-m", "repset", "add-source", "my_gym", *(["--reader"] if reader else []))
    assert done.returncode == 0, done.stderr
    written = ["pipelines/my_gym.yaml", "datasets/my_gym/README.md", "datasets/my_gym/.gitignore",
               "tests/test_source_my_gym.py", *(["repset/sources/my_gym.py"] if reader else [])]  # fmt: skip
    assert [line.split(": ")[1] for line in done.stdout.splitlines() if line.startswith("written")] == written
    assert "Run: pytest tests/test_source_my_gym.py" in done.stdout
    tested = run(tmp_path, "-m", "pytest", "-q", "tests/test_source_my_gym.py", "-p", "no:cacheprovider")
    assert "3 passed" in tested.stdout, tested.stdout
    code = [name for name in written if name.endswith(".py")]
    changed = ["repset/sources/__init__.py", "repset/params.py"]
    for name in code + changed * reader:
        ast.parse((tmp_path / name).read_text(encoding="utf-8"))
    linted = run(tmp_path, "-m", "ruff", "check", "--no-cache", *code)
    assert linted.returncode == 0, linted.stdout
    assert run(tmp_path, "-m", "ruff", "format", "--no-cache", "--check", *code).returncode == 0


def test_a_source_of_a_known_family_needs_no_code(project: Project) -> None:
    plan = plan_source(project, "our_photos", "roboflow", "roboflow:us/photos/1", "coco-segmentation", False)
    write_plan(plan)
    assert (project.pipelines / "our_photos.yaml").read_text() == (
        "# our_photos (card: datasets/our_photos/README.md).\n"
        "family: roboflow\n"
        "rendered: false\n"
        'origin: "roboflow:us/photos/1"\n'
        "format: coco-segmentation\n"
    )
    assert gaps_of((project.source("our_photos") / "README.md").read_text()) == []
    assert plan.changes == {}


@pytest.mark.parametrize("name", ["Gym", "my gym", "../gym", "reviews", "profile", "x", ""])
def test_a_name_that_cannot_be_one_is_refused(project: Project, name: str) -> None:
    with pytest.raises(RepsetError) as caught:
        plan_source(project, name, "folder", "in", None, False)
    assert str(caught.value) == (
        f"{name}: expected a name of lower-case letters, digits and underscores, beginning with a letter, and none "
        "that has another use. Choose another."
    )


def test_a_card_that_is_there_stops_everything(project: Project) -> None:
    mine = project.source("gym") / "README.md"
    mine.parent.mkdir(parents=True)
    mine.write_text("my own words")
    with pytest.raises(RepsetError) as caught:
        plan_source(project, "gym", "folder", "in", None, False)
    assert str(caught.value) == (
        "datasets/gym/README.md: expected no such file, found one. Choose another name, or remove it."
    )
    assert mine.read_text() == "my own words"
    assert not (project.pipelines / "gym.yaml").exists()


def test_a_reader_needs_a_clone_of_the_program(project: Project) -> None:
    with pytest.raises(RepsetError) as caught:
        plan_source(project, "gym", "folder", "in", None, True)
    assert str(caught.value) == (
        "repset/sources/__init__.py and repset/params.py: expected the table SOURCES and the list of families, found "
        "others. Run this in a clone."
    )
