"""MediaPipe through the Tasks API: the bundle made of the wheel's networks, tracks, provenance."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from repset.autolabel import pose
from repset.autolabel.pose import estimate, estimate_image, outline_image
from repset.autolabel.pose_bundle import model_bundle, model_sha256, quick_bundle
from repset.errors import DataError, RepsetError
from repset.landmarks import PENN_13, convert
from repset.sample.archives_penn import ClipTask, render_clip
from repset.video import Image, decode_image, read_video

JOINTS = [k for k, name in enumerate(PENN_13.joints) if name != "head"]


@pytest.fixture(scope="module")
def squat() -> tuple[list[Image], np.ndarray]:
    """Frames of a rendered squat and its true joints (T, 13, 2), pixels from 0."""
    files = dict(render_clip(ClipTask(8, "squat", 1, 24, True, 7)).files)
    label = loadmat(io.BytesIO(files.pop("labels/0008.mat")))
    images = [decode_image(data, name) for name, data in sorted(files.items())]
    return images, np.stack([label["x"], label["y"]], axis=-1) - 1


@pytest.mark.pose
def test_rendered_athlete_is_found_where_it_was_drawn(squat: tuple[list[Image], np.ndarray]) -> None:
    images, truth = squat
    track = estimate((n / 24, image) for n, image in enumerate(images))
    assert (track.skeleton, track.width, track.height) == ("blazepose_33", 320, 240)
    assert np.allclose(track.time_s, np.arange(24) / 24)
    found = convert(track.xy_px, "blazepose_33", "penn_13")[:, JOINTS]
    torso = np.linalg.norm(truth[:, [1, 2]].mean(1) - truth[:, [7, 8]].mean(1), axis=-1)
    error = np.linalg.norm(found - truth[:, JOINTS], axis=-1) / torso[:, None]
    assert np.median(error) < 0.15
    assert ((track.visibility >= 0) & (track.visibility <= 1)).all()
    hips = track.xyz_m[:, [23, 24]].mean(1)  # world positions are metres from the mid-hip
    assert np.abs(hips).max() < 0.05
    assert 0.3 < np.linalg.norm(track.xyz_m[:, 11] - track.xyz_m[:, 23], axis=-1).mean() < 0.8


@pytest.mark.pose
def test_poses_depend_on_the_images_alone(squat: tuple[list[Image], np.ndarray]) -> None:
    images = squat[0][:8]
    slow = estimate((n / 5, image) for n, image in enumerate(images))
    fast = estimate(((n / 60, np.ascontiguousarray(image[..., ::-1])) for n, image in enumerate(images)), rgb=True)
    assert np.array_equal(slow.xy_px, fast.xy_px)


@pytest.mark.pose
def test_frames_without_a_person_are_nan(squat: tuple[list[Image], np.ndarray]) -> None:
    grey = np.full_like(squat[0][0], 128)
    track = estimate(enumerate([grey, grey, squat[0][0], squat[0][1]]))
    assert np.isnan(track.xy_px[:2]).all()
    assert np.isnan(track.visibility[:2]).all()
    assert np.isfinite(track.xy_px[2:]).all()


@pytest.mark.pose
def test_one_picture_has_no_memory_of_another(squat: tuple[list[Image], np.ndarray]) -> None:
    first, last = squat[0][0], squat[0][-1]
    alone = estimate_image(last)
    estimate_image(first)
    assert np.array_equal(estimate_image(last).xy_px, alone.xy_px)
    assert alone.xy_px.shape == (1, 33, 2)


@pytest.mark.pose
def test_nothing_is_printed_by_mediapipe() -> None:
    code = (
        "import numpy as np; from repset.autolabel.pose import estimate\n"
        "estimate([(0.0, np.zeros((64, 64, 3), np.uint8))])\n"
        "import matplotlib.pyplot; matplotlib.pyplot.figure"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.pose
def test_bundle_holds_the_wheels_networks_and_is_the_same_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = model_bundle("full")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    second = model_bundle("full")
    assert second.is_relative_to(tmp_path)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(second) as archive:
        assert archive.namelist() == ["pose_detector.tflite", "pose_landmarks_detector.tflite"]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert model_sha256(str(second)) == model_sha256("full")


@pytest.mark.pose
def test_network_without_the_outline_finds_the_same_to_the_bit(squat: tuple[list[Image], np.ndarray]) -> None:
    images = squat[0][:8]
    whole, quick = str(model_bundle("full")), str(quick_bundle("full"))
    assert Path(quick).read_bytes() != Path(whole).read_bytes()
    wanted = estimate(enumerate(images), whole)
    for model in (quick, "full"):
        found = estimate(enumerate(images), model)
        assert np.isfinite(found.xy_px).all()
        for name in ("xy_px", "visibility", "xyz_m"):
            assert np.array_equal(getattr(found, name), getattr(wanted, name)), name
    assert np.array_equal(estimate_image(images[0]).xy_px, estimate_image(images[0], whole).xy_px)


@pytest.mark.pose
def test_joints_alone_need_no_outline(squat: tuple[list[Image], np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_model: str) -> Path:
        raise AssertionError("the whole network was asked for")

    monkeypatch.setattr(pose, "model_bundle", never)
    assert np.isfinite(estimate(enumerate(squat[0][:2])).xy_px).all()


@pytest.mark.pose
def test_who_asks_for_the_outline_gets_the_whole_network(squat: tuple[list[Image], np.ndarray]) -> None:
    found = outline_image(squat[0][0])
    assert found is not None
    assert found[1].shape == squat[0][0].shape[:2]
    assert 0.02 < (found[1] > 0.5).mean() < 0.5


@pytest.mark.pose
def test_damaged_bundle_in_the_cache_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for make in (model_bundle, quick_bundle):
        whole = make("full").read_bytes()
        make("full").write_bytes(whole[: len(whole) // 2])
        assert make("full").read_bytes() == whole


def test_model_that_the_wheel_lacks_is_one_sentence() -> None:
    with pytest.raises(RepsetError) as caught:
        model_bundle("heavy")
    assert str(caught.value) == (
        "pose model 'heavy': mediapipe 0.10.21 carries no such network. "
        "Use full, or name an official bundle by its path: pose_landmarker_heavy.task"
    )


@pytest.mark.parametrize(
    ("content", "found", "todo"),
    [
        (None, "no such file", "Check the path"),
        (b"no zip", "a file that is no bundle", "Download the bundle again"),
        ({"a.txt": b""}, "a bundle without pose_detector.tflite", "Download a pose landmarker bundle"),
    ],
)
def test_file_that_is_no_bundle_is_one_sentence(tmp_path: Path, content: object, found: str, todo: str) -> None:
    path = tmp_path / "pose.task"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
    with pytest.raises(DataError) as caught:
        model_bundle(str(path))
    wanted = "a MediaPipe pose bundle (.task), or one of lite, full, heavy"
    assert str(caught.value) == f"{path}: expected {wanted}, found {found}. {todo}."


@pytest.mark.real
@pytest.mark.pose
def test_published_baseline_is_met(shared_data: Path) -> None:
    """Google's own per-frame output for this clip (tfjs-models, Apache-2.0)."""
    published = json.loads((shared_data / "blazepose_baseline" / "pose_squats.full.json").read_text())
    wanted = np.array(published)[..., :2]
    track = estimate(read_video(shared_data / "videos" / "squat_1.mp4", rgb=True), rgb=True)
    distance = np.linalg.norm(track.xy_px - wanted, axis=-1)
    torso = np.linalg.norm(wanted[:, [11, 12]].mean(1) - wanted[:, [23, 24]].mean(1), axis=-1)
    assert distance.shape == (65, 33)
    assert distance.mean() <= 5.0
    assert (distance < 0.2 * torso[:, None]).all()


def test_mediapipe_is_not_imported_with_the_module() -> None:
    code = "import sys, repset.autolabel.pose; print('mediapipe' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert pose.JOINTS == 33


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much memory the process has")
def test_what_was_freed_goes_back_to_the_system() -> None:
    code = (
        "import numpy as np; from pathlib import Path; from repset.autolabel.memory import give_back\n"
        "def mib(): return int(Path('/proc/self/statm').read_text().split()[1]) * 4 / 1024\n"
        "rows = [np.ones((33, 6), np.float32) for _ in range(60_000)]\n"  # 48 MB, as of a video of half an hour
        "last = rows[-1]; del rows; kept = mib(); give_back(); print(kept - mib())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 30
