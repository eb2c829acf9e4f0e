"""Who gets a connection, decided without sockets."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import Refused, UpstreamError
from gateway.upstream.pool import Pool

pytestmark = pytest.mark.interpreted


class FakeConnection:
    """What a pool asks of a connection."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.closed = False
        self.adopted = False
        self.good = True
        self.until = 0.0

    def fresh(self) -> bool:
        return self.good and not self.closed

    def rest(self, until: float) -> None:
        self.until = until

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.pool.closed(self)  # type: ignore[arg-type]


def make(size: int = 2) -> tuple[Pool, list[FakeConnection]]:
    opened: list[FakeConnection] = []

    async def connect(pool: Pool) -> FakeConnection:
        await asyncio.sleep(0)
        opened.append(FakeConnection(pool))
        return opened[-1]

    return Pool(size, 30.0, connect), opened  # type: ignore[arg-type]


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


@pytest.fixture(autouse=True)
def _accept_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.pool.Connection", FakeConnection)


async def test_the_one_used_last_goes_first() -> None:
    pool, _ = make(3)
    a, b = await pool.acquire(soon()), await pool.acquire(soon())
    pool.released(a)
    pool.released(b)
    assert repr(pool) == "<Pool 0 active, 2 idle, 0 waiting>"
    assert await pool.acquire(soon()) is b
    assert await pool.acquire(soon()) is a


async def test_one_that_is_not_fresh_is_closed_and_passed_over() -> None:
    pool, _ = make(1)
    a = await pool.acquire(soon())
    pool.released(a)
    a.good = False  # type: ignore[attr-defined]
    b = await pool.acquire(soon())
    assert b is not a
    assert a.closed
    assert repr(pool) == "<Pool 1 active, 0 idle, 0 waiting>"


async def test_the_line_is_served_in_order() -> None:
    pool, opened = make(1)
    a = await pool.acquire(soon())
    second, third = asyncio.ensure_future(pool.acquire(soon())), None
    await asyncio.sleep(0)
    with pytest.raises(Refused):
        await pool.acquire(soon())
    pool.released(a)
    assert await second is a
    third = asyncio.ensure_future(pool.acquire(soon()))
    await asyncio.sleep(0)
    a.close()  # no connection to pass on, but room for one
    assert (await third) is opened[1]
    assert repr(pool) == "<Pool 1 active, 0 idle, 0 waiting>"


async def test_who_leaves_the_line_leaves_no_gap() -> None:
    pool, _ = make(2)
    a, b = await pool.acquire(soon()), await pool.acquire(soon())
    leaving, staying = (asyncio.ensure_future(pool.acquire(soon())) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    pool.released(a)
    assert await staying is a
    with pytest.raises(asyncio.CancelledError):
        await leaving
    pool.released(b)
    pool.released(a)
    assert repr(pool) == "<Pool 0 active, 2 idle, 0 waiting>"


@pytest.mark.parametrize("ended", [True, False])
async def test_a_turn_that_comes_too_late_is_the_next_ones(ended: bool) -> None:
    pool, _ = make(2)
    a, b = await pool.acquire(soon()), await pool.acquire(soon())
    late, next_ = (asyncio.ensure_future(pool.acquire(soon())) for _ in range(2))
    await asyncio.sleep(0)
    pool.released(a)
    late.cancel()
    if ended:
        a.close()
    assert (await next_ is a) is not ended
    b.close()
    (await next_).close()
    assert pool.empty


async def test_one_that_ends_on_its_way_is_not_handed_out() -> None:
    pool, opened = make(1)
    a = await pool.acquire(soon())
    waiting = asyncio.ensure_future(pool.acquire(soon()))
    await asyncio.sleep(0)
    pool.released(a)
    a.good = False  # type: ignore[attr-defined]
    assert await waiting is opened[1]
    assert repr(pool) == "<Pool 1 active, 0 idle, 0 waiting>"


async def test_a_failed_connect_gives_its_place_back() -> None:
    async def fail(_: Pool) -> FakeConnection:
        raise UpstreamError("UPSTREAM_UNREACHABLE", "", sent="no", reason="refused")  # type: ignore[arg-type]

    async def hang(_: Pool) -> FakeConnection:
        await asyncio.sleep(60)
        raise AssertionError

    async def stillborn(pool: Pool) -> FakeConnection:
        connection = FakeConnection(pool)
        connection.closed = True
        return connection

    for connect, reason in ((fail, "refused"), (hang, "connect_timeout"), (stillborn, "reset")):
        pool = Pool(1, 30.0, connect)  # type: ignore[arg-type]
        for _ in range(2):
            with pytest.raises(UpstreamError) as caught:
                await pool.acquire(soon(0.01))
            assert caught.value.reason == reason
        assert pool.empty


async def test_a_new_one_is_new() -> None:
    pool, opened = make(2)
    a = await pool.acquire(soon())
    pool.released(a)
    b = await pool.acquire_new(soon())
    assert b is not a
    assert not a.closed
    pool.released(b)
    await pool.acquire_new(soon())  # full: one has to go
    assert a.closed
    assert len(opened) == 3
    pool, _ = make(1)
    a = await pool.acquire(soon())
    waiting = asyncio.ensure_future(pool.acquire_new(soon()))
    await asyncio.sleep(0)
    pool.released(a)
    assert await waiting is a  # all were busy: whoever is free


async def test_closing_waits_for_the_busy() -> None:
    pool, _ = make(2)
    a, b = await pool.acquire(soon()), await pool.acquire(soon())
    pool.released(a)
    closing = [asyncio.ensure_future(pool.close()) for _ in range(2)]
    await asyncio.sleep(0)
    assert a.closed
    assert not b.closed
    pool.released(b)
    assert b.closed
    await asyncio.gather(*closing)
    assert pool.empty
