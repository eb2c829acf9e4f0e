"""A strict origin that remembers every byte it is sent: for smuggling, what counts is what arrives here."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[!-~]*) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")


@dataclass
class Arrived:
    """One request as the origin understood it."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        """All values of a field, `name` in lower case."""
        return [value for key, value in self.fields if key == name]


@dataclass
class RecordingOrigin:
    """Answers every request with 200 and its own target. What it cannot read strictly is a `fault`."""

    port: int = 0
    arrived: list[Arrived] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def clear(self) -> None:
        self.arrived.clear()
        self.faults.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await self._read(reader)) is not None:
                self.arrived.append(request)
                body = request.target.encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
                await writer.drain()
        except (ValueError, asyncio.LimitOverrunError) as error:
            self.faults.append(str(error))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Arrived | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                raise ValueError(f"half a head: {end.partial!r}") from None
            return None
        line, *lines = head[:-4].split(b"\r\n")
        start = _REQUEST_LINE.fullmatch(line)
        if start is None:
            raise ValueError(f"not a request line: {line!r}")
        fields = []
        for text in lines:
            found = _FIELD.fullmatch(text)
            if found is None:
                raise ValueError(f"not a field: {text!r}")
            fields.append((found[1].decode().lower(), found[2].decode("latin-1")))
        request = Arrived(start[1].decode(), start[2].decode(), fields)
        lengths, codings = request.values("content-length"), request.values("transfer-encoding")
        if len(lengths) + len(codings) > 1:
            raise ValueError(f"framed more than once: {lengths} {codings}")
        if len(request.values("host")) != 1:
            raise ValueError(f"{len(request.values('host'))} hosts")
        if lengths:
            if not lengths[0].isdigit():
                raise ValueError(f"not a length: {lengths[0]!r}")
            request.body = await reader.readexactly(int(lengths[0]))
        elif codings:
            if codings != ["chunked"]:
                raise ValueError(f"not chunked: {codings}")
            request.body = await self._read_chunks(reader)
        return request

    async def _read_chunks(self, reader: asyncio.StreamReader) -> bytes:
        body = b""
        while True:
            size = (await reader.readuntil(b"\r\n"))[:-2]
            if _SIZE.fullmatch(size) is None:
                raise ValueError(f"not a chunk size: {size!r}")
            data = await reader.readexactly(int(size, 16) + 2)
            if data[-2:] != b"\r\n":
                raise ValueError("a chunk that does not end where it says, or a trailer")
            if not int(size, 16):
                return body
            body += data[:-2]


@asynccontextmanager
async def recording_origin() -> AsyncIterator[RecordingOrigin]:
    """One on a free port."""
    origin = RecordingOrigin()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0, limit=1 << 20)
    origin.port = server.sockets[0].getsockname()[1]
    try:
        yield origin
    finally:
        server.close()
