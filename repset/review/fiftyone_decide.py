"""What a person asks for in the App, as lines of the ledger. Knows nothing of fiftyone."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repset.curate.decision import VERDICTS, Decision, Proposal
from repset.curate.ledger import Ledger
from repset.curate.merge import undone_ids
from repset.curate.pose_labels import pose_value
from repset.errors import ConfigError, RepsetError
from repset.exercises import NAMES, NONE
from repset.project import Project
from repset.records import read_rows, sha256_bytes
from repset.review.fiftyone_docs import Source
from repset.review.fiftyone_labels import PREDICTED, Label

TOOL = "fiftyone"
TASKS = {"masks": "muscle_mask", "repetitions": "form", "exercise": "exercise", "joints": "pose"}
"""What the form offers → the ledger's task."""

ACTIONS = ("accept", "reject", "relabel")


@dataclass(frozen=True)
class Picked:
    """What is selected in the App.

    Attributes:
        samples: (sample id, variant).
        labels: label id → frame as FiftyOne counts (from 1), None outside frames; empty where samples are meant.
    """

    samples: tuple[tuple[str, str], ...]
    labels: Mapping[str, int | None]


@dataclass(frozen=True)
class Done:
    """What was written, and how many labels already said so."""

    written: list[Decision]
    known: int


def check_reviewer(name: str) -> str:
    """The name as it is. Raises: ConfigError if the ledger cannot take it."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", name):
        raise ConfigError(f"reviewer: expected a name of a-z 0-9 _ . -, found {name!r}. Choose such a name.")
    return name


def labels_of(source: Source, picked: Picked, task: str | None = None) -> list[Label]:
    """The labels that are meant: those selected, else those of a task that hold, else those proposed.

    Args:
        task: of the ledger; None: every one.
    """
    found: list[Label] = []
    for sample_id, variant in picked.samples:
        if sample_id not in source.said.samples:
            continue
        labels = source.said.labels(sample_id, variant)
        labels += _joints(source, sample_id, variant, {frame or 1 for frame in picked.labels.values()} or {1})
        if picked.labels:
            found += [label for label in labels if label.id in picked.labels or joint_key(label) in picked.labels]
            continue
        if source.said.samples[sample_id]["kind"] != "image":
            labels = [label for label in labels if label.task != "pose"]  # of a clip, only a frame's joints are meant
        mine = [label for label in labels if task in (None, label.task)]
        for name in {label.task for label in mine}:
            held = [label for label in mine if label.task == name and label.holds]
            found += held or [label for label in mine if label.task == name]
    return found


def joint_key(label: Label) -> str:
    """The id of automatic joints in the App, '' for any other label."""
    if label.task != "pose" or label.reviewer is not None:
        return ""
    identity = f"{label.sample_id}|{label.field}|{label.target.get('person') or 0}|{label.target['frame']}"
    return sha256_bytes(identity.encode())[:24]


def _joints(source: Source, sample_id: str, variant: str, frames: Iterable[int]) -> list[Label]:
    """Automatic joints and the set's own in some frames, with what people said of them."""
    sample, numbers = source.said.samples[sample_id], sorted(frame - 1 for frame in frames)
    if not sample["width"] or not sample["height"]:
        return []
    held = {(s.key.frame, s.key.person): s for s in source.said.poses[sample_id] if s.key.variant == variant}
    found = []
    for field, folder, joints in (
        ("pose", source.project.index(source.source), source.truth),
        (PREDICTED + "pose", source.project.labels(source.source), source.guess),
    ):
        if sample_id not in joints.tracks:
            continue
        where = [("sample_id", "==", sample_id), ("frame", "in", numbers), ("skeleton", "==", joints.skeleton)]
        for row in read_rows(folder / "poses.parquet", "poses", filters=where):
            person = int(row["person"] or 0)
            slot = held.get((row["frame"], person))
            value = pose_value(row, int(sample["width"]), int(sample["height"]))
            target = {"frame": int(row["frame"]), "person": person, "variant": variant}
            said = tuple(slot.decisions) if slot is not None else ()
            if field == "pose" and said and said[-1].action != "reject":
                continue  # a person's own word stands there
            found.append(Label(field, sample_id, variant, "pose", target, value, str(row["origin"]), said=said))
    return found


def decide(
    project: Project, source: Source, labels: Sequence[Label], action: str, value: str | None, reviewer: str
) -> Done:
    """Write one decision a label (a muscle renamed: two); what the reviewer has said already is not said twice.

    Args:
        action: of ACTIONS; value: what a relabel says: a verdict, an exercise or a muscle.
    Raises: ConfigError for a value that the task does not have; then nothing was written.
    """
    check_reviewer(reviewer)
    if action == "relabel":
        tasks = {label.task for label in labels}
        if len(tasks) != 1 or value not in values_of(source, next(iter(tasks))):
            raise ConfigError(
                f"relabel: expected labels of one task and a value it has, found {value!r} for "
                f"{', '.join(sorted(tasks)) or 'nothing'}. Choose again."
            )
    planned = [one for label in labels for one in _plan(source, label, action, value, reviewer)]
    fresh = [one for one in planned if one is not None]
    ledger = Ledger(project.reviews)
    return Done([ledger.append(one) for one in fresh], len(planned) - len(fresh))


def values_of(source: Source, task: str) -> tuple[str, ...]:
    """What a relabel can say."""
    if task == "exercise":
        return (*NAMES, NONE)
    if task == "form":
        return VERDICTS
    if task == "muscle_mask":
        slots = (slot for key in source.said.samples for slot in source.said.slots(task, key))
        return tuple(sorted({slot.key.label for slot in slots}))
    return ()


def _plan(source: Source, label: Label, action: str, value: str | None, reviewer: str) -> list[Decision | None]:
    """The decisions on one label; None for one that says nothing new."""
    target, now = dict(label.target), label.value
    if action != "relabel":
        return [_decision(source, label, action, target, now, reviewer)]
    if label.task == "muscle_mask":
        if value == target["class"]:
            return [_decision(source, label, "accept", target, None, reviewer)]
        other = {**target, "class": value}
        renamed = _decision(source, label, "edit", other, None, reviewer, follows=False)
        return [_decision(source, label, "reject", target, None, reviewer), renamed]
    if value == now:
        return [_decision(source, label, "accept", target, now, reviewer)]
    if label.task == "form":
        target.pop("rule_id", None)  # the rule said something else
    return [_decision(source, label, "edit", target, value, reviewer)]


def _decision(
    source: Source,
    label: Label,
    action: str,
    target: dict[str, Any],
    value: Any,
    reviewer: str,
    follows: bool = True,
) -> Decision | None:
    mine = [one for one in label.said if one.reviewer == reviewer] if follows else []
    one = Decision(
        reviewer=reviewer,
        tool=TOOL,
        sample_id=label.sample_id,
        task=label.task,
        target=target,
        action=action,
        value=value,
        png=label.png,
        proposal=Proposal(label.origin, label.origin_hash, label.value_hash),
        media_sha256=source.said.samples[label.sample_id]["media_sha256"],
        supersedes=mine[-1].id if mine else None,
    )
    if label.said and (last := label.said[-1]).reviewer == reviewer and follows:
        refused = (last.action == "reject") == (one.action == "reject")
        if refused and (last.value, last.blob) == (one.value, one.blob) and not _more(last.target, target):
            return None
    return one


def _more(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    return before.get("interval_s") != after.get("interval_s") or before.get("class") != after.get("class")


def name_clip(source: Source, sample_id: str, variant: str, value: str, reviewer: str, project: Project) -> Decision:
    """An exercise for a sample of which nobody has said one.

    Raises: ConfigError for a word that is no exercise.
    """
    if value not in values_of(source, "exercise"):
        raise ConfigError(f"relabel: expected an exercise, found {value!r}. Choose again.")
    sample = source.said.samples[sample_id]
    target: dict[str, Any] = {"interval_s": None, "frames": [0, int(sample["frames"] or 1)]}
    if sample["kind"] == "image":
        target = {"frame": 0, "interval_s": None, "person": 0, "variant": variant}
    new = Decision(check_reviewer(reviewer), TOOL, sample_id, "exercise", target, "new", value,
                   media_sha256=sample["media_sha256"])  # fmt: skip
    return Ledger(project.reviews).append(new)


def undo_last(project: Project, reviewer: str) -> Decision | None:
    """Hold off the reviewer's last decision made in the App; the decision it was, None if there is none."""
    ledger = Ledger(project.reviews)
    lines = ledger.read()
    undone = undone_ids(lines)
    mine = [d for d in lines if (d.reviewer, d.tool) == (check_reviewer(reviewer), TOOL) and d.action != "undo"]
    last = next((d for d in reversed(mine) if d.id not in undone), None)
    if last is not None:
        ledger.append(Decision(reviewer, TOOL, last.sample_id, last.task, last.target, "undo",
                               media_sha256=last.media_sha256, supersedes=last.id))  # fmt: skip
    return last


def send(project: Project, source: Source, sample_ids: Iterable[str]) -> str:
    """Send these samples to Label Studio as `repset labelstudio push` would; what became of them, in words.

    Raises: RepsetError without a server, or where it fails.
    """
    from repset.review.label_studio import Server
    from repset.review.ls_connect import alone, connection, root_of, title_of
    from repset.review.ls_items import kind_of, select
    from repset.review.ls_push import push

    wanted, known = set(sample_ids), connection(project)
    if not wanted:
        raise RepsetError("labelstudio: expected samples to send, found none selected. Select some.")
    kind = kind_of(project, source.source)
    with alone(project):
        done = push(
            Server(known.url, known.key), select(project, source.source, kind), title_of(source.source, kind),
            root_of(project, None), wanted=lambda item: item.sample_id in wanted, skip_faults=True,
        )  # fmt: skip
    faults = f", {len(done.faults)} not sent: {done.faults[0]}" if done.faults else ""
    return f"{done.new} sent, {done.unchanged + done.refreshed + done.kept} there already{faults}"
