"""HTTP/2 frames as bytes (RFC 9113 §4), right or wrong, and an origin that says them."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from hpack import Decoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME = 0x3, 0x4, 0x5


def frame(kind: int, payload: bytes = b"", *, stream: int = 0, flags: int = 0, length: int = -1) -> bytes:
    """A frame; `length` lies about its size."""
    size = len(payload) if length < 0 else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values: int) -> bytes:
    """A SETTINGS frame; `n3=0` sets number 3 to 0."""
    return frame(
        SETTINGS, b"".join(struct.pack(">HI", int(name[1:]), value) for name, value in values.items())
    )


def field(name: bytes, value: bytes) -> bytes:
    """A field that HPACK spells out (RFC 7541 §6.2.2), both texts under 127 bytes."""
    return b"\x00%c%b%c%b" % (len(name), name, len(value), value)


def head(*fields: tuple[bytes, bytes], status: bytes = b"200", end: bool = False, stream: int = 1) -> bytes:
    """HEADERS of an answer."""
    block = b"".join(field(*item) for item in ((b":status", status), *fields))
    return frame(HEADERS, block, stream=stream, flags=END_HEADERS | (END_STREAM if end else 0))


def data(body: bytes = b"", *, end: bool = False, stream: int = 1) -> bytes:
    return frame(DATA, body, stream=stream, flags=END_STREAM if end else 0)


Say = Callable[[str, int], Iterator[bytes]]
"""Path and stream of a call → what to say about it, piece by piece; one without an end is a flood."""


class FrameOrigin:
    """Speaks HTTP/2 with prior knowledge. While it says something it reads nothing, as floods do."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self.port = 0
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await reader.readexactly(len(PREFACE))
            async for path, stream in self._calls(reader):
                for piece in self._say(path, stream):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    async def _calls(self, reader: asyncio.StreamReader) -> AsyncIterator[tuple[str, int]]:
        decoder = Decoder()
        while True:
            start = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(start[:3], "big"))
            if start[3] == HEADERS:
                fields = dict(decoder.decode(payload, raw=True))
                yield fields[b":path"].decode(), int.from_bytes(start[5:], "big")


@contextmanager
def frame_origin(say: Say) -> Iterator[FrameOrigin]:
    """One on a free port, in a thread."""
    origin = FrameOrigin(say)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(origin.serve, "127.0.0.1", 0))
    origin.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield origin
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()
