from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.edge.writer import (
    Framing,
    date_line,
    field_line,
    frame,
    remembered_field_lines,
    switching_head,
    write_stream,
)
from gateway.exchange import Response
from tests.edge.scripted import fed
from tests.support import make_exchange

DATE = b"date: x\r\n"


def written(response: Response, *, method: str = "GET", version: str = "1.1", close: bool = False) -> Framing:
    framing = frame(make_exchange(method, http_version=version), response, close, DATE)
    assert framing is not None
    return framing


def test_bytes():
    framing = written(
        Response(200, [(b"x-a", b"1"), (b"content-length", b"99"), (b"connection", b"x")], b"hello")
    )
    assert framing.head == b"HTTP/1.1 200 OK\r\nx-a: 1\r\ndate: x\r\ncontent-length: 5\r\n\r\n"
    assert (framing.length, framing.declared, framing.chunked, framing.close) == (5, 5, False, False)


def test_streams():
    assert written(Response(200, [], fed())).head.endswith(b"transfer-encoding: chunked\r\n\r\n")
    framing = written(Response(200, [], fed()), version="1.0")
    assert framing.head.endswith(b"date: x\r\nconnection: close\r\n\r\n")
    assert framing.close
    framing = written(Response(200, [(b"content-length", b"7")], fed()), version="1.0")
    assert framing.head.endswith(b"content-length: 7\r\nconnection: keep-alive\r\n\r\n")
    assert (framing.length, framing.close) == (7, False)


@pytest.mark.parametrize(
    ("method", "response", "declared"),
    [
        ("HEAD", Response(200, [], b"hello"), 5),
        ("HEAD", Response(200, [(b"content-length", b"77")], b""), 77),
        ("HEAD", Response(200, [], b""), None),
        ("HEAD", Response(200, [], fed()), None),
        ("GET", Response(204, [(b"content-length", b"5")], b"hello"), None),
        ("GET", Response(204, [], b""), None),
        ("GET", Response(304, [(b"content-length", b"5")], b""), 5),
        ("GET", Response(304, [], b""), None),
        ("GET", Response(200, [], b""), 0),
    ],
)
def test_bodiless(method: str, response: Response, declared: int | None):
    framing = written(response, method=method)
    assert (framing.declared, framing.length) == (declared, 0)
    assert (b"content-length" in framing.head) is (declared is not None)
    assert b"transfer-encoding" not in framing.head


def test_the_origins_date_is_kept():
    assert written(Response(200, [(b"date", b"theirs")], b"")).head.count(b"date: ") == 1
    assert written(Response(200, [(b"x-date", b"a date: b")], b"")).head.count(b"\r\ndate: ") == 1


def test_unknown_statuses_have_no_reason():
    assert written(Response(299, [], b"")).head.startswith(b"HTTP/1.1 299 \r\n")


def test_close_is_said():
    assert written(Response(200, [], b""), close=True).head.endswith(b"connection: close\r\n\r\n")


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=6), st.binary(max_size=6)), max_size=4))
@example([(b"date", b"")])
def test_no_field_ever_becomes_two(headers: list[tuple[bytes, bytes]]):
    framing = frame(make_exchange(), Response(200, headers, b""), False, DATE)
    bad = any(byte in name + value for name, value in headers for byte in b"\r\n\0")
    if framing is None:
        assert bad
    else:
        assert not bad
        ours = 3 if any(name == b"date" for name, _ in headers) else 4  # the upstream's Date replaces ours
        assert framing.head.count(b"\r\n") == len(headers) + ours


def test_switching():
    response = Response(101, [(b"sec-websocket-accept", b"x"), (b"upgrade", b"y")])
    assert switching_head(response) == (
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-accept: x\r\n\r\n"
    )
    assert switching_head(Response(101, [(b"a", b"b\r\nc: d")])) is None


def test_the_date_is_a_date():
    assert parsedate_to_datetime(date_line()[6:].decode().strip()) is not None


class Sink:
    def __init__(self) -> None:
        self.data = b""
        self.drains = 0
        self.transport = self

    def write(self, data: bytes) -> None:
        self.data += data

    def writelines(self, parts: tuple[bytes, ...]) -> None:
        self.data += b"".join(parts)

    async def drain(self) -> None:
        self.drains += 1
        await asyncio.sleep(0)


async def test_streams_are_written_piece_by_piece():
    sink, response = Sink(), Response(200)
    assert await write_stream(
        sink, fed(b"ab", b"c" * 70_000), Framing(b"", None, False, True, False), response
    )  # type: ignore[arg-type]
    assert sink.data == b"2\r\nab\r\n11170\r\n" + b"c" * 70_000 + b"\r\n0\r\n\r\n"
    assert (sink.drains, response.sent_bytes) == (2, 70_002)


@pytest.mark.parametrize(("declared", "whole"), [(3, False), (4, True), (5, False)])
async def test_a_declared_length_is_kept_or_told(declared: int, whole: bool):
    sink, response = Sink(), Response(200)
    framing = Framing(b"", declared, False, False, False)
    assert await write_stream(sink, fed(b"ab", b"cd"), framing, response) is whole  # type: ignore[arg-type]
    assert len(sink.data) <= declared


NAMES = st.sampled_from([b"x-a", b"date", b"connection", b"content-length", b"x-a\r\nb"]) | st.binary(
    max_size=3
)


@given(st.lists(st.tuples(NAMES, st.sampled_from([b"1", b"a\nb"]) | st.binary(max_size=3)), max_size=5))
def test_fields_that_are_remembered_are_written_as_before(fields: list[tuple[bytes, bytes]]):
    """And those that cannot be written are so however often they come."""
    remembered = remembered_field_lines()
    exchange, response = make_exchange(), Response(200, fields, b"hello")
    exact = frame(exchange, response, False, DATE)
    safe = b"".join(b"%b%b" % item for item in fields if field_kept(item[0])).translate(None, b"\r\n\0")
    if exact is not None:
        assert len(safe) == sum(len(n) + len(v) for n, v in fields if field_kept(n))
    for _ in range(2):
        framing = frame(exchange, response, False, DATE, remembered)
        assert (framing and framing.head) == (exact and exact.head)


def field_kept(name: bytes) -> bool:
    return name not in (b"connection", b"content-length")


@pytest.mark.parametrize("item", [(b"a", b"b\r"), (b"a\n", b"b"), (b"a", b"\0"), (b"a\r\nb", b"c")])
def test_a_field_that_would_be_two_is_none(item: tuple[bytes, bytes]):
    with pytest.raises(ValueError, match="line break"):
        field_line(item)
