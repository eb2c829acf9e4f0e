"""Counters of rate limits that all workers and hosts share, in Valkey, through the `limits` library."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from math import floor
from typing import Any

from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage
from limits.errors import StorageError
from valkey.exceptions import ValkeyError

from gateway.stores.counters import Limit, StoreUnavailableError, Verdict

TIMEOUT_SECONDS = 0.25
"""How long one call waits for the store at most."""
PAUSE_SECONDS = 1.0
"""How long the store is left alone after it failed; then one call tries it again."""

_GCRA = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local token, depth = tonumber(ARGV[1]), tonumber(ARGV[2])
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + token
local room = depth - (arrival - now)
if room < -0.5 then return {-1, math.ceil(-room)} end
redis.call('SET', KEYS[1], string.format('%.3f', arrival), 'PX', math.ceil((arrival - now) / 1000))
local left = math.floor((room + 0.5) / token)
return {left, math.max(0, math.ceil((left + 1) * token - room))}
"""
"""The generic cell rate algorithm on the store's own clock, in microseconds: one round trip, atomic."""


class SharedCounters:
    """All counters in one Valkey: one or two round trips per call, and never longer than `timeout`.

    Keys carry the strategy, so that two strategies never read each other's numbers.
    """

    def __init__(self, url: str, now: Callable[[], float], timeout: float = TIMEOUT_SECONDS) -> None:
        self._storage = RedisStorage(
            f"async+{url}",
            wrap_exceptions=True,
            key_prefix="gateway:limits",
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
        )
        self._client: Any = self._storage.bridge.get_connection()  # type: ignore[attr-defined]
        self._bucket = self._client.register_script(_GCRA)
        self._now, self._timeout = now, timeout
        self._paused_until = float("-inf")

    async def hit(self, limit: Limit, rule: str, key: str) -> Verdict:
        """Count a call under `rule` and `key` if it is within the limit. Raises `StoreUnavailableError`."""
        now = self._now()
        if now < self._paused_until:
            raise StoreUnavailableError("the store failed less than a second ago")
        if self._paused_until > 0:  # one call tries; the others go on without until it knows
            self._paused_until = now + PAUSE_SECONDS
        try:
            async with asyncio.timeout(self._timeout):
                verdict = await self._count(limit, rule, key)
        except (StorageError, ValkeyError, OSError, TimeoutError) as error:
            self._paused_until = self._now() + PAUSE_SECONDS
            raise StoreUnavailableError(f"the store does not answer: {type(error).__name__}") from error
        self._paused_until = float("-inf")
        return verdict

    async def _count(self, limit: Limit, rule: str, key: str) -> Verdict:
        rate = limit.rate
        if limit.strategy == "token_bucket":
            token = rate.seconds * 1e6 / rate.amount
            left, micros = await self._bucket(
                keys=[f"gateway:limits:token_bucket:{rule}:{key}"], args=[token, token * limit.burst]
            )
            return int(left), int(micros) / 1e6
        item: RateLimitItem = parse(rate.text)
        item.namespace = limit.strategy
        name, amount, seconds = item.key_for(rule, key), item.amount, item.get_expiry()
        if limit.strategy == "fixed_window":
            count = await self._storage.incr(name, seconds)
            ends_at = await self._storage.get_expiry(name)
            return max(-1, amount - count), max(0.0, ends_at - time.time())
        allowed = await self._storage.acquire_sliding_window_entry(name, amount, seconds)
        before, before_ttl, count, ttl = await self._storage.get_sliding_window(name, seconds)
        faded_to = floor(before * before_ttl / seconds)
        more_in = max(0.0, before_ttl - faded_to * seconds / before if faded_to else ttl - seconds)
        return (max(0, amount - count - faded_to), more_in) if allowed else (-1, more_in + 0.001)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
