"""The real connection and pool over a wire in memory: pieces of an answer in, what the caller gets out.

No loop turns between the pieces, so ten thousand conversations take seconds, and each can be repeated.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.errors import UpstreamError
from gateway.exchange import Attempt, Response
from gateway.stream import Stream
from gateway.upstream.connection import Connection
from gateway.upstream.plain import PlainAnswers
from gateway.upstream.pool import Pool
from gateway.upstream.settings import TimeoutConfig
from tests.upstream.strict import BROKEN, SHORT, WHOLE, Fields, Reading, read

STAYS, ENDS, RESETS = "stays", "ends", "resets"
NOTHING, ERROR, ANSWER = "nothing", "error", "answer"
OPEN, CUT = "open", "cut"
OWN = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nthe own"
REQUEST = b"GET / HTTP/1.1\r\nhost: origin\r\n\r\n"
_TIMEOUT = TimeoutConfig()


class Wire:
    """A transport between the gateway and nobody."""

    def __init__(self, silent: socket.socket) -> None:
        self._silent = silent
        self.cut = False
        self.connection: Connection

    def get_extra_info(self, name: str) -> socket.socket:
        return self._silent

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def write(self, data: bytes) -> None:
        assert not self.cut

    def is_closing(self) -> bool:
        return self.cut

    def is_reading(self) -> bool:
        return True

    def abort(self) -> None:
        self.cut = True

    def lose(self, error: Exception | None) -> None:
        self.cut = True
        self.connection.connection_lost(error)


@dataclass
class Told:
    """What the caller got of one answer."""

    kind: str = NOTHING
    code: str = ""
    """Of an error, at once or in the middle of the body."""
    status: int = 0
    fields: Fields = field(default_factory=list)
    length: bytes | None = None
    body: bytes = b""
    state: str = OPEN
    """Of the body: whole, open or cut."""
    kept: bool = False
    """The connection went back to the pool."""


async def converse(pieces: Sequence[bytes], *, end: str = STAYS, asks_head: bool = False) -> Told:
    """Make one call, answered in these pieces; then another one, which must get its own answer."""
    wires: dict[Connection, Wire] = {}
    ours, silent = socket.socketpair()
    plain = PlainAnswers()

    async def connect(pool: Pool) -> Connection:
        wire = Wire(silent)
        wire.connection = connection = Connection(_TIMEOUT, pool.released, pool.closed, plain)
        connection.connection_made(wire)
        wires[connection] = wire
        return connection

    pool = Pool(1, 30.0, connect)
    with ours, silent:
        connection = await _acquire(pool)
        wire = wires[connection]
        waiter = _send(connection, asks_head=asks_head)
        for piece in pieces:
            if not wire.cut:
                connection.data_received(piece)
        if not wire.cut and end == ENDS:
            connection.eof_received()
        if wire.cut or end == ENDS:
            wire.lose(None)
        elif end == RESETS:
            wire.lose(ConnectionResetError())
        told = await _told(waiter)
        told.kept = pool.idle == 1
        assert not (told.kept and wire.cut)
        if not told.kept and not wire.cut:
            connection.close()  # the deadline would, which nobody waits for here
        other = await _acquire(pool)
        assert (other is connection) is told.kept
        waiter = _send(other)
        other.data_received(OWN)
        assert waiter.result().body == b"the own"
        other.close()
        assert (pool.idle, pool.active) == (0, 0)
    return told


async def _acquire(pool: Pool) -> Connection:
    return await pool.acquire(asyncio.get_running_loop().time() + 60)


def _send(connection: Connection, *, asks_head: bool = False) -> asyncio.Future[Response]:
    now = asyncio.get_running_loop().time()
    attempt = Attempt("http://origin", "1", 0)
    return connection.send(REQUEST, b"", 0, attempt, now=now, total_at=now + 60, asks_head=asks_head)


async def _told(waiter: asyncio.Future[Response]) -> Told:
    if not waiter.done():
        return Told()
    error = waiter.exception()
    if error is not None:
        assert isinstance(error, UpstreamError), repr(error)
        return Told(ERROR, error.code)
    return await told_of(waiter.result())


async def told_of(response: Response, *, patient: bool = False) -> Told:
    """What an answer says, as far as it is there; to the end of its body where `patient`."""
    told = Told(ANSWER, status=response.status, length=response.header(b"content-length"), state=WHOLE)
    told.fields = [
        (name, value.rstrip(b" \t")) for name, value in response.headers if name != b"content-length"
    ]
    if not isinstance(response.body, Stream):
        told.body = response.body
        return told
    stream = response.body
    while patient or stream.size or stream.ended:
        try:
            data = await stream.read()
        except UpstreamError as error:
            told.state, told.code = CUT, error.code
            return told
        if not data:
            return told
        told.body += data
    told.state = OPEN
    return told


def objection(data: bytes, told: Told, *, end: str = STAYS, asks_head: bool = False) -> str:
    """What is wrong with what the caller got of `data`; empty where nothing is."""
    reading = read(data, asks_head=asks_head, ended=end == ENDS)
    exact = reading.state == WHOLE and reading.size == len(data)
    if told.kept and not (exact and reading.lasting and end == STAYS):
        return f"the connection is kept behind {reading}"
    if told.kind == NOTHING:
        return f"it hangs at {reading}" if end != STAYS or reading.status else ""
    if told.kind == ERROR:
        return _objection_to_error(data, told, reading)
    if not reading.status:
        return f"a head where there is none: {told}"
    length = None if told.length is None else int(told.length)
    if (told.status, told.fields) != (reading.status, reading.fields) or length not in (None, reading.length):
        return f"another head: {told} for {reading}"
    if told.state == WHOLE:
        if reading.state != WHOLE or told.body != reading.body:
            return f"told as whole: {told.body!r} for {reading}"
        return ""
    if not reading.body.startswith(told.body):
        return f"another body: {told.body!r} for {reading}"
    if told.state == CUT and told.code != "UPSTREAM_INVALID":
        return f"the code is {told.code}"
    if told.state == OPEN and (end != STAYS or (reading.state == SHORT and told.body != reading.body)):
        return f"its body hangs, or lacks what came: {told.body!r} for {reading}"
    return (
        f"a whole answer is not told as one: {told}"
        if reading.state == WHOLE and not reading.doubtful
        else ""
    )


def _objection_to_error(data: bytes, told: Told, reading: Reading) -> str:
    if told.code != ("UPSTREAM_INVALID" if data else "UPSTREAM_UNREACHABLE"):
        return f"the code is {told.code}"
    if reading.doubtful or reading.state == BROKEN or not reading.status:
        return ""
    if reading.state == WHOLE or reading.length is not None:
        return f"refused, and there is nothing wrong with it: {reading}"
    return ""  # of chunks that are not whole, a parser may see sooner that they never will be
