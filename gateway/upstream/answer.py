"""One connection's answers, read from bytes: no sockets, no clock, so every framing rule reads as a script.

httptools (llhttp) does the grammar. What it lets pass, or cannot know, is decided here: which answers
have a body (RFC 9112 §6.3), framing that two readers could read differently, interim answers, trailers,
and bytes behind an answer, which must never become somebody else's (RFC 9112 §9.2).
"""

from __future__ import annotations

import httptools

from gateway.exchange import Headers
from gateway.upstream.plain import PlainAnswers

HEAD_LIMIT = 64 * 1024
"""Bytes of heads, interim ones included, of a trailer, and of chunk framing without a byte of body."""
HEADER_COUNT_LIMIT = 200

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110 §7.6.1: between two neighbours only."""

_FRAMING = HOP_BY_HOP | {b"content-length"}
_START = b"HTTP/1."
_PERSISTENCE = frozenset({b"close", b"keep-alive"})


class InvalidAnswerError(Exception):
    """The upstream's bytes are not an HTTP/1.1 answer to what was asked."""


class AnswerReader:
    """Reads the answers of one connection, one after another.

    `plain` reads at once what it can, for all connections to one target; the rest is llhttp's.

    `begin` before every request, `feed` with what arrives. `status` is 0 until the head is complete;
    then `headers` holds the end-to-end headers without `content-length`, `chunks` what arrived of the
    body since they were last taken, and `complete` turns true at the end.
    """

    __slots__ = ("_head_bytes", "_interim", "_overhead", "_parser", "_plain", "_problem", "_raw", "_simple",
                 "_tail", "_upgrade", "_versed", "bodiless", "chunks", "complete", "dirty", "fed",
                 "headers", "keep_alive", "length", "rest", "status", "until_close")  # fmt: skip

    def __init__(self, plain: PlainAnswers | None = None) -> None:
        self._plain = plain or PlainAnswers()
        self._parser: httptools.HttpResponseParser | None = None
        self._simple = False
        """Nothing but `plain` had to do with the answer so far."""
        self.begin()

    def begin(self, *, head: bool = False, upgrade: bool = False) -> None:
        """Expect the answer to a new request: `head` for HEAD, `upgrade` where 101 is welcome."""
        self.status = 0
        self.fed = 0
        """Bytes read since `begin`."""
        self.headers: Headers = []
        self.chunks: list[bytes] = []
        self.complete = False
        self.keep_alive = False
        """The connection may carry another request once this answer is complete."""
        self.dirty = False
        """There was more than the answer."""
        self.length: bytes | None = None
        """The value of `content-length`."""
        plain = not head and not upgrade
        if plain and self._simple:
            return  # all the rest is as it was
        self._simple = plain
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self.bodiless = head
        """The answer ends with its head: to HEAD, or with status 204 or 304."""
        self._upgrade = upgrade
        self._interim = False
        self._head_bytes = 0
        self._overhead = 0
        self._tail = b""
        """The last bytes before what `feed` is given."""
        self._versed = False
        """Its version is known to be one of ours."""
        self._problem = ""
        self._raw: Headers = []
        self.until_close = False
        """The body ends where the connection does."""
        self.rest = b""
        """After 101: what already arrived of the other protocol."""

    def feed(self, data: bytes) -> None:
        """Read what arrived. InvalidAnswerError where it cannot be an answer, or breaks off being one."""
        if not self.fed and self._simple and (found := self._plain.read(data)) is not None:
            self.status, self.headers, self.length, content = found
            if content:
                self.chunks.append(content)
            self.complete = self.keep_alive = True
            self.fed = len(data)
            return
        if not self.fed:
            self._check_start(data)
        self.fed += len(data)
        if self.complete:
            self.dirty = True
            return
        self._simple = False
        assert self._parser is not None
        before, headed = len(self.chunks), self.status != 0
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as switch:
            self.rest = data[switch.args[0] :]
        except httptools.HttpParserError as error:
            if self.complete or (self.bodiless and self.status):
                self.dirty = True  # the answer is whole; what follows it is not HTTP
            elif not self._problem:
                self._problem = str(error) or "it is malformed"
        if self._problem and not self.complete:
            raise InvalidAnswerError(self._problem)
        self._account_for(data, before, headed)

    def _check_start(self, data: bytes) -> None:
        # llhttp also takes HTTP/0.9 and 2.0, RTSP and ICE, and empty lines before them.
        if data.startswith(_START):
            self._versed = True
        elif not _START.startswith(data):
            self.fed = len(data)
            raise InvalidAnswerError("it does not begin like one")

    def _account_for(self, data: bytes, before: int, headed: bool) -> None:
        """The parser has read `data`; `before` chunks had come before it, and the head too where `headed`."""
        if self.bodiless and self.status:
            self._end_without_body(data)
        elif self.complete:
            if self.keep_alive and not self.dirty and self.status != 101:
                self.dirty = not self._ends_with(data, before, headed)
        else:
            self._tail = data[-4:] if len(data) > 3 else (self._tail + data)[-4:]
            self._overhead = self._overhead + len(data) if len(self.chunks) == before else 0
            if self._overhead > HEAD_LIMIT:
                raise InvalidAnswerError(f"more than {HEAD_LIMIT} bytes of head or framing came without end")

    def eof(self) -> bool:
        """The upstream closed its side. True where that ends the answer as it should."""
        if self.status and self.until_close and not self.complete:
            self.complete = True
            self.keep_alive = False
            return True
        return self.complete

    def _end_without_body(self, data: bytes) -> None:
        # HEAD, 204 and 304 end with their head whatever it announces; llhttp may wait for a body, or have
        # closed for a Proxy-Connection that we ignore, so it is replaced. Anything but the head's last bytes
        # at the end of what arrived makes it dirty.
        self.complete = True
        if self.chunks or not self._ends_a_section(data):
            self.dirty = True
            self.chunks = []
        self._parser = None

    def _ends_with(self, data: bytes, before: int, headed: bool) -> bool:
        """Is the answer's last byte the last that arrived? llhttp takes empty lines behind it in silence."""
        head = data
        if self.length is not None:
            size = len(self.chunks[-1]) if len(self.chunks) > before else 0
            if headed:
                return size == len(data)
            if size:
                if not data.endswith(self.chunks[-1]):
                    return False
                head = data[:-size]
        return self._ends_a_section(head)

    def _ends_a_section(self, data: bytes) -> bool:
        """One empty line, and no second one: so ends a head, and a trailer."""
        if len(data) < 5:
            data = self._tail + data
        return data.endswith(b"\r\n\r\n") and data[-5:-4] not in (b"\r", b"\n")

    # What httptools calls.

    def on_message_begin(self) -> None:
        if self.status:  # another answer, behind one that ended with its head perhaps
            self.dirty = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status or self.complete:
            return  # trailers are dropped, never merged
        self._head_bytes += len(name) + len(value) + 4
        self._raw.append((name.lower(), value))
        if self._head_bytes > HEAD_LIMIT or len(self._raw) > HEADER_COUNT_LIMIT:
            self._problem = f"its head has more than {HEAD_LIMIT} bytes or {HEADER_COUNT_LIMIT} headers"
            raise InvalidAnswerError

    def on_headers_complete(self) -> None:
        if self.status:
            return
        parser = self._parser
        assert parser is not None
        status = parser.get_status_code()
        if not self._versed and parser.get_http_version() not in ("1.1", "1.0"):
            self._refuse("it is not HTTP/1.1 or 1.0")
        if 200 <= status <= 599:
            if self._upgrade and status < 300:
                self._refuse("it does not switch protocols, as it was asked to")
            self._final(status)
        elif status == 101 and self._upgrade:
            if not parser.should_upgrade():
                self._refuse("it switches protocols without naming one")
            self._final(status)
        elif 100 <= status < 200 and status != 101:
            if any(name in (b"content-length", b"transfer-encoding") for name, _ in self._raw):
                self._refuse("an interim answer announces a body")
            self._interim = True
        else:
            self._refuse(f"its status is {status}")

    def _refuse(self, problem: str) -> None:
        self._problem = problem
        raise InvalidAnswerError

    def _final(self, status: int) -> None:
        assert self._parser is not None
        codings = 0
        dropped = _FRAMING
        headers: Headers = []
        for item in self._raw:
            name, value = item
            if name not in dropped:
                headers.append(item)
            elif name == b"content-length":
                length = value.rstrip(b" \t")  # RFC 9112 §5: no part of the value
                if self.length is not None or not length.isdigit():
                    self._refuse("it has no single content-length")
                self.length = length
            elif name == b"transfer-encoding":
                codings += 1
                if value.lower() != b"chunked":
                    self._refuse("its transfer-encoding is not chunked")
            elif name == b"connection" and value.lower() not in _PERSISTENCE:
                dropped = dropped | {token.strip().lower() for token in value.split(b",")}
        if dropped is not _FRAMING:  # a header may stand before the Connection that names it
            headers = [item for item in headers if item[0] not in dropped]
        if codings > 1 or (codings and self.length is not None):
            self._refuse("its body is framed in two ways")
        if codings and self._parser.get_http_version() != "1.1":
            self._refuse("it is chunked, but not HTTP/1.1")
        self.headers = headers
        if status in (204, 304):
            self.bodiless = True
            if status == 204:
                self.length = None
        if self.bodiless:
            self.keep_alive = self._persistent()
        else:
            self.until_close = status >= 200 and not codings and self.length is None
        self.status = status

    def _persistent(self) -> bool:
        # llhttp takes an answer to HEAD without framing for one that ends with the connection.
        tokens = {
            token.strip().lower()
            for name, value in self._raw
            if name == b"connection"
            for token in value.split(b",")
        }
        assert self._parser is not None
        return b"close" not in tokens and (
            self._parser.get_http_version() == "1.1" or b"keep-alive" in tokens
        )

    def on_body(self, data: bytes) -> None:
        if not self.complete:
            self.chunks.append(data)

    def on_message_complete(self) -> None:
        if self.complete:
            return
        if self._interim:
            self._interim = self._versed = False
            self._raw = []
            return
        if not self.bodiless:
            assert self._parser is not None
            self.complete = True
            self.keep_alive = self._parser.should_keep_alive()
        elif self.length is None and self.status not in (204, 304):
            self.dirty = True  # chunks behind an answer to HEAD, if only the last one
