"""What one connection, one request and one server may cost: contract §7, `server.limits`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Sizes in bytes, times in seconds. A limit is the last value that still passes."""

    head: int = 32 * 1024
    """Request line and header fields together; 431 beyond."""
    headers: int = 100
    """Header fields; 431 beyond."""
    target: int = 8 * 1024
    """Request target as sent; 414 beyond."""
    body: int = 1024 * 1024
    """Body bytes where the route sets no limit of its own; 413 beyond."""
    head_timeout: float = 5.0
    """From a head's first byte, or from the connect, to its last byte; 408, or a close if silent."""
    body_timeout: float = 10.0
    """Between two pieces of a body that the gateway is ready to read; 408."""
    idle_timeout: float = 60.0
    """Between an answer and the next head."""
    write_timeout: float = 30.0
    """For a caller's socket to take what waits for it; the connection is aborted."""
    connections: int = 10_000
    """Open connections; 503 beyond."""
    connections_per_client: int = 1000
    """Open connections from one address that is no trusted proxy; 503 beyond."""
    slowest_body: int = 500
    """Bytes per second a body must bring on average, once `body_timeout` is used up: ends slow trickles."""

    @classmethod
    def of(cls, server: Any) -> EdgeLimits:
        """The limits a `server:` section (anything with `.limits`) asks for; ours where it does not say."""
        asked = server.limits
        return cls(**{f.name: getattr(asked, f.name) for f in fields(cls) if hasattr(asked, f.name)})
