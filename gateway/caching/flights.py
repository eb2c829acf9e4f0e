"""Single flight: of calls that want the same thing at the same time, one fetches it, and all have it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

R = TypeVar("R")


class _Landed(Generic[R]):
    """How a flight ended: with a result or an error."""

    __slots__ = ("error", "result")

    def __init__(self, result: R | None, error: Exception | None) -> None:
        self.result, self.error = result, error


class Flights(Generic[R]):
    """Flights under way, by what they fetch.

    There are three ends. The leader succeeds: every follower gets its result. It fails: every
    follower gets its error, and nobody tries again by itself. It is cancelled: that says nothing
    about the thing, so exactly one follower takes over, and the others go on waiting.
    """

    def __init__(self) -> None:
        self._followers: dict[Hashable, deque[asyncio.Future[_Landed[R] | None]]] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._followers

    def __len__(self) -> int:
        return len(self._followers)

    async def run(self, key: Hashable, fetch: Callable[[], Awaitable[R]]) -> tuple[R, bool]:
        """What `fetch` returns, and whether this call led. Raises what the leader's `fetch` raised."""
        followers = self._followers.get(key)
        if followers is None:
            followers = self._followers[key] = deque()
        else:
            landed = await self._follow(key, followers)
            if landed is not None:
                if landed.error is not None:
                    raise landed.error.with_traceback(None)
                return landed.result, False  # type: ignore[return-value]
        try:
            result = await fetch()
        except Exception as error:
            self._land(key, _Landed(None, error))
            raise
        except BaseException:
            self._pass_on(key, followers)
            raise
        self._land(key, _Landed(result, None))
        return result, True

    async def _follow(
        self, key: Hashable, followers: deque[asyncio.Future[_Landed[R] | None]]
    ) -> _Landed[R] | None:
        """How the flight ended; None for the follower that has to take over."""
        waiter: asyncio.Future[_Landed[R] | None] = asyncio.get_running_loop().create_future()
        followers.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            # Told to take over and cancelled in the same turn: the next one must.
            if not waiter.cancelled() and waiter.done() and waiter.result() is None:
                self._pass_on(key, followers)
            raise

    def _land(self, key: Hashable, landed: _Landed[R]) -> None:
        for waiter in self._followers.pop(key):
            if not waiter.done():
                waiter.set_result(landed)

    def _pass_on(self, key: Hashable, followers: deque[asyncio.Future[_Landed[R] | None]]) -> None:
        while followers:
            waiter = followers.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        del self._followers[key]
