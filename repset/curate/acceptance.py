"""The stage `accept`: proposals taken over without a person, under a stated rule.

The rule: the score reaches the task's threshold (`accept.<task>` of the params; null takes none), the sample lies in
the fold train (a proposal must never become what a model is chosen or judged by), and the dataset has no label of the
task there.
"""

from collections import Counter
from typing import Any

from repset.curate.build import Built
from repset.curate.gather import gather
from repset.params import AcceptParams
from repset.project import Project
from repset.records import atomic_folder, read_rows, write_json, write_table


def accept(project: Project, task: str, source: str, params: AcceptParams) -> Built:
    """Write `datasets/accepted/<task>/<source>`: table.parquet (columns of `proposals`) and report.json.

    Raises: DataError if the proposals, the index or the split are not there.
    """
    threshold: float | None = getattr(params, task, None)
    proposals = read_rows(project.proposals(task, source) / "table.parquet", "proposals")
    folds = {row["sample_id"]: row["fold"] for row in read_rows(project.split(source) / "split.parquet", "split")}
    labelled = {
        row["sample_id"] for row in gather(project, task, source, automatic=False).rows if row["tier"] == "gold"
    }
    taken, refused = [], Counter[str]()
    for row in proposals:
        if (reason := _refusal(row, threshold, folds, labelled)) is None:
            taken.append(row)
        else:
            refused[reason] += 1
    taken.sort(key=lambda row: (row["sample_id"], row["target"], row["origin_hash"] or "", row["value_hash"] or ""))
    report = {
        "task": task,
        "source": source,
        "threshold": threshold,
        "proposals": len(proposals),
        "accepted": len(taken),
        "refused": dict(sorted(refused.items())),
    }
    folder = project.accepted(task, source)
    with atomic_folder(folder) as temporary:
        write_table(temporary / "table.parquet", "proposals", taken)
        write_json(temporary / "report.json", report)
    return Built(folder / "table.parquet", report)


def _refusal(row: dict[str, Any], threshold: float | None, folds: dict[str, str], labelled: set[str]) -> str | None:
    """Why a proposal is not taken, None if it is."""
    if threshold is None:
        return "no threshold is set"
    if row["sample_id"] in labelled:
        return "the dataset has a label"
    if folds.get(row["sample_id"]) != "train":
        return f"fold {folds.get(row['sample_id'], 'unknown')}"
    if row["score"] is None or not row["score"] >= threshold:
        return "score below the threshold"
    return None
