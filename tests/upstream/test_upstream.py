"""Whole upstreams: what leaves, which target gets it, what happens where one fails."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import socket

import pytest

from gateway.errors import Refused, Sent, UpstreamError
from gateway.metrics import Metrics, render
from gateway.stream import Stream
from gateway.upstream import Upstream, UpstreamConfig
from tests.upstream.origins import Origin, Visit, body_of, call, ok, origin, stream_of, upstream


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def test_what_the_upstream_is_told() -> None:
    async with origin(ok()) as place, upstream(place.url + "/api") as up:
        exchange = call(
            target="/v1/games?page=2",
            headers=[
                (b"accept", b"application/json"),
                (b"host", b"evil.example"),
                (b"x-forwarded-for", b"6.6.6.6"),
                (b"x-forwarded-host", b"evil.example"),
                (b"forwarded", b"for=6.6.6.6"),
                (b"traceparent", b"00-evil"),
                (b"connection", b"x-forwarded-for"),
                (b"transfer-encoding", b"chunked"),
                (b"content-length", b"99"),
                (b"expect", b"100-continue"),
                (b"te", b"trailers"),
            ],
            client="203.0.113.7",
            scheme="https",
        )
        exchange.trace_id, exchange.tracestate = "ab" * 16, "vendor=1"
        await up(exchange)
        span_id = exchange.attempts[0].span_id
        assert re.fullmatch("[0-9a-f]{16}", span_id)
        assert place.heads[0].decode().split("\r\n") == [
            "GET /api/v1/games?page=2 HTTP/1.1",
            f"host: 127.0.0.1:{place.port}",
            "accept: application/json",
            "x-forwarded-for: 203.0.113.7",
            "x-forwarded-proto: https",
            "x-forwarded-host: gateway.example",
            f"traceparent: 00-{'ab' * 16}-{span_id}-01",
            "tracestate: vendor=1",
            "",
            "",
        ]


async def test_the_callers_host_can_be_preserved() -> None:
    async with origin(ok()) as place, upstream(place, host="preserve") as up:
        await up(call())
        assert b"\r\nhost: gateway.example\r\n" in place.heads[0]


async def test_a_header_cannot_begin_a_second_request() -> None:
    async with origin(ok()) as place, upstream(place) as up:
        exchange = call(headers=[(b"x-a", b"b\r\n\r\nGET /admin HTTP/1.1")])
        with pytest.raises(Refused):
            await up(exchange)
        assert (exchange.attempts[0].error, exchange.attempts[0].sent) == ("request", Sent.NO)
        assert place.visits == []


@pytest.mark.attack(28)
async def test_redirects_are_passed_on_and_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    redirect = ok(b"", b"location: http://169.254.169.254/", b"set-cookie: a=b", status=b"302 Found")
    async with origin(redirect) as place, upstream(place) as up:
        for _ in range(2):
            response = await up(call())
            assert response.status == 302
            assert response.header(b"location") == b"http://169.254.169.254/"
        assert all(b"cookie" not in head for head in place.heads)


async def close_after_one(visit: Visit) -> None:
    await visit.request()
    await visit.say(ok(b"first"))
    await visit.request()  # takes the second call, and closes without an answer


async def test_a_stale_connection_is_replaced_for_a_safe_call() -> None:
    async with origin(close_after_one) as place, upstream(place) as up:
        await up(call())
        exchange = call()
        assert (await up(exchange)).body == b"first"
        assert [(a.error, a.reused) for a in exchange.attempts] == [("stale", True), ("", False)]
        assert len({a.span_id for a in exchange.attempts}) == 2


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_bet_on_a_stale_connection_is_never_sent_twice(streamed: bool) -> None:
    async with origin(close_after_one) as place, upstream(place) as up:
        await up(call())
        body, headers = stream_of(b"bet", length=True)
        exchange = call("PUT" if streamed else "POST", body=body if streamed else b"bet", headers=headers)
        with pytest.raises(UpstreamError) as caught:
            await up(exchange)
        assert (caught.value.reason, caught.value.sent) == ("stale", Sent.UNKNOWN)
        assert len(exchange.attempts) == 1
        assert len(place.heads) == 2


async def test_a_connection_that_closed_while_idle_is_not_even_tried() -> None:
    async def one(visit: Visit) -> None:
        await visit.request()
        await visit.say(ok())

    async with origin(one) as place, upstream(place) as up:
        for _ in range(5):
            exchange = call("POST", body=b"bet")
            await up(exchange)
            await asyncio.wait_for(place.closed.wait(), 5)
            place.closed.clear()
            assert len(exchange.attempts) == 1


async def _two_kept(place: Origin, up: Upstream) -> None:
    """Two connections wait in the pool."""
    await asyncio.gather(up(call()), up(call()))
    assert len(place.visits) == 2


@pytest.mark.parametrize("stray", [b"", ok(b"poison")])
async def test_a_connection_that_ends_before_the_turn_does_carried_nothing(stray: bytes) -> None:
    """Among others a request is written at the end of the turn. What comes before that answers nobody, and
    a bet may be sent elsewhere, since it was not sent here."""
    async with origin(ok(b"clean")) as place, upstream(place) as up:
        await _two_kept(place, up)
        loop = asyncio.get_running_loop()
        first, bet = call(), call("POST", body=b"a bet")
        waiting = [asyncio.ensure_future(up(exchange)) for exchange in (first, bet)]

        def interfere() -> None:  # only the first one, who found nobody else, has written by now
            assert [exchange.attempts[0].sent for exchange in (first, bet)] == [Sent.UNKNOWN, Sent.NO]
            for visit in place.visits:
                sock = visit.writer.get_extra_info("socket")
                with socket.socket(fileno=os.dup(sock.fileno())) as wire:  # at once, past the loop
                    if stray:
                        wire.send(stray)
                    else:
                        wire.shutdown(socket.SHUT_RDWR)

        loop.call_soon(interfere)
        _, answer = await asyncio.gather(*waiting)
        assert answer.body == b"clean"
        assert [(one.error, one.sent) for one in bet.attempts] == [("stale", Sent.NO), ("", Sent.YES)]
        assert sum(head.startswith(b"POST") for head in place.heads) == 1


async def test_a_call_given_up_before_the_turn_ends_is_never_sent() -> None:
    async with origin(ok()) as place, upstream(place) as up:
        await _two_kept(place, up)
        stays, leaves = (asyncio.ensure_future(up(call("POST", f"/{name}"))) for name in ("stays", "leaves"))
        asyncio.get_running_loop().call_soon(leaves.cancel)
        await stays
        with pytest.raises(asyncio.CancelledError):
            await leaves
        await up(call())
        assert not any(b"/leaves" in head for head in place.heads)


async def test_only_one_replacement_per_call() -> None:
    async with origin(close_after_one) as place, upstream(place) as up:
        exchange = call()
        for _ in range(2):
            await up(exchange)
        assert [a.error for a in exchange.attempts] == ["", "stale", ""]
        with pytest.raises(UpstreamError):
            await up(exchange)
        assert [a.error for a in exchange.attempts] == ["", "stale", "", "stale"]


async def test_replacements_are_few_where_every_connection_is_dropped_at_its_second_call() -> None:
    calls = 300
    async with origin(close_after_one) as place, upstream(place) as up:
        failed = 0
        for _ in range(calls):
            exchange = call()
            with contextlib.suppress(UpstreamError):
                await up(exchange)
            failed += exchange.attempts[-1].error == "stale"
        sent_again = len(place.heads) - calls
        assert 10 <= sent_again < 0.2 * calls
        assert failed <= calls / 2


async def test_nobody_listens() -> None:
    async with upstream(f"http://127.0.0.1:{free_port()}") as up:
        exchange = call("POST", body=b"bet")
        with pytest.raises(UpstreamError) as caught:
            await up(exchange)
        error = caught.value
        assert (error.code, error.sent, error.reason) == ("UPSTREAM_UNREACHABLE", Sent.NO, "refused")
        assert (exchange.attempts[0].sent, exchange.attempts[0].error) == (Sent.NO, "refused")
        assert "0 active" in repr(up)


async def test_a_name_that_does_not_resolve() -> None:
    async with upstream("http://nowhere.invalid:80", timeout={"connect": "5s"}) as up:
        with pytest.raises(UpstreamError) as caught:
            await up(call())
        assert (caught.value.sent, caught.value.reason) == (Sent.NO, "dns")


async def test_a_connection_that_does_not_come_about() -> None:
    # A full accept queue: the kernel neither refuses nor accepts.
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        port = sock.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            async with upstream(f"http://127.0.0.1:{port}", timeout={"connect": "100ms"}) as up:
                with pytest.raises(UpstreamError) as caught:
                    await up(call())
                assert (caught.value.sent, caught.value.reason) == (Sent.NO, "connect_timeout")
        finally:
            for filler in fillers:
                filler.close()


async def test_calls_go_to_the_targets_in_turn() -> None:
    async with origin(ok(b"a")) as a, origin(ok(b"b")) as b, upstream(a, b) as up:
        answers = [await body_of(await up(call())) for _ in range(6)]
        assert sorted(answers) == [b"a"] * 3 + [b"b"] * 3


async def test_calls_go_where_fewest_are_under_way() -> None:
    async def slow(visit: Visit) -> None:
        await visit.request()
        await visit.until_closed()

    async with origin(slow) as a, origin(ok(b"b")) as b, upstream(a, b, balance="least_request") as up:
        task = asyncio.ensure_future(up(call()))
        await a.arrived.wait()
        for _ in range(5):
            assert (await up(call())).body == b"b"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert [target.active for target in up.targets] == [0, 0]


async def test_another_try_goes_to_another_target() -> None:
    async with origin(ok()) as place, upstream(f"http://127.0.0.1:{free_port()}", place) as up:
        exchange = call()
        with pytest.raises(UpstreamError):
            await up(exchange)
        assert (await up(exchange)).status == 200
        assert [attempt.target for attempt in exchange.attempts] == [target.origin for target in up.targets]


async def test_failures_in_a_row_eject_a_target() -> None:
    async with (
        origin(ok()) as place,
        upstream(
            f"http://127.0.0.1:{free_port()}", place, passive_health={"failures": 2, "eject_for": "1h"}
        ) as up,
    ):
        failed = 0
        for _ in range(20):
            try:
                await up(call())
            except UpstreamError:
                failed += 1
        assert failed == 2
        now = asyncio.get_running_loop().time()
        assert [target.health.healthy(now) for target in up.targets] == [False, True]


async def test_a_breaker_may_veto_targets() -> None:
    async with origin(ok(b"a")) as a, origin(ok(b"b")) as b, upstream(a, b) as up:
        exchange = call()
        exchange.admit_target = lambda target: target == b.url
        for _ in range(4):
            assert (await up(exchange)).body == b"b"
        exchange.admit_target = lambda _: False
        with pytest.raises(Refused) as caught:
            await up(exchange)
        assert caught.value.code == "CIRCUIT_OPEN"


async def test_numbers() -> None:
    metrics = Metrics()
    async with origin(ok()) as place:
        config = UpstreamConfig.model_validate({"targets": [{"url": place.url}]})
        up = Upstream("aurora", config, metrics=metrics, random=random.Random(1))
        await up(call())
        text = render(metrics.snapshot())
        labels = f'upstream="aurora",target="{place.url}"'
        assert f'gateway_upstream_attempts_total{{{labels},result="2xx"}} 1' in text
        assert f'gateway_upstream_connections{{{labels},state="idle"}} 1' in text
        assert f"gateway_upstream_target_healthy{{{labels}}} 1" in text
        assert 'gateway_upstream_seconds_count{upstream="aurora"} 1' in text
        await up.close()
    with pytest.raises(UpstreamError):
        await up(call())
    text = render(metrics.snapshot())
    assert f'gateway_upstream_attempts_total{{{labels},result="refused"}} 1' in text


async def test_closing_lets_calls_finish() -> None:
    go = asyncio.Event()

    async def wait(visit: Visit) -> None:
        await visit.request()
        await go.wait()
        await visit.say(ok(b"done"))
        await visit.until_closed()

    async with origin(wait) as place, upstream(place) as up:
        task = asyncio.ensure_future(up(call()))
        await place.arrived.wait()
        closing = asyncio.ensure_future(up.close())
        await asyncio.sleep(0.01)
        assert not closing.done()
        go.set()
        assert (await task).body == b"done"
        await asyncio.wait_for(closing, 5)
        assert "0 active, 0 idle" in repr(up)


async def test_a_call_in_line_gets_the_next_free_connection() -> None:
    async with origin(ok()) as place, upstream(place, pool={"max_connections": 2}) as up:
        responses = await asyncio.gather(*(up(call()) for _ in range(4)))
        assert [response.status for response in responses] == [200] * 4
        assert len(place.visits) == 2
        with pytest.raises(Refused) as caught:
            await asyncio.gather(*(up(call()) for _ in range(5)))
        assert caught.value.code == "BUSY"


async def test_a_place_in_line_has_a_deadline() -> None:
    async def silent(visit: Visit) -> None:
        await visit.request()
        await visit.until_closed()

    async with (
        origin(silent) as place,
        upstream(place, pool={"max_connections": 1}, timeout={"connect": "50ms"}) as up,
    ):
        first = asyncio.ensure_future(up(call()))
        await place.arrived.wait()
        with pytest.raises(UpstreamError) as caught:
            await up(call("POST", body=b"bet"))
        assert (caught.value.reason, caught.value.sent) == ("pool_timeout", Sent.NO)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_it_describes_itself() -> None:
    async with upstream("http://127.0.0.1:9") as up:
        assert up.describe() == (
            "calls http://127.0.0.1:9; connects within 1s, answers begin within 10s and end within 30s"
        )
        assert repr(up).startswith("<Upstream test [<Target http://127.0.0.1:9, 0 calls")


async def test_many_calls_at_once_get_their_own_answers() -> None:
    async def echo(visit: Visit) -> None:
        while True:
            body = await visit.request()
            half = len(body) // 2
            head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
            if half % 2:
                await visit.say(head + body)
            else:
                await visit.say(head + body[:half])
                await asyncio.sleep(0)
                await visit.say(body[half:])

    async with origin(echo) as place, upstream(place, pool={"max_connections": 8}) as up:

        async def one(number: int) -> None:
            body = b"%d" % number * (number % 50 + 1)
            assert await body_of(await up(call("POST", body=body))) == body

        async def some(worker: int) -> None:
            for number in range(50):
                await one(worker * 1000 + number)

        await asyncio.gather(*(some(worker) for worker in range(16)))
        assert "0 active, 8 idle" in repr(up)


async def test_a_streamed_answer_counts_as_under_way_to_its_end() -> None:
    async def late(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
        await asyncio.sleep(0.01)
        await visit.say(b"hello")

    async with origin(late) as place, upstream(place) as up:
        response = await up(call())
        assert isinstance(response.body, Stream)
        assert up.targets[0].active == 1
        assert await body_of(response) == b"hello"
        assert up.targets[0].active == 0
