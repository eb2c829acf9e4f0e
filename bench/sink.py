"""Where traces arrive."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import LOAD_CORE, SOURCES, Process, free_port, start


@dataclass(frozen=True)
class Count:
    """What has arrived since the last reset."""

    traces: int
    """Distinct trace ids."""
    spans: int
    bytes: int
    last_arrival: float
    """When the last spans came, on time.monotonic()'s clock; 0.0 when none did."""


@dataclass(frozen=True)
class Sink:
    """A running sink."""

    http_port: int
    grpc_port: int
    process: Process

    def reset(self) -> None:
        """Forget everything that has arrived."""
        self._ask("POST", "/reset")

    def count(self) -> Count:
        """Decode what has arrived and count it; takes about a second per million spans."""
        return Count(**json.loads(self._ask("GET", "/count")))

    def _ask(self, method: str, path: str) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return bytes(answer.read())


@contextmanager
def sink(directory: Path, core: int = LOAD_CORE) -> Iterator[Sink]:
    """A sink of its own process, until the block ends."""
    http_port, grpc_port = free_port(), free_port()
    command = [sys.executable, "-m", "bench.sink", "--http", str(http_port), "--grpc", str(grpc_port)]
    with start(command, core=core, directory=directory, env=SOURCES, ready=http_port) as process:
        yield Sink(http_port, grpc_port, process)
