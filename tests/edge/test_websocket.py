"""An upgraded connection, against an upstream half that the test holds."""

from __future__ import annotations

import asyncio

import pytest

from gateway.exchange import Exchange, Outcome, Response
from gateway.stream import Stream
from tests.edge.scripted import ScriptedProxy, calling, echo, serving, until

UPGRADE = (
    b"GET /live HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: x\r\n\r\n"
)


class EchoTunnel:
    """Sends back what it gets; `stuck` holds writes back."""

    def __init__(self) -> None:
        self.received = Stream()
        self.closed = 0
        self.stuck: asyncio.Event | None = None
        self.taken = b""

    async def write(self, data: bytes) -> None:
        if self.stuck is not None:
            await self.stuck.wait()
        self.taken += data
        self.received.feed(data)

    def close(self) -> None:
        self.closed += 1


def upgrading(tunnel: EchoTunnel):
    async def answer(exchange: Exchange) -> Response:
        assert exchange.upgrade
        assert exchange.headers == [(b"sec-websocket-key", b"x")]
        response = Response(101, [(b"sec-websocket-accept", b"y")])
        response.tunnel = tunnel
        return response

    return answer


async def test_bytes_pass_both_ways_until_the_caller_closes():
    tunnel = EchoTunnel()
    proxy = ScriptedProxy(upgrading(tunnel))
    async with serving(proxy) as (server, port), calling(port) as caller:
        caller.send(UPGRADE + b"first")
        status, headers = await caller.head()
        assert status == 101
        assert (headers["connection"], headers["upgrade"]) == ("Upgrade", "websocket")
        assert headers["sec-websocket-accept"] == "y"
        assert await caller.reader.readexactly(5) == b"first"
        caller.send(b"\x00\xffGET / HTTP/1.1\r\n\r\n")
        assert await caller.reader.readexactly(20) == b"\x00\xffGET / HTTP/1.1\r\n\r\n"
        caller.send(b"bye")
        await caller.close()
        await until(lambda: not server.under_way)
        assert tunnel.taken.endswith(b"bye")
    assert proxy.outcomes == [Outcome.COMPLETE]
    assert tunnel.closed
    assert proxy.ended[0][1].sent_bytes >= 25


async def test_the_upstream_may_close_first():
    tunnel = EchoTunnel()
    async with serving(ScriptedProxy(upgrading(tunnel))) as (server, port), calling(port) as caller:
        caller.send(UPGRADE)
        await caller.head()
        tunnel.received.feed(b"last words")
        tunnel.received.end()
        assert await caller.closed() == b"last words"
        await until(lambda: not server.connections)
    assert tunnel.closed


async def test_an_upstream_that_breaks_off_is_an_end():
    tunnel = EchoTunnel()
    proxy = ScriptedProxy(upgrading(tunnel))
    async with serving(proxy) as (_, port), calling(port) as caller:
        caller.send(UPGRADE)
        await caller.head()
        tunnel.received.fail(ConnectionResetError())
        assert await caller.closed() == b""
    assert tunnel.closed


async def test_backpressure_upwards():
    tunnel = EchoTunnel()
    tunnel.stuck = asyncio.Event()
    async with serving(ScriptedProxy(upgrading(tunnel))) as (server, port), calling(port) as caller:
        caller.send(UPGRADE)
        await caller.head()
        caller.send(b"x" * (4 << 20))
        await until(lambda: all(c._paused for c in server._open))
        (connection,) = server._open
        assert connection._incoming.size < 1 << 20
        tunnel.stuck.set()
        assert len(await caller.reader.readexactly(4 << 20)) == 4 << 20


async def test_a_caller_that_leaves_a_stuck_tunnel_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("gateway.edge.protocol.TUNNEL_FLUSH_SECONDS", 0.05)
    tunnel = EchoTunnel()
    tunnel.stuck = asyncio.Event()
    proxy = ScriptedProxy(upgrading(tunnel))
    async with serving(proxy) as (_, port), calling(port) as caller:
        caller.send(UPGRADE + b"x")
        await caller.head()
        caller.writer.transport.abort()
        await until(lambda: proxy.ended)
    assert proxy.outcomes == [Outcome.CANCELLED]
    assert tunnel.closed


async def test_a_refused_upgrade_is_an_ordinary_answer_and_ends_the_connection():
    proxy = ScriptedProxy()
    async with serving(proxy) as (_, port), calling(port) as caller:
        caller.send(UPGRADE + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        status, headers, _ = await caller.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await caller.closed() == b""
    assert len(proxy.seen) == 1


@pytest.mark.parametrize("asked", [True, False])
async def test_a_101_that_cannot_be_is_502(asked: bool):
    tunnel = EchoTunnel()

    async def answer(_: Exchange) -> Response:
        response = Response(101, [(b"x", b"a\r\nb")] if asked else [])
        response.tunnel = tunnel
        return response

    async with serving(ScriptedProxy(answer)) as (_, port), calling(port) as caller:
        status, _, _ = await caller.ask(UPGRADE if asked else b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert status == 502
    assert tunnel.closed


async def test_other_calls_go_on_beside_a_tunnel():
    tunnel = EchoTunnel()
    proxy = ScriptedProxy(upgrading(tunnel))
    async with serving(proxy) as (_, port), calling(port) as one, calling(port) as two:
        one.send(UPGRADE)
        await one.head()
        proxy.script = echo
        assert (await two.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))[0] == 200
