"""One human decision: what it holds, its line in the ledger, and what makes a line valid."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from repset.errors import DataError
from repset.landmarks import SKELETONS
from repset.project import TASKS
from repset.records import canonical_json, sha256_bytes

VERSION = 1
LEDGER_TASKS = (*TASKS, "pose")
"""Everything a person can decide: the tasks with a curated table, and the joints of a person in one frame."""
ACTIONS = ("accept", "edit", "reject", "new", "nothing", "undo")
NOTHING = "nothing"
"""The answer to a picture shown blank on purpose in which the person found nothing to label: only its time counts."""

_EMPTY = (NOTHING, "undo")  # actions that hold no label
VERDICTS = ("correct", "incorrect", "unscorable")
JOINT_STATES = ("labelled", "occluded", "outside")
ORIGINS = ("dataset", "dataset_estimate", "mediapipe", "rule", "model", "human")
FIELDS = (
    "v", "id", "at", "reviewer", "tool", "sample_id", "media_sha256", "task", "target", "action", "value", "blob",
    "proposal", "seconds", "supersedes", "probe",
)  # fmt: skip
TARGET_FIELDS = (
    "class", "person", "variant", "frame", "interval_s",  # what the decision is about
    "frames", "exercise", "rule_id", "original_interval_s", "original_frames",  # information beside it
    "blank",  # true: the label was made on a picture that was shown without labels on purpose
)  # fmt: skip

_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_REVIEWER = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_HEX = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{32}")
RESTORE = "Restore the line from git"


@dataclass(frozen=True)
class Proposal:
    """The label a person was shown.

    Attributes:
        origin: dataset | dataset_estimate | mediapipe | rule | model | human.
        origin_hash: of the model's weights or the rule set, None for a dataset.
        value_hash: SHA-256 of the value's JSON text, or of the mask's PNG.
    """

    origin: str
    origin_hash: str | None
    value_hash: str | None


@dataclass(frozen=True)
class Decision:
    """One line of the ledger.

    Attributes:
        reviewer: short name, a-z 0-9 _ . -; part of the file's name.
        tool: what it was made with: fiftyone, label_studio, rep_bench, ...
        sample_id, media_sha256: what was looked at; the hash is None where the set has none.
        task: one of LEDGER_TASKS.
        target: class, person, variant, frame, interval_s ([start, end) seconds; null: whole clip), frames.
            An edited interval is the person's own; it finds the label it corrects by overlap.
        action: accept | edit | reject | new | nothing | undo (of the decision that `supersedes` names).
        value: what now holds (accept, edit, new) or was refused (reject): a label or verdict; None where it is a mask.
        png: the mask (task muscle_mask), kept as blobs/<sha256>.png; in the line only its hash, as `blob`.
        proposal: what the person was shown; None for new, nothing and undo.
        seconds: time spent, None where unknown.
        supersedes: id of the decision this one replaces or undoes.
        probe: the proposal was wrong on purpose; never merged.
        at: UTC, ISO 8601 with a final Z; empty until `Ledger.append` stamps it.
    """

    reviewer: str
    tool: str
    sample_id: str
    task: str
    target: Mapping[str, Any]
    action: str
    value: Any = None
    png: bytes | None = field(default=None, repr=False)
    proposal: Proposal | None = None
    media_sha256: str | None = None
    seconds: float | None = None
    supersedes: str | None = None
    probe: bool = False
    at: str = ""

    @property
    def blob(self) -> str | None:
        """SHA-256 of the mask."""
        return None if self.png is None else sha256_bytes(self.png)

    @property
    def id(self) -> str:
        """The first 32 hex digits of the SHA-256 of the line without its id."""
        return content_id(self.fields())

    @property
    def time(self) -> datetime:
        """`at` as a moment."""
        return datetime.fromisoformat(self.at)

    def fields(self) -> dict[str, Any]:
        """The line without its id, as JSON-ready values."""
        shown = self.proposal
        return {
            "v": VERSION,
            "at": self.at,
            "reviewer": self.reviewer,
            "tool": self.tool,
            "sample_id": self.sample_id,
            "media_sha256": self.media_sha256,
            "task": self.task,
            "target": dict(self.target),
            "action": self.action,
            "value": self.value,
            "blob": self.blob,
            "proposal": None
            if shown is None
            else {"origin": shown.origin, "origin_hash": shown.origin_hash, "value_hash": shown.value_hash},
            "seconds": self.seconds,
            "supersedes": self.supersedes,
            "probe": self.probe,
        }

    def line(self) -> str:
        """The line as it is written, without its newline."""
        return canonical_json({**self.fields(), "id": self.id})


def content_id(fields: Mapping[str, Any]) -> str:
    """The id of a line from its other fields."""
    return sha256_bytes(canonical_json({k: v for k, v in fields.items() if k != "id"}).encode())[:32]


def parse_line(line: bytes, where: str, load_blob: Callable[[str, str], bytes]) -> Decision:
    """One line as a decision.

    Args:
        where: "file:line", for the error and to know which file the line stands in.
        load_blob: hash and `where` → PNG bytes.
    Raises: DataError naming `where`.
    """
    try:
        fields = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise DataError(where, "UTF-8 text", "other bytes", RESTORE) from error
    except (json.JSONDecodeError, RecursionError) as error:
        what = error.msg if isinstance(error, json.JSONDecodeError) else "too deep"
        raise DataError(where, "one JSON object", f"text that does not parse ({what})", RESTORE) from error
    check_fields(fields, Path(where.rpartition(":")[0]), where)
    shown, blob = fields["proposal"], fields["blob"]
    plain = {key: fields[key] for key in FIELDS if key not in ("v", "id", "blob", "proposal")}
    png = None if blob is None else load_blob(blob, where)
    return Decision(**plain, png=png, proposal=None if shown is None else Proposal(**shown))


def _refuse_constant(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is no JSON number", name, 0)


def check_fields(fields: Any, path: Path, where: str, todo: str = RESTORE) -> None:
    """Whether the fields of a line are a valid decision in its own file.

    Args:
        path: the ledger file; where: the place the error names; todo: what the error says to do.
    Raises: DataError.
    """
    if not isinstance(fields, dict):
        raise DataError(where, "one JSON object", type(fields).__name__, todo)
    if odd := sorted(set(FIELDS) ^ set(fields)):
        found = f"{'a missing' if odd[0] in FIELDS else 'an unknown'} {odd[0]}"
        raise DataError(where, f"the fields {' '.join(FIELDS)}", found, todo)
    for name, expected, good in _rules(fields):
        if not good:
            raise DataError(where, f"{name}: {expected}", json.dumps(fields[name], ensure_ascii=False)[:200], todo)
    if fields["id"] != content_id(fields):
        raise DataError(where, f"the id {content_id(fields)} of this content", str(fields["id"]), todo)
    if path.name != (wanted := f"{fields['reviewer']}-{fields['at'][:7]}.jsonl"):
        raise DataError(where, f"only lines of {path.name}", f"a line of {wanted}", "Move it to its own file")


def _rules(f: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Field, what is expected of it, whether it holds; later rules rely on earlier ones."""
    undo, empty = f["action"] == "undo", f["action"] in _EMPTY
    yield "v", f"{VERSION}", f["v"] == VERSION
    yield "at", "a UTC time such as 2026-11-21T10:00:00Z", _is_time(f["at"])
    yield "reviewer", "a-z 0-9 _ . -", isinstance(f["reviewer"], str) and bool(_REVIEWER.fullmatch(f["reviewer"]))
    yield "tool", "a name", _is_text(f["tool"])
    yield "sample_id", "<source>/<native id>", _is_text(f["sample_id"]) and "/" in f["sample_id"]
    yield "media_sha256", "null or 64 hex digits", _is_hash(f["media_sha256"])
    yield "task", f"one of {', '.join(LEDGER_TASKS)}", f["task"] in LEDGER_TASKS
    yield "target", _EXPECTED_TARGET[f["task"]], _is_target(f["target"], f["task"])
    yield "action", f"one of {', '.join(ACTIONS)}", f["action"] in ACTIONS
    yield (
        "blob",
        "a mask for muscle_mask, else null",
        _is_hash(f["blob"]) and (f["blob"] is None) == (empty or f["task"] != "muscle_mask"),
    )
    yield "value", _EXPECTED_VALUE[f["task"]] if not empty else "null", _is_value(f["value"], f["task"], empty)
    shown = f["proposal"]
    yield (
        "proposal",
        "null for new, nothing and undo, else the label shown",
        (shown is None) == (f["action"] in ("new", *_EMPTY)),
    )
    yield (
        "proposal",
        "origin, origin_hash and value_hash",
        shown is None
        or (
            isinstance(shown, dict)
            and set(shown) == {"origin", "origin_hash", "value_hash"}
            and shown["origin"] in ORIGINS
        ),
    )
    yield "seconds", "null or a number ≥ 0", f["seconds"] is None or (_is_number(f["seconds"]) and f["seconds"] >= 0)
    reference = f["supersedes"]
    yield (
        "supersedes",
        "the id of a decision" if undo else "null or the id of a decision",
        ((reference is None and not undo) or (isinstance(reference, str) and bool(_ID.fullmatch(reference)))),
    )
    yield "probe", "true or false", isinstance(f["probe"], bool)


_EXPECTED_TARGET = {
    "muscle_mask": "the class of a muscle, person and variant",
    "exercise": "interval_s ([start, end] in seconds, null for the whole clip)",
    "form": "interval_s ([start, end] in seconds) and person, or the frame of an image",
    "pose": "frame and person",
}
_EXPECTED_VALUE = {
    "muscle_mask": "null (the value is the mask)",
    "exercise": "the name of an exercise, or none",
    "form": f"one of {', '.join(VERDICTS)}",
    "pose": "skeleton, and joints: name to [x_px, y_px, labelled | occluded | outside]",
}


def _is_value(value: Any, task: str, empty: bool) -> bool:
    if empty or task == "muscle_mask":
        return value is None
    if task == "pose":
        return _is_pose(value)
    return value in VERDICTS if task == "form" else _is_text(value)


def _is_pose(value: Any) -> bool:
    """A joint that is not named is absent."""
    if not isinstance(value, dict) or set(value) != {"skeleton", "joints"} or value["skeleton"] not in SKELETONS:
        return False
    known, joints = SKELETONS[value["skeleton"]].joints, value["joints"]
    return isinstance(joints, dict) and all(
        name in known
        and isinstance(at, list)
        and len(at) == 3
        and all(map(_is_number, at[:2]))
        and at[2] in JOINT_STATES
        for name, at in joints.items()
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_hash(value: Any) -> bool:
    return value is None or (isinstance(value, str) and bool(_HEX.fullmatch(value)))


def _is_time(value: Any) -> bool:
    if not isinstance(value, str) or not _AT.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_target(target: Any, task: str) -> bool:
    if not isinstance(target, dict) or not set(target) <= set(TARGET_FIELDS):
        return False
    for name in ("interval_s", "frames", "original_interval_s", "original_frames"):
        pair = target.get(name)
        if pair is not None and not (
            isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair)) and 0 <= pair[0] < pair[1]
        ):
            return False
    if not isinstance(target.get("blank", True), bool):
        return False
    if not all(isinstance(target.get(name) or "", str) for name in ("class", "variant")):
        return False
    if not all(type(target.get(name) or 0) is int for name in ("person", "frame")):
        return False
    if task == "muscle_mask":
        return _is_text(target.get("class")) and target["class"] != "background" and target.get("interval_s") is None
    if task == "pose":
        return target.get("frame") is not None and target.get("interval_s") is None
    return task == "exercise" or target.get("interval_s") is not None or target.get("frame") is not None
