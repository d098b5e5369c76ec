"""`repset index`: what was pulled, through the family's reader, into one index folder."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from repset.errors import DataError
from repset.params import SourceSpec
from repset.project import Project
from repset.records import TABLES, atomic_folder, read_json
from repset.sources import SOURCES
from repset.sources.pulled import contents
from repset.sources.tree import TRUTH, open_raw
from repset.sources.writer import IndexWriter

_TRUTH_TABLES = ("reps", "form")


def index_source(
    project: Project,
    source: str,
    spec: SourceSpec,
    shard_mb: int,
    skip: bool = False,
    progress: Callable[[Iterable[str]], Iterator[str]] = iter,
) -> dict[str, Any]:
    """Read datasets/<source>/raw and replace datasets/<source>/index in one step.

    Args:
        shard_mb: size of an image shard, in 10^6 bytes.
        skip: leave out faulty items and count them in report.json, instead of stopping.
    Returns: the content of report.json.
    Raises: DataError for the first fault (the old index stays), also under `skip` if nothing at all is left.
    """
    raw, family = project.raw(source), SOURCES[spec.family]
    where = raw.relative_to(project.root).as_posix()
    with (
        closing(open_raw(raw, where, f"repset pull {source}")) as tree,
        atomic_folder(project.index(source)) as folder,
    ):
        out = IndexWriter(folder, source, shard_mb * 1_000_000, skip)
        try:
            family.read(tree, spec, out, progress)
            if (raw / TRUTH).is_file():
                merge_truth(raw / TRUTH, f"{where}/{TRUTH}", out)
            if not out.rows["samples"]:
                found = f"none ({len(out.skipped)} skipped, {sum(out.left_out.values())} left out)"
                raise DataError(where, "at least one item to index", found, f"Pull it again: repset pull {source}")
        except BaseException:
            out.abandon()
            raise
        about = {"source": source, "family": spec.family, "rendered": spec.rendered, "raw": contents(project, source)}
        return out.finish(about)


def merge_truth(path: Path, where: str, out: IndexWriter) -> None:
    """Repetitions and verdicts of the rendered sample, into tables `reps` and `form` (origin `dataset`).

    Each list holds rows of its table with `native_id` in the place of `sample_id`. The truth counts sets alone, the
    table `sets` counts rest as well: where there is one, a row takes the number of the set it lies in.
    """
    truth = read_json(path)
    known = {row["sample_id"] for row in out.rows["samples"]}
    sets: dict[str, list[dict[str, Any]]] = {}
    for row in out.rows["sets"]:
        sets.setdefault(row["sample_id"], []).append(row)
    for name in _TRUTH_TABLES:
        for number, row in enumerate(truth.get(name, [])):
            at, columns = f"{where}, {name}[{number}]", dict(row)
            native = columns.pop("native_id", None)
            if native is None or (extra := sorted(set(columns) - set(TABLES[name].names))):
                found = "no native_id" if native is None else f"the column {extra[0]!r}"
                raise DataError(at, f"native_id and columns of table {name}", found, "Pull the sample again")
            sample_id = out.sample_id(str(native))
            if sample_id in known:  # an action filter, or --on-error skip, may have left its clip out
                if sample_id in sets:
                    columns["set"] = _set_around(sets[sample_id], columns, at)
                out.rows[name].append(columns | {"sample_id": sample_id, "origin": "dataset"})


def _set_around(sets: list[dict[str, Any]], row: dict[str, Any], where: str) -> int:
    """Number of the set that a repetition lies in."""
    for one in sets:
        if one["start"] <= row["start"] and row["end"] <= one["end"] and one["exercise"] == row["exercise"]:
            return int(one["set"])
    found = f"frames {row['start']} to {row['end']} in none"
    raise DataError(where, f"a repetition inside a set of {row['exercise']}", found, "Pull the sample again")
