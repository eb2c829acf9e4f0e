"""Requests down, replies up, and what happens when an end goes away in the middle."""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from typing import Any

import pytest

from gateway.channel import Channel, ChannelClosed, RemoteError


async def pair(handle: Any) -> tuple[Channel, Channel]:
    async def nothing(op: str, _payload: Any) -> None:
        raise ValueError(f"asked {op}")

    ours, theirs = socket.socketpair()
    return await Channel.open(ours, nothing), await Channel.open(theirs, handle)


async def test_a_question_is_answered_by_the_other_end() -> None:
    async def handle(op: str, payload: Any) -> Any:
        return op, payload

    asking, answering = await pair(handle)
    big = {"text": "x" * 1_000_000}
    assert await asking.request("echo", big) == ("echo", big)
    assert await asking.request("nothing") == ("nothing", None)
    await asking.close()
    await answering.close()


async def test_answers_find_their_question_in_whatever_order_they_come() -> None:
    gates = {number: asyncio.Event() for number in range(3)}

    async def handle(_op: str, number: int) -> int:
        await gates[number].wait()
        return number * 10

    asking, answering = await pair(handle)
    questions = [asyncio.create_task(asking.request("later", number)) for number in range(3)]
    for number in (2, 0, 1):
        gates[number].set()
        assert await questions[number] == number * 10
    await asking.close()
    await answering.close()


async def test_what_the_other_end_cannot_do_is_told_and_the_line_stays_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handle(op: str, _payload: Any) -> str:
        if op == "bad":
            raise ValueError("no such thing")
        return "fine"

    asking, answering = await pair(handle)
    with pytest.raises(RemoteError, match="ValueError: no such thing"):
        await asking.request("bad")
    assert "bad failed" in caplog.text
    assert await asking.request("good") == "fine"
    await asking.close()
    await answering.close()


async def test_no_answer_in_time_is_an_error_and_a_late_one_is_ignored() -> None:
    gate = asyncio.Event()

    async def handle(op: str, _payload: Any) -> str:
        if op == "slow":
            await gate.wait()
        return op

    asking, answering = await pair(handle)
    with pytest.raises(TimeoutError):
        await asking.request("slow", timeout=0.01)
    gate.set()
    assert await asking.request("next") == "next"
    await asking.close()
    await answering.close()


async def test_who_waits_is_told_when_the_other_end_hangs_up() -> None:
    started = asyncio.Event()

    async def handle(_op: str, _payload: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    ours, theirs = socket.socketpair()

    async def nothing(_op: str, _payload: Any) -> None:
        return None

    asking = await Channel.open(ours, nothing)
    answering = await Channel.open(theirs, handle)
    question = asyncio.create_task(asking.request("forever"))
    await started.wait()
    answering._writer.transport.abort()
    with pytest.raises(ChannelClosed):
        await question
    assert asking.closed.is_set()
    with pytest.raises(ChannelClosed):
        await asking.request("more")
    await asking.close()
    for task in answering._tasks:
        task.cancel()
    await answering.close()


async def test_half_a_frame_at_the_end_is_an_end() -> None:
    ours, theirs = socket.socketpair()

    async def nothing(_op: str, _payload: Any) -> None:
        return None

    channel = await Channel.open(ours, nothing)
    data = pickle.dumps(("ok", 1, None))
    theirs.send(struct.pack(">I", len(data)) + data[:3])
    theirs.close()
    await channel.closed.wait()
    await channel.close()
