"""Naming the stretches of a long clip, and the released model without torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from repset import stretches
from repset.autolabel import recognise as module
from repset.autolabel.recognise import Live, Recogniser, recognise
from repset.errors import DataError
from repset.landmarks import PENN_13
from repset.pose_features import CHANNELS, JOINTS, Floats, WindowSpec
from repset.schema import PoseTrack

CLASSES = ("squat", "bicep_curl", "golf_swing", "none")


class ByHeight:
    """A stand-in for the network: the height of the left wrist in the middle of the window decides."""

    classes = CLASSES
    spec = WindowSpec(2.0, 16)

    def log_probabilities(self, windows: Floats) -> Floats:
        wrist = windows[:, 2 * JOINTS.index("left_wrist") + 1, 8]
        names = np.digitize(wrist, [-0.3, -0.1, 0.1])
        return np.log(np.full((len(windows), 4), 0.05) + 0.8 * np.eye(4)[names])


def track(heights: list[tuple[float, int]], seen: bool = True) -> PoseTrack:
    """A body of length 200 whose left wrist is at these heights below the hip (in body lengths), for so many frames."""
    frames = sum(count for _, count in heights)
    body = {"shoulder": -76, "hip": 0, "knee": 62, "ankle": 124, "elbow": -38, "wrist": 0, "head": -100}
    xy = np.zeros((frames, 13, 2), np.float32)
    for k, joint in enumerate(PENN_13.joints):
        xy[:, k] = [15 if "left" in joint else -15, body[joint.split("_")[-1]]]
    wrist = np.concatenate([np.full(count, height * 200) for height, count in heights])
    xy[:, JOINTS.index("left_wrist"), 1] = wrist
    if not seen:
        xy[:] = np.nan
    return PoseTrack("penn_13", np.arange(frames) / 30, xy, np.ones((frames, 13), np.float32), 0, 0)


def named(poses: PoseTrack, **options: float) -> list[tuple[int, int, str]]:
    found = recognise(poses, ByHeight(), **options)  # type: ignore[arg-type]
    assert all(stretch.origin == "model" and 0 <= (stretch.exercise_p or 0) <= 1 for stretch in found)
    return [(stretch.start, stretch.end, stretch.exercise) for stretch in found]


def test_a_short_clip_is_one_stretch() -> None:
    assert named(track([(-0.5, 40)])) == [(0, 40, "squat")]


def test_a_long_clip_of_one_exercise_is_one_stretch() -> None:
    assert named(track([(-0.2, 600)])) == [(0, 600, "bicep_curl")]


def test_stretches_follow_one_another_without_gaps_and_rest_is_none() -> None:
    found = named(track([(0.3, 240), (-0.5, 300), (0.3, 150), (-0.2, 300)]))
    assert [name for _, _, name in found] == ["none", "squat", "none", "bicep_curl"]
    assert found[0][0] == 0
    assert found[-1][1] == 990
    for (_, end, _), (start, _, _), true in zip(found, found[1:], (240, 540, 690), strict=False):
        assert end == start
        assert abs(end - true) <= 30  # within a second


def test_one_odd_second_does_not_split_a_set() -> None:
    assert named(track([(-0.5, 200), (-0.2, 25), (-0.5, 200)])) == [(0, 425, "squat")]


def test_a_pause_does_not_end_a_set_and_a_rest_does() -> None:
    assert named(track([(-0.5, 240), (0.3, 90), (-0.5, 240)])) == [(0, 570, "squat")]  # three seconds
    rest = named(track([(-0.5, 240), (0.3, 240), (-0.5, 240)]))  # eight
    assert [name for _, _, name in rest] == ["squat", "none", "squat"]
    between = named(track([(-0.5, 240), (0.3, 90), (-0.2, 240)]))  # of two exercises
    assert [name for _, _, name in between] == ["squat", "none", "bicep_curl"]


def test_an_action_outside_the_ontology_is_none() -> None:
    assert named(track([(0.0, 100)])) == [(0, 100, "none")]


def test_an_improbable_name_is_none() -> None:
    (stretch,) = recognise(track([(-0.5, 100)]), ByHeight(), min_p=0.9)  # type: ignore[arg-type]
    assert stretch.exercise == "none"
    assert stretch.exercise_p == pytest.approx(1 - 0.85)


def test_where_nobody_is_seen_there_is_no_exercise() -> None:
    assert named(track([(-0.5, 100)], seen=False)) == [(0, 100, "none")]


def test_a_single_frame_and_no_frame() -> None:
    assert named(track([(-0.5, 1)])) == [(0, 1, "squat")]
    assert named(track([(-0.5, 0)])) == []


def test_viterbi_gives_the_path_that_brute_force_finds() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        log_p = np.log(rng.dirichlet(np.ones(3), 6))
        paths = np.stack(np.meshgrid(*[range(3)] * 6, indexing="ij"), -1).reshape(-1, 6)
        score = log_p[np.arange(6), paths].sum(axis=1) - 1.5 * (np.diff(paths) != 0).sum(axis=1)
        found = stretches.decode(log_p, ["a", "b", "c"], np.arange(6.0), 1.0, 6.0, 1.5, min_stretch_s=0.0)
        best = "".join("abc"[i] for i in paths[score.argmax()])
        lengths = [round(part.end_s - part.start_s) for part in found]
        assert "".join(part.name * n for part, n in zip(found, lengths, strict=True)) == best


def test_other_actions_and_none_share_one_probability() -> None:
    log_p, names = stretches.to_ontology(np.log([[0.4, 0.1, 0.3, 0.2]]), CLASSES)
    assert names == ["squat", "bicep_curl", "none"]
    np.testing.assert_allclose(np.exp(log_p), [[0.4, 0.1, 0.5]])


def test_a_missing_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        module.recogniser(tmp_path)
    assert str(error.value) == (
        f"{tmp_path / 'exercise.onnx'}: expected the released exercise model, found no file. "
        "Name the exercise: --exercise squat."
    )


def test_recognising_imports_no_torch() -> None:
    code = (
        "import sys; import numpy as np; from repset.pose_features import CHANNELS; "
        "from repset.autolabel.recognise import recogniser; model = recogniser(); "
        "model.log_probabilities(np.zeros((1, CHANNELS, model.spec.steps), np.float32)); "
        "print(sorted({'torch', 'lightning', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "['onnxruntime']\n"


def live(poses: PoseTrack) -> list[tuple[str, float]]:
    stream = Live(poses.skeleton, (0, 0), ByHeight())  # type: ignore[arg-type]
    frames = zip(poses.time_s.tolist(), poses.xy_px, poses.visibility, strict=True)
    return [stream.push(*frame) for frame in frames]


def test_a_stream_is_named_as_it_comes() -> None:
    found = live(track([(-0.5, 300), (-0.2, 300)]))
    assert found[0] == ("none", 0.0)  # nothing has been seen yet
    names = [name for name, _ in found]
    assert set(names[45:300]) == {"squat"}
    assert set(names[420:]) == {"bicep_curl"}  # within four seconds of the change
    assert found[-1][1] == pytest.approx(0.85, abs=1e-5)


def test_one_odd_second_does_not_change_a_stream() -> None:
    names = [name for name, _ in live(track([(-0.5, 200), (-0.2, 25), (-0.5, 200)]))]
    assert set(names[45:]) == {"squat"}


def test_a_stream_keeps_no_more_than_it_needs() -> None:
    poses = track([(-0.5, 900)])
    stream = Live(poses.skeleton, (0, 0), ByHeight())  # type: ignore[arg-type]
    for k in range(900):
        stream.push(float(poses.time_s[k]), poses.xy_px[k], poses.visibility[k])
    assert len(stream._frames) <= 30 * (2.0 + 0.5 + 0.5) + 1  # window, longest gap, one hop


def test_a_temperature_softens_the_probabilities() -> None:
    class Session:
        def run(self, outputs: None, inputs: dict[str, Floats]) -> list[Floats]:
            return [np.log(np.array([[0.8, 0.2]], np.float32))]

    def p(temperature: float) -> float:
        model = Recogniser(("squat", "none"), WindowSpec(2.0, 16), "", Session(), temperature)
        return float(np.exp(model.log_probabilities(np.zeros((1, CHANNELS, 16), np.float32)))[0, 0])

    assert p(1.0) == pytest.approx(0.8)
    assert p(2.0) == pytest.approx(2 / 3)  # the square roots of 0.8 and 0.2 are as 2 to 1


def test_the_released_model_knows_the_whole_ontology() -> None:
    from repset.exercises import NAMES, NONE

    model = module.recogniser()
    assert {*NAMES, NONE} <= set(model.classes)
    assert (module.HERE / "exercise.onnx").stat().st_size < 1_000_000


@pytest.mark.train
def test_the_exported_network_answers_as_the_trained_one(tmp_path: Path) -> None:
    import torch

    from repset.learn.exercise_nets import Temporal
    from repset.learn.export import parity, to_onnx

    torch.manual_seed(0)
    network = Temporal(classes=5, width=16, dropout=0.3)
    exported = to_onnx(network, 32)
    assert parity(network, exported, 32) <= 1e-4
    with torch.no_grad():
        network.head.bias += 0.01
    assert parity(network, exported, 32) == pytest.approx(0.01, abs=1e-3)


def test_probabilities_of_a_released_model_sum_to_one() -> None:
    model: Recogniser = module.recogniser()
    windows = np.random.default_rng(0).normal(0, 0.3, (5, CHANNELS, model.spec.steps)).astype(np.float32)
    np.testing.assert_allclose(np.exp(model.log_probabilities(windows)).sum(axis=1), 1, atol=1e-5)
