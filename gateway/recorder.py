"""In the worker: one compact record per exchange, kept in a bounded buffer, sent in batches, never waiting.

A slow observer fills the buffer, a dead one too; then records are given up and counted, and calls go on.
The worker's own metrics of calls are kept here as well, since this is where every call ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from operator import attrgetter
from typing import Any, cast

from gateway.exchange import Exchange, Outcome
from gateway.metrics import Histogram, Metrics
from gateway.record import NO_ROUTE, VERSION, Batch, RouteEntry, encode, plain

FLUSH_RECORDS = 64
"""Marshalling these takes about 0.2 ms, which is as long as the worker's loop should be held up."""
FLUSH_SECONDS = 0.1
CAPACITY = 8192
"""Records that wait for the observer: about a second of a busy worker."""
TEXT_LIMIT = 2048
"""Characters kept of anything the caller chose the length of: this bounds the buffer's bytes too."""
RECONNECT_SECONDS = (0.05, 2.0)
"""The first wait before connecting again, and the longest."""

_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"}
)
_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx", *["other"] * 4)
"""Status // 100 → the `status` label."""
_OUTCOMES = {outcome: str(outcome) for outcome in Outcome}
"""Exact strings: marshal takes no enum."""

Sink = Callable[[Batch], None]


class _Seen:
    """What the recorder keeps per route, so that a call has nothing to look up."""

    __slots__ = ("name", "number", "own", "route", "total", "upstream", "upstreams")

    def __init__(self, route: Any, number: int, entry: RouteEntry, *seconds: Histogram) -> None:
        self.route = route
        """Held, so that its `id` stays its own."""
        self.number = number
        self.name = entry.name
        self.upstream = entry.upstream
        labels = (entry.name, entry.upstream)
        self.total, self.own, self.upstreams = [histogram.durations(labels) for histogram in seconds]


class Recorder:
    """Takes note of every exchange when it has ended.

    `sink` takes batches in this process (tests, single-process embedding); else `attach` or `connect` to
    an observer. `entry` finds the `RouteEntry` of `exchange.route`.
    """

    def __init__(
        self,
        metrics: Metrics | None = None,
        *,
        worker: int = 0,
        sink: Sink | None = None,
        entry: Callable[[Any], RouteEntry] = attrgetter("entry"),
        capacity: int = CAPACITY,
    ) -> None:
        metrics = Metrics() if metrics is None else metrics
        self.worker = worker
        self.capacity = capacity
        self.in_flight = 0
        self.dropped = 0
        self._sink = sink
        self._entry = entry
        self._link: _Link | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._dialling: asyncio.Task[_Link | None] | None = None
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._buffer: list[tuple[Any, ...]] = []
        self._entries: list[RouteEntry] = [NO_ROUTE]
        self._numbers: dict[RouteEntry, int] = {NO_ROUTE: 0}
        self._routes_sent = 0
        self._requests = metrics.counter(
            "gateway_requests_total", "Calls that ended", ("route", "upstream", "method", "status", "code")
        )
        labels = ("route", "upstream")
        self._seconds = (
            metrics.histogram("gateway_request_seconds", "From first byte in to last byte out", labels),
            metrics.histogram("gateway_gateway_seconds", "The part of it no upstream attempt took", labels),
            metrics.histogram("gateway_request_upstream_seconds", "The part upstream attempts took", labels),
        )
        self._unrouted = _Seen(None, 0, NO_ROUTE, *self._seconds)
        self._seen: dict[int, _Seen] = {id(None): self._unrouted}
        self._dropped = metrics.counter("gateway_records_dropped_total", "Records given up")
        self._dropped.add((), 0)
        metrics.gauge("gateway_requests_in_flight", "Calls that routes have under way").watch(
            lambda: self.in_flight
        )

    # A call's two ends.

    def begin(self) -> None:
        """A route has taken a call; `record` is told when it ended."""
        self.in_flight += 1

    def record_background(self, exchange: Exchange) -> None:
        """Take note of a fetch that no caller waited for: traced like a call, counted as none."""
        exchange.attributes["gateway.background"] = True
        status = exchange.attempts[-1].status if exchange.attempts else 0
        self._note(exchange, status, 0, Outcome.COMPLETE, counts=False)

    def record(self, exchange: Exchange, status: int, response_bytes: int, outcome: Outcome) -> None:
        """Take note of an exchange that has ended. `status` 0: there was no answer to send. Never waits."""
        if exchange.route is not None:
            self.in_flight -= 1
        self._note(exchange, status, response_bytes, outcome)

    def _note(
        self, exchange: Exchange, status: int, response_bytes: int, outcome: Outcome, *, counts: bool = True
    ) -> None:
        ended_ns = exchange.ended_ns or time.perf_counter_ns()
        seen = self._seen.get(id(exchange.route)) or self._see(exchange.route)
        method = exchange.method
        code = exchange.code
        attempts = []
        upstream_ns = 0
        for attempt in exchange.attempts:
            attempt_ended_ns = attempt.ended_ns or ended_ns
            upstream_ns += attempt_ended_ns - attempt.started_ns
            attempts.append((
                attempt.target, attempt.span_id, attempt.started_ns, attempt.connected_ns, attempt.head_ns,
                attempt_ended_ns, attempt.status, attempt.error, attempt.sent._value_, attempt.reused,
                attempt.request_bytes, attempt.response_bytes,
            ))  # fmt: skip
        if counts:
            self._count(exchange, seen, status, ended_ns, upstream_ns)

        buffer = self._buffer
        waiting = len(buffer)
        if waiting >= self.capacity:
            self._drop(1)
            return
        native = exchange.native
        consumer = exchange.consumer
        path = exchange.path
        query = exchange.query
        target = exchange.target
        agent = exchange.header(b"user-agent")
        buffer.append((
            seen.number, exchange.received_ns, ended_ns, method,
            path if len(path) <= TEXT_LIMIT else path[:TEXT_LIMIT],
            query if len(query) <= TEXT_LIMIT else query[:TEXT_LIMIT],
            target if len(target) <= TEXT_LIMIT else target[:TEXT_LIMIT],
            exchange.scheme, exchange.authority[:TEXT_LIMIT], exchange.http_version,
            exchange.client, exchange.peer,
            "" if agent is None else agent[:256].decode("latin-1"),
            exchange.trace_id, exchange.span_id, exchange.parent_id, exchange.tracestate[:TEXT_LIMIT],
            exchange.sampled, status, exchange.body_bytes, response_bytes, _OUTCOMES[outcome], code,
            "" if native is None else native.code, 0 if native is None else native.status,
            "" if consumer is None else consumer.name, exchange.credential, exchange.cache_status,
            attempts, exchange.marks, exchange.decisions, exchange.attributes,
        ))  # fmt: skip
        if waiting + 1 >= FLUSH_RECORDS:
            self.flush()
        elif self._timer is None:
            self._arm()

    def _count(self, exchange: Exchange, seen: _Seen, status: int, ended_ns: int, upstream_ns: int) -> None:
        method = exchange.method
        self._requests.add(
            (
                seen.name,
                seen.upstream,
                method if method in _METHODS else "_OTHER",
                _CLASSES[status // 100],
                exchange.code,
            )
        )
        if status != 101:  # a WebSocket lasts as long as people play
            total_ns = ended_ns - exchange.received_ns
            seen.total.observe(total_ns * 1e-9)
            # An answer may reach the caller before the upstream's connection is told the end.
            seen.own.observe((total_ns - upstream_ns) * 1e-9 if total_ns > upstream_ns else 0.0)
            if exchange.attempts:
                seen.upstreams.observe(upstream_ns * 1e-9)

    def _see(self, route: Any) -> _Seen:
        entry = self._entry(route)
        number = self._numbers.get(entry)
        if number is None:
            number = self._numbers[entry] = len(self._entries)
            self._entries.append(entry)
        seen = self._seen[id(route)] = _Seen(route, number, entry, *self._seconds)
        return seen

    def forget_routes(self) -> None:
        """A new configuration serves: let go of the old one's routes. Late calls of theirs still count."""
        self._seen = {id(None): self._unrouted}

    def _drop(self, count: int) -> None:
        self.dropped += count
        self._dropped.add((), count)

    # Sending.

    def flush(self) -> None:
        """Hand on what waits, as far as the observer takes it now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._buffer:
            if self._sink is None and (self._link is None or self._link.paused):
                return  # `attach` or `resume_writing` flushes
            records, self._buffer = self._buffer[:FLUSH_RECORDS], self._buffer[FLUSH_RECORDS:]
            routes = self._entries[self._routes_sent :]
            batch = Batch(
                VERSION,
                self.worker,
                time.time_ns() - time.perf_counter_ns(),
                self._routes_sent,
                [tuple(entry) for entry in routes],
                records,
                self.dropped,
            )
            self._routes_sent = len(self._entries)
            if self._sink is not None:
                self._sink(batch)
            elif self._link is not None:
                try:
                    frame = encode(batch)
                except ValueError:  # somebody noted an enum or an object: its text will do
                    frame = encode(batch._replace(records=plain(records)))
                self._link.send(frame, len(records))

    def _arm(self) -> None:
        with contextlib.suppress(RuntimeError):  # no loop runs: whoever embeds us so flushes by hand
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    async def attach(self, sock: socket.socket) -> None:
        """Send to the observer at the other end of a connected stream socket; a later one takes over."""
        await asyncio.get_running_loop().create_connection(lambda: _Link(self), sock=sock)  # type: ignore[type-var]

    async def connect(self, path: str) -> None:
        """Keep a connection to the observer that listens at `path`, through its restarts, until `close`.

        Returns after the first try, whatever came of it: calls need no observer.
        """
        first = await self._dial(path)
        self._connecting = asyncio.get_running_loop().create_task(self._keep_connected(path, first))

    async def _dial(self, path: str) -> _Link | None:
        # In a task of its own, since uvloop's connecting, cancelled after `connection_made`, closes the
        # transport and never says `connection_lost`.
        self._dialling = asyncio.get_running_loop().create_task(self._reach(path))
        await asyncio.wait([self._dialling])
        return self._dialling.result()

    async def _reach(self, path: str) -> _Link | None:
        try:
            _, link = await asyncio.get_running_loop().create_unix_connection(lambda: _Link(self), path)  # type: ignore[type-var]
        except OSError:
            return None
        return link

    async def _keep_connected(self, path: str, link: _Link | None) -> None:
        delay, longest = RECONNECT_SECONDS
        while True:
            if link is not None:
                await asyncio.wait([link.lost])  # awaiting it bare would cancel it with us
                delay = RECONNECT_SECONDS[0]
            await asyncio.sleep(delay)  # an observer that hangs up at once is not called in a tight loop
            delay = min(longest, delay * 2)
            link = await self._dial(path)

    async def close(self, grace_seconds: float = 1.0) -> None:
        """Send what waits, but no longer than `grace_seconds`; what is left then is dropped."""
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._dialling is not None:
            await asyncio.wait([self._dialling], timeout=grace_seconds)
        self._closed = True
        self.flush()
        link = self._link
        if link is not None:
            if not link.transport.is_closing():
                link.closing = True
                if not self._buffer:
                    link.transport.close()
            await asyncio.wait([link.lost], timeout=grace_seconds)
            link.transport.abort()
            await link.lost
        self._drop(len(self._buffer))
        self._buffer.clear()

    def linked(self, link: _Link) -> None:
        """A connection to the observer stands; it knows none of our routes yet."""
        if self._closed:
            link.transport.close()
            return
        previous, self._link = self._link, link
        if previous is not None:
            previous.transport.close()
        self._routes_sent = 0
        self.flush()

    def unlinked(self, link: _Link) -> None:
        """A connection to the observer is gone."""
        self._drop(link.unsent)
        if self._link is link:
            self._link = None

    def __repr__(self) -> str:
        way = "in process" if self._sink else "connected" if self._link else "no observer"
        return f"<Recorder {way}, {len(self._buffer)} records waiting, {self.dropped} dropped>"


class _Link:
    """The worker's end of the socket to the observer. One batch at most is on its way in user space."""

    transport: asyncio.Transport

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.paused = False
        self.closing = False
        self.unsent = 0
        """Records in the batch that the kernel has not taken yet: lost, if the connection is."""
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        self.transport.set_write_buffer_limits(high=0)
        self._recorder.linked(self)

    def send(self, frame: bytes, records: int) -> None:
        self.unsent = records
        self.transport.write(frame)
        if not self.paused:
            self.unsent = 0

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.unsent = 0
        self._recorder.flush()
        if self.closing and not self.paused:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._recorder.unlinked(self)
        if not self.lost.done():
            self.lost.set_result(None)
