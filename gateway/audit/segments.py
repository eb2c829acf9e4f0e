"""The files of an audit log. Each bears the number of its first entry, and is never changed once full."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from gateway.audit.chain import LINE_LIMIT

_NAME = re.compile(r"audit-([0-9]{12})\.jsonl")


class Place(NamedTuple):
    """Where a line stands."""

    file: Path
    number: int
    """Of the line, from 1."""


def name_of(first: int) -> str:
    """The file whose first entry has this number."""
    return f"audit-{first:012d}.jsonl"


def first_of(path: Path) -> int:
    """The number of a segment's first entry, as its name tells; 0 for another file's name."""
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found is not None else 0


def segments(directory: Path) -> list[Path]:
    """The files of a log, oldest first. Raises `OSError`."""
    return sorted((path for path in directory.iterdir() if first_of(path)), key=first_of)


def lines(path: Path) -> Iterator[tuple[Place, bytes]]:
    """Every line of a file with its line feed, which a torn last one lacks. Raises `OSError`."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LINE_LIMIT):
            number += 1
            yield Place(path, number), line


def is_written(directory: Path) -> bool:
    """Does a running gateway write this log? Raises `OSError`."""
    try:
        lock = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def begun_of(path: Path) -> float:
    """Unix seconds of a segment's first entry; of its last change where it has none. Raises `OSError`."""
    for _, line in lines(path):
        with suppress(ValueError, KeyError, TypeError):
            return datetime.fromisoformat(json.loads(line)["time"]).timestamp()
        break
    return path.stat().st_mtime


def last_line(path: Path) -> tuple[bytes, int]:
    """(the last whole line without its line feed, the offset behind that). Raises `OSError`."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        tail = b""
        start = size
        while start and tail.count(b"\n") < 2:
            step = min(start, 64 * 1024)
            start -= step
            file.seek(start)
            tail = file.read(step) + tail
    whole, feed, torn = tail.rpartition(b"\n")
    return whole.rpartition(b"\n")[2], size - len(torn) if feed else 0
