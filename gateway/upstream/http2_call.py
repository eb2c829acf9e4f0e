"""One call over HTTP/2, from its first byte to the last of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter_ns
from typing import Any, Protocol

import httpx
from h2.exceptions import H2Error

from gateway.errors import Sent, UpstreamError
from gateway.exchange import Attempt, Body, Exchange, Headers, Response
from gateway.stream import Stream
from gateway.upstream.answer import HOP_BY_HOP
from gateway.upstream.deadlines import NEVER, Deadlines
from gateway.upstream.faults import TOO_LATE, invalid, lost, translate
from gateway.upstream.settings import TimeoutConfig


class Lane(Protocol):
    """What a call asks of the connections it runs on."""

    transport: httpx.AsyncHTTPTransport

    def enter(self) -> None: ...
    def leave(self) -> None: ...
    def leave_behind(self, reader: asyncio.Task[None]) -> None: ...


class _Upload(httpx.AsyncByteStream):
    """The request's body as httpx wants it."""

    def __init__(self, body: Body, attempt: Attempt) -> None:
        self._body = body
        self._attempt = attempt

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body = self._body
        if isinstance(body, bytes):
            self._attempt.request_bytes = len(body)
            yield body
            return
        while data := await body.read():
            self._attempt.request_bytes += len(data)
            yield data


class Http2Call:
    """Sends one request and feeds its answer to a `Stream`, under the attempt's deadlines.

    One task does it all, and is never cancelled on its own: httpcore would forget the stream without
    a reset, and what the upstream still sends would eat the window that all calls share. A call that
    is given up leaves its task behind, reading into nowhere, until its lane closes.
    """

    def __init__(self, lane: Lane, exchange: Exchange, attempt: Attempt, timeout: TimeoutConfig) -> None:
        self._loop = asyncio.get_running_loop()
        self._lane = lane
        self._exchange = exchange
        self._attempt = attempt
        self._timeout = timeout
        route = exchange.route
        self._endless = route is not None and route.stream
        self._deadlines = Deadlines(self._loop, self._late)
        self._deadlines.total = self._loop.time() + timeout.total
        if exchange.deadline is not None:
            self._deadlines.total = min(self._deadlines.total, exchange.deadline)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._head: asyncio.Future[Response] = self._loop.create_future()
        self._stream: Stream | None = None
        self._over = False
        self._task: asyncio.Task[None] | None = None

    async def begin(self, request: httpx.Request) -> Response:
        """The answer, as soon as its head is there. Raises UpstreamError."""
        request.stream = _Upload(self._exchange.body, self._attempt)
        request.extensions["trace"] = self._trace
        self._attempt.reused = True
        self._lane.enter()
        self._deadlines.watch()
        self._task = self._loop.create_task(self._run(request))
        try:
            return await self._head
        except asyncio.CancelledError:
            self._give_up()
            raise

    async def _trace(self, name: str, _info: dict[str, Any]) -> None:
        attempt = self._attempt
        if name == "connection.connect_tcp.started":
            attempt.reused = False
        elif name == "http2.send_request_headers.started":
            attempt.connected_ns = perf_counter_ns()
            attempt.sent = Sent.UNKNOWN
        elif name == "http2.send_request_body.complete" and not self._over:
            self._deadlines.response = self._loop.time() + self._timeout.response
            self._deadlines.watch()

    async def _run(self, request: httpx.Request) -> None:
        answer: httpx.Response | None = None
        try:
            answer = await self._lane.transport.handle_async_request(request)
            assert isinstance(answer.stream, httpx.AsyncByteStream)
            self._begin_answer(answer)
            async for piece in answer.stream:
                await self._take(piece)
            self._end(None)
        except httpx.HTTPError as error:
            fault = translate(error)
            if self._attempt.status:
                fault = lost("truncated", sent=Sent.YES)
            elif self._attempt.sent is Sent.NO:  # the trace knows better than the kind of the error
                fault.sent = Sent.NO
            self._end(fault)
        except (H2Error, ValueError):  # what an upstream made up, and httpcore lets through as it is
            self._end(lost("truncated", sent=Sent.YES) if self._attempt.status else invalid())
        except Exception as error:  # noqa: BLE001 - whatever broke the caller's body ends this call
            self._end(error)
        finally:
            if answer is not None:
                await answer.aclose()

    def _begin_answer(self, answer: httpx.Response) -> None:
        attempt = self._attempt
        status = answer.status_code
        if self._over:
            return
        attempt.head_ns = perf_counter_ns()
        attempt.sent = Sent.YES
        if not 200 <= status <= 599:
            self._end(
                UpstreamError(
                    "UPSTREAM_INVALID",
                    f"The upstream's answer has status {status}",
                    sent=Sent.YES,
                    reason="invalid",
                )
            )
            return
        attempt.status = status
        raw = [(name.lower(), value) for name, value in answer.headers.raw]
        headers: Headers = [item for item in raw if item[0] not in HOP_BY_HOP]
        if status == 204:
            headers = [item for item in headers if item[0] != b"content-length"]
        self._deadlines.response = NEVER
        if self._endless:
            self._deadlines.clear()
        response = Response(status, headers)
        if self._exchange.method != "HEAD" and status not in (204, 304):
            response.body = self._stream = Stream(
                on_pause=self._pause, on_resume=self._resume, on_close=self._give_up
            )
            self._expect_more()
        if not self._head.done():
            self._head.set_result(response)

    async def _take(self, piece: bytes) -> None:
        if self._over or self._stream is None or not piece:
            return  # an empty DATA frame is no end of the body, and no sign of life
        self._attempt.response_bytes += len(piece)
        self._stream.feed(piece)
        self._expect_more()
        await self._flowing.wait()

    def _expect_more(self) -> None:
        if not self._endless and self._flowing.is_set():
            self._deadlines.idle = self._loop.time() + self._timeout.idle
            self._deadlines.watch()

    def _pause(self) -> None:
        self._flowing.clear()
        self._deadlines.idle = NEVER  # the silence is the caller's, not the upstream's

    def _resume(self) -> None:
        self._flowing.set()
        self._expect_more()

    def _late(self, which: str) -> None:
        reason = f"{which}_timeout"
        self._end(UpstreamError("UPSTREAM_TIMEOUT", TOO_LATE[which], sent=self._attempt.sent, reason=reason))

    def _give_up(self) -> None:
        """The caller wants no more."""
        self._end(lost("cancelled", sent=self._attempt.sent))

    def _end(self, error: Exception | None) -> None:
        """The call is over, for the caller; `error` is None where the answer is whole."""
        if self._over:
            return
        self._over = True
        self._deadlines.stop()
        self._flowing.set()
        attempt, stream = self._attempt, self._stream
        attempt.ended_ns = perf_counter_ns()
        if error is not None:
            attempt.error = error.reason if isinstance(error, UpstreamError) else "request"
            if not self._head.done():
                self._head.set_exception(error)
        if stream is not None:
            stream.on_pause = stream.on_resume = stream.on_close = None
            if error is None:
                stream.end()
            else:
                stream.fail(error)
        if error is not None and self._task is not None:
            self._lane.leave_behind(self._task)
        else:
            self._lane.leave()
