"""One connection against origins that misbehave: what is nobody's answer never becomes somebody's."""

from __future__ import annotations

import asyncio
import os
import tracemalloc

import pytest

from gateway.errors import Refused, Sent, UpstreamError
from gateway.exchange import Outcome
from gateway.stream import Stream
from tests.upstream.origins import Origin, Visit, body_of, call, ok, origin, stream_of, upstream

MIB = 1024 * 1024


async def test_a_small_answer_comes_whole_and_its_connection_is_kept() -> None:
    async with origin(ok(b"hello", b"x-a: 1")) as place, upstream(place) as up:
        for number in range(3):
            exchange = call()
            response = await up(exchange)
            assert (response.status, response.headers, response.body) == (200, [(b"x-a", b"1")], b"hello")
            [attempt] = exchange.attempts
            assert attempt.reused is (number > 0)
            assert (attempt.status, attempt.sent, attempt.error) == (200, Sent.YES, "")
            assert attempt.started_ns <= attempt.connected_ns <= attempt.head_ns <= attempt.ended_ns
            assert (attempt.request_bytes, attempt.response_bytes) == (0, 5)
        assert len(place.visits) == 1


@pytest.mark.attack(12)
async def test_poison_behind_an_answer_reaches_nobody() -> None:
    poison = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"
    async with origin(ok(b"clean") + poison) as place, upstream(place) as up:
        for number in range(1, 5):
            assert (await up(call())).body == b"clean"
            assert len(place.visits) == number


@pytest.mark.attack(12)
async def test_an_answer_on_an_idle_connection_reaches_nobody() -> None:
    async with origin(ok(b"clean")) as place, upstream(place) as up:
        await up(call())
        await place.visits[0].say(ok(b"poison"))
        # The stray bytes are in the socket, or already read: either way the connection is done for.
        assert (await up(call())).body == b"clean"
        assert len(place.visits) == 2


@pytest.mark.attack(12)
async def test_a_stray_answer_that_the_loop_has_not_read_yet() -> None:
    async with origin(ok(b"clean")) as place, upstream(place) as up:
        await up(call())
        sock = place.visits[0].writer.get_extra_info("socket")
        os.write(sock.fileno(), ok(b"poison"))  # no turn of the loop between this and the next call
        assert (await up(call())).body == b"clean"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + ok(b"x"), 200),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + ok(b"x"), 200),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", 304),
    ],
)
async def test_answers_without_surprises(answer: bytes, status: int) -> None:
    async with origin(answer) as place, upstream(place) as up:
        for _ in range(2):
            assert (await up(call())).status == status
        assert len(place.visits) == 1


async def test_head_keeps_the_length_and_has_no_body() -> None:
    async with origin(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n") as place, upstream(place) as up:
        for _ in range(2):
            response = await up(call("HEAD"))
            assert (response.headers, response.body) == ([(b"content-length", b"7")], b"")
        assert len(place.visits) == 1


async def test_chunks_arrive_as_a_stream_without_framing() -> None:
    async def drip(visit: Visit) -> None:
        while True:
            await visit.request()
            await visit.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for piece in (b"5\r\nhello\r\n", b"6\r\n world\r\n", b"0\r\nx-trailer: 1\r\n\r\n"):
                await asyncio.sleep(0.005)
                await visit.say(piece)

    async with origin(drip) as place, upstream(place) as up:
        for _ in range(2):
            exchange = call()
            response = await up(exchange)
            assert isinstance(response.body, Stream)
            assert response.headers == []
            assert await body_of(response) == b"hello world"
            assert exchange.attempts[0].response_bytes == 11
            assert exchange.attempts[0].ended_ns
        assert len(place.visits) == 1


async def test_a_streamed_length_stays_in_the_headers() -> None:
    async def late(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe")
        await asyncio.sleep(0.01)
        await visit.say(b"llo")
        await visit.until_closed()

    async with origin(late) as place, upstream(place) as up:
        response = await up(call())
        assert response.headers == [(b"content-length", b"5")]
        assert await body_of(response) == b"hello"


async def test_a_body_that_ends_with_the_connection() -> None:
    async def close(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.0 200 OK\r\n\r\nhello")
        await asyncio.sleep(0.01)
        await visit.say(b" world")

    async with origin(close) as place, upstream(place) as up:
        assert await body_of(await up(call())) == b"hello world"


@pytest.mark.attack(12)
@pytest.mark.parametrize("framing", [b"content-length: 50", b"transfer-encoding: chunked"])
async def test_a_body_that_breaks_off_fails_its_reader(framing: bytes) -> None:
    async def cut(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        await asyncio.sleep(0.01)
        await visit.say(b"5\r\nhello\r\n")

    async with origin(cut) as place, upstream(place) as up:
        exchange = call()
        response = await up(exchange)
        with pytest.raises(UpstreamError) as caught:
            await body_of(response)
        assert (caught.value.code, caught.value.sent, caught.value.reason) == (
            "UPSTREAM_INVALID",
            Sent.YES,
            "truncated",
        )
        assert exchange.attempts[0].error == "truncated"


@pytest.mark.attack(12)
@pytest.mark.parametrize(
    ("answer", "code", "reason"),
    [
        (b"junk\r\n\r\n", "UPSTREAM_INVALID", "invalid"),
        (b"HTTP/1.1 000 X\r\n\r\n", "UPSTREAM_INVALID", "invalid"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "UPSTREAM_INVALID", "truncated"),
        (b"", "UPSTREAM_UNREACHABLE", "reset"),
    ],
)
async def test_what_is_no_answer_is_an_error(answer: bytes, code: str, reason: str) -> None:
    async def once(visit: Visit) -> None:
        await visit.request()
        await visit.say(answer)

    async with origin(once) as place, upstream(place) as up:
        exchange = call()
        with pytest.raises(UpstreamError) as caught:
            await up(exchange)
        assert (caught.value.code, caught.value.reason, caught.value.sent) == (code, reason, Sent.UNKNOWN)
        assert exchange.attempts[0].error == reason
        assert "0 active, 0 idle" in repr(up)


async def test_the_body_goes_along_with_the_head() -> None:
    async with origin(ok()) as place, upstream(place) as up:
        exchange = call("POST", body=b"stake=5")
        await up(exchange)
        assert b"\r\ncontent-length: 7\r\n" in place.heads[0]
        assert exchange.attempts[0].request_bytes == 7


@pytest.mark.parametrize("length", [True, False])
async def test_a_streamed_request(length: bool) -> None:
    got: list[bytes] = []

    async def take(visit: Visit) -> None:
        got.append(await visit.request())
        while not length and not got[0].endswith(b"0\r\n\r\n"):
            got[0] += await visit.reader.read(100)
        await visit.say(ok())
        await visit.until_closed()

    async with origin(take) as place, upstream(place) as up:
        body, headers = stream_of(b"hello", b" world", length=length)
        exchange = call("POST", body=body, headers=headers)
        await up(exchange)
        assert got[0] == (b"hello world" if length else b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        assert (b"chunked" in place.heads[0]) is not length
        assert exchange.attempts[0].request_bytes == 11
        assert "1 idle" in repr(up)


@pytest.mark.parametrize("announced", [b"3", b"30"])
async def test_a_body_of_another_length_than_announced_is_not_sent_on(announced: bytes) -> None:
    async def take(visit: Visit) -> None:
        await visit.until_closed()

    async with origin(take) as place, upstream(place) as up:
        body, _ = stream_of(b"hello")
        with pytest.raises(Refused, match="length"):
            await up(call("POST", body=body, headers=[(b"content-length", announced)]))
        await asyncio.wait_for(place.closed.wait(), 5)


async def test_what_breaks_the_callers_body_ends_the_call() -> None:
    async def take(visit: Visit) -> None:
        await visit.until_closed()

    async with origin(take) as place, upstream(place) as up:
        body = Stream()
        body.feed(b"hello")
        body.fail(Refused("BODY_TOO_LARGE"))
        exchange = call("POST", body=body)
        with pytest.raises(Refused):
            await up(exchange)
        assert exchange.attempts[0].error == "request"
        await asyncio.wait_for(place.closed.wait(), 5)


async def test_an_early_answer_is_relayed_and_the_connection_is_not_reused() -> None:
    async def early(visit: Visit) -> None:
        await visit.reader.readuntil(b"\r\n\r\n")
        await visit.say(ok(b"too large", status=b"413 Content Too Large"))
        await visit.until_closed()

    async with origin(early) as place, upstream(place) as up:
        body = Stream()
        body.feed(b"x" * 1000)  # and no end
        response = await up(call("POST", body=body))
        assert (response.status, response.body) == (413, b"too large")
        await asyncio.wait_for(place.closed.wait(), 5)
        assert "0 active, 0 idle" in repr(up)


async def test_a_reader_that_wants_no_more_closes_the_connection() -> None:
    async def endless(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await visit.say(b"5\r\nhello\r\n")
            await asyncio.sleep(0.001)

    async with origin(endless) as place, upstream(place) as up:
        exchange = call()
        response = await up(exchange)
        response.discard()
        await asyncio.wait_for(place.closed.wait(), 5)
        assert exchange.attempts[0].error == "cancelled"
        assert up.targets[0].active == 0
        response = await up(call())
        response.finish(Outcome.CANCELLED)  # the stream itself was forgotten
        assert "0 active" in repr(up)


async def test_a_cancelled_call_closes_the_connection_at_once() -> None:
    async def silent(visit: Visit) -> None:
        await visit.request()
        await visit.until_closed()

    async with origin(silent) as place, upstream(place) as up:
        exchange = call("POST", body=b"x")
        task = asyncio.ensure_future(up(exchange))
        await place.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(place.closed.wait(), 0.1)
        assert (exchange.attempts[0].error, exchange.attempts[0].sent) == ("cancelled", Sent.UNKNOWN)


async def test_a_late_cancellation_leaves_the_next_callers_connection_alone() -> None:
    async with origin(ok()) as place, upstream(place, pool={"max_connections": 1}) as up:
        first = asyncio.ensure_future(up(call()))
        second = asyncio.ensure_future(up(call()))
        while not place.heads:
            await asyncio.sleep(0)
        while not second.done():
            first.cancel()
            await asyncio.sleep(0)
        assert second.result().body == b"hello"


async def test_64_mib_each_way_in_bounded_memory() -> None:
    piece = b"x" * MIB

    async def echo(visit: Visit) -> None:
        head = await visit.reader.readuntil(b"\r\n\r\n")
        assert b"content-length: %d\r\n" % (64 * MIB) in head
        await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (64 * MIB))
        left = 64 * MIB
        while left:
            data = await visit.reader.read(65536)
            left -= len(data)
            await visit.say(data)
        await visit.until_closed()

    async with origin(echo) as place, upstream(place) as up:
        go_on = asyncio.Event()
        body = Stream(on_pause=go_on.clear, on_resume=go_on.set)

        async def feed() -> None:
            go_on.set()
            for _ in range(64):
                await go_on.wait()
                body.feed(piece)
            body.end()

        feeding = asyncio.ensure_future(feed())
        tracemalloc.start()
        exchange = call("PUT", body=body, headers=[(b"content-length", b"%d" % (64 * MIB))])
        response = await up(exchange)
        assert isinstance(response.body, Stream)
        count = 0
        while data := await response.body.read():
            count += len(data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await feeding
        assert count == 64 * MIB == exchange.attempts[0].response_bytes == exchange.attempts[0].request_bytes
        assert peak < 16 * MIB


async def test_a_slow_reader_pauses_the_origin() -> None:
    written = 0

    async def flood(visit: Visit) -> None:
        nonlocal written
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (256 * MIB))
        for _ in range(256):
            visit.writer.write(b"x" * MIB)
            await visit.writer.drain()
            written += 1

    async with origin(flood) as place, upstream(place, timeout={"idle": "100ms"}) as up:
        response = await up(call())
        assert isinstance(response.body, Stream)
        await response.body.read()
        before = -1
        while before != written:
            before = written
            await asyncio.sleep(0.15)
        assert written < 64  # kernel buffers and a few pieces
        # The silence was the reader's own doing: no deadline of the upstream's ran out.
        assert await response.body.read()
        response.discard()


def timeouts(**settings: str) -> dict[str, dict[str, str]]:
    return {"timeout": settings}


async def expect_timeout(place: Origin, reason: str, **settings: str) -> None:
    async with upstream(place, **timeouts(**settings)) as up:
        exchange = call("POST", body=b"x")
        with pytest.raises(UpstreamError) as caught:
            await body_of(await up(exchange))
        assert (caught.value.code, caught.value.reason) == ("UPSTREAM_TIMEOUT", reason)
        assert exchange.attempts[0].error == reason
        assert "0 active, 0 idle" in repr(up)


async def silent(visit: Visit) -> None:
    await visit.request()
    await visit.until_closed()


async def drip(visit: Visit) -> None:
    await visit.request()
    await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(1000):
        await asyncio.sleep(0.01)
        await visit.say(b"x")


async def stuck(visit: Visit) -> None:
    await visit.request()
    await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nx")
    await visit.until_closed()


async def test_an_answer_that_does_not_begin() -> None:
    async with origin(silent) as place:
        await expect_timeout(place, "response_timeout", response="50ms")


async def test_a_body_that_falls_silent() -> None:
    async with origin(stuck) as place:
        await expect_timeout(place, "idle_timeout", idle="50ms")


async def test_a_body_that_drips_too_long() -> None:
    async with origin(drip) as place:
        await expect_timeout(place, "total_timeout", idle="1s", total="80ms")


async def test_the_calls_own_deadline_wins_where_it_is_earlier() -> None:
    async with origin(silent) as place, upstream(place) as up:
        exchange = call()
        exchange.deadline = asyncio.get_running_loop().time() + 0.05
        with pytest.raises(UpstreamError) as caught:
            await up(exchange)
        assert (caught.value.reason, caught.value.sent) == ("total_timeout", Sent.UNKNOWN)
        exchange.deadline = asyncio.get_running_loop().time() - 1
        with pytest.raises(UpstreamError) as caught:
            await up(exchange)
        assert (caught.value.reason, caught.value.sent) == ("total_timeout", Sent.NO)


async def test_a_request_that_the_origin_does_not_take() -> None:
    async def deaf(visit: Visit) -> None:
        visit.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(5)

    async with (
        origin(deaf) as place,
        upstream(place, **timeouts(idle="100ms", total="5s", response="5s")) as up,
    ):
        body = Stream()
        for _ in range(64):
            body.feed(b"x" * MIB)
        body.end()
        with pytest.raises(UpstreamError) as caught:
            await up(call("POST", body=body))
        assert caught.value.reason == "idle_timeout"


async def test_a_streaming_route_has_no_deadline_after_the_head() -> None:
    class Route:
        stream = True

    async def events(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        for number in range(3):
            await asyncio.sleep(0.15)
            await visit.say(b"data: %d\n\n" % number)

    async with origin(events) as place, upstream(place, **timeouts(idle="100ms", total="200ms")) as up:
        exchange = call()
        exchange.route = Route()
        response = await up(exchange)
        assert await body_of(response) == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"


async def test_an_unused_connection_is_closed_after_a_while() -> None:
    async with origin(ok()) as place, upstream(place, pool={"idle_timeout": "50ms"}) as up:
        await up(call())
        assert "1 idle" in repr(up)
        await asyncio.wait_for(place.closed.wait(), 5)
        await asyncio.sleep(0)
        assert "0 idle" in repr(up)


async def test_an_early_stream_is_relayed_while_the_request_goes_on() -> None:
    async def echo(visit: Visit) -> None:
        await visit.reader.readuntil(b"\r\n\r\n")
        await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n")
        for _ in range(2):
            await visit.say(await visit.reader.readexactly(3))
        await visit.until_closed()

    async with origin(echo) as place, upstream(place) as up:
        body = Stream()
        body.feed(b"abc")
        response = await up(call("PUT", body=body, headers=[(b"content-length", b"6")]))
        assert isinstance(response.body, Stream)
        assert await response.body.read() == b"abc"
        body.feed(b"def")
        body.end()
        assert await body_of(response) == b"def"


async def test_a_body_that_breaks_after_the_head_of_the_answer_breaks_the_answer() -> None:
    async def half(visit: Visit) -> None:
        await visit.reader.readuntil(b"\r\n\r\n")
        await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
        await visit.until_closed()

    async with origin(half) as place, upstream(place) as up:
        body = Stream()
        response = await up(call("PUT", body=body))
        body.fail(Refused("BODY_TOO_LARGE"))
        with pytest.raises(Refused):
            await body_of(response)


async def test_an_origin_that_aborts() -> None:
    async with origin(silent) as place, upstream(place) as up:
        task = asyncio.ensure_future(up(call()))
        await place.arrived.wait()
        place.visits[0].writer.transport.abort()
        with pytest.raises(UpstreamError) as caught:
            await task
        assert (caught.value.reason, caught.value.sent) == ("reset", Sent.UNKNOWN)
        await up.close()
        await up.close()


async def test_its_repr_shows_what_it_does() -> None:
    async with origin(silent) as place, upstream(place) as up:
        task = asyncio.ensure_future(up(call()))
        await place.arrived.wait()
        assert "1 active" in repr(up.targets[0].sender.pools[0])  # type: ignore[attr-defined]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
