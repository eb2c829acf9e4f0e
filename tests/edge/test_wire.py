"""How a connection ends, seen from below HTTP."""

from __future__ import annotations

import asyncio
import time

from gateway.edge.limits import EdgeLimits
from gateway.exchange import Exchange, Response
from tests.edge.scripted import ScriptedProxy, calling, serving, until


async def test_a_caller_still_sending_gets_its_answer_and_then_the_close():
    async with serving(ScriptedProxy()) as (server, port), calling(port) as caller:
        caller.send(b"nonsense\r\n\r\n")
        assert (await caller.answer())[0] == 400
        for _ in range(10):
            caller.send(b"x" * 1000)
        assert await caller.closed() == b""
        await caller.close()
        await until(lambda: not server.connections)


async def test_a_caller_that_never_closes_is_cut_after_a_moment(monkeypatch):
    monkeypatch.setattr("gateway.edge.wire.LINGER_SECONDS", 0.1)
    async with serving(ScriptedProxy()) as (server, port), calling(port) as caller:
        caller.send(b"nonsense\r\n\r\n")
        began = time.monotonic()
        await until(lambda: not server.connections)
        assert time.monotonic() - began < 1


async def test_a_closing_connection_that_is_still_taking_its_answer_is_not_cut(monkeypatch):
    monkeypatch.setattr("gateway.edge.wire.LINGER_SECONDS", 0.05)
    body = b"x" * (8 << 20)

    async def answer(_: Exchange) -> Response:
        return Response(403, [], body)

    proxy = ScriptedProxy(answer, limits=EdgeLimits(body=1 << 30), body_limit=1 << 30)
    async with serving(proxy) as (_, port), calling(port, limit=1024) as caller:
        caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\nx")
        await asyncio.sleep(0.3)
        assert (await caller.answer())[2] == body


async def test_it_says_what_it_does():
    async with serving(ScriptedProxy()) as (server, port), calling(port) as caller:
        await caller.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert repr(server) == "<EdgeServer 1 connections, 0 calls under way>"
        (connection,) = server._open
        assert repr(connection) == "<EdgeConnection from 127.0.0.1, reading a head>"
