"""`repset review app`: FiftyOne as a view of the project's files. Its database can be deleted at any time.

The database lies in the project (`.repset/fiftyone`) unless FIFTYONE_DATABASE_URI names another. fiftyone reads its
environment once, when it is imported, so `prepare` comes before everything else here.
"""

import asyncio
import logging
import os
import shutil
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from repset.errors import MissingExtraError, RepsetError
from repset.machine import cores
from repset.project import Project
from repset.records import atomic_folder, sha256_bytes
from repset.review.fiftyone_docs import TAGS, Entry, Source, source_findings
from repset.review.fiftyone_points import points_of

Progress = Callable[[int, int, str], None]

BATCH = 500  # documents of one write
MANY = 20  # samples from which a map of them says something
DATABASE_WAIT_S = 300
REVIEWER = "REPSET_REVIEWER"
"""Environment: the name the plugin's decisions go into the ledger under."""


@dataclass(frozen=True)
class Built:
    """One dataset: its name, and how many of its samples were written, left as they were, and taken away."""

    name: str
    samples: int
    written: int
    removed: int


def prepare(project: Project, reviewer: str) -> Any:
    """Set fiftyone's environment, install the plugin and import fiftyone; its database runs when this returns.

    Raises: MissingExtraError without fiftyone; RepsetError if its database does not start.
    """
    home = project.cache / "fiftyone"
    settings = {
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_DATABASE_VALIDATION": "false",  # 1.22 only warns of mongod 6, its smallest; see pyproject.toml
        "FIFTYONE_DATABASE_DIR": str(home / "database"),
        "FIFTYONE_PLUGINS_DIR": str(home / "plugins"),
        "FIFTYONE_DATASET_ZOO_DIR": str(home / "zoo"),
        "FIFTYONE_DEFAULT_DATASET_DIR": str(home / "datasets"),
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
        "REPSET_ROOT": str(project.root),
        REVIEWER: reviewer,
    }
    os.environ.update(settings)
    install_plugin(home / "plugins")
    try:
        import fiftyone as fo
    except ImportError as error:
        raise MissingExtraError("fiftyone", "review") from error
    if fo.config.plugins_dir != settings["FIFTYONE_PLUGINS_DIR"]:
        raise RepsetError(
            "fiftyone: expected to set its environment before it is imported, found it imported already. "
            "Start a new process."
        )
    _own_database(project)
    try:
        fo.list_datasets()
    except Exception as error:  # it raises its own, pymongo's and subprocess errors, of no common kind
        said = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}" if str(error) else type(error).__name__
        raise RepsetError(
            f"fiftyone: expected its database to start, found {said}. "
            f"Delete {home / 'database'} (no decision lies there), or name a MongoDB: FIFTYONE_DATABASE_URI."
        ) from error
    return fo


def _own_database(project: Project) -> None:
    """The embedded database is this project's, and there is time for it to start.

    FiftyOne takes any running one of its service name for its own, that of another project too; and it gives up after a
    minute, which a busy machine can take.
    """
    from fiftyone.core.service import DatabaseService

    DatabaseService.service_name = f"db-{sha256_bytes(str(project.root.resolve()).encode())[:12]}"
    DatabaseService.port = property(lambda service: service._wait_for_child_port(timeout=DATABASE_WAIT_S))


def install_plugin(folder: Path) -> None:
    """The operators into the project's plugins folder, as they are in this version of the package."""
    with as_file(files("repset.review").joinpath("plugin")) as own, atomic_folder(folder / "repset") as temporary:
        for name in ("fiftyone.yml", "__init__.py"):
            shutil.copyfile(own / name, temporary / name)


def datasets_of(source: Source) -> dict[str, str]:
    """Kind (image | clip) → name of its dataset: the source's, with the kind where it has both."""
    kinds = sorted({"image" if row["kind"] == "image" else "clip" for row in source.said.samples.values()})
    return {kind: source.source if len(kinds) == 1 else f"{source.source}_{kind}s" for kind in kinds}


def build(project: Project, names: Sequence[str], progress: Progress) -> list[Built]:
    """Build or update the datasets of these sources.

    Raises: RepsetError where a dataset of such a name is not this project's.
    """
    built = []
    for name in names:
        source = Source(project, name)
        for kind, dataset in datasets_of(source).items():
            built.append(_build(project, source, kind, dataset, progress))
    return built


def _build(project: Project, source: Source, kind: str, name: str, progress: Progress) -> Built:
    from repset.review import fiftyone_look as look

    dataset = _dataset(project, name, kind)
    _make_proxies(source, kind, progress)
    total = sum((row["kind"] == "image") == (kind == "image") for row in source.said.samples.values())
    writer = Writer(dataset)
    for number, entry in enumerate(source.entries(kind), start=1):
        writer.add(entry)
        progress(min(number, total), total, name)
    removed = writer.finish(everything=True)
    classes = {s.key.label for sample_id in source.said.samples for s in source.said.slots("muscle_mask", sample_id)}
    look.save_views(dataset)
    look.dress(dataset, source.skeletons, classes, verdicts=kind == "clip")
    if writer.written or removed:
        _map(project, dataset, source, kind)
    dataset.info["findings"] = source_findings(project, source.source)
    dataset.save()
    return Built(name, writer.seen, writer.written, removed)


def _dataset(project: Project, name: str, kind: str) -> Any:
    import fiftyone as fo

    owner = sha256_bytes(str(project.root.resolve()).encode())[:16]
    if not fo.dataset_exists(name):
        dataset = fo.Dataset(name, persistent=True)
        dataset.media_type = fo.core.media.IMAGE if kind == "image" else fo.core.media.VIDEO
        dataset.info["repset"] = owner
        dataset.save()
        return dataset
    dataset = fo.load_dataset(name)
    if dataset.info.get("repset") != owner:
        raise RepsetError(
            f"fiftyone: expected dataset {name} to be this project's, found another's. "
            "Name a database of its own: FIFTYONE_DATABASE_NAME."
        )
    return dataset


def _make_proxies(source: Source, kind: str, progress: Progress) -> None:
    """Videos that browsers play, on every core: one that does not play takes the whole grid with it."""
    if kind == "image":
        return
    clips = [row for row in source.said.samples.values() if row["kind"] != "image"]
    with ThreadPoolExecutor(cores()) as pool:
        for done, _ in enumerate(pool.map(source.proxy, clips), start=1):
            progress(done, len(clips), f"videos of {source.source}")


class Writer:
    """Writes documents of samples and their frames in bulk; what has not changed is left alone.

    Attributes:
        seen, written: samples given, and of them those that were new or changed.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self._samples, self._frames = dataset._sample_collection, dataset._frame_collection
        self._now = datetime.now(UTC)
        known = self._samples.find({}, {"digest": 1, "tags": 1})
        self._known: dict[Any, dict[str, Any]] = {row["_id"]: row for row in known}
        self._ids: set[Any] = set()
        self._waiting: list[Entry] = []
        self.seen = self.written = 0

    def add(self, entry: Entry) -> None:
        """One sample; whole batches go to the database."""
        self.seen += 1
        self._ids.add(entry.key)
        if self._known.get(entry.key, {}).get("digest") != entry.digest:
            self._waiting.append(entry)
            self.written += 1
            if len(self._waiting) >= BATCH:
                self._flush()

    def finish(self, everything: bool) -> int:
        """Write what is waiting; with `everything`, take away samples that were not given. Returns how many."""
        self._flush()
        gone = list(self._known.keys() - self._ids) if everything else []
        if gone:
            self._samples.delete_many({"_id": {"$in": gone}})
            if self._frames is not None:
                self._frames.delete_many({"_sample_id": {"$in": gone}})
        self._dataset.reload()
        return len(gone)

    def _flush(self) -> None:
        from pymongo import InsertOne, UpdateOne

        from repset.review import fiftyone_look as look

        if not self._waiting:
            return
        docs = [entry.document() for entry in self._waiting]
        look.declare(self._dataset, docs)
        writes: list[InsertOne[Any] | UpdateOne] = []
        for doc in docs:
            before = self._known.get(doc["_id"])
            stamp = {"_dataset_id": self._dataset._doc.id, "last_modified_at": self._now}
            if before is None:
                writes.append(InsertOne({**doc, **stamp, "created_at": self._now}))
                continue
            own = [tag for tag in before.get("tags") or () if tag not in TAGS]  # a person's tags stay
            gone = {name: "" for name in look.FIELDS if name not in doc}
            fresh = {**doc, **stamp, "tags": [*doc["tags"], *own]}
            fresh.pop("_id")
            writes.append(UpdateOne({"_id": doc["_id"]}, {"$set": fresh, **({"$unset": gone} if gone else {})}))
        self._write_frames()
        self._samples.bulk_write(writes, ordered=False)
        self._waiting = []

    def _write_frames(self) -> None:
        """Frames go first, so that a sample whose digest is in place is whole."""
        from bson import ObjectId

        from repset.review import fiftyone_look as look

        posed = [entry for entry in self._waiting if entry.frames is not None]
        if not posed or self._frames is None:
            return
        self._frames.delete_many({"_sample_id": {"$in": [entry.key for entry in posed]}})
        stamp = {"_dataset_id": self._dataset._doc.id, "created_at": self._now, "last_modified_at": self._now}
        for entry in posed:
            docs = entry.frames() if entry.frames is not None else []
            look.declare(self._dataset, docs, frames=True)
            rows = [{**doc, **stamp, "_id": ObjectId(), "_sample_id": entry.key} for doc in docs]
            if rows:
                self._frames.insert_many(rows, ordered=False)


def refresh(dataset: Any, source: Source, kind: str, sample_ids: Iterable[str]) -> None:
    """Show what the ledger says now of these samples."""
    ids = sorted(set(sample_ids))
    source.said.refresh(ids)
    writer = Writer(dataset)
    for entry in source.entries(kind, ids):
        writer.add(entry)
    writer.finish(everything=False)


def _map(project: Project, dataset: Any, source: Source, kind: str) -> None:
    """The embeddings panel: samples by likeness, as points that need no model."""
    import fiftyone.brain as fob

    for name, found in points_of(project, source, kind).items():
        if name in dataset.list_brain_runs():
            dataset.delete_brain_run(name)
        there = set(dataset.values("id"))
        points = {key: np.asarray(at, float) for key, at in found.items() if key in there}
        if len(points) >= MANY:
            view = dataset.select(list(points), ordered=True)
            fob.compute_visualization(view, points=np.stack(list(points.values())), brain_key=name)


# --- the App ---------------------------------------------------------------------------------------------------------

_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob: ws: wss:"
)
"""The page may load and call nothing but its own server; without it, it asks a font service on every visit."""


def listen(address: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises: RepsetError if it is taken."""
    found = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((address, port))
        found.listen(64)
    except OSError as error:
        found.close()
        raise RepsetError(
            f"{address}:{port}: expected a free port, found {error.strerror}. Choose another: --port N"
        ) from error
    return found


def serve(listening: socket.socket) -> None:
    """Serve the App until Ctrl-C or SIGTERM. No session: the page talks to its server alone."""
    os.environ["FIFTYONE_SERVER"] = "1"
    import fiftyone as fo
    from hypercorn.asyncio import serve as hypercorn_serve
    from hypercorn.config import Config

    fo.config.singleton_cache = False  # as FiftyOne's own server sets it
    logging.getLogger("fiftyone").setLevel(logging.ERROR)  # its services say at length that they start and stop
    from fiftyone.server.app import app
    from fiftyone.server.events import set_port

    set_port(listening.getsockname()[1])
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]  # the server closes it
    config.errorlog = None

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(_unless_cancelled)
        await hypercorn_serve(_guarded(app), config)

    asyncio.run(run())


def _unless_cancelled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Pages that are open at Ctrl-C are cut off: asyncio of Python 3.11 prints that as a failure of its own."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def _guarded(app: Any) -> Any:
    """The App with _POLICY on every answer."""
    header = (b"content-security-policy", _POLICY.encode())

    async def guarded(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        async def answer(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), header]}
            await send(message)

        await app(scope, receive, answer if scope["type"] == "http" else send)

    return guarded
