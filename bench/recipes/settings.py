"""What a recipe is told on its command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Self

TIMEOUT_SECONDS = 5.0
CONNECT_SECONDS = 1.0
KEPT = 256
"""Connections to the origin that are kept open, at most."""
RATE = "1000000/second"
"""Calls that one consumer may make: counted, never reached."""

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers of one connection, not of the call (RFC 9110 §7.6.1)."""


@dataclass(frozen=True)
class Settings:
    """Where to listen, whom to call, whom to let in, where to send traces (empty for none)."""

    port: int
    origin: str
    key: str = ""
    networks: tuple[str, ...] = ()
    traces: str = ""

    @classmethod
    def read(cls, arguments: list[str] | None = None) -> Self:
        parser = argparse.ArgumentParser()
        parser.add_argument("--port", type=int, required=True)
        parser.add_argument("--origin", type=int, required=True, help="its port on 127.0.0.1")
        parser.add_argument("--key", default="")
        parser.add_argument("--networks", nargs="*", default=[])
        parser.add_argument("--traces", default="", help="URL of an OTLP receiver")
        said = parser.parse_args(arguments)
        return cls(said.port, f"127.0.0.1:{said.origin}", said.key, tuple(said.networks), said.traces)
