"""Bodies that arrive in pieces: in order, nothing lost, memory bounded."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.stream import Stream


def streamed(*pieces: bytes, ended: bool = True, **more) -> Stream:
    stream = Stream(**more)
    for piece in pieces:
        stream.feed(piece)
    if ended:
        stream.end()
    return stream


async def drain(stream: Stream) -> bytes:
    return b"".join([piece async for piece in pieces_of(stream)])


async def pieces_of(stream: Stream):
    while piece := await stream.read():
        yield piece


class Backpressure(RuleBasedStateMachine):
    """A producer and a reader in any order: bytes in order, the producer held where too many wait."""

    HIGH = 64

    def __init__(self):
        super().__init__()
        self.told, self.fed, self.got, self.returned = [], b"", b"", False
        self.stream = Stream(
            on_pause=lambda: self.told.append("pause"),
            on_resume=lambda: self.told.append("resume"),
            on_close=lambda: self.told.append("close"),
            high=self.HIGH,
        )

    def read(self):
        coroutine = self.stream.read()
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value
        raise AssertionError("it waits although something is there")

    @precondition(lambda self: not self.stream.ended and not self.stream.closed)
    @rule(data=st.binary(min_size=1, max_size=50))
    def feed(self, data):
        self.stream.feed(data)
        self.fed += data

    @precondition(lambda self: self.stream.size and not self.stream.closed)
    @rule()
    def take(self):
        self.got += self.read()

    @precondition(lambda self: self.got and not self.stream.closed)
    @rule(count=st.integers(1, 10))
    def put_back(self, count):
        piece, self.got = self.got[-count:], self.got[:-count]
        self.stream.unread(piece)
        self.returned = True

    @precondition(lambda self: not self.stream.ended)
    @rule()
    def end(self):
        self.stream.end()

    @rule()
    def close(self):
        self.stream.close()

    @precondition(lambda self: self.stream.closed)
    @rule()
    def feed_in_vain(self):
        self.stream.feed(b"x")
        assert self.stream.size == 0

    @invariant()
    def nothing_is_lost_or_turned_around(self):
        if not self.stream.closed:
            assert self.fed.startswith(self.got)
            assert self.stream.size == len(self.fed) - len(self.got)
        if self.stream.ended and not self.stream.size and not self.stream.closed:
            assert self.read() == b""

    @invariant()
    def the_producer_is_told_in_turns(self):
        assert self.told.count("close") == int(self.stream.closed)
        turns = [told for told in self.told if told != "close"]
        assert turns == ["pause", "resume"] * (len(turns) // 2) + ["pause"] * (len(turns) % 2)
        if self.stream.closed:
            return
        if turns[-1:] == ["pause"]:
            assert self.stream.size > self.HIGH // 4
        elif not self.returned:  # what a reader puts back is its own doing, and pauses nobody
            assert self.stream.size <= self.HIGH


TestBackpressure = Backpressure.TestCase


async def test_a_reader_waits_for_the_next_piece():
    stream = Stream()
    reading = asyncio.create_task(stream.read())
    await asyncio.sleep(0)
    assert not reading.done()
    stream.feed(b"a")
    assert await reading == b"a"
    reading = asyncio.create_task(stream.read())
    await asyncio.sleep(0)
    stream.end()
    assert await reading == b""


async def test_a_reader_that_is_cancelled_leaves_the_stream_readable():
    stream = Stream()
    reading = asyncio.create_task(stream.read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    stream.feed(b"a")
    assert await stream.read() == b"a"


async def test_a_failure_comes_after_what_has_arrived():
    stream = streamed(b"a", ended=False)
    stream.fail(ConnectionResetError())
    stream.fail(ZeroDivisionError())
    assert await stream.read() == b"a"
    with pytest.raises(ConnectionResetError):
        await stream.read()


async def test_an_end_cannot_fail_any_more():
    stream = streamed(b"a")
    stream.fail(ZeroDivisionError())
    assert await drain(stream) == b"a"


async def test_the_first_read_is_told_once():
    told = []
    stream = streamed(b"a", b"b", on_read=lambda: told.append(1))
    assert told == []
    await drain(stream)
    assert told == [1]


def test_it_shows_its_state():
    stream = Stream(high=1)
    assert repr(stream) == "<Stream open, 0 bytes waiting>"
    stream.feed(b"ab")
    assert repr(stream) == "<Stream paused, 2 bytes waiting>"
    stream.end()
    assert "ended" in repr(stream)
    stream.close()
    assert "closed" in repr(stream)
