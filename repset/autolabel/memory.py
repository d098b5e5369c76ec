"""What a process gives back of the memory that it no longer needs."""

import ctypes
import sys


def give_back() -> None:
    """Return freed memory to the system: of a long video's frames and joints before its tables are made.

    glibc keeps most of what was freed for what comes next (malloc_trim(3) says how to ask for it), and what comes next
    is of another size. With another C library nothing happens.
    """
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
