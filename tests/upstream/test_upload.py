from __future__ import annotations

import asyncio

import pytest

from gateway.errors import Refused
from gateway.exchange import Attempt
from gateway.upstream.upload import upload
from tests.upstream.origins import stream_of


async def sent(*pieces: bytes, length: int | None) -> tuple[bytes, Attempt]:
    body, _ = stream_of(*pieces)
    attempt = Attempt("http://a", "0" * 16, 0)
    written: list[bytes] = []
    await upload(body, length, attempt, write=written.append, full=lambda: None)
    return b"".join(written), attempt


async def test_framing() -> None:
    assert (await sent(b"abc", b"de", length=5))[0] == b"abcde"
    assert (await sent(length=0))[0] == b""
    data, attempt = await sent(b"abc", b"x" * 16, length=None)
    assert data == b"3\r\nabc\r\n10\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n"
    assert attempt.request_bytes == 19


@pytest.mark.parametrize("length", [0, 4, 6, 100])
async def test_another_length_than_announced(length: int) -> None:
    with pytest.raises(Refused):
        await sent(b"abc", b"de", length=length)


async def test_nothing_beyond_the_announced_length_is_written() -> None:
    body, _ = stream_of(b"abc", b"GET /admin HTTP/1.1\r\n\r\n")
    written: list[bytes] = []
    with pytest.raises(Refused):
        await upload(body, 3, Attempt("", "", 0), write=written.append, full=lambda: None)
    assert written == [b"abc"]


async def test_it_waits_while_the_socket_is_full() -> None:
    body, _ = stream_of(b"a", b"b")
    written: list[bytes] = []
    room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(
        upload(body, 2, Attempt("", "", 0), write=written.append, full=lambda: None if room.done() else room)
    )
    for _ in range(5):
        await asyncio.sleep(0)
    assert written == [b"a"]
    room.set_result(None)
    await task
    assert written == [b"a", b"b"]
