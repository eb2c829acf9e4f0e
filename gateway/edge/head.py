"""The head of a request, read strictly: what two servers could read in two ways is refused.

Plain heads are read by `plain.py`. Of the others llhttp checks the grammar (obs-fold, bare CR and LF, control
bytes, Content-Length); the rest is ours: Transfer-Encoding, Host, targets, upgrades. RFC 9110, RFC 9112.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from gateway.edge.canonical import canonical_authority, canonical_path
from gateway.edge.fields import PASS, READ, classify
from gateway.edge.limits import EdgeLimits
from gateway.edge.plain import METHODS, PlainReader
from gateway.errors import Refused
from gateway.exchange import Headers

_ALLOW = (b"allow", ", ".join(METHODS.values()).encode())
_REMEMBERED = 1024
"""Names and hosts whose classification is kept; beyond that they are worked out each time."""


class HeadReader(PlainReader):
    """Reads one head after another; what it found stands in its attributes until the next `read`.

    It works synchronously on whole heads, so one of them serves all connections of a server.
    """

    __slots__ = ("_certificate", "_hosts", "_names", "_parser", "_read", "_reusable")

    def __init__(self, certificate_header: bytes = b"") -> None:
        """`certificate_header`: where a proxy in front tells certificates, in lower case; empty for none."""
        super().__init__(certificate_header)
        self._certificate = certificate_header
        self._names: dict[bytes, tuple[bytes, int]] = {}
        self._hosts: dict[bytes, str] = {}
        self._parser = HttpRequestParser(self)

    def _begin(self) -> None:
        super()._begin()
        self._read: Headers = []
        self._reusable = False
        """The parser takes another head: it neither waits for a body nor has seen its last message."""

    def read(self, head: bytes, limits: EdgeLimits) -> None:
        """Read a head, from its first byte to the empty line. Raises `Refused`."""
        if not self.read_plain(head, limits):
            self._read_any(head, limits)

    def _read_any(self, head: bytes, limits: EdgeLimits) -> None:
        self._begin()
        line = head[: head.find(b"\r\n")].split(b" ")
        if len(line) != 3:
            raise Refused("BAD_REQUEST", "the request line is not a method, a target and a version")
        method, target, version = line
        self._check_line(method, target, version, limits)
        if len(head) > limits.head or head.count(b"\n") - 2 > limits.headers:
            raise Refused(
                "HEADERS_TOO_LARGE", f"the head may have {limits.head} bytes and {limits.headers} fields"
            )
        try:
            self._parser.feed_data(head)
        except HttpParserUpgrade:
            self._parser = HttpRequestParser(self)
        except HttpParserError as error:
            self._parser = HttpRequestParser(self)
            raise Refused("BAD_REQUEST", f"the head is malformed: {error}") from None
        try:
            self._interpret(target)
        except Refused:
            self._parser = HttpRequestParser(self)
            raise
        if not self._reusable:
            self._parser = HttpRequestParser(self)

    def take(self, method: str, target: bytes, version: str, headers: Headers, limits: EdgeLimits) -> None:
        """The same for a head that somebody else's server has parsed (ASGI). Raises `Refused`."""
        self._begin()
        if len(headers) > limits.headers:
            raise Refused("HEADERS_TOO_LARGE", f"the head may have {limits.headers} fields")
        self._check_line(method.encode(), target, b"HTTP/" + version.encode(), limits)
        if any(not 0x21 <= byte <= 0x7E for byte in target):
            raise Refused("BAD_REQUEST", "the target has a character that must be percent-encoded")
        for name, value in headers:
            self.on_header(name, value)
        self._interpret(target)

    def _check_line(self, method: bytes, target: bytes, version: bytes, limits: EdgeLimits) -> None:
        if len(target) > limits.target:
            raise Refused("URI_TOO_LONG", f"the target may have {limits.target} bytes")
        if version == b"HTTP/1.0":
            self.http_version = "1.0"
            self.keep_alive = False
        elif version != b"HTTP/1.1":
            raise Refused("BAD_REQUEST", "the version is neither HTTP/1.1 nor HTTP/1.0")
        known = METHODS.get(method)
        if known is None:
            if method.isalpha() and method.isupper():
                raise Refused(
                    "METHOD_NOT_ALLOWED", "the gateway does not forward this method", headers=(_ALLOW,)
                )
            raise Refused("BAD_REQUEST", "the method is malformed")
        self.method = known

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by llhttp for each field."""
        known = self._names.get(name)
        if known is None:
            known = self._classify(name)
        lower, kind = known
        if kind == PASS:
            self.headers.append((lower, value.rstrip(b" \t") if value[-1:] in b" \t" else value))
        elif kind == READ:
            self._read.append((lower, value.strip(b" \t")))

    def on_message_complete(self) -> None:
        """Called by llhttp, which closes for more than we do: for Proxy-Connection: close too."""
        self._reusable = self._parser.should_keep_alive()

    def _classify(self, name: bytes) -> tuple[bytes, int]:
        known = classify(name)
        if self._certificate and known[0] == self._certificate:
            known = self._certificate, READ
        if len(self._names) < _REMEMBERED:
            self._names[name] = known
        return known

    def _interpret(self, target: bytes) -> None:
        hosts = 0
        codings = 0
        connection = upgrade = b""
        for name, value in self._read:
            if name == b"host":
                hosts += 1
                self.authority = self._hosts.get(value) or self._learn_host(value)
            elif name == b"connection":
                connection = connection + b"," + value if connection else value
            elif name == b"content-length":
                self.content_length = int(value)
                self.headers.append((name, value))
            elif name == b"transfer-encoding":
                codings += 1
                self.chunked = value.lower() == b"chunked"
            elif name == b"upgrade":
                upgrade += value
            elif name == b"expect":
                if value.lower() != b"100-continue":
                    raise Refused("BAD_REQUEST", "the expectation is not 100-continue")
                self.expects_continue = self.http_version == "1.1"  # RFC 9110 §10.1.1: 1.0's is ignored
            else:
                self._take_told(name, value)
        if hosts != 1:
            raise Refused("BAD_REQUEST", "a request has exactly one Host")
        if codings:
            self._check_coding(codings)
        options = self._apply_connection(connection) if connection else frozenset()
        if upgrade:
            self._check_upgrade(upgrade, options)
        self._split_target(target)

    def _learn_host(self, host: bytes) -> str:
        authority = canonical_authority(host)
        if len(self._hosts) < _REMEMBERED:
            self._hosts[host] = authority
        return authority

    def _check_coding(self, codings: int) -> None:
        if codings > 1 or not self.chunked:
            raise Refused("BAD_REQUEST", "Transfer-Encoding is not chunked")
        if self.http_version == "1.0":
            raise Refused("BAD_REQUEST", "HTTP/1.0 has no Transfer-Encoding")
        if any(name == b"content-length" for name, _ in self._read):
            raise Refused("BAD_REQUEST", "a request has Content-Length or Transfer-Encoding, never both")

    def _apply_connection(self, connection: bytes) -> frozenset[bytes]:
        """Drop what the caller names hop-by-hop, before anything of ours is added."""
        options = frozenset([option.strip(b" \t") for option in connection.lower().split(b",")])
        if b"close" in options:
            self.keep_alive = False
        elif b"keep-alive" in options:
            self.keep_alive = True
        if options - {b"close", b"keep-alive", b"upgrade"}:
            named = options - {b"content-length"}
            self.headers = [item for item in self.headers if item[0] not in named]
        return options

    def _check_upgrade(self, upgrade: bytes, options: frozenset[bytes]) -> None:
        if upgrade.lower() != b"websocket":
            raise Refused("BAD_REQUEST", "only an upgrade to WebSocket passes")
        if b"upgrade" not in options or self.method != "GET" or self.http_version == "1.0":
            raise Refused(
                "BAD_REQUEST", "an upgrade to WebSocket is a GET with Connection: Upgrade over HTTP/1.1"
            )
        if self.content_length or self.chunked:
            raise Refused("BAD_REQUEST", "an upgrade to WebSocket has no body")
        self.upgrade = True

    def _split_target(self, target: bytes) -> None:
        if not target.startswith(b"/"):
            target = self._origin_form(target)
        if b"#" in target:
            raise Refused("BAD_REQUEST", "the target has a fragment")
        path, _, query = target.partition(b"?")
        self.path = canonical_path(path)
        self.query = query.decode("ascii")

    def _origin_form(self, target: bytes) -> bytes:
        """`/path` of `http://host/path`, whose authority must be the one in Host (RFC 9112 §3.2.2)."""
        scheme, separator, rest = target.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            raise Refused("BAD_REQUEST", "the target is neither a path nor an http URL")
        end = min(position for mark in b"/?#" if (position := (rest + b"/?#").find(mark)) >= 0)
        if canonical_authority(rest[:end]) != self.authority:
            raise Refused("BAD_REQUEST", "the target's authority is not the one in Host")
        rest = rest[end:]
        return rest if rest.startswith(b"/") else b"/" + rest


def check_unfinished(data: bytes, limits: EdgeLimits) -> None:
    """Refuse the beginning of a head that cannot become a good one, so that nobody waits for its end."""
    if b"\r\n" not in data:
        if len(data) > limits.target + 32:  # a method and a version beside it
            raise Refused("URI_TOO_LONG", f"the target may have {limits.target} bytes")
    elif len(data) > limits.head:
        raise Refused("HEADERS_TOO_LARGE", f"the head may have {limits.head} bytes")
    if not 0x41 <= data[0] <= 0x5A or b"\0" in data or data.count(b"\n") != data.count(b"\r\n"):
        raise Refused("BAD_REQUEST", "the head is malformed")
