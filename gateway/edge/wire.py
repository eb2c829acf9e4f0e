"""A caller's socket below HTTP: who is there, what waits to be written, when time is up, how it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from gateway.edge.server import EdgeServer

HEAD, BODY, WAITING, TUNNEL, DEAF = range(5)
"""Reading a head; reading a body; whole request read, answer under way; upgraded; no longer listening."""
NEVER = float("inf")
LINGER_SECONDS = 2.0
"""How long a caller that is still sending gets to read its answer before the socket is closed."""


class Wire:
    """What `EdgeConnection` builds on."""

    __slots__ = ("_lost", "_paused", "_state", "_writable", "keep_alive", "peer", "peer_certificate",
                 "read_deadline", "scheme", "server", "transport", "trusted", "write_deadline")  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, server: EdgeServer) -> None:
        self.server = server
        self.peer = ""
        self.trusted = False
        """The peer is a proxy whose forwarding headers count."""
        self.scheme = "http"
        self.peer_certificate: bytes | None = None
        self.keep_alive = True
        self.read_deadline = NEVER
        """Monotonic seconds by which something must have arrived."""
        self.write_deadline = NEVER
        """Monotonic seconds by which the caller must have taken what waits for it."""
        self._state = HEAD
        self._lost = False
        self._paused = False
        self._writable: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(
            "asyncio.Transport", transport
        )  # uvloop's own classes are not registered as such
        self.peer, self.trusted = self.server.intake.addresses.of_peer(transport.get_extra_info("peername"))
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.scheme = "https"
            # The certificate of a proxy that tells those of its callers is nobody's but its own.
            if not (self.trusted and self.server.intake.certificate_header):
                self.peer_certificate = tls.getpeercert(binary_form=True)

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()
        self.write_deadline = self.server.now() + self.server.proxy.limits.write_timeout

    def resume_writing(self) -> None:
        self.write_deadline = NEVER
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def _write_out(self, answer: bytes) -> None:
        """The loop's turn is over: write what waited for that, unless the connection ended meanwhile."""
        if not self.transport.is_closing():
            self.transport.write(answer)

    async def drain(self) -> None:
        """Wait while the caller's socket is full."""
        if self._writable is not None:
            await self._writable

    def _pause(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.read_deadline = NEVER
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()
            self._resumed()

    def _resumed(self) -> None:
        """We are ready for more again."""

    # Ending.

    def _linger(self) -> None:
        """Close our half, read on for a moment: a reset would take the answer from a caller still sending."""
        self._state = DEAF
        self.server.outbox.flush()
        self._resume()
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        now = self.server.now()
        self.read_deadline = now + LINGER_SECONDS
        self.write_deadline = now + self.server.proxy.limits.write_timeout

    def _close(self) -> None:
        self._state = DEAF
        self.read_deadline = NEVER
        self.write_deadline = self.server.now() + self.server.proxy.limits.write_timeout
        self.server.outbox.flush()
        self.transport.close()

    def _linger_on(self, now: float) -> None:
        """The moment is over: cut, unless the caller is still taking its answer."""
        if self.transport.get_write_buffer_size():
            self.read_deadline = now + LINGER_SECONDS  # the write deadline decides
        else:
            self.transport.abort()
