"""HTTP/2 against a real server, hypercorn, over TLS and with prior knowledge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hypercorn.asyncio
import pytest
import trustme
from hypercorn.config import Config, Sockets

from gateway.errors import Refused, Sent, UpstreamError
from gateway.exchange import Outcome
from gateway.stream import Stream
from tests.upstream.origins import body_of, call, ok, origin, stream_of, upstream

FLOOD = 32 * 1024 * 1024
"""More than the window that all calls on a connection share."""
Scope = dict[str, Any]


class App:
    """An ASGI origin that remembers what it saw."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.gone = asyncio.Event()
        self.reached = asyncio.Event()

    async def __call__(
        self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.scopes.append(scope)
        self.reached.set()
        path = scope["path"]
        if path == "/slow":
            while (await receive())["type"] != "http.disconnect":
                pass
            self.gone.set()
            return
        if path == "/flood":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(FLOOD // 65536):
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await send({"type": "http.response.body"})
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status = int(path[8:]) if path.startswith("/status/") else 200
        headers = [(b"x-a", b"1"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if path == "/stall":
            await send({"type": "http.response.body", "body": body[:1], "more_body": True})
            await asyncio.sleep(60)
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def http2(
    app: App, *, certificate: trustme.LeafCert | None = None, path: Path | None = None
) -> AsyncIterator[str]:
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 0.1
    if certificate is not None and path is not None:
        certificate.cert_chain_pems[0].write_to_path(path / "cert.pem")
        certificate.private_key_pem.write_to_path(path / "key.pem")
        config.certfile, config.keyfile = str(path / "cert.pem"), str(path / "key.pem")
    made: list[Sockets] = []
    create = config.create_sockets

    def create_sockets() -> Sockets:
        made.append(create())
        return made[0]

    config.create_sockets = create_sockets  # type: ignore[method-assign]
    stop = asyncio.Event()
    server = asyncio.ensure_future(
        hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]
    )
    while not made:
        await asyncio.sleep(0.001)
    sockets = made[0].secure_sockets if certificate else made[0].insecure_sockets
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{sockets[0].getsockname()[1]}"
    finally:
        stop.set()
        await server


async def test_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    app = App()
    certificate = authority.issue_cert("games.aurora.example")
    tls = {"ca": authority.cert_pem.bytes().decode(), "server_name": "games.aurora.example"}
    async with http2(app, certificate=certificate, path=tmp_path) as url:
        async with upstream(url, http2=True, tls=tls) as up:
            for number in range(2):
                exchange = call("POST", "/echo?x=%2F", body=b"bet", headers=[(b"x-b", b"2")])
                exchange.trace_id = "ab" * 16
                response = await up(exchange)
                assert (response.status, await body_of(response)) == (200, b"bet")
                assert response.headers[:2] == [(b"x-a", b"1"), (b"content-length", b"3")]
                [attempt] = exchange.attempts
                assert (attempt.status, attempt.sent, attempt.reused) == (200, Sent.YES, number > 0)
                assert (attempt.request_bytes, attempt.response_bytes) == (3, 3)
                assert attempt.started_ns <= attempt.connected_ns <= attempt.head_ns <= attempt.ended_ns
        async with upstream(url, http2=True) as up:
            with pytest.raises(UpstreamError) as caught:
                await up(call())
            assert (caught.value.reason, caught.value.sent) == ("tls", Sent.NO)
    scope = app.scopes[0]
    assert scope["http_version"] == "2"
    assert scope["raw_path"] == b"/echo"
    assert scope["query_string"] == b"x=%2F"
    headers = dict(scope["headers"])
    assert headers[b"x-b"] == b"2"
    assert headers[b"x-forwarded-for"] == b"127.0.0.1"
    assert headers[b"traceparent"].startswith(b"00-" + b"ab" * 16)
    assert not {b"user-agent", b"accept", b"accept-encoding", b"connection"} & set(headers)


async def test_with_prior_knowledge_streaming_both_ways() -> None:
    app = App()
    async with http2(app) as url, upstream(url + "/x/..", http2=True) as up:
        body, _ = stream_of(*[b"y" * 65536] * 32)
        exchange = call("POST", "/echo", body=body)
        response = await up(exchange)
        assert await body_of(response) == b"y" * 65536 * 32
        assert exchange.attempts[0].request_bytes == exchange.attempts[0].response_bytes == 65536 * 32
        assert app.scopes[0]["raw_path"] == b"/x/../echo"  # as it was said, never normalised


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 404)])
async def test_statuses(method: str, status: int) -> None:
    async with http2(App()) as url, upstream(url, http2=True) as up:
        response = await up(call(method, f"/status/{status}"))
        assert (response.status, await body_of(response)) == (status, b"")


async def test_a_cancelled_call_ends_at_the_origin_too_and_spares_the_others() -> None:
    app = App()
    async with http2(app) as url, upstream(url, http2=True) as up:
        task = asyncio.ensure_future(up(call("GET", "/slow")))
        await app.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(app.gone.wait(), 5)
        assert (await up(call("GET", "/echo"))).status == 200


async def test_a_reader_that_wants_no_more() -> None:
    app = App()
    async with http2(app) as url, upstream(url, http2=True) as up:
        for _ in range(3):
            exchange = call("GET", "/flood")
            response = await up(exchange)
            assert isinstance(response.body, Stream)
            await response.body.read()
            response.discard()
            assert exchange.attempts[0].error == "cancelled"
        response = await up(call("GET", "/flood"))
        assert isinstance(response.body, Stream)
        count = 0
        while data := await response.body.read():
            count += len(data)
        response.finish(Outcome.COMPLETE)
        assert count == FLOOD


async def test_an_answer_nobody_wants_does_not_starve_the_others() -> None:
    app = App()
    async with http2(app) as url, upstream(url, http2=True) as up:
        responses = [await up(call("GET", "/flood")) for _ in range(3)]
        for response in responses[:2]:
            response.discard()
        assert len(await body_of(responses[2])) == FLOOD
        assert await body_of(await up(call("POST", "/echo", body=b"bet"))) == b"bet"
        assert repr(up).endswith("1 idle, 0 waiting>]>")


@pytest.mark.parametrize(
    ("path", "timeout", "reason"),
    [
        ("/slow", {"response": "50ms"}, "response_timeout"),
        ("/slow", {"total": "50ms"}, "total_timeout"),
        ("/stall", {"idle": "50ms"}, "idle_timeout"),
        ("/stall", {"total": "80ms"}, "total_timeout"),
    ],
)
async def test_deadlines(path: str, timeout: dict[str, str], reason: str) -> None:
    async with http2(App()) as url, upstream(url, http2=True, timeout=timeout) as up:
        with pytest.raises(UpstreamError) as caught:
            await body_of(await up(call("POST", path, body=b"bet")))
        assert (caught.value.code, caught.value.reason) == ("UPSTREAM_TIMEOUT", reason)
        assert caught.value.sent is (Sent.YES if path == "/stall" else Sent.UNKNOWN)


async def test_the_calls_own_deadline() -> None:
    async with http2(App()) as url, upstream(url, http2=True) as up:
        exchange = call("GET", "/slow")
        exchange.deadline = asyncio.get_running_loop().time() + 0.05
        with pytest.raises(UpstreamError):
            await up(exchange)


async def test_what_breaks_the_callers_body_ends_the_call() -> None:
    async with http2(App()) as url, upstream(url, http2=True) as up:
        body = Stream()
        body.feed(b"x")
        body.fail(Refused("BODY_TOO_LARGE"))
        with pytest.raises(Refused):
            await up(call("POST", "/echo", body=body))


async def test_an_origin_that_speaks_no_http2() -> None:
    async with origin(ok()) as place, upstream(place, http2=True, timeout={"response": "100ms"}) as up:
        exchange = call()
        with pytest.raises(UpstreamError) as caught:
            await up(exchange)
        assert caught.value.sent is not Sent.YES


async def test_no_websocket() -> None:
    async with upstream("http://127.0.0.1:9", http2=True) as up:
        exchange = call()
        exchange.upgrade = True
        with pytest.raises(Refused) as caught:
            await up(exchange)
        assert caught.value.code == "NOT_IMPLEMENTED"
