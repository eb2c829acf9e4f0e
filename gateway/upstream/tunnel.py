"""The upstream's half of an upgraded connection: bytes both ways, no more HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.exchange import Attempt
from gateway.stream import Stream

WRITE_BUFFER = 256 * 1024
"""Bytes to be sent that wait in user space before their source is paused."""


class SocketTunnel:
    """`gateway.exchange.Tunnel` over a socket, with backpressure both ways."""

    def __init__(self, transport: Any, close: Callable[[], None], attempt: Attempt) -> None:
        self._transport = transport
        self._attempt = attempt
        self._close = close
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False
        self.received = Stream(
            on_pause=transport.pause_reading, on_resume=transport.resume_reading, on_close=close
        )
        """Bytes the upstream sends; ends when it closes."""

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the socket is full. ConnectionResetError once the upstream is gone."""
        if self._lost:
            raise ConnectionResetError
        self._attempt.request_bytes += len(data)
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > WRITE_BUFFER:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def writable(self) -> None:
        """The socket takes bytes again."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def lost(self) -> None:
        """The connection is gone: what arrived can still be read, then the end."""
        self._lost = True
        self.received.on_pause = self.received.on_resume = self.received.on_close = None
        self.received.end()
        self.writable()

    def close(self) -> None:
        """Drop the upstream connection. Idempotent."""
        if not self._lost:
            self._close()
