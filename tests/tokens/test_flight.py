"""Many ask, one goes."""

import asyncio

import pytest

from gateway.tokens.flight import Flights


async def test_a_flight_that_is_cancelled_leaves_the_way_free():
    flights: Flights[int] = Flights()

    async def fly() -> int:
        await asyncio.sleep(60)
        return 1

    async def land() -> int:
        return 2

    task = flights.start("key", fly)
    assert "key" in flights
    assert len(flights) == 1
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flights.join("key", fly)
    assert await flights.join("key", land) == 2
