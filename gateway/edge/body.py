"""One request's body as it arrives: counted or de-chunked, held to its limit, handed to its stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.edge.chunked import ChunkedDecoder
from gateway.errors import Refused
from gateway.stream import Stream

if TYPE_CHECKING:
    from gateway.edge.limits import EdgeLimits

SMALL_REST = 64 * 1024
"""What of an unread body is read and dropped to keep the connection; more than that costs the connection."""


class RequestBody:
    """`take` what arrives until `complete`; `rest` is then what follows the body."""

    __slots__ = (
        "_began",
        "_decoder",
        "_left",
        "_limit",
        "complete",
        "expects_continue",
        "received",
        "rest",
        "stream",
    )

    def __init__(self, length: int, chunked: bool, limit: int, expects_continue: bool) -> None:
        if length > limit:
            raise self._too_large(limit)
        self._decoder = ChunkedDecoder() if chunked else None
        self._left = length
        self._limit = limit
        self._began = 0.0
        self.expects_continue = expects_continue
        """The caller waits for `100 Continue` before it sends."""
        self.received = 0
        self.complete = False
        self.rest = b""
        self.stream: Stream | None = None
        """Where the exchange reads; None where all of it came with the head."""

    @staticmethod
    def _too_large(limit: int) -> Refused:
        return Refused("BODY_TOO_LARGE", f"the body may have {limit} bytes here")

    def take(self, data: bytes) -> bytes:
        """The body bytes in what arrived. Raises `Refused` over the limit, or at malformed chunks."""
        decoder = self._decoder
        if decoder is not None:
            piece = decoder.feed(data)
            self.complete, self.rest = decoder.done, decoder.rest
        else:
            piece, self.rest = data[: self._left], data[self._left :]
            self._left -= len(piece)
            self.complete = not self._left
        self.received += len(piece)
        if piece or self.complete:
            self.expects_continue = False
        if self.received > self._limit:
            raise self._too_large(self._limit)
        return piece

    @property
    def small_rest(self) -> bool:
        """Is what is still to come known to be little, and sure to come?"""
        return not self.expects_continue and 0 < self._left <= SMALL_REST

    def begin_wait(self, now: float, limits: EdgeLimits) -> float:
        """We are ready for more from now on: the caller's average speed counts anew. Returns the deadline."""
        self._began = now - self.received / limits.slowest_body
        return now + limits.body_timeout

    def deadline(self, now: float, limits: EdgeLimits) -> float:
        """When the next piece must be here: for progress, and for an average that is no trickle."""
        wait = limits.body_timeout
        return min(now + wait, self._began + wait + self.received / limits.slowest_body)
