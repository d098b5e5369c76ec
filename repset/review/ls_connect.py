"""Which server, which key, which project on it: what `repset labelstudio` needs before it can speak."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from repset.errors import RepsetError
from repset.project import Project
from repset.records import read_json

URL, KEY = "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"


@dataclass(frozen=True)
class Connection:
    """Where a server is, and the key to it."""

    url: str
    key: str = field(repr=False)


def connection(project: Project, url: str | None = None) -> Connection:
    """Address and key: those asked for, else of the environment, else of the server that `make label-studio` starts.

    Raises: RepsetError if there is no key.
    """
    path = project.cache / "label_studio" / "connection.json"
    made = read_json(path) if path.is_file() else {}
    address = url or os.environ.get(URL) or made.get("url")
    key = os.environ.get(KEY) or (made.get("api_key") if address == made.get("url") else None)
    if not address or not key:
        what = f"a key to {address}" if address else "a Label Studio server"
        raise RepsetError(
            f"labelstudio: expected {what}, found none. Start one (make label-studio), or set {URL} and {KEY}."
        )
    return Connection(str(address), str(key))


def title_of(source: str, kind: str) -> str:
    """The project's title on the server: one for a source and kind."""
    return f"repset {source} ({kind})"


@contextmanager
def alone(project: Project) -> Iterator[None]:
    """Keep a second push or pull of this project out: two at once would each send what the other is sending.

    Raises: RepsetError if one is running.
    """
    path = project.cache / "label_studio" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RepsetError(
                "labelstudio: expected to be alone, found another push or pull under way. Wait until it has ended."
            ) from error
        yield
    finally:
        os.close(handle)


def root_of(project: Project, named: Path | None) -> Path:
    """The folder the server serves files from, as an absolute path; the project's root unless another is named."""
    return (named or project.root).resolve()
