"""The end of the chain, written out: a later reader sees that what was there then is there still.

A head is the number, hash and MAC of the last line, as one JSON object:

    {"time":"2026-01-31T12:00:00.000Z","seq":7,"hash":"<64 hex>","mac":"<64 hex>"}
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gateway.audit.chain import Link
from gateway.observer.printable import timestamp


def head(link: Link, unix_ns: int) -> bytes:
    """The head as one line, line feed included."""
    told = {"time": timestamp(unix_ns), **link._asdict()}
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


def add_head(path: Path, line: bytes) -> None:
    """Append a head to a file and wait for the disk. Raises `OSError`."""
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":  # the last one was torn
            line = b"\n" + line
        if os.write(file, line) != len(line):
            raise OSError("only a part of the head could be written")
        os.fsync(file)
    finally:
        os.close(file)


HEADS_LIMIT = 256 * 1024 * 1024
"""Bytes of a file of heads that are read."""
_TORN = re.compile(rb'|\{(?:"[^}]*)?')
"""How a head begins that does not end."""


class WrittenHead(NamedTuple):
    """A head that was read back."""

    link: Link
    number: int
    """Its line in the file, from 1."""


def read_heads(path: Path) -> Iterator[WrittenHead]:
    """Every head of a file, or of what a webhook kept line by line. `OSError`; ValueError: a line is none.

    A torn line is no head: its writer died before it told anybody.
    """
    with path.open("rb") as file:
        data = file.read(HEADS_LIMIT)
    for number, line in enumerate(data.splitlines(), 1):
        if _TORN.fullmatch(line):
            continue
        try:
            told = json.loads(line)
            link = Link(told["seq"], told["hash"], told["mac"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"line {number} of {path} is no head of an audit log") from None
        yield WrittenHead(link, number)
