"""A body that arrives in pieces, with bounded memory between who sends it and who reads it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Stream:
    """A body that arrives in pieces: one producer feeds it, one consumer reads it.

    The producer is paused when more than `high` bytes wait and resumed when fewer than a quarter of
    that do, so memory stays bounded whatever the body's size.
    """

    __slots__ = (
        "_chunks",
        "_error",
        "_paused",
        "_waiter",
        "closed",
        "ended",
        "high",
        "on_close",
        "on_pause",
        "on_read",
        "on_resume",
        "size",
    )

    def __init__(
        self,
        *,
        on_pause: Callable[[], None] | None = None,
        on_resume: Callable[[], None] | None = None,
        on_close: Callable[[], None] | None = None,
        on_read: Callable[[], None] | None = None,
        high: int = 256 * 1024,
    ) -> None:
        self._chunks: deque[bytes] = deque()
        self._error: BaseException | None = None
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self.ended = False
        """The producer has fed everything (some of it may still wait to be read)."""
        self.closed = False
        """The consumer wants no more."""
        self.size = 0
        """Bytes waiting to be read."""
        self.high = high
        self.on_pause = on_pause
        self.on_resume = on_resume
        self.on_close = on_close
        self.on_read = on_read
        """Called before the first read: the edge sends `100 Continue` then."""

    # The producer's side: none of these waits.

    def feed(self, data: bytes) -> None:
        """Add a piece; after the consumer closed, it is dropped."""
        if self.closed:
            return
        self._chunks.append(data)
        self.size += len(data)
        if self.size > self.high and not self._paused:
            self._paused = True
            if self.on_pause is not None:
                self.on_pause()
        self._wake()

    def end(self) -> None:
        """Say that the body is complete."""
        self.ended = True
        self._wake()

    def fail(self, error: BaseException) -> None:
        """Say that the body broke off; the reader gets `error` after what has already arrived."""
        if not self.ended:
            self._error = error
            self.ended = True
            self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # The consumer's side.

    async def read(self) -> bytes:
        """The next piece, `b""` at the end; raises what the producer failed with."""
        if self.on_read is not None:
            on_read, self.on_read = self.on_read, None
            on_read()
        while not self._chunks:
            if self.ended:
                if self._error is not None:
                    raise self._error
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._chunks.popleft()
        self.size -= len(data)
        if self._paused and self.size <= self.high // 4:
            self._paused = False
            if self.on_resume is not None:
                self.on_resume()
        return data

    async def read_up_to(self, limit: int) -> tuple[bytes, bool]:
        """Read until the end or until more than `limit` bytes came: (what came, whether that is all)."""
        parts: list[bytes] = []
        count = 0
        while data := await self.read():
            parts.append(data)
            count += len(data)
            if count > limit:
                return b"".join(parts), False
        return b"".join(parts), True

    def unread(self, data: bytes) -> None:
        """Put `data` back in front of what still waits."""
        if data:
            self._chunks.appendleft(data)
            self.size += len(data)

    def close(self) -> None:
        """Want no more: the producer is told once and may drop its connection."""
        if self.closed:
            return
        self.closed = True
        self._chunks.clear()
        self.size = 0
        if self.on_close is not None:
            self.on_close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "ended" if self.ended else "paused" if self._paused else "open"
        return f"<Stream {state}, {self.size} bytes waiting>"
