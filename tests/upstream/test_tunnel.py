"""WebSocket through an upstream: a real server, and origins that only pretend."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from gateway.errors import UpstreamError
from gateway.exchange import Exchange, Outcome
from tests.upstream.origins import Visit, body_of, call, ok, origin, upstream

SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    b"sec-websocket-accept: x\r\n\r\n"
)


def upgrade(*headers: tuple[bytes, bytes]) -> Exchange:
    exchange = call(target="/live", headers=list(headers))
    exchange.upgrade = True
    return exchange


async def test_a_real_websocket() -> None:
    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        timeout = {"idle": "50ms", "total": "50ms"}  # they end at the head
        async with upstream(f"http://127.0.0.1:{port}", timeout=timeout) as up:
            # The WebSocket protocol of a real client, without its socket.
            client = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/live"))
            request = client.connect()
            exchange = upgrade(*((k.lower().encode(), v.encode()) for k, v in request.headers.raw_items()))
            client.send_request(request)
            client.data_to_send()
            response = await up(exchange)
            assert response.status == 101
            assert response.tunnel is not None
            accept = dict(response.headers)[b"sec-websocket-accept"]
            client.receive_data(SWITCH.replace(b"accept: x", b"accept: " + accept))
            await asyncio.sleep(0.1)
            client.send_text(b"spin")
            for data in client.data_to_send():
                await response.tunnel.write(data)
            client.receive_data(await response.tunnel.received.read())
            events = client.events_received()
            assert events[-1].data == b"spin"  # type: ignore[union-attr]
            assert up.targets[0].active == 1
            response.tunnel.close()
            response.tunnel.close()
            response.finish(Outcome.COMPLETE)
            assert await response.tunnel.received.read() == b""
            assert up.targets[0].active == 0
            assert exchange.attempts[0].ended_ns
            assert exchange.attempts[0].error == ""


async def test_bytes_behind_the_switch_come_first() -> None:
    async def hasty(visit: Visit) -> None:
        await visit.request()
        await visit.say(SWITCH + b"\x81\x02hi")
        assert await visit.reader.readexactly(3) == b"you"
        await visit.say(b"bye")

    async with origin(hasty) as place, upstream(place) as up:
        exchange = upgrade()
        response = await up(exchange)
        tunnel = response.tunnel
        assert tunnel is not None
        assert await tunnel.received.read() == b"\x81\x02hi"
        await tunnel.write(b"you")
        assert await tunnel.received.read() == b"bye"
        assert await tunnel.received.read() == b""
        with pytest.raises(ConnectionResetError):
            await tunnel.write(b"more")
        response.finish(Outcome.COMPLETE)
        assert "0 active, 0 idle" in repr(up)


async def test_writing_waits_while_the_upstream_does_not_read() -> None:
    go = asyncio.Event()

    async def slow(visit: Visit) -> None:
        await visit.request()
        visit.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await visit.say(SWITCH)
        await go.wait()
        visit.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await visit.until_closed()

    async with origin(slow) as place, upstream(place) as up:
        tunnel = (await up(upgrade())).tunnel
        assert tunnel is not None
        writing = asyncio.ensure_future(tunnel.write(b"x" * (32 << 20)))
        await asyncio.sleep(0.05)
        assert not writing.done()
        go.set()
        await asyncio.wait_for(writing, 5)
        tunnel.close()


async def test_an_upstream_that_goes_wakes_the_writer() -> None:
    async def gone(visit: Visit) -> None:
        await visit.request()
        visit.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await visit.say(SWITCH)
        await asyncio.sleep(0.05)
        visit.writer.transport.abort()

    async with origin(gone) as place, upstream(place) as up:
        tunnel = (await up(upgrade())).tunnel
        assert tunnel is not None
        await asyncio.wait_for(tunnel.write(b"x" * (32 << 20)), 5)


async def test_an_upgrade_that_is_refused_is_an_ordinary_answer() -> None:
    async with origin(ok(b"no", status=b"403 Forbidden")) as place, upstream(place) as up:
        response = await up(upgrade())
        assert (response.status, await body_of(response), response.tunnel) == (403, b"no", None)


@pytest.mark.parametrize("answer", [ok(), b"HTTP/1.1 101 Switching Protocols\r\n\r\n"])
async def test_an_upgrade_answered_wrongly(answer: bytes) -> None:
    async with origin(answer) as place, upstream(place) as up:
        with pytest.raises(UpstreamError) as caught:
            await up(upgrade())
        assert caught.value.code == "UPSTREAM_INVALID"


async def test_no_switch_that_nobody_asked_for() -> None:
    async with origin(SWITCH) as place, upstream(place) as up:
        with pytest.raises(UpstreamError) as caught:
            await up(call())
        assert caught.value.code == "UPSTREAM_INVALID"
