"""`repset export`: one format, one source or all sources of a task, one folder."""

from dataclasses import dataclass
from pathlib import Path

from repset.errors import RepsetError
from repset.export import EXPORTS
from repset.export.losses import Losses
from repset.export.selection import Selection, choose_labels, choose_split
from repset.params import load_source
from repset.project import TASKS, Project, find_project
from repset.records import atomic_folder, write_json

LOSS = "loss.json"


@dataclass(frozen=True)
class Done:
    """What one source became."""

    source: str
    labels: str
    split: str
    folder: Path
    counts: dict[str, int]
    losses: Losses


def export(name: str, what: str, out: Path, labels: str | None, split: str | None) -> list[Done]:
    """Write `out` in one step; a source lies at its top, the sources of a task each in a folder of its name.

    Args:
        name: a key of EXPORTS; what: a source or a task.
        labels, split: as `choose_labels` and `choose_split` take them.
    Raises: RepsetError, DataError; what was at `out` before stays then.
    """
    project = find_project()
    sources = sources_of(project, what)
    if out.exists() and not (out / LOSS).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise RepsetError(f"{out}: expected no folder or an earlier export, found other files. Name another --out.")
    done: list[Done] = []
    with atomic_folder(out) as folder:
        for source in sources:
            chosen = choose_labels(project, source, EXPORTS[name].needs, labels)
            selection = Selection(project, source, chosen, choose_split(project, source, split))
            losses = Losses()
            below = folder if what == source else folder / source
            below.mkdir(exist_ok=True)
            counts = EXPORTS[name].write(selection, below, losses)
            shown = out if what == source else out / source
            done.append(Done(source, chosen, selection.split, shown, counts, losses))
        write_json(folder / LOSS, [_report(name, one) for one in done])
    return done


def sources_of(project: Project, what: str) -> list[str]:
    """A source's own name, or the sources with a curated table of a task. Raises: RepsetError if it is neither."""
    if what not in TASKS:
        load_source(project, what)
        return [what]
    folder = project.curated(what, "")
    sources = sorted(path.parent.name for path in folder.glob("*/table.parquet"))
    if not sources:
        raise RepsetError(
            f"{what}: expected sources with a curated table, found none. Run: repset curate {what} SOURCE"
        )
    return sources


def _report(name: str, done: Done) -> dict[str, object]:
    return {
        "format": name,
        "source": done.source,
        "labels": done.labels,
        "split": done.split,
        "written": done.counts,
        "lost": done.losses.as_rows(),
    }
