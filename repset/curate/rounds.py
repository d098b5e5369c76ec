"""Review rounds: which lines of the ledger stood there at a moment, written down once.

The bootstrap model learns only from decisions of a closed round (`loop.ledger_until`), so that a decision does not
retrain the model whose proposal it judged.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from repset.curate.ledger import Ledger
from repset.errors import ConfigError, DataError
from repset.records import sha256_bytes, write_json

_OPEN, _NEXT = "a round that is still open", "Close the next round under another name"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Round:
    """A closed round: its file, how many ledger files and lines it holds."""

    path: Path
    files: int
    lines: int


def close_round(ledger: Ledger, name: str) -> Round:
    """Write `rounds/<name>.json`: per ledger file its length in bytes and lines, and the hash of these bytes.

    Raises: ConfigError for a name that is no file name; DataError if the round was closed before or the ledger is
        invalid.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name}: expected a round's name of a-z 0-9 _ . -, found {name!r}. Choose such a name.")
    path = ledger.round_path(name)
    if path.exists():
        raise DataError(path, _OPEN, "a closed one", _NEXT)
    ledger.read()  # a round of torn lines must not be closed
    contents = ledger.contents()
    files = {
        file: {"bytes": len(data), "lines": data.count(b"\n"), "sha256": sha256_bytes(data)}
        for file, data in contents.items()
    }
    temporary = path.with_name(f".{name}.{os.getpid()}.part")
    write_json(temporary, {"round": name, "files": files})
    try:
        path.hardlink_to(temporary)  # unlike a rename this fails if another process closed the round meanwhile
    except FileExistsError as error:
        raise DataError(path, _OPEN, "a closed one", _NEXT) from error
    finally:
        temporary.unlink()
    return Round(path, len(files), sum(data.count(b"\n") for data in contents.values()))
