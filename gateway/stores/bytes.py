"""Bytes of cached answers that all workers share: aiocache over Valkey."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiocache.base import BaseCache
from aiocache.serializers import NullSerializer
from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

log = logging.getLogger("gateway.stores")

TIMEOUT_SECONDS = 0.25
"""Longest wait for Valkey: asking the provider is the alternative."""
PAUSE_SECONDS = 1.0
"""After a failure, nobody asks again for so long."""
MARK_SECONDS = 7 * 24 * 3600
"""How long a purge is remembered: no answer is kept for longer."""


class _ValkeyBackend(BaseCache):  # type: ignore[misc]
    """An aiocache backend on the Valkey client (aiocache's own wants the redis package)."""

    def __init__(self, url: str, **more: Any) -> None:
        super().__init__(**more)
        self.client: Valkey = Valkey.from_url(
            url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
        )

    async def _multi_get(
        self, keys: list[str], encoding: object = None, _conn: object = None
    ) -> list[bytes | None]:
        del encoding, _conn
        values: list[bytes | None] = await self.client.mget(keys)
        return values

    async def _set(
        self,
        key: str,
        value: bytes,
        ttl: float | None = None,
        _cas_token: object = None,
        _conn: object = None,
    ) -> None:
        del _cas_token, _conn
        await self.client.set(key, value, px=None if ttl is None else max(1, int(ttl * 1000)))

    async def _close(self, *args: object, _conn: object = None, **more: object) -> None:
        del args, _conn, more
        await self.client.aclose()


class ByteStore:
    """Named bytes with a time to live, and marks that make older bytes void. Losing it costs time alone.

    `url` is `memory`, where nothing is shared and this store stays empty, or `valkey://host:port/db`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.failures = 0
        """Calls that Valkey did not answer."""
        self._paused_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._backend: _ValkeyBackend | None = None
        if url != "memory":
            self._backend = _ValkeyBackend(
                url,
                serializer=NullSerializer(encoding=None),
                namespace="gateway:cache:",
                timeout=TIMEOUT_SECONDS,
            )

    @property
    def shared(self) -> bool:
        """Is there anything to ask?"""
        return self._backend is not None

    async def get(self, key: str, tags: tuple[str, ...]) -> tuple[bytes, float] | None:
        """The bytes under `key`, and the Unix time up to which its tags are void; None without."""
        if self._backend is None or self._is_paused():
            return None
        try:
            data, *marks = await self._backend.multi_get([key, *(f"mark:{tag}" for tag in tags)]) or [None]
        except (ValkeyError, OSError, TimeoutError) as error:
            self._failed(error)
            return None
        return None if data is None else (data, max((float(mark) for mark in marks if mark), default=0.0))

    def set(self, key: str, data: bytes, ttl_seconds: float) -> None:
        """Keep bytes for so long, beside the call."""
        self._later(key, data, min(ttl_seconds, MARK_SECONDS))

    def mark(self, tag: str, unix_time: float) -> None:
        """Void what was kept under `tag` until now, beside the call."""
        self._later(f"mark:{tag}", repr(unix_time).encode(), MARK_SECONDS)

    def _later(self, key: str, data: bytes, ttl_seconds: float) -> None:
        if self._backend is None or self._is_paused():
            return
        task = asyncio.get_running_loop().create_task(self._set(self._backend, key, data, ttl_seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _set(self, backend: _ValkeyBackend, key: str, data: bytes, ttl_seconds: float) -> None:
        try:
            await backend.set(key, data, ttl=ttl_seconds)
        except (ValkeyError, OSError, TimeoutError) as error:
            self._failed(error)

    def _is_paused(self) -> bool:
        return asyncio.get_running_loop().time() < self._paused_until

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._paused_until = asyncio.get_running_loop().time() + PAUSE_SECONDS
        log.warning("the shared cache at %s did not answer: %s", self.url.rpartition("@")[2], error)

    async def flush(self) -> None:
        """Wait for everything set or marked so far."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Finish what is being written, and close the connections."""
        await self.flush()
        if self._backend is not None:
            await self._backend.close()

    def __repr__(self) -> str:
        return f"<ByteStore {'shared' if self.shared else 'empty'}, {self.failures} failures>"
