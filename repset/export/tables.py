"""CSV: `labels.csv` beside the media, which the source family `folder` reads back, and the poses as one long table."""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from repset.export.losses import Losses
from repset.export.selection import Row, Selection, Track
from repset.landmarks import SKELETONS, JointState
from repset.records import read_rows, write_csv

COLUMNS = ("media", "exercise", "group", "split", "fps", "start", "end", "reps", "rep", "turn", "complete", "verdict",
           "rule", "view", "message")  # fmt: skip
"""Columns of labels.csv; what they mean stands in repset.sources.imports_csv.COLUMNS."""

POSES = ("sample_id", "frame", "time_s", "person", "skeleton", "joint", "x_px", "y_px", "visibility", "state",
         "x_m", "y_m", "z_m")  # fmt: skip


def write_csv_tables(selection: Selection, folder: Path, losses: Losses) -> dict[str, int]:
    """labels.csv, media/ and, where the chosen labels have poses, poses.csv."""
    media = _put_media(selection, folder, losses)
    sets, reps, form = _events(selection, losses)
    rows: list[Row] = []
    for sample in selection.samples:
        sample_id = sample["sample_id"]
        if sample_id not in media:
            losses.add("labels of poses without pictures (a label row names a file)")
            continue
        own = [_sample_row(sample, media[sample_id])]
        own += [_set_row(row, media[sample_id]) for row in sets.get(sample_id, ())]
        own += _rep_rows(reps.get(sample_id, []), form.get(sample_id, []), media[sample_id], sample, losses)
        rows += own
    write_csv(folder / "labels.csv", COLUMNS, [{name: row.get(name) for name in COLUMNS} for row in rows])
    return {"samples": len(media), "rows": len(rows), "joints": _write_poses(selection, folder)}


def _put_media(selection: Selection, folder: Path, losses: Losses) -> dict[str, str]:
    """Images, frames and videos as they are stored; returns sample_id → name for the label file."""
    names: dict[str, str] = {}
    for sample in selection.samples:
        sample_id, native = sample["sample_id"], selection.native(sample["sample_id"])
        stored = selection.store.rows(sample_id)
        if sample["media"]:
            name = f"media/{native}{Path(sample['media']).suffix}"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(selection.project.root / sample["media"], folder / name)
            names[sample_id] = name
        elif sample["kind"] == "image" and stored:
            losses.add("augmented copies of images", len(stored) - 1)
            names[sample_id] = f"media/{native}{Path(stored[0]['name']).suffix.lower()}"
            _put(folder / names[sample_id], selection.store.data(stored[0]))
        elif stored:
            names[sample_id] = f"media/{native}"
            for row in stored:
                name = f"{row['frame']:06d}{Path(row['name']).suffix.lower()}"
                _put(folder / names[sample_id] / name, selection.store.data(row))
    return names


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _sample_row(sample: Row, media: str) -> Row:
    fps = sample["fps"] if sample["kind"] != "image" and not sample["media"] else None
    return dict(
        media=media, exercise=sample["exercise_native"], group=sample["group"], split=sample["official_split"], fps=fps
    )


def _set_row(row: Row, media: str) -> Row:
    return dict(media=media) | {name: row[name] for name in ("exercise", "start", "end", "reps")}


def _rep_rows(reps: list[Row], form: list[Row], media: str, sample: Row, losses: Losses) -> Iterator[Row]:
    """A row a repetition with its verdict; verdicts that are of none get rows of their own."""
    verdicts: dict[tuple[Any, ...], list[Row]] = {}
    for row in form:
        verdicts.setdefault((row["start"], row["end"]) if row["level"] != "clip" else ("clip",), []).append(row)
    for row in reps:
        losses.add("repetitions of further persons", int(bool(row["person"])))
        complete = None if row["complete"] is None else "yes" if row["complete"] else "no"
        columns = {name: row[name] for name in ("exercise", "start", "end", "rep", "turn")}
        own = verdicts.pop((row["start"], row["end"]), [])
        yield dict(media=media, complete=complete) | columns | _verdict(own, losses)
    for own in verdicts.values():
        first = own[0]
        whole = first["level"] == "clip" and (first["start"], first["end"]) == (0, sample["frames"])
        place = {} if whole else {"start": first["start"], "end": first["end"]}
        number = first["rep"] if first["level"] == "rep" else None
        losses.add("verdicts of single frames (written as those of a stretch)", int(first["level"] == "frame"))
        yield dict(media=media, exercise=first["exercise"], rep=number) | place | _verdict(own, losses)


def _verdict(rows: list[Row], losses: Losses) -> Row:
    """Of several rules on one repetition the first broken one, as in the curated table."""
    if not rows:
        return {}
    losses.add("further rules on one repetition", len(rows) - 1)
    order = ("incorrect", "unscorable", "correct")
    row = min(rows, key=lambda row: order.index(row["verdict"]))
    losses.add("measured values and limits of verdicts", int(row.get("value_deg") is not None))
    return dict(verdict=row["verdict"], rule=row["rule_id"], view=row.get("view"), message=row.get("message"))


def _events(
    selection: Selection, losses: Losses
) -> tuple[dict[str, list[Row]], dict[str, list[Row]], dict[str, list[Row]]]:
    """Sets, repetitions and verdicts by sample, from the labels chosen."""
    project, source = selection.project, selection.source
    folder = project.labels(source) if selection.labels == "automatic" else project.index(source)
    tables = {name: _grouped(read_rows(folder / f"{name}.parquet", name)) for name in ("sets", "reps", "form")}
    if selection.labels == "curated":
        losses.add("repetitions (the curated tables have none)", sum(len(rows) for rows in tables["reps"].values()))
        tables = {"reps": {}, **tables, **_curated(selection, losses)}
        tables["reps"] = {}
    return tables["sets"], tables["reps"], tables["form"]


def _curated(selection: Selection, losses: Losses) -> dict[str, dict[str, list[Row]]]:
    """Curated stretches of an exercise as sets, curated verdicts as rows of form."""
    found: dict[str, dict[str, list[Row]]] = {"sets": {}, "form": {}}
    counts = _counts(selection)
    for task, name in (("exercise", "sets"), ("form", "form")):
        path = selection.project.curated(task, selection.source) / "table.parquet"
        if not path.is_file():
            continue
        for row in read_rows(path, "curated"):
            target, value = json.loads(row["target"]), json.loads(row["value"])
            start, end = target["frames"]
            losses.add("tier, origin and reviewer of curated labels")
            if task == "form":
                one = dict(level="clip", rep=None, start=start, end=end, verdict=value, rule_id=target.get("rule_id"),
                           exercise=target.get("exercise"))  # fmt: skip
            elif target.get("interval_s") is None:
                continue  # the whole clip: its exercise stands in the sample's own row
            else:
                one = dict(
                    start=start, end=end, exercise=value, reps=_count(counts.get(row["sample_id"], []), start, end)
                )
            found[name].setdefault(row["sample_id"], []).append(one)
    return found


def _counts(selection: Selection) -> dict[str, list[tuple[int, int, int]]]:
    """Sample → (start, end, repetitions) of its counted sets: the dataset's own, and those that `accept count` took."""
    project, source = selection.project, selection.source
    found: dict[str, list[tuple[int, int, int]]] = {}
    for row in read_rows(project.index(source) / "sets.parquet", "sets"):
        if row["reps"] is not None:
            found.setdefault(row["sample_id"], []).append((row["start"], row["end"], row["reps"]))
    path = project.accepted("count", source) / "table.parquet"
    for row in read_rows(path, "proposals") if path.is_file() else ():
        start, end = json.loads(row["target"])["frames"]
        found.setdefault(row["sample_id"], []).append((start, end, json.loads(row["value"])))
    return found


def _count(counts: list[tuple[int, int, int]], start: int, end: int) -> int | None:
    """Repetitions of the counted set that overlaps frames [start, end) by an IoU of 0.5; None where none does."""
    for first, last, reps in counts:
        shared = min(end, last) - max(start, first)
        if 2 * shared >= max(end, last) - min(start, first):
            return reps
    return None


def _grouped(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["sample_id"], []).append(row)
    return found


def _write_poses(selection: Selection, folder: Path) -> int:
    """One row a joint; an absent joint has none. Returns their number."""
    if selection.labels == "curated":
        return 0
    count = 0
    with (folder / "poses.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(POSES)
        for solid in (False, True):
            for track in selection.tracks(solid):
                if solid and np.isfinite(track.xy_px).any():
                    continue  # written with its pixels
                for row in _joint_rows(track):
                    writer.writerow(row)
                    count += 1
    if not count:
        (folder / "poses.csv").unlink()
    return count


def _joint_rows(track: Track) -> Iterator[list[Any]]:
    sample_id, joints = track.sample["sample_id"], SKELETONS[track.skeleton].joints
    for row, frame in enumerate(track.frame.tolist()):
        time = round(float(track.time_s[row]), 6)
        for joint, name in enumerate(joints):
            numbers = [*track.xy_px[row, joint], track.visibility[row, joint]]
            solid = track.xyz_m[row, joint]
            if np.isfinite(numbers[:2]).all() or np.isfinite(solid).all():
                state = JointState(int(track.state[row, joint])).name.lower()
                cells = ["" if not np.isfinite(value) else f"{value:.9g}" for value in (*numbers, *solid)]
                yield [sample_id, frame, time, track.person, track.skeleton, name, *cells[:3], state, *cells[3:]]
