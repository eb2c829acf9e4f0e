"""Plain heads mean what llhttp and our rules make of them, and what those refuse is never plain."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.edge.head import HeadReader
from gateway.edge.limits import EdgeLimits
from gateway.edge.plain import PlainReader
from gateway.edge.remembered import ENTRIES
from gateway.errors import Refused
from tests.edge.test_head import MALFORMED, head

LIMITS = EdgeLimits()
FOUND = [
    *("authority", "chunked", "content_length", "expects_continue", "forwarding", "headers", "http_version"),
    *("keep_alive", "method", "path", "query", "traceparent", "tracestate", "upgrade"),
]


def found(reader: HeadReader) -> dict[str, Any]:
    return {name: getattr(reader, name) for name in FOUND}


READERS = HeadReader(), HeadReader()
"""Both go on from head to head, as a server's does: what they remember must never show."""


def agree(data: bytes, limits: EdgeLimits = LIMITS) -> bool:
    """Was the head plain? If so, it meant the same to the reader of all the others."""
    reader, exact = READERS
    if not PlainReader().read_plain(data, limits):
        assert not reader.read_plain(data, limits)
        return False
    reader.read(data, limits)
    exact._read_any(data, limits)
    assert found(reader) == found(exact)
    return True


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_no_malformed_head_is_plain(data: bytes) -> None:
    assert not agree(data)


@pytest.mark.parametrize(
    "data",
    [
        head(),
        head(b"X-Api-Key:  k \t", b"Accept: */*", b"Cookie: a=b; c=\xff"),
        head(b"content-length:12", line=b"POST /a/%7euser?q=%zz;x=1&y= HTTP/1.1"),
        head(b"Content-Length: 007 ", b"X: y", line=b"DELETE /./a/../b? HTTP/1.1"),
        head(b"Connection: Keep-Alive", b"Keep-Alive: 5", b"X_Api_Key: evil", b"Te: trailers"),
        head(b"Connection: close", b"Proxy-Connection: keep-alive", b"X-Original-URL: /admin"),
        head(
            b"Traceparent: a", b"traceparent: b", b"tracestate: c", b"Forwarded: for=1", b"x-forwarded-for: 1"
        ),
        head(b"transfer-encoding: Chunked", line=b"POST / HTTP/1.1"),
        head(b"Transfer-Encoding: chunked", b"X: y", b"Connection: close"),
        head(host=b"Games.Example.:8080"),
        head(host=b"[2001:DB8::1]"),
    ],
)
def test_plain_heads(data: bytes) -> None:
    assert agree(data)
    assert agree(data)


@pytest.mark.parametrize(
    "data",
    [
        head(line=b"GET / HTTP/1.0"),
        head(line=b"GET http://a/ HTTP/1.1"),
        head(b"Transfer-Encoding: chunked", b"Content-Length: 3"),
        head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        head(b"Transfer-Encoding: gzip, chunked"),
        head(b"Expect: 100-continue"),
        head(b"Connection: X-Api-Key", b"X-Api-Key: 1"),
        head(b"Connection: upgrade", b"Upgrade: websocket"),
        head(b"Connection: close", b"Connection: keep-alive"),
        head(b"X-Empty:"),
        head(b"Content-Length: 0000000000000003"),
        head()[:-2],
        head()[:-4] + b"\r\nX",
    ],
)
def test_what_is_left_to_llhttp(data: bytes) -> None:
    assert not agree(data)


@pytest.mark.parametrize("name", ["client-cert", "x-forwarded-client-cert", "x-mtls"])
def test_a_header_that_tells_certificates_is_set_aside_by_both_readers(name: str) -> None:
    fields = [b"%b:  :AAAA: " % name.title().encode(), b"X: y", b"%b: b" % name.encode()]
    odd = [*fields, b"X-Empty:", b"%b:" % name.replace("-", "_").encode(), b"Connection: %b" % name.encode()]
    reader = HeadReader(name.encode())
    for lines, plain in ((fields, True), (odd, False)):
        assert PlainReader(name.encode()).read_plain(head(*lines), LIMITS) is plain
        for _ in range(2):
            reader.read(head(*lines), LIMITS)
            assert reader.forwarding == [(name.encode(), b":AAAA:"), (name.encode(), b"b")]
            assert reader.headers[0] == (b"x", b"y")
            assert name.encode() not in dict(reader.headers)
    unread = HeadReader()
    unread.read(head(*fields), LIMITS)
    assert unread.forwarding == []
    assert (name.encode() in dict(unread.headers)) == (name == "x-mtls"), "the known ones never pass"


def test_limits_are_held_whatever_is_remembered() -> None:
    reader = HeadReader()
    data = head(b"X: 1", b"X: 2")
    reader.read(data, LIMITS)
    for limits, code in (
        (EdgeLimits(target=5), "URI_TOO_LONG"),
        (EdgeLimits(headers=2), "HEADERS_TOO_LARGE"),
        (EdgeLimits(head=len(data) - 1), "HEADERS_TOO_LARGE"),
    ):
        with pytest.raises(Refused) as caught:
            reader.read(data, limits)
        assert caught.value.code == code
    for limits in (EdgeLimits(target=6), EdgeLimits(headers=3), EdgeLimits(head=len(data))):
        reader.read(data, limits)
        assert reader.headers == [(b"x", b"1"), (b"x", b"2")]


def test_no_caller_changes_what_the_next_one_sends() -> None:
    reader = HeadReader()
    for _ in range(2):
        reader.read(head(b"X: 1", b"Content-Length: 3"), LIMITS)
        assert reader.headers == [(b"x", b"1"), (b"content-length", b"3")]
        reader.headers.clear()


def test_what_is_remembered_is_bounded() -> None:
    plain = PlainReader()
    for number in range(3 * ENTRIES):
        assert plain.read_plain(head(b"X-%d: 1" % number, line=b"GET /%d HTTP/1.1" % number), LIMITS)
        assert plain.path == f"/{number}"
    assert len(plain._fields) <= ENTRIES
    assert len(plain._requests) <= ENTRIES


NAMES = st.sampled_from(
    b"Host host Content-Length Transfer-Encoding Connection Proxy-Connection Upgrade Expect Traceparent"
    b" Tracestate Forwarded X-Forwarded-For X-Forwarded-Host X-Api-Key Accept Cookie TE Trailer"
    b" Keep-Alive X_Y X".split()
) | st.binary(max_size=4)
VALUES = st.sampled_from(
    b"a A.b:80 a:b [::1] 0 3 +3 3,3 99999999999999999999 chunked close Close keep-alive close,x-api-key"
    b" upgrade websocket 100-continue \xc3\xa9".split()
) | st.binary(max_size=6)
SPACES = st.sampled_from([b"", b" ", b" ", b"\t", b"  "])
FIELDS = st.builds(lambda *parts: b"".join(parts), NAMES, st.sampled_from([b":", b":", b":", b" :", b""]),
                   SPACES, VALUES, SPACES)  # fmt: skip
TARGETS = st.sampled_from(
    b"/ /a/b /a?b=%zz /a;b /a?b;c /../a /a//b /%2e/a /%41 /a#b * http://a/ //a /?a?b".split()
) | st.binary(max_size=5).map(lambda tail: b"/" + tail)
LINES = st.builds(
    b"%b %b %b".__mod__,
    st.tuples(
        st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"get", b"PRI"]),
        TARGETS,
        st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.1 "]),
    ),
)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r\n "])


@settings(max_examples=600)
@given(LINES, st.lists(st.tuples(ENDS, FIELDS), max_size=6), st.booleans())
def test_whatever_is_plain_means_the_same_to_llhttp(
    line: bytes, fields: list[tuple[bytes, bytes]], host: bool
) -> None:
    fields = [(b"\r\n", b"Host: a"), *fields] if host else fields
    agree(line + b"".join(end + field for end, field in fields) + b"\r\n\r\n")


TAME = st.lists(
    st.sampled_from(
        [
            *(
                b"X-Api-Key: k",
                b"accept:*/*",
                b"Cookie: a=b;\tc",
                b"X_Y: 1",
                b"TE: trailers",
                b"Content-Length: 3",
            ),
            *(b"Connection: keep-alive", b"Connection: close", b"Traceparent: x", b"X-Forwarded-For: ::1 "),
        ]
    ),
    max_size=4,
)


@settings(max_examples=600)
@given(TAME, st.sampled_from([b"GET /a/b?c=d HTTP/1.1", b"POST / HTTP/1.1"]), st.data())
def test_one_byte_makes_no_difference_between_the_two(
    fields: list[bytes], line: bytes, data: st.DataObject
) -> None:
    good = head(*fields, line=line)
    agree(good)
    at = data.draw(st.integers(0, len(good) - 5))
    agree(good[:at] + data.draw(st.binary(max_size=2)) + good[at + 1 :])


ATTACKS = sorted({line for data in MALFORMED.values() for line in data.split(b"\r\n") if line})


@given(st.lists(st.sampled_from(ATTACKS), max_size=3))
def test_lines_of_attacks_among_good_ones(lines: list[bytes]) -> None:
    agree(head(b"Accept: */*", *lines))
    if lines:
        agree(head(*lines[1:], line=lines[0]))
