"""Pictures of a clip through a frozen encoder, as what the muscle model sees."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from repset.cli import cli
from repset.errors import ConfigError, DataError
from repset.learn import muscles
from repset.learn.muscles_frames import FRAMES, ClipFrames, FrameEncoder
from repset.learn.muscles_pose import NAMES
from repset.project import Project
from repset.records import read_rows, write_table
from repset.video import write_video
from tests.test_muscles import write_source


def flat(value: int) -> np.ndarray:
    return np.full((48, 64, 3), value, np.uint8)


def with_video(project: Project, name: str, values: list[int]) -> None:
    """Give every clip of the source the same short video, named as `repset index` names a file."""
    (project.pipelines / f"{name}.yaml").write_text(
        "family: penn_action\nrendered: true\norigin: a.zip\nformat: motion_actions\n", encoding="utf-8"
    )
    index = project.index(name)
    path = write_video(project.root / "datasets" / name / "clip.mp4", (flat(v) for v in values), 25)
    write_source(project, name, {"squat": "squat", "push_up": "push_up", "lunge": "lunge"}, 2)
    rows = read_rows(index / "samples.parquet", "samples")
    media = str(path.relative_to(project.root))
    write_table(index / "samples.parquet", "samples", [row | {"media": media} for row in rows])


def test_pictures_are_taken_from_the_middles_of_equal_parts(project: Project) -> None:
    with_video(project, "mine", list(range(0, 240, 10)))  # 24 frames of rising grey
    clips = ClipFrames(project.index("mine"), project.root)
    sample = {"sample_id": "mine/squat0", "media": "datasets/mine/clip.mp4"}
    grey = [float(image.mean()) for image in clips.evenly(sample, None)]
    np.testing.assert_allclose(grey, [10 + 30 * part for part in range(FRAMES)], atol=4)
    assert [float(image.mean()) for image in clips.evenly(sample, (4, 7))] == pytest.approx([40, 50, 60], abs=4)
    assert clips.evenly({"sample_id": "mine/other", "media": None}, None) == []


def test_the_numbers_are_mean_and_deviation_over_the_pictures() -> None:
    encoder = FrameEncoder("resnet18", "none")
    dark, light = encoder.describe([flat(30)]), encoder.describe([flat(200)])
    both = encoder.describe([flat(30), flat(200), flat(30), flat(200)])
    size = len(dark) // 2
    assert size == 512  # channels of ResNet-18's last level
    np.testing.assert_allclose(dark[size:], 0, atol=1e-6)
    np.testing.assert_allclose(both[:size], (dark + light)[:size] / 2, atol=1e-4)
    np.testing.assert_allclose(both[size:], np.abs(dark - light)[:size] / 2, atol=1e-4)
    assert np.array_equal(FrameEncoder("resnet18", "none").describe([flat(30)]), dark)  # nothing is drawn anew


def test_an_unknown_encoder_is_one_sentence() -> None:
    with pytest.raises(ConfigError) as error:
        FrameEncoder("resnet17", "none")
    assert str(error.value) == ("encoder: expected one that segmentation-models-pytorch knows, found 'resnet17'.")


def test_pictures_stand_beside_the_pose_or_alone(project: Project) -> None:
    with_video(project, "mine", list(range(0, 160, 10)))
    encoder = FrameEncoder("resnet18", "none")
    pose, both, alone = (
        muscles.load_clips(project, ["mine"], encoder=used, pose=with_pose)[0][0].numbers
        for used, with_pose in ((None, True), (encoder, True), (encoder, False))
    )
    assert (len(pose), len(alone)) == (len(NAMES), 1024)
    np.testing.assert_array_equal(both, np.concatenate([pose, alone]))
    with pytest.raises(ConfigError, match="found neither"):
        muscles.load_clips(project, ["mine"], pose=False)


def test_a_source_without_pictures_is_one_sentence(project: Project) -> None:
    with_video(project, "mine", [0, 10])
    write_source(project, "mine", {"squat": "squat", "push_up": "push_up", "lunge": "lunge"}, 2)  # no media now
    with pytest.raises(DataError) as error:
        muscles.load_clips(project, ["mine"], encoder=FrameEncoder("resnet18", "none"))
    assert str(error.value) == (
        "mine: expected clips with a pose and pictures, of exercises whose muscles are written down, found none. "
        "Name a source with frames or videos, or leave --sees out."
    )


def test_the_command_learns_from_pictures(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_video(project, "mine", list(range(0, 160, 10)))
    monkeypatch.chdir(project.root)
    into = tmp_path / "found.json"
    arguments = ["muscles", "loao", "mine", "--sees", "frames", "--encoder-weights", "none", "--json", str(into)]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads(into.read_text(encoding="utf-8"))
    assert found["sees"] == {"by": "frames", "encoder": "tu-tf_efficientnet_lite0", "encoder_weights": "none"}
    assert (found["actions"], found["clips"]) == (3, 6)
    # All clips show the same pictures: nothing tells them apart, so each ranks the groups as the prior does.
    assert found["seen"]["map"]["ridge"] <= found["seen"]["map"]["prior"] + 1e-6
