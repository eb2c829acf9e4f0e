"""So many calls at once."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.chain import chain
from gateway.consumers import Consumer
from gateway.errors import Refused, Sent, UpstreamError
from gateway.exchange import Exchange, Outcome, Response
from gateway.policies.concurrency import ConcurrencyConfig, Slots
from gateway.policy import Policy
from gateway.services import Clock
from tests.support import Upstream, make_exchange, make_services


def config(**fields: object) -> ConcurrencyConfig:
    return ConcurrencyConfig.model_validate({"max": 1, **fields})


def build(**fields: object) -> Policy:
    return config(**fields).build(make_services(clock=Clock()))


async def held(policy: Policy, exchange: Exchange | None = None) -> Response:
    return await policy(exchange or make_exchange(), Upstream())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_slot_is_held_until_the_last_byte() -> None:
    policy = build()
    response = await held(policy)
    exchange = make_exchange()
    with pytest.raises(Refused) as refused:
        await held(policy, exchange)
    assert (refused.value.code, refused.value.retry_after) == ("BUSY", 0.5)
    assert exchange.decisions == [("concurrency", "refused", "queue_full")]
    response.finish(Outcome.COMPLETE)
    await held(policy)


@pytest.mark.parametrize(
    "error",
    [
        UpstreamError("UPSTREAM_TIMEOUT", "", sent=Sent.UNKNOWN),
        Refused("FORBIDDEN"),
        asyncio.CancelledError(),
    ],
)
async def test_an_error_frees_the_slot(error: BaseException) -> None:
    policy = build()
    for _ in range(3):
        with pytest.raises(type(error)):
            await policy(make_exchange(), Upstream(error))
    await held(policy)


async def test_those_who_wait_get_their_turn_in_order() -> None:
    policy = build(queue=3, wait="10s")
    response = await held(policy)
    order: list[int] = []

    async def call(number: int) -> Response:
        answer = await held(policy)
        order.append(number)
        return answer

    tasks = []
    for number in range(3):
        tasks.append(asyncio.ensure_future(call(number)))
        await settle()
    with pytest.raises(Refused):
        await held(policy)
    response.finish(Outcome.COMPLETE)
    for task in tasks:
        (await task).finish(Outcome.COMPLETE)
    assert order == [0, 1, 2]


async def test_waiting_ends() -> None:
    policy = build(queue=1, wait="10ms")
    response = await held(policy)
    exchange = make_exchange()
    with pytest.raises(Refused, match="BUSY"):
        await held(policy, exchange)
    assert exchange.decisions == [("concurrency", "refused", "wait")]
    response.finish(Outcome.COMPLETE)
    await held(policy)


async def test_nobody_waits_beyond_the_calls_deadline() -> None:
    policy = build(queue=1, wait="1h")
    await held(policy)
    exchange = make_exchange()
    exchange.deadline = Clock().now() + 0.01
    with pytest.raises(Refused, match="BUSY"):
        await held(policy, exchange)


async def test_a_caller_who_leaves_the_queue_frees_his_place() -> None:
    policy = build(queue=1, wait="10s")
    response = await held(policy)
    leaving = asyncio.ensure_future(held(policy))
    await settle()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    staying = asyncio.ensure_future(held(policy))
    await settle()
    response.finish(Outcome.COMPLETE)
    (await staying).finish(Outcome.COMPLETE)


async def test_a_slot_that_arrives_with_the_cancellation_is_passed_on() -> None:
    policy = build(queue=2, wait="10s")
    response = await held(policy)
    leaving, staying = (asyncio.ensure_future(held(policy)) for _ in range(2))
    await settle()
    response.finish(Outcome.COMPLETE)  # hands the slot to the first
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    (await staying).finish(Outcome.COMPLETE)


async def test_a_cancelled_waiter_is_skipped() -> None:
    policy = build(queue=2, wait="10s")
    response = await held(policy)
    leaving, staying = (asyncio.ensure_future(held(policy)) for _ in range(2))
    await settle()
    leaving.cancel()  # not yet run when the slot comes free
    response.finish(Outcome.COMPLETE)
    with pytest.raises(asyncio.CancelledError):
        await leaving
    (await staying).finish(Outcome.COMPLETE)


async def test_time_up_together_with_a_cancellation() -> None:
    slot = Slots(1, 1).of("")
    assert slot.take()
    waiter = asyncio.ensure_future(slot.wait(10))
    await settle()
    slot._give_up(slot._waiters[0])
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert (slot.in_flight, slot.waiting) == (1, 0)
    assert repr(slot) == "<Slot 1 of 1 in flight, 0 of 1 waiting>"


async def test_the_timer_of_a_call_that_has_its_turn_does_nothing() -> None:
    slot = Slots(1, 1).of("")
    assert slot.take()
    waiter = asyncio.ensure_future(slot.wait(10))
    await settle()
    turn = slot._waiters[0]
    slot.release()
    slot._give_up(turn)
    assert await waiter


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), most=st.integers(1, 4), queue=st.integers(0, 6))
def test_no_slot_leaks_under_any_mixture_of_ends(seed: int, most: int, queue: int) -> None:
    asyncio.run(_storm(seed, most, queue))


async def _storm(seed: int, most: int, queue: int) -> None:
    dice = random.Random(seed)
    built = make_services(clock=Clock())
    policy = config(max=most, queue=queue, wait="2ms").build(built)
    running = 0

    async def forward(exchange: Exchange) -> Response:
        nonlocal running
        running += 1
        assert running <= most
        try:
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            if dice.random() < 0.2:
                raise UpstreamError("UPSTREAM_INVALID", "", sent=Sent.YES)
            response = Response(200)
            running += 1
            response.on_end(ended)
            return response
        finally:
            running -= 1

    def ended(outcome: Outcome) -> None:
        nonlocal running
        running -= 1

    async def call() -> None:
        try:
            response = await policy(make_exchange(), forward)
        except (Refused, UpstreamError):
            return
        try:
            for _ in range(dice.randrange(3)):
                await asyncio.sleep(0)
        finally:
            response.finish(dice.choice(list(Outcome)))

    tasks = []
    for _ in range(40):
        tasks.append(asyncio.ensure_future(call()))
        if dice.random() < 0.3:
            dice.choice(tasks).cancel()
        if dice.random() < 0.5:
            await asyncio.sleep(0)
        if dice.random() < 0.1:
            await asyncio.sleep(0.002)
    await asyncio.gather(*tasks, return_exceptions=True)
    gauges = {name: values for name, _, _, _, values in built.metrics.snapshot()}
    assert gauges["gateway_concurrency_in_flight"] == [(("route", "route"), 0)]
    assert gauges["gateway_concurrency_waiting"] == [(("route", "route"), 0)]


async def test_callers_are_counted_apart_and_forgotten() -> None:
    policy = build(by="client")
    first = await held(policy, make_exchange(client="192.0.2.1"))
    await held(policy, make_exchange(client="192.0.2.2"))
    first.finish(Outcome.COMPLETE)
    await held(policy, make_exchange(client="192.0.2.1"))
    policy = build(by="consumer")
    exchange = make_exchange()
    exchange.consumer = Consumer(name="platform")
    await held(policy, exchange)
    await held(policy)
    slots = Slots(1, 0)
    for number in range(1000):
        slot = slots.of(str(number))
        assert slot.take()
        slot.release()
    assert not slots._keys


async def test_slots_survive_a_reload_and_an_upstreams_are_shared() -> None:
    built = make_services(clock=Clock())
    response = await held(config(by="upstream").build(built))
    built.state.begin()
    policy = config(by="upstream").build(built)
    built.state.commit()
    with pytest.raises(Refused):
        await held(policy)
    response.finish(Outcome.CANCELLED)
    await held(policy)


async def test_in_shadow_nobody_waits() -> None:
    shadow = config(mode="shadow", queue=1)
    built = make_services(clock=Clock())
    forward = chain([(shadow, shadow.build(built))], Upstream())
    decisions = []
    responses = []
    for _ in range(3):
        exchange = make_exchange()
        responses.append(await forward(exchange))
        decisions.append([decision for _, decision, _ in exchange.decisions])
    assert decisions == [[], ["would_wait"], ["would_refuse"]]
    for response in responses:
        response.finish(Outcome.COMPLETE)
    exchange = make_exchange()
    await forward(exchange)
    assert exchange.decisions == []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "caps calls in flight on this route at 1"),
        ({"queue": 9, "by": "client"}, "caps calls in flight per client at 1; 9 more may wait up to 500ms"),
        ({"by": "upstream"}, "caps calls in flight to the upstream, all routes together at 1"),
    ],
)
def test_it_says_itself(fields: dict[str, object], sentence: str) -> None:
    assert config(**fields).describe() == sentence


async def test_it_foresees() -> None:
    said = await config().foresee(make_exchange(), make_services())
    assert said == "passes it on unless 1 are in flight"


def test_a_queue_where_nobody_may_wait_is_refused() -> None:
    with pytest.raises(ValidationError, match="nobody may wait"):
        ConcurrencyConfig.model_validate({"max": 1, "queue": 1, "wait": "0s"})
    assert ConcurrencyConfig.model_validate({"max": 1, "wait": "0s"}).wait == 0
