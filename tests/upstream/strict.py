"""What the bytes of an answer mean, read strictly from RFC 9112 and from nothing of the gateway's.

It reads all bytes at once with regular expressions, so it shares no mistake with a state machine that is
fed piece by piece. Where the RFC lets a recipient choose, the reading is `doubtful`: refusing is right too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([0-9]{3})( [^\r\n]*)?")
_FIELD = re.compile(rb"(" + TOKEN + rb"):([\t\x20-\x7e\x80-\xff]*)")
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_SIZE = re.compile(rb"([0-9A-Fa-f]+)(.*)", re.DOTALL)
_EXTENSIONS = re.compile(rb"(?:;" + TOKEN + rb"(?:=(?:" + TOKEN + rb"|" + _QUOTED + rb"))?)*")
_VISIBLE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-connection te trailer transfer-encoding upgrade".split()
)
WHOLE, SHORT, BROKEN = "whole", "short", "broken"
Fields = list[tuple[bytes, bytes]]


class BrokenError(Exception):
    """No answer begins like this."""


@dataclass
class Reading:
    """One answer, interim ones before it left out."""

    state: str = SHORT
    """whole; short: more must come; broken: nothing that may come makes it an answer."""
    status: int = 0
    """0 until the head is complete and sound."""
    fields: Fields = field(default_factory=list)
    """The end-to-end ones, without Content-Length."""
    length: int | None = None
    body: bytes = b""
    """As far as it is sound."""
    size: int = 0
    """Bytes up to its end, where it is whole."""
    lasting: bool = False
    """The connection may carry another call after this one."""
    doubtful: bool = False


def read(data: bytes, *, asks_head: bool = False, ended: bool = False) -> Reading:
    """The first final answer in `data`, to HEAD or to anything else; `ended`: the connection was closed."""
    reading = Reading()
    try:
        _read(data, reading, asks_head, ended)
    except BrokenError:
        reading.state = BROKEN
    return reading


def _read(data: bytes, reading: Reading, asks_head: bool, ended: bool) -> None:
    at = 0
    while True:
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            return
        version, status, fields = _head(data[at:end], reading)
        at = end + 4
        if status >= 200:
            break
        if status < 100 or status == 101:
            raise BrokenError
        if any(name in (b"content-length", b"transfer-encoding") for name, _ in fields):
            raise BrokenError
        # A parser may take an interim answer's word that the connection ends, or that it is of HTTP/1.0.
        reading.doubtful |= version == b"0" or any(b"connection" in name for name, _ in fields)
        while data[at : at + 1] in (b"\r", b"\n"):  # no answer begins so, but between two it harms nobody
            reading.doubtful = True
            at += 1
    if status > 599:
        raise BrokenError
    chunked = _framing(version, fields, reading)
    tokens = {
        token.strip(b" \t").lower()
        for name, value in fields
        if name == b"connection"
        for token in value.split(b",")
    }
    dropped = _HOP_BY_HOP | {b"content-length"} | tokens
    reading.fields = [item for item in fields if item[0] not in dropped]
    reading.lasting = b"close" not in tokens and (version == b"1" or b"keep-alive" in tokens)
    reading.status = status
    if asks_head or status in (204, 304):
        reading.state, reading.size = WHOLE, at
    elif chunked:
        _chunks(data, at, reading)
    elif reading.length is None:
        reading.body, reading.size, reading.lasting = data[at:], len(data), False
        reading.state = WHOLE if ended else SHORT
    else:
        reading.body = data[at : at + reading.length]
        reading.size = at + reading.length
        reading.state = WHOLE if len(data) >= reading.size else SHORT


def _head(head: bytes, reading: Reading) -> tuple[bytes, int, Fields]:
    line, *lines = head.split(b"\r\n")
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        raise BrokenError
    reading.doubtful |= found[3] is None or _VISIBLE.fullmatch(found[3]) is None
    reading.doubtful |= any(
        text.lower().startswith(b"transfer-encoding:") and text[-1:].isspace() for text in lines
    )
    reading.doubtful |= len(lines) > 150 or len(head) > 32_000
    return found[1], int(found[2]), [_field(text) for text in lines]


def _field(line: bytes) -> tuple[bytes, bytes]:
    found = _FIELD.fullmatch(line)
    if found is None:
        raise BrokenError
    return found[1].lower(), found[2].strip(b" \t")


def _framing(version: bytes, fields: Fields, reading: Reading) -> bool:
    """Sets the length. True for chunks."""
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise BrokenError
    if codings and (codings[0].lower() != b"chunked" or version == b"0"):
        raise BrokenError
    if lengths:
        if re.fullmatch(rb"[0-9]+", lengths[0]) is None:
            raise BrokenError
        reading.length = int(lengths[0])
        reading.doubtful |= reading.length >= 1 << 63
    return bool(codings)


def _chunks(data: bytes, at: int, reading: Reading) -> None:
    while (end := data.find(b"\r\n", at)) >= 0:
        found = _SIZE.fullmatch(data[at:end])
        if (
            found is None
            or (found[2][:1] not in (b"", b";", b" ", b"\t"))
            or not _VISIBLE.fullmatch(found[2])
        ):
            raise BrokenError
        reading.doubtful |= _EXTENSIONS.fullmatch(found[2]) is None
        size, at = int(found[1], 16), end + 2
        if not size:
            _trailer(data, at, reading)
            return
        reading.body += data[at : at + size]
        at += size
        if not b"\r\n".startswith(data[at : at + 2]):
            raise BrokenError
        at += 2
        if at > len(data):
            return


def _trailer(data: bytes, at: int, reading: Reading) -> None:
    while (end := data.find(b"\r\n", at)) >= 0:
        line, at = data[at:end], end + 2
        if not line:
            reading.state, reading.size = WHOLE, at
            return
        name, _ = _field(line)
        reading.doubtful |= name in (b"content-length", b"transfer-encoding")
