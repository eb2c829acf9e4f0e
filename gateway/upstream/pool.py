"""The keep-alive connections of one target: who gets which, decided in one plain function."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from gateway.errors import Refused, Sent, UpstreamError
from gateway.upstream.connection import Connection
from gateway.upstream.faults import connect_fault

Open = Callable[["Pool"], Awaitable[Connection]]
"""Connect to the target. Raises UpstreamError (nothing sent)."""


class Pool:
    """At most `size` connections, the last used first; who finds none free waits in line."""

    def __init__(self, size: int, idle_timeout: float, connect: Open) -> None:
        self._size = size
        self._idle_timeout = idle_timeout
        self._connect = connect
        self._idle: list[Connection] = []
        self._taken = 0
        """Connections that are busy or being opened."""
        self._line: deque[asyncio.Future[Connection | None]] = deque()
        self._closing = False
        self._empty: asyncio.Future[None] | None = None

    def spare(self) -> Connection | None:
        """Take a connection that waits: the one used last, which is the least likely to be stale."""
        while self._idle:
            connection = self._idle[-1]
            if connection.fresh():
                self._idle.pop()
                self._taken += 1
                return connection
            connection.close()  # comes back through `closed`
        return None

    def take(self) -> Connection | asyncio.Future[Connection | None] | None:
        """Who calls next? There are four cases.

        1. A connection waits: the caller gets it.
        2. There is room for another: None, and the caller opens it.
        3. All are taken: the caller waits in line, for a connection or for room.
        4. The line is as long as the pool is wide: Refused, since it would wait for nothing.
        """
        if (connection := self.spare()) is not None:
            return connection
        if self._taken < self._size:
            self._taken += 1
            return None
        if len(self._line) >= self._size:
            raise Refused("BUSY", "All connections to the upstream are taken")
        place: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        return place

    async def acquire(self, until: float) -> Connection:
        """A connection that is the caller's until it is idle again; at the latest at `until` (loop time)."""
        while True:
            found = self.take()
            if isinstance(found, Connection):
                return found
            if found is not None:
                found = await self._wait(found, until)
            if found is None:
                return await self._open(until)
            if found.fresh():
                return found
            found.close()  # it ended on its way to us, and gave its place back

    async def acquire_new(self, until: float) -> Connection:
        """A connection that nobody used before: the second try after a stale one."""
        if self._idle and self._taken + len(self._idle) >= self._size:
            self._idle[0].close()
        if self._taken + len(self._idle) < self._size:
            self._taken += 1
            return await self._open(until)
        return await self.acquire(until)

    async def _wait(self, place: asyncio.Future[Connection | None], until: float) -> Connection | None:
        try:
            async with asyncio.timeout_at(until):
                return await place
        except (TimeoutError, asyncio.CancelledError) as error:
            if place in self._line:
                self._line.remove(place)
            elif place.done() and not place.cancelled():
                late = place.result()  # our turn came too late: it is the next one's
                if late is None or not late.closed:
                    self._pass_on(late)
            if isinstance(error, TimeoutError):
                raise UpstreamError(
                    "UPSTREAM_TIMEOUT", "No connection to the upstream became free in time", sent=Sent.NO,
                    reason="pool_timeout",
                ) from None  # fmt: skip
            raise

    async def _open(self, until: float) -> Connection:
        try:
            async with asyncio.timeout_at(until):
                connection = await self._connect(self)
            if connection.closed:
                raise connect_fault(ConnectionResetError())
        except TimeoutError:
            self._pass_on(None)
            raise UpstreamError(
                "UPSTREAM_UNREACHABLE", "No connection to the upstream came about in time", sent=Sent.NO,
                reason="connect_timeout",
            ) from None  # fmt: skip
        except BaseException:
            self._pass_on(None)
            raise
        connection.adopted = True
        return connection

    def _pass_on(self, connection: Connection | None) -> None:
        """A taken place is free, with its connection where that still stands: the first in line gets it."""
        if connection is not None:
            connection.rest(self._idle_timeout)
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(connection)
                return
        if connection is not None and self._closing:
            connection.close()  # comes back through `closed`
            return
        self._taken -= 1
        if connection is not None:
            self._idle.append(connection)
        elif self._empty is not None and not self._taken and not self._empty.done():
            self._empty.set_result(None)

    def released(self, connection: Connection) -> None:
        """A call ended, and its connection is good for another."""
        if self._line or self._closing:
            self._pass_on(connection)
            return
        connection.rest(self._idle_timeout)
        self._taken -= 1
        self._idle.append(connection)

    def closed(self, connection: Connection) -> None:
        """A connection ended."""
        if connection in self._idle:
            self._idle.remove(connection)
        else:
            self._pass_on(None)

    @property
    def empty(self) -> bool:
        """Nothing to keep it for."""
        return not (self._idle or self._taken or self._line)

    @property
    def idle(self) -> int:
        """Connections that wait for a call."""
        return len(self._idle)

    @property
    def active(self) -> int:
        """Connections that carry a call or are being opened."""
        return self._taken

    @property
    def waiting(self) -> int:
        """Calls in line."""
        return len(self._line)

    async def close(self) -> None:
        """Close idle connections now, the others as soon as their calls end."""
        self._closing = True
        while self._idle:
            self._idle[-1].close()
        if self._taken:
            if self._empty is None:
                self._empty = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._empty)

    def __repr__(self) -> str:
        return f"<Pool {self.active} active, {self.idle} idle, {self.waiting} waiting>"
