"""One caller's connection: HTTP/1.1 in, exchanges through the proxy, answers out, one at a time and in order.

Three layers: `wire.py` is the socket and its deadlines, `reading.py` cuts requests out of what arrives,
and this answers them, one task per exchange.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from gateway.edge.reading import RequestReader
from gateway.edge.websocket import relay
from gateway.edge.wire import BODY, DEAF, HEAD, LINGER_SECONDS, NEVER, TUNNEL
from gateway.edge.writer import WHOLE, Framing, frame, switching_head, write_stream
from gateway.errors import GatewayError, Refused
from gateway.exchange import Exchange, Outcome, Response
from gateway.problem import problem_of
from gateway.stream import Stream

if TYPE_CHECKING:
    from gateway.edge.server import EdgeServer

log = logging.getLogger("gateway.edge")

TUNNEL_FLUSH_SECONDS = 1.0


class EdgeConnection(RequestReader):
    """Told by the transport what arrives, by the server's sweep that time is up."""

    __slots__ = ("_serving",)

    def __init__(self, server: EdgeServer) -> None:
        super().__init__(server)
        self._serving = False
        """The task has taken its first step."""

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.server.admit(self):
            self.read_deadline = self.server.now() + self.server.proxy.limits.head_timeout
        else:
            self._reject(Refused("BUSY", "too many open connections"))

    def eof_received(self) -> bool:
        """A caller that sends no more has left: nobody half-closes HTTP on purpose; so does nginx think."""
        self.server.outbox.flush()
        if self._state == TUNNEL:
            self._end_tunnel()
            return self.scheme == "http"
        self._leave()
        self.write_deadline = self.server.now() + LINGER_SECONDS
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._lost = True
        self.server.forget(self)
        self.read_deadline = self.write_deadline = NEVER
        if self._state == TUNNEL:
            self._end_tunnel()
        else:
            self._leave()

    def _end_tunnel(self) -> None:
        """What the caller sent last, a Close frame most likely, still passes, but not for ever."""
        assert self._incoming is not None
        self._incoming.end()
        if self._task is not None:
            asyncio.get_running_loop().call_later(TUNNEL_FLUSH_SECONDS, self._task.cancel)

    def _leave(self) -> None:
        if self._body is not None and self._body.stream is not None:
            self._body.stream.fail(Refused("BAD_REQUEST", "the caller left in the middle of the body"))
        if self._task is not None:
            self._lost = True
            if self._serving:  # a task cancelled before its first step would never account for its exchange
                self._task.cancel()

    # Answering.

    def _start(self, exchange: Exchange, refused: Refused | None) -> None:
        self.server.under_way += 1
        self._serving = False
        # Not `create_task`: numbering a task for its name takes a fifth of making it.
        self._task = asyncio.Task(
            self._serve(exchange, refused), loop=asyncio.get_running_loop(), name=exchange.trace_id
        )

    async def _serve(self, exchange: Exchange, refusal: Refused | None) -> None:
        """One exchange, from its chain to the last byte of its answer. Runs as a task of its own."""
        self._serving = True
        response: Response | None = None
        outcome = Outcome.CANCELLED
        try:
            if refusal is not None:
                response = await self.server.proxy.refused(exchange, refusal)
            elif not self._lost:
                try:
                    response = await self.server.proxy.forward(exchange)
                except Exception as error:  # noqa: BLE001 - `failed` logs what nobody foresaw
                    response = self.server.proxy.failed(exchange, error)
            if response is not None and not self._lost:
                if response.status == 101 and exchange.upgrade and await self._switch(response):
                    outcome = Outcome.COMPLETE
                else:
                    response, framing = self._frame(exchange, response)
                    whole = True
                    if self._write(response, framing):
                        assert isinstance(response.body, Stream)
                        whole = await write_stream(self, response.body, framing, response)
                    elif self._writable is not None:
                        await self._writable
                    outcome = Outcome.COMPLETE if whole else Outcome.FAILED
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

    def _frame(self, exchange: Exchange, response: Response) -> tuple[Response, Framing]:
        """How the answer is written; one that cannot be is given up for a 502."""
        server = self.server
        close = (
            not self.keep_alive
            or server.draining
            or exchange.upgrade  # what came behind a refused upgrade was never meant as a request
            or self._state == DEAF
            or (self._state == BODY and not (self._body is not None and self._body.small_rest))
        )
        framing = frame(exchange, response, close, server.date_line, server.field_line)
        if framing is None:
            response.discard()
            response = problem_of(exchange, server.unwritable)
            framing = frame(exchange, response, close, server.date_line, server.field_line)
            assert framing is not None
        self.keep_alive = not framing.close
        return response, framing

    def _write(self, response: Response, framing: Framing) -> bool:
        """Write the head, and the body where all of it is here. True where it is still to be read.

        Among others, a whole answer that does not end its connection waits for the end of the loop's turn.
        """
        write, body, server = self.transport.write, response.body, self.server
        if (
            server.under_way > 1
            and not isinstance(body, Stream)
            and len(body) <= WHOLE
            and not framing.close
            and self._writable is None
        ):
            if framing.length == 0:
                server.outbox.add(self._write_out, framing.head)
            else:
                response.sent_bytes = len(body)
                server.outbox.add(self._write_out, framing.head + body)
            return False
        server.outbox.flush()
        if framing.length == 0:
            write(framing.head)
            if isinstance(body, Stream):
                body.close()
        elif isinstance(body, Stream):
            write(framing.head)
            return True
        else:
            response.sent_bytes = len(body)
            if len(body) <= WHOLE:
                write(framing.head + body)
            else:
                self.transport.writelines((framing.head, body))
        return False

    async def _switch(self, response: Response) -> bool:
        head = switching_head(response)
        if head is None or response.tunnel is None:
            return False
        self.keep_alive = False
        self._state = TUNNEL
        self._incoming = Stream(on_pause=self._pause, on_resume=self._resume)
        kept, self._kept = self._kept, b""
        if kept:
            self._incoming.feed(kept)
        self._resume()
        self.server.outbox.flush()
        self.transport.write(head)
        await relay(self, self._incoming, response.tunnel, response)
        return True

    def _conclude(self, exchange: Exchange, response: Response | None, outcome: Outcome) -> None:
        """Tell everybody, once, that the exchange is over; then see how the connection goes on."""
        self._task = None
        if self._body is not None and self._body.stream is not None:
            exchange.body_bytes = self._body.received
            self._body.stream.close()
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
                self._kept = b""
                self._linger()
            else:
                self._close()
            return
        if self._paused:
            self._resume()
        if self._state == BODY:
            self._await_body()
            return
        self._state = HEAD
        self._body = None
        data, self._kept = self._kept, b""
        self.read_deadline = self.server.now() + self.server.proxy.limits.idle_timeout
        if data:
            self._collect_head(data)

    def _reject(self, refusal: Refused) -> None:
        """Answer what is too broken to be an exchange, and close: where would the next request begin?"""
        server = self.server
        exchange = server.intake.broken(self.peer, self.scheme)
        recorded = server.proxy.rejected(exchange, refusal)
        if recorded is None:
            self._tell_rejected(exchange, refusal)
            return
        self._state = DEAF
        self.read_deadline = server.now() + server.proxy.limits.head_timeout
        recorded.add_done_callback(partial(self._tell_rejected, exchange, refusal))

    def _tell_rejected(self, exchange: Exchange, refusal: Refused, _recorded: object = None) -> None:
        server = self.server
        if self.transport.is_closing():
            return
        response = problem_of(exchange, refusal)
        framing = frame(exchange, response, True, server.date_line)
        assert framing is not None
        assert isinstance(response.body, bytes)
        server.outbox.flush()
        self.transport.write(framing.head + response.body)
        self._linger()

    # Ending.

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
        else:
            self._linger_on(now)

    def __repr__(self) -> str:
        state = ("reading a head", "reading a body", "answering", "upgraded", "closing")[self._state]
        return f"<EdgeConnection from {self.peer}, {state}>"
