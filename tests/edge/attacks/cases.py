"""Attacks as bytes, by the number of their family, and what must come of each.

`SMUGGLED` is a whole second request, behind a first one whose end is in doubt: nobody may take it for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.edge.attacks.recording import Arrived

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: victim\r\n\r\n"
HOST = b"Host: gateway\r\n"

Check = Callable[[Arrived], bool]


class Case(NamedTuple):
    """Bytes that a caller sends on one connection."""

    family: int
    name: str
    sent: bytes
    passes: Check | None = None
    """What must hold of the one request that reaches the origin; None: it must be refused, and none may."""
    statuses: tuple[int, ...] = ()
    """What the caller may be answered. Unless said otherwise 200 for what passes, else 400; a 4xx among those
    of what passes means that it may as well be refused."""

    @property
    def answers(self) -> tuple[int, ...]:
        """`statuses`, or what goes without saying."""
        return self.statuses or ((400,) if self.passes is None else (200,))


def get(
    fields: bytes = b"", target: bytes = b"/open", method: bytes = b"GET", version: bytes = b"1.1"
) -> bytes:
    return b"%b %b HTTP/%b\r\n%b%b\r\n" % (method, target, version, HOST, fields)


def post(fields: bytes, body: bytes, version: bytes = b"1.1") -> bytes:
    return get(fields, b"/open", b"POST", version) + body


def _framing() -> Iterator[Case]:
    chunked = b"0\r\n\r\n" + SMUGGLED
    both = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"
    for name, fields in (
        ("length first", b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % len(chunked)),
        ("coding first", b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n" % len(chunked)),
        ("length of 0", b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
        ("short length", both),
        ("coding in capitals", b"Content-Length: 4\r\nTRANSFER-ENCODING: CHUNKED\r\n"),
        ("coding named by Connection", b"Connection: Transfer-Encoding\r\n" + both),
        ("length named by Connection", b"Connection: Content-Length\r\n" + both),
    ):
        yield Case(1, name, post(fields, chunked))

    for name, value in (
        ("plus sign", b"+3"),
        ("minus sign", b"-3"),
        ("hexadecimal", b"0x3"),
        ("letters", b"three"),
        ("empty", b""),
        ("list of the same", b"3, 3"),
        ("list of others", b"3, 40"),
        ("space within", b"3 0"),
        ("fraction", b"3.0"),
        ("exponent", b"3e0"),
        ("underscore", b"3_0"),
        ("more than 64 bits", b"18446744073709551619"),
        ("digits of another script", "３".encode()),
        ("vertical tab before it", b"\x0b3"),
        ("semicolon behind it", b"3;"),
    ):
        yield Case(2, name, post(b"Content-Length: %b\r\n" % value, b"abc" + SMUGGLED))
    yield Case(2, "two of the same", post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc" + SMUGGLED))
    yield Case(2, "two others", post(b"Content-Length: 3\r\nContent-Length: 44\r\n", b"abc" + SMUGGLED))
    yield Case(2, "space before the colon", post(b"Content-Length : 3\r\n", b"abc" + SMUGGLED))
    yield Case(
        2,
        "spaces around it are none of it",
        post(b"Content-Length:  3 \r\n", b"abc"),
        lambda request: request.body == b"abc",
    )

    for value in (
        b"xchunked",
        b"chunkedx",
        b"\x0bchunked",
        b"\x0cchunked",
        b"identity",
        b"gzip",
        b"gzip, chunked",
        b"chunked, identity",
        b"chunked, chunked",
        b"chunked;q=1",
        b'"chunked"',
        b"",
        b"chunked,",
        b",chunked",
        b"chu\tnked",
        "ｃhunked".encode(),
    ):
        name = repr(value)[2:-1] or "empty"
        yield Case(3, name, post(b"Transfer-Encoding: %b\r\n" % value, chunked), statuses=(400, 501))
    yield Case(
        3,
        "two fields",
        post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", chunked),
        statuses=(400, 501),
    )
    yield Case(3, "space before the colon", post(b"Transfer-Encoding : chunked\r\n", chunked))
    yield Case(3, "on a line of its own", post(b"Transfer-Encoding:\r\n chunked\r\n", chunked))

    yield Case(4, "chunked", post(b"Transfer-Encoding: chunked\r\n", chunked, b"1.0"))
    yield Case(
        4, "kept alive", post(b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n", chunked, b"1.0")
    )
    yield Case(
        4, "with a length", post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", chunked, b"1.0")
    )


def _chunks() -> Iterator[Case]:
    for name, body in (
        ("0x before the size", b"0x5\r\nhello\r\n0\r\n\r\n"),
        ("negative size", b"-1\r\nhello\r\n0\r\n\r\n"),
        ("plus before the size", b"+5\r\nhello\r\n0\r\n\r\n"),
        ("no size", b"\r\nhello\r\n0\r\n\r\n"),
        ("size of 17 digits", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("size of 16 f", b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("space before the size", b" 5\r\nhello\r\n0\r\n\r\n"),
        ("bare line feed behind the size", b"5\nhello\r\n0\r\n\r\n"),
        ("bare line feed behind the data", b"5\r\nhello\n0\r\n\r\n"),
        ("bare carriage return behind the size", b"5\rhello\r\n0\r\n\r\n"),
        ("line feed in an extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
        ("NUL in an extension", b"5;a\0b\r\nhello\r\n0\r\n\r\n"),
        ("data longer than its size", b"3\r\nhello\r\n0\r\n\r\n"),
        ("data without its end", b"5\r\nhelloXX0\r\n\r\n"),
        ("bare line feed at the end", b"5\r\nhello\r\n0\r\n\n"),
        ("extension of 64 KiB", b"5;%b\r\nhello\r\n0\r\n\r\n" % (b"a" * 65536)),
        ("trailer of 64 KiB", b"5\r\nhello\r\n0\r\nX: %b\r\n\r\n" % (b"a" * 65536)),
        ("trailer with a control byte", b"5\r\nhello\r\n0\r\nX: a\x01b\r\n\r\n"),
        ("trailer with a bare carriage return", b"5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n"),
    ):
        request = post(b"Transfer-Encoding: chunked\r\n", body + SMUGGLED)
        yield Case(5, name, request, statuses=(400, 413, 431))

    for name, trailer in (
        ("identity", b"X-Api-Key: stolen\r\n"),
        ("length", b"Content-Length: 44\r\n"),
        ("coding", b"Transfer-Encoding: chunked\r\n"),
        ("host", b"Host: victim\r\n"),
        ("forwarding", b"X-Forwarded-For: 10.0.0.1\r\n"),
        ("declared", b"X-Declared: 1\r\n"),
    ):
        request = post(
            b"Transfer-Encoding: chunked\r\nTrailer: X-Declared\r\n", b"5\r\nhello\r\n0\r\n%b\r\n" % trailer
        )
        forbidden = trailer.partition(b":")[2].strip().decode()
        yield Case(7, name, request, _without(forbidden, body=b"hello"))


def _without(value: str, *, body: bytes = b"") -> Check:
    """No field has that value, and the body is whole."""
    return lambda request: (
        request.body == body
        and all(got != value for name, got in request.fields if name != "transfer-encoding")
    )


def _fields() -> Iterator[Case]:
    for name, fields in (
        ("folded line", b"X-A: a\r\n b\r\n"),
        ("folded by a tab", b"X-A: a\r\n\tb\r\n"),
        ("folded first line", b" X-A: a\r\n"),
        ("bare carriage return in a value", b"X-A: a\rb\r\n"),
        ("bare carriage return before a name", b"\rX-A: a\r\n"),
        ("bare line feed ends a field", b"X-A: a\nX-B: b\r\n"),
        ("NUL in a value", b"X-A: a\0b\r\n"),
        ("NUL in a name", b"X\0A: a\r\n"),
        ("control byte in a value", b"X-A: a\x01b\r\n"),
        ("delete in a value", b"X-A: a\x7fb\r\n"),
        ("empty name", b": a\r\n"),
        ("space before the colon", b"X-A : a\r\n"),
        ("tab before the colon", b"X-A\t: a\r\n"),
        ("space in a name", b"X A: a\r\n"),
        ("no colon", b"X-A\r\n"),
        ("name of UTF-8", "X-Ä: a\r\n".encode()),
        ("parentheses in a name", b"X(A): a\r\n"),
        ("quoted name", b'"X-A": a\r\n'),
    ):
        yield Case(6, name, get(fields) + SMUGGLED)

    for name, request in (
        ("no Host", b"GET /open HTTP/1.1\r\n\r\n"),
        ("no Host in 1.0", b"GET /open HTTP/1.0\r\n\r\n"),
        ("two Hosts", get(b"Host: victim\r\n")),
        ("two Hosts, the same", get(HOST)),
        ("empty Host", b"GET /open HTTP/1.1\r\nHost:\r\n\r\n"),
        ("path in Host", b"GET /open HTTP/1.1\r\nHost: gateway/admin\r\n\r\n"),
        ("user in Host", b"GET /open HTTP/1.1\r\nHost: user@gateway\r\n\r\n"),
        ("query in Host", b"GET /open HTTP/1.1\r\nHost: gateway?x\r\n\r\n"),
        ("space in Host", b"GET /open HTTP/1.1\r\nHost: gate way\r\n\r\n"),
        ("list in Host", b"GET /open HTTP/1.1\r\nHost: gateway, victim\r\n\r\n"),
        ("scheme in Host", b"GET /open HTTP/1.1\r\nHost: http://gateway\r\n\r\n"),
        ("port of letters", b"GET /open HTTP/1.1\r\nHost: gateway:http\r\n\r\n"),
        ("port too high", b"GET /open HTTP/1.1\r\nHost: gateway:65536\r\n\r\n"),
        ("open bracket", b"GET /open HTTP/1.1\r\nHost: [::1\r\n\r\n"),
        ("absolute target of another host", get(target=b"http://victim/open")),
        ("absolute target with a user", get(target=b"http://user@gateway/open")),
        ("absolute target of another scheme", get(target=b"ftp://gateway/open")),
        ("target that is only an authority", get(target=b"gateway:80")),
    ):
        yield Case(8, name, request)
    yield Case(
        8,
        "absolute target that agrees",
        get(target=b"http://gateway/open"),
        lambda request: request.target == "/open",
    )

    for name, request in (
        ("CONNECT", b"CONNECT gateway:80 HTTP/1.1\r\n%b\r\n" % HOST),
        ("CONNECT to a path", get(method=b"CONNECT")),
        ("TRACE", get(method=b"TRACE")),
        ("TRACK", get(method=b"TRACK")),
        ("OPTIONS *", get(method=b"OPTIONS", target=b"*")),
        ("PRI of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("method in small letters", get(method=b"get")),
        ("method with a space", get(method=b"GET GET")),
        ("HTTP/0.9", b"GET /open\r\n\r\n"),
        ("HTTP/1.2", get(version=b"1.2")),
        ("HTTP/2.0", get(version=b"2.0")),
        ("version in small letters", b"GET /open http/1.1\r\n%b\r\n" % HOST),
        ("two spaces", b"GET  /open HTTP/1.1\r\n%b\r\n" % HOST),
        ("tab for a space", b"GET\t/open HTTP/1.1\r\n%b\r\n" % HOST),
        ("empty line first", b"\r\n" * 2 + get(method=b"TRACE")),
    ):
        yield Case(9, name, request, statuses=(400, 405, 501, 505))


def _upgrades() -> Iterator[Case]:
    h2c = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    body = b"Content-Length: %d\r\n" % len(SMUGGLED)
    socket = (
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )
    yield Case(10, "h2c", get(h2c) + SMUGGLED)
    yield Case(10, "h2c with a body", post(h2c + body, SMUGGLED))
    yield Case(10, "h2c in capitals", post(h2c.replace(b"h2c", b"H2C") + body, SMUGGLED))
    yield Case(10, "TLS/1.0", get(b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n") + SMUGGLED)
    yield Case(10, "two protocols", get(b"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n") + SMUGGLED)
    yield Case(10, "WebSocket with a body", get(socket + body) + SMUGGLED)
    yield Case(10, "WebSocket by POST", post(socket, SMUGGLED))
    yield Case(10, "WebSocket without Connection", get(b"Upgrade: websocket\r\n") + SMUGGLED)
    yield Case(
        10,
        "WebSocket answered 200",
        get(socket) + SMUGGLED,
        lambda request: request.target == "/open",
        statuses=(502,),
    )


def _identity() -> Iterator[Case]:
    for name in (
        b"X-Forwarded-For",
        b"X-Forwarded-Proto",
        b"X-Forwarded-Host",
        b"Traceparent",
        b"Host",
        b"Content-Length",
    ):
        fields = b"Connection: close, %b\r\nContent-Length: 5\r\n" % name
        yield Case(
            13,
            f"Connection names {name.decode()}",
            post(fields, b"hello"),
            _has(name.decode().lower(), b"hello"),
        )
    yield Case(
        13,
        "Connection names a field of the caller's",
        get(b"Connection: close, X-A\r\nX-A: secret\r\n"),
        _without("secret"),
    )

    for name in (
        b"X-Forwarded-For",
        b"X-Forwarded-Host",
        b"X-Forwarded-Proto",
        b"X-Forwarded-Port",
        b"X-Forwarded-Server",
        b"X-Forwarded-Prefix",
        b"X-Forwarded-User",
        b"Forwarded",
        b"X-Real-IP",
        b"True-Client-IP",
        b"X-Client-IP",
        b"CF-Connecting-IP",
        b"X-Cluster-Client-IP",
        b"Client-IP",
        b"Client-Cert",
        b"Client-Cert-Chain",
        b"X-Forwarded-Client-Cert",
    ):
        value = b"for=10.9.8.7" if name == b"Forwarded" else b"10.9.8.7"
        yield Case(14, name.decode(), get(b"%b: %b\r\n" % (name, value)), _without_in("10.9.8.7"))
        yield Case(
            14,
            f"{name.decode()} in capitals",
            get(b"%b: %b\r\n" % (name.upper(), value)),
            _without_in("10.9.8.7"),
        )

    for name in (
        b"X_Api_Key",
        b"X_Forwarded_For",
        b"Content_Length",
        b"Transfer_Encoding",
        b"X-Api_Key",
        b"_",
        b"HTTP_HOST",
    ):
        yield Case(15, name.decode(), get(b"%b: planted\r\n" % name), _without("planted"))

    for name in (
        b"X-HTTP-Method-Override",
        b"X-HTTP-Method",
        b"X-Method-Override",
        b"X-Original-URL",
        b"X-Rewrite-URL",
    ):
        yield Case(18, name.decode(), get(b"%b: DELETE\r\n" % name), _without("DELETE"))


def _has(name: str, body: bytes) -> Check:
    """Exactly one such field stands, and the body is whole."""
    return lambda request: len(request.values(name)) == 1 and request.body == body


def _without_in(text: str) -> Check:
    return lambda request: all(text not in value for _, value in request.fields)


def _paths() -> Iterator[Case]:
    for path in (
        b"/open/%2e%2e%2fsecret",
        b"/open%2fsecret",
        b"/open/..%2fsecret",
        b"/open%5csecret",
        b"/open\\secret",
        b"//secret",
        b"/open//secret",
        b"/open;x/secret",
        b"/open/;/secret",
        b"/open%00",
        b"/open%0a",
        b"/open%0d%0aX:1",
        b"/open%zz",
        b"/open%",
        b"/open%2",
        b"/open/%252e%252e/secret",
        b"/open%252fsecret",
        b"/open%c0%af",
        b"/open%ff",
        b"/open%7f",
        b"/../secret",
        b"/open/../../secret",
        b"/open#/secret",
        b"/open/%3bx",
        b"\\open",
        b"/open|x",
        b"/open<x>",
        b'/open"x',
        b"/open^x",
        b"/open`x",
        b"/open{x}",
        "/öpen".encode(),
        b"/open\x01",
    ):
        # While it stays encoded no origin cuts at it: it may be refused, or pass so.
        passes = (lambda request: request.target == "/open/%3Bx") if path == b"/open/%3bx" else None
        statuses = (400, 404) if passes is None else (200, 400)
        yield Case(
            16, path.decode("latin-1").encode("unicode_escape").decode(), get(target=path), passes, statuses
        )
    for path, canonical in (
        (b"/open/./a", "/open/a"),
        (b"/secret/../open", "/open"),
        (b"/open/a/../b", "/open/b"),
        (b"/%6fpen", "/open"),
        (b"/secret/%2e%2e/open", "/open"),
        (b"/open/%7Ea", "/open/~a"),
        (b"/open/%c3%b6", "/open/%C3%B6"),
    ):
        yield Case(16, f"{path.decode()} is {canonical}", get(target=path), _went_to(canonical))

    for path in (
        b"/files/..",
        b"/files/%2e%2e",
        b"/files/a/../..",
        b"/files/..%2fsecret",
        b"/files/%2e%2e/secret",
        b"/files//",
    ):
        yield Case(17, path.decode(), get(target=path), statuses=(400, 404))
    yield Case(17, "what stays inside", get(target=b"/files/a/../b"), _went_to("/base/b"))


def _went_to(target: str) -> Check:
    return lambda request: request.target == target


def _sizes() -> Iterator[Case]:
    large = b"".join(b"X-%d: %b\r\n" % (number, b"a" * 300) for number in range(1000))
    yield Case(20, "300 KB of fields", get(large), statuses=(431,))
    yield Case(
        20, "5,000 fields", get(b"".join(b"X-%d: a\r\n" % number for number in range(5000))), statuses=(431,)
    )
    yield Case(20, "one field of 300 KB", get(b"X-A: %b\r\n" % (b"a" * 300_000)), statuses=(431,))
    yield Case(20, "one name of 300 KB", get(b"%b: a\r\n" % (b"a" * 300_000)), statuses=(431,))
    yield Case(20, "a target of 64 KB", get(target=b"/" + b"a" * 65_536), statuses=(414,))
    yield Case(20, "a query of 64 KB", get(target=b"/open?" + b"a" * 65_536), statuses=(414,))
    yield Case(20, "a method of 64 KB", get(method=b"G" * 65_536), statuses=(400, 405, 414, 501))
    yield Case(
        20,
        "a Host of 300 KB",
        b"GET /open HTTP/1.1\r\nHost: %b\r\n\r\n" % (b"a" * 300_000),
        statuses=(400, 431),
    )


CASES = [
    case for family in (_framing, _chunks, _fields, _upgrades, _identity, _paths, _sizes) for case in family()
]
