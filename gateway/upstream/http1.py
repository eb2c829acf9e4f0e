"""Calls to one target over pooled HTTP/1.1 connections."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from urllib.parse import urlsplit

from gateway.errors import Sent, UpstreamError
from gateway.exchange import Attempt, Exchange, Response
from gateway.outbox import Outbox
from gateway.upstream.connection import Connection
from gateway.upstream.faults import connect_fault
from gateway.upstream.pins import insist
from gateway.upstream.plain import PlainAnswers
from gateway.upstream.pool import Pool
from gateway.upstream.request import announced_length, request_head
from gateway.upstream.secure import ReadBuffer, SecureConnection
from gateway.upstream.settings import TargetConfig, UpstreamConfig


class Http1Sender:
    """Sends over HTTP/1.1; every TLS identity has its own pool, so that nobody borrows another's."""

    def __init__(self, target: TargetConfig, config: UpstreamConfig, context: ssl.SSLContext | None) -> None:
        parts = urlsplit(target.url)
        assert parts.hostname is not None
        self._address = (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
        self._prefix = parts.path
        self._host = parts.netloc if config.host == "target" else ""
        self._server_name = config.tls.server_name or parts.hostname
        self._context = context
        self._pins = config.tls.pins
        self._timeout = config.timeout
        self._connect_s, self._total_s = config.timeout.connect, config.timeout.total
        self._pool_config = config.pool
        self._plain = PlainAnswers()
        self._buffer = None if context is None else ReadBuffer()
        self._outbox = Outbox()
        self._time: Callable[[], float] | None = None
        self._pool = self._make_pool(context)
        self._identities: dict[ssl.SSLContext, Pool] = {}

    def send(self, exchange: Exchange, attempt: Attempt, *, fresh: bool = False) -> Awaitable[Response]:
        """One attempt. `fresh` asks for a connection that nobody used before.

        Raises UpstreamError, at once or when awaited, whose reason is `stale` where a used connection
        turned out to be closed before a byte of the answer; Refused where the pool and its line are full.
        Who stops waiting for the answer tells `attempt.carrier`.
        """
        body = exchange.body
        length = len(body) if isinstance(body, bytes) else announced_length(exchange)
        # Before a connection is taken, which a Refused from here would not give back.
        head = request_head(exchange, attempt.span_id, prefix=self._prefix, host=self._host, length=length)
        time = self._time
        if time is None:  # calls come from one loop; asking for it is a system call
            time = self._time = asyncio.get_running_loop().time
        now = time()
        total_at = now + self._total_s
        if exchange.deadline is not None and exchange.deadline < total_at:
            total_at = exchange.deadline
            if total_at <= now:
                raise UpstreamError(
                    "UPSTREAM_TIMEOUT", "No time was left for the call", sent=Sent.NO, reason="total_timeout"
                )
        pool = self._pool
        if exchange.tls_identity is not None and self._context is not None:
            pool = self._pool_of(exchange.tls_identity)
        connection = None if fresh else pool.spare()
        if connection is None:
            until = min(now + self._connect_s, total_at)
            taking = pool.acquire_new(until) if fresh else pool.acquire(until)
            return self._send_later(taking, pool, exchange, attempt, head, length, total_at)
        return self._send_on(connection, pool, exchange, attempt, head, length, now, total_at)

    async def _send_later(  # noqa: PLR0917 - as `_send_on`
        self,
        taking: Awaitable[Connection],
        pool: Pool,
        exchange: Exchange,
        attempt: Attempt,
        head: bytes,
        length: int | None,
        total_at: float,
    ) -> Response:
        connection = await taking
        now = asyncio.get_running_loop().time()
        return await self._send_on(connection, pool, exchange, attempt, head, length, now, total_at)

    def _send_on(  # noqa: PLR0917 - called for every attempt, by position
        self,
        connection: Connection,
        pool: Pool,
        exchange: Exchange,
        attempt: Attempt,
        head: bytes,
        length: int | None,
        now: float,
        total_at: float,
    ) -> asyncio.Future[Response]:
        attempt.connected_ns = perf_counter_ns()
        attempt.reused = connection.calls > 0
        attempt.carrier = connection
        route = exchange.route
        return connection.send(
            head,
            exchange.body,
            length,
            attempt,
            now=now,
            total_at=total_at,
            asks_head=exchange.method == "HEAD",
            upgrade=exchange.upgrade,
            endless=route is not None and route.stream,
            outbox=self._outbox if pool.active > 1 else None,
        )

    def _make_pool(self, context: ssl.SSLContext | None) -> Pool:
        async def connect(pool: Pool) -> Connection:
            host, port = self._address
            try:
                _, connection = await asyncio.get_running_loop().create_connection(  # type: ignore[type-var]
                    lambda: self._make_connection(pool),
                    host,
                    port,
                    ssl=context,
                    server_hostname=None if context is None else self._server_name,
                )
            except (OSError, UnicodeError) as error:
                raise connect_fault(error) from error
            return connection

        return Pool(self._pool_config.max_connections, self._pool_config.idle_timeout, connect)

    def _make_connection(self, pool: Pool) -> Connection:
        if self._buffer is None:
            return Connection(self._timeout, pool.released, pool.closed, self._plain)
        return SecureConnection(self._timeout, pool.released, pool.closed, self._plain, self._buffer)

    def _pool_of(self, identity: ssl.SSLContext) -> Pool:
        pool = self._identities.get(identity)
        if pool is None:
            # A reload brings new contexts; the pools of the old ones empty themselves.
            self._identities = {key: pool for key, pool in self._identities.items() if not pool.empty}
            insist(identity, self._pins)
            pool = self._identities[identity] = self._make_pool(identity)
        return pool

    @property
    def pools(self) -> list[Pool]:
        """The upstream's own, then one per TLS identity."""
        return [self._pool, *self._identities.values()]

    @property
    def idle(self) -> int:
        """Connections that wait for a call."""
        return sum(pool.idle for pool in self.pools)

    @property
    def active(self) -> int:
        """Connections that carry a call or are being opened."""
        return sum(pool.active for pool in self.pools)

    @property
    def waiting(self) -> int:
        """Calls that wait for a connection."""
        return sum(pool.waiting for pool in self.pools)

    async def close(self) -> None:
        """Close idle connections now, the others as soon as their calls end."""
        await asyncio.gather(*(pool.close() for pool in self.pools))
