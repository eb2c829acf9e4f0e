"""One call over HTTP/2, from its first byte to the last of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter_ns
from typing import Any, Protocol

import httpx

from gateway.errors import Sent, UpstreamError
from gateway.exchange import Attempt, Body, Exchange, Headers, Response, Stream
from gateway.upstream.answer import HOP_BY_HOP
from gateway.upstream.faults import translate
from gateway.upstream.settings import TimeoutConfig


class _Lane(Protocol):
    transport: httpx.AsyncHTTPTransport
    calls: int

    def leave(self, *, whole: bool) -> None: ...


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
    """Sends one request and feeds its answer to a `Stream`, under the attempt's deadlines."""

    def __init__(self, lane: _Lane, attempt: Attempt, timeout: TimeoutConfig) -> None:
        self._loop = asyncio.get_running_loop()
        self._lane = lane
        self._attempt = attempt
        self._timeout = timeout
        self._total_at = self._loop.time() + timeout.total
        self._scope: asyncio.Timeout | None = None
        self._endless = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._stream: Stream | None = None
        self._reader: asyncio.Task[None] | None = None

    async def begin(self, exchange: Exchange, request: httpx.Request) -> Response:
        """The answer, as soon as its head is there. Raises UpstreamError."""
        attempt = self._attempt
        route = exchange.route
        self._endless = route is not None and route.stream
        if exchange.deadline is not None:
            self._total_at = min(self._total_at, exchange.deadline)
        request.stream = _Upload(exchange.body, attempt)
        request.extensions["trace"] = self._trace
        attempt.reused = True
        self._lane.calls += 1
        try:
            async with asyncio.timeout_at(self._total_at) as self._scope:
                answer = await self._lane.transport.handle_async_request(request)
        except BaseException as error:
            # A call that never began leaves nothing behind on the connection.
            self._lane.leave(whole=attempt.sent is Sent.NO)
            if isinstance(error, TimeoutError):
                raise UpstreamError(
                    "UPSTREAM_TIMEOUT",
                    "The upstream did not begin to answer in time",
                    sent=attempt.sent,
                    reason=self._which("response"),
                ) from None
            if isinstance(error, httpx.HTTPError):
                fault = translate(error)
                if attempt.sent is Sent.NO:  # the trace knows better than the kind of the error
                    fault.sent = Sent.NO
                raise fault from error
            raise
        return self._deliver(exchange, answer)

    async def _trace(self, name: str, _info: dict[str, Any]) -> None:
        attempt = self._attempt
        if name == "connection.connect_tcp.started":
            attempt.reused = False
        elif name == "http2.send_request_headers.started":
            attempt.connected_ns = perf_counter_ns()
            attempt.sent = Sent.UNKNOWN
        elif name == "http2.send_request_body.complete" and self._scope is not None:
            self._scope.reschedule(min(self._total_at, self._loop.time() + self._timeout.response))

    def _deliver(self, exchange: Exchange, answer: httpx.Response) -> Response:
        attempt = self._attempt
        attempt.head_ns = perf_counter_ns()
        attempt.status = status = answer.status_code
        attempt.sent = Sent.YES
        if not 200 <= status <= 599:
            self._lane.leave(whole=False)
            raise UpstreamError(
                "UPSTREAM_INVALID",
                f"The upstream's answer has status {status}",
                sent=Sent.YES,
                reason="invalid",
            )
        headers: Headers = [
            (name.lower(), value) for name, value in answer.headers.raw if name.lower() not in HOP_BY_HOP
        ]
        if status == 204:
            headers = [item for item in headers if item[0] != b"content-length"]
        stream = self._stream = Stream(
            on_pause=self._flowing.clear, on_resume=self._flowing.set, on_close=self._give_up
        )
        self._reader = self._loop.create_task(self._read(answer, stream))
        if exchange.method == "HEAD" or status in (204, 304):
            return Response(status, headers)
        return Response(status, headers, stream)

    async def _read(self, answer: httpx.Response, stream: Stream) -> None:
        whole = False
        try:
            assert isinstance(answer.stream, httpx.AsyncByteStream)
            pieces = aiter(answer.stream)
            while True:
                async with asyncio.timeout_at(self._read_until()):
                    piece = await anext(pieces, b"")
                if not piece:
                    break
                self._attempt.response_bytes += len(piece)
                stream.feed(piece)
                if not self._flowing.is_set():
                    async with asyncio.timeout_at(None if self._endless else self._total_at):
                        await self._flowing.wait()
            whole = True
            stream.end()
        except TimeoutError:
            stream.fail(
                UpstreamError(
                    "UPSTREAM_TIMEOUT",
                    "The upstream's answer took too long",
                    sent=Sent.YES,
                    reason=self._which("idle"),
                )
            )
        except httpx.HTTPError as error:
            stream.fail(
                UpstreamError(
                    "UPSTREAM_INVALID",
                    "The upstream broke off its answer",
                    sent=Sent.YES,
                    reason=translate(error).reason,
                )
            )
        finally:
            self._attempt.ended_ns = perf_counter_ns()
            stream.on_close = None
            self._lane.leave(whole=whole)
            await answer.aclose()

    def _which(self, other: str) -> str:
        """The reason, now that time ran out: the total, or the other deadline."""
        return f"{'total' if self._loop.time() >= self._total_at else other}_timeout"

    def _read_until(self) -> float | None:
        return None if self._endless else min(self._total_at, self._loop.time() + self._timeout.idle)

    def _give_up(self) -> None:
        """The caller wants no more of the answer."""
        if self._reader is not None:
            self._attempt.error = "cancelled"
            self._reader.cancel()
