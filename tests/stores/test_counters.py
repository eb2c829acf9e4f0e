"""Counters in memory: exact where they promise it, bounded, cheap."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from copy import deepcopy
from itertools import chain
from typing import Any

import limits
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stores import Stores
from gateway.stores.counters import (
    MAX_KEYS,
    FixedWindow,
    Limit,
    SlidingWindow,
    Strategy,
    TokenBucket,
    local_counter,
)
from gateway.units import Rate

STRATEGIES: list[Strategy] = ["fixed_window", "sliding_window", "token_bucket"]


def limit(text: str, strategy: Strategy = "fixed_window", burst: int | None = None) -> Limit:
    rate = Rate.parse(text)
    return Limit(rate, strategy, burst or rate.amount)


@pytest.mark.parametrize("text", ["100/second", "1/minute", "5/10minute", "1000/hour", "7/day"])
def test_rates_mean_what_they_mean_to_limits(text: str) -> None:
    item, rate = limits.parse(text), Rate.parse(text)
    assert (item.amount, item.get_expiry()) == (rate.amount, rate.seconds)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_limit_holds_and_is_whole_again_when_it_says(strategy: Strategy) -> None:
    counter = local_counter(limit("3/second", strategy))
    assert [counter.hit("a", 10.0)[0] for _ in range(4)] == [2, 1, 0, -1]
    assert counter.hit("b", 10.0)[0] == 2
    left, wait = counter.hit("a", 10.0)
    assert left == -1
    assert counter.hit("a", 10.0 + wait + 1e-6)[0] >= 0
    assert counter.hit("a", 10.0 + 5)[0] == 2


def test_a_fixed_window_begins_with_the_first_call() -> None:
    counter = FixedWindow(limit("2/minute"))
    assert counter.hit("a", 100.0) == (1, 60.0)
    assert counter.hit("a", 130.0) == (0, 30.0)
    assert counter.hit("a", 159.0) == (-1, 1.0)
    assert counter.hit("a", 160.0) == (1, 60.0)


def test_a_sliding_window_remembers_the_one_before() -> None:
    counter = SlidingWindow(limit("10/minute", "sliding_window"))
    for _ in range(10):
        assert counter.hit("a", 0.0)[0] >= 0
    left, wait = counter.hit("a", 30.0)
    assert (left, round(wait, 2)) == (-1, 30.0)
    assert counter.hit("a", 60.0)[0] == -1  # all of the last window still counts
    assert counter.hit("a", 65.0)[0] == 0  # a twelfth of it has faded
    left, wait = counter.hit("a", 65.0)
    assert left == -1
    assert counter.hit("a", 65.0 + wait)[0] == 0
    assert counter.hit("a", 250.0)[0] == 9


@given(
    amount=st.integers(1, 20),
    seconds=st.sampled_from([1, 3, 7, 60]),
    burst=st.integers(1, 30),
    gaps_ms=st.lists(st.integers(0, 5_000), max_size=60),
)
def test_the_token_bucket_is_exact(amount: int, seconds: int, burst: int, gaps_ms: list[int]) -> None:
    counter = TokenBucket(Limit(Rate(amount, seconds, ""), "token_bucket", burst))
    # The model counts in thousandths of a token per amount: whole numbers only.
    unit = seconds * 1000
    tokens, clock_ms = burst * unit, 0
    for gap in gaps_ms:
        clock_ms += gap
        tokens = min(burst * unit, tokens + gap * amount)
        left, after = counter.hit("k", clock_ms / 1000 + 1e-10)
        if tokens >= unit:
            tokens -= unit
            assert left == tokens // unit
            assert after == pytest.approx((unit - tokens % unit) / amount / 1000, abs=1e-6)
        else:
            assert left == -1
            assert after == pytest.approx((unit - tokens) / amount / 1000, abs=1e-6)


@pytest.mark.interpreted
@given(
    strategy=st.sampled_from(STRATEGIES),
    amount=st.integers(1, 12),
    seconds=st.sampled_from([1, 7, 60]),
    burst=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 2.5), min_size=1, max_size=40),
)
def test_until_the_time_told_there_is_no_more_than_told_and_then_there_is(
    strategy: Strategy, amount: int, seconds: int, burst: int, gaps: list[float]
) -> None:
    rule = Limit(Rate(amount, seconds, ""), strategy, burst if strategy == "token_bucket" else 0)
    counter, now = local_counter(rule), 100.0
    for gap in gaps:
        now += gap * seconds / amount
        left, wait = counter.hit("k", now)
        assert left < rule.quota
        assert wait + 1e-9 >= 0
        assert wait <= rule.window_seconds + 0.0011
        there = max(left, 0)
        if wait > 0.003:
            earlier = deepcopy(counter).hit("k", now + wait - 0.002)
            assert earlier[0] == there - 1, "this call took one, and none had come"
        later = deepcopy(counter).hit("k", now + wait + 1e-6)
        assert later[0] >= there, "this call took one, and yet there are as many"


@pytest.mark.parametrize(
    ("text", "strategy", "burst", "quota", "window"),
    [
        ("100/second", "fixed_window", 0, 100, 1),
        ("5/10minute", "sliding_window", 0, 5, 600),
        ("100/second", "token_bucket", 100, 100, 1),
        ("100/second", "token_bucket", 250, 250, 3),  # two and a half, rounded up
        ("100/second", "token_bucket", 1, 1, 1),
        ("1/day", "token_bucket", 3, 3, 3 * 86_400),
    ],
)
def test_the_quota_and_its_window(text: str, strategy: Strategy, burst: int, quota: int, window: int) -> None:
    rule = Limit(Rate.parse(text), strategy, burst)
    assert (rule.quota, rule.window_seconds) == (quota, window)


@given(
    strategy=st.sampled_from(STRATEGIES),
    calls=st.lists(st.tuples(st.floats(0, 1.5), st.sampled_from("ab")), max_size=80),
)
def test_no_strategy_lets_more_pass_in_a_period_than_twice_its_rate(
    strategy: Strategy, calls: list[tuple[float, str]]
) -> None:
    counter = local_counter(limit("5/second", strategy))
    now, passed = 100.0, []
    for gap, key in calls:
        now += gap
        if counter.hit(key, now)[0] >= 0:
            passed.append((key, now))
    for key, start in passed:
        assert sum(k == key and start <= at < start + 1 for k, at in passed) <= 10


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_memory_is_bounded_whatever_the_number_of_keys(strategy: Strategy) -> None:
    counter = local_counter(limit("5/minute", strategy), max_keys=1000)
    for now in (50.0, 111.0):  # one window, and the next, which a sliding window keeps beside it
        for number in range(20_000):
            counter.hit(f"key-{number}", now)
        assert len(counter) <= 1000  # type: ignore[arg-type]


def held(counter: Any) -> int:
    """Bytes of a counter's tables, of their keys, and of the numbers that Python does not share."""
    tables = [table for table in gc.get_referents(counter) if isinstance(table, dict)]
    numbers = (number for table in tables for number in table.values() if number > 256)
    return sum(sum(map(sys.getsizeof, things)) for things in (tables, chain.from_iterable(tables), numbers))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_million_keys_fit_and_more_of_them_cost_no_more(strategy: Strategy) -> None:
    """With production's cap. Whoever looks for the oldest key among so many is too slow to end in time."""
    counter = local_counter(limit("5/minute", strategy))
    bound = MAX_KEYS * (200 if strategy == "token_bucket" else 150)
    for begin, now in ((0, 50.0), (MAX_KEYS, 111.0)):
        for number in range(begin, begin + MAX_KEYS):
            counter.hit(f"203.0.{number}", now)
        assert len(counter) <= MAX_KEYS  # type: ignore[arg-type]
        assert held(counter) < bound, f"{held(counter) / MAX_KEYS:.0f} bytes for each key of the cap"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_busy_key_survives_a_flood_of_others(strategy: Strategy) -> None:
    counter = local_counter(limit("1/minute", strategy), max_keys=1000)
    assert counter.hit("busy", 50.0)[0] == 0
    for number in range(400):
        counter.hit(f"key-{number}", 50.0)
    assert counter.hit("busy", 50.0)[0] == -1


def test_keys_that_gave_way_move_back_when_touched() -> None:
    counter = FixedWindow(limit("3/minute"), max_keys=4)
    counter.hit("a", 50.0)
    counter.hit("b", 50.0)
    counter.hit("c", 50.0)
    assert counter.hit("a", 50.0)[0] == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_a_key_costs(strategy: Strategy) -> None:
    """The docstring of MAX_KEYS promises these figures."""
    tracemalloc.start()
    counter = local_counter(limit("5/minute", strategy))
    for number in range(50_000):
        counter.hit(f"203.0.{number}", 50.0)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size / 50_000 < (210 if strategy == "token_bucket" else 170)


def test_idle_keys_are_forgotten() -> None:
    counter = TokenBucket(limit("5/second", "token_bucket"))
    for second in range(10):
        for number in range(100):
            counter.hit(f"{second}-{number}", 50.0 + 1.5 * second)
    assert len(counter) <= 200


async def test_memory_has_nothing_shared_and_closes() -> None:
    stores = Stores()
    assert stores.counters.shared is None
    await stores.counters.close()
