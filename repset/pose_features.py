"""What the exercise networks see of a pose: the same numbers at training and at label time, numpy only.

Two inputs are made here. The frame-wise one is DeepFit's: 18 joints about their centre, in body lengths. The
temporal one is a window of true time on 13 joints that every skeleton can give: positions about the pelvis, the
pelvis' own path, velocities, how well each joint is seen, and where each bone points. A missing joint is a zero that
its seen channel names as missing, so that 13 annotated joints and 33 estimated ones enter by the same door.

Axis letters: T frames of a track, W windows, N steps of a window, J = 13 joints, C channels.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from repset.landmarks import PENN_13, SKELETONS, convert
from repset.schema import PoseTrack

Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]

JOINTS = PENN_13.joints
"""The common joints: head, and left and right shoulder, elbow, wrist, hip, knee, ankle."""
MIRROR = PENN_13.mirror

MAX_GAP_S = 0.5
"""A step farther than this between two frames is not interpolated: nobody knows what happened there."""

OUTSIDE = 0.05
"""A joint this part of the picture beyond its border is a guess of the pose model, not a sighting: it counts as absent.
Our own choice; a limb that is cut off is guessed straight, and would otherwise look like one at rest."""

GUESSED_BELOW = {"blazepose_33": 0.15}
"""Visibility under which a joint counts as absent, for skeletons whose visibility is the pose model's own doubt (a
person's `occluded` is none). MediaPipe guesses the far arm of someone seen from the side, often hanging down while the
near one works. Chosen on drawn clips, where joints below it are wrong several times as often as others
(`tools/trust.py drawn` prints it)."""

_SHOULDERS, _HIPS, _KNEES, _ANKLES = (
    [JOINTS.index(f"{side}_{part}") for side in ("left", "right")] for part in ("shoulder", "hip", "knee", "ankle")
)
_ELBOWS, _WRISTS = ([JOINTS.index(f"{side}_{part}") for side in ("left", "right")] for part in ("elbow", "wrist"))

LEG_SHARE, TORSO_SHARE, ARM_SHARE = 0.62, 0.38, 0.40
"""Leg, torso and arm (shoulder to wrist) as parts of torso + leg. From the segment lengths of Winter, Biomechanics
and Motor Control of Human Movement (4th ed., fig. 4.1), in statures: thigh 0.245, shank 0.246, trunk 0.288 (hip to
shoulder), upper arm 0.186, forearm 0.146; the shares are rounded."""

VELOCITY_UNIT = 2.0
"""Body lengths per second that make a velocity channel read 1: brings it to the scale of the positions."""

BONES = (
    *((f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in (
        ("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("shoulder", "hip"))),
    ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"),
)  # fmt: skip
"""Pairs of joints whose direction in the image is a channel: it needs no body length, which foreshortening makes
uncertain, and a leg alone says how it bends where the trunk is hidden."""

TURN_UNIT = 10.0
"""Change of a bone's direction, per second, that makes its channel read 1."""

SEEN = slice(4 * len(JOINTS) + 2, 5 * len(JOINTS) + 2)
PATH = slice(SEEN.stop, SEEN.stop + 2)
CHANNELS = PATH.stop + 4 * len(BONES)
"""x, y of J joints, their velocities and the pelvis', J seen values, x, y of the pelvis, x, y of the unit vector along
each bone, and how fast these change."""


@dataclass(frozen=True)
class WindowSpec:
    """How a track is cut: windows of `seconds`, each read at `steps` evenly spaced moments."""

    seconds: float
    steps: int

    @property
    def step_s(self) -> float:
        """Seconds between two steps."""
        return self.seconds / self.steps


def common_joints(xy_px: Floats, visibility: Floats, skeleton: str) -> tuple[Floats, Floats]:
    """A track on the 13 common joints.

    Args:
        xy_px: (T, K, 2) pixels in the order of `skeleton`; NaN: absent.
        visibility: (T, K) 0..1; NaN with the position.
    Returns:
        positions (T, J, 2) in pixels, NaN where absent, merely guessed (GUESSED_BELOW) or where the skeleton has no
        such joint (a head that is missing falls back to the nose), and how well each is seen (T, J): 0 absent, else
        0.5 + visibility / 2, since a joint that was placed though hidden still says something.
    """
    both = np.concatenate([xy_px, visibility[..., None]], axis=-1).astype(np.float32)
    out = convert(both, skeleton, PENN_13.name)
    if "nose" in SKELETONS[skeleton].joints:
        lacks = np.isnan(out[:, 0, 0])
        out[lacks, 0] = both[lacks, SKELETONS[skeleton].index("nose")]
    xy = np.array(out[..., :2])
    known = np.isfinite(xy).all(axis=-1) & ~(out[..., 2] < GUESSED_BELOW.get(skeleton, 0.0))
    xy[~known] = np.nan
    seen = np.where(known, 0.5 + 0.5 * np.clip(np.nan_to_num(out[..., 2]), 0, 1), 0)
    return xy, seen.astype(np.float32)


def window_at(track: PoseTrack, spec: WindowSpec, start_s: float) -> Floats:
    """One window of a track as network input: (CHANNELS, N); steps outside the track are absent."""
    xy, seen = common_joints(track.xy_px, track.visibility, track.skeleton)
    drop_outside(xy, seen, track.width, track.height)
    part = sample_at(track.time_s, xy, seen, step_times(start_s, spec))
    return np.asarray(features(part[0][None], part[1][None], spec.step_s)[0], np.float32)


def drop_outside(xy: Floats, seen: Floats, width: int, height: int) -> None:
    """Mark joints (T, J, 2) farther outside the picture than OUTSIDE of its size as absent, in place.

    A width or height of 0 means that the size is unknown: nothing is changed then.
    """
    if width > 0 and height > 0:
        size = np.array([width, height], np.float32)
        with np.errstate(invalid="ignore"):
            gone = ((xy < -OUTSIDE * size) | (xy > (1 + OUTSIDE) * size)).any(axis=-1)
        xy[gone], seen[gone] = np.nan, 0


def sample_at(time_s: Times, xy: Floats, seen: Floats, at_s: Times) -> tuple[Floats, Floats]:
    """A track read at other moments, linearly between its frames.

    Args:
        time_s: (T,) increasing seconds; xy: (T, J, 2); seen: (T, J); at_s: (N,) seconds.
    Returns: (N, J, 2) and (N, J); NaN and 0 outside the track and inside a gap of more than MAX_GAP_S. Where one
        neighbour is missing, the nearer of the two stands alone.
    """
    xy, seen = TracksEndToEnd([(time_s, xy, seen)]).sample_at(np.zeros(1, np.int64), at_s[None])
    return xy[0], seen[0]


class TracksEndToEnd:
    """Tracks that are read many at a time: what `sample_at` says, for a window of each.

    Args:
        tracks: time_s (T,), xy (T, J, 2) and seen (T, J) of each; T may differ.
    """

    def __init__(self, tracks: Sequence[tuple[Times, Floats, Floats]]) -> None:
        self._time_s, self._xy, self._seen = (np.concatenate(parts) for parts in zip(*tracks, strict=True))
        counts = np.array([len(time_s) for time_s, _, _ in tracks])
        self._last = counts.cumsum() - 1
        self._first = self._last - counts + 1
        self._half_s = np.array(
            [0.5 * float(np.median(np.diff(time_s))) if len(time_s) > 1 else MAX_GAP_S / 2 for time_s, _, _ in tracks]
        )
        self._begin_s, self._end_s = self._time_s[self._first], self._time_s[self._last]
        # One increasing axis for all tracks, on which a moment is found by one search.
        self._shift_s = np.arange(len(tracks)) * (float((self._end_s - self._begin_s).max()) + 1) - self._begin_s
        self._axis_s = self._time_s + np.repeat(self._shift_s, counts)

    def sample_at(self, tracks: npt.NDArray[np.int64], at_s: Times) -> tuple[Floats, Floats]:
        """Windows of some tracks: their numbers (B,) and moments (B, N) → (B, N, J, 2) and (B, N, J)."""
        first, last, begin_s, end_s, shift_s, half_s = (
            values[tracks][:, None]
            for values in (self._first, self._last, self._begin_s, self._end_s, self._shift_s, self._half_s)
        )
        after = np.searchsorted(self._axis_s, np.clip(at_s, begin_s, end_s) + shift_s, side="right")
        after = np.clip(after, np.minimum(first + 1, last), last)
        before = np.maximum(after - 1, first)
        span = self._time_s[after] - self._time_s[before]
        share = np.clip((at_s - self._time_s[before]) / np.where(span > 0, span, 1), 0, 1).astype(np.float32)
        nearest = np.where(share < 0.5, before, after)
        out = self._xy[before] + (self._xy[after] - self._xy[before]) * share[..., None, None]
        seen = self._seen[before] + (self._seen[after] - self._seen[before]) * share[..., None]
        alone = np.isnan(out[..., 0])
        out = np.where(alone[..., None], self._xy[nearest], out)
        seen = np.where(alone, self._seen[nearest], seen)
        outside = (at_s < begin_s - half_s) | (at_s > end_s + half_s) | (span > MAX_GAP_S)
        out[outside], seen[outside] = np.nan, 0
        return out.astype(np.float32), seen.astype(np.float32)


def window_starts(time_s: Times, spec: WindowSpec, hop_s: float) -> Times:
    """Start times of the windows that cover a track: every `hop_s`, the last one flush with the end.

    A track shorter than a window gets one, centred on it.
    """
    duration = float(time_s[-1] - time_s[0])
    if duration <= spec.seconds:
        return np.array([time_s[0] + (duration - spec.seconds) / 2])
    count = int(np.ceil((duration - spec.seconds) / hop_s - 1e-9)) + 1
    return np.asarray(time_s[0] + np.minimum(np.arange(count) * hop_s, duration - spec.seconds))


def step_times(start_s: float, spec: WindowSpec) -> Times:
    """The N moments of a window: the middles of its steps."""
    return np.asarray(start_s + (np.arange(spec.steps) + 0.5) * spec.step_s)


def body_length(xy: Floats) -> Floats:
    """Torso plus leg in the units of `xy`, for windows (W, N, J, 2): shape (W,); NaN where nothing is known.

    Of torso, longer leg and longer arm the one that is least foreshortened counts: each is measured by its 75th
    percentile over the window, turned into a body length by its usual share, and the largest is taken.
    """

    def length(*chain: list[int]) -> npt.NDArray[np.float64]:
        points = [xy[..., joints, :] for joints in chain]
        parts = [np.linalg.norm(b - a, axis=-1) for a, b in itertools.pairwise(points)]
        return np.asarray(np.fmax(sum(parts)[..., 0], sum(parts)[..., 1]), np.float64)

    torso = np.linalg.norm(_mean(xy, _SHOULDERS) - _mean(xy, _HIPS), axis=-1)
    candidates = (
        torso / TORSO_SHARE,
        length(_HIPS, _KNEES, _ANKLES) / LEG_SHARE,
        length(_SHOULDERS, _ELBOWS, _WRISTS) / ARM_SHARE,
    )
    longest = np.fmax.reduce([_upper_quartile(values) for values in candidates])
    return np.asarray(longest, np.float32)


def features(xy: Floats, seen: Floats, step_s: float) -> Floats:
    """Windows of joints as network input.

    Args:
        xy: (W, N, J, 2), any one unit, y down; NaN: absent.
        seen: (W, N, J) as `common_joints` gives it; 0 where `xy` is NaN.
        step_s: seconds between two steps.
    Returns: (W, CHANNELS, N), finite. Unchanged when the person moves in the image or comes closer: positions are
        about the pelvis and in body lengths, the pelvis about its own median. All zero where nothing is known.
    """
    windows, steps = xy.shape[:2]
    root = _root(xy)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = body_length(xy)[:, None, None]
        scale = np.where(scale > 0, scale, np.nan)
        joints = (xy - root[:, :, None]) / scale[..., None]
        path = (root - _nanmedian(root)) / scale
        moved = np.concatenate([joints + path[:, :, None], path[:, :, None]], axis=2)
        velocity = np.gradient(moved, step_s, axis=1) / VELOCITY_UNIT if steps > 1 else np.zeros_like(moved)
    known = np.isfinite(joints).all(axis=-1)
    channels = (
        np.clip(joints, -2, 2).reshape(windows, steps, -1),
        np.clip(velocity, -2, 2).reshape(windows, steps, -1),
        np.where(known, seen, 0),
        np.clip(path, -2, 2),
        *_bones(xy, step_s),
    )
    out = np.concatenate([np.nan_to_num(part, nan=0.0) for part in channels], axis=-1)
    return np.ascontiguousarray(out.transpose(0, 2, 1), dtype=np.float32)


def _bones(xy: Floats, step_s: float) -> tuple[Floats, Floats]:
    """Unit vectors along the bones of windows (W, N, J, 2), and their changes: both (W, N, 2 · bones), NaN: unknown."""
    first, second = ([JOINTS.index(bone[end]) for bone in BONES] for end in (0, 1))
    along = xy[..., second, :] - xy[..., first, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = along / np.linalg.norm(along, axis=-1, keepdims=True)
    turn = np.gradient(unit, step_s, axis=1) / TURN_UNIT if xy.shape[1] > 1 else np.zeros_like(unit)
    flat = (*xy.shape[:2], 2 * len(BONES))
    return unit.reshape(flat), np.clip(turn, -2, 2).reshape(flat)


def track_windows(track: PoseTrack, spec: WindowSpec, hop_s: float, mirror: bool = False) -> tuple[Floats, Times]:
    """A whole track, or its mirror image, as network input: (W, CHANNELS, N), and each window's start second (W,).

    Joints well outside the picture are absent, where the track knows the picture's size.
    """
    xy, seen = common_joints(track.xy_px, track.visibility, track.skeleton)
    drop_outside(xy, seen, track.width, track.height)
    starts = window_starts(track.time_s, spec, hop_s)
    at_s = np.stack([step_times(float(start), spec) for start in starts])
    windows = TracksEndToEnd([(track.time_s, xy, seen)]).sample_at(np.zeros(len(starts), np.int64), at_s)
    return features(*(mirrored(*windows) if mirror else windows), spec.step_s), starts


def mirrored(xy: Floats, seen: Floats) -> tuple[Floats, Floats]:
    """The mirror image of windows (W, N, J, 2) and (W, N, J): x negated, left and right exchanged."""
    flipped = xy[..., list(MIRROR), :] * np.array([-1, 1], np.float32)
    return flipped, seen[..., list(MIRROR)]


def deepfit_frames(xy_px: Floats, skeleton: str) -> Floats:
    """DeepFit's input: x, y of 18 COCO joints, about the centre of the joints that are there, in body lengths.

    As in the DeepFit project (github.com/namanarora42/DeepFit, DeepFitClassifier.py, after doi
    10.1051/matecconf/201713205016): body length = head + torso + leg, where head is the largest distance from neck
    or nose to an eye or ear, torso the larger distance from neck to a hip, and leg the longer of the two (hip to
    knee to ankle). Missing joints, and all of a frame without a length, are 0. One addition: a set that marks a
    head but no face (Penn Action) puts it in the nose's place, and neck to nose stands in for the head's length.

    Args:
        xy_px: (T, K, 2) pixels in the order of `skeleton`; NaN: absent.
    Returns: (T, 36), x and y of a joint side by side, in COCO-18 order; finite.
    """
    coco = SKELETONS["coco_18"]
    xy = convert(xy_px, skeleton, coco.name)
    nose = coco.index("nose")
    if "head" in SKELETONS[skeleton].joints:
        xy[:, nose] = xy_px[:, SKELETONS[skeleton].index("head")]

    def distance(a: str, b: str) -> Floats:
        return np.asarray(np.linalg.norm(xy[:, coco.index(a)] - xy[:, coco.index(b)], axis=-1), np.float32)

    face = ("left_ear", "right_ear", "left_eye", "right_eye")
    head = np.fmax.reduce([distance(a, b) for a in ("neck", "nose") for b in face])
    head = np.where(np.isnan(head), distance("neck", "nose"), head)
    torso = np.fmax(distance("neck", "left_hip"), distance("neck", "right_hip"))
    legs = [
        np.nan_to_num(distance(f"{side}_hip", f"{side}_knee"))
        + np.nan_to_num(distance(f"{side}_knee", f"{side}_ankle"))
        for side in ("left", "right")
    ]
    length = np.nan_to_num(head) + np.nan_to_num(torso) + np.maximum(*legs)
    known = np.isfinite(xy).all(axis=-1)
    count = np.maximum(known.sum(axis=1), 1)[:, None]
    centre = np.where(known[..., None], xy, 0).sum(axis=1) / count
    scaled = (xy - centre[:, None]) / np.where(length > 0, length, 1)[:, None, None]
    usable = known & (length > 0)[:, None]
    return np.where(usable[..., None], scaled, 0).reshape(len(xy), -1).astype(np.float32)


def _mean(xy: Floats, joints: list[int]) -> Floats:
    """Mean of two joints, or the one that is known; NaN where neither is."""
    a, b = xy[..., joints[0], :], xy[..., joints[1], :]
    return np.where(np.isnan(a), b, np.where(np.isnan(b), a, (a + b) / 2))


def _root(xy: Floats) -> Floats:
    """Pelvis of each step (W, N, 2): middle of the hips; where a window never shows one, of the shoulders.

    Between known steps it is interpolated, before the first and after the last it is held: a pelvis that flickers
    must not make every joint jump. NaN where the window shows neither.
    """
    root = _mean(xy, _HIPS)
    never = ~np.isfinite(root[..., 0]).any(axis=1)
    root[never] = _mean(xy[never], _SHOULDERS)
    steps = np.arange(root.shape[1])
    for window in np.flatnonzero(np.isnan(root[..., 0]).any(axis=1)):
        known = np.isfinite(root[window, :, 0])
        if known.any():
            for axis in (0, 1):
                root[window, :, axis] = np.interp(steps, steps[known], root[window, known, axis])
    return np.asarray(root, np.float32)


def _upper_quartile(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """The value three quarters up the known ones of each row (W, N): shape (W,); NaN where a row knows none."""
    ordered = np.sort(values, axis=1)  # NaN last
    count = np.isfinite(values).sum(axis=1)
    return np.asarray(ordered[np.arange(len(values)), np.maximum(count - 1, 0) * 3 // 4])


def _nanmedian(root: Floats) -> Floats:
    """Median over the steps (W, 1, 2): steps of a window are all known or all NaN after `_root`."""
    return np.asarray(np.median(root, axis=1, keepdims=True), np.float32)
