from __future__ import annotations

import asyncio
import os
import socket
import ssl

import pytest
import trustme
import uvloop

from gateway.errors import UpstreamError
from gateway.stream import Stream
from gateway.upstream.connection import Connection
from gateway.upstream.secure import ReadBuffer, SecureConnection
from tests.upstream.origins import Visit, body_of, call, ok, origin, upstream
from tests.upstream.test_tls import pem, server_context

KIB = 1024
POISON = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def context(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority, "127.0.0.1")


def on_both_loops(conversation: object) -> None:
    """The server runs on uvloop, whose TLS is not asyncio's."""
    for run in (uvloop.run, asyncio.run):
        run(conversation())  # type: ignore[operator]


@pytest.mark.parametrize("size", [0, 1, 300, 16 * KIB, 64 * KIB, 300 * KIB, 3_000 * KIB])
def test_answers_of_any_size(authority: trustme.CA, context: ssl.SSLContext, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    async def conversation() -> None:
        async with (
            origin(ok(body), context=context) as place,
            upstream(place, tls={"ca": pem(authority.cert_pem)}) as up,
        ):
            for _ in range(3):
                exchange = call()
                assert await body_of(await up(exchange)) == body
                assert exchange.attempts[0].response_bytes == size
            assert len(place.visits) == 1

    on_both_loops(conversation)


@pytest.mark.parametrize("size", [5, 16 * KIB, 64 * KIB - 200, 64 * KIB - 60, 64 * KIB, 250 * KIB])
def test_poison_behind_an_answer_reaches_nobody(
    authority: trustme.CA, context: ssl.SSLContext, size: int
) -> None:
    answer = ok(b"x" * size)

    async def conversation() -> None:
        for room in (0, 1, -len(answer) % (64 * KIB)):  # the last fills a buffer to the brim
            poison = POISON + b"p" * room
            async with (
                origin(answer + poison, context=context) as place,
                upstream(place, tls={"ca": pem(authority.cert_pem)}, pool={"max_connections": 1}) as up,
            ):
                both = await asyncio.gather(*(_whole(up) for _ in range(2)), return_exceptions=True)
                assert all(body == b"x" * size for body in both)
                assert await _whole(up) == b"x" * size
                assert len(place.visits) == 3

    async def _whole(up: object) -> bytes:
        return await body_of(await up(call()))  # type: ignore[operator]

    on_both_loops(conversation)


def test_a_slow_reader_gets_everything(authority: trustme.CA, context: ssl.SSLContext) -> None:
    async def pour(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (4096 * KIB))
        for number in range(64):
            await visit.say(bytes([number]) * 64 * KIB)
        await visit.until_closed()

    async def conversation() -> None:
        async with (
            origin(pour, context=context) as place,
            upstream(place, tls={"ca": pem(authority.cert_pem)}) as up,
        ):
            response = await up(call())
            assert isinstance(response.body, Stream)
            parts = []
            while data := await response.body.read():
                parts.append(data)
                assert response.body.size < 2048 * KIB
                await asyncio.sleep(0.001)
            assert b"".join(parts) == b"".join(bytes([number]) * 64 * KIB for number in range(64))

    on_both_loops(conversation)


async def test_a_body_whose_end_anybody_could_have_made_is_cut(
    authority: trustme.CA, context: ssl.SSLContext
) -> None:
    """Where the connection's end is the body's, only TLS's own close says that it is (RFC 9112 §9.8)."""
    answer = b"HTTP/1.1 200 OK\r\n\r\nhello"

    async def clean(visit: Visit) -> None:
        await visit.request()
        await visit.say(answer)

    async def forged(visit: Visit) -> None:
        await clean(visit)
        with socket.socket(fileno=os.dup(visit.writer.get_extra_info("socket").fileno())) as wire:
            wire.shutdown(socket.SHUT_WR)
        await visit.until_closed()

    for play in (clean, forged):
        async with (
            origin(play, context=context) as place,
            upstream(place, tls={"ca": pem(authority.cert_pem)}) as up,
        ):
            response = await up(call())
            if play is clean:
                assert await body_of(response) == b"hello"
            else:
                with pytest.raises(UpstreamError) as caught:
                    await body_of(response)
                assert caught.value.reason == "truncated"


async def test_there_is_always_room_for_one_byte_more() -> None:
    def told(_: Connection) -> None:
        raise AssertionError

    async with upstream("https://127.0.0.1:9") as up:
        sender = up.targets[0].sender
        buffer = ReadBuffer()
        connection = SecureConnection(up.config.timeout, told, told, sender._plain, buffer)  # type: ignore[attr-defined]
        for hint in (0, 1, 64 * KIB, 64 * KIB - 1, 700 * KIB):
            assert len(connection.get_buffer(hint)) > hint
        assert connection.get_buffer(1) is connection.get_buffer(2) is buffer.view
