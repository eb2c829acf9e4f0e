"""Two httptools protocols under uvloop, one for each side, and nothing else: the limit of Python.

It does what no HTTP proxy can leave out: it parses both sides, drops the headers of the connection, frames
bodies by their length, keeps connections, and answers one call after another in order. It holds no deadline,
limits nothing, and takes neither HEAD nor upgrades.
"""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Any

import uvloop
from httptools import HttpParserError, HttpRequestParser, HttpResponseParser

from bench.recipes.settings import HOP_BY_HOP, Settings

DROPPED = frozenset(name.encode() for name in HOP_BY_HOP | {"host", "content-length"})
PHRASES = {int(status): status.phrase for status in HTTPStatus}
STATUS_LINES = {code: f"HTTP/1.1 {code} {PHRASES.get(code, '')}\r\n".encode() for code in range(100, 1000)}
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"


class Caller(asyncio.Protocol):
    """The side of whoever calls."""

    __slots__ = (
        "begun",
        "body",
        "busy",
        "headers",
        "origin",
        "parser",
        "transport",
        "url",
        "waiting",
        "write",
    )

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.parser = HttpRequestParser(self)
        self.busy = False
        self.waiting: deque[bytes] = deque()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.write = transport.write

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except HttpParserError:
            self.transport.close()

    def on_message_begin(self) -> None:
        self.url = self.headers = self.body = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() not in DROPPED:
            self.headers += name + b": " + value + b"\r\n"

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        method, body = self.parser.get_method(), self.body
        if body or method == b"POST":
            self.headers += b"content-length: %d\r\n" % len(body)
        head = method + b" " + self.url + self.origin.host_line + self.headers + b"\r\n"
        if self.busy:  # pipelined: answers keep the order of the calls
            self.waiting.append(head + body)
        else:
            self.busy = True
            self.origin.send(head + body, self)

    def answer(self, data: bytes) -> None:
        self.write(data)
        if self.waiting:
            self.origin.send(self.waiting.popleft(), self)
        else:
            self.busy = False


class Upstream(asyncio.Protocol):
    """The side of the origin: one connection, for one call at a time."""

    __slots__ = ("body", "caller", "headers", "idle", "parser", "transport", "write")

    def __init__(self, idle: list[Upstream], caller: Caller) -> None:
        self.idle = idle
        self.caller: Caller | None = caller
        self.parser = HttpResponseParser(self)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.write = transport.write

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except HttpParserError:
            self.transport.close()

    def on_message_begin(self) -> None:
        self.headers = self.body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() not in DROPPED:
            self.headers += name + b": " + value + b"\r\n"

    def on_body(self, data: bytes) -> None:
        self.body = self.body + data if self.body else data

    def on_message_complete(self) -> None:
        caller = self.caller
        if caller is None:  # an answer to nothing
            self.transport.close()
            return
        self.caller = None
        if self.parser.should_keep_alive():
            self.idle.append(self)
        else:
            self.transport.close()
        line = STATUS_LINES[self.parser.get_status_code()]
        caller.answer(line + self.headers + b"content-length: %d\r\n\r\n" % len(self.body) + self.body)

    def connection_lost(self, _error: Exception | None) -> None:
        if self in self.idle:
            self.idle.remove(self)
        if self.caller is not None:
            self.caller.answer(BAD_GATEWAY)


class Origin:
    """Where calls go, and the connections to it that nobody uses; the one used last is used next."""

    def __init__(self, authority: str) -> None:
        self.host_line = f" HTTP/1.1\r\nhost: {authority}\r\n".encode()
        self._host, _, port = authority.partition(":")
        self._port = int(port)
        self._idle: list[Upstream] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, call: bytes, caller: Caller) -> None:
        if self._idle:
            upstream = self._idle.pop()
            upstream.caller = caller
            upstream.write(call)
        else:
            task = asyncio.get_running_loop().create_task(self._connect(call, caller))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, call: bytes, caller: Caller) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, upstream = await loop.create_connection(
                lambda: Upstream(self._idle, caller), self._host, self._port
            )
        except OSError:
            caller.answer(BAD_GATEWAY)
        else:
            upstream.write(call)


async def serve(settings: Settings) -> None:
    """Serve for ever."""
    origin = Origin(settings.origin)
    server = await asyncio.get_running_loop().create_server(
        lambda: Caller(origin), "127.0.0.1", settings.port
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(Settings.read()))
