"""Where policies keep what outlives a call: counters of limits, bytes of cached answers."""

from __future__ import annotations

from gateway.stores.bytes import ByteStore
from gateway.stores.counters import CounterStore, open_counters


class Stores:
    """The stores of one worker, opened once and kept over reloads. `url` is `memory` or `valkey://host:port/db`."""

    def __init__(self, url: str = "memory") -> None:
        self.url = url
        self.counters: CounterStore = open_counters(url)
        self.bytes = ByteStore(url)

    async def close(self) -> None:
        """Close connections to Valkey, where there are any."""
        await self.counters.close()
        await self.bytes.close()
