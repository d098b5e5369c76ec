"""Which names an archive or a folder may hold: none leads outside, hides what it is, or stands for two files."""

import re
import unicodedata

from repset.errors import DataError

LONGEST_NAME = 255  # bytes of a part of a path: what file systems take
LONGEST_PATH = 4096  # characters of a whole path
DEEPEST = 64  # folders in each other
_DRIVE = re.compile(r"[A-Za-z]:")
_TURNS_TEXT = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of writing: `cod\u202egpj.exe` is shown as `codexe.jpg`."""


class Names:
    """The names of one archive so far: each safe, none twice, none both a file and a folder."""

    def __init__(self, where: str) -> None:
        self._where, self._files, self._folders = where, dict[str, str](), {""}

    @property
    def count(self) -> int:
        """Files and folders so far."""
        return len(self._files) + len(self._folders) - 1

    def add(self, name: str, folder: bool) -> bool:
        """Check the next name; returns whether it is a file.

        Raises: DataError, also for two files that are one on a system that does not tell A from a.
        """
        parts = check_name(self._where, name)
        plain, parent = "/".join(parts), "/".join(parts if folder else parts[:-1])
        if parent not in self._folders:
            above = {"/".join(parts[:depth]) for depth in range(1, len(parts) + folder)}
            if clash := sorted(one for one in above if self._files.get(_folded(one)) == one):
                raise unsafe(self._where, f"{clash[0]!r} as a file and as a folder")
            self._folders |= above
        if folder:
            return False
        key = _folded(plain)
        other = self._files.setdefault(key, plain)
        if plain in self._folders:
            raise unsafe(self._where, f"{name!r} as a file and as a folder")
        if other is not plain:
            if other == plain:
                raise unsafe(self._where, f"{name!r} twice")
            found = f"{other!r} and {plain!r}, which are one on other systems"
            raise DataError(self._where, "file names that differ by more than capitals", found, "Rename one of them")
        return True


def _folded(name: str) -> str:
    """What a file system that does not tell A from a, or é from e with an accent, takes a name for."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name.casefold())


def check_name(where: str, name: str) -> list[str]:
    """The parts of a safe name. Raises: DataError."""
    if len(name) > LONGEST_PATH:
        raise unsafe(where, f"a name of {len(name):,} characters")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\\" in name or (parts and _DRIVE.match(parts[0])):
        raise unsafe(where, f"the name {name!r}, which leads outside")
    plain = name.isascii() and name.isprintable()
    if not plain and any(_hides(character) for character in name):
        raise unsafe(where, f"the name {name!r}, which is not text")
    if len(name) * 4 > LONGEST_NAME and any(len(part.encode()) > LONGEST_NAME for part in parts):
        raise unsafe(where, f"a name of {len(name):,} characters")
    if len(parts) > DEEPEST:
        raise unsafe(where, f"a name {len(parts):,} folders deep")
    return parts


def _hides(character: str) -> bool:
    """A control character, a line end of any kind, half a character, or a mark that turns the text around it."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _TURNS_TEXT


def unsafe(where: str, found: str) -> DataError:
    """The one sentence about an archive that is not to be opened."""
    return DataError(where, "an archive that is safe to open", found, "Do not use it unless you made it yourself")
