"""What is measured: a contender as it is set up, started afresh between origin and sink."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.contenders import CONTENDERS, KEY, Setting
from bench.core import spread
from bench.origin import Origin, origin
from bench.processes import PROXY_CORE, Process, free_port
from bench.sink import Sink, sink

BODY = (b'{"player":"p-204","currency":"EUR","stake":"1.50","round":"' + b"7" * 300)[:298] + b'"}'
"""300 bytes, about what a bet takes."""


@dataclass(frozen=True)
class World:
    """What stands around every contender: origin, sink, and a directory for logs."""

    directory: Path
    origin: Origin
    sink: Sink


@dataclass(frozen=True)
class Subject:
    """A contender as it is set up, and the call that is made of it. `name` is what tables say."""

    name: str
    contender: str
    method: str = "GET"
    path: str = "/games/aurora"
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"x-api-key": KEY})
    connections: int = 64
    tracing: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    verified: bool = True
    """False where the verifying caller's calls would not fit: its paths, or its key."""
    guarded: bool = True
    """False where calls without the key pass: the route has no authentication."""
    cores: frozenset[int] = frozenset({PROXY_CORE})

    @property
    def traced(self) -> bool:
        """Its spans come to the sink."""
        return self.tracing and CONTENDERS[self.contender].traces


@dataclass(frozen=True)
class Running:
    """A contender that has been started."""

    port: int
    process: Process

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@contextmanager
def world() -> Iterator[World]:
    """Origin and sink, with a directory that goes with them."""
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        directory = Path(name)
        with origin(directory) as upstream, sink(directory) as collector:
            yield World(directory, upstream, collector)


@contextmanager
def running(around: World, subject: Subject) -> Iterator[Running]:
    """The contender, started afresh for this. Raises StartError when it does not come up."""
    port = free_port()
    setting = Setting(
        directory=Path(tempfile.mkdtemp(prefix=f"{subject.contender}-", dir=around.directory)),
        port=port,
        origin=around.origin,
        sink=around.sink,
        tracing=subject.tracing,
        options=subject.options,
    )
    with CONTENDERS[subject.contender].start(setting) as process:
        if subject.cores != {PROXY_CORE}:
            spread(process, subject.cores)
        yield Running(port, process)
