"""One connection, from the caller's end of a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from gateway.edge.limits import EdgeLimits
from gateway.errors import Refused, Sent, UpstreamError
from gateway.exchange import Exchange, Outcome, Response
from gateway.stream import Stream
from tests.edge.scripted import Caller, ScriptedProxy, calling, echo, fed, serving, until

GET = b"GET /games HTTP/1.1\r\nHost: a\r\n\r\n"


def post(body: bytes, extra: bytes = b"") -> bytes:
    return b"POST /games HTTP/1.1\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n%b" % (extra, len(body), body)


def answering(*responses: Response):
    left = list(responses)

    async def answer(_: Exchange) -> Response:
        return left.pop(0)

    return answer


async def test_keep_alive_answers_one_request_after_another():
    proxy = ScriptedProxy()
    async with serving(proxy) as (server, port), calling(port) as caller:
        for _ in range(3):
            status, headers, body = await caller.ask(post(b"hello"))
            assert (status, body, headers["content-length"]) == (200, b"hello", "5")
            assert "date" in headers
            assert "connection" not in headers
            assert "server" not in headers
        assert server.connections == 1
    assert proxy.outcomes == [Outcome.COMPLETE] * 3
    assert [e.body for e in proxy.seen] == [b"hello"] * 3
    assert [e.body_bytes for e in proxy.seen] == [5] * 3
    assert [r.sent_bytes for _, r, _ in proxy.ended] == [5] * 3


async def test_the_exchange_has_what_the_caller_sent():
    proxy = ScriptedProxy()
    async with serving(proxy) as (_, port), calling(port) as caller:
        await caller.ask(
            b"GET /a/%7euser?q=1&q=%2F HTTP/1.1\r\nHost: Games.Example:8080\r\nX-Api-Key:  k \r\n"
            b"X_Api_Key: evil\r\n"
            b"Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
            b"X-Forwarded-For: 1.2.3.4\r\n"
            b"X-HTTP-Method-Override: DELETE\r\n\r\n"
        )
    (exchange,) = proxy.seen
    assert (exchange.path, exchange.query, exchange.authority) == (
        "/a/~user",
        "q=1&q=%2F",
        "games.example:8080",
    )
    assert exchange.headers == [(b"x-api-key", b"k")]
    assert exchange.client == exchange.peer == "127.0.0.1"
    assert exchange.body == b""
    assert len(exchange.trace_id) == 32


async def test_pipelined_requests_are_answered_in_order_one_at_a_time():
    running = 0

    async def answer(exchange: Exchange) -> Response:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.01)
        running -= 1
        return Response(200, [], exchange.path.encode())

    proxy = ScriptedProxy(answer)
    async with serving(proxy) as (_, port), calling(port) as caller:
        caller.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(20)) + post(b"xyz"))
        for i in range(20):
            assert (await caller.answer())[2] == b"/%d" % i
        assert (await caller.answer())[2] == b"/games"
    assert proxy.seen[-1].body == b"xyz"


async def test_answers_of_one_turn_keep_their_order_however_they_are_written():
    """Small ones wait for the end of the turn; streams, large ones, closing ones and 100 Continue do not."""

    async def answer(exchange: Exchange) -> Response:
        if exchange.path == "/stream":
            return Response(200, [], fed(b"streamed"))
        if exchange.path == "/large":
            return Response(200, [], b"x" * 100_000)
        return Response(200, [], await exchange.buffer_body(100) or exchange.path.encode())

    head = b"%b HTTP/1.1\r\nHost: a\r\n"
    asked = [b"GET /%b" % name for name in (b"a", b"stream", b"b", b"large", b"c", b"d")]
    calls = b"".join(head % line + b"\r\n" for line in asked)
    calls += head % b"POST /e" + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    async with serving(ScriptedProxy(answer)) as (server, port):
        callers = [await Caller.connect(port) for _ in range(8)]
        for caller in callers:
            caller.send(calls)
        for caller in callers:
            bodies = [(await caller.answer())[2] for _ in asked]
            assert bodies == [b"/a", b"streamed", b"/b", b"x" * 100_000, b"/c", b"/d"]
            assert (await caller.head())[0] == 100
            caller.send(b"last" + head % b"GET /f" + b"Connection: close\r\n\r\n")
        for caller in callers:
            assert (await caller.answer())[2] == b"last"
            status, headers, body = await caller.answer()
            assert (status, headers["connection"], body) == (200, "close", b"/f")
            assert await caller.closed() == b""
            await caller.close()
        await until(lambda: not server.connections)


async def test_a_caller_that_half_closes_behind_its_answer_still_gets_it():
    async with serving(ScriptedProxy()) as (_, port):
        callers = [await Caller.connect(port) for _ in range(20)]
        for caller in callers:
            caller.send(GET)
        for caller in callers:
            assert (await caller.answer())[0] == 200
            caller.writer.write_eof()
            assert await caller.closed() == b""
            await caller.close()


async def test_much_pipelined_input_pauses_reading():
    release = asyncio.Event()

    async def answer(exchange: Exchange) -> Response:
        await release.wait()
        return Response(200, [], b"")

    proxy = ScriptedProxy(answer)
    async with serving(proxy) as (server, port), calling(port) as caller:
        count = 1000
        caller.send(GET.replace(b"Host", b"X: %b\r\nHost" % (b"x" * 1000)) * count)
        await until(lambda: any(connection._paused for connection in server._open))
        (connection,) = server._open
        assert len(connection._kept) < 1 << 20
        release.set()
        for _ in range(count):
            assert (await caller.answer())[0] == 200


async def test_a_request_in_single_bytes():
    proxy = ScriptedProxy()
    async with serving(proxy) as (_, port), calling(port) as caller:
        for byte in post(b"hello"):
            caller.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await caller.answer())[2] == b"hello"


async def test_one_empty_line_may_precede_a_request():
    async with serving(ScriptedProxy()) as (_, port), calling(port) as caller:
        assert (await caller.ask(b"\r\n" + GET))[0] == 200
        assert (await caller.ask(b"\r\n\r\n" + GET))[0] == 400


async def test_a_body_that_comes_later_streams():
    pieces: list[bytes] = []

    async def answer(exchange: Exchange) -> Response:
        assert isinstance(exchange.body, Stream)
        while piece := await exchange.body.read():
            pieces.append(piece)
        return Response(200, [], b"done")

    proxy = ScriptedProxy(answer)
    async with serving(proxy) as (_, port), calling(port) as caller:
        caller.send(post(b"x" * 10)[:-5])
        await until(lambda: pieces)
        caller.send(b"y" * 5 + GET[:10])
        assert (await caller.answer())[2] == b"done"
        assert b"".join(pieces) == b"x" * 5 + b"y" * 5
        proxy.script = echo
        caller.send(GET[10:])
        assert (await caller.answer())[0] == 200
    assert proxy.ended[0][0].body_bytes == 10


@pytest.mark.parametrize("split", [0, 3, 40])
async def test_chunked_upload(split: int):
    proxy = ScriptedProxy()
    body = b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Api-Key: stolen\r\nContent-Length: 3\r\n\r\n"
    head = b"POST /games HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(proxy) as (_, port), calling(port) as caller:
        caller.send(head + body[:split])
        await until(lambda: proxy.seen)
        caller.send(body[split:] + GET)
        assert (await caller.answer())[2] == b"hello world"
        assert (await caller.answer())[0] == 200
    assert proxy.seen[0].headers == []


@pytest.mark.attack(11)
async def test_continue_is_sent_when_the_body_is_first_read():
    reading = asyncio.Event()

    async def answer(exchange: Exchange) -> Response:
        assert exchange.header(b"expect") is None
        await reading.wait()
        return await echo(exchange)

    async with serving(ScriptedProxy(answer)) as (_, port), calling(port) as caller:
        caller.send(post(b"hello", b"Expect: 100-continue\r\n")[:-5])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await caller.reader.read(1)
        reading.set()
        assert await caller.reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await caller.ask(b"hello"))[2] == b"hello"
        assert (await caller.ask(GET))[0] == 200


@pytest.mark.attack(11)
async def test_no_continue_where_the_body_is_refused_or_already_here():
    proxy = ScriptedProxy(body_limit=10)
    async with serving(proxy) as (_, port), calling(port) as caller:
        assert (await caller.ask(post(b"hello", b"Expect: 100-continue\r\n")))[2] == b"hello"
        status, headers, _ = await caller.ask(post(b"x" * 11, b"Expect: 100-continue\r\n")[:-11])
        assert (status, headers["connection"]) == (413, "close")
        assert await caller.closed() == b""
    proxy = ScriptedProxy(answering(Response(403, [], b"no")))
    async with serving(proxy) as (_, port), calling(port) as caller:
        status, headers, _ = await caller.ask(post(b"hello", b"Expect: 100-continue\r\n")[:-5])
        assert (status, headers["connection"]) == (403, "close")
        assert await caller.closed() == b""


@pytest.mark.attack(11)
async def test_an_early_answer_to_a_small_rest_keeps_the_connection():
    proxy = ScriptedProxy(answering(Response(403, [], b"no"), Response(200, [], b"yes")))
    async with serving(proxy) as (_, port), calling(port) as caller:
        status, headers, _ = await caller.ask(post(b"x" * 1000)[:-500])
        assert status == 403
        assert "connection" not in headers
        caller.send(b"x" * 499)
        assert (await caller.ask(b"x" + GET))[2] == b"yes"


@pytest.mark.attack(11)
async def test_an_early_answer_to_a_large_upload_arrives_before_the_close():
    proxy = ScriptedProxy(answering(Response(403, [], b"no")), body_limit=1 << 30)
    async with serving(proxy) as (_, port), calling(port) as caller:
        caller.send(post(b"x" * (8 << 20)))
        status, headers, body = await caller.answer()
        assert (status, headers["connection"], body) == (403, "close", b"no")
        assert await caller.closed() == b""


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_head_has_no_body_but_its_length(method: bytes):
    request = GET.replace(b"GET", method)
    bodiless = method == b"HEAD"
    responses = [
        Response(200, [], b"hello"),
        Response(200, [(b"content-length", b"77")], b"") if bodiless else Response(200, [], b"x" * 77),
        Response(200, [(b"content-length", b"5")], fed(b"hello")),
        Response(200, [], fed(b"hello")),
    ]
    async with serving(ScriptedProxy(answering(*responses))) as (_, port), calling(port) as caller:
        for length in ("5", "77", "5", None):
            caller.send(request)
            status, headers, body = await caller.answer(bodiless=bodiless)
            assert (status, headers.get("content-length")) == (200, length)
            assert bool(body) is not bodiless


async def test_204_and_304_have_no_body():
    responses = [
        Response(204, [(b"content-length", b"5")], b"hello"),
        Response(204, [], fed(b"hello")),
        Response(304, [(b"etag", b'"a"'), (b"content-length", b"9")], b""),
        Response(200, [], b"end"),
    ]
    async with serving(ScriptedProxy(answering(*responses))) as (_, port), calling(port) as caller:
        caller.send(GET * 4)
        status, headers, _ = await caller.answer()
        assert (status, "content-length" in headers) == (204, False)
        assert (await caller.answer())[0] == 204
        status, headers, _ = await caller.answer()
        assert (status, headers["content-length"], headers["etag"]) == (304, "9", '"a"')
        assert (await caller.answer())[2] == b"end"


async def test_http_10_closes_or_keeps_alive_as_asked():
    old = GET.replace(b"1.1", b"1.0")
    responses = [Response(200, [], b"a"), Response(200, [], fed(b"b", b"c"))]
    async with serving(ScriptedProxy(answering(*responses))) as (_, port), calling(port) as caller:
        status, headers, body = await caller.ask(old.replace(b"Host", b"Connection: keep-alive\r\nHost"))
        assert (headers["connection"], body) == ("keep-alive", b"a")
        status, headers, body = await caller.ask(old)
        assert (status, headers["connection"], body) == (200, "close", b"bc")
        assert "transfer-encoding" not in headers


async def test_connection_close_is_obeyed():
    async with serving(ScriptedProxy()) as (_, port), calling(port) as caller:
        status, headers, _ = await caller.ask(GET.replace(b"Host", b"Connection: close\r\nHost"))
        assert (status, headers["connection"]) == (200, "close")
        assert await caller.closed() == b""


async def test_streamed_answers_are_chunked_or_keep_their_length():
    responses = [
        Response(200, [], fed(b"ab", b"c" * 100_000)),
        Response(200, [(b"content-length", b"4")], fed(b"ab", b"cd")),
    ]
    proxy = ScriptedProxy(answering(*responses))
    async with serving(proxy) as (_, port), calling(port) as caller:
        status, headers, body = await caller.ask(GET)
        assert (headers["transfer-encoding"], body) == ("chunked", b"ab" + b"c" * 100_000)
        status, headers, body = await caller.ask(GET)
        assert (status, headers["content-length"], body) == (200, "4", b"abcd")
    assert proxy.outcomes == [Outcome.COMPLETE] * 2


def _failing() -> Stream:
    stream = fed(b"ab", end=False)
    stream.fail(UpstreamError("UPSTREAM_INVALID", "broke off", sent=Sent.YES))
    return stream


def _crashing() -> Stream:
    stream = fed(b"ab", end=False)
    stream.fail(RuntimeError("a bug"))
    return stream


@pytest.mark.parametrize(
    "response",
    [
        lambda: Response(200, [], _failing()),
        lambda: Response(200, [], _crashing()),
        lambda: Response(200, [(b"content-length", b"9")], _failing()),
        lambda: Response(200, [(b"content-length", b"9")], fed(b"ab")),
        lambda: Response(200, [(b"content-length", b"1")], fed(b"ab")),
    ],
    ids=["fails", "crashes", "fails with length", "too short", "too long"],
)
async def test_a_body_that_breaks_off_never_ends_cleanly(response):
    made = response()
    ended: list[Outcome] = []
    made.on_end(ended.append)
    proxy = ScriptedProxy(answering(made))
    async with serving(proxy) as (_, port), calling(port) as caller:
        caller.send(GET)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await caller.answer()
        assert b"0\r\n\r\n" not in await caller.closed()
    assert proxy.outcomes == ended == [Outcome.FAILED]


@pytest.mark.parametrize(
    "response",
    [
        Response(200, [(b"x-a", b"a\r\nset-cookie: b")], b""),
        Response(200, [(b"x-a", b"a\nb")], b""),
        Response(200, [(b"x-a\r\nb", b"a")], b""),
        Response(200, [(b"x-a", b"\0")], b""),
        Response(99, [], b""),
        Response(101, [], b""),
        Response(1000, [], b""),
        Response(200, [(b"content-length", b"-1")], fed(b"ab")),
    ],
)
async def test_an_answer_that_cannot_be_written_is_502(response: Response):
    proxy = ScriptedProxy(answering(response))
    async with serving(proxy) as (_, port), calling(port) as caller:
        status, headers, body = await caller.ask(GET)
        assert (status, headers["content-type"]) == (502, "application/problem+json")
        assert b"UPSTREAM_INVALID" in body
    assert response.ended is Outcome.DISCARDED


async def test_a_refused_route_is_answered_and_recorded():
    proxy = ScriptedProxy()
    proxy.refusal = Refused("ROUTE_NOT_FOUND", "nothing here")
    async with serving(proxy) as (_, port), calling(port) as caller:
        status, _, body = await caller.ask(post(b"hello"))
        assert (status, b"ROUTE_NOT_FOUND" in body) == (404, True)
        assert (await caller.ask(GET))[0] == 404
    assert not proxy.seen
    assert [(e.code, r.status, o) for e, r, o in proxy.ended] == [
        ("ROUTE_NOT_FOUND", 404, Outcome.COMPLETE)
    ] * 2


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 11\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n"]
)
async def test_a_body_over_the_routes_limit_is_413_at_once(framing: bytes):
    proxy = ScriptedProxy(body_limit=10)
    async with serving(proxy) as (_, port), calling(port) as caller:
        status, headers, _ = await caller.ask(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing)
        assert (status, headers["connection"]) == (413, "close")
    assert [(e.code, r.status, o) for e, r, o in proxy.ended] == [("BODY_TOO_LARGE", 413, Outcome.COMPLETE)]


async def test_a_chunked_body_without_end_is_413_while_it_streams():
    proxy = ScriptedProxy(body_limit=100_000)
    async with serving(proxy) as (_, port), calling(port) as caller:
        caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            caller.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
            await asyncio.sleep(0.001)
        assert (await caller.answer())[0] == 413


async def test_a_chunk_that_is_malformed_later_is_400():
    proxy = ScriptedProxy()
    async with serving(proxy) as (_, port), calling(port) as caller:
        caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await until(lambda: proxy.seen)
        status, headers, _ = await caller.ask(b"0x5\r\nhello\r\n0\r\n\r\n" + GET)
        assert (status, headers["connection"]) == (400, "close")
    assert len(proxy.seen) == 1


async def test_a_caller_that_leaves_cancels_the_call_within_100_ms():
    cancelled = asyncio.get_running_loop().create_future()

    async def answer(_: Exchange) -> Response:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set_result(time.monotonic())
            raise
        raise AssertionError

    proxy = ScriptedProxy(answer)
    async with serving(proxy) as (server, port), calling(port) as caller:
        caller.send(GET)
        await until(lambda: proxy.seen)
        left = time.monotonic()
        await caller.close()
        assert await cancelled - left < 0.1
        await until(lambda: not server.under_way)
    assert [(r, o) for _, r, o in proxy.ended] == [(None, Outcome.CANCELLED)]


async def test_a_caller_that_leaves_at_once_is_still_accounted_for():
    proxy = ScriptedProxy()
    async with serving(proxy) as (server, port):
        for _ in range(50):
            async with calling(port) as caller:
                caller.send(GET)
                caller.writer.transport.abort()
        await until(lambda: not server.connections and not server.under_way)
    assert len(proxy.ended) == len({id(e) for e, _, _ in proxy.ended})


async def test_a_caller_that_leaves_during_the_answer_closes_its_body():
    closed = []
    body = fed(b"ab", end=False, on_close=lambda: closed.append(True))
    proxy = ScriptedProxy(answering(Response(200, [], body)))
    async with serving(proxy) as (_, port), calling(port) as caller:
        caller.send(GET)
        await caller.head()
        await caller.close()
        await until(lambda: closed)
    assert proxy.outcomes == [Outcome.CANCELLED]


async def test_a_caller_that_leaves_during_its_body_fails_it():
    async def answer(exchange: Exchange) -> Response:
        return await asyncio.shield(echo(exchange))

    proxy = ScriptedProxy(answer)
    async with serving(proxy) as (_, port), calling(port) as caller:
        caller.send(post(b"hello")[:-1])
        await until(lambda: proxy.seen)
        stream = proxy.seen[0].body
        await caller.close()
        await until(lambda: proxy.ended)
        assert isinstance(stream, Stream)
        assert stream.ended


async def test_a_download_waits_for_a_slow_reader_in_bounded_memory():
    produced = 0
    stream = Stream(high=64 * 1024)

    async def produce() -> None:
        nonlocal produced
        for _ in range(256):
            while stream.size > stream.high:
                await asyncio.sleep(0.001)
            stream.feed(b"x" * 65536)
            produced += 65536
        stream.end()

    proxy = ScriptedProxy(answering(Response(200, [], stream)))
    async with serving(proxy) as (_, port), calling(port, limit=1024) as caller:
        producing = asyncio.create_task(produce())
        caller.send(GET)
        await until(lambda: produced >= 65536)
        before = -1
        while before != produced:
            before = produced
            await asyncio.sleep(0.1)
        assert produced < 12 << 20  # what two kernels' socket buffers take, not all 16 MiB
        total = 0
        await caller.head()
        while total < 256 * 65536:
            size = int(await caller.reader.readline(), 16)
            total += len(await caller.reader.readexactly(size))
            await caller.reader.readexactly(2)
        await producing


async def test_an_upload_waits_for_a_slow_upstream_in_bounded_memory():
    release = asyncio.Event()
    read = 0

    async def answer(exchange: Exchange) -> Response:
        nonlocal read
        assert isinstance(exchange.body, Stream)
        await release.wait()
        while piece := await exchange.body.read():
            read += len(piece)
        return Response(200, [], b"done")

    proxy = ScriptedProxy(answer, body_limit=1 << 30, limits=EdgeLimits(body_timeout=0.05))
    async with serving(proxy) as (_, port), calling(port) as caller:
        caller.send(post(b"x" * (16 << 20)))
        await until(lambda: proxy.seen)
        await asyncio.sleep(0.2)  # longer than the body's deadline: waiting for us is not the caller's fault
        stream = proxy.seen[0].body
        assert isinstance(stream, Stream)
        assert stream.size < 1 << 20
        release.set()
        assert (await caller.answer())[2] == b"done"
    assert read == 16 << 20


async def test_a_router_that_fails_is_left_to_the_proxy_to_answer():
    proxy = ScriptedProxy()

    def find(_: Exchange) -> None:
        raise RuntimeError("a bug")

    proxy.find = find  # type: ignore[method-assign]
    async with serving(proxy) as (_, port), calling(port) as caller:
        assert (await caller.ask(post(b"hello")))[2] == b"hello"


async def test_a_proxy_that_fails_is_500_and_the_connection_goes_on():
    async def answer(exchange: Exchange) -> Response:
        raise RuntimeError("a bug")

    proxy = ScriptedProxy(answer)
    async with serving(proxy) as (_, port), calling(port) as caller:
        for _ in range(2):
            status, _, body = await caller.ask(GET)
            assert (status, b"INTERNAL" in body, b"a bug" in body) == (500, True, False)
    assert proxy.outcomes == [Outcome.COMPLETE] * 2


# Deadlines.


async def test_a_silent_socket_is_closed_without_a_word():
    proxy = ScriptedProxy(limits=EdgeLimits(head_timeout=0.1))
    async with serving(proxy) as (_, port), calling(port) as caller:
        assert await caller.closed() == b""
    assert not proxy.rejections


async def test_a_slow_head_is_408_within_the_deadline():
    proxy = ScriptedProxy(limits=EdgeLimits(head_timeout=0.1))
    async with serving(proxy) as (_, port), calling(port) as caller:
        began = time.monotonic()
        reading = asyncio.create_task(caller.answer())
        for byte in GET:
            caller.send(bytes([byte]))
            await asyncio.sleep(0.02)
            if reading.done():
                break
        assert (await reading)[0] == 408
        assert time.monotonic() - began < 0.4
    assert proxy.rejections == {"REQUEST_TIMEOUT": 1}


async def test_an_idle_connection_is_closed():
    proxy = ScriptedProxy(limits=EdgeLimits(idle_timeout=0.1))
    async with serving(proxy) as (_, port), calling(port) as caller:
        assert (await caller.ask(GET))[0] == 200
        assert await caller.closed() == b""


async def test_a_body_that_stops_is_408():
    proxy = ScriptedProxy(limits=EdgeLimits(body_timeout=0.1))
    async with serving(proxy) as (_, port), calling(port) as caller:
        status, headers, _ = await caller.ask(post(b"hello")[:-1])
        assert (status, headers["connection"]) == (408, "close")


async def test_a_body_that_trickles_is_408():
    proxy = ScriptedProxy(limits=EdgeLimits(body_timeout=0.2, slowest_body=1000))
    async with serving(proxy) as (_, port), calling(port) as caller:
        caller.send(post(b"x" * 1000)[:-1000])
        reading = asyncio.create_task(caller.answer())
        sent = 0
        while not reading.done() and sent < 200:
            caller.send(b"x")
            sent += 1
            await asyncio.sleep(0.01)
        assert (await reading)[0] == 408
        assert sent < 60


async def test_the_rest_of_an_answered_body_must_come_in_time_too():
    proxy = ScriptedProxy(answering(Response(403, [], b"no")), limits=EdgeLimits(body_timeout=0.1))
    async with serving(proxy) as (_, port), calling(port) as caller:
        assert (await caller.ask(post(b"hello")[:-1]))[0] == 403
        assert await caller.closed() == b""


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_reader_that_stops_is_cut(streamed: bool):
    body = fed(*[b"x" * (1 << 20)] * 32) if streamed else b"x" * (32 << 20)
    proxy = ScriptedProxy(answering(Response(200, [], body)), limits=EdgeLimits(write_timeout=0.2))
    async with serving(proxy) as (server, port), calling(port, limit=1024) as caller:
        caller.send(GET)
        await until(lambda: server.under_way)
        began = time.monotonic()
        await until(lambda: not server.connections)
        assert 0.1 < time.monotonic() - began < 2
        await until(lambda: proxy.ended)
    assert proxy.outcomes == [Outcome.CANCELLED]


# Caps.


async def test_connections_are_capped_in_all_and_per_client():
    for limits in (EdgeLimits(connections=2), EdgeLimits(connections_per_client=2)):
        proxy = ScriptedProxy(limits=limits)
        async with serving(proxy) as (server, port), calling(port) as one, calling(port) as two:
            assert (await one.ask(GET))[0] == (await two.ask(GET))[0] == 200
            async with calling(port) as three:
                status, headers, _ = await three.answer()
                assert (status, headers["connection"], headers["retry-after"]) == (503, "close", "1")
                await three.close()
            await until(lambda: server.connections == 2)
            await one.close()
            await until(lambda: server.connections == 1)
            async with calling(port) as four:
                assert (await four.ask(GET))[0] == 200
        assert proxy.rejections == {"BUSY": 1}


async def test_trusted_proxies_carry_many_clients():
    proxy = ScriptedProxy(limits=EdgeLimits(connections_per_client=1))
    async with (
        serving(proxy, trusted_proxies=["127.0.0.0/8"]) as (_, port),
        calling(port) as one,
        calling(port) as two,
    ):
        forwarded = GET.replace(
            b"Host", b"X-Forwarded-For: 6.6.6.6, 203.0.113.7:99\r\nX-Forwarded-Proto: https\r\nHost"
        )
        assert (await one.ask(forwarded))[0] == (await two.ask(GET))[0] == 200
    assert [(e.client, e.peer, e.scheme) for e in proxy.seen] == [
        ("203.0.113.7", "127.0.0.1", "https"),
        ("127.0.0.1", "127.0.0.1", "http"),
    ]


async def test_an_attack_on_the_head_is_answered_while_it_still_sends():
    for start, status in (
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", 431),
        (b"GET /", 414),
    ):
        async with serving(ScriptedProxy()) as (_, port), calling(port) as caller:
            caller.send(start + b"a" * 300_000)
            got, headers, _ = await caller.answer()
            assert (got, headers["connection"]) == (status, "close")


async def test_5000_fields_are_431():
    async with serving(ScriptedProxy(limits=EdgeLimits(head=1 << 20))) as (_, port), calling(port) as caller:
        assert (await caller.ask(GET[:-2] + b"X: 1\r\n" * 5000 + b"\r\n"))[0] == 431


async def test_a_rejection_waits_until_it_is_recorded():
    proxy = ScriptedProxy()
    proxy.recorded = asyncio.get_running_loop().create_future()
    async with serving(proxy) as (_, port), calling(port) as caller:
        caller.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await until(lambda: proxy.rejections == {"BAD_REQUEST": 1})
        caller.writer.write(GET)  # what comes behind is no request any more
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(caller.reader.read(1), 0.05)
        proxy.recorded.set_result(None)
        assert (await caller.reader.read()).startswith(b"HTTP/1.1 400 ")
    assert proxy.seen == []


async def test_a_rejection_that_is_not_recorded_in_time_is_not_answered():
    proxy = ScriptedProxy(limits=EdgeLimits(head_timeout=0.05))
    proxy.recorded = asyncio.get_running_loop().create_future()
    async with serving(proxy, sweep_seconds=0.01) as (server, port), calling(port) as caller:
        caller.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert await caller.reader.read() == b""
        await until(lambda: server.connections == 0)
        proxy.recorded.set_result(None)  # and the late future does no harm
        await asyncio.sleep(0)
