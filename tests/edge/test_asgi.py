"""The ASGI entrance under a real server and over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn

from gateway.edge.asgi import AsgiEntrance
from gateway.edge.limits import EdgeLimits
from gateway.errors import Refused
from gateway.exchange import Exchange, Outcome, Response
from gateway.stream import Stream
from tests.edge.scripted import ScriptedProxy, calling, echo, fed, until

GET = b"GET /a/%7Eb?q=%2F HTTP/1.1\r\nHost: a\r\n\r\n"


@asynccontextmanager
async def under_uvicorn(proxy: ScriptedProxy) -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    entrance = AsgiEntrance(proxy)  # type: ignore[arg-type]
    config = uvicorn.Config(entrance, log_level="warning", lifespan="on", ws="none", server_header=False)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.create_task(server.serve([listener]))
    await until(lambda: server.started)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await running
        listener.close()


async def test_the_same_exchange_the_same_answer():
    proxy = ScriptedProxy()
    async with under_uvicorn(proxy) as port, calling(port) as caller:
        assert (await caller.ask(GET))[0] == 200
        status, headers, body = await caller.ask(
            b"POST /x HTTP/1.1\r\nHost: a\r\nX_Y: 1\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
            b"Content-Length: 5\r\n\r\nhello"
        )
        assert (status, body, headers["content-length"]) == (200, b"hello", "5")
    first, second = proxy.seen
    assert (first.path, first.query, first.authority, first.body) == ("/a/~b", "q=%2F", "a", b"")
    assert second.headers == [(b"content-length", b"5")]
    assert second.body_bytes == 5
    assert proxy.outcomes == [Outcome.COMPLETE] * 2
    assert proxy.ended[1][1].sent_bytes == 5


async def test_streams_both_ways_as_they_come():
    upload: list[bytes] = []
    download = Stream()

    async def answer(exchange: Exchange) -> Response:
        assert isinstance(exchange.body, Stream)
        while piece := await exchange.body.read():
            upload.append(piece)
        return Response(200, [], download)

    async with under_uvicorn(ScriptedProxy(answer)) as port, calling(port) as caller:
        caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await until(lambda: upload)
        caller.send(b"0\r\n\r\n")
        download.feed(b"first")
        status, headers = await caller.head()
        assert (status, headers["transfer-encoding"]) == (200, "chunked")
        assert await caller.reader.readexactly(10) == b"5\r\nfirst\r\n"
        download.end()
        assert await caller.reader.readexactly(5) == b"0\r\n\r\n"
    assert upload == [b"abc"]


async def test_a_large_upload_is_held_back():
    release = asyncio.Event()

    async def answer(exchange: Exchange) -> Response:
        await release.wait()
        assert isinstance(exchange.body, Stream)
        count = 0
        while piece := await exchange.body.read():
            count += len(piece)
        return Response(200, [], b"%d" % count)

    proxy = ScriptedProxy(answer, body_limit=1 << 30)
    async with under_uvicorn(proxy) as port, calling(port) as caller:
        caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n" + b"x" * (8 << 20))
        await until(lambda: proxy.seen)
        await asyncio.sleep(0.1)
        stream = proxy.seen[0].body
        assert isinstance(stream, Stream)
        assert stream.size < 1 << 20
        release.set()
        assert (await caller.answer())[2] == b"8388608"


async def test_a_caller_that_leaves_cancels_the_call():
    async def answer(_: Exchange) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    proxy = ScriptedProxy(answer)
    async with under_uvicorn(proxy) as port, calling(port) as caller:
        caller.send(GET)
        await until(lambda: proxy.seen)
        await caller.close()
        await until(lambda: proxy.ended)
    assert [(r, o) for _, r, o in proxy.ended] == [(None, Outcome.CANCELLED)]


async def test_head_204_and_refusals():
    proxy = ScriptedProxy(body_limit=3)
    async with under_uvicorn(proxy) as port, calling(port) as caller:
        caller.send(GET.replace(b"GET", b"HEAD"))
        assert (await caller.answer(bodiless=True))[0] == 200
        assert (await caller.ask(GET.replace(b"/a/%7Eb", b"/a//b")))[0] == 400
        assert (await caller.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd"))[0] == 413
        status, _, _ = await caller.ask(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"
        )
        assert status == 413

        async def empty(_: Exchange) -> Response:
            return Response(204, [], fed(b"x"))

        proxy.script = empty
        assert (await caller.ask(GET))[0] == 204

        async def odd(_: Exchange) -> Response:
            return Response(200, [(b"x", b"a\r\nb: c")], b"")

        proxy.script = odd
        assert (await caller.ask(GET))[0] == 502
        proxy.refusal = Refused("ROUTE_NOT_FOUND", "nothing here")
        assert (await caller.ask(GET))[0] == 404
    assert proxy.rejections == {"BAD_REQUEST": 1}


async def test_too_many_fields_are_refused_here_too():
    async with under_uvicorn(ScriptedProxy(limits=EdgeLimits(headers=1))) as port, calling(port) as caller:
        assert (await caller.ask(GET[:-2] + b"X: 1\r\n\r\n"))[0] == 431


@pytest.mark.parametrize("extensions", [{}, {"websocket.http.response": {}}])
async def test_websocket_is_refused(extensions: dict[str, object]):
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    proxy = ScriptedProxy()
    entrance = AsgiEntrance(proxy)  # type: ignore[arg-type]
    await entrance({"type": "websocket", "extensions": extensions}, receive, send)  # type: ignore[arg-type]
    if extensions:
        assert sent[0]["status"] == 501
        assert b"NOT_IMPLEMENTED" in sent[1]["body"]  # type: ignore[operator]
    else:
        assert sent == [{"type": "websocket.close", "code": 1011}]
    assert proxy.rejections == {"NOT_IMPLEMENTED": 1}


async def test_a_websocket_request_over_http_is_501():
    async with under_uvicorn(ScriptedProxy(echo)) as port, calling(port) as caller:
        request = GET.replace(b"Host", b"Connection: Upgrade\r\nUpgrade: websocket\r\nHost")
        assert (await caller.ask(request))[0] == 501


async def test_a_body_that_breaks_off_breaks_the_connection():
    async def answer(_: Exchange) -> Response:
        return Response(200, [(b"content-length", b"5")], fed(b"ab"))

    proxy = ScriptedProxy(answer)
    async with under_uvicorn(proxy) as port, calling(port) as caller:
        caller.send(GET)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await caller.answer()
        await until(lambda: proxy.ended)
    assert proxy.outcomes == [Outcome.FAILED]


async def test_a_server_that_gives_up_cancels_the_call():
    begun = asyncio.Event()

    async def answer(_: Exchange) -> Response:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, object]) -> None:
        raise AssertionError(message)

    proxy = ScriptedProxy(answer)
    scope = {"type": "http", "method": "GET", "path": "/é", "headers": [(b"host", b"a")], "http_version": "2"}
    call = asyncio.create_task(AsgiEntrance(proxy)(scope, receive, send))  # type: ignore[arg-type]
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert proxy.outcomes == [Outcome.CANCELLED]
    assert proxy.seen[0].path == "/%C3%A9"
