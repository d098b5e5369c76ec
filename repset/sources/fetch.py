"""`repset pull`: an archive from its origin into datasets/<source>/raw, verified before it takes its place.

Origins: `sample` (drawn by the caller), a local file or folder, an https address, `roboflow:workspace/project/version`.
A folder becomes one archive of the files its reader needs; the user's own files are copied, never linked, since DVC
write-protects what it links.
"""

import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from repset.errors import DataError
from repset.params import SourceSpec
from repset.project import Project
from repset.records import atomic_folder, canonical_json, sha256_bytes, sha256_file
from repset.sources import SOURCES, Family
from repset.sources.download import Meter, check_url, download
from repset.sources.pulled import note_pull, noted, raw_files
from repset.sources.roboflow import PREFIX, fetch_version
from repset.sources.tree import TRUTH, FolderTree, Tree, ZipTree, open_archive, open_raw

SAMPLE = "sample"

Render = Callable[[Path], None]
"""Draws the sample's archive into a folder."""


def pull_source(
    project: Project,
    source: str,
    spec: SourceSpec,
    origin: str,
    render: Render,
    drawn_from: dict[str, Any],
    force: bool,
    meter: Meter,
) -> bool:
    """Bring `origin` into datasets/<source>/raw in one step; returns whether anything changed.

    What is there already is left alone if it came from the same origin, unchanged since, and is whole.

    Args:
        origin: as in SourceSpec.origin; a relative path is relative to the project's root.
        render: called for the origin `sample`; drawn_from: everything its result depends on.
        force: bring it again in any case.
    Raises: DataError or RepsetError; what was there before stays.
    """
    raw, family = project.raw(source), SOURCES[spec.family]
    identity = _identity(project, origin, spec, drawn_from)
    if not force and _is_current(project, source, identity, spec):
        return False
    with atomic_folder(raw) as folder:
        _bring(project, source, spec, origin, render, folder, meter)
        archive = check_archive(folder, origin, family)
        _check_pins(archive, origin, spec)
    note_pull(project, source, identity)
    return True


def check_archive(folder: Path, origin: str, family: Family) -> Path:
    """Read the one archive in `folder` to its end. Raises: DataError if it is damaged or of another kind of set."""
    (archive,) = (path for path in folder.iterdir() if path.name != TRUTH)
    needed = 0
    with closing(open_archive(archive, origin)) as tree:
        for name, _ in tree.walk(lambda name: isinstance(tree, ZipTree) or family.essential(name)):
            needed += family.essential(name)
    if not needed:
        raise DataError(origin, family.expected, "another kind of archive", "Check the origin and the family")
    return archive


def _bring(
    project: Project, source: str, spec: SourceSpec, origin: str, render: Render, folder: Path, meter: Meter
) -> None:
    """Put one archive (and the sample's truth.json) into `folder`."""
    way_out = f"Or pull from a copy on this machine: repset pull {source} --from FILE"
    if origin == SAMPLE:
        render(folder)
    elif origin.startswith(PREFIX):
        with tempfile.TemporaryDirectory(dir=folder, prefix=".roboflow.") as scratch:
            unpacked = Path(scratch) / "export"
            fetch_version(origin, spec.format or "png-mask-semantic", unpacked, way_out)
            pack(FolderTree(unpacked, origin), SOURCES[spec.family], folder / f"{source}.zip")
    elif "://" in origin:
        part = download(origin, project.cache / "downloads", spec.size_bytes, spec.sha256, meter, way_out)
        name = re.sub(r"[^\w.-]", "_", Path(unquote(urlsplit(origin).path)).name).lstrip(".") or source
        shutil.move(part, folder / _archive_name(part, name, origin))
    else:
        _bring_local(project.root / Path(origin).expanduser(), origin, source, SOURCES[spec.family], folder)


def _bring_local(path: Path, origin: str, source: str, family: Family, folder: Path) -> None:
    if path.is_file():
        shutil.copyfile(path, folder / _archive_name(path, path.name, origin))
        return
    if not path.is_dir():
        raise DataError(origin, "a file, a folder, an https address or roboflow:…", "no such file", "Check the path")
    with closing(open_raw(path, origin, f"repset pull {source} --from FILE")) as tree:
        if isinstance(tree, FolderTree):
            pack(tree, family, folder / f"{source}.zip")
        else:
            archive = path / tree.where.removeprefix(f"{origin}/")
            shutil.copyfile(archive, folder / archive.name)
    if (path / TRUTH).is_file():
        shutil.copyfile(path / TRUTH, folder / TRUTH)


def pack(tree: Tree, family: Family, target: Path) -> None:
    """The files of a folder that its reader needs, as one uncompressed zip: the same bytes for the same files.

    Raises: DataError if the folder holds no such set.
    """
    names = tree.names()
    if not any(family.essential(name) for name in names):
        found = f"none of these among its {len(names):,} files" if names else "an empty folder"
        raise DataError(tree.where, family.expected, found, "Check the path")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, data in tree.walk(family.wanted):
            info = zipfile.ZipInfo(name)  # dated 1980, so that the bytes depend on the files alone
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)


def _archive_name(path: Path, name: str, origin: str) -> str:
    """`name` with the ending its content has."""
    with closing(open_archive(path, origin)) as tree:
        endings = (".zip",) if isinstance(tree, ZipTree) else (".tar.gz", ".tgz")
    return name if name.lower().endswith(endings) else name.split(".")[0] + endings[0]


def _check_pins(archive: Path, origin: str, spec: SourceSpec) -> None:
    if spec.size_bytes is not None and archive.stat().st_size != spec.size_bytes:
        found = f"{archive.stat().st_size:,}"
        raise DataError(origin, f"{spec.size_bytes:,} bytes, as pinned", found, "Take the original archive")
    if spec.sha256 is not None and (found := sha256_file(archive)) != spec.sha256.lower():
        raise DataError(origin, f"SHA-256 {spec.sha256.lower()}, as pinned", found, "Take the original archive")


# --- is it there already? ----------------------------------------------------------------------------------------


def _identity(project: Project, origin: str, spec: SourceSpec, drawn_from: dict[str, Any]) -> str:
    facts: dict[str, Any] = {"origin": origin, "family": spec.family, "format": spec.format, "sha256": spec.sha256}
    if origin == SAMPLE:
        facts["drawn_from"] = drawn_from
    elif origin.startswith(PREFIX) or "://" in origin:
        if "://" in origin:
            check_url(origin)
    else:
        path = project.root / Path(origin).expanduser()
        members = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        stats = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in members if p.exists()]
        facts["local"] = sha256_bytes(canonical_json(stats).encode())
    return sha256_bytes(canonical_json(facts).encode())


def _is_current(project: Project, source: str, identity: str, spec: SourceSpec) -> bool:
    raw = project.raw(source)
    if not raw.is_dir() or not any(raw.iterdir()):
        return False
    note, found = noted(project, source), {path.name: sha256_file(path) for path in raw_files(raw)}
    if note:
        return bool(note.get("identity") == identity and note.get("files") == found)
    return spec.sha256 is not None and spec.sha256.lower() in found.values()
