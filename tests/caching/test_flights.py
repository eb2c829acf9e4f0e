from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.caching.flights import Flights


class Work:
    """A fetch that ends when told to, and knows how often it was begun."""

    def __init__(self) -> None:
        self.begun: list[asyncio.Future[str]] = []

    async def __call__(self) -> str:
        future = asyncio.get_running_loop().create_future()
        self.begun.append(future)
        return await future


async def turn(times=4):
    for _ in range(times):
        await asyncio.sleep(0)


async def start(flights, work, count):
    tasks = [asyncio.create_task(flights.run("key", work)) for _ in range(count)]
    await turn()
    return tasks


async def test_one_fetches_and_all_have_it():
    flights, work = Flights(), Work()
    tasks = await start(flights, work, 5)
    assert "key" in flights
    assert len(flights) == 1
    work.begun[0].set_result("it")
    assert await asyncio.gather(*tasks) == [("it", True), *[("it", False)] * 4]
    assert len(flights) == 0


async def test_an_error_is_everybodys():
    flights, work = Flights(), Work()
    tasks = await start(flights, work, 500)
    error = ValueError("no")
    work.begun[0].set_exception(error)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(result is error for result in results)
    assert len(work.begun) == 1
    depth, frame = 0, error.__traceback__
    while frame is not None:
        depth, frame = depth + 1, frame.tb_next
    assert depth < 10  # not a frame for each of the 500


async def test_a_cancelled_leader_is_followed_by_exactly_one():
    flights, work = Flights(), Work()
    tasks = await start(flights, work, 4)
    tasks[1].cancel()
    tasks[0].cancel()
    await turn()
    assert len(work.begun) == 2
    work.begun[1].set_result("it")
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[2:] == [("it", True), ("it", False)]


async def test_told_to_take_over_and_cancelled_at_once_passes_it_on():
    flights, work = Flights(), Work()
    tasks = await start(flights, work, 3)
    tasks[0].cancel()
    await asyncio.sleep(0)  # the leader has gone, the first follower is told, and has not run yet
    tasks[1].cancel()
    await turn()
    work.begun[-1].set_result("it")
    assert await tasks[2] == ("it", True)
    assert len(flights) == 0
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_landed_and_cancelled_at_once_is_cancelled():
    flights, work = Flights(), Work()
    tasks = await start(flights, work, 2)
    work.begun[0].set_result("it")
    await asyncio.sleep(0)
    tasks[1].cancel()
    assert await tasks[0] == ("it", True)
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert len(flights) == 0


async def test_when_all_leave_nothing_stays():
    flights, work = Flights(), Work()
    tasks = await start(flights, work, 5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(flights) == 0


steps = st.lists(
    st.one_of(
        st.just(("join", 0)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.just(("turn", 0)),
        st.sampled_from([("land", 0), ("fail", 0)]),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_under_any_cancellation_one_fetches_at_a_time_and_nobody_is_left_waiting(script):
    async def play():
        flights, tasks = Flights(), []
        active = most = 0
        current: list[asyncio.Future[str]] = []

        async def work():
            nonlocal active, most
            active += 1
            most = max(most, active)
            future = asyncio.get_running_loop().create_future()
            current.append(future)
            try:
                return await future
            finally:
                active -= 1

        def end(error):
            for future in current:
                if not future.done():
                    future.set_exception(ValueError()) if error else future.set_result("it")

        for step, number in script:
            if step == "join":
                tasks.append(asyncio.create_task(flights.run("key", work)))
            elif step == "cancel" and tasks:
                tasks[number % len(tasks)].cancel()
            elif step == "turn":
                await asyncio.sleep(0)
            elif step in ("land", "fail"):
                end(step == "fail")
        for _ in range(3 * len(tasks) + 3):
            await asyncio.sleep(0)
            end(error=False)
        assert all(task.done() for task in tasks)
        assert most <= 1
        assert active == len(flights) == 0
        for task in tasks:
            if not task.cancelled() and task.exception() is None:
                assert task.result()[0] == "it"

    asyncio.run(play())
