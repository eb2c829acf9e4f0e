"""The origin behind every proxy: nginx."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import LOAD_CORE, Process

BODY = b""
SIZES: dict[str, bytes] = {"10k": b"", "100k": b""}


@dataclass(frozen=True)
class Origin:
    """A running origin."""

    port: int
    tls_port: int
    ca_file: Path
    process: Process


@contextmanager
def origin(directory: Path, core: int = LOAD_CORE) -> Iterator[Origin]:
    """An origin, until the block ends."""
    raise NotImplementedError
    yield
