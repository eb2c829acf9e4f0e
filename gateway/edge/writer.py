"""The head of an answer as bytes, and a streamed body as chunks: framing is decided here and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from gateway.edge.remembered import Remembered
from gateway.exchange import Exchange, Response
from gateway.stream import Stream

if TYPE_CHECKING:
    import asyncio

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_STATUS_LINES = {code: b"HTTP/1.1 %d %b\r\n" % (code, _REASONS.get(code, b"")) for code in range(200, 600)}
_FRAMING = frozenset(
    (b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"trailer", b"upgrade")
)
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
WHOLE = 64 * 1024
"""A body up to this size is written together with its head."""


FieldLine = Callable[[tuple[bytes, bytes]], bytes]


def date_line() -> bytes:
    """The Date field of now; it is true for a second."""
    return b"date: %b\r\n" % formatdate(time.time(), usegmt=True).encode()


class Framing:
    """How an answer's body is delimited: by length, by chunks, or by the end of the connection."""

    __slots__ = ("chunked", "close", "declared", "head", "length")

    def __init__(self, head: bytes, declared: int | None, bodiless: bool, chunked: bool, close: bool) -> None:
        self.head = head
        self.declared = declared
        """What Content-Length says; None without one."""
        self.length = 0 if bodiless else declared
        """Bytes the body must have; None where only its end will tell."""
        self.chunked = chunked
        self.close = close
        """The connection ends with this answer."""


def field_line(item: tuple[bytes, bytes]) -> bytes:
    """A field as it is written; nothing where framing is ours to decide. ValueError if it is unsafe."""
    if item[0] in _FRAMING:
        return b""
    line = b"%b: %b\r\n" % item
    if len(line.translate(None, b"\r\n\0")) != len(line) - 2:
        raise ValueError("a field with a line break or a NUL in it")
    return line


def remembered_field_lines() -> FieldLine:
    """The same, remembering fields that came lately: most of an answer's were in the one before."""
    return Remembered(field_line, _size).__getitem__


def _size(item: tuple[bytes, bytes]) -> int:
    return len(item[0]) + len(item[1])


def frame(
    exchange: Exchange, response: Response, close: bool, date: bytes, line_of: FieldLine = field_line
) -> Framing | None:
    """The head as it is written. None where it cannot be: a status or field no client could read safely."""
    status = response.status
    line = _STATUS_LINES.get(status)
    if line is None:
        return None
    try:
        head = line + b"".join([line_of(item) for item in response.headers])
    except ValueError:
        return None
    body = response.body
    length: int | None = None
    chunked = False
    framing = b""
    bodiless = status in (204, 304) or exchange.method == "HEAD"
    if isinstance(body, Stream) or (bodiless and not body):
        told = response.header(b"content-length")
        if told is not None and status != 204:
            if not told.isdigit():
                return None
            length = int(told)
            framing = b"content-length: %d\r\n" % length
        elif not bodiless:
            chunked = exchange.http_version == "1.1"
            close = close or not chunked
            framing = b"transfer-encoding: chunked\r\n" if chunked else b""
    elif status != 204:
        length = len(body)
        framing = b"content-length: %d\r\n" % length
    if close:
        framing += b"connection: close\r\n"
    elif exchange.http_version == "1.0":
        framing += b"connection: keep-alive\r\n"
    if b"\r\ndate: " in head:
        date = b""
    return Framing(b"".join((head, date, framing, b"\r\n")), length, bodiless, chunked, close)


def switching_head(response: Response) -> bytes | None:
    """The head of a 101: the only answer whose Connection and Upgrade are kept."""
    fields = [b"%b: %b\r\n" % item for item in response.headers if item[0] not in _FRAMING]
    block = b"".join(fields)
    return b"%b%b\r\n" % (_SWITCHING, block) if _is_clean(block, len(fields)) else None


def _is_clean(block: bytes, lines: int) -> bool:
    """No field may smuggle in another line: exactly our own CRLFs, and no NUL."""
    return block.count(b"\n") == lines == block.count(b"\r") == block.count(b"\r\n") and b"\0" not in block


class Sink(Protocol):
    """The connection a body is written to."""

    transport: asyncio.Transport

    async def drain(self) -> None:
        """Wait while the caller's socket is full."""


async def write_stream(sink: Sink, stream: Stream, framing: Framing, response: Response) -> bool:
    """Write a streamed body as it arrives. False where it ended too early or too late for its length.

    Raises what the stream's producer failed with.
    """
    write = sink.transport.write
    expected = framing.length
    while data := await stream.read():
        size = len(data)
        response.sent_bytes += size
        if expected is not None and response.sent_bytes > expected:
            return False
        if not framing.chunked:
            write(data)
        elif size > WHOLE:
            sink.transport.writelines((b"%x\r\n" % size, data, b"\r\n"))
        else:
            write(b"%x\r\n%b\r\n" % (size, data))
        await sink.drain()
    if framing.chunked:
        write(b"0\r\n\r\n")
    return expected is None or response.sent_bytes == expected
