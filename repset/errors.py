"""The few kinds of error a person can meet, each rendering its own sentence.

Library code raises these; only `repset.cli` prints them (one line, no traceback).
"""

import re

_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal would obey rather than show, and what breaks or turns a line."""


class RepsetError(Exception):
    """Base of every error that is the input's fault or the environment's, not the program's."""

    exit_code = 1


class DataError(RepsetError):
    """A file that is not what it should be: `where: expected X, found Y. What to do.`

    Args:
        where: the file (or file and line) as the user would type it.
        expected, found: noun phrases without a full stop.
        todo: one imperative sentence without a full stop.
    """

    def __init__(self, where: object, expected: str, found: str, todo: str) -> None:
        self.where, self.expected, self.found, self.todo = str(where), expected, found, todo
        sentence = f"{where}: expected {expected}, found {found}. {todo}."  # of words that others may have written
        super().__init__(_HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), sentence))


class ShapeError(RepsetError):
    """An array whose shape, dtype or range does not fit the record it is put in."""


class ConfigError(RepsetError):
    """A parameter, source or rule file with an unknown key, a missing key or a wrong value."""


class MissingExtraError(RepsetError):
    """An optional part of the installation is absent; the message is the command that adds it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed. Install it: pip install 'repset[{extra}]'")
