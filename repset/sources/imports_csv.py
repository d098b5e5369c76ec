"""Reads a label CSV: one row a clip or image, one a set (`start`, `end`), one a repetition (`rep`, `start`, `end`).

Columns in any order, each optional but `media`; COLUMNS says what they mean. Empty cells say nothing.
"""

import csv
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from repset.errors import DataError
from repset.exercises import BY_NAME, NONE, canonical

COLUMNS: dict[str, str] = {
    "media": "the file as it lies in the folder, or the folder of a sequence",
    "exercise": "its exercise, `none` for rest",
    "subject": "who is seen: what must not straddle a split",
    "group": "the same for anything else, a recording or a place",
    "split": "train | validation | test | unseen_test, where the set has a split of its own",
    "fps": "frames a second of a sequence",
    "start": "first frame of a set or repetition, from 0",
    "end": "the frame after its last",
    "start_s": "the same in seconds, in the place of start",
    "end_s": "the same in seconds, in the place of end",
    "reps": "number of repetitions of a clip or set",
    "rep": "number of this repetition within its set, from 0; the row is a repetition then",
    "turn": "frame of its turning point",
    "complete": "yes | no: whether it returned to the start position",
    "verdict": "correct | incorrect | unscorable",
    "rule": "what a verdict is about, in a word",
    "view": "front | side | three_quarter | back | unknown",
    "message": "a verdict's reason, for people",
}
_SPLITS = {"train": "train", "valid": "validation", "val": "validation", "validation": "validation", "test": "test",
           "unseen_test": "unseen_test"}  # fmt: skip
_VERDICTS = ("correct", "incorrect", "unscorable")
_VIEWS = ("front", "side", "three_quarter", "back", "unknown")
_FACTS = ("subject", "group", "split", "fps")
FIX = "Mend the row"
Cells = dict[str, str]


@dataclass
class MediaRows:
    """The rows of one clip or image, each with its place for messages."""

    rows: list[tuple[str, Cells]] = field(default_factory=list)

    def fact(self, name: str) -> tuple[str, str] | None:
        """The one value that the rows give for a fact, with its place. Raises: DataError if they differ."""
        found = [(cells[name], where) for where, cells in self.rows if cells.get(name)]
        for value, where in found[1:]:
            if value != found[0][0]:
                raise DataError(where, f"the {name} {found[0][0]!r} of the rows above", repr(value), FIX)
        return found[0] if found else None


def read_label_csv(data: bytes, where: str) -> dict[str, MediaRows]:
    """Media name → its rows. Raises: DataError naming the line: an unknown column, a row of another length."""
    try:
        lines = list(csv.reader(data.decode("utf-8-sig").splitlines(), skipinitialspace=True, strict=True))
    except UnicodeDecodeError as error:
        raise DataError(where, "UTF-8 text", f"the byte {data[error.start]:#x}", "Save it as UTF-8") from error
    except csv.Error as error:
        raise DataError(where, "comma-separated values", str(error), FIX) from error
    header = [cell.strip().lower() for cell in lines[0]] if lines else []
    for name in header:
        if name not in COLUMNS:
            raise DataError(where, f"columns among {', '.join(COLUMNS)}", f"{name[:60]!r}", "Rename or remove it")
    if "media" not in header or len(set(header)) < len(header):
        found = "no column media" if "media" not in header else "a column twice"
        raise DataError(where, "a header with media and each column once", found, "Mend the first line")
    by_media: dict[str, MediaRows] = {}
    for number, row in enumerate(lines[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        line = f"{where}, line {number}"
        if len(row) != len(header):
            raise DataError(line, f"{len(header)} cells, as the header has", str(len(row)), FIX)
        cells = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
        by_media.setdefault(cells["media"].rstrip("/"), MediaRows()).rows.append((line, cells))
    return by_media


@dataclass(frozen=True)
class Facts:
    """What the rows say of a whole clip or image."""

    group: str | None
    official_split: str | None
    fps: float | None
    exercise: str | None
    exercise_native: str | None


def facts_of(media: MediaRows) -> Facts:
    """Group, split, rate and exercise. Raises: DataError for a value that is none, or rows that differ."""
    values = {name: media.fact(name) for name in _FACTS}
    split, fps = values["split"], values["fps"]
    if split and split[0].lower() not in _SPLITS:
        raise DataError(split[1], f"a split among {', '.join(sorted(set(_SPLITS.values())))}", repr(split[0][:40]), FIX)
    if fps and not 0 < _number(fps[0], "fps", fps[1]) < 1000:
        raise DataError(fps[1], "fps above 0 and below 1,000", fps[0], FIX)
    whole = [(where, cells) for where, cells in media.rows if not _has_interval(cells) and cells.get("exercise")]
    for where, cells in whole[1:]:
        if cells["exercise"] != whole[0][1]["exercise"]:
            raise DataError(where, "one exercise for the whole clip", "a second one", "Give both start and end")
    word = whole[0][1]["exercise"] if whole else None
    group = values["subject"] or values["group"]
    return Facts(
        group[0] if group else None,
        _SPLITS[split[0].lower()] if split else None,
        float(fps[0]) if fps else None,
        canonical(word) if word else None,
        word,
    )


def _has_interval(cells: Cells) -> bool:
    return any(cells.get(name) for name in ("start", "end", "start_s", "end_s", "rep"))


@dataclass
class Events:
    """Rows of the tables sets, reps and form, without sample_id and origin."""

    sets: list[dict[str, Any]] = field(default_factory=list)
    reps: list[dict[str, Any]] = field(default_factory=list)
    form: list[dict[str, Any]] = field(default_factory=list)


def events_of(media: MediaRows, facts: Facts, frames: int, fps: float | None) -> Events:
    """Sets, repetitions and verdicts of one clip of `frames` frames.

    A count or repetitions without a set make the whole clip one set.
    Raises: DataError for an interval outside the clip, sets that overlap, a repetition outside every set, an exercise
        that cannot be counted, an image with any of these.
    """
    events = Events()
    kinds: dict[str, list[tuple[str, Cells]]] = {"whole": [], "set": [], "rep": []}
    for where, cells in media.rows:
        kinds["rep" if cells.get("rep") else "set" if _has_interval(cells) else "whole"].append((where, cells))
    counted = [(where, cells) for where, cells in kinds["whole"] if cells.get("reps")]
    for where, cells in kinds["set"]:
        start, end = _interval(cells, frames, fps, where)
        exercise = _exercise(cells.get("exercise") or facts.exercise_native or "", where)
        events.sets.append(_set(start, end, exercise, _whole(cells, "reps", where)) | {"where": where})
    if not events.sets and (counted or kinds["rep"]):
        where, cells = (counted or kinds["rep"])[0]
        exercise = _exercise(facts.exercise_native or cells.get("exercise") or "", where)
        events.sets.append(_set(0, frames, exercise, _whole(cells, "reps", where)) | {"where": where})
    _number_sets(events.sets)
    for where, cells in kinds["rep"]:
        events.reps.append(_rep(cells, events.sets, frames, fps, where))
    for where, cells in (row for rows in kinds.values() for row in rows if row[1].get("verdict")):
        events.form.append(_form(cells, events, facts, frames, fps, where))
    for row in events.sets:
        del row["where"]
    return events


def _set(start: int, end: int, exercise: str, reps: int | None) -> dict[str, Any]:
    return dict(start=start, end=end, exercise=exercise, exercise_p=None, reps=reps)


def _number_sets(sets: list[dict[str, Any]]) -> None:
    sets.sort(key=lambda row: (row["start"], row["end"]))
    for number, row in enumerate(sets):
        row["set"] = number
    for before, after in pairwise(sets):
        if after["start"] < before["end"]:
            found = f"frames {before['start']} to {before['end']} and {after['start']} to {after['end']}"
            raise DataError(after["where"], "sets that do not overlap", found, FIX)


def _rep(cells: Cells, sets: list[dict[str, Any]], frames: int, fps: float | None, where: str) -> dict[str, Any]:
    start, end = _interval(cells, frames, fps, where)
    inside = [row for row in sets if row["start"] <= start and end <= row["end"]]
    if not inside:
        raise DataError(where, "a repetition inside one of the clip's sets", f"frames {start} to {end}", FIX)
    turn = _whole(cells, "turn", where)
    if turn is not None and not start <= turn < end:
        raise DataError(where, f"a turn between frames {start} and {end}", str(turn), FIX)
    answer = cells.get("complete", "").lower()
    if answer not in ("", "yes", "no"):
        raise DataError(where, "complete = yes or no", repr(answer[:40]), FIX)
    seconds = {
        f"{name}_s": None if frame is None or not fps else frame / fps
        for name, frame in (("start", start), ("turn", turn), ("end", end))
    }
    own = cells.get("exercise")
    return dict(
        person=0,
        set=inside[0]["set"],
        rep=_whole(cells, "rep", where),
        exercise=_exercise(own, where) if own else inside[0]["exercise"],
        start=start,
        turn=turn,
        end=end,
        complete={"yes": True, "no": False}.get(answer),
        range_deg=None,
        **seconds,
    )


def _form(cells: Cells, events: Events, facts: Facts, frames: int, fps: float | None, where: str) -> dict[str, Any]:
    verdict, view = cells["verdict"].lower(), cells.get("view", "").lower() or None
    if verdict not in _VERDICTS:
        raise DataError(where, f"a verdict among {', '.join(_VERDICTS)}", repr(verdict[:40]), FIX)
    if view is not None and view not in _VIEWS:
        raise DataError(where, f"a view among {', '.join(_VIEWS)}", repr(view[:40]), FIX)
    start, end = _interval(cells, frames, fps, where) if _has_interval(cells) else (0, frames)
    around = [row for row in events.sets if row["start"] <= start and end <= row["end"]]
    exercise = cells.get("exercise") or (around[0]["exercise"] if around else facts.exercise_native)
    return dict(
        person=0, set=around[0]["set"] if around else None, level="rep" if cells.get("rep") else "clip",
        rep=_whole(cells, "rep", where), start=start, end=end, exercise=canonical(exercise or "") or exercise,
        verdict=verdict, rule_id=cells.get("rule") or None, view=view, message=cells.get("message") or None,
    )  # fmt: skip


def _interval(cells: Cells, frames: int, fps: float | None, where: str) -> tuple[int, int]:
    ends: list[int] = []
    for name in ("start", "end"):
        if bool(cells.get(name)) == bool(cells.get(f"{name}_s")):
            raise DataError(where, f"either {name} or {name}_s", "both" if cells.get(name) else "neither", FIX)
        if cells.get(name):
            ends.append(_whole(cells, name, where) or 0)
        elif not fps:
            raise DataError(where, "a frame rate for times in seconds", "none", "Add a column fps")
        else:
            ends.append(round(min(_number(cells[f"{name}_s"], f"{name}_s", where), 1e6) * fps))
    if not 0 <= ends[0] < ends[1] <= frames:
        raise DataError(where, f"frames inside the clip (0 to {frames})", f"{ends[0]} to {ends[1]}", FIX)
    return ends[0], ends[1]


def _exercise(word: str, where: str) -> str:
    name = canonical(word)
    if name is None:
        expected = f"an exercise that can be counted ({', '.join(BY_NAME)}) or {NONE}"
        todo = "Add it to repset.exercises, or give it to the whole clip without reps, start and end"
        raise DataError(where, expected, repr(word[:60]), todo)
    return name


def _whole(cells: Cells, name: str, where: str) -> int | None:
    text = cells.get(name, "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise DataError(where, f"a whole number in {name}", repr(text[:40]), FIX)
    return int(text) if text else None


def _number(text: str, name: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value != value:
        raise DataError(where, f"a number in {name}", repr(text[:40]), FIX)
    return value
