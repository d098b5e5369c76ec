"""Malformed and odd media, made here: each gives its sentence or its result, never a traceback or an empty success."""

import io
import random
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from repset.autolabel.inputs import find_media
from repset.autolabel.job import label_files
from repset.autolabel.work import Options, frames_of
from repset.errors import DataError
from repset.params import AutolabelParams
from repset.records import read_json, read_table
from repset.video import Image, encode_png, read_picture

W, H, N = 64, 48, 8
PARAMS = AutolabelParams(rule_set="default", model="full", min_visibility=0.5)


def pictures(count: int = N, width: int = W, height: int = H) -> list[Image]:
    """Noise that changes from frame to frame: nothing for a codec to leave out."""
    rng = np.random.default_rng(5)
    return [rng.integers(0, 255, (height, width, 3), np.uint8) for _ in range(count)]


def video(
    path: Path, images: list[Image] | None = None, codec: str = "libx264", pixels: str = "yuv420p", *,
    pts: list[int] | None = None, rotation: int = 0, aspect: Fraction | None = None, kind: str | None = None,
    options: dict[str, str] | None = None, alpha: bool = False,
) -> None:  # fmt: skip
    """Encode frames; `pts` in milliseconds."""
    images = pictures() if images is None else images
    with av.open(str(path), "w", format=kind, options={"movflags": "faststart"}) as out:
        stream = out.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if pts:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for number, image in enumerate(images):
            if alpha:
                image = np.dstack([image, np.full(image.shape[:2], 128, np.uint8)])
            frame = av.VideoFrame.from_ndarray(image, format="bgra" if alpha else "bgr24")
            frame.pts, frame.time_base = (pts[number], Fraction(1, 1000)) if pts else (number, Fraction(1, 25))
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def made(**about: Any) -> Callable[[Path], None]:
    """A builder of a video."""
    return lambda path: video(path, **about)


def raw(data: bytes | str) -> Callable[[Path], None]:
    """A builder of a file of these bytes."""
    return lambda path: void(path.write_bytes(data.encode() if isinstance(data, str) else data))


def void(_: object) -> None:
    """Nothing."""


def bytes_of(suffix: str, folder: Path, **about: Any) -> bytes:
    """A video file's bytes."""
    whole = folder / f".whole{suffix}"
    video(whole, **about)
    data = whole.read_bytes()
    whole.unlink()
    return data


def cut(share: float, **about: Any) -> Callable[[Path], None]:
    """A builder of the first part of a video."""

    def build(path: Path) -> None:
        data = bytes_of(path.suffix, path.parent, **about)
        path.write_bytes(data[: int(len(data) * share)])

    return build


def changed(change: Callable[[bytearray], None], **about: Any) -> Callable[[Path], None]:
    """A builder of a video with some bytes changed."""

    def build(path: Path) -> None:
        data = bytearray(bytes_of(path.suffix, path.parent, **about))
        change(data)
        path.write_bytes(data)

    return build


def zero_pictures(data: bytearray) -> None:
    """The coded pictures are gone, the index stands."""
    at = data.find(b"mdat") + 4
    data[at:] = bytes(len(data) - at)


def noise_pictures(data: bytearray) -> None:
    """Noise in place of the coded pictures."""
    at = data.find(b"mdat") + 4
    data[at:] = random.Random(1).randbytes(len(data) - at)


def lost_offsets(data: bytearray) -> None:
    """The index leads past the end of the file."""
    at = data.find(b"stco") + 12
    data[at : at + 4] = b"\x7f\xff\xff\xff"


def wild_index(data: bytearray) -> None:
    """The table of sizes is noise."""
    at = data.find(b"stsz") + 16
    data[at : at + 4 * N] = random.Random(2).randbytes(4 * N)


def no_codec(data: bytearray) -> None:
    """The codec's own header is noise."""
    at = data.find(b"avcC") + 4
    data[at : at + 24] = random.Random(3).randbytes(24)


def huge_track(data: bytearray) -> None:
    """The index states pictures of 65,535 by 65,535."""
    at = data.find(b"avc1") + 28
    data[at : at + 4] = b"\xff\xff\xff\xff"


def sound(path: Path, seconds: float = 1.0, kind: str | None = None) -> None:
    """Silence, and no picture."""
    with av.open(str(path), "w", format=kind) as out:
        stream = out.add_stream("pcm_s16le" if kind == "wav" else "aac", rate=8000)
        layout = {"format": "s16", "layout": "mono"} if kind == "wav" else {"format": "fltp", "layout": "mono"}
        kind_of = np.int16 if kind == "wav" else np.float32
        frame = av.AudioFrame.from_ndarray(np.zeros((1, int(8000 * seconds)), kind_of), **layout)
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode())


def no_frames(path: Path) -> None:
    """A whole index of a track with no picture in it."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = W, H, "yuv420p"
        out.start_encoding()


def two_sizes(path: Path) -> None:
    """A recording whose size changes half way."""
    one, two = (bytes_of(".ts", path.parent, images=pictures(N, w, h)) for w, h in ((W, H), (2 * W, 2 * H)))
    path.write_bytes(one + two)


def pillow(image: Pillow.Image, kind: str, **about: Any) -> bytes:
    """An image file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **about)
    return buffer.getvalue()


RGB = Pillow.fromarray(pictures(1)[0][..., ::-1])
JPEG, PNG = pillow(RGB, "JPEG"), pillow(RGB, "PNG")
PROGRESSIVE = pillow(RGB, "JPEG", progressive=True)


def thumbnailed() -> bytes:
    """A photo cut short whose small preview, in front, is whole."""
    return JPEG[:2] + b"\xff\xe1" + (len(JPEG) + 2).to_bytes(2) + JPEG + JPEG[2:-400]


def damaged_png() -> bytes:
    """A flipped byte among the pixels."""
    data = bytearray(PNG)
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


def sized_png(width: int, height: int) -> bytes:
    """A PNG whose header states another size."""
    import struct
    import zlib

    header = b"IHDR" + struct.pack(">II", width, height) + PNG[24:29]
    return PNG[:12] + header + struct.pack(">I", zlib.crc32(header)) + PNG[33:]


def sized_jpeg(width: int, height: int) -> bytes:
    """A JPEG whose header states another size."""
    at = JPEG.find(b"\xff\xc0") + 5
    return JPEG[:at] + height.to_bytes(2) + width.to_bytes(2) + JPEG[at + 4 :]


def turned_jpeg() -> bytes:
    """A photo of a phone held upright: to be turned by 90°."""
    exif = Pillow.Exif()
    exif[0x0112] = 6
    return pillow(RGB, "JPEG", exif=exif.tobytes())


def zipped() -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("clip.mp4", b"0" * 100)
    return buffer.getvalue()


def tiff16() -> bytes:
    """A TIFF of 16 bits a channel."""
    return bytes(cv2.imencode(".tif", pictures(1)[0].astype(np.uint16) * 257)[1])


BUILDERS: dict[str, Callable[[Path], None]] = {
    # --- files that are no video ---------------------------------------------------------------------------------
    "empty.mp4": raw(b""),
    "text.mp4": raw("three sets of ten\n" * 40),
    "noise.mp4": raw(random.Random(1).randbytes(4000)),
    "zeros.mov": raw(bytes(4000)),
    "page.mp4": raw("<!DOCTYPE html><html><body>404 not found</body></html>"),
    "answer.mp4": raw('{"error": "login required"}'),
    "archive.mp4": raw(zipped()),
    "paper.avi": raw(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"1 0 obj\n" * 50),
    "titles.mp4": raw("1\n00:00:01,000 --> 00:00:02,000\nSquat\n\n"),
    "playlist.mp4": raw("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"),
    "concat.mp4": raw("ffconcat version 1.0\nfile 'http://127.0.0.1:9/a.mp4'\n"),
    "session.mp4": raw("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"),
    "sound.mp4": sound,
    "sound_wav.mp4": lambda path: sound(path, kind="wav"),
    # --- videos that are damaged ---------------------------------------------------------------------------------
    "head_only.mp4": cut(0.01),
    "half.mp4": cut(0.5),
    "no_tail.mp4": cut(0.98),
    "head_of_mkv.mp4": lambda path: void(path.write_bytes(bytes_of(".mkv", path.parent)[:60])),
    "half.mkv": cut(0.5),
    "half.avi": cut(0.5, codec="mjpeg", pixels="yuvj420p"),
    "half.webm": cut(0.5, codec="libvpx-vp9"),
    "half.gif": cut(0.5, codec="gif", pixels="rgb8"),
    "half.ts": cut(0.5),
    "zero_pictures.mp4": changed(zero_pictures),
    "noise_pictures.mp4": changed(noise_pictures),
    "lost_offsets.mp4": changed(lost_offsets),
    "wild_index.mp4": changed(wild_index),
    "no_codec.mp4": changed(no_codec),
    "huge_track.mp4": changed(huge_track),
    "no_frames.mp4": no_frames,
    # --- videos that are odd -------------------------------------------------------------------------------------
    "one_frame.mp4": made(images=pictures(1)),
    "two_frames.mp4": made(images=pictures(2)),
    "odd_size.mp4": made(images=pictures(N, 65, 49), pixels="yuv444p"),
    "tiny.mp4": made(images=pictures(N, 2, 2)),
    "strip.mp4": made(images=pictures(N, 16, 400)),
    "ten_bit.mp4": made(pixels="yuv420p10le"),
    "ten_bit.mov": made(codec="prores_ks", pixels="yuv422p10le"),
    "alpha.mov": made(codec="png", pixels="rgba", alpha=True),
    "alpha.webm": made(codec="libvpx-vp9", pixels="yuva420p", alpha=True),
    "grey.mkv": made(codec="ffv1", pixels="gray"),
    "grey16.mkv": made(codec="ffv1", pixels="gray16le"),
    "variable_rate.mkv": made(pts=[0, 20, 40, 200, 220, 900, 910, 2000]),
    "long_pause.mkv": made(pts=[0, 40, 80, 120, 4_000_000, 4_000_040, 4_000_080, 4_000_120]),
    "upright.mp4": made(rotation=90),
    "upside_down.mp4": made(rotation=180),
    "askew.mp4": made(rotation=30),
    "wide_pixels.mp4": made(aspect=Fraction(2, 1)),
    "two_sizes.ts": two_sizes,
    "moving.gif": made(codec="gif", pixels="rgb8"),
    "still.gif": made(images=pictures(1), codec="gif", pixels="rgb8"),
    "old.mpg": made(codec="mpeg1video"),
    "old.avi": made(codec="mpeg4"),
    "raw.avi": made(codec="rawvideo", pixels="bgr24"),
    "old.wmv": made(codec="wmv2"),
    "old.flv": made(codec="flv1"),
    "interlaced.mpg": made(codec="mpeg2video", options={"flags": "+ildct+ilme"}),
    "avi_in_name.avi": made(kind="mp4"),
    "photo.mp4": raw(JPEG),
    # --- pictures ------------------------------------------------------------------------------------------------
    "empty.jpg": raw(b""),
    "text.png": raw("three sets of ten"),
    "video.jpg": made(kind="mp4"),
    "half.jpg": raw(JPEG[: len(JPEG) // 2]),
    "half_progressive.jpg": raw(PROGRESSIVE[: len(PROGRESSIVE) * 2 // 3]),
    "half_with_thumbnail.jpg": raw(thumbnailed()),
    "half.png": raw(PNG[: len(PNG) // 2]),
    "damaged.png": raw(damaged_png()),
    "half.bmp": raw(pillow(RGB, "BMP")[:3000]),
    "half.webp": raw(pillow(RGB, "WEBP")[:900]),
    "half.tif": raw(pillow(RGB, "TIFF")[:3000]),
    "huge.png": raw(sized_png(200_000, 200_000)),
    "large.png": raw(sized_png(30_000, 30_000)),
    "huge.jpg": raw(sized_jpeg(65_000, 65_000)),
    "no_size.png": raw(sized_png(0, 0)),
    "cmyk.jpg": raw(pillow(RGB.convert("CMYK"), "JPEG")),
    "grey.jpg": raw(pillow(RGB.convert("L"), "JPEG")),
    "progressive.jpg": raw(PROGRESSIVE),
    "turned.jpg": raw(turned_jpeg()),
    "motion_photo.jpg": raw(JPEG + random.Random(4).randbytes(60_000)),
    "png_in_name.png": raw(JPEG),
    "sixteen_bit.png": raw(encode_png(pictures(1)[0].astype(np.uint16) * 257)),  # type: ignore[arg-type]
    "alpha.png": raw(pillow(RGB.convert("RGBA"), "PNG")),
    "palette.png": raw(pillow(RGB.convert("P"), "PNG")),
    "one_bit.png": raw(pillow(RGB.convert("1"), "PNG")),
    "grey_alpha.png": raw(pillow(RGB.convert("LA"), "PNG")),
    "one_pixel.png": raw(pillow(RGB.crop((0, 0, 1, 1)), "PNG")),
    "strip.png": raw(pillow(RGB.resize((3000, 2)), "PNG")),
    "moving.webp": raw(pillow(RGB, "WEBP", save_all=True, append_images=[RGB.rotate(9)])),
    "pages.tif": raw(pillow(RGB, "TIFF", save_all=True, append_images=[RGB.rotate(9)])),
    "sixteen_bit.tif": raw(tiff16()),
    "plain.bmp": raw(pillow(RGB, "BMP")),
}

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
    "head_of_mkv.mp4": VIDEO.format("input/output error"),
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
    assert len(BUILDERS) == 90
    for name, row in rows.items():
        if name in SENTENCES:
            assert (row["status"], row["reason"]) == ("error", sentence(folder / name))
        else:  # noise holds nobody, and that is said
            assert (row["status"], row["reason"]) == ("no_person", "no person was found in any frame")
            assert not row["reps"]
    assert read_json(out / "job.json")["status"] == {"error": len(SENTENCES), "no_person": 90 - len(SENTENCES)}
    poses = read_table(out / "poses.parquet", "poses", ["sample_id"])
    assert poses.num_rows == sum(result(name)[0] for name in BUILDERS if name not in SENTENCES)
