"""An origin that a test scripts byte by byte, and callers that keep their connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast


class Request(NamedTuple):
    """One request as the origin read it."""

    line: str
    headers: dict[str, str]
    body: bytes


def answer(status: int, body: bytes = b"{}", *headers: str) -> bytes:
    """An answer in HTTP/1.1's form."""
    framing = ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([f"HTTP/1.1 {status} Told", *framing, *headers, "", ""]).encode() + body


class _Reader(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, script: Callable[[Request], bytes], readers: set[_Reader]) -> None:
        self.script, self.readers = script, readers
        self.waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.readers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.readers.discard(self)

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        head, end, rest = self.waiting.partition(b"\r\n\r\n")
        if not end:
            return
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {}
        for field in fields:
            name, _, value = field.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self.waiting = rest[length:]
        told = self.script(Request(line, headers, rest[:length]))
        if told:
            self.transport.write(told)
        else:
            self.transport.abort()


class ScriptedOrigin:
    """Answers each request with the bytes that `script` gives for it; no bytes reset the connection."""

    def __init__(self, script: Callable[[Request], bytes]) -> None:
        self.seen: list[Request] = []
        self._script = script
        self._loop = asyncio.new_event_loop()
        self._readers: set[_Reader] = set()
        self._server = self._loop.run_until_complete(self._loop.create_server(self._read, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._thread = threading.Thread(target=self._loop.run_forever)

    def _read(self) -> _Reader:
        return _Reader(self._answer, self._readers)

    def _answer(self, request: Request) -> bytes:
        self.seen.append(request)
        return self._script(request)

    def __enter__(self) -> ScriptedOrigin:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._server.close()
        for reader in self._readers:
            reader.transport.abort()  # which tells it later
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


Answers = dict[int, tuple[int, bytes]]
"""Number of the request → status and body."""


async def _converse(port: int, requests: Iterator[tuple[int, bytes]], answers: Answers) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number, request in requests:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        _, _, rest = head.lower().partition(b"content-length:")
        body = await reader.readexactly(int(rest.split(b"\r\n")[0] or 0))
        answers[number] = int(head[9:12]), body
    writer.close()
    await writer.wait_closed()


def call_all(port: int, requests: Sequence[bytes], connections: int) -> Answers:
    """Send every request, over so many kept connections at a time."""
    answers: Answers = {}
    waiting = enumerate(requests)

    async def run() -> None:
        await asyncio.gather(*(_converse(port, waiting, answers) for _ in range(connections)))

    asyncio.run(run())
    return answers
