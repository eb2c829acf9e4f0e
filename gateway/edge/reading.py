"""Cuts requests out of what arrives: whole heads are read at once, bodies are fed to their exchange.

What arrives behind a complete request is kept, unparsed, until its answer is written: what it means
depends on that answer.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from typing import TYPE_CHECKING

from gateway.edge.body import RequestBody
from gateway.edge.head import check_unfinished
from gateway.edge.wire import BODY, DEAF, HEAD, NEVER, TUNNEL, WAITING, Wire
from gateway.errors import Refused
from gateway.exchange import Exchange
from gateway.stream import Stream

if TYPE_CHECKING:
    from gateway.edge.server import EdgeServer

log = logging.getLogger("gateway.edge")

AHEAD = 64 * 1024
"""Bytes kept of pipelined requests before reading pauses; till then we notice when the caller leaves."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestReader(Wire):
    """Ends in `_start` for every request that can be answered, in `_reject` for what is too broken."""

    __slots__ = ("_body", "_incoming", "_kept", "_task")

    def __init__(self, server: EdgeServer) -> None:
        super().__init__(server)
        self._kept = b""
        """What has arrived and was not read yet: part of a head, or what is pipelined behind a request."""
        self._body: RequestBody | None = None
        self._task: asyncio.Task[None] | None = None
        """Answers the request that was read last; None once that is done."""
        self._incoming: Stream | None = None
        """What an upgraded caller sends."""

    @abstractmethod
    def _start(self, exchange: Exchange, refused: Refused | None) -> None:
        """A request's head is read, its body attached: answer it, or tell why it is refused."""

    @abstractmethod
    def _reject(self, refusal: Refused) -> None:
        """Answer what never became an exchange, and close."""

    @abstractmethod
    def _proceed(self) -> None:
        """The answer is written and the rest of its request's body is read: go on with what is kept."""

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
            assert self._incoming is not None
            self._incoming.feed(data)

    def _collect_head(self, data: bytes) -> None:
        kept = self._kept
        searched = 0
        if kept:
            data = kept + data
            searched = max(0, len(kept) - 3)
        if data.startswith(b"\r\n"):  # RFC 9112 §2.2: one empty line may precede a request
            data = data[2:]
        end = data.find(b"\r\n\r\n", searched)
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
        if self.peer_certificate is not None:
            exchange.peer_certificate = self.peer_certificate
        framing = intake.head
        self.keep_alive = framing.keep_alive
        self.read_deadline = NEVER
        limit = limits.body
        refused: Refused | None = None
        try:
            proxy.find(exchange)
            limit = exchange.route.body_limit
        except Refused as refusal:
            refused = refusal
        except Exception:  # `answer` will meet it again, and answers it
            log.debug("no route was found", exc_info=True)
        length, chunked = framing.content_length, framing.chunked
        if length <= len(rest) and length <= limit and not chunked:
            # Nearly always: there is no body, or all of it is here.
            self._state = WAITING
            self._kept = rest[length:]
            if length:
                exchange.body = rest[:length]
                exchange.body_bytes = length
        else:
            try:
                self._open_body(exchange, length, chunked, limit, rest)
            except Refused as refusal:
                self._state = DEAF
                refused = refused or refusal
        self._start(exchange, refused)

    def _open_body(self, exchange: Exchange, length: int, chunked: bool, limit: int, rest: bytes) -> None:
        """Set `exchange.body`: bytes where all of it came with the head, else a stream. Raises `Refused`."""
        body = RequestBody(length, chunked, limit, self.server.intake.head.expects_continue)
        data = body.take(rest)
        exchange.body_bytes = body.received
        if body.complete:
            exchange.body = data
            self._state = WAITING
            self._kept = body.rest
            return
        self._state = BODY
        self._body = body
        exchange.body = body.stream = Stream(on_pause=self._pause, on_resume=self._resume)
        if body.expects_continue:
            body.stream.on_read = self._send_continue
        else:
            self._await_body()
        if data:
            body.stream.feed(data)

    def _take_body(self, data: bytes) -> None:
        body = self._body
        assert body is not None
        assert body.stream is not None
        try:
            piece = body.take(data)
        except Refused as refusal:
            self._spoil(refusal)
            return
        if piece:
            body.stream.feed(piece)
        if not body.complete:
            if piece and not self._paused:
                self.read_deadline = body.deadline(self.server.now(), self.server.proxy.limits)
            return
        body.stream.end()
        self.read_deadline = NEVER
        self._state = WAITING
        self._kept = body.rest
        if self._task is None:  # the answer was early, this was its small rest
            self._proceed()

    def _spoil(self, refusal: Refused) -> None:
        """The body will never be whole: tell its reader, and listen no more."""
        assert self._body is not None
        assert self._body.stream is not None
        self._body.stream.fail(refusal)
        self._state = DEAF
        self.read_deadline = NEVER
        if self._task is None:
            self._close()

    def _send_continue(self) -> None:
        if self._body is not None and self._body.expects_continue and not self._lost:
            self._body.expects_continue = False
            self.server.outbox.flush()
            self.transport.write(_CONTINUE)
            self._await_body()

    def _resumed(self) -> None:
        if self._state == BODY:
            self._await_body()

    def _await_body(self) -> None:
        if self._body is not None and not self._body.expects_continue:
            self.read_deadline = self._body.begin_wait(self.server.now(), self.server.proxy.limits)
