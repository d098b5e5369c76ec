"""Training items of the exercise networks: DeepFit's frames, and windows that are varied or fixed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from repset import pose_features as features
from repset.exercises import NONE
from repset.learn.exercise_data import Clip, clip_windows
from repset.pose_features import Floats, WindowSpec

STILL_P = 0.08
"""Share of training windows that are held still and called `none`, where the classes have a `none`."""


class FrameBlocks:
    """DeepFit's items: (B, 36) frames and (B,) classes, drawn at random, or each frame once."""

    def __init__(self, clips: Sequence[Clip], classes: Sequence[str], block: int, drawn: bool) -> None:
        parts = [features.deepfit_frames(clip.track.xy_px, clip.track.skeleton) for clip in clips]
        self._inputs = torch.from_numpy(np.concatenate(parts)) if parts else torch.zeros(0, 36)
        labels = [np.full(len(part), classes.index(clip.label)) for part, clip in zip(parts, clips, strict=True)]
        self._targets = torch.from_numpy(np.concatenate(labels)) if labels else torch.zeros(0, dtype=torch.long)
        self._block, self._drawn = block, drawn

    def __len__(self) -> int:
        return -(-len(self._inputs) // self._block)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if self._drawn:
            rows = torch.randint(len(self._inputs), (self._block,))
        else:
            rows = torch.arange(index * self._block, min((index + 1) * self._block, len(self._inputs)))
        return self._inputs[rows], self._targets[rows]


_LIMBS = np.array(
    [
        [any(part in joint for part in parts) for joint in features.JOINTS]
        for parts in (
            ("ankle",), ("knee", "ankle"), ("hip", "knee", "ankle"), ("left_knee", "left_ankle"),
            ("right_elbow", "right_wrist"), ("right_shoulder", "right_elbow", "right_wrist"), ("head",),
        )
    ]
)  # fmt: skip
"""What a picture's border or another limb hides together; the other side comes by mirroring."""

_BORDERS = ((0, 1, 0.175), (0, -1, 0.175), (1, 1, 0.4), (1, -1, 0.25))
"""Axis and direction in which a picture ends, and how often: right, left, below (legs are cut off most), above."""

_ARM = [features.JOINTS.index(f"left_{part}") for part in ("shoulder", "elbow", "wrist")]


@dataclass(frozen=True)
class Augment:
    """How windows are varied in training. Lengths are in body lengths, angles in degrees, rates as factors.

    A pose model's own errors are imitated beside the camera's freedom: jitter of every frame, an offset of a joint
    that lasts the window, joints and whole limbs that are lost, or placed by guess and marked as hardly seen, the far
    arm laid on the near one, left and right taken for each other in a few steps or for good (sets differ in whose left
    they mean: in Penn Action it is the viewer's in most clips), a camera that pans, few frames a second, a picture
    whose border cuts through the body.
    """

    tempo: float = 1.35
    turn_deg: float = 9.0
    stretch: float = 1.13
    jitter: float = 0.012
    offset: float = 0.022
    lost_joint_p: float = 0.04
    lost_limb_p: float = 0.25
    lost_step_p: float = 0.02
    unsure_p: float = 0.1
    unsure_offset: float = 0.07
    swap_p: float = 0.02
    side_p: float = 0.2
    same_arm_p: float = 0.06
    pan_p: float = 0.15
    pan: float = 0.5
    slow_p: float = 0.15
    slow_steps: int = 6
    crop_p: float = 0.0

    def __call__(self, rng: np.random.Generator, xy: Floats, seen: Floats) -> tuple[Floats, Floats]:
        """Varied copies of windows (W, N, J, 2) and (W, N, J)."""
        count, steps, joints = seen.shape
        xy, seen = self._sides(rng, *self._fewer_frames(rng, xy, seen))
        angle = np.radians(rng.normal(0, self.turn_deg, (count, 1, 1))).astype(np.float32)
        wide, high = np.exp(rng.normal(0, np.log(self.stretch), (2, count, 1, 1))).astype(np.float32)
        across, down = xy[..., 0], xy[..., 1]
        turned = across * np.cos(angle) - down * np.sin(angle), across * np.sin(angle) + down * np.cos(angle)
        xy = np.stack([turned[0] * wide, turned[1] * high], axis=-1)
        length = np.nan_to_num(features.body_length(xy))[:, None, None, None]
        xy = xy + length * rng.normal(0, self.jitter, xy.shape)
        xy = xy + length * rng.normal(0, self.offset, (count, 1, joints, 2))
        pans = length * (rng.random((count, 1, 1, 1)) < self.pan_p) * rng.normal(0, self.pan, (count, 1, 1, 2))
        xy = xy + pans * np.linspace(0, 1, steps)[None, :, None, None]
        limbs = _LIMBS[rng.integers(len(_LIMBS), size=count)] & (rng.random((count, 1)) < self.lost_limb_p)
        lost = limbs[:, None] & (rng.random((count, 1, 1)) < 0.5)
        unsure = (limbs[:, None] & ~lost) | (rng.random((count, 1, joints)) < self.unsure_p)
        lost = lost | (rng.random((count, 1, joints)) < self.lost_joint_p)
        lost = lost | (rng.random(seen.shape) < self.lost_step_p)
        xy = xy + unsure[..., None] * length * rng.normal(0, self.unsure_offset, (count, 1, joints, 2))
        if self.crop_p:
            lost = lost | self._cropped(rng, xy)
        xy[lost] = np.nan
        seen = np.where(unsure, np.minimum(seen, rng.uniform(0.5, 0.8, (count, 1, joints))), seen)
        seen = np.where(lost, 0, seen)
        return xy.astype(np.float32), seen.astype(np.float32)

    def _sides(self, rng: np.random.Generator, xy: Floats, seen: Floats) -> tuple[Floats, Floats]:
        """Mirrored windows, exchanged sides, and one arm laid on the other."""
        count, steps = seen.shape[:2]
        flipped = rng.random((count, 1)) < 0.5
        xy, seen = _choose(flipped, features.mirrored(xy, seen), (xy, seen))
        swapped = (rng.random((count, steps)) < self.swap_p) ^ (rng.random((count, 1)) < self.side_p)
        twins = list(features.MIRROR)
        xy, seen = _choose(swapped, (xy[..., twins, :], seen[..., twins]), (xy, seen))
        near = np.arange(len(twins))
        near[_ARM] = np.array(twins)[_ARM]
        same = rng.random((count, 1)) < self.same_arm_p
        return _choose(same, (xy[..., near, :], np.minimum(seen[..., near], 0.65)), (xy, seen))

    def _cropped(self, rng: np.random.Generator, xy: Floats) -> npt.NDArray[np.bool_]:
        """Which joints (W, N, J) lie beyond a border that leaves 20 to 80 % of the positions in the picture."""
        count = len(xy)
        border = rng.choice(len(_BORDERS), count, p=[share for _, _, share in _BORDERS])
        axis, sign = (np.array([one[i] for one in _BORDERS])[border] for i in (0, 1))
        outwards = sign[:, None] * xy.reshape(count, -1, 2)[np.arange(count), :, axis]
        known = np.isfinite(outwards).sum(axis=1)
        at = (rng.uniform(0.2, 0.8, count) * known).astype(np.int64)
        level = np.sort(outwards, axis=1)[np.arange(count), np.minimum(at, outwards.shape[1] - 1)]  # NaN last
        hit = rng.random(count) < self.crop_p
        return np.asarray((hit[:, None] & (outwards > level[:, None])).reshape(xy.shape[:3]))

    def _fewer_frames(self, rng: np.random.Generator, xy: Floats, seen: Floats) -> tuple[Floats, Floats]:
        """Some windows as a slow camera gives them: every few steps a frame, straight lines between."""
        count, steps = seen.shape[:2]
        every = np.where(rng.random(count) < self.slow_p, rng.integers(2, self.slow_steps + 1, count), 1)[:, None]
        at = np.arange(steps)[None]
        before = at // every * every
        after = np.minimum(before + every, steps - 1)
        share = ((at - before) / np.maximum(after - before, 1))[..., None].astype(np.float32)
        row = np.arange(count)[:, None]
        xy = xy[row, before] * (1 - share[..., None]) + xy[row, after] * share[..., None]
        seen = np.where(np.isfinite(xy).all(axis=-1), seen[row, before] * (1 - share) + seen[row, after] * share, 0)
        return xy, seen


def _choose(
    where: npt.NDArray[np.bool_], yes: tuple[Floats, Floats], no: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Joints and seen values of `yes` in the chosen windows or steps, of `no` elsewhere."""
    return np.where(where[..., None, None], yes[0], no[0]), np.where(where[..., None], yes[1], no[1])


def _held(xy: Floats, seen: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """One step of a window (N, J, 2) kept for all of it, with the slow sway of someone who holds a position."""
    steps = len(xy)
    at = int(rng.integers(steps))
    sway = np.cumsum(rng.normal(0, 1, (steps, 1, 2)), axis=0) / np.sqrt(steps)
    length = float(np.nan_to_num(features.body_length(xy[None])[0]))
    held = np.repeat(xy[at : at + 1], steps, axis=0) + sway * length * rng.uniform(0, 0.02)
    return held.astype(np.float32), np.repeat(seen[at : at + 1], steps, axis=0)


class WindowBlocks:
    """Training items of the temporal network: (B, CHANNELS, N) varied windows and (B,) classes.

    An epoch draws as many windows as lie in the clips (a clip counts at least once and at most `most` times), each
    class with the square root of its share, so that a rare exercise is heard and a common one is not forgotten.
    """

    def __init__(
        self, clips: Sequence[Clip], classes: Sequence[str], spec: WindowSpec, block: int, most: int = 12,
        crop_p: float = 0.0,
    ) -> None:  # fmt: skip
        self._spec, self._block = spec, block
        self._tracks = features.TracksEndToEnd([(clip.track.time_s, clip.xy, clip.seen) for clip in clips])
        self._begin_s = np.array([clip.track.time_s[0] for clip in clips])
        self._seconds = np.array([clip.seconds for clip in clips])
        self._targets = np.array([classes.index(clip.label) for clip in clips])
        windows = np.array([np.clip(np.ceil(2 * clip.seconds / spec.seconds), 1, most) for clip in clips])
        per_class = np.bincount(self._targets, windows, minlength=len(classes))
        weight = windows / np.sqrt(per_class[self._targets])
        self._p = weight / weight.sum()
        self._total = int(windows.sum())
        self._augment = Augment(crop_p=crop_p)
        self._still = classes.index(NONE) if NONE in classes else None

    def __len__(self) -> int:
        return -(-self._total // self._block)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        chosen = rng.choice(len(self._targets), self._block, p=self._p)
        xy, seen = self._windows(chosen, rng)
        targets = self._targets[chosen]
        if self._still is not None:  # a position held is rest, whichever exercise it belongs to
            for i in np.flatnonzero(rng.random(self._block) < STILL_P).tolist():
                xy[i], seen[i] = _held(xy[i], seen[i], rng)
                targets[i] = self._still
        inputs = features.features(*self._augment(rng, xy, seen), self._spec.step_s)
        return torch.from_numpy(inputs), torch.from_numpy(targets)

    def _windows(self, clips: npt.NDArray[np.int64], rng: np.random.Generator) -> tuple[Floats, Floats]:
        """One window of each, at a random place; a clip shorter than the window lies somewhere near its middle."""
        seconds = self._spec.seconds * self._augment.tempo ** rng.uniform(-1, 1, len(clips))
        spare, place = self._seconds[clips] - seconds, rng.random(len(clips))
        shift = np.where(spare > 0, place * spare, spare / 2 + (-0.15 + 0.3 * place) * seconds)
        steps = (np.arange(self._spec.steps) + 0.5) * (seconds / self._spec.steps)[:, None]
        return self._tracks.sample_at(clips, (self._begin_s[clips] + shift)[:, None] + steps)


class FixedWindows:
    """Validation items of the temporal network: every window of every clip once, unvaried, in blocks."""

    def __init__(
        self, clips: Sequence[Clip], classes: Sequence[str], spec: WindowSpec, hop_s: float, block: int
    ) -> None:
        parts = [clip_windows(clip, spec, hop_s) for clip in clips]
        self._inputs = torch.from_numpy(np.concatenate(parts)) if parts else torch.zeros(0)
        labels = [np.full(len(part), classes.index(clip.label)) for part, clip in zip(parts, clips, strict=True)]
        self._targets = torch.from_numpy(np.concatenate(labels)) if labels else torch.zeros(0, dtype=torch.long)
        self._block = block

    def __len__(self) -> int:
        return -(-len(self._inputs) // self._block)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows = slice(index * self._block, (index + 1) * self._block)
        return self._inputs[rows], self._targets[rows]
