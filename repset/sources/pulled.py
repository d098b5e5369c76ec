"""What `repset pull` noted of each source: from where raw/ was made, and the hash of each file that lies there."""

from pathlib import Path
from typing import Any

from repset.errors import RepsetError
from repset.project import Project
from repset.records import read_json, sha256_file, write_json


def note_pull(project: Project, source: str, identity: str) -> None:
    """Write down what raw/ was made of and holds; outside raw/, which is the same bytes on every machine."""
    files = raw_files(project.raw(source))
    stats = {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files}
    hashes = {path.name: sha256_file(path) for path in files}
    write_json(_record(project, source), {"identity": identity, "files": hashes, "stats": stats})


def noted(project: Project, source: str) -> dict[str, Any]:
    """What was written down last; empty where nothing was, or it cannot be read."""
    try:
        record = read_json(_record(project, source))
    except RepsetError:
        return {}
    return record if isinstance(record, dict) else {}


def raw_files(raw: Path) -> list[Path]:
    """Files at the top of raw/: for an archive, all of it."""
    return sorted(path for path in raw.iterdir() if path.is_file())


def contents(project: Project, source: str) -> list[dict[str, Any]]:
    """Name, size and SHA-256 of the files at the top of raw/.

    A file that has kept size and time since it was pulled has kept its hash; any other is read again.
    """
    note, rows = noted(project, source), []
    for path in raw_files(project.raw(source)):
        stat, hashes = path.stat(), note.get("files", {})
        unchanged = note.get("stats", {}).get(path.name) == [stat.st_size, stat.st_mtime_ns]
        sha256 = hashes[path.name] if unchanged and path.name in hashes else sha256_file(path)
        rows.append({"name": path.name, "bytes": stat.st_size, "sha256": sha256})
    return rows


def _record(project: Project, source: str) -> Path:
    return project.cache / "pulled" / f"{source}.json"
