"""A caller that reads answers strictly, and tells a whole one from one that was cut off."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

PATIENCE_SECONDS = 10.0
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close with a reset, whatever is still to be sent."""
_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) [ -~]*")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9a-z-]+): ([^\x00-\x08\x0a-\x1f\x7f]*)")
_SIZE = re.compile(rb"[0-9a-f]{1,8}")


class Told(NamedTuple):
    """One answer, as far as it came."""

    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes
    whole: bool
    """The body ended as its framing says."""

    def value(self, name: bytes) -> bytes:
        """The value of a field, `name` in lower case; empty without one."""
        return next((value for key, value in self.fields if key == name), b"")


class Caller:
    """A connection to the gateway."""

    def __init__(self, port: int, patience: float = PATIENCE_SECONDS) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._waiting = b""
        self.over = False
        """The gateway said that it closes the connection, or did."""

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, target: bytes, method: bytes = b"GET", fields: bytes = b"", body: bytes = b"") -> None:
        """One request, whole; a body announces its length."""
        length = b"content-length: %d\r\n" % len(body) if body else b""
        self.say(b"%b %b HTTP/1.1\r\nhost: gateway\r\n%b%b\r\n%b" % (method, target, length, fields, body))

    def read(self, method: bytes = b"GET", *, on_head: Callable[[], object] = lambda: None) -> Told:
        """The answer to a request. ValueError where it is no strict HTTP; EOFError where none came."""
        line = self._line()
        found = _STATUS.fullmatch(line)
        if found is None:
            raise ValueError(f"no status line: {line!r}")
        fields: list[tuple[bytes, bytes]] = []
        while line := self._line():
            field = _FIELD.fullmatch(line)
            if field is None:
                raise ValueError(f"no field: {line!r}")
            fields.append((field[1], field[2]))
        told = Told(int(found[1]), fields, b"", True)
        framing = told.value(b"content-length"), told.value(b"transfer-encoding")
        if all(framing):
            raise ValueError(f"framed twice: {framing}")
        self.over = told.value(b"connection") == b"close"
        if 100 <= told.status < 200:
            return told
        on_head()
        if method == b"HEAD" or told.status in (204, 304):
            return told
        body, whole = self._read_body(*framing)
        self.over |= not whole
        return told._replace(body=body, whole=whole)

    def _read_body(self, length: bytes, coding: bytes) -> tuple[bytes, bool]:
        body = b""
        if length:
            body = self._up_to(int(length))
            return body, len(body) == int(length)
        if coding != b"chunked":
            raise ValueError("framed by nothing")
        try:
            while True:
                size = self._line()
                if _SIZE.fullmatch(size) is None:
                    raise ValueError(f"no size of a chunk: {size!r}")
                data = self._up_to(int(size, 16))
                body += data
                if len(data) < int(size, 16):
                    return body, False
                if self._line():
                    raise ValueError("a chunk without its end, or a trailer")
                if not data:
                    return body, True
        except EOFError:
            return body, False

    def ended(self) -> bool:
        """Nothing more comes: waits until the gateway closes the connection. False for a byte."""
        return not self._waiting and not self._receive()

    def leave(self, *, reset: bool = False) -> None:
        """Close the connection, as a program does that ends, or with a reset."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()

    def _line(self) -> bytes:
        while b"\r\n" not in self._waiting:
            data = self._receive()
            if not data:
                raise EOFError(f"the connection ended behind {self._waiting[-60:]!r}")
            self._waiting += data
        line, _, self._waiting = self._waiting.partition(b"\r\n")
        return line

    def _up_to(self, count: int) -> bytes:
        """So many bytes, or fewer where the connection ends before them."""
        while len(self._waiting) < count and (data := self._receive()):
            self._waiting += data
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except ConnectionError:
            return b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.socket.close()
