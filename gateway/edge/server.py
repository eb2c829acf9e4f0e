"""Listens, counts connections, sweeps deadlines, drains: what is one per worker, not per connection."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from gateway.edge.client_address import Network
from gateway.edge.intake import Intake
from gateway.edge.protocol import EdgeConnection
from gateway.edge.sampling import Sampling
from gateway.edge.tls import TlsSettings, content_of, renewed_context, tls_context
from gateway.edge.writer import date_line, remembered_field_lines
from gateway.errors import Refused, Sent, UpstreamError
from gateway.outbox import Outbox

if TYPE_CHECKING:
    import ssl

    from gateway.edge.limits import EdgeLimits
    from gateway.exchange import Exchange, Outcome, Response

BACKLOG = 1024
SWEEP_SECONDS = 0.25
"""How late a deadline may be noticed. One pass costs 0.1 µs per connection, and no call pays for a timer."""

CUT_SECONDS = 5.0
"""For cut calls to be accounted for: a journal's write may be shielded from cancellation."""


class Door(Protocol):
    """What calls come in by, `gateway.edge.proxy.Proxy`: all that the edge asks of it."""

    limits: EdgeLimits

    def find(self, exchange: Exchange) -> None:
        """Set the exchange's route, or raise `Refused`."""

    def forward(self, exchange: Exchange) -> Awaitable[Response]:
        """The answer to come; raises at once or when awaited."""

    def failed(self, exchange: Exchange, error: Exception) -> Response:
        """The answer to what `forward` raised."""

    def done(self, exchange: Exchange, response: Response | None, outcome: Outcome) -> None:
        """The last byte left, or none will."""

    async def refused(self, exchange: Exchange, refusal: Refused) -> Response:
        """The answer to a call that is not handed to `forward`."""

    def rejected(self, exchange: Exchange, refusal: Refused) -> asyncio.Future[None] | None:
        """A request was refused before it became an exchange; wait for the future, if any, to say so."""


class EdgeServer:
    """The edge of one worker."""

    def __init__(
        self,
        proxy: Door,
        *,
        tls: TlsSettings | None = None,
        trusted_proxies: Iterable[str | Network] = (),
        sampling: Sampling = Sampling(),  # noqa: B008 - a tuple is immutable
        certificate_header: str = "",
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self.proxy = proxy
        self.intake = Intake(trusted_proxies, sampling, certificate_header)
        self.date_line = date_line()
        self.field_line = remembered_field_lines()
        self.outbox = Outbox()
        self.draining = False
        """Answers carry `Connection: close`."""
        self.under_way = 0
        """Exchanges being served."""
        self.unwritable = UpstreamError(
            "UPSTREAM_INVALID",
            "the answer's status or header fields are not valid",
            sent=Sent.YES,
            reason="fields",
        )
        self._tls = tls
        self._content = content_of(tls) if tls is not None else b""
        self._context = tls_context(tls) if tls is not None else None
        self._secured: list[tuple[Any, socket.socket]] = []
        """Listeners that speak TLS, each with its socket, to listen on anew with renewed certificates."""
        self._open: set[EdgeConnection] = set()
        self._per_client: Counter[str] = Counter()
        self._listeners: list[asyncio.Server] = []
        self._sweep_seconds = sweep_seconds
        self._sweeper: asyncio.TimerHandle | None = None
        self.now = time.monotonic

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._open)

    def configure(
        self, *, trusted_proxies: Iterable[str | Network], sampling: Sampling, certificate_header: str = ""
    ) -> None:
        """Take a new generation's settings; connections that are open keep the trust they were met with."""
        self.intake = Intake(trusted_proxies, sampling, certificate_header)

    async def listen(self, where: socket.socket | tuple[str, int], *, plain: bool = False) -> tuple[str, int]:
        """Accept connections on a bound socket, or on host and port (0: a free one); returns the address.

        With certificates it speaks TLS there, unless it is to be `plain`.
        """
        context = None if plain else self._context
        listener = await self._open_listener(where, context)
        self._listeners.append(listener)
        if context is not None:
            for bound in listener.sockets:
                self._secured.append((listener, socket.socket(fileno=os.dup(bound.fileno()))))
        if self._sweeper is None:
            self._sweep()
        address = listener.sockets[0].getsockname()
        return (address[0], address[1]) if isinstance(address, tuple) else (str(address), 0)

    async def _open_listener(
        self, where: socket.socket | tuple[str, int], context: ssl.SSLContext | None
    ) -> Any:
        """A listener, whose `sockets` are a list under uvloop, whatever the types say."""
        loop = asyncio.get_running_loop()
        timeout = self.proxy.limits.head_timeout if context is not None else None
        connection: Any = self._connection  # told of its transport by duck typing
        if isinstance(where, socket.socket):
            return await loop.create_server(
                connection, sock=where, ssl=context, ssl_handshake_timeout=timeout, backlog=BACKLOG
            )
        return await loop.create_server(
            connection, *where, ssl=context, ssl_handshake_timeout=timeout, backlog=BACKLOG
        )

    def _connection(self) -> EdgeConnection:
        return EdgeConnection(self)

    # What connections ask for and tell.

    def admit(self, connection: EdgeConnection) -> bool:
        """Count a new connection in. False where there are too many: it may say so, and must close.

        A trusted proxy carries many clients, so only the cap on all connections holds it.
        """
        self._open.add(connection)
        self._per_client[connection.peer] += 1
        limits = self.proxy.limits
        if len(self._open) > limits.connections:
            return False
        return connection.trusted or self._per_client[connection.peer] <= limits.connections_per_client

    def forget(self, connection: EdgeConnection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        self._per_client[connection.peer] -= 1
        if self._per_client[connection.peer] <= 0:
            del self._per_client[connection.peer]

    def _sweep(self) -> None:
        now = self.now()
        self.date_line = date_line()
        for connection in [c for c in self._open if c.read_deadline <= now or c.write_deadline <= now]:
            connection.sweep(now)
        self._sweeper = asyncio.get_running_loop().call_later(self._sweep_seconds, self._sweep)

    # Ending.

    async def renew_certificates(self) -> None:
        """Read the files of TLS again, for connections to come.

        OSError or ValueError where they are worse than those in use, which then stay. What is renewed is the
        listener: authorities cannot be taken out of a context, nor sessions that they once vouched for.
        """
        if self._tls is None or not self._secured:
            return
        content = content_of(self._tls)
        if content == self._content:
            return
        context = renewed_context(self._tls)
        renewed: list[tuple[Any, socket.socket]] = []
        try:
            for _, kept in self._secured:
                renewed.append((await self._open_listener(kept.dup(), context), kept))
        except OSError:
            for listener, _ in renewed:
                listener.close()
            raise
        if not self._secured:  # they were closed meanwhile
            for listener, _ in renewed:
                listener.close()
            return
        for listener, _ in self._secured:
            if listener in self._listeners:  # it may have had several sockets
                self._listeners.remove(listener)
                listener.close()
        self._listeners += [listener for listener, _ in renewed]
        self._secured, self._context, self._content = renewed, context, content

    def begin_drain(self) -> None:
        """From now on every answer says `Connection: close`."""
        self.draining = True

    def close_listeners(self) -> None:
        """Accept no more connections."""
        listeners, self._listeners = self._listeners, []
        secured, self._secured = self._secured, []
        for listener in listeners:
            listener.close()
        for _, kept in secured:
            kept.close()

    async def drained(self, grace: float) -> None:
        """Close what is idle, let the rest end for `grace` seconds, cut and account for what is left."""
        self.begin_drain()
        for connection in list(self._open):
            connection.close_if_idle()
        if not await self._quiet(grace):
            for connection in list(self._open):
                connection.transport.abort()
            await self._quiet(CUT_SECONDS)
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    async def _quiet(self, seconds: float) -> bool:
        """Wait until nothing is open and nothing under way. False where that took too long."""
        end = self.now() + seconds
        while self._open or self.under_way:
            if self.now() >= end:
                return False
            await asyncio.sleep(0.01)
        return True

    def __repr__(self) -> str:
        return f"<EdgeServer {len(self._open)} connections, {self.under_way} calls under way>"
