from __future__ import annotations

import asyncio

from gateway.upstream.deadlines import NEVER, Deadlines


def make() -> tuple[Deadlines, list[str], asyncio.Event]:
    fired: list[str] = []
    event = asyncio.Event()

    def due(which: str) -> None:
        fired.append(which)
        event.set()

    return Deadlines(asyncio.get_running_loop(), due), fired, event


async def test_the_earliest_fires() -> None:
    deadlines, fired, event = make()
    now = asyncio.get_running_loop().time()
    for which in ("total", "idle", "response"):
        deadlines.clear()
        deadlines.response = deadlines.idle = deadlines.total = now + 5
        setattr(deadlines, which, now + 0.01)
        event.clear()
        deadlines.watch()
        await asyncio.wait_for(event.wait(), 5)
    assert fired == ["total", "idle", "response"]
    deadlines.stop()


async def test_a_moment_that_moved_back_moves_the_timer_when_it_fires() -> None:
    deadlines, fired, event = make()
    loop = asyncio.get_running_loop()
    deadlines.response = loop.time() + 0.01
    deadlines.watch()
    deadlines.response = loop.time() + 0.05
    deadlines.watch()
    await asyncio.sleep(0.02)
    assert fired == []
    assert "response 0.0" in repr(deadlines)
    await asyncio.wait_for(event.wait(), 5)
    assert fired == ["response"]


async def test_a_new_call_sets_them_all() -> None:
    deadlines, fired, event = make()
    now = asyncio.get_running_loop().time()
    deadlines.idle = now - 1
    for which, response, total in (("response", now + 0.01, NEVER), ("total", NEVER, now + 0.02)):
        event.clear()
        deadlines.begin(response=response, total=total)
        await asyncio.wait_for(event.wait(), 5)
        assert fired[-1] == which
        assert deadlines.idle == NEVER
    assert fired == ["response", "total"]


async def test_nothing_fires_after_the_end() -> None:
    deadlines, fired, _ = make()
    loop = asyncio.get_running_loop()
    deadlines.total = loop.time() + 0.005
    deadlines.watch()
    deadlines.clear()
    await asyncio.sleep(0.01)
    deadlines.total = loop.time() + 0.005
    deadlines.watch()
    deadlines.stop()
    deadlines.stop()
    assert deadlines.total == NEVER
    await asyncio.sleep(0.01)
    assert fired == []
