"""How far automatic joints and angles lie from the annotated ones: PCK, constant offsets, degrees.

A joint is correct (PCK@s) when it lies within s times a body length of the truth: `torso` is mid-shoulder to mid-hip
in the same frame, `bbox` the longer side of the box around the annotated joints (Yang & Ramanan 2013 normalise so).
Conventions differ by a constant (an annotated head is not the mid-point of the ears): the median offset in body axes
is reported by itself, and the score again without it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from repset import angles
from repset.autolabel import intervals
from repset.landmarks import DERIVED, SKELETONS, JointState, convert

Doubles = npt.NDArray[np.float64]
SHARES = (0.1, 0.2)


@dataclass(frozen=True)
class Pairs:
    """Frames that have an annotated and an automatic pose, of one person.

    Attributes:
        key: (N,) row number of the frame's sample in `samples`.
        truth, found: (N, K, 2) pixels in the truth's skeleton; NaN absent.
        state: (N, K) JointState of the truth.
        missing: annotated frames without an automatic pose.
    """

    skeleton: str
    samples: list[str]
    key: npt.NDArray[np.int64]
    frame: npt.NDArray[np.int64]
    truth: Doubles
    found: Doubles
    state: npt.NDArray[np.int8]
    missing: npt.NDArray[np.int64]


def pair_poses(truth: pa.Table, found: pa.Table) -> list[Pairs]:
    """Pair two `poses` tables by sample and frame (person 0), one result per skeleton of the truth."""
    out = []
    for skeleton in sorted(set(truth["skeleton"].unique().to_pylist())):
        part = truth.filter(pa.compute.equal(truth["skeleton"], skeleton))
        samples = sorted(set(part["sample_id"].unique().to_pylist()))
        left, right = _keys(part, samples), _keys(found, samples)
        common, at_left, at_right = np.intersect1d(left, right, return_indices=True)
        from_skeleton = found["skeleton"][0].as_py() if len(found) else "blazepose_33"
        auto = _points(found.take(at_right), from_skeleton)
        part_points = _points(part.take(at_left), skeleton)
        states = _stack(part.take(at_left)["state"], skeleton).astype(np.int8)
        missing = np.setdiff1d(left, right) // _FRAMES
        converted = convert(auto.astype(np.float32), from_skeleton, skeleton).astype(np.float64)
        out.append(
            Pairs(skeleton, samples, common // _FRAMES, common % _FRAMES, part_points, converted, states, missing)
        )
    return out


_FRAMES = 1 << 32


def _keys(table: pa.Table, samples: list[str]) -> npt.NDArray[np.int64]:
    """One number a row: sample × 2³² + frame; rows of other samples get negative, distinct numbers."""
    place = pa.compute.index_in(table["sample_id"], pa.array(samples, pa.string()))
    rows = np.nan_to_num(place.to_numpy(zero_copy_only=False).astype(np.float64), nan=-1).astype(np.int64)
    frames = table["frame"].to_numpy().astype(np.int64)
    return np.where(rows >= 0, rows * _FRAMES + frames, -1 - np.arange(len(rows)))


def _stack(column: pa.ChunkedArray, skeleton: str) -> Doubles:
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    return np.asarray(flat.reshape(len(column), len(SKELETONS[skeleton].joints)))


def _points(table: pa.Table, skeleton: str) -> Doubles:
    return np.stack([_stack(table["x_px"], skeleton), _stack(table["y_px"], skeleton)], axis=-1)


def joint_scores(pairs: Pairs, rows: npt.NDArray[np.bool_] | None = None) -> dict[str, Any] | None:
    """Overall and per-joint scores; None where nothing can be compared.

    Args:
        rows: (N,) only these frames.
    Returns: `overall` (visible joints), `occluded` (annotated though hidden), `per_joint`. `coverage` is the share of
        annotated joints for which there is an automatic position at all; scores are over those.
    """
    keep = np.ones(len(pairs.key), np.bool_) if rows is None else rows
    truth, found, state, clip = pairs.truth[keep], pairs.found[keep], pairs.state[keep], pairs.key[keep]
    if not len(truth):
        return None
    torso, up = trunk_axes(truth, pairs.skeleton)
    box = np.nanmax(np.nanmax(truth, axis=1) - np.nanmin(truth, axis=1), axis=-1)
    error = np.linalg.norm(found - truth, axis=-1)
    seen = (state == JointState.LABELLED) & np.isfinite(truth).all(-1)
    possible = np.isfinite(found).any(axis=(0, 2))  # a joint the automatic skeleton lacks is not missed, it is absent
    names = SKELETONS[pairs.skeleton].joints
    per_joint: dict[str, Any] = {}
    for k, name in enumerate(names):
        if not possible[k]:
            continue
        scores = _cell(error[:, k], torso, box, seen[:, k], clip)
        offset = _offset(found[:, k] - truth[:, k], torso, up, seen[:, k])
        scores["offset_torso"] = _round(float(np.linalg.norm(offset)))
        rest = np.linalg.norm(found[:, k] - truth[:, k] - _in_image(offset, torso, up), axis=-1)
        scores["pck_torso_0.2_without_offset"] = _pck(rest, torso, seen[:, k], 0.2)
        scores["derived"] = name in DERIVED and name not in SKELETONS["blazepose_33"].joints
        per_joint[name] = scores
    spread_torso, spread_box = np.repeat(torso[:, None], len(names), 1), np.repeat(box[:, None], len(names), 1)
    hidden = (state == JointState.OCCLUDED) & np.isfinite(truth).all(-1) & possible
    return {
        "overall": _cell(error, spread_torso, spread_box, seen & possible, clip)
        | _mirrored(truth, found, pairs.skeleton),
        "occluded": _cell(error, spread_torso, spread_box, hidden, clip),
        "per_joint": per_joint,
    }


def _cell(
    error: Doubles, torso: Doubles, box: Doubles, seen: npt.NDArray[np.bool_], clip: npt.NDArray[np.int64]
) -> dict[str, Any]:
    placed = seen & np.isfinite(error)
    relative = (error / torso)[placed & np.isfinite(torso)]
    cell: dict[str, Any] = {"n": int(placed.sum()), "coverage": _share(int(placed.sum()), int(seen.sum()))}
    cell |= {f"pck_torso_{share}": _pck(error, torso, seen, share) for share in SHARES}
    cell |= {f"pck_bbox_{share}": _pck(error, box, seen, share) for share in SHARES}
    usable = placed & np.isfinite(torso)
    hits = np.where(usable, error <= 0.2 * torso, np.nan)
    clips = np.broadcast_to(clip.reshape(-1, *[1] * (error.ndim - 1)), error.shape)
    return cell | {
        "pck_torso_0.2_interval": intervals.of_clustered_mean(hits.ravel(), clips.ravel(), within=(0, 1)),
        "median_error_torso": _round(float(np.median(relative))) if len(relative) else None,
    }


def _pck(error: Doubles, size: Doubles, seen: npt.NDArray[np.bool_], share: float) -> float | None:
    usable = seen & np.isfinite(error) & np.isfinite(size)
    return _share(int((error[usable] <= share * size[usable]).sum()), int(usable.sum()))


def trunk_axes(truth: Doubles, skeleton: str) -> tuple[Doubles, Doubles]:
    """(N,) trunk length and (N, 2) unit vector up the trunk; NaN where a shoulder or hip is absent."""
    at = SKELETONS[skeleton].index
    shoulders = (truth[:, at("left_shoulder")] + truth[:, at("right_shoulder")]) / 2
    hips = (truth[:, at("left_hip")] + truth[:, at("right_hip")]) / 2
    length = np.linalg.norm(shoulders - hips, axis=-1)
    length = np.where(length > 0, length, np.nan)
    return length, (shoulders - hips) / length[:, None]


def _offset(error: Doubles, torso: Doubles, up: Doubles, seen: npt.NDArray[np.bool_]) -> Doubles:
    """(2,) median offset along and across the trunk, in torso lengths."""
    along = (error * up).sum(-1) / torso
    across = (error[:, 0] * -up[:, 1] + error[:, 1] * up[:, 0]) / torso
    usable = seen & np.isfinite(along)
    return np.array([np.median(along[usable]), np.median(across[usable])]) if usable.any() else np.full(2, np.nan)


def _in_image(offset: Doubles, torso: Doubles, up: Doubles) -> Doubles:
    """The offset as pixels in each frame."""
    side = np.stack([-up[:, 1], up[:, 0]], axis=-1)
    return np.asarray((offset[0] * up + offset[1] * side) * torso[:, None])


def _mirrored(truth: Doubles, found: Doubles, skeleton: str) -> dict[str, Any]:
    """Share of frames in which exchanging left and right would fit better: swapped sides, or another convention."""
    mirror = list(SKELETONS[skeleton].mirror)
    plain = np.linalg.norm(found - truth, axis=-1)
    crossed = np.linalg.norm(found[:, mirror] - truth, axis=-1)
    known = np.isfinite(plain) & np.isfinite(crossed)
    worse = (np.where(known, plain, 0).sum(1) > np.where(known, crossed, 0).sum(1))[known.any(1)]
    return {"mirrored_fits_better": _share(int(worse.sum()), len(worse))}


def angle_scores(pairs: Pairs, labelled: pa.Table, rows: npt.NDArray[np.bool_] | None = None) -> dict[str, Any] | None:
    """Error in degrees per angle, both sides together: automatic `angles` rows against the annotated joints.

    Args:
        labelled: table `angles`, as the labeller wrote it (gated by visibility, filtered).
        rows: (N,) only these frames.
    """
    keep = np.ones(len(pairs.key), np.bool_) if rows is None else rows
    keys = pairs.key[keep] * _FRAMES + pairs.frame[keep]
    visible = np.where((pairs.state[keep] == JointState.LABELLED)[..., None], pairs.truth[keep], np.nan)
    truth = angles.evaluate_all(visible.astype(np.float32), pairs.skeleton)
    errors: dict[str, list[Doubles]] = {}
    clips: dict[str, list[npt.NDArray[np.int64]]] = {}
    wanted: dict[str, int] = {}
    for name, values in truth.items():
        known = np.isfinite(values)
        base = name.removeprefix("left_").removeprefix("right_")
        if not known.any():
            continue
        part = labelled.filter(pa.compute.equal(labelled["name"], name))
        _, at_truth, at_label = np.intersect1d(keys, _keys(part, pairs.samples), return_indices=True)
        error = part["value_deg"].to_numpy()[at_label].astype(np.float64) - values[at_truth]
        errors.setdefault(base, []).append(error[np.isfinite(error)])
        clips.setdefault(base, []).append(keys[at_truth][np.isfinite(error)] // _FRAMES)
        wanted[base] = wanted.get(base, 0) + int(known.sum())
    cells = {
        base: _angle_cell(np.concatenate(parts), wanted[base], np.concatenate(clips[base]))
        for base, parts in errors.items()
    }
    return cells or None


def _angle_cell(error: Doubles, wanted: int, clip: npt.NDArray[np.int64]) -> dict[str, Any]:
    size = np.abs(error)
    return {
        "n": len(error),
        "coverage": _share(len(error), wanted),
        "mean_deg": _round(float(size.mean()), 2) if len(error) else None,
        "mean_interval_deg": intervals.of_clustered_mean(size, clip),
        "median_deg": _round(float(np.median(size)), 2) if len(error) else None,
        "p95_deg": _round(float(np.percentile(size, 95)), 2) if len(error) else None,
        "bias_deg": _round(float(np.median(error)), 2) if len(error) else None,
    }


def _share(part: int, whole: int) -> float | None:
    return _round(part / whole) if whole else None


def _round(value: float, digits: int = 4) -> float | None:
    return round(value, digits) if np.isfinite(value) else None
