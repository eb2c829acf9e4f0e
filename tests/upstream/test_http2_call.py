"""One HTTP/2 call on a transport that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from h2.exceptions import ProtocolError

from gateway.errors import Sent, UpstreamError
from gateway.exchange import Attempt
from gateway.stream import Stream
from gateway.upstream.http2_call import Http2Call
from gateway.upstream.settings import TimeoutConfig
from tests.upstream.origins import body_of, call


class Body(httpx.AsyncByteStream):
    def __init__(self, *pieces: bytes | Exception | asyncio.Event) -> None:
        self.pieces = pieces
        self.taken = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            else:
                self.taken += 1
                yield piece

    async def aclose(self) -> None:
        self.closed = True


class Lane:
    """The transport, and the lane around it."""

    def __init__(
        self, answer: httpx.Response | Exception, *, sent: bool = True, wait: asyncio.Event | None = None
    ) -> None:
        self.answer, self.sent, self.wait = answer, sent, wait
        self.transport: Any = self
        self.log: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        trace = request.extensions["trace"]
        await trace("connection.connect_tcp.started", {})
        if self.sent:
            await trace("http2.send_request_headers.started", {})
            await trace("http2.send_request_body.complete", {})
        if self.wait is not None:
            await self.wait.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def enter(self) -> None:
        self.log.append("enter")

    def leave(self) -> None:
        self.log.append("leave")

    def leave_behind(self, reader: asyncio.Task[None]) -> None:
        self.log.append("leave behind")


def make(lane: Lane, *, stream: bool = False, **timeout: str) -> tuple[Http2Call, Attempt, httpx.Request]:
    class Route:
        pass

    exchange = call()
    exchange.route = Route()
    exchange.route.stream = stream
    attempt = Attempt("http://a", "0" * 16, 1)
    return (
        Http2Call(lane, exchange, attempt, TimeoutConfig.model_validate(timeout)),
        attempt,
        httpx.Request("GET", "http://a/"),
    )


@pytest.mark.parametrize("status", [100, 101, 199, 600, 999])
async def test_a_status_that_is_none(status: int) -> None:
    body = Body(b"x")
    lane = Lane(httpx.Response(status, stream=body))
    made, attempt, request = make(lane)
    with pytest.raises(UpstreamError) as caught:
        await made.begin(request)
    assert (caught.value.code, caught.value.sent, attempt.error) == ("UPSTREAM_INVALID", Sent.YES, "invalid")
    while not body.closed:
        await asyncio.sleep(0)
    assert lane.log == ["enter", "leave behind"]


async def test_an_answer_that_breaks_off() -> None:
    lane = Lane(httpx.Response(200, stream=Body(b"abc", httpx.RemoteProtocolError("reset"))))
    made, attempt, request = make(lane)
    response = await made.begin(request)
    with pytest.raises(UpstreamError) as caught:
        await body_of(response)
    assert (caught.value.code, caught.value.sent, caught.value.reason) == (
        "UPSTREAM_INVALID",
        Sent.YES,
        "truncated",
    )
    assert attempt.response_bytes == 3


@pytest.mark.parametrize(
    "error", [ProtocolError("a window over its limit"), ValueError("a status of letters")]
)
async def test_what_an_upstream_made_up_is_its_fault(error: Exception) -> None:
    made, attempt, request = make(Lane(error))
    with pytest.raises(UpstreamError) as caught:
        await made.begin(request)
    assert (caught.value.code, caught.value.sent, caught.value.reason) == (
        "UPSTREAM_INVALID",
        Sent.UNKNOWN,
        "invalid",
    )
    assert attempt.error == "invalid"
    made, attempt, request = make(Lane(httpx.Response(200, stream=Body(b"abc", error))))
    response = await made.begin(request)
    with pytest.raises(UpstreamError, match="UPSTREAM_INVALID"):
        await body_of(response)
    assert attempt.error == "truncated"


@pytest.mark.attack(22)
async def test_an_empty_piece_is_no_end_and_no_sign_of_life() -> None:
    made, attempt, request = make(Lane(httpx.Response(200, stream=Body(b"the ", b"", b"whole", b""))))
    assert await body_of(await made.begin(request)) == b"the whole"
    assert attempt.error == ""


async def test_nothing_was_sent_where_the_head_never_left() -> None:
    made, attempt, request = make(Lane(httpx.ReadError("x"), sent=False))
    with pytest.raises(UpstreamError) as caught:
        await made.begin(request)
    assert caught.value.sent is Sent.NO
    assert attempt.sent is Sent.NO


async def test_an_answer_that_comes_after_the_deadline_goes_nowhere() -> None:
    go = asyncio.Event()
    body = Body(b"late")
    lane = Lane(httpx.Response(200, stream=body), wait=go)
    made, attempt, request = make(lane, response="10ms")
    with pytest.raises(UpstreamError) as caught:
        await made.begin(request)
    assert (caught.value.reason, caught.value.sent) == ("response_timeout", Sent.UNKNOWN)
    go.set()
    while not body.closed:
        await asyncio.sleep(0)
    assert (attempt.status, attempt.response_bytes) == (0, 0)
    assert lane.log == ["enter", "leave behind"]


async def test_a_slow_reader_holds_the_answer_up() -> None:
    body = Body(*[b"x" * 100_000] * 20)
    made, _, request = make(Lane(httpx.Response(200, stream=body)), idle="20ms")
    response = await made.begin(request)
    assert isinstance(response.body, Stream)
    await asyncio.sleep(0.05)  # longer than the idle deadline: the silence is the reader's
    assert body.taken < 5
    assert len(await body_of(response)) == 2_000_000


async def test_a_streaming_route_has_no_deadline_after_the_head() -> None:
    go = asyncio.Event()
    made, _, request = make(
        Lane(httpx.Response(200, stream=Body(b"a", go, b"b"))), stream=True, total="20ms", idle="10ms"
    )
    response = await made.begin(request)
    await asyncio.sleep(0.05)
    go.set()
    assert await body_of(response) == b"ab"


async def test_hop_by_hop_headers_stay_behind() -> None:
    headers = [("Connection", "close"), ("X-A", "1"), ("Content-Length", "0")]
    made, _, request = make(Lane(httpx.Response(204, headers=headers, stream=Body())))
    assert (await made.begin(request)).headers == [(b"x-a", b"1")]
