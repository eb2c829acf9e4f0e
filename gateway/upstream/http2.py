"""Calls to one target over HTTP/2: httpx's transport, called directly, without its client's habits."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any
from urllib.parse import urlsplit

import httpx

from gateway.errors import Refused
from gateway.exchange import Attempt, Exchange, Response
from gateway.upstream.http2_call import Http2Call
from gateway.upstream.pins import insist
from gateway.upstream.request import announced_length, httpx_headers, target_of
from gateway.upstream.settings import TargetConfig, UpstreamConfig


class Lane:
    """One httpx transport and the calls it carries.

    httpcore cannot reset the stream of a call that is given up. Such a call retires its lane: new
    calls take another, and with the last one on this lane its connections close, which tells the
    upstream at last. Until then somebody has to go on reading what nobody wants.
    """

    def __init__(self, transport: httpx.AsyncHTTPTransport) -> None:
        self.transport = transport
        self.calls = 0
        self.retired = False
        self._left_behind: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        self._empty = asyncio.Event()

    def enter(self) -> None:
        """A call begins."""
        self.calls += 1

    def leave(self) -> None:
        """A call ended."""
        self.calls -= 1
        if self.retired and not self.calls and self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._shut())
            self._empty.set()

    def leave_behind(self, reader: asyncio.Task[None]) -> None:
        """A call was given up: `reader` takes what still comes for it."""
        self.retired = True
        if not reader.done():
            self._left_behind.add(reader)
            reader.add_done_callback(self._left_behind.discard)
        self.leave()

    async def _shut(self) -> None:
        readers = list(self._left_behind)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        await self.transport.aclose()

    async def close(self) -> None:
        """Take no more calls, and go when the last one ended."""
        self.retired = True
        self.enter()
        self.leave()
        await self._empty.wait()
        if self._closing is not None:
            await self._closing


class Http2Sender:
    """Sends over HTTP/2: negotiated over TLS, with prior knowledge (RFC 9113 §3.3) without.

    httpx sends the whole request before it reads the answer, so an early answer waits for that.
    """

    def __init__(self, target: TargetConfig, config: UpstreamConfig, context: ssl.SSLContext | None) -> None:
        parts = urlsplit(target.url)
        self._url = httpx.URL(target.origin)
        self._prefix = parts.path
        self._host = parts.netloc if config.host == "target" else ""
        self._context = context
        self._config = config
        self._lanes: dict[ssl.SSLContext | None, Lane] = {}
        self._leaving: set[Lane] = set()

    async def send(self, exchange: Exchange, attempt: Attempt, *, fresh: bool = False) -> Response:
        """One attempt. Raises UpstreamError; Refused for an upgrade, which HTTP/2 does not have."""
        del fresh  # httpcore opens a new connection where the old one was closed
        if exchange.upgrade:
            raise Refused("NOT_IMPLEMENTED", "An upstream that speaks HTTP/2 takes no WebSocket")
        call = Http2Call(self._lane(exchange), exchange, attempt, self._config.timeout)
        return await call.begin(self._request(exchange, attempt))

    def _lane(self, exchange: Exchange) -> Lane:
        """The connections that show the identity this call must show."""
        identity = self._context
        if identity is not None and exchange.tls_identity is not None:
            identity = exchange.tls_identity
            identity.set_alpn_protocols(["h2"])
            insist(identity, self._config.tls.pins)
        lane = self._lanes.get(identity)
        if lane is None or lane.retired:
            if lane is not None:
                self._leaving = {old for old in self._leaving if old.calls} | {lane}
            lane = self._lanes[identity] = Lane(self._make_transport(identity))
        return lane

    def _make_transport(self, context: ssl.SSLContext | None) -> httpx.AsyncHTTPTransport:
        pool = self._config.pool
        return httpx.AsyncHTTPTransport(
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if context is None else context,
            http1=False,
            http2=True,
            retries=0,
            trust_env=False,
            limits=httpx.Limits(
                max_connections=pool.max_connections,
                max_keepalive_connections=pool.max_connections,
                keepalive_expiry=pool.idle_timeout,
            ),
        )

    def _request(self, exchange: Exchange, attempt: Attempt) -> httpx.Request:
        timeout = self._config.timeout
        extensions: dict[str, Any] = {
            # httpx would normalise the path; this goes out as it is.
            "target": target_of(exchange, self._prefix).encode("latin-1", "replace"),
            # A read timeout would end every call on the connection: reading has deadlines of our own.
            "timeout": {
                "connect": timeout.connect,
                "pool": timeout.connect,
                "write": timeout.idle,
                "read": None,
            },
        }
        if self._config.tls.server_name is not None:
            extensions["sni_hostname"] = self._config.tls.server_name
        headers = httpx_headers(exchange, attempt.span_id, host=self._host, length=announced_length(exchange))
        return httpx.Request(exchange.method, self._url, headers=headers, extensions=extensions)

    @property
    def idle(self) -> int:
        """Lanes without a call; httpx does not tell its connections apart."""
        return sum(1 for lane in self._lanes.values() if not lane.calls)

    @property
    def active(self) -> int:
        """Calls under way: streams, not connections."""
        return sum(lane.calls for lane in {*self._lanes.values(), *self._leaving})

    @property
    def waiting(self) -> int:
        """Calls wait inside httpx, uncounted."""
        return 0

    async def close(self) -> None:
        """Close connections without a call now, the others with their last call."""
        lanes = {*self._lanes.values(), *self._leaving}
        self._lanes.clear()
        self._leaving.clear()
        await asyncio.gather(*(lane.close() for lane in lanes))
