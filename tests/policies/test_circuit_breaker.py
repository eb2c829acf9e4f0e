"""Stops calling an upstream that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from gateway.chain import chain
from gateway.circuit import Circuits
from gateway.errors import Refused, Sent, UpstreamError
from gateway.exchange import Attempt, Exchange, Outcome, Response
from gateway.policies.circuit_breaker import CircuitBreakerConfig
from gateway.policy import Policy
from gateway.services import FakeClock, RouteFacts, Services
from gateway.stream import Stream
from tests.support import Upstream, make_exchange, make_services

TIMEOUT = UpstreamError("UPSTREAM_TIMEOUT", "late", sent=Sent.UNKNOWN, reason="response_timeout")


def config(**fields: object) -> CircuitBreakerConfig:
    return CircuitBreakerConfig.model_validate({"failures": 2, "reset_after": "30s", **fields})


def advance(services: Services, seconds: float) -> None:
    assert isinstance(services.clock, FakeClock)
    services.clock.advance(seconds)


async def fail(policy: Policy, times: int = 2) -> None:
    for _ in range(times):
        with pytest.raises(UpstreamError):
            await policy(make_exchange(), Upstream(TIMEOUT))


async def is_open(policy: Policy) -> bool:
    """Asked without leaving a result behind."""
    try:
        await policy(make_exchange(), Upstream(Refused("FORBIDDEN")))
    except Refused as refusal:
        return refusal.code == "CIRCUIT_OPEN"
    raise AssertionError


async def answer(policy: Policy, response: Response, outcome: Outcome = Outcome.COMPLETE) -> None:
    (await policy(make_exchange(), Upstream(response))).finish(outcome)


async def test_it_opens_probes_and_closes() -> None:
    services = make_services()
    policy = config().build(services)
    await fail(policy)
    exchange, upstream = make_exchange(), Upstream()
    advance(services, 10)
    with pytest.raises(Refused) as refused:
        await policy(exchange, upstream)
    assert (refused.value.code, refused.value.retry_after, upstream.calls) == ("CIRCUIT_OPEN", 20, 0)
    assert exchange.decisions == [("circuit_breaker", "refused", "open")]
    advance(services, 20)
    probe = await policy(make_exchange(), Upstream())
    assert await is_open(policy)
    probe.finish(Outcome.COMPLETE)
    assert not await is_open(policy)
    samples = {name: dict(values) for name, _, _, _, values in services.metrics.snapshot()}
    assert samples["gateway_circuit_state"] == {
        ("upstream", "", "closed"): 1, ("upstream", "", "open"): 0, ("upstream", "", "half-open"): 0,
    }  # fmt: skip
    assert sum(samples["gateway_circuit_transitions_total"].values()) == 3  # type: ignore[arg-type]


async def test_a_temporary_answer_counts_and_a_business_answer_never() -> None:
    policy = config().build(make_services())
    for _ in range(5):
        response = Response(500)
        response.kind = "business"
        await answer(policy, response)
        await answer(policy, Response(404))
    assert not await is_open(policy)
    for _ in range(2):
        await answer(policy, Response(503))
    assert await is_open(policy)


async def test_a_body_that_breaks_off_counts_and_a_caller_who_leaves_does_not() -> None:
    policy = config().build(make_services())
    for _ in range(5):
        await answer(policy, Response(200), Outcome.CANCELLED)
        with pytest.raises(asyncio.CancelledError):
            await policy(make_exchange(), Upstream(asyncio.CancelledError()))
    assert not await is_open(policy)
    for _ in range(2):
        await answer(policy, Response(200), Outcome.FAILED)
    assert await is_open(policy)


async def test_an_answer_that_another_policy_replaced_was_an_answer() -> None:
    policy = config().build(make_services())
    await fail(policy, 1)
    await answer(policy, Response(200), Outcome.DISCARDED)
    await fail(policy, 1)
    assert not await is_open(policy)


async def test_a_kept_connection_that_was_closed_says_nothing() -> None:
    policy = config().build(make_services())
    stale = UpstreamError("UPSTREAM_UNREACHABLE", "", sent=Sent.UNKNOWN, reason="stale")
    for _ in range(5):
        with pytest.raises(UpstreamError):
            await policy(make_exchange(), Upstream(stale))
    assert not await is_open(policy)


async def test_slow_is_failed() -> None:
    services = make_services()
    policy = config(slow_call="2s").build(services)

    async def slow(_: Exchange) -> Response:
        advance(services, 2)
        return Response(200)

    for _ in range(2):
        await policy(make_exchange(), slow)
    assert await is_open(policy)


class _Tunnel:
    async def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


async def test_a_conversation_has_succeeded_when_it_begins() -> None:
    policy = config().build(make_services())
    await fail(policy, 1)
    response = Response(101)
    response.tunnel = _Tunnel()  # type: ignore[assignment]
    await policy(make_exchange(), Upstream(response))
    await fail(policy, 1)
    assert not await is_open(policy)


@pytest.mark.parametrize("per", ["upstream", "target"])
@pytest.mark.parametrize("stream", [True, False])
async def test_nobody_waits_for_the_end_of_a_probe_that_may_never_end(per: str, stream: bool) -> None:
    async def upstream(exchange: Exchange) -> Response:
        if exchange.admit_target is not None and not exchange.admit_target("t"):
            raise Refused("CIRCUIT_OPEN")
        exchange.attempts.append(Attempt("t", "", 0))
        if not answers:
            exchange.attempts[-1].error = "response_timeout"
            raise TIMEOUT
        return answers[0]

    services = make_services(route=RouteFacts(stream=stream))
    policy = config(per=per).build(services)
    answers: list[Response] = []
    for _ in range(2):
        with pytest.raises(UpstreamError):
            await policy(make_exchange(), upstream)
    advance(services, 30)
    answers.append(Response(200, [], Stream()))
    await policy(make_exchange(), upstream)
    if stream:
        assert (await policy(make_exchange(), upstream)).status == 200
    else:
        with pytest.raises(Refused):
            await policy(make_exchange(), upstream)


async def test_it_survives_a_reload_and_routes_to_one_upstream_share_it() -> None:
    services = make_services(route=RouteFacts(name="a", upstream="aurora"))
    await fail(config().build(services))
    services.state.begin()
    assert await is_open(config().build(services))
    other = Services(control=services.control, stores=None, clock=services.clock, state=services.state,
                     metrics=services.metrics, route=RouteFacts(name="b", upstream="aurora"))  # fmt: skip
    assert await is_open(config().build(other))
    services.state.commit()
    assert not await is_open(config(failures=3).build(other))


@pytest.mark.parametrize("per", ["upstream", "target"])
async def test_in_shadow_it_only_tells(per: str) -> None:
    shadow = config(mode="shadow", per=per)
    services = make_services()
    upstream = Balanced("http://a")
    forward = chain([(shadow, shadow.build(services))], upstream)
    upstream.down = {"http://a"}
    for _ in range(2):
        with pytest.raises(UpstreamError):
            await forward(make_exchange())
    upstream.down = set()
    exchange = make_exchange()
    assert (await forward(exchange)).status == 200
    assert [decision[:2] for decision in exchange.decisions] == [("circuit_breaker", "would_refuse")]


class Balanced:
    """An upstream with targets, that asks for admission as balancing does."""

    def __init__(self, *targets: str) -> None:
        self.targets = targets
        self.down: set[str] = set()
        self.response: Callable[[], Response] = lambda: Response(200)
        self.stale = 0

    async def __call__(self, exchange: Exchange) -> Response:
        for target in self.targets:
            if exchange.admit_target is None or exchange.admit_target(target):
                break
        else:
            raise Refused("CIRCUIT_OPEN", "no target may be called")
        for _ in range(self.stale):
            attempt = Attempt(target, "", 0)
            attempt.error = "stale"
            exchange.attempts.append(attempt)
        attempt = Attempt(target, "", 0)
        exchange.attempts.append(attempt)
        await asyncio.sleep(0)
        if target in self.down:
            attempt.error = "refused"
            raise UpstreamError("UPSTREAM_UNREACHABLE", "", sent=Sent.NO, reason="refused")
        response = self.response()
        attempt.status = response.status
        return response


async def call(policy: Policy, forward: Balanced) -> str:
    """The target that answered, or the code of the error."""
    exchange = make_exchange()
    try:
        (await policy(exchange, forward)).finish(Outcome.COMPLETE)
    except (UpstreamError, Refused) as error:
        assert exchange.admit_target is None
        return error.code
    return exchange.attempts[-1].target


async def test_one_bad_target_is_left_out_and_probed() -> None:
    services = make_services()
    policy = config(per="target").build(services)
    upstream = Balanced("a", "b")
    upstream.down = {"a"}
    assert [await call(policy, upstream) for _ in range(4)] == ["UPSTREAM_UNREACHABLE"] * 2 + ["b", "b"]
    upstream.down = set()
    advance(services, 30)
    assert [await call(policy, upstream) for _ in range(2)] == ["a", "a"]


async def test_with_no_target_left_the_call_is_refused_with_the_time_of_the_next_probe() -> None:
    services = make_services()
    policy = config(per="target").build(services)
    upstream = Balanced("a", "b")
    upstream.down = {"a", "b"}
    for _ in range(4):
        await call(policy, upstream)
        advance(services, 1)
    exchange = make_exchange()
    with pytest.raises(Refused) as refused:
        await policy(exchange, upstream)
    assert (refused.value.code, refused.value.retry_after) == ("CIRCUIT_OPEN", 27)
    assert exchange.decisions == [("circuit_breaker", "refused", "every target")]


async def test_a_retry_further_in_is_judged_try_by_try() -> None:
    services = make_services()
    policy = config(per="target").build(services)
    upstream = Balanced("a", "b")
    upstream.down = {"a"}

    async def twice(exchange: Exchange) -> Response:
        for _ in range(2):
            with pytest.raises(UpstreamError):
                await upstream(exchange)
        return await upstream(exchange)

    response = await policy(make_exchange(), twice)  # type: ignore[arg-type]
    response.finish(Outcome.COMPLETE)
    assert await call(policy, upstream) == "b"
    (circuits,) = [kept for kept in services.state._kept.values() if isinstance(kept, Circuits)]
    assert [circuit["state"] for circuit in circuits.snapshot().values()] == ["open", "closed"]


async def test_a_second_connection_to_the_same_target_is_one_try() -> None:
    policy = config(per="target").build(make_services())
    upstream = Balanced("a")
    upstream.stale = 1
    assert [await call(policy, upstream) for _ in range(5)] == ["a"] * 5
    upstream.response = lambda: Response(503)
    assert [await call(policy, upstream) for _ in range(3)] == ["a", "a", "CIRCUIT_OPEN"]


async def test_tries_that_nobody_asked_admission_for_are_not_judged() -> None:
    policy = config(per="target", failures=1).build(make_services())
    upstream = Balanced("a")

    async def elsewhere(exchange: Exchange) -> Response:
        for target in ("x", "y"):
            attempt = Attempt(target, "", 0)
            attempt.error = "refused"
            exchange.attempts.append(attempt)
        raise TIMEOUT

    with pytest.raises(UpstreamError):
        await policy(make_exchange(), elsewhere)
    assert await call(policy, upstream) == "a"


async def test_places_of_probes_not_used_are_given_back() -> None:
    services = make_services()
    policy = config(per="target", failures=1).build(services)
    upstream = Balanced("a")
    upstream.down = {"a"}
    await call(policy, upstream)
    upstream.down = set()
    advance(services, 30)

    async def asks_only(exchange: Exchange) -> Response:
        assert exchange.admit_target is not None
        assert exchange.admit_target("a")
        assert exchange.admit_target("a")  # asked again, it is the same admission
        return Response(200)

    await policy(make_exchange(), asks_only)

    async def leaves(exchange: Exchange) -> Response:
        await upstream(exchange)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await policy(make_exchange(), leaves)

    async def leaves_at_once(exchange: Exchange) -> Response:
        raise asyncio.CancelledError

    async def refused_after(exchange: Exchange) -> Response:
        await upstream(exchange)
        raise Refused("FORBIDDEN")

    async def refused_at_once(exchange: Exchange) -> Response:
        raise Refused("FORBIDDEN")

    async def breaks_at_once(exchange: Exchange) -> Response:
        raise TIMEOUT

    with pytest.raises(asyncio.CancelledError):
        await policy(make_exchange(), leaves_at_once)
    for forward in (refused_after, refused_at_once):
        with pytest.raises(Refused, match="FORBIDDEN"):
            await policy(make_exchange(), forward)
    with pytest.raises(UpstreamError):
        await policy(make_exchange(), breaks_at_once)
    assert await call(policy, upstream) == "a"


async def test_operators_may_hold_it() -> None:
    services = make_services()
    policy = config().build(services)
    (circuits,) = [kept for kept in services.state._kept.values() if isinstance(kept, Circuits)]
    circuits.force_open()
    assert await is_open(policy)
    circuits.force_close()
    await fail(policy, 5)
    assert not await is_open(policy)
    circuits.reset()
    await fail(policy)
    assert await is_open(policy)
    assert repr(circuits) == "<Circuits of upstream: {'': <Circuit open, 0 failures in a row>}>"


@pytest.mark.parametrize("field", ["window", "reset_after", "slow_call"])
def test_times_are_more_than_zero(field: str) -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        config(**{field: "0s"})


def test_a_breaker_that_can_never_open_is_refused() -> None:
    with pytest.raises(ValidationError, match="never open"):
        config(failures=None)
    assert config(failures=None, failure_rate="50%").failures is None


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "stops calling the upstream after 2 failures in a row within 10s, and probes it after 30s"),
        (
            {"failure_rate": "50%", "slow_call": "2s", "per": "target"},
            (
                "stops calling a target after 2 failures in a row within 10s or 50% of 20 or more calls "
                "failed in 10s, counting answers after 2s as failures, and probes it after 30s"
            ),
        ),
    ],
)
def test_it_says_itself(fields: dict[str, object], sentence: str) -> None:
    assert config(**fields).describe() == sentence


async def test_it_foresees() -> None:
    assert (
        await config().foresee(make_exchange(), make_services()) == "passes it on while the circuit is closed"
    )
