"""Every framing rule as a script: bytes in, an answer or a refusal out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.answer import HEAD_LIMIT, HEADER_COUNT_LIMIT, AnswerReader, InvalidAnswerError


def read(*pieces: bytes, head: bool = False, upgrade: bool = False) -> AnswerReader:
    reader = AnswerReader()
    reader.begin(head=head, upgrade=upgrade)
    for piece in pieces:
        reader.feed(piece)
    return reader


def body(reader: AnswerReader) -> bytes:
    return b"".join(reader.chunks)


def test_a_whole_answer() -> None:
    reader = read(b"HTTP/1.1 200 OK\r\nX-Game: slots\r\nContent-Length: 5\r\n\r\nhello")
    assert (reader.status, reader.headers, body(reader)) == (200, [(b"x-game", b"slots")], b"hello")
    assert reader.complete
    assert reader.keep_alive
    assert not reader.dirty
    assert reader.length == b"5"


def test_the_next_answer_starts_clean() -> None:
    reader = read(b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 5\r\n\r\nhello")
    reader.begin()
    assert (reader.status, reader.headers, reader.complete) == (0, [], False)
    reader.feed(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
    assert (reader.status, reader.headers, body(reader), reader.complete) == (404, [], b"", True)


@pytest.mark.parametrize("cut", range(1, 60))
def test_wherever_it_is_cut(cut: int) -> None:
    whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    reader = read(whole[:cut], whole[cut:])
    assert (body(reader), reader.complete, reader.dirty) == (b"abc", True, False)


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("framing", [b"", b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n"])
def test_204_and_304_have_no_body(status: int, framing: bytes) -> None:
    reader = read(b"HTTP/1.1 %d X\r\n%b\r\n" % (status, framing))
    assert reader.complete
    assert reader.keep_alive
    assert not reader.dirty
    assert reader.length == (b"5" if framing.startswith(b"content") and status == 304 else None)
    reader.begin()
    reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    assert body(reader) == b"ok"


@pytest.mark.parametrize("framing", [b"", b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n"])
def test_an_answer_to_head_has_no_body(framing: bytes) -> None:
    reader = read(b"HTTP/1.1 200 OK\r\n%b\r\n" % framing, head=True)
    assert reader.complete
    assert reader.keep_alive
    assert not reader.dirty


@pytest.mark.parametrize(
    "more", [b"hello", b"\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"x"]
)
@pytest.mark.parametrize("framing", [b"", b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n"])
def test_a_body_where_there_is_none_makes_it_dirty(framing: bytes, more: bytes) -> None:
    reader = read(b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (framing, more), head=True)
    assert reader.complete
    assert reader.dirty
    assert reader.chunks == []


def test_head_closes_where_it_says_so() -> None:
    assert not read(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", head=True).keep_alive
    assert not read(b"HTTP/1.0 200 OK\r\n\r\n", head=True).keep_alive
    assert read(b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\n", head=True).keep_alive


def test_the_end_of_the_connection_ends_a_body_without_framing() -> None:
    reader = read(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo")
    assert not reader.complete
    assert reader.eof()
    assert reader.complete
    assert body(reader) == b"hello"
    assert not reader.keep_alive


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab",
    ],
)
def test_the_end_of_the_connection_ends_nothing_else(data: bytes) -> None:
    reader = read(data)
    assert not reader.eof()
    assert not reader.complete


@pytest.mark.parametrize(
    "more",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison",
        b"H",
        b"junk",
        b"\0",
    ],
)
@pytest.mark.parametrize("connection", [b"keep-alive", b"close"])
def test_bytes_behind_an_answer_make_it_dirty(more: bytes, connection: bytes) -> None:
    whole = b"HTTP/1.1 200 OK\r\nconnection: %b\r\ncontent-length: 5\r\n\r\nhello" % connection
    for reader in (read(whole + more), read(whole, more)):
        assert (reader.status, body(reader), reader.complete, reader.dirty) == (200, b"hello", True, True)


@pytest.mark.parametrize("more", [b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n"])
@pytest.mark.parametrize(
    "whole",
    [
        b"HTTP/1.1 200 OK\r\nx-a: \xff\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nx-a: \xff\r\ncontent-length: 2\r\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-a: \xff\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-trailer:\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
def test_empty_lines_behind_an_answer_make_it_dirty_wherever_it_is_cut(whole: bytes, more: bytes) -> None:
    for cut in range(len(whole + more)):
        for size in (1, 2, 3, 100):
            data = whole + more
            pieces = [piece for piece in (data[:cut], data[cut : cut + size], data[cut + size :]) if piece]
            assert read(*pieces).dirty
            pieces = [piece for piece in (whole[:cut], whole[cut : cut + size], whole[cut + size :]) if piece]
            reader = read(*pieces)
            assert (reader.complete, reader.dirty, reader.keep_alive) == (True, False, True)


def test_space_around_a_length_is_no_part_of_it() -> None:
    reader = read(b"HTTP/1.1 200 OK\r\ncontent-length: \t 5 \t\r\n\r\nhello")
    assert (reader.length, body(reader), reader.complete, reader.dirty) == (b"5", b"hello", True, False)


@pytest.mark.parametrize(("status", "head"), [(204, False), (304, False), (200, True)])
@pytest.mark.parametrize("framing", [b"", b"content-length: 0\r\n", b"transfer-encoding: chunked\r\n"])
@pytest.mark.parametrize(
    "more",
    [
        b"HTTP/1.1 503 Poison\r\nx-planted: 1\r\ncontent-length: 6\r\n\r\npoison",
        b"HTTP/1.1 204 Poison\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"0\r\n\r\n",
        b"6\r\npoison\r\n0\r\n\r\n",
    ],
)
def test_an_answer_behind_one_without_a_body_is_no_part_of_it(
    status: int, head: bool, framing: bytes, more: bytes
) -> None:
    whole = b"HTTP/1.1 %d X\r\nx-a: 1\r\n%b\r\n" % (status, framing)
    reader = read(whole + more, head=head)
    assert (reader.status, reader.headers) == (status, [(b"x-a", b"1")])
    assert (reader.complete, reader.dirty, reader.chunks) == (True, True, [])


def test_interim_answers_are_skipped() -> None:
    reader = read(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    )
    assert (reader.status, reader.headers, body(reader)) == (200, [], b"ok")
    assert reader.complete
    assert not reader.dirty


def test_interim_answers_without_end_are_refused() -> None:
    with pytest.raises(InvalidAnswerError):
        read(*[b"HTTP/1.1 100 Continue\r\nx-a: %b\r\n\r\n" % (b"a" * 1000)] * 100)


def test_hop_by_hop_headers_stay_behind() -> None:
    reader = read(
        b"HTTP/1.1 200 OK\r\nX-Early: 1\r\nconnection: keep-alive, X-Secret, x-early\r\n"
        b"keep-alive: timeout=5\r\n"
        b"x-secret: 1\r\nupgrade: h2c\r\ntrailer: x\r\nx-kept: 1\r\ncontent-length: 0\r\n\r\n"
    )
    assert reader.headers == [(b"x-kept", b"1")]


def test_trailers_never_become_headers() -> None:
    reader = read(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-admin: yes\r\n\r\n",
    )
    assert (reader.headers, body(reader), reader.complete, reader.dirty) == ([], b"ok", True, False)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 000 X\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 600 X\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 1000 X\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 20 X\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0x5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x2\r\nab",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        b"HTTP/1.1 100 Continue\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 103 X\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-a: a\rb\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-a: a\nx-b: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-a: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-a: a\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx a: a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-a : a\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/0.9 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"http/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"RTSP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"ICE/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"hello",
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(InvalidAnswerError):
        read(data)
    with pytest.raises(InvalidAnswerError):
        read(*(data[i : i + 1] for i in range(len(data))))


def test_heads_are_bounded() -> None:
    with pytest.raises(InvalidAnswerError, match="headers"):
        read(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * (HEADER_COUNT_LIMIT + 1) + b"\r\n")
    with pytest.raises(InvalidAnswerError):
        read(b"HTTP/1.1 200 OK\r\nx: " + b"y" * HEAD_LIMIT + b"\r\n\r\n")
    with pytest.raises(InvalidAnswerError, match="without end"):
        read(b"HTTP/1.1 200 OK\r\nx: ", *[b"y" * 100] * HEAD_LIMIT)


@pytest.mark.parametrize("start", [b"5;ext=", b"0\r\nx-trailer: ", b"0\r\n"])
def test_chunk_extensions_and_trailers_are_bounded(start: bytes) -> None:
    more = b"x: " + b"y" * 97 + b"\r\n" if start.endswith(b"\n") else b"y" * 100
    with pytest.raises(InvalidAnswerError):
        read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + start, *[more] * 1000)


def test_switching_protocols_hands_over_the_rest() -> None:
    reader = read(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-accept: x\r\n\r\n\x81\x02hi",
        upgrade=True,
    )
    assert (reader.status, reader.rest) == (101, b"\x81\x02hi")
    assert reader.headers == [(b"sec-websocket-accept", b"x")]


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 204 OK\r\n\r\n",
    ],
)
def test_an_upgrade_that_does_not_upgrade(data: bytes) -> None:
    with pytest.raises(InvalidAnswerError):
        read(data, upgrade=True)


def test_an_upgrade_that_is_refused_is_an_answer() -> None:
    reader = read(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", upgrade=True)
    assert (reader.status, body(reader), reader.complete) == (403, b"no", True)


token = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=10).map(lambda name: f"x-{name}".encode())
value = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20).map(str.encode)


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, bytes, list[tuple[bytes, bytes]], int]:
    status = draw(st.sampled_from([200, 201, 302, 404, 500]))
    headers = draw(st.lists(st.tuples(token, value), max_size=5))
    pieces = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=4))
    lines = b"".join(b"%b: %b\r\n" % item for item in headers)
    if draw(st.booleans()):
        framing = b"content-length: %d\r\n\r\n" % sum(map(len, pieces)) + b"".join(pieces)
    else:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        framing = b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"]))
    return interim + b"HTTP/1.1 %d X\r\n%b%b" % (status, lines, framing), b"".join(pieces), headers, status


@pytest.mark.parametrize("status", [200, 204, 304])
def test_proxy_connection_means_nothing(status: int) -> None:
    reader = read(b"HTTP/1.1 %d X\r\nproxy-connection: close\r\n\r\n" % status, head=True)
    assert reader.complete
    assert reader.keep_alive
    reader.begin()
    reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    assert body(reader) == b"ok"


@given(answers(), st.data())
def test_any_split_of_an_answer_reads_the_same(
    answer: tuple[bytes, bytes, list[tuple[bytes, bytes]], int], data: st.DataObject
) -> None:
    whole, content, headers, status = answer
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    edges = [0, *cuts, len(whole)]
    reader = read(*(whole[a:b] for a, b in pairwise(edges) if a < b))
    assert (reader.status, reader.headers, body(reader)) == (status, headers, content)
    assert (reader.complete, reader.dirty, reader.keep_alive) == (True, False, True)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_noise_never_crashes_it(noise: bytes, cut: int) -> None:
    reader = AnswerReader()
    try:
        reader.feed(noise[:cut])
        reader.feed(noise[cut:])
    except InvalidAnswerError:
        pass
