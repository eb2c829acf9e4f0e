"""Writes of one turn of the loop, made together when it is over.

Writing to a socket whose other end sleeps costs ten times as much as writing to one that is awake: the
kernel wakes a process there, on another core by an interrupt. One write after another, a turn of small calls
pays that for each; together, the first wakes whoever listens, and the rest find it awake.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger("gateway")

Write = Callable[[bytes], None]


class Outbox:
    """Keeps what is to be written until the callbacks that are due have run."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[tuple[Write, bytes]] = []

    def add(self, write: Write, data: bytes) -> None:
        """Call `write` with `data` at the end of this turn, after all that was added before."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append((write, data))

    def flush(self) -> None:
        """Write what waits now: whoever writes past the outbox, or closes, does this first."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for write, data in waiting:
                try:
                    write(data)
                except Exception:
                    log.exception("a write failed")  # and the others are somebody else's

    def __repr__(self) -> str:
        return f"<Outbox, {len(self._waiting)} writes waiting>"
