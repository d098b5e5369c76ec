"""Reads the official lists of train and test that come with UCF101 and HMDB51.

UCF101: `trainlist01.txt` with rows `Class/v_Class_g01_c01.avi 1`, `testlist01.txt` with or without the class number.
HMDB51: `pushup_test_split1.txt` with rows `name.avi 1` (1 train, 2 test, 0 neither), one file a class.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from repset.errors import DataError

LIST = re.compile(
    r"(?:^|/)(?:(?P<side>train|test)list0(?P<ucf>[1-3])|(?P<word>[a-z_]+)_test_split(?P<hmdb>[1-3]))\.txt$",
    re.IGNORECASE,
)
_SIDES = {"1": "train", "2": "test"}
_FIX = "Take the lists as their authors publish them"


@dataclass(frozen=True)
class Listed:
    """One row: the set's word for what is done, its side (None: neither), and where that stands."""

    word: str
    split: str | None
    where: str


def list_number(name: str) -> int | None:
    """Which of the three pairs of lists a file belongs to; None if it is no list."""
    match = LIST.search(name)
    return int(match["ucf"] or match["hmdb"]) if match else None


def read_list(name: str, data: bytes, where: str) -> dict[str, Listed]:
    """Stem of a video → its row. Raises: DataError naming the line; a video twice is one."""
    match = LIST.search(name)
    assert match is not None, name
    expected = "rows 'Class/video.avi 1'" if match["side"] else "rows 'video.avi 0, 1 or 2'"
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(where, expected, "a file that is no text", _FIX) from error
    rows: dict[str, Listed] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        at, (path, _, last) = f"{where}, line {number}", line.strip().rpartition(" ")
        if match["side"]:
            path = path if last.isdigit() and path else line.strip()
            word, split = PurePosixPath(path).parent.name, match["side"].lower()
        else:
            word, split = match["word"].lower(), _SIDES.get(last)
        stem = PurePosixPath(path.strip()).stem
        if not stem or not word or (not match["side"] and last not in ("0", "1", "2")):
            raise DataError(at, expected, repr(line.strip()[:80]), _FIX)
        if stem in rows:
            raise DataError(at, "each video once", f"{stem} again", _FIX)
        rows[stem] = Listed(word, split, at)
    return rows
