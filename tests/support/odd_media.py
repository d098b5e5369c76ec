"""Malformed and odd media files, made here: `BUILDERS` has one function a file name."""

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
from PIL import Image as Pillow

from repset.video import Image, encode_png

W, H, N = 64, 48, 8


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


def zipped(hour: int, minute: int) -> bytes:
    """A zip archive of a file of this time, which stands in its first bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("clip.mp4", (2026, 11, 22, hour, minute, 0)), b"0" * 100)
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
    "archive.mp4": raw(zipped(0, 0)),
    "archive_like_video.mp4": raw(zipped(8, 56)),  # to FFmpeg the beginning of another format
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
