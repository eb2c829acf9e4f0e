from __future__ import annotations

import asyncio

import pytest

from gateway.errors import Sent, UpstreamError
from gateway.exchange import Attempt, Exchange, Outcome, Response
from gateway.policies.timeout import TimeoutConfig
from gateway.services import Clock, RouteFacts
from gateway.stream import Stream
from tests.support import Upstream, make_exchange, make_services


def build(total: str = "30ms", **more):
    services = make_services(clock=more.pop("clock", Clock()), route=more.pop("route", RouteFacts()))
    return TimeoutConfig.model_validate({"total": total, **more}).build(services)


async def never(exchange: Exchange) -> Response:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def test_the_deadline_is_set_inside_and_restored_outside():
    seen = []

    async def upstream(exchange):
        seen.append(exchange.deadline)
        return Response(200, [], b"ok")

    exchange = make_exchange()
    response = await build("5s")(exchange, upstream)
    assert response.status == 200
    assert exchange.deadline is None
    assert 4.9 < seen[0] - asyncio.get_running_loop().time() <= 5.01


async def test_an_earlier_deadline_from_outside_stands():
    seen = []

    async def upstream(exchange):
        seen.append(exchange.deadline)
        return Response(200)

    exchange = make_exchange()
    outer = exchange.deadline = Clock().now() + 1
    await build("5s")(exchange, upstream)
    assert seen == [outer]
    assert exchange.deadline == outer


@pytest.mark.parametrize(
    ("sent", "connected", "status", "told"),
    [
        (None, 0, 0, Sent.NO),
        (Sent.NO, 0, 0, Sent.NO),
        (Sent.NO, 1, 0, Sent.UNKNOWN),  # cancelled in the middle of writing
        (Sent.UNKNOWN, 1, 0, Sent.UNKNOWN),
        (Sent.YES, 1, 0, Sent.YES),
        (Sent.YES, 1, 503, Sent.YES),  # it answered, and a retry was waiting for its turn
    ],
)
async def test_time_out_says_what_was_sent(sent, connected, status, told):
    exchange = make_exchange()
    if sent is not None:
        attempt = Attempt("http://127.0.0.1:1", "1", 1)
        attempt.sent, attempt.connected_ns, attempt.status = sent, connected, status
        exchange.attempts.append(attempt)
    with pytest.raises(UpstreamError) as caught:
        await build()(exchange, never)
    assert (caught.value.code, caught.value.sent, caught.value.reason) == (
        "UPSTREAM_TIMEOUT",
        told,
        "deadline",
    )
    assert exchange.decisions == [("timeout", "timed_out", "no complete answer within 30ms")]
    assert exchange.deadline is None


async def test_a_time_out_of_something_else_is_not_ours():
    with pytest.raises(TimeoutError, match="other"):
        await build("5s")(make_exchange(), Upstream(TimeoutError("other")))


async def test_cancellation_stays_a_cancellation():
    task = asyncio.create_task(build("5s")(make_exchange(), never))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_caller_that_leaves_at_the_deadline_has_left():
    policy = build()
    task = None

    async def leaving(exchange):
        try:
            return await never(exchange)
        except asyncio.CancelledError:
            task.cancel()
            raise

    task = asyncio.create_task(policy(make_exchange(), leaving))
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_answer_that_comes_in_spite_of_the_deadline_is_given():
    async def stubborn(exchange):
        try:
            return await never(exchange)
        except asyncio.CancelledError:
            return Response(200, [], b"late")

    assert (await build()(make_exchange(), stubborn)).body == b"late"
    assert asyncio.current_task().cancelling() == 0


async def test_after_a_time_out_the_task_goes_on():
    with pytest.raises(UpstreamError):
        await build()(make_exchange(), never)
    assert asyncio.current_task().cancelling() == 0
    async with asyncio.timeout(1):
        await asyncio.sleep(0)


async def test_a_body_still_arriving_at_the_deadline_is_cut_off():
    closed = []
    body = Stream(on_close=lambda: closed.append(True))
    body.feed(b"first")
    exchange = make_exchange()
    response = await build()(exchange, Upstream(Response(200, [], body)))
    assert await body.read() == b"first"
    with pytest.raises(UpstreamError) as caught:
        await body.read()
    assert (caught.value.code, caught.value.sent) == ("UPSTREAM_TIMEOUT", Sent.YES)
    assert closed == [True]
    assert exchange.decisions[-1][1] == "cut_off"
    response.finish(Outcome.FAILED)


async def test_a_body_that_is_all_here_may_be_read_slowly():
    body = Stream()
    body.feed(b"all")
    exchange = make_exchange()
    await build()(exchange, Upstream(Response(200, [], body)))
    body.end()
    timer = asyncio.Event()
    asyncio.get_running_loop().call_later(0.06, timer.set)
    await timer.wait()
    assert await body.read() == b"all"
    assert await body.read() == b""
    assert exchange.decisions == []


async def test_the_end_of_the_answer_ends_the_timer():
    body = Stream()
    exchange = make_exchange()
    response = await build()(exchange, Upstream(Response(200, [], body)))
    response.finish(Outcome.COMPLETE)
    timer = asyncio.Event()
    asyncio.get_running_loop().call_later(0.06, timer.set)
    await timer.wait()
    assert not body.closed
    assert exchange.decisions == []


async def test_streaming_routes_are_bounded_up_to_the_head_only():
    body = Stream()
    response = await build(route=RouteFacts(stream=True))(make_exchange(), Upstream(Response(200, [], body)))
    assert response._callbacks is None


async def test_shadow_says_what_would_have_timed_out_and_lets_it_be():
    services = make_services()

    async def slow(exchange):
        services.clock.advance(1.0)
        return Response(200)

    policy = TimeoutConfig.model_validate({"total": "30ms", "mode": "shadow"}).build(services)
    exchange = make_exchange()
    assert (await policy(exchange, slow)).status == 200
    assert exchange.decisions == [("timeout", "would_time_out", "no complete answer within 30ms")]
    exchange = make_exchange()
    await policy(exchange, Upstream())
    assert exchange.decisions == []
    assert exchange.deadline is None


async def test_it_says_itself():
    config = TimeoutConfig.model_validate({"total": "3s"})
    assert config.describe() == "ends the call 3s after it got here"
    assert await config.foresee(make_exchange(), make_services()) == "would give up 3s later"
    with pytest.raises(ValueError, match="greater than 0"):
        TimeoutConfig.model_validate({"total": "0s"})
