"""What must not change a count, done to pose tracks: no truth is needed to see it broken."""

from collections.abc import Sequence

import numpy as np

from repset.autolabel.label import count_stretch
from repset.autolabel.smooth import clean, cut
from repset.landmarks import SKELETONS
from repset.schema import PoseTrack

SPEEDS = (0.5, 0.75, 1.5, 2.0)
LOOPS = 5


def reps_of(track: PoseTrack, exercise: str) -> int:
    """Repetitions counted in a whole track."""
    return len(count_stretch(exercise, clean(track, 0.0))[1])


def complete_reps(track: PoseTrack, exercise: str) -> list[tuple[int, int]]:
    """First frame and turn of each complete repetition."""
    return [(rep.start, rep.turn) for rep in count_stretch(exercise, clean(track, 0.0))[1] if rep.complete]


def mirrored(track: PoseTrack) -> PoseTrack:
    """The picture flipped: x reversed, left and right joints exchanged."""
    order = list(SKELETONS[track.skeleton].mirror)
    xy = (track.xy_px * np.float32([-1, 1]) + np.float32([track.width, 0]))[:, order]
    xyz = None if track.xyz_m is None else (track.xyz_m * np.float32([-1, 1, 1]))[:, order]
    return PoseTrack(track.skeleton, track.time_s, xy, track.visibility[:, order], track.width, track.height, xyz)


def taken(track: PoseTrack, frames: Sequence[int], time_s: np.ndarray | None = None) -> PoseTrack:
    """The given frames in the given order, at the clip's mean rate unless times are given."""
    at = np.asarray(frames)
    times = np.arange(len(at)) / _rate(track) if time_s is None else time_s
    xyz = None if track.xyz_m is None else track.xyz_m[at]
    return PoseTrack(track.skeleton, times, track.xy_px[at], track.visibility[at], track.width, track.height, xyz)


def _rate(track: PoseTrack) -> float:
    return float((len(track.time_s) - 1) / (track.time_s[-1] - track.time_s[0]))


def at_speed(track: PoseTrack, speed: float) -> PoseTrack:
    """The same frames, played faster."""
    return taken(track, range(len(track.time_s)), track.time_s / speed)


def half_rate(track: PoseTrack) -> PoseTrack:
    """Every other frame."""
    frames = np.arange(0, len(track.time_s), 2)
    return taken(track, frames, track.time_s[frames])


def frozen(track: PoseTrack, share: float) -> PoseTrack:
    """One second of standstill at this share of the clip."""
    at = round(share * (len(track.time_s) - 1))
    return taken(track, [*range(at), *[at] * round(_rate(track)), *range(at, len(track.time_s))])


def looped(track: PoseTrack, start: int, turn: int, times: int) -> PoseTrack:
    """From the start of a repetition to its turn and back the same way, again and again, with the rest around it."""
    way = [*range(start, turn + 1), *range(turn - 1, start, -1)]
    rest = list(range(max(0, start - round(0.5 * _rate(track))), start))
    return taken(track, [*rest, *way * times, start, *rest[::-1]])


def joined(first: PoseTrack, between: PoseTrack, second: PoseTrack, seconds: float = 3.0) -> PoseTrack:
    """One track after the other, with `seconds` of a third between them; all in the first one's picture and rate."""
    rate = _rate(first)
    last = int(np.searchsorted(between.time_s, between.time_s[0] + seconds))
    parts = [_resampled(part, rate, first) for part in (first, cut(between, 0, last), second)]
    xyz = None if any(part.xyz_m is None for part in parts) else np.concatenate([part.xyz_m for part in parts])  # type: ignore[misc]
    xy = np.concatenate([part.xy_px for part in parts])
    visibility = np.concatenate([part.visibility for part in parts])
    times = np.arange(len(xy)) / rate
    return PoseTrack(first.skeleton, times, xy, visibility, first.width, first.height, xyz)


def _resampled(track: PoseTrack, rate: float, picture: PoseTrack) -> PoseTrack:
    """Nearest frames at another rate, letter-boxed into another picture."""
    wanted = np.arange(track.time_s[0], track.time_s[-1] + 0.5 / rate, 1 / rate)
    frames = np.abs(track.time_s[:, None] - wanted).argmin(0)
    part = taken(track, frames, wanted - wanted[0])
    size = np.float32([track.width, track.height])
    room = np.float32([picture.width, picture.height])
    factor = np.float32((room / size).min())
    xy = part.xy_px * factor + (room - size * factor) / 2
    return PoseTrack(part.skeleton, part.time_s, xy, part.visibility, picture.width, picture.height, part.xyz_m)
