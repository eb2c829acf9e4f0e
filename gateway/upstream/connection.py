"""One keep-alive HTTP/1.1 connection to a target: one call at a time, one timer, nothing left behind.

A connection is idle (no call), busy (a call is written or its answer read), a tunnel (after 101), or
closed. Whatever is not plainly right ends it: a byte while it is idle, a byte behind an answer, an
answer before the request was all sent. So no byte of one call's answer can reach another.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from gateway.errors import Sent, UpstreamError
from gateway.exchange import Attempt, Body, Response
from gateway.outbox import Outbox
from gateway.stream import Stream
from gateway.upstream.answer import AnswerReader, InvalidAnswerError
from gateway.upstream.deadlines import NEVER, Deadlines
from gateway.upstream.faults import TOO_LATE, lost
from gateway.upstream.plain import PlainAnswers
from gateway.upstream.settings import TimeoutConfig
from gateway.upstream.tunnel import WRITE_BUFFER, SocketTunnel
from gateway.upstream.upload import upload

_NO, _UNKNOWN, _YES = (
    Sent.NO,
    Sent.UNKNOWN,
    Sent.YES,
)  # looking a member up on its enum costs ten times as much


class Connection:
    """A socket to a target, and the call it carries at the moment."""

    def __init__(
        self,
        timeout: TimeoutConfig,
        on_idle: Callable[[Connection], None],
        on_closed: Callable[[Connection], None],
        plain: PlainAnswers | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._response_s, self._idle_s = timeout.response, timeout.idle
        self._on_idle = on_idle
        self._on_closed = on_closed
        self._transport: Any = None
        self._poll = select.poll()
        self._reader = AnswerReader(plain)
        self.closed = False
        self.adopted = False
        """It belongs to a pool, which has to be told of its end."""
        self.calls = 0
        """Calls begun on it; more than one means it was reused."""
        # The call.
        self._attempt: Attempt | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._stream: Stream | None = None
        self._tunnel: SocketTunnel | None = None
        self._pump: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._endless = False
        self._deadlines = Deadlines(self._loop, self._late)

    # The pool's side.

    def fresh(self) -> bool:
        """Nothing arrived since the last answer: no end, no stray byte that the loop has not seen yet."""
        return not self.closed and not self._transport.is_closing() and not self._poll.poll(0)

    def rest(self, seconds: float) -> None:
        """Wait in the pool, and no longer than that."""
        self._deadlines.begin(response=NEVER, total=self._loop.time() + seconds)

    def send(
        self,
        head: bytes,
        body: Body,
        length: int | None,
        attempt: Attempt,
        *,
        now: float,
        total_at: float,
        asks_head: bool = False,
        upgrade: bool = False,
        endless: bool = False,
        outbox: Outbox | None = None,
    ) -> asyncio.Future[Response]:
        """Write a request; the future gets the answer once its head is complete, or an UpstreamError.

        `now` is the loop's time, and `total_at` when the answer must have ended. `endless` calls have no
        deadline after the head. With an `outbox`, a whole request is written at the end of the loop's turn.
        """
        self.calls += 1
        self._attempt = attempt
        self._endless = endless or upgrade
        self._reader.begin(head=asks_head, upgrade=upgrade)
        self._waiter = waiter = self._loop.create_future()
        if isinstance(body, bytes):
            if outbox is None:
                attempt.sent = _UNKNOWN
                self._transport.write(head + body if body else head)
            else:
                outbox.add(self._write_out, head + body if body else head)
            attempt.request_bytes = len(body)
            self._deadlines.begin(response=now + self._response_s, total=total_at)
        else:
            attempt.sent = _UNKNOWN
            self._transport.write(head)
            self._deadlines.begin(response=NEVER, total=total_at)
            self._pump = self._loop.create_task(self._upload(body, length, attempt))
        return waiter

    def _write_out(self, request: bytes) -> None:
        """The turn is over: write the request, unless its connection ended meanwhile, or its call."""
        attempt, waiter = self._attempt, self._waiter
        if attempt is None or waiter is None or waiter.done():
            return
        if self.calls > 1 and not self.fresh():
            self._fail(lost("stale", sent=_NO))
            return
        attempt.sent = _UNKNOWN
        self._transport.write(request)

    def close(self) -> None:
        """End it; a call under way is abandoned."""
        if self.closed:
            return
        attempt = self._attempt
        stream, tunnel = self._stream, self._tunnel
        self._end_call()
        if attempt is not None:
            attempt.ended_ns = perf_counter_ns()
            if tunnel is None:
                attempt.error = "cancelled"
            if stream is not None:
                stream.fail(lost("cancelled", sent=Sent.YES))
        self._drop()
        if tunnel is not None:
            tunnel.lost()

    def abandon(self, attempt: Attempt) -> None:
        """Close it if it still carries this attempt: by now it may carry another caller's."""
        if self._attempt is attempt:
            self.close()

    # asyncio's side.

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        attempt = self._attempt
        if attempt is None:
            self._drop()  # nobody asked: an answer on an idle connection belongs to nobody
            return
        if attempt.sent is _NO:  # nor has anybody yet
            self._fail(lost("stale", sent=_NO))
            return
        if self._tunnel is not None:
            attempt.response_bytes += len(data)
            self._tunnel.received.feed(data)
            return
        reader = self._reader
        try:
            reader.feed(data)
        except InvalidAnswerError as error:
            sent = Sent.YES if reader.status else Sent.UNKNOWN
            detail = f"The upstream's answer is not valid HTTP: {error}"
            self._fail(UpstreamError("UPSTREAM_INVALID", detail, sent=sent, reason="invalid"))
            return
        if self._waiter is not None:
            if reader.complete and reader.status != 101:
                self._deliver_whole(attempt, reader)
                return
            if reader.status:
                self._deliver(attempt, reader)
        elif reader.chunks:
            self._feed(attempt, reader)
        if reader.complete:
            self._complete(perf_counter_ns())

    def eof_received(self) -> None:
        if self._attempt is not None and self._tunnel is None and self._reader.eof():
            self._complete(perf_counter_ns())

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # what it means depends on how far the call came, not on the errno
        self._drop()
        attempt = self._attempt
        if attempt is None:
            return
        if self._tunnel is not None:
            attempt.ended_ns = perf_counter_ns()
            tunnel = self._tunnel
            self._end_call()
            tunnel.lost()
        elif self._reader.fed:
            self._fail(lost("truncated", sent=Sent.YES if self._reader.status else Sent.UNKNOWN))
        else:
            self._fail(lost("stale" if self.calls > 1 else "reset", sent=attempt.sent))

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()
        if self._waiter is not None or self._stream is not None:
            self._deadlines.idle = self._loop.time() + self._idle_s
            self._deadlines.watch()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        self._deadlines.idle = NEVER
        if self._stream is not None:
            self._expect_more()
        if writable is not None and not writable.done():
            writable.set_result(None)
        if self._tunnel is not None:
            self._tunnel.writable()

    # The answer.

    def _deliver_whole(self, attempt: Attempt, reader: AnswerReader) -> None:
        """Head and body came at once: hand them out, and the connection back."""
        attempt.head_ns = perf_counter_ns()
        attempt.status = reader.status
        attempt.sent = _YES
        headers, chunks = reader.headers, reader.chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        attempt.response_bytes = len(body)
        if reader.bodiless and reader.length is not None:  # HEAD and 304 tell what they do not carry
            headers.append((b"content-length", reader.length))
        waiter = self._waiter
        assert waiter is not None
        if not waiter.done():
            waiter.set_result(Response(reader.status, headers, body))
        self._complete(attempt.head_ns)

    def _deliver(self, attempt: Attempt, reader: AnswerReader) -> None:
        """The head is complete, and the body still arrives or is another protocol's."""
        waiter, self._waiter = self._waiter, None
        attempt.head_ns = perf_counter_ns()
        attempt.status = status = reader.status
        attempt.sent = _YES
        headers = reader.headers
        if status == 101:
            response = Response(101, headers)
            response.tunnel = self._tunnel = SocketTunnel(self._transport, self.close, attempt)
            if reader.rest:
                self._tunnel.received.feed(reader.rest)
            self._deadlines.clear()
        else:
            if reader.length is not None:
                headers.append((b"content-length", reader.length))
            self._deadlines.response = NEVER
            if self._endless:
                self._deadlines.total = NEVER
            self._stream = Stream(on_pause=self._pause, on_resume=self._resume, on_close=self.close)
            response = Response(status, headers, self._stream)
            self._feed(attempt, reader)
        assert waiter is not None
        if not waiter.done():
            waiter.set_result(response)

    def _feed(self, attempt: Attempt, reader: AnswerReader) -> None:
        stream = self._stream
        assert stream is not None
        for chunk in reader.chunks:
            attempt.response_bytes += len(chunk)
            stream.feed(chunk)
        reader.chunks = []
        self._expect_more()

    def _expect_more(self) -> None:
        if not self._endless and self._transport.is_reading():
            self._deadlines.idle = self._loop.time() + self._idle_s
            self._deadlines.watch()

    def _pause(self) -> None:
        self._transport.pause_reading()
        self._deadlines.idle = NEVER  # the silence is the caller's, not the upstream's

    def _resume(self) -> None:
        self._read_again()
        self._expect_more()

    def _read_again(self) -> None:
        if not self._transport.is_closing() and not self._transport.is_reading():
            self._transport.resume_reading()

    def _complete(self, now_ns: int) -> None:
        """The answer ended as it should. Is the connection good for another call?"""
        attempt, stream, reader = self._attempt, self._stream, self._reader
        if attempt is None or self._tunnel is not None:
            return
        attempt.ended_ns = now_ns
        good = reader.keep_alive and not reader.dirty and self._pump is None and self._writable is None
        if stream is None and self._pump is None:
            self._attempt = self._waiter = None
        else:
            self._end_call()
        if stream is not None:
            stream.end()
        if good and not self.closed and not self._transport.is_closing():
            if stream is not None:  # which may have paused it
                self._read_again()
            self._on_idle(self)
        else:
            self._drop()

    # The request.

    async def _upload(self, body: Stream, length: int | None, attempt: Attempt) -> None:
        try:
            await upload(body, length, attempt, write=self._transport.write, full=lambda: self._writable)
        except Exception as error:  # noqa: BLE001 - whatever broke the caller's body ends this call
            self._pump = None
            self._fail(error)
            return
        self._pump = None
        if self._waiter is not None:
            self._deadlines.response = self._loop.time() + self._response_s
            self._deadlines.watch()

    # The end.

    def _fail(self, error: Exception) -> None:
        """End the call with an error, and the connection with it."""
        attempt, waiter, stream = self._attempt, self._waiter, self._stream
        assert attempt is not None
        attempt.ended_ns = perf_counter_ns()
        attempt.error = error.reason if isinstance(error, UpstreamError) else "request"
        self._end_call()
        self._drop()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        if stream is not None:
            stream.fail(error)

    def _end_call(self) -> None:
        """Let go of all that is the call's, so that a late reader of its body touches nobody else's."""
        stream, pump = self._stream, self._pump
        self._attempt = self._waiter = self._stream = self._tunnel = self._pump = None
        if stream is not None:
            stream.on_pause = stream.on_resume = stream.on_close = None
        if pump is not None:
            pump.cancel()

    def _drop(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._deadlines.stop()
        self._transport.abort()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if self.adopted:
            self._on_closed(self)

    def _late(self, which: str) -> None:
        attempt = self._attempt
        if attempt is None:
            self._drop()
            return
        reason = f"{which}_timeout"
        self._fail(UpstreamError("UPSTREAM_TIMEOUT", TOO_LATE[which], sent=attempt.sent, reason=reason))

    def __repr__(self) -> str:
        state = (
            "closed" if self.closed else "idle" if self._attempt is None else f"busy with {self._attempt!r}"
        )
        return f"<Connection {state}, {self.calls} calls>"
