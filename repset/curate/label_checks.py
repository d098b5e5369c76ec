"""Checks of labels: masks, joints, stretches and classes. Each yields the columns of findings that are not null."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from repset.curate import kinematics
from repset.curate.pose_copies import Sequence_, sequences
from repset.curate.splits import classes_of
from repset.landmarks import SKELETONS, JointState
from repset.project import Project
from repset.records import read_rows

RARE = 10.0
"""A class this many times rarer than the commonest is named. Our choice: a tenth of the examples is where a class's own
score begins to hang on a handful of test items in sets of this size."""

Row = Mapping[str, Any]
Found = Iterator[dict[str, Any]]


# --- masks --------------------------------------------------------------------------------------------------------


def masks(project: Project, source: str, samples: Sequence[Row]) -> Found:
    """Masks of another size than their image, with values that are no mask's, or without a pixel."""
    about = {row["sample_id"]: row for row in samples}
    for row in read_rows(project.index(source) / "masks.parquet", "masks"):
        sample = about.get(row["sample_id"])
        mask = cv2.imdecode(np.frombuffer(row["png"], np.uint8), cv2.IMREAD_UNCHANGED) if row["png"] else None
        what = f"the mask {row['label']}" + (f" of copy {row['variant']}" if row["variant"] else "")
        if mask is None:
            yield _of(row, "corrupt_media", "error", f"{what} does not decode.")
            continue
        if sample and sample["width"] and mask.shape[:2] != (sample["height"], sample["width"]):
            sizes = f"{mask.shape[1]} × {mask.shape[0]} px, its image {sample['width']} × {sample['height']}"
            yield _of(row, "size_mismatch", "error", f"{what} has {sizes}.")
        odd = np.setdiff1d(np.unique(mask), (0, 255)).tolist()
        if odd or mask.ndim != 2:
            found = f"the values {', '.join(map(str, odd[:5]))}" if odd else f"{mask.ndim} dimensions"
            yield _of(row, "unknown_mask_value", "error", f"{what} has {found} where 0 and 255 are known.")
        elif not mask.any():
            yield _of(row, "empty_mask", "warning", f"{what} has no pixel.")


def _of(row: Row, code: str, severity: str, sentence: str) -> dict[str, Any]:
    return dict(code=code, severity=severity, sample_id=row["sample_id"], sentence=sentence)


# --- poses --------------------------------------------------------------------------------------------------------


def poses(table: pa.Table, samples: Sequence[Row]) -> Found:
    """Joints outside the image, limbs that jump, sides that swap: one row a sample and code, with its first frame."""
    about = {row["sample_id"]: row for row in samples}
    yield from _outside(table, about)
    for track in sequences(table):
        at, change = kinematics.limb_jumps(track.xy_px, track.time_s)
        if len(at):
            worst = int(change.argmax())
            yield dict(
                code="limb_jump", severity="warning", sample_id=track.sample_id, frame=int(track.frame[at[worst]]),
                value=round(float(change[worst]), 3),
                sentence=f"a limb changes its length by {change[worst]:.2f} body sizes in one frame"
                + (f", and in {len(at) - 1} more." if len(at) > 1 else "."),
            )  # fmt: skip
        swaps = kinematics.side_swaps(track.xy_px, track.time_s)
        if len(swaps):
            frames = ", ".join(str(int(track.frame[s])) for s in swaps[:5])
            yield dict(
                code="side_swap", severity="warning", sample_id=track.sample_id, frame=int(track.frame[swaps[0]]),
                value=float(len(swaps)),
                sentence=f"left and right change places at frame {frames}" + (" …" if len(swaps) > 5 else "") + ".",
            )  # fmt: skip


def _outside(table: pa.Table, about: Mapping[str, Row]) -> Found:
    for skeleton in sorted(set(table["skeleton"].unique().to_pylist())):
        part = table.filter(pc.and_(pc.equal(table["skeleton"], skeleton), pc.is_valid(table["x_px"])))
        part = part.sort_by([("sample_id", "ascending"), ("frame", "ascending")])
        joints = SKELETONS[skeleton].joints
        x, y, state = (
            pc.list_flatten(part[name]).to_numpy().reshape(-1, len(joints)) for name in ("x_px", "y_px", "state")
        )
        names, frame = part["sample_id"].to_numpy(zero_copy_only=False), part["frame"].to_numpy()
        starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]]) if len(names) else np.zeros(0, int)
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(names)], strict=True):
            sample = about.get(names[start])
            if sample is None or not sample["width"] or not sample["height"]:
                continue
            at, which = kinematics.outside(
                np.stack([x[start:end], y[start:end]], axis=-1), state[start:end] == JointState.LABELLED,
                sample["width"], sample["height"],
            )  # fmt: skip
            if len(at):
                first = start + int(at[0])
                place = f"({x[first, which[0]]:.0f}, {y[first, which[0]]:.0f})"
                yield dict(
                    code="joints_outside", severity="warning", sample_id=names[start], frame=int(frame[first]),
                    value=float(len(at)),
                    sentence=f"{len(at)} joints labelled as seen lie outside the {sample['width']} × "
                    f"{sample['height']} px image, the first is {joints[which[0]]} at {place}.",
                )  # fmt: skip


# --- labels -------------------------------------------------------------------------------------------------------


def labels(project: Project, source: str, samples: Sequence[Row], table: pa.Table) -> Found:
    """Samples without any label, and stretches of a labelled clip that no pose or no set covers."""
    index = project.index(source)
    masked = {row["sample_id"] for row in read_rows(index / "masks.parquet", "masks", ["sample_id"])}
    masked |= {row["sample_id"] for row in _muscles(project, source)}
    sets: dict[str, list[Row]] = defaultdict(list)
    for row in read_rows(index / "sets.parquet", "sets", ["sample_id", "start", "end"]):
        sets[row["sample_id"]].append(row)
    posed = {track.sample_id: track for track in sequences(table)}
    has_pose = set(table["sample_id"].unique().to_pylist())
    for sample in samples:
        name = sample["sample_id"]
        if not (sample["exercise"] or sample["exercise_native"] or name in masked or name in sets or name in has_pose):
            severity = "note" if sample["kind"] == "image" and masked else "warning"
            why = "no exercise, mask, set or pose" + (" (background only)" if severity == "note" else "")
            yield dict(code="no_label", severity=severity, sample_id=name, sentence=f"{why}.")
        if name in posed:
            yield from _pose_gaps(posed[name], sample)
        if name in sets:
            yield from _set_gaps(sets[name], sample)


def _pose_gaps(track: Sequence_, sample: Row) -> Found:
    fps = float(sample["fps"] or 30.0)
    present = np.isfinite(track.xy_px[..., 0]).any(axis=1)
    frames = int(sample["frames"] or track.frame[-1] + 1)
    found = kinematics.gaps(present, track.frame, frames, fps)
    if found:
        start, end = max(found, key=lambda gap: gap[1] - gap[0])
        more = f", and {len(found) - 1} shorter stretches" if len(found) > 1 else ""
        yield dict(
            code="label_gap", severity="note", sample_id=track.sample_id, frame=start,
            value=round((end - start) / fps, 3),
            sentence=f"no joint is labelled in frames {start} to {end - 1} ({(end - start) / fps:.2f} s){more}.",
        )  # fmt: skip


def _set_gaps(rows: Sequence[Row], sample: Row) -> Found:
    fps, at, widest = float(sample["fps"] or 30.0), 0, (0, 0)
    for row in [*sorted(rows, key=lambda row: (row["start"], row["end"])), {"start": sample["frames"], "end": 0}]:
        if row["start"] is not None and row["start"] - at > widest[1] - widest[0]:
            widest = at, row["start"]
        at = max(at, row["end"] or 0)
    if widest[1] - widest[0] > fps:
        seconds = (widest[1] - widest[0]) / fps
        yield dict(
            code="label_gap", severity="note", sample_id=sample["sample_id"], frame=widest[0], value=round(seconds, 3),
            sentence=f"no set covers frames {widest[0]} to {widest[1] - 1} ({seconds:.1f} s).",
        )  # fmt: skip


# --- classes ------------------------------------------------------------------------------------------------------


def _muscles(project: Project, source: str) -> list[dict[str, Any]]:
    """Muscle groups of whole clips, for the sources that have them."""
    path = project.index(source) / "muscles.parquet"
    return read_rows(path, "muscles", ["sample_id", "label"]) if path.is_file() else []


def classes(project: Project, source: str, samples: Sequence[Row]) -> Found:
    """Classes RARE times rarer than the commonest, and classes that one side of the set's own split lacks."""
    shown = classes_of(project, source, samples)
    counts = Counter(label for names in shown.values() for label in names)
    if not counts:
        return
    commonest, most = max(sorted(counts.items()), key=lambda item: item[1])
    for label, count in sorted(counts.items()):
        if most >= RARE * count:
            yield dict(
                code="class_imbalance", severity="warning", value=round(most / count, 1),
                sentence=f"{label} is in {count} samples, {commonest} in {most}: {most / count:.0f} times as many.",
            )  # fmt: skip
    sides: dict[str, Counter[str]] = defaultdict(Counter)
    for row in samples:
        if row["official_split"]:
            sides[str(row["official_split"])].update(shown.get(row["sample_id"], ()))
    for side, seen in sorted(sides.items()):
        if absent := sorted(set(counts) - set(seen)):
            yield dict(
                code="class_imbalance", severity="warning", value=float(len(absent)),
                sentence=f"the set's own {side} side lacks {', '.join(absent)}.",
            )  # fmt: skip
