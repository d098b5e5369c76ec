"""Joints as candidate labels of the merge: only in frames that somebody has decided, since poses have no curated table.

They are what tells that an accepted pose has gone stale: a joint that lies more than 5 px from where it was.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from repset.curate.decision import Decision
from repset.curate.gather import label_row, tier_of
from repset.curate.slots import Row
from repset.landmarks import SKELETONS, JointState
from repset.project import Project
from repset.records import read_rows

_STATES = {JointState.LABELLED: "labelled", JointState.OCCLUDED: "occluded", JointState.OUTSIDE: "outside"}


def pose_value(row: Mapping[str, Any], width: int, height: int) -> dict[str, Any]:
    """A row of table `poses` as the ledger's value; a joint without a position is absent.

    A joint beyond the picture's edge counts as outside, whatever its row says: nobody can see it there.
    """
    joints = {}
    for name, x, y, state in zip(
        SKELETONS[row["skeleton"]].joints, row["x_px"], row["y_px"], row["state"], strict=True
    ):
        if state in _STATES and np.isfinite(x) and np.isfinite(y):
            inside = 0 <= x <= width and 0 <= y <= height
            joints[name] = [float(x), float(y), _STATES[state] if inside else "outside"]
    return {"skeleton": row["skeleton"], "joints": joints}


def pose_label(row: Mapping[str, Any], sample: Mapping[str, Any], variant: str) -> Row:
    """A row of table `poses` as a candidate label."""
    target = {"frame": int(row["frame"]), "person": int(row["person"] or 0), "variant": variant}
    value = pose_value(row, int(sample["width"] or 0), int(sample["height"] or 0))
    return label_row(
        str(row["sample_id"]), "pose", target, tier_of(str(row["origin"])), str(row["origin"]), value=value
    )


def pose_rows(project: Project, source: str, decisions: Iterable[Decision]) -> list[Row]:
    """Candidates of the task `pose` on one source: the set's own joints and the labeller's, in the frames decided.

    Raises: DataError for a table that cannot be read.
    """
    decided: dict[tuple[str, int], set[str]] = defaultdict(set)
    for one in decisions:
        if one.task == "pose" and one.sample_id.split("/", 1)[0] == source:
            decided[one.sample_id, int(one.target["frame"])].add(str(one.target.get("variant") or ""))
    index = project.index(source) / "samples.parquet"
    if not decided or not index.is_file():
        return []
    names, frames = sorted({key[0] for key in decided}), sorted({key[1] for key in decided})
    samples = {row["sample_id"]: row for row in read_rows(index, "samples", filters=[("sample_id", "in", names)])}
    found = []
    for folder in (project.index(source), project.labels(source)):
        path = folder / "poses.parquet"
        chosen = [("sample_id", "in", names), ("frame", "in", frames)]
        for row in read_rows(path, "poses", filters=chosen) if path.is_file() else ():
            for variant in sorted(decided.get((row["sample_id"], row["frame"]), ())):
                found.append(pose_label(row, samples[row["sample_id"]], variant))
    return found
