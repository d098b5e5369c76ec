"""Our values as Label Studio writes them, and back: brush masks, points in percent, choices, frame ranges.

Pure conversions without a server or a project. Label Studio's brush is the run-length code of thi.ng/rle-pack over an
image of H × W × 4 bytes (red, green, blue, alpha; row-major), of which only alpha is the mask; points are percent of
the image's size; video frames count from 1 and a range includes its last frame (seen in version 1.23.2).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from repset.errors import RepsetError

Mask = npt.NDArray[np.bool_]

WORD_BITS, SIZE_BITS = 8, (3, 4, 8, 16)
"""Bits of a value and of the four run lengths, as Label Studio's own encoder states them in the header."""

SOLID = 127
"""Alpha above this is mask: a brush stroke drawn in the browser has soft edges (1..254), a mask sent is 0 or 255."""

_HEADER_BITS = 32 + 5 + 4 * 4


class ValueFault(RepsetError):
    """A value from Label Studio that says nothing usable; the message is a noun phrase of what was found."""


def rle_from_mask(mask: Mask) -> list[int]:
    """A mask as Label Studio's brush: bytes as integers.

    Args:
        mask: shape (H, W), at least one pixel.
    """
    return list(rle_bytes(mask))


def rle_bytes(mask: Mask) -> bytes:
    """A mask as run-length code; Label Studio's own decoder gives 255 in all four channels where the mask is set.

    Args:
        mask: shape (H, W), at least one pixel.
    """
    flat = np.ascontiguousarray(mask).reshape(-1)
    if not flat.size:
        raise ValueError("a mask without pixels")
    starts = _starts(flat)
    lengths = np.diff(starts, append=flat.size) * 4
    longest = 1 << SIZE_BITS[-1]
    pieces = -(-lengths // longest)
    run = np.repeat(np.full(len(pieces), longest), pieces)
    last = np.cumsum(pieces) - 1
    run[last] = lengths - (pieces - 1) * longest
    value = np.repeat(np.where(flat[starts], 255, 0), pieces)
    which = np.searchsorted(np.array([1 << bits for bits in SIZE_BITS]), run)
    size_bits = np.array(SIZE_BITS)[which]
    code = ((((4 | which) << size_bits) | (run - 1)) << WORD_BITS) | value
    width = 3 + size_bits + WORD_BITS  # of each code, at most 27 bits: in front of a word of 32
    bits = np.unpackbits((code << (32 - width)).astype(">u4").view(np.uint8)).reshape(-1, 32)
    header = f"{flat.size * 4:032b}{WORD_BITS - 1:05b}" + "".join(f"{bits - 1:04b}" for bits in SIZE_BITS)
    whole = np.concatenate([np.frombuffer(header.encode(), np.uint8) - ord("0"), bits[np.arange(32) < width[:, None]]])
    return np.packbits(whole).tobytes()


def _starts(flat: Mask) -> npt.NDArray[np.int64]:
    """Where a run of equal pixels begins; looked for only between the first pixel of the mask and the last."""
    pixels = flat.tobytes()
    first, end = pixels.find(1), pixels.rfind(1) + 1
    if first < 0:
        return np.zeros(1, np.int64)
    inside = flat[first:end]
    found = np.flatnonzero(inside[1:] != inside[:-1]) + first + 1
    head = [0, first] if first else [0]
    return np.concatenate([head, found, [end] if end < flat.size else []]).astype(np.int64)


_NUMBERS = np.array([f"{number},".encode() for number in range(256)])


def numbers_text(data: bytes) -> str:
    """Bytes as a JSON list of integers, without spaces: ten times as fast as through `json`."""
    return f"[{_NUMBERS[np.frombuffer(data, np.uint8)].tobytes().translate(None, bytes(1))[:-1].decode()}]"


def mask_from_rle(rle: Any, width: int, height: int) -> Mask:
    """The mask of a brush region, shape (height, width).

    Args:
        rle: list of bytes as integers, from anywhere; width, height: of the image, in pixels.
    Raises: ValueFault if it is no run-length code, breaks off, or belongs to an image of another size.
    """
    try:
        data = bytes(rle)
    except (TypeError, ValueError) as error:
        raise ValueFault("a brush that is no list of bytes") from error
    if len(data) * 8 < _HEADER_BITS:
        raise ValueFault("a brush that breaks off")
    head = int.from_bytes(data[:7], "big") >> (7 * 8 - _HEADER_BITS)
    count, word = head >> 21, (head >> 16 & 31) + 1
    sizes = [(head >> shift & 15) + 1 for shift in (12, 8, 4, 0)]
    if count != width * height * 4:
        raise ValueFault(f"a brush of {count // 4} pixels for an image of {width} × {height}")
    if word != WORD_BITS:
        raise ValueFault(f"a brush of {word}-bit values")
    out = _unpack(data, count, sizes)
    alpha = out.reshape(height, width, 4)[:, :, 3]
    return np.asarray(alpha > SOLID)


def _unpack(data: bytes, count: int, sizes: Sequence[int]) -> npt.NDArray[np.uint8]:
    """The values of a run-length code after its header."""
    out = np.empty(count, np.uint8)
    bits: npt.NDArray[np.uint8] | None = None
    end, padded, done, at = len(data) * 8, data + bytes(8), 0, _HEADER_BITS
    while done < count:
        window = int.from_bytes(padded[at >> 3 : (at >> 3) + 6], "big") >> (8 - (at & 7))  # 40 bits from `at`
        size = sizes[window >> 37 & 3]
        length = (window >> (37 - size) & ((1 << size) - 1)) + 1
        repeated = window >> 39 & 1
        at += 3 + size
        if done + length > count or at + (WORD_BITS if repeated else WORD_BITS * length) > end:
            raise ValueFault("a brush that breaks off" if done + length <= count else "a brush that runs over its end")
        if repeated:
            out[done : done + length] = int.from_bytes(padded[at >> 3 : (at >> 3) + 2], "big") >> (8 - (at & 7)) & 255
            at += WORD_BITS
        else:
            bits = np.unpackbits(np.frombuffer(data, np.uint8)) if bits is None else bits
            out[done : done + length] = np.packbits(bits[at : at + WORD_BITS * length])
            at += WORD_BITS * length
        done += length
    return out


def percent(xy_px: Sequence[float], width: int, height: int) -> tuple[float, float]:
    """A point in pixels as percent of the image's size."""
    return float(xy_px[0]) / width * 100.0, float(xy_px[1]) / height * 100.0


def pixels(x: Any, y: Any, width: int, height: int) -> tuple[float, float]:
    """A point in percent as pixels. Raises: ValueFault if it is no point of the image (edges belong to it)."""
    if not (_is_number(x) and _is_number(y)):
        raise ValueFault("a point without numbers")
    if not (0 <= x <= 100 and 0 <= y <= 100):
        raise ValueFault(f"a point at {x:g} %, {y:g} %, outside the image")
    return float(x) * width / 100.0, float(y) * height / 100.0


def range_from_frames(start: int, end: int) -> dict[str, int]:
    """Frames [start, end), from 0, as Label Studio's range: from 1, its last frame included."""
    return {"start": start + 1, "end": end}


def frames_from_range(ranges: Any, frames: int, slack: int = 0) -> tuple[int, int]:
    """Label Studio's range as frames [start, end), from 0.

    Args:
        frames: of the clip; slack: frames past its end that are cut off without complaint, because a browser counts
            a clip's frames from the container's length (a longer sound track adds some).
    Raises: ValueFault for anything but one range inside the clip.
    """
    if not isinstance(ranges, list) or len(ranges) != 1 or not isinstance(ranges[0], dict):
        raise ValueFault("a segment without its one range")
    start: Any = ranges[0].get("start")
    end: Any = ranges[0].get("end")
    if not (_is_whole(start) and _is_whole(end)):
        raise ValueFault("a segment without whole frame numbers")
    if not (1 <= start <= end and start <= frames and end <= frames + slack):
        raise ValueFault(f"a segment of frames {start:g} to {end:g} in a clip of {frames}")
    return int(start) - 1, min(int(end), frames)


def one_choice(value: Any, known: Sequence[str]) -> str:
    """The one choice of a Choices or Labels value. Raises: ValueFault for several, none or an unknown one."""
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], str):
        raise ValueFault(f"{len(value) if isinstance(value, list) else 'no'} choices where one is meant")
    if value[0] not in known:
        raise ValueFault(f"the unknown label {value[0][:60]!r}")
    return value[0]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _is_whole(value: Any) -> bool:
    return _is_number(value) and float(value).is_integer()
