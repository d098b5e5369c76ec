"""What the final models say, to be seen beside the bootstrap's proposals; kept by the hash of their weights.

No stage writes it: it is made on request (`repset review --final`) and lies in `.repset/review`, rebuildable.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from repset.errors import RepsetError
from repset.params import PairSpec, load_profile
from repset.project import Project
from repset.records import read_rows, sha256_file, write_table

Progress = Callable[[int, int, str], None]


def _pairs(project: Project, source: str) -> Iterator[tuple[PairSpec, Path]]:
    """The profile's tasks on a source whose final model is there, each with the file of what it says."""
    if not (project.pipelines / "profile.yaml").is_file():
        return
    for pair in load_profile(project).pairs.values():
        weights = project.model(pair.model) / "final" / "weights.safetensors"
        if pair.source == source and weights.is_file():
            name = f"{pair.task}-{source}-{sha256_file(weights)[:12]}.parquet"
            yield pair, project.cache / "review" / "final" / name


def predict(project: Project, source: str, progress: Progress) -> int:
    """Let the final models propose where they have not yet; returns the number of proposals there are.

    Raises: RepsetError where the source has no final model.
    """
    from repset.learn import load_model

    pairs = list(_pairs(project, source))
    if not pairs:
        raise RepsetError(
            f"{source}: expected a final model for it, found none. Train it (dvc repro), or leave --final."
        )
    count = 0
    for pair, path in pairs:
        if not path.is_file():
            folder = project.model(pair.model) / "final"
            rows = load_model(pair.model).propose(project, folder, pair.task, source, "auto", progress)
            write_table(path, "proposals", rows)
        count += len(read_rows(path, "proposals", ["sample_id"]))
    return count


def final_rows(project: Project, source: str) -> list[dict[str, Any]]:
    """Rows of table proposals of the final models in place; none before `predict`."""
    return [row for _, path in _pairs(project, source) if path.is_file() for row in read_rows(path, "proposals")]
