"""Requests cut out of a byte stream: the same ones, however the bytes arrive."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.edge.limits import EdgeLimits
from gateway.edge.reading import RequestReader
from gateway.edge.server import EdgeServer
from gateway.edge.wire import HEAD
from gateway.errors import Refused
from gateway.exchange import Exchange
from gateway.stream import Stream
from tests.edge.scripted import ScriptedProxy

pytestmark = pytest.mark.interpreted


class Reader(RequestReader):
    """Collects what was read; every exchange is answered at once, so the next one may follow."""

    def __init__(self) -> None:
        super().__init__(EdgeServer(ScriptedProxy()))
        self.read: list[tuple[str, bytes]] = []
        self.rejected: list[str] = []
        self.open: Exchange | None = None

    def _start(self, exchange: Exchange, refused: Refused | None) -> None:
        assert refused is None
        self.open = exchange

    def _reject(self, refusal: Refused) -> None:
        self.rejected.append(refusal.code)

    def _proceed(self) -> None:
        self._state = HEAD
        self._body = None
        data, self._kept = self._kept, b""
        if data:
            self._collect_head(data)

    def answer(self) -> None:
        """Take the body of the open exchange, whose every byte has arrived, and go on."""
        exchange, self.open = self.open, None
        assert exchange is not None
        body = exchange.body
        if isinstance(body, Stream):
            assert body.ended
            body = b"".join(body._chunks)
        self.read.append((exchange.path, body))
        self._proceed()


def request(path: str, body: bytes, chunks: int) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\n".encode()
    if not chunks:
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    step = max(1, len(body) // chunks)
    pieces = [body[at : at + step] for at in range(0, len(body), step)]
    coded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + coded + b"0\r\n\r\n"


_requests = st.lists(
    st.tuples(st.sampled_from(["/a", "/b"]), st.binary(max_size=60), st.integers(0, 3)), max_size=4
)


@settings(deadline=None)
@given(_requests, st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_however_the_bytes_arrive(requests: list[tuple[str, bytes, int]], steps: list[int]):
    data = b"".join(request(*each) for each in requests)
    reader = Reader()
    at = turn = 0
    while at < len(data):
        step = steps[turn % len(steps)]
        reader.data_received(data[at : at + step])
        at, turn = at + step, turn + 1
        while reader.open is not None and (
            not isinstance(reader.open.body, Stream) or reader.open.body.ended
        ):
            reader.answer()
    assert reader.read == [(path, body) for path, body, _ in requests]
    assert not reader.rejected


async def test_the_rest_of_an_answered_body_is_read_before_what_is_behind_it():
    reader = Reader()
    reader.data_received(request("/a", b"hello", 0)[:-2])
    assert reader.open is not None
    reader.open = None  # answered early
    await asyncio.sleep(0)
    reader.data_received(b"lo" + request("/b", b"", 0))
    assert reader.open is not None
    assert reader.open.path == "/b"


def test_a_bodys_limit_is_the_routes():
    reader = Reader()
    reader.server.proxy.limits = EdgeLimits(body=1)
    reader.data_received(request("/a", b"hello", 0))
    assert reader.open is not None
    assert reader.open.body == b"hello"
