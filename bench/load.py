"""Load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Saturation:
    """As many calls as go through."""

    calls: int
    seconds: float
    errors: int
    bytes_read: int
    p50_us: float
    p99_us: float


@dataclass(frozen=True)
class Latency:
    """Calls at a fixed rate."""

    calls: int
    errors: int
    rate: float
    p50_us: float
    p99_us: float
    p999_us: float


def saturate(
    url: str,
    *,
    seconds: float,
    connections: int = 64,
    method: str = "GET",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Saturation:
    """Send as many calls as go through."""
    raise NotImplementedError


def at_rate(
    url: str,
    *,
    rate: float,
    seconds: float,
    connections: int = 64,
    method: str = "GET",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Latency:
    """Send calls at a fixed rate, whatever becomes of them."""
    raise NotImplementedError


@contextmanager
def idle_connections(
    port: int, count: int, *, path: str = "/games", headers: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Hold connections open that made one call each."""
    raise NotImplementedError
    yield
