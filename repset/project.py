"""Where things lie in a project: the one place that spells a path.

The root is the nearest folder upwards that holds `dvc.yaml` (or `REPSET_ROOT`), never a place derived from
`__file__`, so an installed copy works on any project.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from repset.errors import RepsetError

TASKS = ("muscle_mask", "exercise", "form")
"""Tasks with a curated table each."""

RESERVED = ("proposals", "accepted", "curated", "seed", "reviews", "labeller", "checks")
"""Folder names under datasets/ that no source may take."""


@dataclass(frozen=True)
class Project:
    """Paths of one project; nothing here touches the disk."""

    root: Path

    def source(self, name: str) -> Path:
        """`datasets/<source>`: card, raw/, index/, split/, labels/."""
        return self.root / "datasets" / name

    def raw(self, name: str) -> Path:
        """What `repset pull` brought, as it came."""
        return self.source(name) / "raw"

    def index(self, name: str) -> Path:
        """Tables and media shards written by `repset index`."""
        return self.source(name) / "index"

    def split(self, name: str) -> Path:
        """`split.parquet` and `proof.json`."""
        return self.source(name) / "split"

    def labels(self, name: str) -> Path:
        """Automatic labels written by `repset autolabel`."""
        return self.source(name) / "labels"

    def checks(self, name: str) -> Path:
        """Findings and fingerprints of one source; in one folder, on which the report depends."""
        return self.root / "datasets" / "checks" / name

    def labeller_scores(self, name: str) -> Path:
        """The labeller's report card of one source, a metric in git; in one folder, on which the report depends."""
        return self.root / "datasets" / "labeller" / f"{name}.json"

    @property
    def reviews(self) -> Path:
        """The ledger: human decisions, in git, never a stage output."""
        return self.root / "datasets" / "reviews"

    def seed(self, task: str, source: str) -> Path:
        """What the bootstrap model learns from: curated with the ledger up to the closed round."""
        return self.root / "datasets" / "seed" / task / source

    def proposals(self, task: str, source: str) -> Path:
        """Pre-annotations of the bootstrap model."""
        return self.root / "datasets" / "proposals" / task / source

    def accepted(self, task: str, source: str) -> Path:
        """Proposals taken over without a person, under a stated rule."""
        return self.root / "datasets" / "accepted" / task / source

    def curated(self, task: str, source: str) -> Path:
        """What final models learn from and are tested on."""
        return self.root / "datasets" / "curated" / task / source

    def model(self, name: str) -> Path:
        """`models/<name>`: config.yaml, README.md; bootstrap/, final/ and metrics are outputs."""
        return self.root / "models" / name

    @property
    def pipelines(self) -> Path:
        """`pipelines/`: one file per source, profile.yaml, real.yaml."""
        return self.root / "pipelines"

    @property
    def cache(self) -> Path:
        """`.repset/`: rebuildable caches and media proxies; deleting it loses nothing."""
        return self.root / ".repset"


def find_project(start: Path | None = None) -> Project:
    """The project around `start` (default: the current folder).

    Raises: RepsetError if neither it nor a parent holds dvc.yaml.
    """
    if start is None and (named := os.environ.get("REPSET_ROOT")):
        start = Path(named)
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file():
            return Project(folder)
    raise RepsetError(
        f"{here}: expected a repset project (a folder with dvc.yaml) here or above, found none. "
        "Change into the cloned repository or set REPSET_ROOT."
    )
