"""Sending items to Label Studio: once each, in batches, resumable, nothing unchecked.

What stands on the server is found out by looking at our own keys, before sending (unless the project was made just
now), after every failure, and whenever the server then counts other tasks than it should. So a push that was killed,
cut off or sent twice leaves each item there once, with exactly the labels that hold here.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from repset.curate.decision import VERDICTS
from repset.errors import DataError
from repset.landmarks import SKELETONS
from repset.review.label_studio import Server, ServerError, ServerTask, local_file
from repset.review.ls_config import Screen, labels_of, xml
from repset.review.ls_items import Selection
from repset.review.ls_tasks import Item, Json, Packed, Shown, packed

BATCH_TASKS, BATCH_BYTES = 260, 8_000_000
"""Of one import: the server's own limit is 250 MB, its pace (12–350 tasks a second) sets these."""

_ATTEMPTS = 5
_PROJECT_TEXT = "Made by repset. Its tasks are keyed by data.key; pull the answers with: repset labelstudio pull"

Report = Callable[[int, int, str], None]


@dataclass
class Pushed:
    """What a push did.

    Attributes:
        project: number on the server, for its address only.
        new, refreshed, unchanged, kept: items sent; whose labels were renewed; that stood there as they are; whose
            labels changed but which a person has begun, so that they stay as the person saw them.
        doubles: second tasks of an item, removed (only where nobody had touched them).
        blank, probes: items without labels, and with a wrong one, on purpose, of all that stand there.
        faults: items not sent, a sentence each.
    """

    project: int = 0
    new: int = 0
    refreshed: int = 0
    unchanged: int = 0
    kept: int = 0
    doubles: int = 0
    blank: int = 0
    probes: int = 0
    faults: list[str] = field(default_factory=list)


def push(
    server: Server,
    selection: Selection,
    title: str,
    root: Path,
    *,
    wanted: Callable[[Item], bool] = lambda item: True,
    skip_faults: bool = False,
    report: Report = lambda done, total, label: None,
) -> Pushed:
    """Bring the server's project `title` to what `selection` says.

    Args:
        root: the server's document root on this machine; every file served lies under it.
        wanted: which items are sent if they are not there yet; those that are there are always kept up to date.
        skip_faults: leave out items that fail our own check; else the first fails the push before anything is sent.
    Raises: DataError for an item that cannot be sent, ServerError for a server that does not do what it should.
    """
    good, faults = _checked(selection)
    if faults and not skip_faults:
        raise DataError(
            "push", "labels that fit their pictures", faults[0], "Mend them, or leave them out: --on-error skip"
        )
    number = server.find_project(title)
    pushed = Pushed(faults=faults)
    sender = _Sender(server, selection, root, pushed, report)
    standing = {} if number is None else sender.look(number)
    good = sender.without_twins(good, standing)
    fresh = [item for item in good if item.key not in standing and wanted(item)]
    with sender.made_ready(fresh) as batches:
        pushed.project = _project(server, number, title, selection.screen)
        _serve(server, pushed.project, root, fresh=number is None)
        sender.send(batches, len(fresh))
    by_key = {item.key: item for item in good}
    there_now = [item for item in good if item.key in standing or item.key in sender.sent]
    pushed.blank = sum(item.blank for item in there_now)
    pushed.probes = sum(one.probe for item in there_now for one in item.shown)
    sender.renew([(by_key[key], task) for key, task in sorted(standing.items()) if key in by_key])
    counted = _show(server, pushed.project, selection.version).get("task_number")
    if sender.doubtful or counted != sender.there:
        there = sorted(sender.look(pushed.project).items())
        sender.renew([(by_key[key], task) for key, task in there if key in sender.sent])
    return pushed


def _project(server: Server, project: int | None, title: str, screen: Screen) -> int:
    """The project with our screen; made if it is not there."""
    config = xml(screen)
    if project is None:
        return server.create_project(title, config, _PROJECT_TEXT)
    if server.project_settings(project).get("label_config") != config:
        server.change_project(project, label_config=config)
    return project


def _serve(server: Server, project: int, root: Path, *, fresh: bool) -> None:
    """Proxies and the sets' own files can be served; the folders must exist before the server takes them."""
    known = [] if fresh else server.served_folders(project)
    for name in (".repset/media", "datasets"):
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        if str(folder) not in known:
            server.serve_files(project, str(folder), f"repset {name}")


def _show(server: Server, project: int, version: str) -> Json:
    """Predictions are on screen: with another version or none the queue shows an empty picture, seen in 1.23.2.

    Returns: the project's settings as they are now.
    """
    wanted: Json = {"show_collab_predictions": True, **({} if version == "none" else {"model_version": version})}
    settings = server.project_settings(project)
    if any(settings.get(name) != value for name, value in wanted.items()):
        server.change_project(project, **wanted)
        settings = server.project_settings(project)
    odd = next((name for name, value in wanted.items() if settings.get(name) != value), None)
    if odd is not None:
        todo = "Set it on the project's settings page before anybody labels"
        raise ServerError(server.url, f"{odd} {wanted[odd]}", f"{settings.get(odd)}", todo)
    return settings


class _Sender:
    """Attributes: sent: key → state of each task that was imported here. there: tasks that the server should count.

    doubtful: an import failed or answered other numbers, so that only looking tells what stands there.
    """

    def __init__(self, server: Server, selection: Selection, root: Path, pushed: Pushed, report: Report) -> None:
        self.server, self.selection, self.root = server, selection, root
        self.pushed, self.report = pushed, report
        self.sent: dict[str, tuple[Any, ...]] = {}
        self.there, self.doubtful = 0, False

    def task(self, item: Item) -> Packed:
        path = self.selection.media[item.key]()
        try:
            relative = path.relative_to(self.root).as_posix()
        except ValueError as error:
            todo = "Name the server's document root: --document-root"
            raise DataError(path, f"a file under {self.root}", "one elsewhere", todo) from error
        return packed(item, self.selection.screen, local_file(relative), self.selection.version)

    def look(self, project: int) -> dict[str, ServerTask]:
        """Key → its task; second tasks of a key go away, unless a person has begun both."""
        groups: dict[str, list[ServerTask]] = defaultdict(list)
        tasks = self.server.tasks(project)
        self.there = len(tasks)
        for task in tasks:
            if task.key is not None:
                groups[task.key].append(task)
        standing = {}
        for key, tasks in groups.items():
            first, *others = sorted(tasks, key=lambda task: (-(task.annotations + task.drafts), task.id))
            standing[key] = first
            for task in others:
                if not task.annotations and not task.drafts:
                    self._delete(task)
                    self.pushed.doubles += 1
        return standing

    def without_twins(self, items: Sequence[Item], standing: dict[str, ServerTask]) -> list[Item]:
        """One task of a picture waits: its twin, with the true or a wrong label, goes if nobody began it.

        Where a person has begun the true one, the wrong one is not sent any more.
        """
        wanted = []
        for item in items:
            task = standing.get(item.twin)
            if task is not None and not task.annotations and not task.drafts:
                self._delete(task)
                del standing[item.twin]
            if item.twin not in standing or not any(one.probe for one in item.shown):
                wanted.append(item)
        return wanted

    def _delete(self, task: ServerTask) -> None:
        self.server.delete_task(task.id)
        self.there -= 1

    @contextmanager
    def made_ready(self, items: Sequence[Item]) -> Iterator[Iterator[dict[str, bytes]]]:
        """Batches of what is to be sent; the next one is made ready while its reader does other things."""
        with ThreadPoolExecutor(1) as pool:
            batches = self._batches(items)

            def ahead(coming: Future[dict[str, bytes] | None]) -> Iterator[dict[str, bytes]]:
                while (batch := coming.result()) is not None:
                    coming = pool.submit(next, batches, None)
                    yield batch

            yield ahead(pool.submit(next, batches, None))

    def send(self, batches: Iterable[dict[str, bytes]], total: int) -> None:
        """Import what is not there, batch by batch."""
        for batch in batches:
            self._import(batch)
            self.pushed.new += len(batch)
            self.report(self.pushed.new, total, "sending")

    def _batches(self, items: Iterable[Item]) -> Iterator[dict[str, bytes]]:
        """Key → task as JSON."""
        batch: dict[str, bytes] = {}
        size = 0
        for item in items:
            task = self.task(item)
            batch[item.key], self.sent[item.key] = task.body, task.state
            size += len(batch[item.key])
            if len(batch) >= BATCH_TASKS or size >= BATCH_BYTES:
                yield batch
                batch, size = {}, 0
        if batch:
            yield batch

    def _import(self, batch: dict[str, bytes]) -> None:
        """One batch; after a failure only what is not there is sent again."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                found = self.server.add_tasks(self.pushed.project, b"[" + b",".join(batch.values()) + b"]")
            except ServerError as error:
                self.doubtful = True
                if not error.passing or attempt == _ATTEMPTS:
                    raise
                self.server._sleep(max(error.wait_s, 0.5 * 2**attempt))
            else:
                shown = sum(self.sent[key][1] for key in batch)
                self.doubtful |= found != (len(batch), shown)
                self.there += len(batch)
                return
            standing = self.look(self.pushed.project)
            batch = {key: task for key, task in batch.items() if key not in standing}
            if not batch:
                return

    def renew(self, pairs: Sequence[tuple[Item, ServerTask]]) -> None:
        """Give tasks that nobody has begun the labels that hold now; the seal is written last."""
        for number, (item, task) in enumerate(pairs, 1):
            self.report(number, len(pairs), "checking")
            seal = task.meta.get("repset", {}).get("seal") if isinstance(task.meta, dict) else None
            there = (seal, task.predictions, task.data)
            wanted = None if self.sent.get(item.key) == there else self.task(item)
            if wanted is None or wanted.state == there:
                self.pushed.unchanged += item.key not in self.sent
            elif task.annotations or task.drafts:
                self.pushed.kept += 1
            else:
                self.server.replace_predictions(task.id, wanted.prediction)
                self.server.change_task(task.id, wanted.data, wanted.meta)
                self.pushed.refreshed += 1


# --- our own check, since the server takes anything ------------------------------------------------------------------


def _checked(selection: Selection) -> tuple[list[Item], list[str]]:
    """Items fit to be sent, and of the others what is wrong."""
    good, faults = [], []
    for item in selection.items:
        fault = fault_of(item, selection.screen)
        if fault is None:
            good.append(item)
        else:
            faults.append(f"{item.sample_id}{' ' + item.variant if item.variant else ''}: {fault}")
    return good, faults


def fault_of(item: Item, screen: Screen) -> str | None:
    """What is wrong with an item, None if nothing is."""
    if item.kind == "image" and not (item.width > 0 and item.height > 0):
        return f"a picture of {item.width} × {item.height}"
    if item.kind == "clip" and not (item.fps and item.fps > 0 and item.frames > 0):
        return f"a clip of {item.frames} frames at {item.fps} a second"
    regions = [one.region for one in item.shown]
    if len(set(regions)) != len(regions):
        return "the same label twice"
    return next((fault for one in item.shown if (fault := _FAULTS[one.task](one, item, screen))), None)


def _person(one: Shown) -> int:
    return int(one.target.get("person") or 0)


def _mask_fault(one: Shown, item: Item, screen: Screen) -> str | None:
    if one.mask is None or one.mask.shape != (item.height, item.width):
        size = "no mask" if one.mask is None else f"a mask of {one.mask.shape[1]} × {one.mask.shape[0]}"
        return f"{size} on a picture of {item.width} × {item.height}"
    if one.target.get("class") not in screen.classes or _person(one) >= screen.persons:
        return f"the class {one.target.get('class')} of person {_person(one)}, which the screen lacks"
    return None


def _pose_fault(one: Shown, item: Item, screen: Screen) -> str | None:
    if one.value["skeleton"] not in screen.skeletons or _person(one) >= screen.persons:
        return f"the skeleton {one.value['skeleton']}, which the screen lacks"
    for name, (x, y, state) in one.value["joints"].items():
        if name not in SKELETONS[one.value["skeleton"]].joints:
            return f"the joint {name}, which {one.value['skeleton']} lacks"
        inside = 0 <= x <= item.width and 0 <= y <= item.height
        if not (np.isfinite(x) and np.isfinite(y)) or (state != "outside" and not inside):
            return f"{name} at ({x:.1f}, {y:.1f}) px, outside a picture of {item.width} × {item.height}"
    return None


def _choice_fault(one: Shown, item: Item, screen: Screen) -> str | None:
    known = VERDICTS if one.task == "form" else screen.exercises
    if one.value not in known:
        return f"the {one.task} {one.value!r}, which the screen lacks"
    if item.kind == "clip" and one.task == "form":
        start, end = one.target["frames"]
        if not 0 <= start < end <= item.frames:
            return f"a repetition of frames {start} to {end} in a clip of {item.frames}"
        if one.value not in labels_of(VERDICTS, screen) or _person(one) >= screen.persons:
            return f"person {_person(one)}, whom the screen lacks"
    return None


_FAULTS: dict[str, Callable[[Shown, Item, Screen], str | None]] = {
    "muscle_mask": _mask_fault, "pose": _pose_fault, "exercise": _choice_fault, "form": _choice_fault,
}  # fmt: skip
