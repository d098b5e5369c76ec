"""Pickles, lists, arrays and MATLAB files made to harm whoever reads them, each beside a harmless one; seeded."""

import io
import os
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from hostile_archives import Attack, Rng, word

from repset.video import write_video

# --- pickles ------------------------------------------------------------------------------------------------------


class _Calls:
    def __init__(self, *made: Any) -> None:
        self.made = made

    def __reduce_ex__(self, protocol: int) -> Any:
        return self.made


def _lists(rng: Rng, labels: bytes, paths: bytes | None = None) -> dict[str, Any]:
    return {"a/1.mp4": write_clip, "train_paths.pkl": paths or pickle.dumps(["/x/a/1.mp4"]), "train_labels.pkl": labels}


def write_clip(path: Path) -> None:
    write_video(path, [np.full((32, 48, 3), 20 * n, np.uint8) for n in range(2)], 12.0)


def _pickles(says: str, rng: Rng, labels: bytes, paths: bytes | None = None, good: Any = ((3, 4),)) -> Attack:
    benign = _lists(rng, pickle.dumps(list(good), int(rng.integers(0, 6))))
    return Attack(says, _lists(rng, labels, paths), benign, family="muscle_video", archive=False)


def calling_pickles(n: int, rng: Rng) -> Attack:
    """Pickles of every protocol that import, call, build an object or ask for one outside."""
    called = [(os.system, ("exit",)), (eval, ("1",)), (getattr, ("x", "upper")), (Path, (".",)), (bytearray, (b"x",))][
        n % 5
    ]
    if n < 6:
        data, operation = pickle.dumps([_Calls(*called)], n), "STACK_GLOBAL" if n > 3 else "GLOBAL "
    else:
        data = [b"(ios\nsystem\n(S'exit'\no.", b"Pan id\n.", b"\x80\x02\x82\x01.", b"(cbuiltins\neval\nS'1'\no."][n - 6]
        operation = ["INST", "PERSID", "EXT1", "GLOBAL builtins eval"][n - 6]
    return _pickles(f"whole numbers alone, found the operation {operation}", rng, data)


def swollen_pickles(n: int, rng: Rng) -> Attack:
    """A few bytes that stand for gigabytes, or take hours to walk through."""
    alone, other = "strings and whole numbers alone, found ", "of lists of group numbers, found something else"
    many = int(rng.integers(200, 900))
    own = b"]q\x00h\x00a."  # a list that holds itself
    data, says = [
        (b"\x80\x04]r\xff\xff\xff\x7f.", alone + "a memo of 2,147,483,647 places"),
        (b"]p999999999\n.", alone + "a memo of 999,999,999 places"),
        (b"\x80\x04\x8d" + struct.pack("<Q", 1 << 50) + b"x.", alone + "one that is damaged"),
        (b"\x80\x04\x8b" + struct.pack("<i", (1 << 31) - 1) + b"1.", alone + "one that is damaged"),
        (pickle.dumps({2**61 * k - k: 0 for k in range(many)}), alone + "the operation EMPTY_DICT"),
        (pickle.dumps([[1] * 1000] * many), other),  # a million numbers, named again and again
        (own, other),
        (b"(" * many + b"l" * many + b".", other),
        (b"L" + b"9" * 5000 + b"L\n.", alone + "one that is damaged"),
        (b"(" + b"I1\n" * many, alone + "one that is damaged"),
    ][n]
    return _pickles(says, rng, data)


def wrong_lists(n: int, rng: Rng) -> Attack:
    """Paths that lead elsewhere, groups that do not exist: a video is one of this set, whatever a list says."""
    path = ["/etc/passwd", "../../../etc/passwd", "/x/../../b.mp4", "C:\\b.mp4", "", "/", "b\x1b[2J.mp4", "~/b.mp4"][
        n % 8
    ]
    if n < 8:
        return _pickles(
            f", row 0: expected one video {path[-80:]!r}, found no such file",
            rng,
            pickle.dumps([[1]]),
            pickle.dumps([path]),
        )
    return _pickles(
        f"expected groups 0 to 19, found {[-1, 2**70][n - 8]}"[:50], rng, pickle.dumps([[[-1, 2**70][n - 8]]])
    )


def official_lists(n: int, rng: Rng) -> Attack:
    good = b"Squat/a.avi 1\n"
    rows, says = [
        (b"\xff\xfe\x00", "found a file that is no text"),
        (good * 2, "each video once"),
        (b"a.avi 1\n", "line 2: expected rows"),
        (b" \t x\n", "line 2: expected rows"),
        (b"/ 1\n", "line 2: expected rows"),
        (b"\x1b[2J 1\n", "line 2: expected rows"),
        (b"../../Squat/b.avi 1\n", "expected the video b, found no such file"),
        (b"Squat/b.avi\n", "expected the video b"),
        (b"Squat/" + b"9" * 5000 + b".avi 1\n", "expected the video 9"),
        (b"\n" * 5000 + b"x 1\n", "line 5002: "),
    ][n]
    files = {"Squat/a.avi": write_clip_avi}
    hostile, benign = ({**files, "trainlist01.txt": text} for text in (good + rows, good))
    return Attack(says, hostile, benign, family="muscle_video", format="ucf101", archive=False)


def write_clip_avi(path: Path) -> None:
    write_clip(path.with_suffix(".mp4"))
    path.with_suffix(".mp4").rename(path)


# --- arrays -------------------------------------------------------------------------------------------------------


def _npy(array: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def _npy_header(text: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    form = "<H" if version[0] == 1 else "<I"
    return (
        b"\x93NUMPY"
        + version
        + struct.pack(form, len(text) % (65536 if version[0] == 1 else 1 << 32))
        + text.encode()
        + data
    )


def _mmfit(says: str, array: bytes) -> Attack:
    poses = np.zeros((2, 3, 19))
    poses[:, :, 0] = [1, 2, 3]
    labels = {"w00/w00_labels.csv": b"1,3,1,squats\n"}
    hostile, benign = (labels | {"w00/w00_pose_2d.npy": data} for data in (array, _npy(poses)))
    return Attack(says, {**hostile}, {**benign}, archive=False)


NO_ARRAY = "found a file that is no whole NumPy array"


def object_arrays(n: int, rng: Rng) -> Attack:
    """Arrays whose numbers are pickles, plain or hidden in a record."""
    made: Any = _Calls(os.system, ("exit",))
    array = np.full((2, n + 1, 19), made, object) if n < 5 else np.zeros(n, [("a", "f8"), ("b", object)])
    return _mmfit(NO_ARRAY, _npy(array, allow_pickle=True))


def lying_arrays(n: int, rng: Rng) -> Attack:
    """Headers that state terabytes, less than nothing, or an expression in place of a shape."""

    def head(shape: str, kind: str = "<f8") -> str:
        return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n"

    size = int(rng.integers(10**9, 10**15))
    text = [
        head(f"(2, {size}, 19)"),
        head("(-2, 3, -19)"),
        head(f"({size},)", "V0"),
        head("(2, 3, 19)"),
        head("(" * 90 + ")" * 90),
        head("-" * 5000 + "1"),
        head("__import__('os').system('exit')"),
        "{" * 3000,
        "x" * 60000,
        head("(2**9, 2, 19)"),
    ][n]
    if n == 2:
        return _mmfit("expected an array (2, T, 19)", _npy_header(text))
    return _mmfit(NO_ARRAY, _npy_header(text, bytes(16), b"\x01\x00" if n % 2 else b"\x02\x00"))


# --- MATLAB -------------------------------------------------------------------------------------------------------


def _mat(compress: bool = True, **changes: Any) -> bytes:
    content = {
        "action": "squat",
        "pose": "front",
        "x": np.full((2, 13), 11.0),
        "y": np.full((2, 13), 21.0),
        "train": 1,
        "visibility": np.ones((2, 13), np.uint8),
        "bbox": np.zeros((2, 4)),
        "dimensions": [[48, 64, 2]],
        "nframes": 2,
    }
    out = io.BytesIO()
    scipy.io.savemat(out, content | changes, do_compression=compress)
    return out.getvalue()


def _penn(says: str, data: bytes) -> Attack:
    return Attack(says, {"labels/0001.mat": data}, {"labels/0001.mat": _mat()}, family="penn_action", archive=False)


def nesting_matlab(n: int, rng: Rng) -> Attack:
    """Cells, structures and sparse matrices, which nest and which no label file has."""
    import scipy.sparse

    value: Any = "x"
    for _ in range(int(rng.integers(1, 40))):
        value = {"a": value} if n % 2 else np.array([value, None], object)[:1]
    if n == 8:
        value = scipy.sparse.eye(13)
    extra = {"x": value} if n < 4 else {word(rng): value}
    return _penn("(something other than arrays of numbers and text)", _mat(compress=n % 3 == 0, **extra))


def _element(kind: int, data: bytes, size: int | None = None) -> bytes:
    return struct.pack("<II", kind, len(data) if size is None else size) + data


def lying_matlab(n: int, rng: Rng) -> Attack:
    """Elements larger than the file, packed in packed, of another version, or of 65 MB in 65 kB."""
    good = _mat(compress=False)
    head, body = good[:128], good[128:]
    cut, end = "(an element that is cut off)", "(something other than arrays of numbers and text)"
    packed = zlib.compress(body)
    data, says = [
        (head + _element(14, body[8:200], 1 << 31), cut),
        (head + _element(15, packed[:-30], len(packed)), cut),
        (head + _element(15, b"\0" * 64), "(a packed element that is damaged)"),
        (head + _element(15, zlib.compress(_element(15, packed))), end),
        (
            head + _element(15, zlib.compress(_element(14, bytes((65 << 20) * (n == 4))), 1)),
            "(more than 67,108,864 bytes unpacked)",
        ),
        (good[:124] + b"\x00\x02IM" + body, "(not a MATLAB 5 file of this byte order)"),
        (good[:124] + b"\x01\x00MI" + body, "(not a MATLAB 5 file of this byte order)"),
        (b"\x89HDF\r\n\x1a\n" + good, "(not a MATLAB 5 file of this byte order)"),
        (head + _element(9, rng.bytes(64)), end),
        (head + _element(14, bytes(16)), end),
    ][n]
    return _penn(says, data)


VALUES: tuple[Callable[[int, Rng], Attack], ...] = (
    calling_pickles,
    swollen_pickles,
    wrong_lists,
    official_lists,
    object_arrays,
    lying_arrays,
    nesting_matlab,
    lying_matlab,
)
