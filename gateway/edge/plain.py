"""Heads that can be read in one way only, a line at a time; what is not certain of that is left to llhttp.

Nearly all heads are of this kind, and most of their lines came before: on this connection, or from another
caller. A line is judged by itself, whatever stands around it, so what it means may be remembered; what the
lines mean together is looked at anew for every head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway.edge.canonical import canonical_authority, canonical_path
from gateway.edge.fields import DROP, PASS, classify
from gateway.edge.remembered import Remembered
from gateway.errors import Refused
from gateway.exchange import Headers

if TYPE_CHECKING:
    from gateway.edge.limits import EdgeLimits

METHODS = {m.encode(): m for m in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
"""What the gateway forwards."""

_ALPHANUMERIC = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_TOKEN = _ALPHANUMERIC + b"!#$%&'*+-.^_`|~"
_TEXT = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
_TARGET = _ALPHANUMERIC + b"-._~!$&'()*+,;=:@/?%"
_DIGITS = 15
"""Of a Content-Length; a longer one is llhttp's to judge."""

_HOST, _LENGTH, _CHUNKED, _CONNECTION, _TOLD, _ODD = range(DROP + 1, DROP + 7)
"""More kinds of field, each with its meaning: an authority; a length and its field; a chunked body; whether
the connection is kept; what a proxy in front says, or the caller of its trace; what llhttp should judge."""
_CONNECTIONS = {b"keep-alive": True, b"close": False}


def request_line(line: bytes) -> tuple[str, str, str] | None:
    """(method, canonical path, query) of `GET /path?query HTTP/1.1`; None for any other form."""
    parts = line.split(b" ")
    if len(parts) != 3 or parts[2] != b"HTTP/1.1" or parts[0] not in METHODS:
        return None
    method, target, _ = parts
    if target.translate(None, _TARGET):
        return None
    path, _, query = target.partition(b"?")
    try:
        return METHODS[method], canonical_path(path), query.decode()
    except Refused:
        return None


def field(line: bytes) -> tuple[int, Any]:
    """(kind, meaning) of `Name: value`."""
    name, _, value = line.partition(b":")
    value = value.strip(b" \t")
    if not name or not value or name.translate(None, _TOKEN) or value.translate(None, _TEXT):
        return _ODD, None
    name, kind = classify(name)
    if kind == PASS:
        return PASS, (name, value)
    if kind == DROP:
        return DROP, None
    if name == b"host":
        try:
            return _HOST, canonical_authority(value)
        except Refused:
            return _ODD, None
    if name == b"content-length" and value.isdigit() and len(value) <= _DIGITS:
        return _LENGTH, (int(value), (name, value))
    if name == b"transfer-encoding" and value.lower() == b"chunked":
        return _CHUNKED, None
    if name == b"connection" and value.lower() in _CONNECTIONS:
        return _CONNECTION, _CONNECTIONS[value.lower()]
    if name in (b"traceparent", b"tracestate", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto"):
        return _TOLD, (name, value)
    return _ODD, None


def field_telling(certificate: bytes) -> Callable[[bytes], tuple[int, Any]]:
    """`field`, where a proxy in front tells certificates in the header of this lower-case name."""

    def telling(line: bytes) -> tuple[int, Any]:
        name, _, value = line.partition(b":")
        if name.lower() != certificate:
            return field(line)
        value = value.strip(b" \t")
        if not value or value.translate(None, _TEXT):
            return _ODD, None
        return _TOLD, (certificate, value)

    return telling


class PlainReader:
    """What `HeadReader` builds on. What it found stands in its attributes until the next head."""

    __slots__ = ("_fields", "_requests", "authority", "chunked", "content_length", "expects_continue",
                 "forwarding", "headers", "http_version", "keep_alive", "method", "path", "query",
                 "traceparent", "tracestate", "upgrade")  # fmt: skip

    def __init__(self, certificate_header: bytes = b"") -> None:
        self._requests = Remembered(request_line, len)
        self._fields = Remembered(field_telling(certificate_header) if certificate_header else field, len)
        self._begin()

    def _begin(self) -> None:
        self.headers: Headers = []
        """End-to-end fields, names in lower case."""
        self.method = self.path = self.query = self.authority = ""
        self.http_version = "1.1"
        self.content_length = 0
        self.chunked = self.expects_continue = self.upgrade = False
        self.keep_alive = True
        self.forwarding: Headers = []
        """Forwarded, X-Forwarded-For and -Proto, and the certificate header where there is one, as received:
        worth something from trusted proxies only."""
        self.traceparent: list[bytes] | None = None
        self.tracestate: list[bytes] | None = None

    def read_plain(self, head: bytes, limits: EdgeLimits) -> bool:
        """Read a head, from its first byte to the empty line. False where it is not plain, or too large."""
        lines = head.split(b"\r\n")
        line = lines[0]
        asked = self._requests[line]
        if (
            asked is None
            or len(line) > limits.target  # by a few bytes too strict, and the other reader is exact
            or len(head) > limits.head
            or len(lines) > limits.headers + 3
            or lines[-1]
            or lines[-2]
        ):
            return False
        headers: Headers = []
        authority = ""
        length: tuple[int, tuple[bytes, bytes]] | None = None
        chunked = False
        keep_alive: bool | None = None
        told: Headers = []
        for kind, meaning in map(self._fields.__getitem__, lines[1:-2]):
            if kind == PASS:
                headers.append(meaning)
            elif kind == _HOST:
                if authority:
                    return False
                authority = meaning
            elif kind == _LENGTH:
                if length is not None:
                    return False
                length = meaning
            elif kind == _CHUNKED:
                if chunked:
                    return False
                chunked = True
            elif kind == _CONNECTION:
                if keep_alive is not None:
                    return False
                keep_alive = meaning
            elif kind == _TOLD:
                told.append(meaning)
            elif kind == _ODD:
                return False
        if not authority or (chunked and length is not None):
            return False
        self.method, self.path, self.query = asked
        self.authority = authority
        self.http_version = "1.1"
        self.keep_alive = keep_alive is not False
        self.chunked = chunked
        self.expects_continue = self.upgrade = False
        self.headers = headers
        if length is None:
            self.content_length = 0
        else:
            self.content_length = length[0]
            headers.append(length[1])
        self.traceparent = self.tracestate = None
        self.forwarding = []
        for name, value in told:
            self._take_told(name, value)
        return True

    def _take_told(self, name: bytes, value: bytes) -> None:
        """What a proxy in front says of its caller, or the caller of its trace."""
        if name == b"traceparent":
            self.traceparent = [*(self.traceparent or ()), value]
        elif name == b"tracestate":
            self.tracestate = [*(self.tracestate or ()), value]
        else:
            self.forwarding.append((name, value))
