"""One caller's connection: HTTP/1.1 in, exchanges through the proxy, answers out, one at a time and in order.

The connection is always in one of five states. Whole heads are cut out of what arrives and read by
`head.py`; bodies are counted or de-chunked here and fed to the exchange. What arrives behind a
complete request is kept, unparsed, until its answer is written.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.edge.chunked import ChunkedDecoder
from gateway.edge.head import check_unfinished
from gateway.edge.websocket import relay
from gateway.edge.writer import WHOLE, frame, switching_head, write_stream
from gateway.errors import GatewayError, Refused
from gateway.exchange import Exchange, Outcome, Response, Stream
from gateway.problem import problem_of

if TYPE_CHECKING:
    from gateway.edge.server import EdgeServer

log = logging.getLogger("gateway.edge")

HEAD, BODY, WAITING, TUNNEL, DEAF = range(5)
"""Reading a head; reading a body; whole request read, answer under way; upgraded; no longer listening."""
NEVER = float("inf")
AHEAD = 64 * 1024
"""Bytes kept of pipelined requests before reading pauses; below that we still notice that the caller leaves."""
SMALL_REST = 64 * 1024
"""What of an unread body is read and dropped to keep the connection; more than that costs the connection."""
LINGER_SECONDS = 2.0
"""How long a caller that is still sending gets to read its answer before the socket is closed."""
TUNNEL_FLUSH_SECONDS = 1.0
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class EdgeConnection(asyncio.Protocol):
    """Told by the transport what arrives, by the server's sweep that time is up."""

    __slots__ = ("_body_began", "_body_limit", "_decoder", "_expects", "_kept", "_left", "_lost", "_paused",
                 "_received", "_serving", "_state", "_stream", "_task", "_writable", "keep_alive", "peer",
                 "peer_certificate", "read_deadline", "scheme", "server", "transport", "trusted",
                 "write_deadline")  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, server: EdgeServer) -> None:
        self.server = server
        self.peer = ""
        self.trusted = False
        self.scheme = "http"
        self.peer_certificate: bytes | None = None
        self.keep_alive = True
        self.read_deadline = NEVER
        """Monotonic seconds by which something must have arrived."""
        self.write_deadline = NEVER
        """Monotonic seconds by which the caller must have taken what waits for it."""
        self._state = HEAD
        self._kept = b""
        self._task: asyncio.Task[None] | None = None
        self._serving = False
        self._lost = False
        self._paused = False
        self._writable: asyncio.Future[None] | None = None
        self._stream: Stream | None = None
        self._decoder: ChunkedDecoder | None = None
        self._left = self._received = self._body_limit = 0
        self._body_began = 0.0
        self._expects = False

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        server = self.server
        self.peer, self.trusted = server.intake.addresses.of_peer(transport.get_extra_info("peername"))
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.scheme = "https"
            self.peer_certificate = tls.getpeercert(binary_form=True)
        if server.admit(self):
            self.read_deadline = server.now() + server.proxy.limits.head_timeout
        else:
            self._reject(Refused("BUSY", "too many open connections"))

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state == HEAD:
            self._collect_head(data)
        elif state == BODY:
            self._take_body(data)
        elif state == WAITING:
            self._kept += data
            if len(self._kept) > AHEAD:
                self._pause()
        elif state == TUNNEL:
            assert self._stream is not None
            self._stream.feed(data)

    def eof_received(self) -> bool:
        """A caller that sends no more has left: nobody half-closes HTTP on purpose (nginx, Envoy do the same)."""
        if self._state == TUNNEL:
            assert self._stream is not None
            self._stream.end()  # what it sent last, a Close frame most likely, still passes
            return self.scheme == "http"
        self._leave()
        self.write_deadline = self.server.now() + LINGER_SECONDS
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self.server.forget(self)
        self.read_deadline = self.write_deadline = NEVER
        if self._state == TUNNEL and self._task is not None:
            assert self._stream is not None
            self._stream.end()
            asyncio.get_running_loop().call_later(TUNNEL_FLUSH_SECONDS, self._task.cancel)
        else:
            self._leave()

    def _leave(self) -> None:
        if self._stream is not None:
            self._stream.fail(Refused("BAD_REQUEST", "the caller left in the middle of the body"))
        if self._task is not None:
            self._lost = True
            if self._serving:  # a task cancelled before its first step would never account for its exchange
                self._task.cancel()

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()
        self.write_deadline = self.server.now() + self.server.proxy.limits.write_timeout

    def resume_writing(self) -> None:
        self.write_deadline = NEVER
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    async def drain(self) -> None:
        """Wait while the caller's socket is full."""
        if self._writable is not None:
            await self._writable

    # Reading a request.

    def _collect_head(self, data: bytes) -> None:
        kept = self._kept
        if kept:
            data = kept + data
        if data.startswith(b"\r\n"):  # RFC 9112 §2.2: one empty line may precede a request
            data = data[2:]
        end = data.find(b"\r\n\r\n", max(0, len(kept) - 3))
        if end < 0:
            self._kept = data
            limits = self.server.proxy.limits
            if data and not kept:
                self.read_deadline = self.server.now() + limits.head_timeout
            try:
                if data and data != b"\r":
                    check_unfinished(data, limits)
            except Refused as refusal:
                self._reject(refusal)
            return
        end += 4
        self._kept = b""
        self._begin(data[:end], data[end:])

    def _begin(self, head: bytes, rest: bytes) -> None:
        """A head is complete: make its exchange, see to its body, and serve it."""
        server = self.server
        proxy, intake = server.proxy, server.intake
        limits = proxy.limits
        try:
            exchange = intake.exchange(head, limits, self.peer, self.trusted, self.scheme)
        except Refused as refusal:
            self._reject(refusal)
            return
        exchange.peer_certificate = self.peer_certificate
        framing = intake.head
        self.keep_alive = framing.keep_alive
        self.read_deadline = NEVER
        self._body_limit = limits.body
        refusal_: Refused | None = None
        try:
            proxy.find(exchange)
            self._body_limit = exchange.route.body_limit
        except Refused as refusal:
            refusal_ = refusal
        except Exception:  # noqa: BLE001 - `answer` will meet it again, and answers it
            log.debug("no route was found", exc_info=True)
        if framing.chunked or framing.content_length:
            try:
                self._open_body(
                    exchange, framing.content_length, framing.chunked, framing.expects_continue, rest
                )
            except Refused as refusal:
                self._state = DEAF
                refusal_ = refusal_ or refusal
        else:
            self._state = WAITING
            self._kept = rest
        server.under_way += 1
        self._serving = False
        self._task = asyncio.get_running_loop().create_task(self._serve(exchange, refusal_))

    def _open_body(self, exchange: Exchange, length: int, chunked: bool, expects: bool, rest: bytes) -> None:
        """Set `exchange.body`: bytes where all of it came with the head, else a stream. Raises `Refused`."""
        decoder = ChunkedDecoder() if chunked else None
        if decoder is not None:
            data = decoder.feed(rest)
            complete, rest = decoder.done, decoder.rest
        else:
            data, rest = rest[:length], rest[length:]
            complete = len(data) == length
        if max(length, len(data)) > self._body_limit:
            raise self._too_large()
        self._received = exchange.body_bytes = len(data)
        if complete:
            exchange.body = data
            self._state = WAITING
            self._kept = rest
            return
        self._state = BODY
        self._decoder = decoder
        self._left = length - len(data)
        self._expects = expects and not data
        exchange.body = self._stream = Stream(on_pause=self._pause, on_resume=self._resume, high=WHOLE * 4)
        if self._expects:
            self._stream.on_read = self._send_continue
        else:
            self._await_body()
        if data:
            self._stream.feed(data)

    def _take_body(self, data: bytes) -> None:
        assert self._stream is not None
        if self._decoder is not None:
            try:
                piece = self._decoder.feed(data)
            except Refused as refusal:
                self._spoil(refusal)
                return
            complete, rest = self._decoder.done, self._decoder.rest
        else:
            piece, rest = (data, b"") if len(data) <= self._left else (data[: self._left], data[self._left :])
            self._left -= len(piece)
            complete = not self._left
        self._expects = False
        self._received += len(piece)
        if self._received > self._body_limit:
            self._spoil(self._too_large())
            return
        if piece:
            self._stream.feed(piece)
        if not complete:
            if piece and not self._paused:
                self._set_body_deadline()
            return
        self._stream.end()
        self._stream = self._decoder = None
        self.read_deadline = NEVER
        self._state = WAITING
        self._kept = rest
        if self._task is None:  # the answer was early, this was its small rest
            self._proceed()

    def _too_large(self) -> Refused:
        return Refused("BODY_TOO_LARGE", f"the body may have {self._body_limit} bytes here")

    def _spoil(self, refusal: Refused) -> None:
        """The body will never be whole: tell its reader, and listen no more."""
        assert self._stream is not None
        self._stream.fail(refusal)
        self._state = DEAF
        self.read_deadline = NEVER
        if self._task is None:
            self._close()

    def _send_continue(self) -> None:
        if self._expects and not self._lost:
            self._expects = False
            self.transport.write(_CONTINUE)
            self._await_body()

    def _await_body(self) -> None:
        """From now on the caller must keep sending: each time we are ready for more, its average starts anew."""
        self._body_began = self.server.now()
        self._set_body_deadline()

    def _set_body_deadline(self) -> None:
        limits = self.server.proxy.limits
        now, wait = self.server.now(), limits.body_timeout
        self.read_deadline = min(now + wait, self._body_began + wait + self._received / limits.slowest_body)

    def _pause(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.read_deadline = NEVER
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()
            if self._state == BODY:
                self._await_body()

    # Answering.

    async def _serve(self, exchange: Exchange, refusal: Refused | None) -> None:
        """One exchange, from its chain to the last byte of its answer. Runs as a task of its own."""
        self._serving = True
        response: Response | None = None
        outcome = Outcome.CANCELLED
        try:
            if not self._lost:
                response = (
                    problem_of(exchange, refusal) if refusal else await self.server.proxy.answer(exchange)
                )
            if response is not None and not self._lost:
                if response.status == 101 and exchange.upgrade and await self._switch(response):
                    outcome = Outcome.COMPLETE
                else:
                    response, outcome = await self._write(exchange, response)
        except asyncio.CancelledError:
            outcome = Outcome.CANCELLED
        except GatewayError as error:
            log.info("answer to %s broke off: %s", exchange.trace_id, error)
            outcome = Outcome.FAILED
        except Exception:
            log.exception("answer to %s broke off", exchange.trace_id)
            outcome = Outcome.FAILED
        finally:
            self._conclude(exchange, response, outcome)

    async def _write(self, exchange: Exchange, response: Response) -> tuple[Response, Outcome]:
        server, transport = self.server, self.transport
        close = (
            not self.keep_alive
            or server.draining
            or exchange.upgrade  # what came behind a refused upgrade was never meant as a request
            or self._state == DEAF
            or (self._state == BODY and (self._expects or not 0 < self._left <= SMALL_REST))
        )
        framing = frame(exchange, response, close, server.date_line)
        if framing is None:
            response.discard()
            response = problem_of(exchange, server.unwritable)
            framing = frame(exchange, response, close, server.date_line)
            assert framing is not None
        self.keep_alive = not framing.close
        body = response.body
        if framing.length == 0 or not isinstance(body, Stream):
            if framing.length == 0:
                transport.write(framing.head)
                if isinstance(body, Stream):
                    body.close()
            else:
                assert isinstance(body, bytes)
                response.sent_bytes = len(body)
                if len(body) <= WHOLE:
                    transport.write(framing.head + body)
                else:
                    transport.writelines((framing.head, body))
            if self._writable is not None:
                await self._writable
            return response, Outcome.COMPLETE
        transport.write(framing.head)
        whole = await write_stream(self, body, framing, response)
        return response, Outcome.COMPLETE if whole else Outcome.FAILED

    async def _switch(self, response: Response) -> bool:
        head = switching_head(response)
        if head is None or response.tunnel is None:
            return False
        self.keep_alive = False
        self._state = TUNNEL
        self._stream = Stream(on_pause=self._pause, on_resume=self._resume)
        kept, self._kept = self._kept, b""
        if kept:
            self._stream.feed(kept)
        self._resume()
        self.transport.write(head)
        await relay(self, self._stream, response.tunnel, response)
        return True

    def _conclude(self, exchange: Exchange, response: Response | None, outcome: Outcome) -> None:
        """Tell everybody, once, that the exchange is over; then see how the connection goes on."""
        self._task = None
        exchange.body_bytes = self._received if isinstance(exchange.body, Stream) else exchange.body_bytes
        if isinstance(exchange.body, Stream):
            exchange.body.close()
        try:
            if response is not None:
                if outcome is not Outcome.COMPLETE:
                    if isinstance(response.body, Stream):
                        response.body.close()
                    if response.tunnel is not None:
                        response.tunnel.close()
                response.finish(outcome)
        finally:
            self.server.under_way -= 1
            self.server.proxy.done(exchange, response, outcome)
            if self._lost or outcome is not Outcome.COMPLETE:
                self.transport.abort()  # never a clean end of a broken body
            else:
                self._proceed()

    def _proceed(self) -> None:
        """The answer is written: the next request, the rest of this one's body, or the end."""
        if not self.keep_alive or self._state == DEAF:
            if self._state in (BODY, DEAF) or self._kept:
                self._linger()
            else:
                self._close()
            return
        self._resume()
        if self._state == BODY:
            self._await_body()
            return
        self._state = HEAD
        self._stream = self._decoder = None
        self._received = 0
        data, self._kept = self._kept, b""
        self.read_deadline = self.server.now() + self.server.proxy.limits.idle_timeout
        if data:
            self._collect_head(data)

    def _reject(self, refusal: Refused) -> None:
        """Answer what is too broken to become an exchange, and close: nobody knows where the next request begins."""
        server = self.server
        server.proxy.rejected(refusal.code)
        exchange = server.intake.broken(self.peer, self.scheme)
        response = problem_of(exchange, refusal)
        framing = frame(exchange, response, True, server.date_line)
        assert framing is not None
        assert isinstance(response.body, bytes)
        self.transport.write(framing.head + response.body)
        self._linger()

    # Ending.

    def _linger(self) -> None:
        """Close our half and read on for a moment: a reset would take the answer from a caller still sending."""
        self._state = DEAF
        self._kept = b""
        self._resume()
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        now = self.server.now()
        self.read_deadline = now + LINGER_SECONDS
        self.write_deadline = now + self.server.proxy.limits.write_timeout

    def _close(self) -> None:
        self._state = DEAF
        self.read_deadline = NEVER
        self.write_deadline = self.server.now() + self.server.proxy.limits.write_timeout
        self.transport.close()

    def close_if_idle(self) -> None:
        """Close between two requests; a head that has begun still gets its answer."""
        if self._state == HEAD and not self._kept:
            self._close()

    def sweep(self, now: float) -> None:
        """A deadline has passed: see which, and what that means."""
        if now >= self.write_deadline:
            self.transport.abort()
            return
        if now < self.read_deadline:
            return
        self.read_deadline = NEVER
        if self._state == HEAD:
            if self._kept:
                self._reject(Refused("REQUEST_TIMEOUT", "the head did not arrive in time"))
            else:
                self._close()
        elif self._state == BODY:
            self._spoil(Refused("REQUEST_TIMEOUT", "the body did not arrive in time"))
        elif self.transport.get_write_buffer_size():
            self.read_deadline = now + LINGER_SECONDS  # still taking its answer: the write deadline decides
        else:
            self.transport.abort()

    def __repr__(self) -> str:
        state = ("reading a head", "reading a body", "answering", "upgraded", "closing")[self._state]
        return f"<EdgeConnection from {self.peer}, {state}>"
