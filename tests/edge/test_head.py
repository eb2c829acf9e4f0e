"""Heads that two servers could read in two ways, and what becomes of the good ones."""

from __future__ import annotations

import pytest

from gateway.edge.head import HeadReader, canonical_authority, check_unfinished
from gateway.edge.limits import EdgeLimits
from gateway.errors import Refused
from tests.edge.scripted import ScriptedProxy, calling, serving

LIMITS = EdgeLimits()


def head(*fields: bytes, line: bytes = b"GET /games HTTP/1.1", host: bytes | None = b"a") -> bytes:
    hosts = [] if host is None else [b"Host: " + host]
    return b"\r\n".join([line, *hosts, *fields]) + b"\r\n\r\n"


def read(data: bytes, limits: EdgeLimits = LIMITS) -> HeadReader:
    reader = HeadReader()
    reader.read(data, limits)
    return reader


MALFORMED = {
    # 1: both framings
    "cl and te": head(b"Content-Length: 3", b"Transfer-Encoding: chunked"),
    "te and cl": head(b"Transfer-Encoding: chunked", b"Content-Length: 3"),
    # 2: Content-Length
    "two lengths": head(b"Content-Length: 3", b"Content-Length: 3"),
    "two lengths that differ": head(b"Content-Length: 3", b"Content-Length: 4"),
    "listed length": head(b"Content-Length: 3, 3"),
    "empty length": head(b"Content-Length: "),
    "plus": head(b"Content-Length: +3"),
    "minus": head(b"Content-Length: -3"),
    "hex": head(b"Content-Length: 0x3"),
    "underscored digits": head(b"Content-Length: 1_0"),
    "overflow": head(b"Content-Length: 99999999999999999999999"),
    # 3, 4: Transfer-Encoding
    "xchunked": head(b"Transfer-Encoding: xchunked"),
    "vertical tab": head(b"Transfer-Encoding: \x0bchunked"),
    "identity": head(b"Transfer-Encoding: identity"),
    "gzip, chunked": head(b"Transfer-Encoding: gzip, chunked"),
    "chunked, chunked": head(b"Transfer-Encoding: chunked, chunked"),
    "two codings": head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "identity then chunked": head(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"),
    "empty coding": head(b"Transfer-Encoding: "),
    "te on 1.0": head(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0"),
    # 6: grammar
    "obs-fold": head(b"X: a\r\n b"),
    "obs-fold first": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "bare cr": head(b"X: a\rb"),
    "bare lf": head(b"X: a\nY: b"),
    "nul": head(b"X: a\0b"),
    "control": head(b"X: a\x01b"),
    "delete": head(b"X: a\x7fb"),
    "no name": head(b": a"),
    "space before colon": head(b"X : a"),
    "no colon": head(b"X"),
    "odd name": head(b"X(y): a"),
    "bare lf line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    # 8: Host
    "no host": head(host=None),
    "no host on 1.0": head(host=None, line=b"GET / HTTP/1.0"),
    "two hosts": head(b"Host: a"),
    "empty host": head(host=b""),
    "host with path": head(host=b"a/b"),
    "host with user": head(host=b"u@a"),
    "host with port 99999": head(host=b"a:99999"),
    "host with empty port": head(host=b"a:"),
    "host with text port": head(host=b"a:b"),
    "host list": head(host=b"a, b"),
    "host with query": head(host=b"a?b"),
    "host of dots": head(host=b".."),
    "host of bad v6": head(host=b"[::g]"),
    "host of long v6": head(host=b"[1:2:3:4:5:6:7:8:9]"),
    "absolute form disagrees": head(line=b"GET http://b/x HTTP/1.1"),
    "absolute form with user": head(line=b"GET http://u@a/x HTTP/1.1"),
    "absolute form of ftp": head(line=b"GET ftp://a/x HTTP/1.1"),
    "absolute form without host": head(line=b"GET http:///x HTTP/1.1"),
    # 9: targets
    "options *": head(line=b"OPTIONS * HTTP/1.1"),
    "asterisk": head(line=b"GET * HTTP/1.1"),
    "fragment": head(line=b"GET /a#b HTTP/1.1"),
    "fragment in query": head(line=b"GET /a?b#c HTTP/1.1"),
    "relative": head(line=b"GET a HTTP/1.1"),
    "space in target": head(line=b"GET /a b HTTP/1.1"),
    "two spaces": head(line=b"GET  / HTTP/1.1"),
    "tab": head(line=b"GET\t/ HTTP/1.1"),
    "control in target": head(line=b"GET /\x0b HTTP/1.1"),
    "raw utf-8": head(line=b"GET /\xc3\xa9 HTTP/1.1"),
    "raw utf-8 in query": head(line=b"GET /?\xc3\xa9 HTTP/1.1"),
    "no version": head(line=b"GET /"),
    "lower-case method": head(line=b"get / HTTP/1.1"),
    "http 0.9": head(line=b"GET / HTTP/0.9"),
    "http 1.2": head(line=b"GET / HTTP/1.2"),
    "http 2.0": head(line=b"GET / HTTP/2.0"),
    "rtsp": head(line=b"GET / RTSP/1.0"),
    "trailing space": head(line=b"GET / HTTP/1.1 "),
    # 10: upgrades
    "h2c with body": head(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 5"),
    "h2c": head(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: x"),
    "upgrade without option": head(b"Upgrade: websocket"),
    "two upgrades": head(b"Connection: Upgrade", b"Upgrade: websocket", b"Upgrade: h2c"),
    "websocket post": head(b"Connection: Upgrade", b"Upgrade: websocket", line=b"POST / HTTP/1.1"),
    "websocket 1.0": head(b"Connection: Upgrade", b"Upgrade: websocket", line=b"GET / HTTP/1.0"),
    "websocket with body": head(b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 3"),
    "websocket chunked": head(b"Connection: Upgrade", b"Upgrade: websocket", b"Transfer-Encoding: chunked"),
    # 11
    "odd expectation": head(b"Expect: the-best"),
    # 16: paths without a canonical form
    "above the root": head(line=b"GET /../a HTTP/1.1"),
    "encoded slash": head(line=b"GET /a%2fb HTTP/1.1"),
    "backslash": head(line=b"GET /a\\b HTTP/1.1"),
    "empty segment": head(line=b"GET /a//b HTTP/1.1"),
    "path parameter": head(line=b"GET /a;b HTTP/1.1"),
    "nul in path": head(line=b"GET /a%00b HTTP/1.1"),
    "bad escape": head(line=b"GET /%zz HTTP/1.1"),
    "double encoding": head(line=b"GET /%252e%252e/a HTTP/1.1"),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_heads_are_400_and_leave_no_trace_in_the_next(data: bytes):
    reader = HeadReader()
    with pytest.raises(Refused) as caught:
        reader.read(data, LIMITS)
    assert caught.value.code == "BAD_REQUEST"
    reader.read(head(), LIMITS)
    assert (reader.path, reader.headers, reader.keep_alive) == ("/games", [], True)


async def test_malformed_heads_are_answered_and_closed_with_nothing_behind_them_served():
    proxy = ScriptedProxy()
    async with serving(proxy) as (_, port):
        for data in MALFORMED.values():
            async with calling(port) as caller:
                caller.send(data + head())
                status, headers, body = await caller.answer()
                assert (status, headers["connection"]) == (400, "close")
                assert b"BAD_REQUEST" in body
                assert await caller.closed() == b""
    assert proxy.seen == proxy.ended == []
    assert proxy.rejections == {"BAD_REQUEST": len(MALFORMED)}


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE", b"PROPFIND", b"NONSENSE", b"PRI"])
def test_methods_that_are_never_forwarded(method: bytes):
    with pytest.raises(Refused) as caught:
        read(head(line=method + b" / HTTP/1.1"))
    assert caught.value.code == "METHOD_NOT_ALLOWED"
    assert caught.value.headers == ((b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (head(line=b"GET /" + b"a" * 64_000 + b" HTTP/1.1"), "URI_TOO_LONG"),
        (head(line=b"GET /" + b"a" * 8192 + b" HTTP/1.1"), "URI_TOO_LONG"),
        (head(b"X: " + b"a" * 300_000), "HEADERS_TOO_LARGE"),
        (head(*[b"X: 1"] * 5000), "HEADERS_TOO_LARGE"),
        (head(*[b"X: 1"] * 100), "HEADERS_TOO_LARGE"),
    ],
)
def test_caps(data: bytes, code: str):
    with pytest.raises(Refused) as caught:
        read(data)
    assert caught.value.code == code


def test_the_last_value_within_the_caps_passes():
    assert len(read(head(*[b"X: 1"] * 99)).headers) == 99
    assert len(read(head(line=b"GET /" + b"a" * 8191 + b" HTTP/1.1")).path) == 8192


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x16\x03\x01", "BAD_REQUEST"),
        (b"GET / HTTP/1.1\nHost: a\n\n", "BAD_REQUEST"),
        (b"GET / HTTP/1.1\r\nHost: a\0", "BAD_REQUEST"),
        (b"GET /" + b"a" * 9000, "URI_TOO_LONG"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000, "HEADERS_TOO_LARGE"),
        (b"GET / HTTP/1.1\r\nHost", None),
        (b"G", None),
    ],
)
def test_heads_that_cannot_become_good_are_refused_before_their_end(data: bytes, code: str | None):
    if code is None:
        check_unfinished(data, LIMITS)
        return
    with pytest.raises(Refused) as caught:
        check_unfinished(data, LIMITS)
    assert caught.value.code == code


def test_hop_by_hop_and_misleading_fields_never_pass():
    reader = read(
        head(
            b"Connection: close, X-Api-Key , X-Other",
            b"X-Api-Key: stripped by its own caller",
            b"X-Other: 1",
            b"Keep-Alive: 5",
            b"Proxy-Connection: keep-alive",
            b"Proxy-Authorization: x",
            b"TE: trailers",
            b"Trailer: X",
            b"X-HTTP-Method-Override: DELETE",
            b"X-Original-URL: /admin",
            b"X-Forwarded-For: 1.1.1.1",
            b"X-Forwarded-Whatever: 1",
            b"Forwarded: for=1.1.1.1",
            b"X-Real-IP: 1.1.1.1",
            b"X_Api_Key: evil",
            b"Content_Length: 5",
            b"Authorization: kept",
            b"Cookie: a",
            b"cookie: b",
        )
    )
    assert reader.headers == [(b"authorization", b"kept"), (b"cookie", b"a"), (b"cookie", b"b")]
    assert not reader.keep_alive
    assert reader.forwarding == [(b"x-forwarded-for", b"1.1.1.1"), (b"forwarded", b"for=1.1.1.1")]


def test_framing():
    reader = read(head(b"Content-Length: 12 ", b"Connection: content-length", line=b"POST / HTTP/1.1"))
    assert (reader.content_length, reader.chunked, reader.headers) == (
        12,
        False,
        [(b"content-length", b"12")],
    )
    reader.read(head(b"Transfer-Encoding: Chunked", b"Expect: 100-Continue", line=b"POST / HTTP/1.1"), LIMITS)
    assert (reader.content_length, reader.chunked, reader.expects_continue) == (0, True, True)
    reader.read(head(b"Expect: 100-continue", line=b"POST / HTTP/1.0"), LIMITS)
    assert (reader.expects_continue, reader.keep_alive) == (False, False)
    reader.read(head(b"Connection: Keep-Alive", line=b"POST / HTTP/1.0"), LIMITS)
    assert reader.keep_alive


def test_websocket_upgrade():
    reader = HeadReader()
    for _ in range(2):
        reader.read(
            head(b"Connection: keep-alive, Upgrade", b"Upgrade: WebSocket", b"Sec-WebSocket-Key: x"), LIMITS
        )
        assert reader.upgrade
        assert reader.headers == [(b"sec-websocket-key", b"x")]
    reader.read(head(), LIMITS)
    assert not reader.upgrade


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://a/x?y", "/x", "y"),
        (b"HTTPS://A", "/", ""),
        (b"http://a?b=/c", "/", "b=/c"),
        (b"/a/../b?x=../y&z=%zz", "/b", "x=../y&z=%zz"),
        (b"/?", "/", ""),
    ],
)
def test_targets(target: bytes, path: str, query: str):
    reader = read(head(line=b"GET %b HTTP/1.1" % target))
    assert (reader.path, reader.query, reader.authority) == (path, query, "a")


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        (b"Games.Example.", "games.example"),
        (b"a.b_c-d:80", "a.b_c-d:80"),
        (b"127.0.0.1:8080", "127.0.0.1:8080"),
        (b"[::1]:8080", "[::1]:8080"),
        (b"[2001:DB8::1]", "[2001:db8::1]"),
    ],
)
def test_authorities(host: bytes, authority: str):
    assert canonical_authority(host) == authority


def test_what_is_remembered_is_bounded():
    reader = HeadReader()
    for number in range(3000):
        reader.read(head(b"X-%d: 1" % number, host=b"h%d" % number), LIMITS)
        assert reader.headers == [(b"x-%d" % number, b"1")]
        assert reader.authority == f"h{number}"
    assert len(reader._names) <= 1024
    assert len(reader._hosts) <= 1024


@pytest.mark.parametrize("name", [b"Connection", b"Proxy-Connection"])
@pytest.mark.parametrize("value", [b"close", b"keep-alive", b"keep-alive, close", b"upgrade"])
@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"POST / HTTP/1.1", b"HEAD / HTTP/1.0"])
def test_how_a_connection_goes_on_is_nothing_to_the_next_caller(name: bytes, value: bytes, line: bytes):
    reader = HeadReader()
    reader.read(head(b"%b: %b" % (name, value), line=line), LIMITS)
    reader.read(head(b"X-Game: slots"), LIMITS)
    assert reader.headers == [(b"x-game", b"slots")]


def test_trace_fields_are_set_aside():
    reader = read(head(b"Traceparent: a", b"traceparent: b", b"tracestate: c"))
    assert (reader.traceparent, reader.tracestate, reader.headers) == ([b"a", b"b"], [b"c"], [])


def test_a_head_that_another_server_parsed_is_held_to_the_same_rules():
    reader = HeadReader()
    both = [(b"host", b"a"), (b"content-length", b"3"), (b"transfer-encoding", b"chunked")]
    with pytest.raises(Refused, match="never both"):
        reader.take("POST", b"/x", "1.1", both, LIMITS)
    for target in (b"/x?\xc3\xa9", b"/x?a b", b"/x?a\r\nb"):
        with pytest.raises(Refused, match="percent-encoded"):
            reader.take("GET", target, "1.1", both[:1], LIMITS)
    reader.take("POST", b"/x?y", "1.1", both[:2], LIMITS)
    assert (reader.path, reader.query, reader.content_length) == ("/x", "y", 3)
