"""Bringing answers from Label Studio into the ledger: who did what to which label, once, whatever is pulled again."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from statistics import fmean
from typing import Any

from repset.curate.decision import Decision
from repset.curate.ledger import Ledger
from repset.errors import DataError
from repset.records import sha256_bytes
from repset.review.label_studio import Server, ServerTask
from repset.review.ls_answers import read_answer, shown_masks
from repset.review.ls_decide import Note, Outcome, decision_of, ledger_time, news, nothing_of, outcomes
from repset.review.ls_tasks import Item, Json, Shown, item_of, mask_digest, mask_of_png
from repset.review.ls_values import Mask, ValueFault
from repset.video import encode_png

ACTIONS = ("accept", "edit", "reject", "new")

Report = Callable[[int, int, str], None]


@dataclass
class Pulled:
    """What the answers on the server say, and what of it was news.

    Attributes:
        tasks: tasks of ours there; begun: those that somebody submitted or skipped.
        said: task → action → number of labels, over every reviewer's newest answer.
        iou, shift_px: task → size of each edit.
        reviewers: reviewer → answers read; seconds: their sum as the server counted it.
        written: lines appended to the ledger (or that would be); undone: of these, undo lines.
        nothing: blank tasks answered without a label; skipped: tasks a reviewer skipped; drafts: begun and not
            submitted; foreign: tasks that are not ours.
        faults: answers that cannot be believed, a sentence each; nothing of that task of theirs was written.
    """

    tasks: int = 0
    begun: int = 0
    said: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    iou: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    shift_px: list[float] = field(default_factory=list)
    reviewers: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    written: int = 0
    undone: int = 0
    nothing: int = 0
    skipped: int = 0
    drafts: int = 0
    foreign: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def mean_iou(self) -> dict[str, float]:
        """Task → mean overlap of edited labels with what was shown."""
        return {task: fmean(values) for task, values in sorted(self.iou.items()) if values}


def pull(
    server: Server,
    title: str,
    ledger: Ledger,
    *,
    pngs: Mapping[str, bytes] | None = None,
    names: Mapping[str, str] | None = None,
    write: bool = True,
    report: Report = lambda done, total, label: None,
) -> Pulled:
    """Read every answer of the server's project `title` and append what is news.

    Args:
        pngs: SHA-256 → masks as they are stored here, so that an accept keeps their bytes.
        names: e-mail address → reviewer; without, the part before the @.
        write: False only counts.
    Raises: DataError if there is no such project or two people would share a reviewer's name.
    """
    project = server.find_project(title)
    if project is None:
        raise DataError(server.url, f"the project {title!r}", "none", "Send it first: repset labelstudio push SOURCE")
    reader = _Reader(server, ledger, pngs or {}, reviewers(server.users(), names or {}), write)
    pulled, tasks = reader.pulled, server.tasks(project)
    ours = [task for task in tasks if task.key is not None]
    pulled.tasks, pulled.foreign = len(ours), len(tasks) - len(ours)
    pulled.drafts = sum(task.drafts for task in ours)
    begun = [task for task in ours if task.annotations]
    pulled.begun = len(begun)
    for number, task in enumerate(server.export(project, [task.id for task in begun]), 1):
        reader.task(task)
        report(number, len(begun), "reading answers")
    return pulled


def reviewers(users: Mapping[int, str], names: Mapping[str, str]) -> dict[int, str]:
    """The server's users by number as the ledger's reviewers.

    Raises: DataError where two of them would share a name.
    """
    found: dict[int, str] = {}
    for number, email in sorted(users.items()):
        name = names.get(email) or re.sub(r"[^a-z0-9_.-]+", "_", email.split("@")[0].lower()).strip("_.-")[:64]
        if name in found.values():
            todo = f"Name them apart: --reviewer {email}=NAME"
            raise DataError(email, "a reviewer of another name", f"a second {name}", todo)
        found[number] = name or f"user_{number}"
    return found


class _Reader:
    def __init__(
        self, server: Server, ledger: Ledger, pngs: Mapping[str, bytes], names: Mapping[int, str], write: bool
    ) -> None:
        self.server, self.ledger, self.names, self.write = server, ledger, names, write
        self.pngs = pngs
        self.pulled = Pulled()
        self.known: dict[str, list[Decision]] = defaultdict(list)
        for decision in ledger.read():
            self.known[decision.sample_id].append(decision)

    def task(self, task: Json) -> None:
        """One exported task."""
        where = f"{_text(task.get('data'), 'sample_id')}"
        try:
            item, hashes, screen = item_of(task.get("meta"))
            if item.key != _text(task.get("data"), "key"):
                raise ValueFault("a record of another item")
        except (ValueFault, KeyError, TypeError) as fault:
            self.pulled.faults.append(f"{where}: {fault}")
            return
        for reviewer, annotation in sorted(self._newest(task, where).items()):
            if annotation.get("was_cancelled"):
                self.pulled.skipped += 1
                continue
            self._answer(item, hashes, screen, reviewer, annotation)

    def _newest(self, task: Json, where: str) -> dict[str, Json]:
        """Each reviewer's newest answer."""
        found: dict[str, Json] = {}
        for annotation in task.get("annotations") or ():
            by = annotation.get("completed_by")
            number = by.get("id") if isinstance(by, dict) else by
            reviewer = self.names.get(number) if isinstance(number, int) else None
            try:
                at = _moment(annotation)
            except ValueError:
                reviewer = None
            if reviewer is None:
                self.pulled.faults.append(f"{where}: an answer of nobody or of no time")
            elif reviewer not in found or at > _moment(found[reviewer]):
                found[reviewer] = annotation
        return found

    def _answer(self, item: Item, hashes: Mapping[str, str], screen: Any, reviewer: str, annotation: Json) -> None:
        place = f"{item.sample_id}{' ' + item.variant if item.variant else ''}, {reviewer}"
        answer = read_answer(annotation.get("result"), item, screen)
        if item.shown and not annotation.get("result") and annotation.get("parent_prediction") is None:
            answer.faults["any"] = ["an empty answer to labels that were not on screen"]
        self.pulled.faults += [f"{place}: {fault}" for faults in answer.faults.values() for fault in faults]
        self.pulled.reviewers[reviewer] += 1
        masks = _Masks(self, item, hashes, annotation)
        found = [_refused(one, masks) for one in outcomes(item, hashes, answer, masks.of)]
        lost = [one for one in found if one.task == "muscle_mask" and one.action == "reject" and one.shown
                and one.shown.mask is None]  # fmt: skip
        self.pulled.faults += [f"{place}: a refused mask that is nowhere any more" for _ in lost]
        found = [one for one in found if one not in lost]
        self._count(found)
        note = Note(reviewer, ledger_time(annotation["created_at"]), ledger_time(annotation["updated_at"]), item)
        lines = [decision_of(one, item, reviewer, note.at, masks.png) for one in found]
        if item.blank and not lines and not answer.faults:
            lines = [nothing_of(item, reviewer, note.at)]
            self.pulled.nothing += 1
        lead = annotation.get("lead_time")
        lead_s = float(lead) if isinstance(lead, int | float) and 0 <= lead < 1e7 else None
        self.pulled.seconds += lead_s or 0.0
        held = set(answer.faults) | ({one.task for one in item.shown} if "any" in answer.faults else set())
        self._append(item, news(lines, self.known[item.sample_id], note, lead_s, held))

    def _append(self, item: Item, lines: Sequence[Decision]) -> None:
        for decision in lines:
            self.pulled.written += 1
            self.pulled.undone += decision.action == "undo"
            self.known[item.sample_id].append(self.ledger.append(decision) if self.write else decision)

    def _count(self, found: Sequence[Outcome]) -> None:
        for one in found:
            self.pulled.said[one.task][one.action] += 1
            if one.iou is not None:
                self.pulled.iou[one.task].append(one.iou)
            if one.shift_px is not None:
                self.pulled.shift_px.append(one.shift_px)


class _Masks:
    """Masks that were shown with one answer: as stored here, else the server's copies, each checked by its hash."""

    def __init__(self, reader: _Reader, item: Item, hashes: Mapping[str, str], annotation: Json) -> None:
        self._reader, self._item, self._hashes = reader, item, hashes
        self._annotation = annotation
        self._there: dict[str, Mask] | None = None

    def of(self, shown: Shown) -> Mask | None:
        """The mask of a label shown, None if it is nowhere any more."""
        stored = self._reader.pngs.get(shown.value_hash or "")
        if stored is not None and mask_digest(mask_of_png(stored)) == self._hashes[shown.region]:
            return mask_of_png(stored)
        if self._there is None:
            self._there = shown_masks(list(self._bodies()), self._hashes, self._item)
        return self._there.get(shown.region)

    def _bodies(self) -> Iterator[Any]:
        """What the server still knows of what was shown: its copy in the answer, then the task's predictions."""
        yield self._annotation.get("prediction")
        if isinstance(self._annotation.get("task"), int):
            yield from self._reader.server.predictions(self._annotation["task"])

    def png(self, shown: Shown | None, mask: Mask) -> bytes:
        """Bytes for the ledger: those stored here where the mask is untouched."""
        stored = self._reader.pngs.get(shown.value_hash or "") if shown is not None else None
        if stored is not None and shown is not None and mask_digest(mask_of_png(stored)) == self._hashes[shown.region]:
            return stored
        return encode_png((mask * 255).astype("uint8"))


def _refused(one: Outcome, masks: _Masks) -> Outcome:
    """A rejected mask with the pixels that were refused, which the ledger keeps."""
    if one.action != "reject" or one.task != "muscle_mask" or one.shown is None:
        return one
    return replace(one, shown=replace(one.shown, mask=masks.of(one.shown)))


def _moment(annotation: Json) -> datetime:
    ledger_time(annotation.get("created_at"))
    return datetime.fromisoformat(ledger_time(annotation.get("updated_at")))


def _text(data: Any, name: str) -> str:
    found = data.get(name) if isinstance(data, dict) else None
    return found if isinstance(found, str) else "a task"


@dataclass(frozen=True)
class Standing:
    """How server and project compare, nothing changed on either.

    Attributes:
        missing: items that are not there; outdated: tasks whose sample is here no more or has other media now.
        doubles: second tasks of one item.
        pulled: what the answers say; `written` is what a pull would append.
    """

    there: int
    missing: int
    outdated: int
    doubles: int
    pulled: Pulled


def status(server: Server, title: str, keys: Mapping[str, str], ledger: Ledger, **more: Any) -> Standing:
    """Compare the server's project with our items.

    Args:
        keys: of every item that could be there, key → twin (the task with a label wrong on purpose).
        more: as `pull`.
    """
    project = server.find_project(title)
    tasks: list[ServerTask] = [] if project is None else server.tasks(project)
    found = Counter(task.key for task in tasks if task.key is not None)
    pulled = Pulled() if project is None else pull(server, title, ledger, write=False, **more)
    doubles = sum(count - 1 for count in found.values())
    missing = sum(key not in found and twin not in found for key, twin in keys.items())
    return Standing(sum(found.values()), missing, len(set(found) - set(keys) - set(keys.values())), doubles, pulled)


def stored_masks(rows: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """SHA-256 → PNG of candidate labels."""
    return {sha256_bytes(row["blob"]): row["blob"] for row in rows if row["blob"] is not None}
