"""The other entrance: the same proxy as a raw ASGI callable, for any ASGI server and for tests.

Strictness about framing, deadlines and connection caps are then that server's, and so are its
weaknesses. WebSocket cannot pass this way: a tunnel carries bytes, ASGI carries messages. It is
refused, with 501 where the server can say so, else with close code 1011.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gateway.audit.auditor import PATIENCE_SECONDS
from gateway.edge.client_address import Network
from gateway.edge.intake import Intake
from gateway.edge.sampling import Sampling
from gateway.edge.writer import frame
from gateway.errors import Refused, Sent, UpstreamError
from gateway.exchange import Exchange, Outcome, Response
from gateway.problem import problem_of
from gateway.stream import Stream

if TYPE_CHECKING:
    from gateway.edge.proxy import Proxy

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_UNWRITABLE = UpstreamError("UPSTREAM_INVALID", "the answer's status or fields are not valid", sent=Sent.YES)


class AsgiEntrance:
    """`await entrance(scope, receive, send)`."""

    def __init__(
        self,
        proxy: Proxy,
        *,
        trusted_proxies: Iterable[str | Network] = (),
        sampling: Sampling = Sampling(),  # noqa: B008 - a tuple is immutable
        certificate_header: str = "",
    ) -> None:
        self.proxy = proxy
        self.intake = Intake(trusted_proxies, sampling, certificate_header)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Call(self, receive, send).run(scope)
        elif scope["type"] == "websocket":
            await self._refuse_websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})

    async def _refuse_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        refusal = Refused("NOT_IMPLEMENTED", "WebSocket passes through the gateway's own edge only")
        stand_in = self.intake.broken("127.0.0.1", "http")
        await _recorded(self.proxy.rejected(stand_in, refusal))
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1011})
            return
        response = problem_of(stand_in, refusal)
        headers = [*response.headers]
        await send({"type": "websocket.http.response.start", "status": response.status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": response.body})


async def _recorded(recorded: asyncio.Future[None] | None) -> None:
    if recorded is not None:
        await asyncio.wait([recorded], timeout=PATIENCE_SECONDS)


class _Call:
    """One http scope: a task listens for body and disconnect while another one answers."""

    def __init__(self, entrance: AsgiEntrance, receive: Receive, send: Send) -> None:
        self.entrance = entrance
        self.receive = receive
        self.send = send
        self.body = Stream(on_pause=self._pause, on_resume=self._resume)
        self.limit = entrance.proxy.limits.body
        self.ready = asyncio.Event()
        self.ready.set()
        self.left = False

    def _too_large(self) -> Refused:
        return Refused("BODY_TOO_LARGE", f"the body may have {self.limit} bytes here")

    def _pause(self) -> None:
        self.ready.clear()

    def _resume(self) -> None:
        self.ready.set()

    async def run(self, scope: Scope) -> None:
        """Answer, or stop answering when the caller leaves."""
        entrance = self.entrance
        try:
            exchange = self._exchange(scope)
        except Refused as refusal:
            stand_in = entrance.intake.broken("127.0.0.1", scope.get("scheme", "http"))
            await _recorded(entrance.proxy.rejected(stand_in, refusal))
            await self._write(stand_in, problem_of(stand_in, refusal))
            return
        answering = asyncio.ensure_future(self._answer(exchange))
        listening = asyncio.ensure_future(self._listen(exchange, answering))
        try:
            await answering
        except asyncio.CancelledError:
            if not self.left:
                answering.cancel()
                raise
        finally:
            listening.cancel()
            await asyncio.gather(answering, listening, return_exceptions=True)

    def _exchange(self, scope: Scope) -> Exchange:
        entrance = self.entrance
        intake = entrance.intake
        target = scope.get("raw_path") or quote(scope["path"], safe="/!$&'()*+,=:@").encode()
        if scope.get("query_string"):
            target = b"%b?%b" % (target, scope["query_string"])
        version = "1.1" if scope.get("http_version", "1.1").startswith(("2", "3")) else scope["http_version"]
        intake.head.take(scope["method"], target, version, list(scope["headers"]), entrance.proxy.limits)
        peer, trusted = intake.addresses.of_peer(scope.get("client") and tuple(scope["client"]))
        exchange = intake.make(peer, trusted, scope.get("scheme", "http"))
        if intake.head.content_length or intake.head.chunked:
            exchange.body = self.body
        if exchange.upgrade:
            raise Refused("NOT_IMPLEMENTED", "WebSocket passes through the gateway's own edge only")
        return exchange

    async def _listen(self, exchange: Exchange, answering: asyncio.Future[None]) -> None:
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                self.left = True
                self.body.fail(Refused("BAD_REQUEST", "the caller left in the middle of the body"))
                answering.cancel()
                return
            data = message.get("body", b"")
            exchange.body_bytes += len(data)
            if exchange.body_bytes > self.limit:
                self.body.fail(self._too_large())
            elif data:
                self.body.feed(data)
            if not message.get("more_body", False):
                self.body.end()
            await self.ready.wait()

    async def _answer(self, exchange: Exchange) -> None:
        proxy = self.entrance.proxy
        response: Response | None = None
        outcome = Outcome.FAILED
        try:
            try:
                proxy.find(exchange)
                self.limit = exchange.route.body_limit
            except Refused as refusal:
                response = await proxy.refused(exchange, refusal)
            else:
                length = exchange.header(b"content-length")
                if length is not None and int(length) > self.limit:
                    response = await proxy.refused(exchange, self._too_large())
                else:
                    response = await proxy.answer(exchange)
            response = await self._write(exchange, response)
            outcome = Outcome.COMPLETE
        except asyncio.CancelledError:
            outcome = Outcome.CANCELLED
            raise
        finally:
            self.body.close()
            self._resume()
            if response is not None:
                if outcome is not Outcome.COMPLETE and isinstance(response.body, Stream):
                    response.body.close()
                response.finish(outcome)
            proxy.done(exchange, response, outcome)

    async def _write(self, exchange: Exchange, response: Response) -> Response:
        """Send the answer. An error in mid-body goes to the server, which breaks the connection off."""
        framing = frame(exchange, response, False, b"")
        if framing is None:
            response.discard()
            response = problem_of(exchange, _UNWRITABLE)
            framing = frame(exchange, response, False, b"")
            assert framing is not None
        headers = [
            item for item in response.headers if item[0] not in (b"content-length", b"transfer-encoding")
        ]
        if framing.declared is not None:
            headers.append((b"content-length", b"%d" % framing.declared))
        await self.send({"type": "http.response.start", "status": response.status, "headers": headers})
        body = response.body
        if framing.length == 0:
            if isinstance(body, Stream):
                body.close()
        elif isinstance(body, Stream):
            while data := await body.read():
                response.sent_bytes += len(data)
                await self.send({"type": "http.response.body", "body": data, "more_body": True})
            if framing.length is not None and response.sent_bytes != framing.length:
                raise UpstreamError("UPSTREAM_INVALID", "the answer's body has another length", sent=Sent.YES)
        else:
            response.sent_bytes = len(body)
            await self.send({"type": "http.response.body", "body": body})
            return response
        await self.send({"type": "http.response.body", "body": b""})
        return response
