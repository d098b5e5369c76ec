"""Shared fixtures: where the real data lies, and a project of one's own in a temporary folder."""

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from repset.project import Project

ROOT = Path(__file__).resolve().parent.parent

# Everyone's run tries the same examples; `pytest --hypothesis-profile=explore` looks for new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("explore")
settings.load_profile("same")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository; skips where there is none."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data (../shared/data) is not on this machine")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project with the repository's own dvc.yaml, params.yaml and pipelines/."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines")
    (tmp_path / "datasets" / "reviews").mkdir(parents=True)
    return Project(tmp_path)
