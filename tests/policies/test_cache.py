from __future__ import annotations

import asyncio
import json
from email.utils import formatdate
from time import perf_counter_ns

import pytest
from pydantic import ValidationError

from gateway.consumers import Consumer
from gateway.errors import Native, Refused, Sent, UpstreamError
from gateway.exchange import Attempt, Exchange, Outcome, Response
from gateway.policies.cache import CacheConfig
from gateway.services import RouteFacts
from gateway.stream import Stream
from tests.support import Upstream, make_exchange, make_services


def unreachable() -> UpstreamError:
    return UpstreamError("UPSTREAM_UNREACHABLE", "refused", sent=Sent.NO, reason="refused")


def ok(body=b"games", *headers):
    return lambda _: Response(200, [(b"content-type", b"application/json"), *headers], body)


def control(value):
    return (b"cache-control", value)


class Route:
    """A cache in front of a scripted upstream."""

    def __init__(self, *answers, services=None, route=None, **config) -> None:
        self.tasks = []
        self.services = services or make_services(
            route=route or RouteFacts("games", "aurora"), background=self.tasks.append
        )
        self.config = CacheConfig.model_validate(config)
        self.policy = self.config.build(self.services)
        self.upstream = Upstream(*answers)
        self.last = None

    async def get(self, *headers, method="GET", target="/v1/games", forward=None, **more):
        exchange = make_exchange(method, headers=list(headers), **more)
        exchange.target = target
        self.last = exchange
        return await self.policy(exchange, forward or self.upstream)

    async def body(self, *headers, **more):
        return (await self.get(*headers, **more)).body

    def later(self, seconds):
        self.services.clock.advance(seconds)

    async def settle(self):
        """Run what was put in the background."""
        while self.tasks:
            await self.tasks.pop(0)

    @property
    def status(self):
        return self.last.cache_status

    @property
    def counts(self):
        counter = self.services.metrics.counter("gateway_cache_total", "", ("route", "result"))
        return {result: int(count) for (_, result), count in counter.values.items()}


# Freshness


async def test_the_second_call_is_answered_from_memory():
    route = Route(ok(), ttl="5m")
    first = await route.get()
    assert (first.body, route.status) == (b"games", "miss")
    assert first.header(b"cache-status") == b"gateway; fwd=uri-miss; stored"
    route.later(10)
    second = await route.get()
    assert (second.body, second.status, route.status) == (b"games", 200, "hit")
    assert second.header(b"age") == b"10"
    assert second.header(b"cache-status") == b"gateway; hit; ttl=290"
    assert second is not first
    assert second.headers is not (await route.get()).headers
    assert route.upstream.calls == 1
    assert route.counts == {"miss": 1, "hit": 2}
    assert route.last.decisions == [("cache", "hit", "")]


async def test_after_its_time_it_is_fetched_again():
    route = Route(ok(b"1"), ok(b"2"), ttl="5m")
    await route.get()
    route.later(300)
    assert await route.body() == b"2"
    assert route.status == "miss"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([control(b"max-age=30")], 30),
        ([control(b"max-age=30, s-maxage=90")], 90),
        ([control(b"max-age=30"), (b"age", b"20")], 10),
        ([control(b"public")], 60),
        ([], 60),
        ([(b"expires", formatdate(1_700_000_040, usegmt=True).encode())], 40),
        ([control(b"max-age=30, must-revalidate")], 30),
    ],
)
async def test_what_the_answer_says_of_its_freshness_counts(headers, seconds):
    route = Route(ok(b"", *headers))
    await route.get()
    route.later(seconds - 1)
    await route.get()
    assert route.status == "hit"
    route.later(1)
    await route.get()
    assert route.status == "miss"


async def test_ttl_can_override():
    route = Route(ok(b"", control(b"s-maxage=1"), (b"age", b"100")), ttl="5m", override=True)
    await route.get()
    route.later(299)
    await route.get()
    assert route.status == "hit"


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"", control(b"no-store")),
        ok(b"", control(b"private, max-age=60")),
        ok(b"", control(b"max-age=0")),
        ok(b"", (b"set-cookie", b"a=b")),
        ok(b"", (b"vary", b"*")),
        lambda _: Response(200, [(b"content-type", b"text/event-stream")], b""),
        lambda _: Response(200, [(b"content-length", b"2000000")], b""),
        lambda _: Response(200, [(b"content-length", b"9" * 20)], b""),
        lambda _: Response(404, [], b""),
        lambda _: Response(206, [], b""),
        lambda _: Response(500, [control(b"max-age=60")], b""),
    ],
)
async def test_what_must_not_be_kept_is_not(answer):
    route = Route(answer, override=False)
    await route.get()
    await route.get()
    assert route.upstream.calls == 2
    assert len(route.services.stores.answers) == 0


async def test_errors_that_say_how_long_are_kept_that_long():
    route = Route(lambda _: Response(404, [control(b"max-age=5")], b"none"))
    await route.get()
    response = await route.get()
    assert (response.status, route.status) == (404, "hit")


@pytest.mark.parametrize(("kind", "code"), [("business", ""), ("final", "FINAL")])
async def test_what_error_codes_calls_an_error_is_not_kept(kind, code):
    def answer(_):
        response = Response(200, [control(b"max-age=60")], b"")
        response.kind, response.code = kind, code
        return response

    route = Route(answer)
    await route.get()
    await route.get()
    assert route.upstream.calls == 2


async def test_a_ttl_of_nothing_keeps_nothing_that_cannot_be_validated():
    route = Route(ok(), ttl="0s")
    await route.get()
    await route.get()
    assert (route.upstream.calls, len(route.services.stores.answers)) == (2, 0)


# Streams


def streamed(*pieces, end=True, headers=()):
    def answer(_):
        body = Stream()
        for piece in pieces:
            body.feed(piece)
        if end:
            body.end()
        return Response(200, list(headers), body)

    return answer


async def test_a_streamed_answer_is_gathered_and_kept():
    route = Route(streamed(b"a", b"b", headers=[(b"content-length", b"2")]))
    response = await route.get()
    assert (response.body, response.header(b"content-length")) == (b"ab", None)
    assert await route.body() == b"ab"
    assert route.status == "hit"


async def test_a_streamed_answer_that_grows_too_large_passes():
    route = Route(streamed(b"a" * 600, b"b" * 600), max_entry="1KiB")
    for _ in range(2):
        response = await route.get()
        assert await response.body.read_up_to(9999) == (b"a" * 600 + b"b" * 600, True)
    assert route.upstream.calls == 2


async def test_a_streaming_route_streams():
    route = Route(streamed(b"a", end=False), route=RouteFacts("games", "aurora", stream=True))
    for _ in range(2):
        response = await route.get()
        assert await response.body.read() == b"a"
    assert (route.upstream.calls, len(route.services.stores.answers)) == (2, 0)


async def test_a_body_that_breaks_off_is_an_error_and_nothing_is_kept():
    seen = []

    def answer(_):
        body = Stream()
        body.feed(b"half")
        body.fail(UpstreamError("UPSTREAM_INVALID", "short", sent=Sent.YES))
        seen.append(Response(200, [], body))
        return seen[-1]

    route = Route(answer)
    with pytest.raises(UpstreamError):
        await route.get()
    assert seen[0].ended is Outcome.FAILED
    assert len(route.services.stores.answers) == 0


async def test_a_caller_that_leaves_in_the_middle_of_the_body_frees_the_connection():
    closed = []
    response = Response(200, [], Stream(on_close=lambda: closed.append(1)))
    route = Route(response)
    task = asyncio.create_task(route.get())
    while not route.upstream.calls:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == [1]
    assert len(route.services.state.keep(("cache", route.policy.__self__.owner), list).flights) == 0


# Keys


async def test_what_is_forwarded_is_keyed():
    def echo(exchange):
        return Response(200, [], json.dumps([[n.decode(), v.decode()] for n, v in exchange.headers]).encode())

    route = Route(echo)
    evil = (b"x-evil", b"<script>")
    assert b"script" in await route.body(evil)
    assert await route.body() == b"[]"
    assert await route.body((b"accept-language", b"de")) == b'[["accept-language", "de"]]'
    assert await route.body((b"accept-language", b"fr")) == b'[["accept-language", "fr"]]'
    assert await route.body((b"user-agent", b"evil"), (b"x-request-id", b"1"), (b"referer", b"x")) == b"[]"
    assert route.status == "hit"
    assert route.last.headers == [(b"user-agent", b"evil"), (b"x-request-id", b"1"), (b"referer", b"x")]
    for more in ({"authority": "evil.example"}, {"scheme": "https"}, {"target": "/v1/games?a=1"}):
        await route.get(**more)
        assert route.status == "miss"


async def test_the_headers_that_count_can_be_named():
    def echo(exchange):
        return Response(200, [], str(exchange.headers).encode())

    route = Route(echo, key={"headers": ["X-Brand", "User-Agent"]})
    assert await route.body((b"x-brand", b"1"), (b"x-other", b"1")) == b"[(b'x-brand', b'1')]"
    await route.get((b"x-brand", b"1"), (b"x-other", b"2"))
    assert route.status == "hit"
    await route.get((b"x-brand", b"1"), (b"user-agent", b"2"))
    assert route.status == "miss"
    assert route.last.headers == [(b"x-brand", b"1"), (b"user-agent", b"2")]


async def test_consumers_can_be_kept_apart():
    for apart, status in ((True, "miss"), (False, "hit")):
        route = Route(ok(), key={"consumer": apart})
        for name in ("one", "two"):
            exchange = make_exchange()
            exchange.consumer = Consumer(name)
            await route.policy(exchange, route.upstream)
        assert exchange.cache_status == status


@pytest.mark.parametrize(
    "header",
    [(b"authorization", b"Bearer x"), (b"range", b"bytes=0-1"), (b"if-match", b'"a"'), (b"if-range", b'"a"')],
)
async def test_some_calls_pass_by(header):
    route = Route(ok(b"secret", control(b"public, max-age=60")))
    for _ in range(2):
        response = await route.get(header)
        assert (route.status, response.header(b"cache-status")) == ("bypass", b"gateway; fwd=bypass")
    assert route.upstream.calls == 2
    assert header in route.upstream.seen[0].headers
    await route.get()
    assert route.status == "miss"


async def test_a_get_with_a_body_passes_by():
    route = Route(ok())
    await route.get(body=b"evil")
    body = Stream()
    body.feed(b"evil")
    body.end()
    await route.get(body=body)
    await route.get()
    assert (route.upstream.calls, route.status) == (3, "miss")


async def test_an_upgrade_passes_by():
    route = Route(ok())
    exchange = make_exchange()
    exchange.upgrade = True
    await route.policy(exchange, route.upstream)
    assert exchange.cache_status == "bypass"


async def test_post_is_kept_where_asked_for_and_keyed_by_its_body():
    route = Route(lambda e: Response(200, [], e.body * 2), methods=["POST"])

    def stream(data):
        body = Stream()
        body.feed(data)
        body.end()
        return body

    assert await route.body(method="POST", body=b"a") == b"aa"
    assert await route.body(method="POST", body=b"b") == b"bb"
    assert await route.body(method="POST", body=stream(b"a")) == b"aa"
    assert route.status == "hit"
    large = Upstream(ok())
    await route.get(method="POST", body=stream(bytes(70_000)), forward=large)
    assert route.status == "bypass"
    await route.get(method="GET")
    assert route.status == "bypass"
    await route.get(method="HEAD")
    assert route.status == "bypass"


async def test_head_is_answered_from_a_kept_get():
    route = Route(ok())
    response = await route.get(method="HEAD")
    assert (route.status, response.header(b"cache-status")) == ("bypass", b"gateway; fwd=method")
    await route.get()
    await route.get(method="HEAD")
    assert route.status == "hit"


async def test_an_unsafe_call_that_succeeds_makes_what_is_kept_of_its_target_void():
    services = make_services(route=RouteFacts("games", "aurora"))
    route = Route(ok(), services=services)
    other = Route(ok(), services=make_services(stores=services.stores, route=RouteFacts("edit", "aurora")))
    await route.get()
    await route.get(target="/v1/other")
    await other.get(method="OPTIONS")
    await other.get(method="DELETE", forward=Upstream(Response(409)))
    await route.get()
    assert route.status == "hit"
    await other.get(method="DELETE")
    await route.get()
    assert route.status == "miss"
    await route.get(target="/v1/other")
    assert route.status == "hit"


# What callers ask


@pytest.mark.parametrize(
    ("asks", "status"),
    [
        (control(b"no-cache"), "miss"),
        ((b"pragma", b"no-cache"), "miss"),
        ((b"pragma", b"x"), "hit"),
        (control(b"max-age=5"), "miss"),
        (control(b"max-age=50"), "hit"),
        (control(b"min-fresh=55"), "miss"),
        (control(b"min-fresh=5"), "hit"),
        (control(b"only-if-cached"), "hit"),
        (control(b"no-store"), "bypass"),
    ],
)
async def test_callers_say_how_fresh_they_want_it(asks, status):
    forwarded = []
    route = Route(lambda exchange: forwarded.append(exchange.headers) or ok()(exchange))
    await route.get()
    route.later(10)
    response = await route.get(asks)
    assert route.status == status
    if status == "miss":
        assert response.header(b"cache-status") == b"gateway; fwd=request; stored"
        assert forwarded == [[], []]


async def test_only_if_cached_never_asks_the_provider():
    route = Route(ok())
    with pytest.raises(Refused, match="only-if-cached"):
        await route.get(control(b"only-if-cached"))
    assert (route.upstream.calls, route.status) == (0, "miss")


async def test_a_caller_that_has_it_gets_304():
    modified = formatdate(1_600_000_000, usegmt=True).encode()
    route = Route(ok(b"x", (b"etag", b'W/"1"'), (b"last-modified", modified), (b"x-a", b"1")))
    first = await route.get((b"if-none-match", b'"0"'), (b"if-none-match", b'"1"'))
    assert (first.status, first.body, first.header(b"etag"), first.header(b"x-a")) == (
        304,
        b"",
        b'W/"1"',
        None,
    )
    assert route.upstream.seen[0].headers == [(b"if-none-match", b'"0"'), (b"if-none-match", b'"1"')]
    for headers, status in [
        ([(b"if-none-match", b"*")], 304),
        ([(b"if-none-match", b'"2"')], 200),
        ([(b"if-none-match", b'"2"'), (b"if-modified-since", modified)], 200),
        ([(b"if-modified-since", modified)], 304),
        ([(b"if-modified-since", formatdate(1_500_000_000, usegmt=True).encode())], 200),
        ([(b"if-modified-since", b"yesterday")], 200),
    ]:
        response = await route.get(*headers)
        assert (response.status, route.status) == (status, "hit")
    route = Route(lambda _: Response(404, [control(b"max-age=9"), (b"etag", b'"1"')], b""))
    assert (await route.get((b"if-none-match", b'"1"'))).status == 404
    route = Route(ok())
    assert (await route.get((b"if-none-match", b'"1"'))).status == 200


async def test_a_304_in_the_place_of_a_stream_frees_its_connection():
    closed = []
    body = Stream(on_close=lambda: closed.append(1))
    route = Route(Response(200, [(b"etag", b'"1"'), control(b"no-store")], body))
    assert (await route.get((b"if-none-match", b'"1"'))).status == 304
    assert closed == [1]


# Validation


async def test_a_stale_answer_is_validated():
    modified = formatdate(1_600_000_000, usegmt=True).encode()

    def origin(exchange):
        if exchange.header(b"if-none-match") == b'"1"':
            assert exchange.header(b"if-modified-since") == modified
            return Response(
                304, [(b"x-new", b"1"), (b"cache-control", b"max-age=20"), (b"content-length", b"0")]
            )
        return ok(b"games", (b"etag", b'"1"'), (b"last-modified", modified), control(b"max-age=10"))(exchange)

    route = Route(origin)
    await route.get()
    route.later(11)
    response = await route.get()
    assert (response.status, response.body, route.status) == (200, b"games", "revalidated")
    assert response.header(b"x-new") == b"1"
    assert response.header(b"content-type") == b"application/json"
    assert response.header(b"cache-status") == b"gateway; fwd=stale; fwd-status=304; stored"
    route.later(19)
    assert (await route.get()).header(b"x-new") == b"1"
    assert route.status == "hit"
    assert (await route.get(control(b"no-cache"), (b"if-none-match", b'"1"'))).status == 304
    assert route.upstream.calls == 3


async def test_no_cache_is_validated_every_time():
    def origin(exchange):
        return (
            Response(304)
            if exchange.header(b"if-none-match")
            else ok(b"x", (b"etag", b'"1"'), control(b"no-cache"))(exchange)
        )

    route = Route(origin, stale_while_revalidate="1h")
    await route.get()
    for _ in range(2):
        await route.get()
        assert route.status == "revalidated"


@pytest.mark.parametrize("headers", [[(b"etag", b'"2"')], [control(b"no-store")]])
async def test_a_304_that_does_not_fit_is_used_once(headers):
    route = Route(ok(b"x", (b"etag", b'"1"')), Response(304, headers), ok(b"y"))
    await route.get()
    route.later(60)
    response = await route.get()
    assert (response.status, response.body) == (200, b"x")
    assert response.header(b"cache-status") == b"gateway; fwd=stale; fwd-status=304"
    assert await route.body() == b"y"


async def test_a_304_nobody_asked_for_passes():
    route = Route(Response(304))
    assert (await route.get()).status == 304


async def test_a_new_answer_that_must_not_be_kept_replaces_the_old_one():
    route = Route(ok(b"1", (b"etag", b'"1"')), ok(b"2", control(b"no-store")))
    await route.get()
    route.later(60)
    response = await route.get()
    assert (response.body, response.header(b"cache-status")) == (b"2", b"gateway; fwd=stale")
    assert len(route.services.stores.answers) == 0


# Stale answers


async def test_a_background_refresh_is_a_call_of_its_own_in_the_callers_trace():
    recorded = []

    def origin(exchange: Exchange) -> Response:
        exchange.attempts.append(Attempt("http://127.0.0.1:9201", "c" * 16, 1))
        return ok(b"games")(exchange)

    tasks = []
    services = make_services(background=tasks.append, record_background=recorded.append)
    route = Route(origin, services=services, stale_while_revalidate="1m", ttl="10s")
    route.tasks = tasks
    await route.get()
    route.later(11)
    await route.get()
    assert not recorded
    await route.settle()
    assert recorded == [route.upstream.seen[-1]]
    assert len(recorded[0].attempts) == 1
    assert recorded[0].parent_id == route.last.span_id


async def test_stale_while_revalidate_answers_now_and_refreshes_beside():
    route = Route(ok(b"1"), ok(b"2"), stale_while_revalidate="1m")
    await route.get()
    route.later(60)
    response = await route.get((b"user-agent", b"x"))
    assert (response.body, route.status) == (b"1", "stale")
    assert response.header(b"cache-status") == b"gateway; hit; ttl=0"
    await route.get()
    assert len(route.tasks) == 1
    assert route.upstream.calls == 1
    await route.settle()
    assert await route.body() == b"2"
    assert route.status == "hit"
    assert route.counts["refreshed"] == 1
    assert route.upstream.seen[-1] is not route.last


async def test_too_stale_is_fetched():
    route = Route(ok(b"1"), ok(b"2"), stale_while_revalidate="1m")
    await route.get()
    route.later(121)
    assert await route.body() == b"2"
    route.later(70)
    assert await route.body(control(b"max-age=10")) == b"2"
    assert (route.status, len(route.tasks)) == ("miss", 0)


@pytest.mark.parametrize(
    "failure",
    [
        unreachable(),
        Refused("RATE_LIMITED"),
        Response(503),
        streamed(b"x", end=False, headers=[control(b"no-store")]),
    ],
)
async def test_a_refresh_that_fails_waits_before_the_next(failure):
    route = Route(ok(), failure, stale_while_revalidate="1h")
    await route.get()
    route.later(60)
    await route.get()
    await route.settle()
    await route.get()
    assert route.counts["refresh_failed"] == 1
    assert len(route.tasks) == 0
    if isinstance(failure, Response):
        assert failure.ended is Outcome.COMPLETE
    if not callable(failure):
        route.later(1)
        await route.get()
        assert len(route.tasks) == 1
        await route.settle()


async def test_a_refresh_beside_a_fetch_joins_it():
    route, gate = Route(ok(b"1"), stale_while_revalidate="1h"), Gate(ok(b"2"))
    await route.get()
    route.later(60)
    await route.get(forward=gate)
    refresh = asyncio.create_task(route.tasks.pop())
    await asyncio.sleep(0)
    assert gate.calls == 1
    route.later(2)
    await route.get(forward=gate)
    assert len(route.tasks) == 0  # somebody is at it already
    gate.waiting[0].set_result(None)
    await refresh
    assert await route.body() == b"2"


async def test_a_refresh_that_comes_late_joins_the_fetch_under_way():
    route, gate = Route(ok(b"1"), stale_while_revalidate="1m"), Gate(ok(b"2"))
    await route.get()
    route.later(60)
    await route.get(forward=gate)
    route.later(61)  # too stale now: this caller fetches it itself
    [fetching] = await stampede(route, gate, 1)
    refresh = asyncio.create_task(route.tasks.pop())
    await asyncio.sleep(0)
    gate.waiting[0].set_result(None)
    assert (await fetching).body == b"2"
    await refresh
    assert gate.calls == 1
    assert "refreshed" not in route.counts


@pytest.mark.parametrize("failure", [unreachable(), Response(503), Refused("CIRCUIT_OPEN"), Refused("BUSY")])
async def test_stale_if_error(failure):
    route = Route(ok(), failure, stale_if_error="1h")
    await route.get()
    route.later(70)
    response = await route.get()
    assert (response.body, route.status) == (b"games", "stale")
    status = b" fwd-status=503;" if isinstance(failure, Response) else b""
    assert response.header(b"cache-status") == b"gateway; fwd=stale;" + status + b" detail=stale-if-error"
    assert response.header(b"age") == b"70"
    assert route.last.decisions[0][:2] == ("cache", "stale_if_error")
    assert (route.last.code, route.last.native) == ("", None)
    route.later(3600)
    if isinstance(failure, Response):
        assert failure.ended is Outcome.DISCARDED
        assert (await route.get()) is failure
    else:
        with pytest.raises(type(failure)):
            await route.get()


async def test_refusals_of_the_caller_are_not_papered_over():
    route = Route(ok(), Refused("FORBIDDEN"), stale_if_error="1h")
    await route.get()
    route.later(70)
    with pytest.raises(Refused, match="FORBIDDEN"):
        await route.get()


@pytest.mark.parametrize(
    "told", [b"max-age=1, must-revalidate", b"max-age=1, proxy-revalidate", b"s-maxage=1"]
)
async def test_an_answer_can_forbid_its_stale_use(told):
    route = Route(
        ok(b"", control(told), (b"etag", b'"1"')),
        unreachable(),
        stale_if_error="1h",
        stale_while_revalidate="1h",
    )
    await route.get()
    route.later(2)
    with pytest.raises(UpstreamError):
        await route.get()


async def test_an_answer_can_allow_its_stale_use():
    told = b"s-maxage=1, stale-while-revalidate=5, stale-if-error=10"
    route = Route(ok(b"old", control(told)), unreachable())
    await route.get()
    route.later(2)
    await route.get()
    assert route.status == "stale"
    await route.settle()
    route.later(6)
    assert await route.body() == b"old"
    assert route.last.decisions[0] == ("cache", "stale_if_error", "UPSTREAM_UNREACHABLE")


async def test_a_stale_answer_is_held_ready_for_a_fallback():
    route = Route(ok(b"old"), unreachable())
    await route.get()
    route.later(7200)
    exchange = make_exchange()
    exchange.target, exchange.stale_seconds = "/v1/games", 86400.0
    with pytest.raises(UpstreamError):
        await route.policy(exchange, route.upstream)
    assert (exchange.stale.body, exchange.stale.header(b"age")) == (b"old", b"7200")
    route.later(86400)
    exchange.stale = None
    with pytest.raises(UpstreamError):
        await route.policy(exchange, route.upstream)
    assert exchange.stale is None


async def test_for_a_fallback_even_what_is_stale_at_once_is_kept():
    route = Route(ok(b"old"), unreachable(), ttl="0s")
    for _ in range(2):
        exchange = make_exchange()
        exchange.target, exchange.stale_seconds = "/v1/games", 10.0
        try:
            await route.policy(exchange, route.upstream)
        except UpstreamError:
            assert exchange.stale.body == b"old"
    assert exchange.stale is not None


# One call for many


class Gate:
    """An upstream that answers when told to."""

    def __init__(self, answer) -> None:
        self.answer, self.calls = answer, 0
        self.waiting: list[asyncio.Future[None]] = []

    async def __call__(self, exchange):
        self.calls += 1
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        await future
        answer = self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer(exchange)


async def stampede(route, gate, count):
    tasks = [asyncio.create_task(route.get(forward=gate)) for _ in range(count)]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_a_thousand_concurrent_misses_make_one_call():
    route, gate = Route(), Gate(ok())
    tasks = await stampede(route, gate, 1000)
    assert gate.calls == 1
    gate.waiting[0].set_result(None)
    answers = await asyncio.gather(*tasks)
    assert gate.calls == 1
    assert {answer.body for answer in answers} == {b"games"}
    assert len({id(answer) for answer in answers}) == 1000
    assert route.counts == {"miss": 1, "collapsed": 999}
    assert answers[-1].header(b"cache-status") == b"gateway; fwd=miss; collapsed"


async def test_when_the_leader_leaves_one_other_takes_over():
    route, gate = Route(), Gate(ok())
    tasks = await stampede(route, gate, 100)
    tasks[0].cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert gate.calls == 2
    gate.waiting[1].set_result(None)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert {answer.body for answer in answers[1:]} == {b"games"}
    assert gate.calls == 2


@pytest.mark.parametrize("failure", [unreachable(), Refused("CIRCUIT_OPEN")])
async def test_a_failure_is_shared(failure):
    route, gate = Route(), Gate(failure)
    tasks = await stampede(route, gate, 100)
    gate.waiting[0].set_result(None)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(answer) for answer in answers} == {type(failure)}
    assert gate.calls == 1


async def test_a_failed_answer_is_shared():
    def failed(exchange):
        exchange.code, exchange.native = "TEMPORARY", Native("E", "", 500)
        response = Response(502, [], b"down")
        response.code = "TEMPORARY"
        return response

    route, gate = Route(), Gate(failed)
    tasks = await stampede(route, gate, 100)
    gate.waiting[0].set_result(None)
    answers = await asyncio.gather(*tasks)
    assert {(answer.status, answer.body, answer.kind, answer.code) for answer in answers} == {
        (502, b"down", "temporary", "TEMPORARY")
    }
    assert (gate.calls, route.last.code, route.last.native) == (1, "TEMPORARY", Native("E", "", 500))


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"", control(b"private")),
        lambda _: Response(500, [control(b"no-store")], b""),
        lambda _: Response(500, [], bytes(70_000)),
    ],
)
async def test_what_cannot_be_shared_is_fetched_by_each_at_once(answer):
    route, gate = Route(), Gate(answer)
    tasks = await stampede(route, gate, 10)
    gate.waiting[0].set_result(None)
    for _ in range(5):
        await asyncio.sleep(0)
    assert gate.calls == 10
    for future in gate.waiting[1:]:
        future.set_result(None)
    await asyncio.gather(*tasks)


async def test_the_leaders_own_refusal_is_nobody_elses():
    calls = []

    async def limited(exchange):
        calls.append(exchange)
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise Refused("RATE_LIMITED")
        return Response(200, [], b"games")

    route = Route()
    answers = await asyncio.gather(*(route.get(forward=limited) for _ in range(3)), return_exceptions=True)
    assert isinstance(answers[0], Refused)
    assert [answer.body for answer in answers[1:]] == [b"games", b"games"]


async def test_known_uncacheable_calls_do_not_wait_for_each_other():
    route, gate = Route(), Gate(ok(b"", control(b"no-store")))
    await route.get(forward=Upstream(ok(b"", control(b"no-store"))))
    tasks = await stampede(route, gate, 10)
    assert gate.calls == 10
    for future in gate.waiting:
        future.set_result(None)
    await asyncio.gather(*tasks)
    route.later(11)
    tasks = await stampede(route, gate, 10)
    assert gate.calls == 11
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# Purging, reload, shadow


async def test_purge_by_route_and_by_tag():
    route = Route(ok(), tags=["games", "aurora"])
    for selection in ({"route": "games"}, {"tag": "aurora"}, {"tag": "games"}):
        await route.get()
        await route.get(target="/v1/other")
        assert route.services.stores.purge(**selection) == 2
        await route.get()
        assert route.status == "miss"
    assert route.services.stores.purge(tag="nothing") == 0
    assert route.services.stores.purge() == 0


async def test_what_was_asked_for_before_a_purge_is_not_kept_after_it():
    route, gate = Route(), Gate(ok(b"old"))
    [task, follower] = await stampede(route, gate, 2)
    route.services.stores.purge(route="games")
    gate.waiting[0].set_result(None)
    response = await task
    assert (response.body, response.header(b"cache-status")) == (b"old", b"gateway; fwd=uri-miss")
    for _ in range(3):
        await asyncio.sleep(0)
    gate.answer = ok(b"new")
    gate.waiting[1].set_result(None)
    assert (await follower).body == b"new"
    assert len(route.services.stores.answers) == 0


async def test_answers_survive_a_reload_that_changes_nothing():
    route = Route(ok(), ttl="5m")
    await route.get()
    route.services.state.begin()
    again = Route(ok(), services=route.services, ttl="5m")
    route.services.state.commit()
    await again.get()
    assert (again.status, again.upstream.calls) == ("hit", 0)
    assert again.policy.__self__.origin.uncacheable is route.policy.__self__.origin.uncacheable
    changed = Route(ok(), services=route.services, ttl="6m")
    await changed.get()
    assert changed.status == "miss"


async def test_a_route_keeps_to_its_share():
    route = Route(ok(b"x" * 1000), max_bytes="10KiB")
    for number in range(20):
        await route.get(target=f"/{number}")
    memory = route.services.stores.answers
    assert memory.bytes <= 10 * 1024
    assert memory.evicted == 20 - len(memory)
    [gauge] = [s for s in route.services.metrics.snapshot() if s[0] == "gateway_cache_bytes"]
    assert gauge[4] == [((), memory.bytes)]


async def test_shadow_says_what_it_would_answer_and_changes_nothing():
    route = Route(ok(), mode="shadow")
    headers = [(b"user-agent", b"x"), (b"if-none-match", b'"1"')]
    for _ in range(2):
        response = await route.get(*headers)
        assert (response.status, response.body, response.header(b"cache-status")) == (200, b"games", None)
        assert route.upstream.seen[-1].headers == headers
        assert route.status == ""
    assert route.upstream.calls == 2
    assert route.last.decisions == [("cache", "would_hit", "")]
    for more in ({"method": "PUT"}, {"method": "HEAD", "target": "/head"}):
        await route.get(**more)
        assert route.last.decisions == []
    await route.get(control(b"no-store"))
    await route.get(target="/x", forward=Upstream(ok(b"", control(b"no-store"))))
    await route.get(target="/y", forward=Upstream(ok(b"", control(b"max-age=0"))))
    assert len(route.services.stores.answers) == 1


async def test_a_hit_is_cheap():
    route = Route(ok(b"x" * 1000))
    headers = [(b"accept", b"*/*"), (b"accept-encoding", b"gzip"), (b"user-agent", b"x"), (b"x-brand", b"b")]
    await route.get(*headers)
    exchanges = [make_exchange(headers=headers) for _ in range(2000)]
    for exchange in exchanges:
        exchange.target = "/v1/games"
    started = perf_counter_ns()
    for exchange in exchanges:
        await route.policy(exchange, route.upstream)
    microseconds = (perf_counter_ns() - started) / len(exchanges) / 1000
    assert route.upstream.calls == 1
    assert microseconds < 100  # 8 on a quiet machine; far above it means that something was computed per call


# Telling


async def test_it_says_itself():
    config = CacheConfig.model_validate({"ttl": "5m", "stale_while_revalidate": "1m", "stale_if_error": "1h"})
    assert config.describe() == (
        "keeps answers to GET for 5m unless they say how long, gives stale ones for 1m"
        " while it fetches newer ones, and for 1h when the call fails"
    )
    override = CacheConfig.model_validate({"override": True, "methods": ["GET", "POST"]})
    assert override.describe() == "keeps answers to GET and POST for 1m whatever they say"


async def test_it_foresees_from_what_it_holds():
    route = Route(ok())
    exchange = make_exchange()
    exchange.target = "/v1/games"

    async def foresee():
        return await route.config.foresee(exchange, route.services)

    assert (await foresee()).startswith("answers from memory what it holds by then, else passes it on")
    await route.get()
    route.later(10)
    assert await foresee() == "would answer from memory: fresh for another 50s"
    route.later(60)
    assert await foresee() == "holds a stale answer, 70s old, so asks the provider whether it still holds"
    exchange.method = "PUT"
    assert await foresee() == "passes it by: this call's answers are not kept"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"methods": ["PUT"]}, "Input should be"),
        ({"methods": []}, "at least 1"),
        ({"key": {"headers": ["Authorization"]}}, "cannot be keyed"),
        ({"key": {"headers": ["Host"]}}, "always keyed"),
        ({"max_entry": 0}, "greater than 0"),
        ({"max_entry": "2KiB", "max_bytes": "1KiB"}, "does not fit into 1KiB"),
    ],
)
def test_what_yaml_must_not_say(fields, message):
    with pytest.raises(ValidationError, match=message):
        CacheConfig.model_validate(fields)


def test_the_largest_entry_gives_way_in_silence_where_it_was_not_given():
    assert CacheConfig.model_validate({"max_bytes": "1KiB"}).max_bytes == 1024


async def test_an_answer_from_further_caches_keeps_its_own_word():
    route = Route(ok(b"", (b"cache-status", b"origin; hit")))
    assert (await route.get()).header(b"cache-status") == b"origin; hit, gateway; fwd=uri-miss; stored"
    assert (await route.get()).header(b"cache-status") == b"gateway; hit; ttl=60"
