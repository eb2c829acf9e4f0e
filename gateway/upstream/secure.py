"""A connection over TLS: what arrives is decrypted into one buffer that all connections to a target share.

Handed over piece by piece instead, every read would allocate 256 KiB first, to shrink them to what came:
that costs more than the rest of a small answer does.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.upstream.connection import Connection
from gateway.upstream.plain import PlainAnswers
from gateway.upstream.settings import TimeoutConfig

_ROOM = 64 * 1024


class ReadBuffer:
    """Where TLS puts what it decrypted; empty again before the next read."""

    __slots__ = ("view",)

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_ROOM))


class SecureConnection(Connection):
    """A connection whose transport decrypts."""

    def __init__(
        self,
        timeout: TimeoutConfig,
        on_idle: Callable[[Connection], None],
        on_closed: Callable[[Connection], None],
        plain: PlainAnswers,
        buffer: ReadBuffer,
    ) -> None:
        super().__init__(timeout, on_idle, on_closed, plain)
        self._buffer = buffer

    def get_buffer(self, sizehint: int) -> memoryview:
        """Room for all that has come, `sizehint` bytes at most.

        And always for one more: were it filled, bytes behind an answer could wait unseen until the
        connection carries somebody else's call.
        """
        buffer = self._buffer
        if sizehint >= len(buffer.view):
            buffer.view = memoryview(bytearray(sizehint + _ROOM))
        return buffer.view

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._buffer.view[:nbytes]))
