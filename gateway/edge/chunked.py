"""The chunked transfer coding of request bodies (RFC 9112 §7.1), read strictly and in bounded memory.

llhttp would read it too, but bounds neither extensions nor trailers, and cannot say where in its
input a message ended: what follows it must stay unparsed until the answer is written.
"""

from __future__ import annotations

from gateway.errors import Refused

_SIZE, _DATA, _DATA_END, _TRAILERS = range(4)
_HEX = b"0123456789abcdefABCDEF"
_CONTROLS = bytes(byte for byte in range(0x20) if byte != 0x09) + b"\x7f"
MAX_LINE = 4096
"""Bytes of one chunk-size line with its extensions, or of one trailer line."""
MAX_TRAILERS = 16 * 1024
MAX_EXCESS = 16 * 1024
"""Bytes of framing beyond what chunks of a byte need: else extensions could be sent without end."""
_FRAMING = 16
"""Bytes of framing that every chunk may have, and two more for each byte of its data."""


class ChunkedDecoder:
    """Feed it what arrives; it gives back body bytes. Trailers are dropped: they could name any header."""

    __slots__ = ("_excess", "_left", "_line", "_state", "_trailers", "done", "rest")

    def __init__(self) -> None:
        self._state = _SIZE
        self._left = 0
        self._line = b""
        self._trailers = 0
        self._excess = 0
        self.done = False
        self.rest = b""
        """What came after the body's end."""

    def feed(self, data: bytes) -> bytes:
        """The body bytes in `data`. Raises `Refused(BAD_REQUEST)` at anything but strict framing."""
        parts: list[bytes] = []
        position, end = 0, len(data)
        while position < end and not self.done:
            if self._state == _DATA:
                piece = data[position : position + self._left]
                position += len(piece)
                self._left -= len(piece)
                parts.append(piece)
                if not self._left:
                    self._state = _DATA_END
                continue
            newline = data.find(b"\n", position)
            stop = end if newline < 0 else newline + 1
            self._line += data[position:stop]
            position = stop
            if len(self._line) > MAX_LINE or (
                self._state == _DATA_END and not b"\r\n".startswith(self._line)
            ):
                raise Refused("BAD_REQUEST", "the chunked body is malformed")
            if newline >= 0:
                line, self._line = self._line, b""
                self._take_line(line)
        if self.done:
            self.rest = data[position:]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _take_line(self, line: bytes) -> None:
        if not line.endswith(b"\r\n") or len(line.translate(None, _CONTROLS)) != len(line) - 2:
            raise Refused("BAD_REQUEST", "the chunked body has a bare line feed or a control character")
        line = line[:-2]
        if self._state == _DATA_END:
            self._state = _SIZE
        elif self._state == _SIZE:
            digits = line.partition(b";")[0]
            if not 1 <= len(digits) <= 15 or digits.translate(None, _HEX):
                raise Refused("BAD_REQUEST", "the chunked body has an invalid chunk size")
            self._left = int(digits, 16)
            self._excess = max(0, self._excess + len(line) - _FRAMING - 2 * self._left)
            if self._excess > MAX_EXCESS:
                raise Refused("BAD_REQUEST", "the chunked body is little but chunk extensions")
            self._state = _DATA if self._left else _TRAILERS
        elif not line:
            self.done = True
        else:
            self._trailers += len(line)
            name = line.partition(b":")[0]
            if self._trailers > MAX_TRAILERS or not name or name == line or name.strip(b" \t") != name:
                raise Refused("BAD_REQUEST", "the chunked body has an invalid trailer")
