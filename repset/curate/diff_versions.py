"""Versions of the curated set: a git revision (through dvc.lock and the DVC cache), the working tree, or a folder."""

import importlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from repset.curate.slots import Row
from repset.errors import DataError, RepsetError
from repset.project import Project
from repset.records import read_rows

WORKING_TREE = "working tree"
COLUMNS = ("sample_id", "group", "fold", "task", "target", "value", "blob", "tier", "origin", "reviewer")
"""What a comparison reads of a curated table."""

Name = tuple[str, str]
"""Task and source."""


@dataclass(frozen=True)
class Version:
    """One version.

    Attributes:
        title: as a person names it.
        files: (task, source) → where its table lies.
    """

    title: str
    files: dict[Name, Path]

    def rows(self, name: Name) -> list[Row]:
        """The table, [] where this version has none. Raises: DataError if it cannot be read."""
        return read_rows(self.files[name], "curated", COLUMNS) if name in self.files else []


def open_version(project: Project, name: str | None) -> Version:
    """A version by name: a folder, a git revision; None is the working tree.

    Raises: RepsetError or DataError, one sentence, for a name that is neither, a revision without curated tables, or
        one whose data is in the cache no more.
    """
    if name is None:
        return _folder(project.root / "datasets" / "curated", WORKING_TREE, "Run: dvc repro, or dvc checkout")
    if Path(name).is_dir():
        folder = Path(name)
        inner = folder / "datasets" / "curated"
        return _folder(inner if inner.is_dir() else folder, name, "Name a project, or its datasets/curated")
    return _revision(project, name)


def _folder(folder: Path, title: str, todo: str) -> Version:
    files = {(path.parts[-3], path.parts[-2]): path for path in sorted(folder.glob("*/*/table.parquet"))}
    if not files:
        raise DataError(folder, "curated tables (<task>/<source>/table.parquet)", "none", todo)
    return Version(title, files)


def _revision(project: Project, name: str) -> Version:
    commit = _git(project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if commit is None:
        raise RepsetError(f"{name}: expected a folder or a git revision, found neither. Name one (git log --oneline).")
    lock = _git(project, "show", f"{commit.strip()}:./dvc.lock")
    if lock is None:
        raise RepsetError(
            f"{name}: expected dvc.lock in that revision, found none. Name one after the first dvc repro."
        )
    try:
        stages = yaml.safe_load(lock)["stages"].values()
        outs = [out for stage in stages for out in stage.get("outs", ())]
        curated = {tuple(Path(out["path"]).parts[2:4]): out for out in outs if _is_curated(out["path"])}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise DataError(f"dvc.lock of {name}", "stages with outs", "something else", "Name another revision") from error
    if not curated:
        raise RepsetError(f"{name}: expected curated tables in dvc.lock, found none. Name a later revision.")
    cache = cache_folder(project)
    return Version(name, {(task, source): _table(cache, out, name) for (task, source), out in sorted(curated.items())})


def _git(project: Project, *words: str) -> str | None:
    """What git prints; None if it fails or there is no git."""
    try:
        done = subprocess.run(["git", "-C", str(project.root), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def _is_curated(path: Any) -> bool:
    parts = Path(str(path)).parts
    return len(parts) == 4 and parts[:2] == ("datasets", "curated")


def cache_folder(project: Project) -> Path:
    """Where DVC keeps data: as its configuration says, else `.dvc/cache`."""
    folder = next((path / ".dvc" for path in (project.root, *project.root.parents) if (path / ".dvc").is_dir()), None)
    if folder is None:
        return project.root / ".dvc" / "cache"
    try:
        config: Any = importlib.import_module("dvc.config").Config(str(folder))
    except ModuleNotFoundError:  # without DVC there can still be its cache
        return folder / "cache"
    named = config.get("cache", {}).get("dir")
    return Path(named) if named else folder / "cache"


def _table(cache: Path, out: dict[str, Any], revision: str) -> Path:
    """The table of an out that is a folder: its listing, then the file, both by their hash.

    Raises: DataError if either is in the cache no more.
    """
    where = f"{out['path']} of {revision}"
    listing = _stored(cache, str(out["md5"]), where)
    for entry in json.loads(listing.read_text(encoding="utf-8")):
        if entry["relpath"] == "table.parquet":
            return _stored(cache, entry["md5"], where)
    raise DataError(where, "table.parquet", "other files", "Name another revision")


def _stored(cache: Path, md5: str, where: str) -> Path:
    for folder in (cache / "files" / "md5", cache):  # DVC 3 and DVC 2
        path = folder / md5[:2] / md5[2:]
        if path.is_file():
            return path
    todo = "Bring it from a remote (dvc fetch --all-commits), or check the revision out and run dvc repro"
    raise DataError(where, "its data in the DVC cache", "none any more", todo)
