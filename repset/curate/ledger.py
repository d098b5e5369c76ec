"""The ledger of human decisions: append-only files of JSON lines, one a reviewer and month, masks beside them.

    datasets/reviews/<reviewer>-<YYYY-MM>.jsonl     datasets/reviews/blobs/<sha256>.png     datasets/reviews/rounds/

A line's `id` is the hash of the rest of the line: the same decision met twice counts once, and a line changed by hand
no longer fits its id. Readers forgive nothing: a torn or invalid line is an error that names file and line. The format
is described in datasets/reviews/README.md.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from repset.curate.decision import NOTHING, RESTORE, Decision, check_fields, parse_line
from repset.errors import DataError
from repset.records import atomic_path, read_json, sha256_bytes

_FILE = re.compile(r".+-\d{4}-\d\d\.jsonl")


class Ledger:
    """The decisions under one folder (normally `project.reviews`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def append(self, decision: Decision) -> Decision:
        """Write one decision; it is on the disk when this returns. Returns it with its time.

        Safe with several writers: the line goes out in one O_APPEND write under a lock; the mask lies in place before.
        Raises: DataError if the decision is invalid or the file ends in a torn line.
        """
        if not decision.at:
            now = datetime.now(UTC).isoformat(timespec="microseconds")
            decision = replace(decision, at=now.replace("+00:00", "Z"))
        fields = json.loads(decision.line())
        path = self.folder / f"{decision.reviewer}-{decision.at[:7]}.jsonl"
        check_fields(fields, path, str(path), "Mend the decision; nothing was written")
        if decision.png is not None:
            self._store_blob(decision.png)
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, fcntl.LOCK_EX) as handle:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                raise DataError(path, "a last line that ends in a newline", "a torn line", RESTORE)
            data = (decision.line() + "\n").encode()
            if os.write(handle, data) != len(data):
                os.ftruncate(handle, size)
                raise DataError(path, f"room for {len(data)} bytes", "a full disk", "Free space and decide again")
            os.fsync(handle)
        return replace(decision, target=fields["target"])

    def read(self, until_round: str | None = None) -> list[Decision]:
        """Every decision, each once, in order of (at, id), with its mask; nothing is merged, undone or left out yet.

        Args:
            until_round: only the lines that stood there when this round was closed.
        Raises: DataError naming file and line for a torn or invalid line, a missing or changed mask, an unknown id in
            `supersedes`, or a file that was changed below the round's end.
        """
        contents = self.contents() if until_round is None else self.contents_of_round(until_round)
        decisions: dict[str, Decision] = {}
        places: dict[str, str] = {}
        for where, decision in self.scan(contents):
            if isinstance(decision, DataError):
                raise decision
            decisions[decision.id] = decision
            places.setdefault(decision.id, where)
        for error in check_references(decisions, places):
            raise error
        return sorted(decisions.values(), key=lambda decision: (decision.time, decision.id))

    def scan(self, contents: Mapping[str, bytes]) -> Iterator[tuple[str, Decision | DataError]]:
        """Of every line its place ("file:line") and its decision, or what is wrong with it.

        Args:
            contents: file name → bytes, as `contents` or `contents_of_round` give them.
        """
        for name, data in contents.items():
            *lines, rest = data.split(b"\n")
            for number, line in enumerate(lines, start=1):
                where = f"{self.folder / name}:{number}"
                try:
                    yield where, parse_line(line, where, self._load_blob)
                except DataError as error:
                    yield where, error
            if rest:
                where = f"{self.folder / name}:{len(lines) + 1}"
                yield where, DataError(where, "a line that ends in a newline", "a torn line", RESTORE)

    def contents(self) -> dict[str, bytes]:
        """File name → bytes of every ledger file, sorted by name, each read under a lock.

        Raises: DataError for a .jsonl file with another kind of name.
        """
        found = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            if not _FILE.fullmatch(path.name):
                raise DataError(path, "a name <reviewer>-<YYYY-MM>.jsonl", path.name, "Rename it")
            with _locked(path, os.O_RDONLY, fcntl.LOCK_SH):
                found[path.name] = path.read_bytes()
        return found

    def round_path(self, name: str) -> Path:
        """`rounds/<name>.json`."""
        return self.folder / "rounds" / f"{name}.json"

    def contents_of_round(self, name: str) -> dict[str, bytes]:
        """What stood in the files when the round was closed. Raises: DataError if any of it was changed since."""
        path = self.round_path(name)
        if not path.is_file():
            rounds = ", ".join(sorted(p.stem for p in path.parent.glob("*.json"))) or "none"
            todo = f"Close it (repset round close {name}) or name a closed one ({rounds})"
            raise DataError(path, "a closed round", "no file", todo)
        manifest, current, contents = read_json(path), self.contents(), {}
        try:
            states = [(file, int(state["bytes"]), state["sha256"]) for file, state in manifest["files"].items()]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(path, "files with bytes and sha256", "something else", "Restore it from git") from error
        for file, size, sha256 in states:
            data = current.get(file, b"")[:size]
            if sha256_bytes(data) != sha256:
                expected = f"the first {size} bytes as they were when round {name} was closed"
                raise DataError(self.folder / file, expected, "others", "Restore the file from git")
            contents[file] = data
        return contents

    def blob_path(self, sha256: str) -> Path:
        """`blobs/<sha256>.png`."""
        return self.folder / "blobs" / f"{sha256}.png"

    def _store_blob(self, png: bytes) -> None:
        path = self.blob_path(sha256_bytes(png))
        if path.is_file() and path.read_bytes() == png:
            return
        with atomic_path(path) as temporary, temporary.open("wb") as handle:
            handle.write(png)
            handle.flush()
            os.fsync(handle.fileno())

    def _load_blob(self, sha256: str, where: str) -> bytes:
        path = self.blob_path(sha256)
        if not path.is_file():
            raise DataError(where, f"the mask {path.name} in blobs/", "no file", "Restore it from git")
        png = path.read_bytes()
        if sha256_bytes(png) != sha256:
            raise DataError(path, "a mask with the hash in its name", "another", "Restore it from git")
        return png


@contextmanager
def _locked(path: Path, flags: int, lock: int) -> Iterator[int]:
    """An open file under an advisory lock (flock), released on closing."""
    handle = os.open(path, flags, 0o644)
    try:
        fcntl.flock(handle, lock)
        yield handle
    finally:
        os.close(handle)


def check_references(decisions: Mapping[str, Decision], places: Mapping[str, str]) -> Iterator[DataError]:
    """What is wrong with `supersedes`: it must name a decision on the same sample and task.

    A line that says there is nothing to label speaks of every task.

    Args:
        decisions, places: by id.
    """
    for decision in decisions.values():
        if decision.supersedes is None:
            continue
        earlier, where = decisions.get(decision.supersedes), places[decision.id]
        if earlier is None:
            found = f"{decision.supersedes}, which no file has"
            yield DataError(where, "the id of a decision in supersedes", found, RESTORE)
        elif earlier.sample_id != decision.sample_id or (
            earlier.task != decision.task and NOTHING not in (earlier.action, decision.action)
        ):
            expected = f"a decision on {decision.task} of {decision.sample_id} in supersedes"
            yield DataError(where, expected, f"one on {earlier.task} of {earlier.sample_id}", RESTORE)
