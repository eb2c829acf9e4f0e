"""Origins that say exactly what a test tells them to, byte by byte, over real sockets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from gateway.exchange import Exchange, Response
from gateway.metrics import Metrics
from gateway.stream import Stream
from gateway.upstream import Upstream, UpstreamConfig
from tests.support import make_exchange

Handler = Callable[["Visit"], Awaitable[None]]


class Visit:
    """One accepted connection, seen from the origin."""

    def __init__(self, origin: Origin, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.origin, self.reader, self.writer = origin, reader, writer

    async def request(self) -> bytes:
        """The next request's head, and its body where it announces a length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.origin.heads.append(head)
        self.origin.arrived.set()
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length: "):
                return await self.reader.readexactly(int(line[16:]))
        return b""

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until_closed(self) -> bytes:
        """Everything up to the end; waits for the gateway to close."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""


class Origin:
    """A raw TCP (or TLS) server; `handler` plays every connection."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.heads: list[bytes] = []
        self.visits: list[Visit] = []
        self.arrived = asyncio.Event()
        self.closed = asyncio.Event()
        self.port = 0
        self.url = ""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = Visit(self, reader, writer)
        self.visits.append(visit)
        try:
            await self.handler(visit)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            writer.close()


@asynccontextmanager
async def origin(
    *script: bytes | Handler, context: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[Origin]:
    """An origin that answers its calls, over all connections, from `script`; the last answer repeats."""
    answers = list(script)

    async def play(visit: Visit) -> None:
        while True:
            await visit.request()
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            assert isinstance(answer, bytes)
            await visit.say(answer)

    place = Origin(play if isinstance(script[0], bytes) else script[0])
    server = await asyncio.start_server(place, "127.0.0.1", port, ssl=context)
    place.port = server.sockets[0].getsockname()[1]
    place.url = f"http{'s' if context else ''}://127.0.0.1:{place.port}"
    try:
        yield place
    finally:
        server.close()
        for visit in place.visits:
            visit.writer.transport.abort()
        await server.wait_closed()


@asynccontextmanager
async def upstream(*origins: Origin | str, **settings: Any) -> AsyncIterator[Upstream]:
    """An upstream whose targets are `origins`; `settings` as in YAML."""
    targets = [{"url": place if isinstance(place, str) else place.url} for place in origins]
    config = UpstreamConfig.model_validate({"targets": targets, **settings})
    made = Upstream("test", config, metrics=Metrics())
    try:
        yield made
    finally:
        async with asyncio.timeout(5):
            await made.close()


def ok(body: bytes = b"hello", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A small, whole answer."""
    lines = [b"HTTP/1.1 " + status, b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def body_of(response: Response) -> bytes:
    """All of the body; ends the answer as the edge would."""
    from gateway.exchange import Outcome

    body = await response.buffer_body(1 << 30)
    response.finish(Outcome.COMPLETE)
    assert body is not None
    return body


def call(method: str = "GET", target: str = "/games", **more: Any) -> Exchange:
    exchange = make_exchange(method, target, authority="gateway.example", **more)
    exchange.target = target
    return exchange


def stream_of(*pieces: bytes, length: bool = False) -> tuple[Stream, list[tuple[bytes, bytes]]]:
    """A request body that is all there, and the headers that announce it."""
    body = Stream()
    for piece in pieces:
        body.feed(piece)
    body.end()
    size = sum(map(len, pieces))
    return body, [(b"content-length", b"%d" % size)] if length else []
