from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.chunked import MAX_EXCESS, MAX_LINE, MAX_TRAILERS, ChunkedDecoder
from gateway.errors import Refused


def decode(data: bytes, step: int) -> tuple[bytes, bool, bytes]:
    decoder = ChunkedDecoder()
    body = b""
    for start in range(0, len(data), step):
        body += decoder.feed(data[start : start + step])
        if decoder.done:
            return body, True, decoder.rest + data[start + step :]
    return body, False, b""


GOOD = b'5;a=b;c="d"\r\nhello\r\n00000000001\r\n!\r\n0\r\nX-Trailer: 1\r\nother:\r\n\r\nGET / HTTP/1.1\r\n'


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_whatever_the_pieces(step: int):
    assert decode(GOOD, step) == (b"hello!", True, b"GET / HTTP/1.1\r\n")


def test_framing_may_be_as_much_as_chunks_of_a_byte_need():
    piece = b"1;%b\r\na\r\n" % (b"e" * 14) * 10_000
    assert decode(piece + b"0\r\n\r\n", 65536) == (b"a" * 10_000, True, b"")
    large = b"5000;%b\r\n%b\r\n" % (b"e" * MAX_LINE, b"a" * 0x5000)
    assert decode(large.replace(b"e" * 20, b"", 1) * 50 + b"0\r\n\r\n", 65536)[1]


@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize(
    "data",
    [
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"fffffffffffffffff\r\n",
        b"10000000000000000\r\n",
        b"5\nhello\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloo\r\n",
        b"5\r\nhello\r\r\n",
        b"5;a\0b\r\nhello\r\n",
        b"5;a\rb\r\nhello\r\n",
        b"5;a\nb\r\nhello\r\n",
        b"5;" + b"a" * MAX_LINE + b"\r\n",
        b"5;" + b"a" * MAX_LINE * 2,
        b"1;%b\r\na\r\n" % (b"e" * 100) * (MAX_EXCESS // 80),
        b"0\r\nno trailer\r\n\r\n",
        b"0\r\n: x\r\n\r\n",
        b"0\r\nx : x\r\n\r\n",
        b"0\r\n folded: x\r\n\r\n",
        b"0\r\nx: y\n\r\n",
        b"0\r\n" + b"x: y\r\n" * (MAX_TRAILERS // 4 + 1),
    ],
)
def test_malformed(data: bytes, step: int):
    with pytest.raises(Refused) as caught:
        decode(data, step)
    assert caught.value.code == "BAD_REQUEST"


class _Llhttp:
    def __init__(self) -> None:
        self.body = b""
        self.complete = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.integers(1, 50), st.binary(max_size=8))
def test_it_decodes_what_was_encoded_and_nothing_behind_it(chunks: list[bytes], step: int, rest: bytes):
    data = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    assert decode(data + rest, step) == (b"".join(chunks), True, rest)


@given(
    st.lists(
        st.sampled_from([b"0", b"5", b"a", b"\r\n", b"\n", b"\r", b"hello", b";x", b" ", b"x: y", b"\0"]),
        max_size=12,
    )
)
def test_it_accepts_nothing_that_llhttp_refuses(parts: list[bytes]):
    data = b"".join(parts)
    try:
        body, complete, _ = decode(data, 1000)
    except Refused:
        return
    if complete:
        seen = _Llhttp()
        parser = httptools.HttpRequestParser(seen)
        parser.feed_data(
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        try:
            parser.feed_data(data)
        except httptools.HttpParserError:
            assert seen.complete, "llhttp refuses the body itself"
        assert seen.body == body
