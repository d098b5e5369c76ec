"""Malformed and odd media, made here: each gives its sentence or its result, never a traceback or an empty success."""

import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from odd_media import BUILDERS, H, N, W, pillow, video
from PIL import Image as Pillow

from repset.autolabel.inputs import find_media
from repset.autolabel.job import label_files
from repset.autolabel.work import Options, frames_of
from repset.errors import DataError
from repset.params import AutolabelParams
from repset.records import read_json, read_table
from repset.video import read_picture

PARAMS = AutolabelParams(rule_set="default", model="full", min_visibility=0.5)

VIDEO, PLAYS = "expected a video file, found {}. Check that it plays, or leave it out.", "a file of another kind"
DECODES = "expected a video that decodes to its end, found {}. Copy, download or export it again."
FRAMES = "expected a video with frames, found none. Check that it plays, or leave it out."
OPENS = "expected a JPEG or PNG image, found {} bytes that do not decode. Check that it opens, or leave it out."
WHOLE = "expected a whole image, found {} bytes that break off. Copy or download it again."
LARGE = "expected an image of at most 256 megapixels, found {}. Scale it down."

SENTENCES: dict[str, str] = {
    "empty.mp4": VIDEO.format("an empty file"),
    "text.mp4": VIDEO.format(PLAYS),
    "noise.mp4": VIDEO.format(PLAYS),
    "zeros.mov": VIDEO.format(PLAYS),
    "page.mp4": VIDEO.format(PLAYS),
    "answer.mp4": VIDEO.format(PLAYS),
    "archive.mp4": VIDEO.format(PLAYS),
    "archive_like_video.mp4": VIDEO.format(PLAYS),
    "paper.avi": VIDEO.format(PLAYS),
    "titles.mp4": VIDEO.format("no video stream"),
    "playlist.mp4": VIDEO.format(PLAYS),
    "concat.mp4": VIDEO.format("a list of files elsewhere"),
    "session.mp4": VIDEO.format(PLAYS),
    "sound.mp4": VIDEO.format("no video stream"),
    "sound_wav.mp4": VIDEO.format("no video stream"),
    "head_only.mp4": VIDEO.format("no video stream"),
    "half.mp4": DECODES.format("damaged data after 0.0 s"),
    "no_tail.mp4": DECODES.format("damaged data after 0.2 s"),
    "head_of_mkv.mp4": VIDEO.format("a file that breaks off or cannot be read"),
    "half.avi": "expected 8 frames as its header says, found 2. Copy or download it again.",
    "zero_pictures.mp4": DECODES.format("damaged data after 0.0 s"),
    "noise_pictures.mp4": DECODES.format("damaged data after 0.0 s"),
    "lost_offsets.mp4": FRAMES,
    "wild_index.mp4": FRAMES,
    "no_codec.mp4": DECODES.format("damaged data after 0.0 s"),
    "no_frames.mp4": VIDEO.format("no video stream"),
    "empty.jpg": OPENS.format(0),
    "text.png": OPENS.format(17),
    "video.jpg": OPENS.format("{size}"),
    "half.jpg": WHOLE.format("{size}"),
    "half_progressive.jpg": WHOLE.format("{size}"),
    "half_with_thumbnail.jpg": WHOLE.format("{size}"),
    "half.png": WHOLE.format("{size}"),
    "damaged.png": OPENS.format("{size}"),
    "half.bmp": OPENS.format(3000),
    "half.webp": OPENS.format(900),
    "half.tif": OPENS.format(3000),
    "huge.png": LARGE.format("200000 × 200000"),
    "large.png": LARGE.format("30000 × 30000"),
    "huge.jpg": LARGE.format("65000 × 65000"),
    "no_size.png": OPENS.format("{size}"),
}
"""Everything that is no media, or broken: what is said of it. All others give a result."""

RESULTS: dict[str, tuple[int, int, int]] = {
    "half.mkv": (3, W, H),  # Matroska, WebM, GIF and TS play what is there; half a second is not missed
    "half.webm": (3, W, H),
    "half.gif": (4, W, H),
    "half.ts": (4, W, H),
    "one_frame.mp4": (1, W, H),
    "two_frames.mp4": (2, W, H),
    "odd_size.mp4": (N, 65, 49),
    "tiny.mp4": (N, 2, 2),
    "strip.mp4": (N, 16, 400),
    "upright.mp4": (N, H, W),
    "wide_pixels.mp4": (N, 2 * W, H),
    "two_sizes.ts": (2 * N, W, H),
    "still.gif": (1, W, H),
    "photo.mp4": (1, W, H),
    "turned.jpg": (1, H, W),
    "one_pixel.png": (1, 1, 1),
    "strip.png": (1, 3000, 2),
}
"""Frames, width and height where they are not N, W and H (a picture: one frame)."""

OPTIONS = Options("squat", "default", "full", 0.5, Path())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them."""
    path = tmp_path_factory.mktemp("odd") / "media"
    path.mkdir()
    for name, build in BUILDERS.items():
        build(path / name)
    return path


def sentence(path: Path) -> str:
    return f"{path}: {SENTENCES[path.name].format(size=path.stat().st_size)}"


def result(name: str) -> tuple[int, int, int]:
    picture = name.rsplit(".", 1)[1] in ("jpg", "png", "webp", "tif", "bmp")
    return RESULTS.get(name, (1 if picture else N, W, H))


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_each_file_gives_its_sentence_or_its_frames(folder: Path, name: str) -> None:
    path = folder / name
    try:
        found = find_media([path])
        task = found.tasks[0] if found.tasks else None
        if task is None:
            said = found.problems[0].reason
        elif task.kind == "image":
            images, said = [read_picture(task.path)], ""
        else:
            images, said = [image for _, image in frames_of(task, OPTIONS)], ""
    except DataError as error:
        said = str(error)
    assert said == (sentence(path) if name in SENTENCES else "")
    if not said:
        assert (len(images), images[0].shape[1], images[0].shape[0]) == result(name)
        assert all(image.dtype == np.uint8 and image.shape == images[0].shape for image in images)


@pytest.mark.parametrize(
    "name", ["ten_bit.mp4", "ten_bit.mov", "alpha.mov", "raw.avi", "old.avi", "cmyk.jpg", "sixteen_bit.png",
             "sixteen_bit.tif", "alpha.png", "moving.webp", "motion_photo.jpg"]
)  # fmt: skip
def test_colours_survive_the_format(tmp_path: Path, name: str) -> None:
    """Orange, which no exchange of channels, depth or inversion leaves as it is."""
    orange = np.full((H, W, 3), (0, 128, 255), np.uint8)
    path = tmp_path / name
    picture = Pillow.fromarray(orange[..., ::-1])
    about: dict[str, dict[str, Any]] = {
        "ten_bit.mp4": {"pixels": "yuv420p10le"},
        "ten_bit.mov": {"codec": "prores_ks", "pixels": "yuv422p10le"},
        "alpha.mov": {"codec": "png", "pixels": "rgba", "alpha": True},
        "raw.avi": {"codec": "rawvideo", "pixels": "bgr24"},
        "old.avi": {"codec": "mpeg4"},
    }
    if name in about:
        video(path, [orange] * 3, **about[name])
        images = [image for _, image in frames_of(find_media([path]).tasks[0], OPTIONS)]
    else:
        pictures_of: dict[str, bytes] = {
            "cmyk.jpg": pillow(picture.convert("CMYK"), "JPEG"),
            "sixteen_bit.png": bytes(cv2.imencode(".png", orange.astype(np.uint16) * 257)[1]),
            "sixteen_bit.tif": bytes(cv2.imencode(".tif", orange.astype(np.uint16) * 257)[1]),
            "alpha.png": pillow(picture.convert("RGBA"), "PNG"),
            "moving.webp": pillow(picture, "WEBP", save_all=True, append_images=[picture.rotate(9)]),
            "motion_photo.jpg": pillow(picture, "JPEG") + random.Random(4).randbytes(9_000),
        }
        path.write_bytes(pictures_of[name])
        images = [read_picture(path)]
    for image in images:
        assert np.abs(image[8:-8, 8:-8].reshape(-1, 3).mean(0) - (0, 128, 255)).max() < 12


def test_times_of_odd_clocks_are_the_files_own(folder: Path) -> None:
    def times(name: str) -> list[int]:
        return [round(time_s * 1000) for time_s, _ in frames_of(find_media([folder / name]).tasks[0], OPTIONS)]

    assert times("variable_rate.mkv") == [0, 20, 40, 200, 220, 900, 910, 2000]
    assert times("long_pause.mkv") == [0, 40, 80, 120, 4_000_000, 4_000_040, 4_000_080, 4_000_120]
    assert times("old.mpg") == [0, 40, 80, 120, 160, 200, 240, 280]
    assert times("moving.gif") == [0, 40, 80, 120, 160, 200, 240, 280]


@pytest.mark.pose
def test_job_over_all_of_them_leaves_none_out(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("REPSET_ROOT", str(tmp_path))
    out = tmp_path / "out"
    report = label_files([folder], out, PARAMS, exercise="squat", jobs=2, on_error="skip")
    rows = {row["media"].removeprefix("media/"): row for row in report.summary}
    assert sorted(rows) == sorted(BUILDERS)
    assert len(BUILDERS) == 91
    for name, row in rows.items():
        if name in SENTENCES:
            assert (row["status"], row["reason"]) == ("error", sentence(folder / name))
        else:  # noise holds nobody, and that is said
            assert (row["status"], row["reason"]) == ("no_person", "no person was found in any frame")
            assert not row["reps"]
    assert read_json(out / "job.json")["status"] == {"error": len(SENTENCES), "no_person": 91 - len(SENTENCES)}
    poses = read_table(out / "poses.parquet", "poses", ["sample_id"])
    assert poses.num_rows == sum(result(name)[0] for name in BUILDERS if name not in SENTENCES)
