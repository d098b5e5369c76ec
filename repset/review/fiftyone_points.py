"""Two numbers a sample for the embeddings panel, by principal components: nothing is downloaded, no model runs."""

from collections import defaultdict

import cv2
import numpy as np
import numpy.typing as npt

from repset.curate.fingerprints import SIDE
from repset.landmarks import SKELETONS
from repset.project import Project
from repset.records import read_table
from repset.review.fiftyone_docs import Source, sample_key
from repset.review.fiftyone_poses import SHARED_JOINTS, Joints, Track

Floats = npt.NDArray[np.float64]
Points = dict[str, tuple[float, float]]

_SMALL = 16  # pixels of a fingerprint's side here: two components need no more


def points_of(project: Project, source: Source, kind: str) -> dict[str, Points]:
    """Panel → id in FiftyOne → place: `pictures` by how they look, `movement` by how the joints move; what is there."""
    wanted = {row["sample_id"] for row in source.said.samples.values() if (row["kind"] == "image") == (kind == "image")}
    found = {"pictures": _pictures(project, source.source, wanted, kind == "image")}
    if kind == "clip":
        found["movement"] = _movement(project, source, wanted)
    return {key: points for key, points in found.items() if points}


def _pictures(project: Project, source: str, wanted: set[str], copies: bool) -> Points:
    """By the fingerprints of `repset check`: their mean over a clip, or (`copies`) one for each copy of a picture."""
    path = project.checks(source) / "fingerprints.parquet"
    if not path.is_file():
        return {}
    table = read_table(path, "fingerprints", ["sample_id", "variant", "picture"])
    sums: dict[str, Floats] = {}
    counts: dict[str, int] = defaultdict(int)
    columns = (table[name].to_pylist() for name in ("sample_id", "variant", "picture"))
    for sample_id, variant, data in zip(*columns, strict=True):
        if sample_id in wanted:
            key = sample_key(sample_id, variant or "" if copies else "")
            grey = np.frombuffer(data, np.uint8).reshape(SIDE, SIDE)
            small = cv2.resize(grey, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA).astype(float).ravel()
            sums[key] = sums.get(key, np.zeros(_SMALL * _SMALL)) + small
            counts[key] += 1
    rows = {}
    for key, total in sums.items():
        mean = total / counts[key]
        rows[key] = (mean - mean.mean()) / (mean.std() + 1e-6)
    return _components(rows)


def _movement(project: Project, source: Source, wanted: set[str]) -> Points:
    """By where the joints are about the hips, and how far they swing, in body sizes."""
    joints = source.truth if source.truth.tracks else source.guess
    if not joints.tracks:
        path = project.index(source.source) / "poses.parquet"
        joints = Joints(path, sorted(wanted))
    if joints.skeleton is None:
        return {}
    rows = {
        sample_key(sample_id, ""): row
        for sample_id, tracks in joints.tracks.items()
        if sample_id in wanted and (row := _motion(tracks[0], joints.skeleton)) is not None
    }
    return _components(rows)


def _motion(track: Track, skeleton: str) -> Floats | None:
    names = SKELETONS[skeleton].joints
    kept = [k for k, name in enumerate(names) if name.split("_")[-1] in SHARED_JOINTS]
    hips = [k for k in kept if names[k].endswith("hip")]
    whole = track.xy_px[np.isfinite(track.xy_px[:, hips]).all((1, 2))]
    about = whole[:, kept] - whole[:, hips].mean(1, keepdims=True)
    known = np.isfinite(about).sum(0)  # frames in which each joint is seen
    if not len(about) or not known.any():
        return None
    size = float(np.nanmedian(np.abs(about[np.isfinite(about)])))
    if not size > 0:
        return None
    filled = np.nan_to_num(about / size)
    mean = filled.sum(0) / np.maximum(known, 1)
    spread = np.sqrt(np.maximum((filled**2).sum(0) / np.maximum(known, 1) - mean**2, 0))
    return np.asarray(np.concatenate([mean.ravel(), 2 * spread.ravel()]), np.float64)


def _components(rows: dict[str, Floats]) -> Points:
    """The first two principal components; one sign convention, so that the picture stays as it was."""
    if len(rows) < 3:
        return {}
    matrix = np.stack(list(rows.values()))
    matrix = matrix - matrix.mean(0)
    _, axes = np.linalg.eigh(matrix.T @ matrix)
    two = axes[:, [-1, -2]]
    two = two * np.sign(two[np.abs(two).argmax(0), [0, 1]])
    return {key: (float(x), float(y)) for key, (x, y) in zip(rows, matrix @ two, strict=True)}
