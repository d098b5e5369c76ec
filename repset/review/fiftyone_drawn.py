"""Joints of samples that are poses alone, placed where the stick figure drawn of them shows them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from repset.project import Project
from repset.review import media
from repset.review.fiftyone_poses import Joints, Track, read_angles


@dataclass(frozen=True)
class Shot:
    """One sample as it is drawn.

    Attributes:
        truth, guess: the set's own joints and the automatic ones, in pixels of the drawn picture.
        angles: frame → angle → degrees.
        stage: how it is drawn.
    """

    truth: list[Track]
    guess: list[Track]
    angles: dict[int, dict[str, float]]
    stage: media.Stage


class Drawn:
    """Samples of a source that are poses alone, one at a time: a workout has a hundred thousand frames.

    Args:
        sample_ids: of kind poses.
    Attributes:
        skeletons: of the set's own joints and of the automatic ones, None where there are none.
    """

    def __init__(self, project: Project, source: str, sample_ids: Sequence[str]) -> None:
        self._project, self._source = project, source
        self._folders = project.index(source), project.labels(source)
        some = list(sample_ids[:1])
        own, automatic = (Joints(folder / "poses.parquet", some).skeleton for folder in self._folders)
        self.skeletons = own, automatic

    def shot(self, sample_id: str) -> Shot:
        """Joints and angles of one sample; joints of another skeleton than the source's are left out."""
        xy_px, _, _ = media.poses(self._project, self._source, sample_id)
        stage = media.Stage(xy_px)
        truth, guess = (
            self._placed(Joints(folder / "poses.parquet", [sample_id]), sample_id, skeleton, stage)
            for folder, skeleton in zip(self._folders, self.skeletons, strict=True)
        )
        angles = read_angles(self._folders[1] / "angles.parquet", [sample_id])
        return Shot(truth, guess, angles.get(sample_id, {}), stage)

    def _placed(self, joints: Joints, sample_id: str, skeleton: str | None, stage: media.Stage) -> list[Track]:
        if joints.skeleton != skeleton:
            return []
        tracks = joints.tracks.get(sample_id, [])
        return [replace(one, xy_px=np.asarray(stage.fit(one.xy_px.astype(np.float32)), np.float64)) for one in tracks]
