"""Writes wait for the end of the loop's turn, keep their order, and fail alone."""

from __future__ import annotations

import asyncio

import pytest

from gateway.outbox import Outbox


async def test_what_is_due_runs_first_then_all_writes_in_order():
    outbox, done = Outbox(), list[bytes]()
    loop = asyncio.get_running_loop()
    for number in range(3):
        loop.call_soon(outbox.add, done.append, b"%d" % number)
    loop.call_soon(lambda: done.append(b"due"))
    await asyncio.sleep(0)
    assert done == [b"due"]
    await asyncio.sleep(0)
    assert done == [b"due", b"0", b"1", b"2"]


async def test_who_cannot_wait_flushes():
    outbox, done = Outbox(), list[bytes]()
    outbox.add(done.append, b"first")
    assert repr(outbox) == "<Outbox, 1 writes waiting>"
    outbox.flush()
    done.append(b"past it")
    outbox.add(done.append, b"second")
    await asyncio.sleep(0)
    assert done == [b"first", b"past it", b"second"]


async def test_a_write_that_adds_another_leaves_it_to_the_next_turn():
    outbox, done = Outbox(), list[bytes]()
    outbox.add(lambda data: outbox.add(done.append, data), b"again")
    outbox.flush()
    assert done == []
    await asyncio.sleep(0)
    assert done == [b"again"]


async def test_a_write_that_fails_takes_no_other_with_it(caplog: pytest.LogCaptureFixture):
    outbox, done = Outbox(), list[bytes]()

    def broken(_data: bytes) -> None:
        raise RuntimeError("the handler is closed")

    outbox.add(broken, b"lost")
    outbox.add(done.append, b"kept")
    outbox.flush()
    assert done == [b"kept"]
    assert "a write failed" in caplog.text
