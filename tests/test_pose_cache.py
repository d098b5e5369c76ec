"""Cached poses: kept while everything that shapes them is the same, made anew otherwise."""

import ast
import shutil
from pathlib import Path

import pytest

import repset
from repset.autolabel import cache

PACKAGE = Path(repset.__file__).parent


def copied(folder: Path) -> Path:
    for name in cache.SHAPING:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / name, folder / name)
    return folder


def test_a_line_changed_in_any_module_that_shapes_poses_makes_them_anew(tmp_path: Path) -> None:
    unchanged = cache.shaping_code()
    assert cache.shaping_code(copied(tmp_path / "same")) == unchanged
    for number, name in enumerate(cache.SHAPING):
        folder = copied(tmp_path / str(number))
        with (folder / name).open("a", encoding="utf-8") as handle:
            handle.write("STEP = 2\n")
        assert cache.shaping_code(folder) != unchanged, name


def test_all_that_the_pose_module_takes_from_its_neighbours_shapes_the_key() -> None:
    tree = ast.parse((PACKAGE / "autolabel" / "pose.py").read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    own = {f"{name.removeprefix('repset.').replace('.', '/')}.py" for name in modules if name.startswith("repset.")}
    # What names and types say has no part in where a joint is found.
    assert own - {"landmarks.py", "schema.py"} == set(cache.SHAPING) - {"autolabel/pose.py"}


def test_another_medium_or_way_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [("a", "full", "video"), ("b", "full", "video"), ("a", "full", "image"), ("a", "full", "video 10")]
    keys = {cache.pose_key(*one) for one in asked}
    monkeypatch.setattr(cache, "shaping_code", lambda: "other")
    assert len(keys | {cache.pose_key("a", "full", "video")}) == 5
