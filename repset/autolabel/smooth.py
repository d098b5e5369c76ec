"""Signal before angles: implausible joints out, short gaps filled, zero-phase low-pass, never across a gap or a cut.

Filtering is done on coordinates, not on angles (an angle folds at 180°), in uniform time, and mapped back to the
frames there are. Order: visibility gate → left/right swaps undone → outliers out → cuts found → short gaps filled →
low-pass → lag of the pose model's own filter undone. The cut-off is the design's rule, min(6 Hz, 0.4·fps), off below
8 fps; 6 Hz is the usual choice for human movement at exercise speed (Winter, Biomechanics and Motor Control of Human
Movement, 4th ed., chapter 3).
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from repset import angles
from repset.autolabel.lowpass import Biquad, butterworth, zero_phase
from repset.landmarks import SKELETONS
from repset.schema import PoseTrack

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LAG_S = {"blazepose_33": 0.02}
"""By how much a skeleton's positions come late: MediaPipe follows a person with a causal One-Euro filter (Casiez et al.
2012). Measured on ten real clips against its image mode, which has no memory: median 18 ms (tools/trust_lag.py)."""
CUTOFF_HZ = 6.0
CUTOFF_OF_FPS = 0.4  # of a second-order filter run forwards and backwards: effectively of order 4
NO_FILTER_BELOW_FPS = 8.0
JOINTS_AT_ONCE = 8  # go through the filter together: for the memory of a long clip
MAX_GAP_S = 0.25  # longer gaps stay unknown: within this time no joint turns round at exercise speed
HAMPEL_HALF_WINDOW_S = 0.1  # a real turning point lasts longer
HAMPEL_SIGMAS = 4.0
HAMPEL_FLOOR_TORSO = 0.15  # never call an outlier what is closer to the local median than this share of the torso
SCALE_HALF_WINDOW_S = 5.0  # the slowest repetitions last 8 s: the window must show the limb straight once
SCALE_STEP_S = 0.2
CUT_TORSO = 0.6  # the whole body moves further than this in one frame ...
CUT_TORSO_PER_S = 8.0  # ... and faster than this: camera cut, or another person
JUMP_TORSO = 0.2  # or the whole body leaps out of its own movement by this, the detector's tremor, and ...
JUMP_TORSO_PER_S2 = 60.0  # ... more than 3 g, which no body does as a whole: a cut between two people in one place
STAYS_TORSO = 0.1  # but where this share of the joints stays where it was, closer than this, ...
STAYS_SHARE = 0.15  # ... the feet stand on the floor under a fast lift: a cut moves everything
CUT_HALF_WINDOW_S = 2.0  # of the body size by which a jump is measured: across a cut there are two
CUT_TORSO_LONG = 2.5  # after a pause in detection nobody turns up further away than this
PAUSE_S = 1.0  # a longer step of the clock than this ...
PAUSE_FRAMES = 5  # ... and than so many frames: the recording paused
MAX_SWAP_S = 1.0  # a longer exchange of left and right is a person who turned, not a slip of the detector


@dataclass(frozen=True)
class CleanTrack:
    """A pose track fit for measuring, frame for frame with its source.

    Attributes:
        track: positions filtered, NaN where unknown (hidden, out of the picture, in a long gap); visibility as it came.
        segments: half-open frame ranges between camera cuts; signals must not be joined across their borders.
        scale_px: (T,) smoothed body size (torso length) in pixels, NaN where the torso was never seen nearby.
        hidden, swapped, outliers, filled: counts of joint positions (frames, for swapped) that each step touched.
    """

    track: PoseTrack
    segments: tuple[tuple[int, int], ...]
    scale_px: Doubles
    hidden: int
    swapped: int
    outliers: int
    filled: int

    def cut(self, start: int, end: int) -> "CleanTrack":
        """Frames [start, end); the counts stay those of the whole track."""
        inside = [(max(a, start) - start, min(b, end) - start) for a, b in self.segments if a < end and b > start]
        return replace(
            self, track=cut(self.track, start, end), segments=tuple(inside), scale_px=self.scale_px[start:end]
        )


def cut(track: PoseTrack, start: int, end: int) -> PoseTrack:
    """Frames [start, end) of a track, times unchanged."""
    part = slice(start, end)
    xyz = None if track.xyz_m is None else track.xyz_m[part]
    return PoseTrack(
        track.skeleton, track.time_s[part], track.xy_px[part], track.visibility[part], track.width, track.height, xyz
    )


def clean(track: PoseTrack, min_visibility: float) -> CleanTrack:
    """Clean one person's track.

    Args:
        min_visibility: joints seen less than this, or outside the picture, are unknown (NaN), not guessed;
            0 keeps every position the detector gives.
    Returns: CleanTrack with as many frames as `track`.
    """
    xy = track.xy_px.astype(np.float64)
    unseen = ~(track.visibility >= min_visibility) | outside(track) if min_visibility > 0 else ~np.isfinite(xy).all(-1)
    hidden = int((unseen & np.isfinite(xy).all(-1)).sum())
    xy[unseen] = np.nan
    scale = angles.trunk_px(xy, track.skeleton)
    swaps = swapped_frames(xy, track.time_s, track.skeleton)
    mirror = list(SKELETONS[track.skeleton].mirror)
    xy[swaps] = xy[swaps][:, mirror]
    segments = cut_segments(xy, track.time_s, rolling_scale(scale, track.time_s, CUT_HALF_WINDOW_S))
    size = np.full(len(scale), np.nan)
    outliers = 0
    filled = 0
    for start, end in segments:
        size[start:end] = rolling_scale(scale[start:end], track.time_s[start:end])
        part, times = xy[start:end], track.time_s[start:end]
        outliers += reject_outliers(part, times, size[start:end])
        filled += fill_gaps(part, times)
        xy[start:end] = undelay(low_pass(part, times), times, LAG_S.get(track.skeleton, 0.0))
    cleaned = PoseTrack(
        track.skeleton, track.time_s, xy.astype(np.float32), track.visibility, track.width, track.height, track.xyz_m
    )
    return CleanTrack(cleaned, segments, size, hidden, int(swaps.sum()), outliers, filled)


def outside(track: PoseTrack) -> Bools:
    """(T, K) true where a joint lies outside the picture; nowhere if the size is not known."""
    if not (track.width and track.height):
        return np.zeros(track.visibility.shape, np.bool_)
    x, y = track.xy_px[..., 0], track.xy_px[..., 1]
    with np.errstate(invalid="ignore"):
        return np.asarray((x < 0) | (y < 0) | (x > track.width) | (y > track.height), np.bool_)


def rolling_scale(torso: Doubles, time_s: Doubles, half_window_s: float = SCALE_HALF_WINDOW_S) -> Doubles:
    """(T,) a length's 90th percentile around each frame: a trunk that leans towards the camera looks short.

    A slow quantity: measured five times a second, then joined by straight lines. Must not reach across a cut.
    """
    if not len(torso):
        return np.empty(0)
    step = max(1, int(SCALE_STEP_S / _period_s(time_s)))
    knots = np.unique(np.r_[np.arange(0, len(torso), step), len(torso) - 1])
    ordered = np.sort(around(torso, time_s, knots, half_window_s), axis=-1)  # NaN last
    count = np.isfinite(ordered).sum(-1)
    place = 0.9 * np.maximum(count - 1, 0)  # as np.percentile interpolates
    low = np.floor(place).astype(np.intp)
    row = np.arange(len(knots))
    below, above = ordered[row, low], ordered[row, np.minimum(low + 1, np.maximum(count - 1, 0))]
    found = below + (place - low) * (above - below)
    known = count > 0
    if not known.any():
        return np.full(len(torso), np.nan)
    return np.asarray(np.interp(time_s, time_s[knots[known]], found[known]), np.float64)


def rolling_median(values: Doubles, time_s: Doubles, half_window_s: float) -> Doubles:
    """(T,) median of what is known around each frame; NaN where nothing is."""
    return _nanmedian(around(values, time_s, np.arange(len(values)), half_window_s))


def around(values: Doubles, time_s: Doubles, frames: npt.NDArray[np.intp], half_window_s: float) -> Doubles:
    """(F, W) the values in [t - half, t + half) of each of these frames, filled up with NaN."""
    first = np.searchsorted(time_s, time_s[frames] - half_window_s)
    last = np.searchsorted(time_s, time_s[frames] + half_window_s)
    width = int((last - first).max(initial=0))
    at = first[:, None] + np.arange(width)
    return np.where(at < last[:, None], values[np.minimum(at, len(values) - 1)], np.nan)


def _period_s(time_s: Doubles) -> float:
    return float(np.median(np.diff(time_s))) if len(time_s) > 1 else 1.0


def swapped_frames(xy_px: Doubles, time_s: Doubles, skeleton: str) -> Bools:
    """(T,) true in short runs of frames whose left and right joints are exchanged.

    A frame-to-frame step is an exchange when the mirrored assignment is far closer to the last frame than the
    plain one, summed over all joint pairs seen in both, and the pairs lie far enough apart to tell.
    """
    mirror = np.array(SKELETONS[skeleton].mirror)
    pairs = np.flatnonzero(mirror != np.arange(len(mirror)))
    flips = np.zeros(len(xy_px), np.bool_)
    if len(xy_px) < 3 or not len(pairs):
        return flips
    plain, swapped, apart = np.zeros((3, len(xy_px) - 1))
    seen = np.zeros(len(xy_px) - 1, np.intp)
    for k in pairs:  # one by one: all at once takes a long clip's memory six times over
        now, last, crossed = xy_px[1:, k], xy_px[:-1, k], xy_px[1:, mirror[k]]
        ways = [np.linalg.norm(a - b, axis=-1) for a, b in ((now, last), (crossed, last), (now, crossed))]
        known = np.isfinite(ways[0]) & np.isfinite(ways[1])
        for total, way in zip((plain, swapped, apart), ways, strict=True):
            total[known] += way[known]
        seen += known
    flips[1:] = (seen >= 6) & (swapped < 0.5 * plain) & (swapped < 0.5 * apart)
    state = np.cumsum(flips) % 2 == 1
    for start, end in runs(state):
        if time_s[end - 1] - time_s[start] > MAX_SWAP_S or end == len(state):
            state[start:end] = False
    return np.asarray(state, np.bool_)


def cut_segments(xy_px: Doubles, time_s: Doubles, size_px: Doubles) -> tuple[tuple[int, int], ...]:
    """Half-open frame ranges between camera cuts, pauses of the recording, and jumps to another person."""
    count = len(xy_px)
    if count < 2:
        return ((0, count),) if count else ()
    known = np.flatnonzero(np.isfinite(xy_px).all(-1).any(1))  # a jump is one from where the person was last seen
    with np.errstate(invalid="ignore"):
        joints = np.moveaxis(xy_px, 1, 0)
        steps = np.stack([np.linalg.norm(np.diff(joint[known], axis=0), axis=-1) for joint in joints], axis=1)
        step = _nanmedian(steps)
        size, gap_s = size_px[known[1:]], np.diff(time_s[known])
        limit = np.clip(CUT_TORSO_PER_S * gap_s, CUT_TORSO, CUT_TORSO_LONG) * size
        spike = (JUMP_TORSO + JUMP_TORSO_PER_S2 * gap_s**2) * size + _nearby(step)
        stays = (steps < STAYS_TORSO * size[:, None]).sum(1) >= STAYS_SHARE * np.isfinite(steps).sum(1)
        jumps = known[1:][((step > limit) | (step > spike)) & ~stays]
        jumps = _without_slips(jumps, known, xy_px, time_s, size_px)
    steps_s = np.diff(time_s)
    pauses = np.flatnonzero(steps_s > max(PAUSE_S, PAUSE_FRAMES * float(np.median(steps_s)))) + 1
    borders = [0, *sorted({*jumps.tolist(), *pauses.tolist()}), count]
    return tuple((a, b) for a, b in pairwise(borders) if b > a)


def _without_slips(
    jumps: npt.NDArray[np.intp], known: npt.NDArray[np.intp], xy_px: Doubles, time_s: Doubles, size_px: Doubles
) -> npt.NDArray[np.intp]:
    """The jumps but those that lead away and at once back to where the body was: the detector slipped."""
    keep = list(jumps)
    for away, back in pairwise(jumps):
        last = known[known < away][-1]
        if time_s[back] - time_s[away] <= MAX_GAP_S and {away, back} <= {*keep}:
            moved = np.nanmedian(np.linalg.norm(xy_px[back] - xy_px[last], axis=-1))
            if moved <= CUT_TORSO * size_px[back]:
                keep = [jump for jump in keep if jump not in (away, back)]
    return np.array(keep, np.intp)


def _nearby(step: Doubles, frames: int = 4) -> Doubles:
    """Median of the steps before and after each, without itself, or the larger of the two beside it.

    A lift or a fast squat speeds up and slows down over frames; a cut stands alone.
    """
    if not len(step):
        return step
    padded = np.pad(step, frames, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * frames + 1)
    beside = np.fmax(windows[:, frames - 1], windows[:, frames + 1])
    return np.fmax(_nanmedian(np.delete(windows, frames, axis=1)), beside)


def reject_outliers(xy_px: Doubles, time_s: Doubles, size_px: Doubles) -> int:
    """Hampel filter, in place: a joint far from the median of its neighbours in time becomes NaN.

    Returns: number of positions rejected. Needs two neighbours on each side within the window, else does nothing.
    """
    if len(xy_px) < 5:
        return 0
    half = int(HAMPEL_HALF_WINDOW_S / float(np.median(np.diff(time_s))) + 0.5)
    if half < 2 or len(xy_px) < 2 * half + 1:
        return 0
    size = np.nanmedian(size_px) if np.isfinite(size_px).any() else 0.0
    rejected = 0
    for joint in np.moveaxis(xy_px, 1, 0):  # one by one: a window a position takes a clip's memory many times over
        padded = np.pad(joint, ((half, half), (0, 0)), constant_values=np.nan)
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0)
        centre = _nanmedian(windows)
        spread = 1.4826 * _nanmedian(np.abs(windows - centre[..., None]))
        limit = np.fmax(HAMPEL_SIGMAS * spread, HAMPEL_FLOOR_TORSO * size)
        with np.errstate(invalid="ignore"):
            bad = (np.abs(joint - centre) > limit).any(-1)
        joint[bad] = np.nan
        rejected += int(bad.sum())
    return rejected


def fill_gaps(xy_px: Doubles, time_s: Doubles) -> int:
    """Straight lines over gaps of at most MAX_GAP_S, in place. Returns: number of positions filled."""
    filled = 0
    for k in range(xy_px.shape[1]):
        known = np.isfinite(xy_px[:, k]).all(-1)
        if known.all() or not known.any():
            continue
        for start, end in runs(~known):
            if start == 0 or end == len(known) or time_s[end - 1] - time_s[start] > MAX_GAP_S - 1e-9:
                continue
            for axis in (0, 1):
                ends = [start - 1, end]
                xy_px[start:end, k, axis] = np.interp(time_s[start:end], time_s[ends], xy_px[ends, k, axis])
            filled += end - start
    return filled


def undelay(xy_px: Doubles, time_s: Doubles, lag_s: float) -> Doubles:
    """Positions where they were, of positions that come late: read `lag_s` later, on a straight line between frames.

    Args:
        xy_px: (T, K, 2). Returns: the same shape; a frame that has no later one, or before a gap, stays.
    """
    if len(xy_px) < 2 or not lag_s:
        return xy_px
    at = time_s + lag_s
    k = np.clip(np.searchsorted(time_s, at, side="right") - 1, 0, len(time_s) - 2)
    share = np.clip((at - time_s[k]) / (time_s[k + 1] - time_s[k]), 0, 1)[:, None]
    out = xy_px.copy()
    for joint in np.moveaxis(out, 1, 0):
        moved = joint[k] + (joint[k + 1] - joint[k]) * share
        joint[:] = np.where(np.isfinite(moved), moved, joint)
    return out


def low_pass(xy_px: Doubles, time_s: Doubles) -> Doubles:
    """Zero-phase Butterworth on every unbroken run of every joint, in uniform time; NaN stays NaN.

    Args:
        xy_px: (T, K, 2). Returns: the same shape; unchanged below 8 fps or on runs too short to filter.
    """
    if len(xy_px) < 2:
        return xy_px
    fps = float(1 / np.median(np.diff(time_s)))
    if fps < NO_FILTER_BELOW_FPS:
        return xy_px
    cutoff = min(CUTOFF_HZ, CUTOFF_OF_FPS * fps)
    biquad = butterworth(cutoff, fps)
    out = xy_px.copy()
    known = np.isfinite(xy_px).all(-1)
    for pattern in np.unique(known, axis=1).T:  # joints with the same gaps go through together
        joints = np.flatnonzero((known == pattern[:, None]).all(0))
        for start, end in runs(pattern):
            for some in np.array_split(joints, -(-len(joints) // JOINTS_AT_ONCE)) if end - start >= 4 else ():
                part = xy_px[start:end][:, some].reshape(end - start, -1)
                done = _filter_run(part, time_s[start:end], fps, biquad)
                out[start:end, some] = done.reshape(end - start, len(some), 2)
    return out


def _filter_run(values: Doubles, time_s: Doubles, fps: float, biquad: Biquad) -> Doubles:
    """Filter (T, C) values of one unbroken run; uneven times are evened first and mapped back."""
    uneven = bool(np.any(np.abs(np.diff(time_s) * fps - 1) > 0.02))
    count = round((time_s[-1] - time_s[0]) * fps) + 1
    grid = np.linspace(time_s[0], time_s[-1], count) if uneven else time_s
    even = np.column_stack([np.interp(grid, time_s, column) for column in values.T]) if uneven else values
    if len(even) < 4:
        return values
    done = zero_phase(even, biquad, min(len(even) - 1, int(fps)))
    return np.column_stack([np.interp(time_s, grid, column) for column in done.T]) if uneven else done


def runs(mask: Bools) -> list[tuple[int, int]]:
    """Half-open index ranges where `mask` is true."""
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False].astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _nanmedian(values: Doubles) -> Doubles:
    """Median over the last axis; NaN, and no warning, where nothing is known."""
    ordered = np.sort(values, axis=-1)  # NaN last
    count = np.isfinite(values).sum(-1)
    low, high = np.maximum((count - 1) // 2, 0), count // 2
    take = [
        np.take_along_axis(ordered, np.minimum(i, values.shape[-1] - 1)[..., None], -1)[..., 0] for i in (low, high)
    ]
    return np.asarray(np.where(count > 0, (take[0] + take[1]) / 2, np.nan))
