"""Attacks on archives and lists: none succeeds, each meets the guard it is aimed at, and its benign twin is accepted.

An attack is put where a user would have put it: pulled as an archive, and read from raw/ by the index. Afterwards the
index of before is there to the byte, nothing half-written lies beside it, and nothing lies outside the project.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_archives import ARCHIVES, Attack, Rng, attacks
from hostile_tars import TARS
from hostile_texts import TEXTS
from hostile_values import VALUES

from repset.errors import DataError
from repset.params import SourceSpec
from repset.project import Project
from repset.sources import tree
from repset.sources.fetch import pull_source
from repset.sources.index import index_source

KINDS = (*ARCHIVES, *TARS, *VALUES, *TEXTS)


def everything(folder: Path) -> dict[str, bytes]:
    """Path → content, of a link where it leads, of a pipe or socket nothing."""
    paths = [Path(at, name) for at, _, names in os.walk(folder) for name in names]
    return {
        str(p): os.fsencode(p.readlink()) if p.is_symlink() else p.read_bytes() if p.is_file() else b"" for p in paths
    }


def spec(attack: Attack) -> SourceSpec:
    return SourceSpec(family=attack.family, rendered=False, origin="x", format=attack.format)


def lay_out(files: dict[str, Any], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(folder / name)
        else:
            (folder / name).write_bytes(content)


def pull(project: Project, attack: Attack, origin: Path) -> None:
    def draw(folder: Path) -> None:
        raise AssertionError("nothing to draw")

    pull_source(project, "set", spec(attack), str(origin), draw, {}, force=True, meter=lambda done, total: None)


def index(project: Project, attack: Attack) -> dict[str, Any]:
    return index_source(project, "set", spec(attack), shard_mb=1)


def refused(attack: Attack, action: Callable[[], object], where: str) -> None:
    with pytest.raises(DataError) as caught:
        action()
    said = str(caught.value)
    assert said.startswith(where)
    assert attack.says in said
    assert said.isprintable()


def test_there_are_four_hundred() -> None:
    assert len(KINDS) * 10 >= 400


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_attack_succeeds_and_its_twin_is_accepted(
    kind: Callable[[int, Rng], Attack], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path / "home" / "project")
    (project.index("set")).mkdir(parents=True)
    (project.index("set") / "report.json").write_text("the index of before")
    origin = tmp_path / "home" / "download"
    for number, attack in enumerate(attacks(kind)):
        monkeypatch.setattr(tree, "LIMITS", attack.limits or tree.Limits())
        lay_out(attack.hostile, origin)
        lay_out(attack.hostile, project.raw("set"))
        before = everything(tmp_path)
        if attack.archive:
            (archive,) = origin.iterdir()
            refused(attack, lambda: pull(project, attack, archive), str(archive))  # noqa: B023
        refused(attack, lambda: index(project, attack), "datasets/set/raw")  # noqa: B023
        assert everything(tmp_path) == before, number
        lay_out(attack.benign, project.raw("set"))
        if attack.archive:
            lay_out(attack.benign, origin)
            pull(project, attack, next(origin.iterdir()))
        twin = Project(tmp_path / "twin")
        shutil.rmtree(twin.root, ignore_errors=True)
        shutil.copytree(project.raw("set"), twin.raw("set"), symlinks=True)
        assert index(twin, attack)["counts"]["samples"] >= 1
