"""Files as a configuration may name them: regular ones, of a bounded size."""

from __future__ import annotations

import os
import stat
from errno import EFBIG, EINVAL, EISDIR
from pathlib import Path
from typing import BinaryIO

from gateway.units import format_size

FILE_LIMIT = 64 * 1024 * 1024
"""Bytes of one file, far above what any configuration takes."""


def open_file(path: Path) -> BinaryIO:
    """It, open for reading. OSError, whose `strerror` says why, for whatever is not a readable file.

    A pipe or a device is never waited for: that would keep a reload, and every one after it, for ever.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError:  # a NUL in it
        raise OSError(EINVAL, "No file has such a name") from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")  # noqa: PTH123 - an open file, by its number
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
    raise OSError(EINVAL, "It is a pipe or a device, not a file")


def read_file(path: Path) -> bytes:
    """What is in it. OSError, as from `open_file`, for more than a configuration may take."""
    with open_file(path) as file:
        data = file.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise OSError(EFBIG, f"It has more than {format_size(FILE_LIMIT)}")
    return data


def why(error: OSError) -> str:
    """What is wrong with a file, as the end of a sentence."""
    return (error.strerror or "it cannot be read").lower()
