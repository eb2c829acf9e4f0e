"""Tries again where that cannot apply a call twice."""

from __future__ import annotations

import asyncio
import contextlib
import random
from email.utils import formatdate

import pytest
from pydantic import ValidationError

from gateway.chain import chain
from gateway.errors import Native, Refused, Sent, UpstreamError
from gateway.exchange import Attempt, Exchange, Outcome, Response
from gateway.policies.retry import Backoff, RetryConfig, TransactionId
from gateway.services import FakeClock, RouteFacts, Services
from gateway.stream import Stream
from tests.support import Upstream, make_exchange, make_services


def config(**fields: object) -> RetryConfig:
    return RetryConfig.model_validate(fields)


def error(code: str = "UPSTREAM_TIMEOUT", sent: Sent = Sent.UNKNOWN) -> UpstreamError:
    return UpstreamError(code, "no answer", sent=sent, reason="reset")


OK = Response(200)


async def run(
    retry: RetryConfig, exchange: Exchange, *answers: object, services: Services | None = None
) -> Upstream:
    upstream = Upstream(*answers)  # type: ignore[arg-type]
    await retry.build(services or make_services())(exchange, upstream)
    return upstream


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_what_is_idempotent_is_tried_again(method: str) -> None:
    exchange = make_exchange(method)
    upstream = await run(config(), exchange, error(), Response(503), OK)
    assert upstream.calls == 3
    assert exchange.attributes == {"retry.count": 2}
    assert exchange.decisions == [("retry", "retried", "1: timeout"), ("retry", "retried", "2: temporary")]


async def test_the_upstreams_own_second_tries_are_paid_from_the_budget() -> None:
    """Each call is sent again at once, on a new connection: soon the budget has nothing left to give."""

    def reconnected(exchange: Exchange) -> Response:
        for error in ("stale", ""):
            attempt = Attempt("http://127.0.0.1:1", "1", 1)
            attempt.error, attempt.sent = error, Sent.UNKNOWN
            exchange.attempts.append(attempt)
        return Response(503)

    services = make_services()
    retry = config().build(services)
    upstream = Upstream(*[reconnected] * 1000)
    for _ in range(100):
        await retry(make_exchange(), upstream)
    assert upstream.calls <= 104, "ten were lent, and a call that is retried twice takes five"


async def test_it_gives_up_after_so_many_retries() -> None:
    upstream = Upstream(error())
    with pytest.raises(UpstreamError):
        await config(attempts=1).build(make_services())(make_exchange(), upstream)
    assert upstream.calls == 2
    upstream = Upstream(lambda _: Response(503))
    response = await config(attempts=1).build(make_services())(make_exchange(), upstream)
    assert (response.status, upstream.calls, response.ended) == (503, 2, None)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_what_is_not_is_tried_again_only_if_nothing_was_sent(method: str) -> None:
    for failure in (error(), error(sent=Sent.YES), Response(503)):
        upstream = Upstream(failure)
        with contextlib.suppress(UpstreamError):
            await config().build(make_services())(make_exchange(method), upstream)
        assert upstream.calls == 1
    upstream = await run(config(), make_exchange(method), error("UPSTREAM_UNREACHABLE", Sent.NO), OK)
    assert upstream.calls == 2


@pytest.mark.parametrize(
    ("where", "exchange"),
    [
        ({"header": "X-Transaction-Id"}, make_exchange("POST", headers=[(b"x-transaction-id", b"t1")])),
        ({"json": "/tx/id"}, make_exchange("POST", body=b'{"tx": {"id": "t1"}}')),
        ({"json": "/a~1b/0/~0"}, make_exchange("POST", body=b'{"a/b": [{"~": 17}]}')),
    ],
)
async def test_a_transaction_id_makes_a_post_safe(where: dict[str, str], exchange: Exchange) -> None:
    upstream = await run(config(transaction_id=where), exchange, error(), OK)
    assert upstream.calls == 2


@pytest.mark.parametrize(
    ("where", "exchange"),
    [
        ({"header": "X-Transaction-Id"}, make_exchange("POST")),
        ({"header": "X-Transaction-Id"}, make_exchange("POST", headers=[(b"x-transaction-id", b"")])),
        ({"json": "/id"}, make_exchange("POST", body=b"not json")),
        ({"json": "/id"}, make_exchange("POST", body=b'{"id": ""}')),
        ({"json": "/id"}, make_exchange("POST", body=b'{"id": true}')),
        ({"json": "/id"}, make_exchange("POST", body=b'{"id": null}')),
        ({"json": "/id"}, make_exchange("POST", body=b'["id"]')),
        ({"json": "/id/x"}, make_exchange("POST", body=b'{"id": 5}')),
        ({"json": "/id"}, make_exchange("POST", body=b"[" * 60_000)),
    ],
)
async def test_without_one_it_is_not(where: dict[str, str], exchange: Exchange) -> None:
    upstream = Upstream(error())
    with pytest.raises(UpstreamError):
        await config(transaction_id=where).build(make_services())(exchange, upstream)
    assert upstream.calls == 1


def test_the_transaction_id_is_in_one_place() -> None:
    for where in ({}, {"header": "X", "json": "/x"}):
        with pytest.raises(ValidationError, match="one of them"):
            config(transaction_id=where)
    assert str(TransactionId(header="X")) == "header X"


@pytest.mark.parametrize("kind", ["business", "final", "ok"])
async def test_an_answer_that_is_one_is_never_retried(kind: str) -> None:
    response = Response(500)
    response.kind = kind
    assert (await run(config(), make_exchange(), response)).calls == 1


@pytest.mark.parametrize("failure", [Refused("CIRCUIT_OPEN"), asyncio.CancelledError()])
async def test_refusals_and_cancellations_are_never_retried(failure: BaseException) -> None:
    upstream = Upstream(failure)
    with pytest.raises(type(failure)):
        await config().build(make_services())(make_exchange(), upstream)
    assert upstream.calls == 1


async def test_only_what_the_rule_names_is_retried() -> None:
    upstream = Upstream(error())
    with pytest.raises(UpstreamError):
        await config(on=["unreachable", "invalid"]).build(make_services())(make_exchange(), upstream)
    assert upstream.calls == 1
    assert (await run(config(on=["invalid"]), make_exchange(), error("UPSTREAM_INVALID"), OK)).calls == 2


async def test_the_failed_answer_is_given_up_before_the_next_try() -> None:
    failed = Response(503, [], Stream())
    ended: list[Outcome] = []
    failed.on_end(ended.append)
    await run(config(), make_exchange(), failed, OK)
    assert ended == [Outcome.DISCARDED]
    assert isinstance(failed.body, Stream)
    assert failed.body.closed


async def test_each_try_starts_from_what_came_in() -> None:
    seen: list[tuple[list[tuple[bytes, bytes]], object, str]] = []

    async def signs(exchange: Exchange) -> Response:
        seen.append((exchange.headers[:], exchange.body, exchange.target))
        exchange.headers.append((b"signature", b"s"))
        exchange.body, exchange.target = b"changed", "/changed"
        if len(seen) == 1:
            exchange.code, exchange.native = "TEMPORARY", Native("1", "later", 503)
            return Response(503)
        return OK

    exchange = make_exchange("PUT", body=b"body", headers=[(b"a", b"b")])
    exchange.target = "/games"
    await config().build(make_services())(exchange, signs)
    assert seen == [([(b"a", b"b")], b"body", "/games")] * 2
    assert (exchange.code, exchange.native) == ("", None)


async def test_a_small_streamed_body_is_kept_and_a_large_one_sent_once() -> None:
    small, large = Stream(), Stream()
    small.feed(b"x" * 1000)
    large.feed(b"x" * 70_000)
    small.end()
    large.end()
    assert (await run(config(), make_exchange("PUT", body=small), error(), OK)).calls == 2
    upstream = Upstream(error())
    exchange = make_exchange("PUT", body=large)
    with pytest.raises(UpstreamError):
        await config().build(make_services())(exchange, upstream)
    assert upstream.calls == 1
    assert await large.read_up_to(100_000) == (b"x" * 70_000, True)


async def test_streaming_routes_and_upgrades_are_sent_once() -> None:
    waiting = Stream()
    services = make_services(route=RouteFacts(stream=True))
    upgrade = make_exchange()
    upgrade.upgrade = True
    for exchange in (make_exchange("PUT", body=waiting), upgrade):
        upstream = Upstream(error())
        with pytest.raises(UpstreamError):
            await config().build(services)(exchange, upstream)
        assert upstream.calls == 1


async def test_it_backs_off_with_full_jitter() -> None:
    backoff, dice = Backoff(), random.Random(7)
    for retries, most in ((0, 0.05), (1, 0.1), (4, 0.8), (9, 1.0)):
        waits = [backoff.seconds(retries, dice) for _ in range(200)]
        assert 0 <= min(waits) < most * 0.1
        assert most * 0.9 < max(waits) <= most


@pytest.mark.parametrize(
    ("value", "waits"),
    [(b"2", 2.0), (b"later", 0.05), (b"Thu, 01 Jan 1970 00:00:00 GMT", 0.05), (b"", 0.05)],
)
async def test_it_heeds_retry_after(value: bytes, waits: float) -> None:
    services = make_services()
    before = services.clock.now()
    await run(config(), make_exchange(), Response(503, [(b"retry-after", value)]), OK, services=services)
    waited = services.clock.now() - before
    assert waited == 2 if waits == 2 else waited <= waits


async def test_it_reads_the_date_of_retry_after_and_does_not_wait_long() -> None:
    services = make_services()
    soon = formatdate(services.clock.time() + 1, usegmt=True).encode()
    before = services.clock.now()
    await run(config(), make_exchange(), Response(503, [(b"retry-after", soon)]), OK, services=services)
    assert 0.9 < services.clock.now() - before <= 1.1
    upstream = await run(config(), make_exchange(), Response(503, [(b"retry-after", b"60")]))
    assert upstream.calls == 1


async def test_it_stops_where_nobody_waits_any_more() -> None:
    services = make_services()
    exchange = make_exchange()
    exchange.deadline = services.clock.now() + 1
    response = Response(503, [(b"retry-after", b"1")])
    assert (await run(config(), exchange, response, services=services)).calls == 1
    assert exchange.decisions == [("retry", "no_time_left", "")]


async def test_an_origin_that_fails_everything_sees_less_than_a_fifth_more() -> None:
    services = make_services()
    upstream = Upstream(lambda _: Response(503))
    policy = config(attempts=5).build(services)
    for _ in range(1000):
        await policy(make_exchange(), upstream)
    assert 1150 < upstream.calls < 1200
    exhausted = services.metrics.counter("gateway_retry_budget_exhausted_total", "")
    assert exhausted.values[("route", "upstream")] > 700


async def test_the_budget_is_the_upstreams_and_survives_a_reload() -> None:
    services = make_services()
    upstream = Upstream(lambda _: Response(503))
    for _ in range(20):
        await config(attempts=1).build(services)(make_exchange(), upstream)
    assert upstream.calls == 30
    services.state.begin()
    other = Services(control=services.control, stores=None, clock=FakeClock(), state=services.state,
                     route=RouteFacts(name="other"))  # fmt: skip
    await config(attempts=2).build(other)(make_exchange(), upstream)
    assert upstream.calls == 31


@pytest.mark.parametrize(
    ("answers", "sent"),
    [
        ((error(sent=Sent.UNKNOWN), error("UPSTREAM_UNREACHABLE", Sent.NO)), Sent.UNKNOWN),
        ((Response(503), error("UPSTREAM_UNREACHABLE", Sent.NO)), Sent.YES),
        ((error("UPSTREAM_UNREACHABLE", Sent.NO), error(sent=Sent.UNKNOWN)), Sent.UNKNOWN),
        ((error(sent=Sent.UNKNOWN), Refused("CIRCUIT_OPEN")), Sent.UNKNOWN),
        ((Response(503), Refused("CIRCUIT_OPEN")), Sent.YES),
    ],
)
async def test_the_final_error_says_how_far_any_try_came(answers: tuple[object, ...], sent: Sent) -> None:
    with pytest.raises(UpstreamError) as failed:
        await run(config(attempts=1), make_exchange("PUT"), *answers)
    assert failed.value.sent is sent


async def test_leaving_during_the_wait_ends_it() -> None:
    class Forever(FakeClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.Event().wait()

    upstream = Upstream(Response(503), OK)
    task = asyncio.ensure_future(config().build(make_services(clock=Forever()))(make_exchange(), upstream))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert upstream.calls == 1


async def test_in_shadow_it_only_tells() -> None:
    shadow = config(mode="shadow")
    services = make_services()
    policy = shadow.build(services)
    for answer in (error(), Response(503), OK):
        upstream, exchange = Upstream(answer), make_exchange()
        try:
            await chain([(shadow, policy)], upstream)(exchange)
        except UpstreamError:
            assert answer is not OK
        assert upstream.calls == 1
        assert [decision for _, decision, _ in exchange.decisions] == (
            [] if answer is OK else ["would_retry"]
        )


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {},
            (
                "retries idempotent calls up to 2 times on unreachable, invalid, timeout, temporary, "
                "waiting up to 1s, within 20% of the calls"
            ),
        ),
        (
            {"attempts": 1, "on": ["timeout"], "transaction_id": {"json": "/id"}},
            (
                "retries idempotent calls and those with a transaction id in body field /id once on timeout, "
                "waiting up to 1s, within 20% of the calls"
            ),
        ),
    ],
)
def test_it_says_itself(fields: dict[str, object], sentence: str) -> None:
    assert config(**fields).describe() == sentence


async def test_it_foresees() -> None:
    services = make_services()
    assert await config().foresee(make_exchange(), services) == "would retry a failure up to 2 times"
    assert (
        await config().foresee(make_exchange("POST"), services)
        == "would retry only where nothing was sent: the call carries no transaction id"
    )
    by_field = config(transaction_id={"json": "/id"})
    said = await by_field.foresee(make_exchange("POST", body=Stream()), services)
    assert said.startswith("would retry only")
