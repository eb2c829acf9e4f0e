"""Where policies keep what outlives a call: counters of limits, bytes of cached answers."""

from __future__ import annotations

import time
from typing import Any

from gateway.stores.answers import AnswerMemory
from gateway.stores.bytes import ByteStore
from gateway.stores.counters import CounterStore, open_counters


class Stores:
    """The stores of one worker, opened once and kept over reloads. `url` is `memory` or `valkey://host:port/db`."""

    def __init__(self, url: str = "memory") -> None:
        self.url = url
        self.counters: CounterStore = open_counters(url)
        self.bytes = ByteStore(url)
        self.answers: AnswerMemory[Any] = AnswerMemory()
        """Cached answers in this process, in front of `bytes`."""

    def purge(self, *, route: str | None = None, tag: str | None = None) -> int:
        """Forget the cached answers of a route, of a tag, or of both; returns how many this worker held."""
        count = 0
        for name in ([f"route:{route}"] if route else []) + ([f"tag:{tag}"] if tag else []):
            count += self.answers.purge(name)
            self.bytes.mark(name, time.time())
        return count

    async def close(self) -> None:
        """Close connections to Valkey, where there are any."""
        await self.counters.close()
        await self.bytes.close()
