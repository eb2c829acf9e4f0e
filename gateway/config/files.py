"""Files as a configuration may name them: regular ones, of a bounded size."""

from __future__ import annotations

import os
import stat
from errno import EISDIR
from pathlib import Path

from gateway.units import format_size

FILE_LIMIT = 64 * 1024 * 1024
"""Bytes of one file, far above what any configuration takes."""


def read_file(path: Path) -> bytes:
    """What is in it. OSError, whose `strerror` says why, for whatever is not a readable file of that size.

    A pipe or a device is never waited for: that would keep a reload, and every one after it, for ever.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - an open file, by its number
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(0, "It is a pipe or a device, not a file")
        data = file.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise OSError(0, f"It has more than {format_size(FILE_LIMIT)}")
    return data
