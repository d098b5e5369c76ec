"""What must not change a count: relations that need no truth, on drawn motions and on real clips.

The transformations are those of `tools/trust.py`, which tries them on every clip and on the pictures themselves.
"""

from pathlib import Path

import numpy as np
import pytest
import trust_relations as relations
from drawn_tracks import REPS, SIZE, seen

from repset.schema import PoseTrack

TOOLS = Path(__file__).resolve().parent.parent / "tools"
EXERCISES = ("squat", "push_up", "pull_up", "sit_up", "bicep_curl", "shoulder_press", "lateral_raise", "jumping_jack")


def resized(track: PoseTrack, factor: float, shift: tuple[float, float] = (0.0, 0.0)) -> PoseTrack:
    xy = (track.xy_px * factor + np.array(shift)).astype(np.float32)
    size = (round(track.width * factor + 2 * shift[0]), round(track.height * factor + 2 * shift[1]))
    return PoseTrack(track.skeleton, track.time_s, xy, track.visibility, *size, xyz_m=track.xyz_m)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_count_of_a_drawn_set_is_the_one_drawn_whatever_is_done_to_it(exercise: str) -> None:
    track = seen(exercise)
    same = {
        "plain": track, "mirrored": relations.mirrored(track), "half the frames": relations.half_rate(track),
        "half the size": resized(track, 0.5), "padded": resized(track, 1.0, (0.0, 330.0)),
    }  # fmt: skip
    same |= {f"{speed} times the speed": relations.at_speed(track, speed) for speed in (0.5, 0.75, 1.5, 2.0)}
    same |= {f"frozen at {share}": relations.frozen(track, share) for share in (0.3, 0.5, 0.8)}
    assert {name: relations.reps_of(one, exercise) for name, one in same.items()} == dict.fromkeys(same, REPS)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_repetition_played_to_and_fro_is_counted_as_often_as_it_is_played(exercise: str) -> None:
    track = seen(exercise)
    start, turn = relations.complete_reps(track, exercise)[0]
    assert [relations.reps_of(relations.looped(track, start, turn, n), exercise) for n in (1, 2, 5)] == [1, 2, 5]


@pytest.mark.parametrize("exercise", EXERCISES)
def test_two_sets_with_somebody_standing_between_them_are_added(exercise: str) -> None:
    first, second = seen(exercise, seed=3), seen(exercise, azimuth_deg=35.0, seed=5, reps=3)
    standing = relations.taken(seen("squat", seed=9), [0] * 120)
    assert relations.reps_of(standing, exercise) == 0
    assert relations.reps_of(relations.joined(first, standing, second), exercise) == REPS + 3


@pytest.mark.parametrize("azimuth_deg", [-60.0, 20.0, 130.0])
def test_who_stands_still_and_trembles_repeats_nothing(azimuth_deg: float) -> None:
    still = relations.taken(seen("bicep_curl", azimuth_deg), [0] * 150)
    rng = np.random.default_rng(1)
    trembling = PoseTrack(
        still.skeleton, still.time_s, (still.xy_px + rng.normal(0, 2.5, still.xy_px.shape)).astype(np.float32),
        still.visibility, *SIZE, xyz_m=still.xyz_m,
    )  # fmt: skip
    assert {name: relations.reps_of(trembling, name) for name in EXERCISES} == dict.fromkeys(EXERCISES, 0)


# --- real clips ---------------------------------------------------------------------------------------------------

CLIPS = {"squat_1": "squat", "bicep_curl_1": "bicep_curl", "shoulder_press_2": "shoulder_press"}


@pytest.fixture(scope="module")
def real(shared_data: Path) -> dict[str, PoseTrack]:
    """MediaPipe's tracks of three short clips."""
    from repset.autolabel.pose import estimate
    from repset.video import read_video

    folder = shared_data / "videos"
    return {name: estimate(read_video(folder / f"{name}.mp4", rgb=True), rgb=True) for name in CLIPS}


@pytest.mark.real
@pytest.mark.pose
def test_relations_hold_on_real_clips(real: dict[str, PoseTrack]) -> None:
    """squat_1 is shown at 5 frames a second: half of that is not asked of it."""
    broken = []
    for name, exercise in CLIPS.items():
        track = real[name]
        count = relations.reps_of(track, exercise)
        done = {"mirrored": relations.mirrored(track), "small": resized(track, 0.4)}
        done |= {f"speed {speed}": relations.at_speed(track, speed) for speed in (0.5, 0.75, 1.5, 2.0)}
        done |= {f"frozen {share}": relations.frozen(track, share) for share in (0.25, 0.5, 0.75)}
        done |= {} if name == "squat_1" else {"half the frames": relations.half_rate(track)}
        broken += [(name, how) for how, one in done.items() if relations.reps_of(one, exercise) != count]
        start, turn = relations.complete_reps(track, exercise)[0]
        broken += [
            (name, f"loop {n}")
            for n in (2, 5)
            if relations.reps_of(relations.looped(track, start, turn, n), exercise) != n
        ]
    assert broken == []


@pytest.mark.real
@pytest.mark.pose
def test_counts_by_eye_are_met(real: dict[str, PoseTrack]) -> None:
    """Turning points by eye, from the manifest beside the clips."""
    assert {name: relations.reps_of(real[name], exercise) for name, exercise in CLIPS.items()} == {
        "squat_1": 3, "bicep_curl_1": 1, "shoulder_press_2": 2,
    }  # fmt: skip
