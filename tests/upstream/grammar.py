"""Answers written from RFC 9112's grammar with what must come out of each, and ways to spoil them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import strategies as st

from tests.upstream.strict import Fields

TOKENS = (
    b"\r\n", b"\r", b"\n", b"\0", b" ", b"\t", b":", b";", b",", b"\x7f", b"\xff", b"0", b"5", b"0\r\n\r\n",
    b"5\r\nhello\r\n", b";a=b", b'"', b"\r\n ", b"x-a: b\r\n", b"content-length: 5\r\n",
    b"Content-Length: 0\r\n", b"transfer-encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n",
    b"connection: close\r\n", b"Connection: keep-alive\r\n", b"connection: x-a\r\n",
    b"proxy-connection: keep-alive\r\n", b"upgrade: h2c\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 X\r\n\r\n", b"HTTP/1.1 101 X\r\n",
    b"+", b"-", b"0x", b"ffffffffffffffff",
)  # fmt: skip
"""What an attacker would put somewhere."""


@dataclass
class Written:
    """A sound answer, and what a caller must get of it."""

    data: bytes
    status: int
    fields: Fields = field(default_factory=list)
    body: bytes = b""
    asks_head: bool = False
    ends: bool = False
    """Only the end of the connection ends it."""
    lasting: bool = True


_NAME = st.sampled_from([b"X-Game", b"date", b"Set-Cookie", b"ETag", b"x", b"!#$%&'*+.^_`|~-9", b"location"])
_VISIBLE = st.sampled_from(list(range(0x21, 0x7F)) + list(range(0x80, 0x100)))
_VALUE = st.lists(st.lists(_VISIBLE, min_size=1, max_size=8).map(bytes), max_size=3).map(b" ".join)
_SPACE = st.sampled_from([b"", b" ", b" ", b"\t", b"  "])
_HOP = st.sampled_from(
    [
        (b"Keep-Alive", b"timeout=5"),
        (b"Upgrade", b"h2c"),
        (b"Trailer", b"x-t"),
        (b"Proxy-Authenticate", b"Basic"),
        (b"TE", b"trailers"),
    ]
)
_EXTENSION = st.sampled_from([b"", b"", b";a", b";a=b", b';a="b;\\"c"', b";a;b=c"])
_INTERIM = st.sampled_from(
    [
        b"",
        b"",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nx-planted: 1\r\n\r\n" * 2,
    ]
)
_BODY = st.one_of(
    st.binary(max_size=40), st.sampled_from([b"\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 3000])
)


@st.composite
def answers(draw: st.DrawFn) -> Written:
    """Any sound answer that a strict recipient takes without a doubt."""
    asks_head = draw(st.integers(0, 5)) == 0
    status = draw(st.sampled_from([200, 200, 200, 201, 204, 302, 304, 404, 503, 599]))
    bodiless = asks_head or status in (204, 304)
    minor = draw(st.sampled_from([1, 1, 1, 0]))
    written = Written(b"", status, asks_head=asks_head, lasting=minor == 1)
    kept: Fields = draw(st.lists(st.tuples(_NAME, _VALUE), max_size=5))
    dropped: Fields = draw(st.lists(_HOP, max_size=2))
    match draw(st.sampled_from(["nothing", "nothing", "close", "keep-alive", "names"])):
        case "close":
            dropped.append((b"Connection", b"close"))
            written.lasting = False
        case "keep-alive":
            dropped.append((b"connection", b"Keep-Alive"))
            written.lasting = True
        case "names":
            dropped += [(b"X-Secret", b"1"), (b"Connection", b"x-secret")]
    framing = draw(st.sampled_from(["length", "length", "chunks", "end"]))
    body = draw(_BODY)
    if framing == "chunks" and minor == 0:
        framing = "length"
    if framing == "length":
        dropped.append((draw(st.sampled_from([b"Content-Length", b"content-length"])), b"%d" % len(body)))
    elif framing == "chunks":
        dropped.append((b"Transfer-Encoding", draw(st.sampled_from([b"chunked", b"Chunked"]))))
        written.body, body = body, draw(chunks(body))
    elif not bodiless:
        written.ends, written.lasting = True, False
    if framing != "chunks":
        written.body = body
    fields = draw(st.permutations([*kept, *dropped]))
    known = {name for name, _ in kept}
    written.fields = [(name.lower(), value) for name, value in fields if name in known]
    lines = b""
    for name, value in fields:
        after = b"" if name == b"Transfer-Encoding" else draw(_SPACE)  # a parser may take that for more
        lines += b"%b:%b%b%b\r\n" % (name, draw(_SPACE), value, after)
    reason = draw(st.sampled_from([b"OK", b"", b"Not Found"]))
    head = b"HTTP/1.%d %d %b\r\n%b\r\n" % (minor, status, reason, lines)
    interim = draw(_INTERIM) if minor == 1 else b""
    if bodiless:
        written.body = b""
    written.data = interim + head + (b"" if bodiless else body)
    return written


@st.composite
def chunks(draw: st.DrawFn, body: bytes) -> bytes:
    """A body in chunks, cut anywhere, with extensions and a trailer."""
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(body) - 1)), max_size=3)))
    edges = [0, *cuts, len(body)]
    framed = b""
    for start, end in pairwise(edges):
        if piece := body[start:end]:
            size = draw(st.sampled_from([b"%x", b"%X", b"%04x"])) % len(piece)
            framed += size + draw(_EXTENSION) + b"\r\n" + piece + b"\r\n"
    trailer = draw(st.sampled_from([b"", b"", b"x-t: 1\r\n", b"X-Api-Key: planted\r\nhost: planted\r\n"]))
    return framed + draw(st.sampled_from([b"0", b"000"])) + draw(_EXTENSION) + b"\r\n" + trailer + b"\r\n"


@st.composite
def pieces(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes as they may arrive."""
    if draw(st.integers(0, 9)) == 0 and len(data) < 500:
        return [data[at : at + 1] for at in range(len(data))]
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return [data[start:end] for start, end in pairwise([0, *cuts, len(data)]) if start < end]


@st.composite
def spoilt(draw: st.DrawFn, data: bytes) -> bytes:
    """The same bytes with a few changed, put in, taken out or doubled."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        to = at + draw(st.integers(1, 12))
        match draw(st.sampled_from(["flip", "put in", "take out", "double", "cut", "replace"])):
            case "flip":
                bit = 1 << draw(st.integers(0, 7))
                data = data[:at] + bytes(byte ^ bit for byte in data[at : at + 1]) + data[at + 1 :]
            case "put in":
                data = data[:at] + draw(st.sampled_from(TOKENS)) + data[at:]
            case "take out":
                data = data[:at] + data[to:]
            case "double":
                data = data[:to] + data[at:]
            case "cut":
                data = data[:at]
            case "replace":
                data = data[:at] + draw(st.sampled_from(TOKENS)) + data[to:]
    return data
