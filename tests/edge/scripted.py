"""A proxy that answers as the test says, a server around it, and a caller that speaks raw bytes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from gateway.edge.limits import EdgeLimits
from gateway.edge.server import EdgeServer
from gateway.errors import Refused, UpstreamError
from gateway.exchange import Exchange, Outcome, Response
from gateway.problem import problem_of
from gateway.stream import Stream

Answer = Callable[[Exchange], Awaitable[Response]]


@dataclass
class ScriptedRoute:
    body_limit: int = 1 << 20
    stream: bool = False


async def echo(exchange: Exchange) -> Response:
    """Answers with the request's body."""
    body = await exchange.buffer_body(1 << 20)
    return Response(200, [(b"content-type", b"text/plain")], body or b"")


class ScriptedProxy:
    """A `Door` that remembers everything it is told."""

    def __init__(
        self, answer: Answer = echo, *, limits: EdgeLimits | None = None, body_limit: int = 1 << 20
    ) -> None:
        self.script = answer
        self.limits = limits or EdgeLimits()
        self.route = ScriptedRoute(body_limit)
        self.seen: list[Exchange] = []
        self.ended: list[tuple[Exchange, Response | None, Outcome]] = []
        self.rejections: Counter[str] = Counter()
        self.refusal: Refused | None = None
        self.recorded: asyncio.Future[None] | None = None
        """What a rejection's answer waits for."""

    def find(self, exchange: Exchange) -> None:
        if self.refusal is not None:
            raise self.refusal
        exchange.route = self.route

    def forward(self, exchange: Exchange) -> Awaitable[Response]:
        self.seen.append(exchange)
        return self.script(exchange)

    def failed(self, exchange: Exchange, error: Exception) -> Response:
        return problem_of(exchange, error)

    async def answer(self, exchange: Exchange) -> Response:
        try:
            return await self.forward(exchange)
        except (Refused, UpstreamError) as error:
            return self.failed(exchange, error)

    def done(self, exchange: Exchange, response: Response | None, outcome: Outcome) -> None:
        assert all(exchange is not other for other, _, _ in self.ended), "done twice"
        assert response is None or response.ended is not None, "done before finish"
        self.ended.append((exchange, response, outcome))

    async def refused(self, exchange: Exchange, refusal: Refused) -> Response:
        return problem_of(exchange, refusal)

    def rejected(self, exchange: Exchange, refusal: Refused) -> asyncio.Future[None] | None:
        self.rejections[refusal.code] += 1
        return self.recorded

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for _, _, outcome in self.ended]


@asynccontextmanager
async def serving(proxy: ScriptedProxy, **more: Any) -> AsyncIterator[tuple[EdgeServer, int]]:
    """A server on a free port; at the end everything it had open is cut and accounted for."""
    more.setdefault("sweep_seconds", 0.02)
    server = EdgeServer(proxy, **more)
    _, port = await server.listen(("127.0.0.1", 0))
    try:
        yield server, port
    finally:
        server.close_listeners()
        await server.drained(0)
        assert server.connections == 0
        assert server.under_way == 0


class Caller:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int, **more: Any) -> Caller:
        return cls(*await asyncio.open_connection("127.0.0.1", port, **more))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and fields of the next answer."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        line, *fields = raw[:-4].decode().split("\r\n")
        return int(line.split(" ")[1]), {n.lower(): v for n, _, v in (f.partition(": ") for f in fields)}

    async def answer(self, *, bodiless: bool = False) -> tuple[int, dict[str, str], bytes]:
        """The next answer, whole."""
        status, headers = await self.head()
        if bodiless or status in (204, 304):
            return status, headers, b""
        if "content-length" in headers:
            return status, headers, await self.reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") == "chunked":
            return status, headers, await self.chunks()
        return status, headers, await self.reader.read()

    async def chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
        assert await self.reader.readexactly(2) == b"\r\n"
        return body

    async def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        self.send(data)
        return await self.answer()

    async def closed(self) -> bytes:
        """What still comes until the gateway closes; a reset counts as a close."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


@asynccontextmanager
async def calling(port: int, **more: Any) -> AsyncIterator[Caller]:
    caller = await Caller.connect(port, **more)
    try:
        yield caller
    finally:
        await caller.close()


def fed(*pieces: bytes, end: bool = True, **more: Any) -> Stream:
    """A stream that already has its pieces."""
    stream = Stream(**more)
    for piece in pieces:
        stream.feed(piece)
    if end:
        stream.end()
    return stream


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until something holds; the test's own timeout bounds it."""
    while not condition():
        await asyncio.sleep(0.001)
