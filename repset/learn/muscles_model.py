"""The muscle model on disk: learned from every clip, read back to score a pose track."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from repset.errors import DataError
from repset.exercises import MUSCLE_GROUPS
from repset.learn import Progress, silent
from repset.learn.card import Card, data_kind, load_arrays, load_card, save_model, table_facts
from repset.learn.muscles import RIDGE, Ridge, Table, load_clips
from repset.learn.muscles_pose import HOP_S, NAMES, SPEC, describe
from repset.learn.muscles_scores import action_weights
from repset.project import Project
from repset.records import atomic_folder
from repset.schema import PoseTrack

PARTS = ("centre", "scale", "offset", "slopes")


def train_muscles(project: Project, sources: Sequence[str], out: Path, progress: Progress = silent) -> Card:
    """Learn from all clips of the sources and write `weights.safetensors` and `card.json` into the folder `out`.

    Raises: DataError if no clip has a pose and muscles.
    """
    clips, _ = load_clips(project, sources, progress)
    table = Table.of(clips)
    model = Ridge.fit(table.numbers, table.truth.astype(np.float64), action_weights(table.action))
    facts = {
        source: table_facts(
            project.index(source) / "samples.parquet", {"train": sum(clip.source == source for clip in clips)}
        )
        for source in sources
    }
    card = Card(
        model="muscles",
        architecture={"numbers": list(NAMES)},
        classes=MUSCLE_GROUPS,
        skeleton="penn_13",
        params={"ridge": RIDGE, "window_s": SPEC.seconds, "steps": SPEC.steps, "hop_s": HOP_S},
        seed=0,
        data=facts,
        data_kind=data_kind(project, list(sources)),
        training={"clips": len(clips), "actions": list(table.actions)},
    )
    import torch

    with atomic_folder(out) as temporary:
        return save_model(temporary, {part: torch.from_numpy(getattr(model, part)) for part in PARTS}, card)


class MuscleModel:
    """A trained muscle model, ready to be asked."""

    def __init__(self, folder: Path) -> None:
        """Raises: DataError if the folder holds no muscle model of this version's numbers."""
        self.card = load_card(folder, "muscles", MUSCLE_GROUPS)
        weights = load_arrays(folder, self.card)
        self._model = Ridge(*(weights[part] for part in PARTS))
        if self.card.architecture["numbers"] != list(NAMES):
            raise DataError(
                folder, "a model of this version's numbers", "others", "Train it again: repset muscles train"
            )

    def score(self, track: PoseTrack) -> dict[str, float]:
        """Group → 0..1 for one clip of one person: higher is more expected to work. No probability."""
        scores = np.clip(self._model(describe(track)[None].astype(np.float64))[0], 0, 1)
        return {group: float(score) for group, score in zip(MUSCLE_GROUPS, scores, strict=True)}
