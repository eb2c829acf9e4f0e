"""Whole answers that arrived in one piece and are certainly plain, read without a state machine.

Most answers are: a status line, some headers, one content-length, and exactly so many bytes. For those,
splitting lines and remembering what each says costs a third of llhttp's callbacks. Whatever is not
certainly plain is not judged here at all, but left to llhttp; a test holds that both read the same.
"""

from __future__ import annotations

import re
from typing import TypeVar

from gateway.exchange import Headers

_HEAD_LIMIT = 16 * 1024
_COUNT_LIMIT = 100
_LINE_LIMIT = 128
"""Bytes of a line at most that is worth remembering."""
_LINES_LIMIT = 256
"""Lines remembered at most: about 100 KiB."""
_KEPT_HEAD_LIMIT = 1024
_HEADS_LIMIT = 64
"""Whole heads remembered at most: another 100 KiB."""

_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) [\x20-\x7e]*")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?((?! )[\x20-\x7e]*(?<! ))")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,11}")
_BODILESS = frozenset({b"204", b"304"})

_CONTENT_LENGTH = b"content-length"
_FRAMING = frozenset(
    {_CONTENT_LENGTH, b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"te",
     b"trailer", b"transfer-encoding", b"upgrade"}
)  # fmt: skip
"""Between two neighbours only: llhttp, and the rules around it, know what to make of most of these."""
_NOTHING = (b"", b"")
"""Stands for a line that says no more than HTTP/1.1 does without it."""
_NOT_PLAIN: tuple[int, Headers, bytes] = (0, [], b"")

T = TypeVar("T")


class PlainAnswers:
    """Reads plain answers, and remembers what it met, since an upstream says the same again and again.

    Whole heads first (nothing but the second of `date` tells most of them apart), then lines.
    """

    __slots__ = ("_headers", "_heads", "_statuses")

    def __init__(self) -> None:
        self._heads: dict[bytes, tuple[int, Headers, bytes]] = {}
        self._statuses: dict[bytes, int] = {}
        self._headers: dict[bytes, tuple[bytes, bytes]] = {}

    def read(self, data: bytes) -> tuple[int, Headers, bytes, bytes] | None:
        """(status, end-to-end headers, value of content-length, body), or None: llhttp has to tell."""
        head, end, body = data.partition(b"\r\n\r\n")
        if not end:
            return None
        status, headers, length = self._heads.get(head) or self._learn_head(head)
        if not status or length != b"%d" % len(body):
            return None
        return status, headers.copy(), length, body

    def _learn_head(self, head: bytes) -> tuple[int, Headers, bytes]:
        found = self._read_head(head) or _NOT_PLAIN
        if len(head) <= _KEPT_HEAD_LIMIT:
            _remember(self._heads, head, found, _HEADS_LIMIT)
        return found

    def _read_head(self, head: bytes) -> tuple[int, Headers, bytes] | None:
        if len(head) > _HEAD_LIMIT:
            return None
        lines = head.split(b"\r\n")
        first = lines[0]
        status = self._statuses.get(first) or self._learn_status(first)
        if not status or len(lines) > _COUNT_LIMIT:
            return None
        del lines[0]
        known = self._headers
        headers: Headers = []
        length = b""
        for line in lines:
            item = known.get(line) or self._learn_header(line)
            if item is None:
                return None
            name = item[0]
            if name is _CONTENT_LENGTH:
                if length:
                    return None
                length = item[1]
            elif name:
                headers.append(item)
        return status, headers, length

    def _learn_status(self, line: bytes) -> int:
        match = _STATUS.fullmatch(line)
        if match is None or match[1] in _BODILESS:
            return 0
        status = int(match[1])
        if len(line) <= _LINE_LIMIT:
            _remember(self._statuses, line, status, _LINES_LIMIT)
        return status

    def _learn_header(self, line: bytes) -> tuple[bytes, bytes] | None:
        match = _HEADER.fullmatch(line)
        if match is None:
            return None
        name, value = match.groups()
        name = name.lower()
        if name not in _FRAMING:
            item = (name, value)
        elif name == _CONTENT_LENGTH and _LENGTH.fullmatch(value) is not None:
            item = (_CONTENT_LENGTH, value)
        elif name == b"keep-alive" or (name == b"connection" and value.lower() == b"keep-alive"):
            item = _NOTHING
        else:
            return None
        if len(line) <= _LINE_LIMIT:
            _remember(self._headers, line, item, _LINES_LIMIT)
        return item


def _remember(known: dict[bytes, T], text: bytes, meaning: T, most: int) -> None:
    if len(known) >= most:
        known.clear()
    known[text] = meaning
