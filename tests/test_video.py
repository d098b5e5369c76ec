"""Video in and out: one frame for one frame, upright, at its own time; a broken file is one sentence."""

import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from repset.errors import DataError
from repset.video import Image, VideoInfo, probe_video, read_video, write_video


def frames(count: int, width: int = 320, height: int = 240) -> list[Image]:
    """Grey frames with a white square in the top left corner; the grey level tells the frame's number."""
    images = [np.full((height, width, 3), 20 + 5 * number, np.uint8) for number in range(count)]
    for image in images:
        image[:60, :80] = 255
    return images


def encode(path: Path, images: list[Image], *, pts: list[int] | None = None, rotation: int = 0,
           aspect: Fraction | None = None, sound: bool = False) -> Path:  # fmt: skip
    """A file with what `write_video` never writes: stated times (1/1000 s), rotation, pixel aspect, a sound track."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = pts[number] if pts else round(number * 1000 / 30), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def sound_only(path: Path) -> Path:
    """A second of silence."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def corners(image: Image) -> list[bool]:
    """Whether the corners are white: top left, top right, bottom right, bottom left."""
    return [bool(image[y, x].min() > 200) for y, x in ((20, 20), (20, -20), (-20, -20), (-20, 20))]


def test_written_video_has_every_frame_once_at_a_constant_rate(tmp_path: Path) -> None:
    path = write_video(tmp_path / "out.mp4", iter(frames(40)), 24.0)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.frames, stream.average_rate) == (320, 240, 40, 24)
    decoded = list(read_video(path))
    assert [round(time_s * 24, 6) for time_s, _ in decoded] == list(range(40))
    # FFmpeg's fast converter to RGB darkens by up to 4 of 255; the frames differ by 5.
    assert [round((int(image[200, 200, 2]) + 3 - 20) / 5) for _, image in decoded] == list(range(40))


def test_index_stands_before_the_pictures_so_that_a_browser_starts_at_once(tmp_path: Path) -> None:
    data = write_video(tmp_path / "out.mp4", frames(5), 30).read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


def test_odd_size_loses_its_last_row_and_column(tmp_path: Path) -> None:
    path = write_video(tmp_path / "odd.mp4", frames(3, 321, 241), 30)
    assert probe_video(path) == VideoInfo(320, 240, 30.0, 3)


def test_no_frame_to_write_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        write_video(tmp_path / "none.mp4", [], 30)
    assert list(tmp_path.iterdir()) == []


def test_rgb_is_bgr_reversed(tmp_path: Path) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0] = 255  # blue
    path = write_video(tmp_path / "blue.mp4", [image] * 2, 30)
    (_, bgr), (_, rgb) = next(read_video(path)), next(read_video(path, rgb=True))
    assert bgr[32, 32].argmax() == 0
    assert rgb[32, 32].argmax() == 2


@pytest.mark.parametrize(
    ("rotation", "white"),
    [
        (0, [True, False, False, False]),
        (90, [False, False, False, True]),  # turned counter-clockwise: the top left corner comes to the bottom left
        (180, [False, False, True, False]),
        (-90, [False, True, False, False]),
    ],
)
def test_phone_rotation_is_applied(tmp_path: Path, rotation: int, white: list[bool]) -> None:
    path = encode(tmp_path / "phone.mp4", frames(3), rotation=rotation)
    size = (240, 320) if rotation in (90, -90) else (320, 240)
    _, image = next(read_video(path))
    assert (image.shape[1], image.shape[0]) == size
    assert corners(image) == white
    assert (probe_video(path).width, probe_video(path).height) == size


def test_pixels_that_are_not_square_are_made_square(tmp_path: Path) -> None:
    path = encode(tmp_path / "wide.mp4", frames(3), aspect=Fraction(4, 3))
    assert next(read_video(path))[1].shape == (240, 427, 3)
    assert probe_video(path).width == 427


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    pts = [0, 33, 66, 266, 299, 999]
    path = encode(tmp_path / "vfr.mp4", frames(6), pts=pts)
    assert [round(time_s * 1000) for time_s, _ in read_video(path)] == pts


def test_times_are_counted_from_the_first_frame(tmp_path: Path) -> None:
    path = encode(tmp_path / "late.mkv", frames(3), pts=[5000, 5040, 5080])
    assert [round(time_s * 1000) for time_s, _ in read_video(path)] == [0, 40, 80]


def test_truncated_video_is_one_sentence(tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    images = [noise.integers(0, 255, (240, 320, 3), np.uint8) for _ in range(30)]
    data = write_video(tmp_path / "whole.mp4", images, 30).read_bytes()
    path = tmp_path / "half.mp4"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError) as caught:
        list(read_video(path))
    assert str(caught.value) == (
        f"{path}: expected a video that decodes to its end, found damaged data after 0.4 s. "
        "Copy, download or export it again."
    )


def test_video_that_ends_before_its_stated_length_is_one_sentence(tmp_path: Path) -> None:
    whole = encode(tmp_path / "whole.mkv", frames(90)).read_bytes()
    clusters = [at for at in range(len(whole)) if whole[at : at + 4] == b"\x1f\x43\xb6\x75"]
    path = tmp_path / "short.mkv"
    path.write_bytes(whole[: clusters[len(clusters) // 2]])
    with pytest.raises(DataError) as caught:
        list(read_video(path))
    assert str(caught.value) == (
        f"{path}: expected 3.0 s of video as its header says, found an end after 1.6 s. Copy or download it again."
    )


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("text.mp4", b"three sets of ten\n" * 50, "a file of another kind"),
        ("zero.mp4", b"", "an empty file"),
        ("noise.mp4", random.Random(1).randbytes(4000), "a file of another kind"),
    ],
)
def test_file_that_is_no_video_is_one_sentence(tmp_path: Path, name: str, content: bytes, found: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for read in (probe_video, lambda file: next(read_video(file))):
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value) == (
            f"{path}: expected a video file, found {found}. Check that it plays, or leave it out."
        )


def test_sound_without_pictures_is_one_sentence(tmp_path: Path) -> None:
    path = sound_only(tmp_path / "music.mp4")
    with pytest.raises(DataError) as caught:
        probe_video(path)
    assert str(caught.value) == (
        f"{path}: expected a video file, found no video stream. Check that it plays, or leave it out."
    )


@pytest.mark.real
def test_every_real_clip_gives_the_frames_its_manifest_counts(shared_data: Path) -> None:
    for name, size, fps, count in (("squat_1", (720, 1280), 5.0, 65), ("bicep_curl_1", (522, 294), 30.0, 67)):
        path = shared_data / "videos" / f"{name}.mp4"
        assert probe_video(path) == VideoInfo(*size, fps, count)
        assert sum(1 for _ in read_video(path)) == count


def test_a_film_is_the_same_bytes_whatever_was_encoded_before(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
import numpy as np
from repset.video import write_video
y, x = np.mgrid[:120, :160]
film = [np.uint8(np.stack([x + 7 * t, y * t // 2, (x * y) // 40 + 3 * t], -1) % 256) for t in range(40)]
for name in ("first.mp4", "second.mp4"):
    write_video(Path(sys.argv[1]) / name, iter(film), 30.0)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    assert (tmp_path / "first.mp4").read_bytes() == (tmp_path / "second.mp4").read_bytes()
