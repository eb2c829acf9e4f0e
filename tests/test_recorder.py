"""Recording never waits, never fails a call, and loses nothing it does not count."""

from __future__ import annotations

import asyncio
import marshal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.consumers import Consumer
from gateway.errors import Native, Sent
from gateway.exchange import Attempt, Exchange, Outcome
from gateway.metrics import Metrics
from gateway.record import AttemptRecord, Batch, Frames, Record, RouteEntry
from gateway.recorder import FLUSH_RECORDS, TEXT_LIMIT, Recorder
from tests.support import make_exchange

MS = 1_000_000
ENTRY = RouteEntry("games", "/games", "aurora", "aurora", ("rate_limit", "cache"))


class Route:
    def __init__(self, entry: RouteEntry = ENTRY) -> None:
        self.entry = entry


def ended(route: Any = None, **more: Any) -> Exchange:
    exchange = make_exchange(received_ns=1 * MS, **more)
    exchange.route = route
    exchange.trace_id, exchange.span_id = "a" * 32, "b" * 16
    exchange.ended_ns = 11 * MS
    return exchange


def attempted(exchange: Exchange, start_ms: int, end_ms: int, status: int = 200) -> Exchange:
    attempt = Attempt("http://127.0.0.1:9201", "c" * 16, start_ms * MS)
    attempt.ended_ns, attempt.status, attempt.sent = end_ms * MS, status, Sent.YES
    exchange.attempts.append(attempt)
    return exchange


def values(metrics: Metrics) -> dict[str, dict[tuple[str, ...], Any]]:
    return {name: dict(samples) for name, _, _, _, samples in metrics.snapshot()}


class Listener:
    """An observer that only remembers batches."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.batches: list[Batch] = []
        self.transports: list[asyncio.BaseTransport] = []
        self.changed = asyncio.Condition()
        self.server: asyncio.Server | None = None

    async def start(self) -> None:
        listener = self

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.frames = Frames()
                listener.transports.append(transport)

            def data_received(self, data: bytes) -> None:
                listener.batches += [batch for batch, _ in self.frames.feed(data)]

        self.server = await asyncio.get_running_loop().create_unix_server(Protocol, self.path)

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        for transport in self.transports:
            transport.abort()  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        Path(self.path).unlink(missing_ok=True)

    @property
    def records(self) -> list[tuple[Any, ...]]:
        return [record for batch in self.batches for record in batch.records]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


def test_a_record_says_what_the_exchange_knew() -> None:
    batches: list[Batch] = []
    recorder = Recorder(sink=batches.append, worker=2)
    agent = [(b"user-agent", b"x\xff")]
    exchange = attempted(ended(Route(), query="a=1", headers=agent, client="::1"), 2, 10)
    exchange.consumer, exchange.credential = Consumer("platform"), "api_key"
    exchange.code, exchange.native = "FINAL", Native("E7", "no", 400)
    exchange.decide("cache", "miss")
    exchange.marks += [0, 1 * MS]
    exchange.attributes["breaker"] = "closed"
    recorder.record(exchange, 502, 99, Outcome.COMPLETE)
    recorder.flush()
    (batch,) = batches
    assert batch.worker == 2
    assert batch.first_route == 0
    assert [RouteEntry._make(entry) for entry in batch.routes] == [RouteEntry(), ENTRY]
    record = Record._make(batch.records[0])
    assert (record.route, record.status, record.response_bytes, record.outcome) == (1, 502, 99, "complete")
    assert (record.consumer, record.credential, record.user_agent) == ("platform", "api_key", "xÿ")
    assert (record.code, record.native_code, record.native_status) == ("FINAL", "E7", 400)
    assert record.decisions == [("cache", "miss", "")]
    assert record.marks == [0, 1 * MS]
    assert record.attributes == {"breaker": "closed"}
    attempt = AttemptRecord._make(record.attempts[0])
    assert (attempt.started_ns, attempt.ended_ns, attempt.sent) == (2 * MS, 10 * MS, "yes")
    assert marshal.loads(marshal.dumps(tuple(batch))) == tuple(batch)


def test_routes_are_told_once_and_survive_a_reload() -> None:
    batches: list[Batch] = []
    recorder = Recorder(sink=batches.append)
    for route in (Route(), Route(), None, Route(RouteEntry("other"))):
        recorder.record(ended(route), 200, 0, Outcome.COMPLETE)
        recorder.flush()
        recorder.forget_routes()
    assert [len(batch.routes) for batch in batches] == [2, 0, 0, 1]
    assert [batch.records[0][0] for batch in batches] == [1, 1, 0, 2]


def test_long_texts_are_cut_so_that_memory_is_bounded() -> None:
    batches: list[Batch] = []
    recorder = Recorder(sink=batches.append)
    long = "x" * 9000
    exchange = ended(path="/" + long, query=long, headers=[(b"user-agent", long.encode())])
    exchange.target = exchange.tracestate = exchange.authority = long
    recorder.record(exchange, 200, 0, Outcome.COMPLETE)
    recorder.flush()
    record = Record._make(batches[0].records[0])
    for text in (record.path, record.query, record.target, record.tracestate, record.authority):
        assert len(text) == TEXT_LIMIT
    assert len(record.user_agent) == 256


def test_metrics_split_the_gateways_time_from_the_upstreams() -> None:
    metrics = Metrics()
    recorder = Recorder(metrics, sink=lambda _: None)
    recorder.begin()
    assert values(metrics)["gateway_requests_in_flight"] == {(): 1}
    recorder.record(attempted(attempted(ended(Route()), 2, 4, 503), 5, 9), 200, 0, Outcome.COMPLETE)
    found = values(metrics)
    assert found["gateway_requests_in_flight"] == {(): 0}
    assert found["gateway_requests_total"] == {("games", "aurora", "GET", "2xx", ""): 1}
    labels = ("games", "aurora")
    assert abs(found["gateway_request_seconds"][labels][-1] - 0.010) < 1e-9
    assert abs(found["gateway_gateway_seconds"][labels][-1] - 0.004) < 1e-9
    assert abs(found["gateway_request_upstream_seconds"][labels][-1] - 0.006) < 1e-9


def test_a_background_fetch_is_traced_and_not_counted() -> None:
    batches: list[Batch] = []
    metrics = Metrics()
    recorder = Recorder(metrics, sink=batches.append)
    recorder.record_background(attempted(ended(Route()), 2, 5, status=304))
    recorder.flush()
    record = Record._make(batches[0].records[0])
    assert (record.status, len(record.attempts)) == (304, 1)
    assert record.attributes == {"gateway.background": True}
    assert values(metrics)["gateway_requests_total"] == {}
    assert recorder.in_flight == 0


def test_odd_calls_are_counted_under_few_labels() -> None:
    metrics = Metrics()
    recorder = Recorder(metrics, sink=lambda _: None)
    late = ended()
    late.ended_ns = 0
    recorder.record(late, 0, 0, Outcome.CANCELLED)
    recorder.record(ended(method="BREW"), 999, 0, Outcome.COMPLETE)
    recorder.record(ended(Route()), 101, 0, Outcome.COMPLETE)
    found = values(metrics)
    assert set(found["gateway_requests_total"]) == {
        ("", "", "GET", "none", ""),
        ("", "", "_OTHER", "other", ""),
        ("games", "aurora", "GET", "1xx", ""),
    }
    assert ("games", "aurora") not in found["gateway_request_seconds"]  # a WebSocket lasts as people play


def test_without_an_observer_the_buffer_is_bounded_and_drops_are_counted() -> None:
    metrics = Metrics()
    recorder = Recorder(metrics, capacity=100)
    for _ in range(150):
        recorder.record(ended(), 200, 0, Outcome.COMPLETE)
    assert recorder.dropped == 50
    assert values(metrics)["gateway_records_dropped_total"] == {(): 50}
    assert "no observer, 100 records waiting, 50 dropped" in repr(recorder)


async def test_a_full_batch_goes_at_once_and_a_small_one_within_the_interval(tmp_path: Path) -> None:
    listener = Listener(str(tmp_path / "s"))
    await listener.start()
    recorder = Recorder()
    await recorder.connect(listener.path)
    assert "connected" in repr(recorder)
    for _ in range(FLUSH_RECORDS):
        recorder.record(ended(Route()), 200, 0, Outcome.COMPLETE)
    await until(lambda: len(listener.records) == FLUSH_RECORDS)
    recorder.record(ended(Route()), 200, 0, Outcome.COMPLETE)
    await until(lambda: len(listener.records) == FLUSH_RECORDS + 1)
    await recorder.close()
    assert recorder.dropped == 0
    await listener.stop()


async def test_an_enum_among_the_attributes_travels_as_its_text(tmp_path: Path) -> None:
    listener = Listener(str(tmp_path / "s"))
    await listener.start()
    recorder = Recorder()
    await recorder.connect(listener.path)
    exchange = ended()
    exchange.attributes["sent"] = Sent.UNKNOWN
    recorder.record(exchange, 200, 0, Outcome.COMPLETE)
    await until(lambda: len(listener.records) == 1)
    assert Record._make(listener.records[0]).attributes == {"sent": "unknown"}
    await recorder.close()
    await listener.stop()


async def test_an_observer_that_stops_reading_costs_records_and_never_time() -> None:
    ours, theirs = socket.socketpair()
    recorder = Recorder(capacity=1000)
    await recorder.attach(ours)
    route = Route()
    for _ in range(50_000):
        recorder.record(ended(route, query="q" * 500), 200, 0, Outcome.COMPLETE)
    assert recorder.dropped > 0
    await recorder.close(grace_seconds=0.01)
    theirs.setblocking(False)
    received = bytearray()
    try:
        while piece := theirs.recv(1 << 20):
            received += piece
    except BlockingIOError:
        raise AssertionError("the recorder did not hang up") from None
    theirs.close()
    records = sum(len(batch.records) for batch, _ in Frames().feed(bytes(received)))
    assert records + recorder.dropped == 50_000


async def test_a_restarted_observer_gets_what_was_kept_and_all_routes_again(tmp_path: Path) -> None:
    first = Listener(str(tmp_path / "s"))
    await first.start()
    recorder = Recorder()
    await recorder.connect(first.path)
    recorder.record(ended(Route()), 200, 0, Outcome.COMPLETE)
    recorder.flush()
    await until(lambda: len(first.records) == 1)
    await first.stop()
    await until(lambda: "no observer" in repr(recorder))
    recorder.record(ended(Route()), 200, 0, Outcome.COMPLETE)
    recorder.flush()
    second = Listener(first.path)
    await second.start()
    await until(lambda: len(second.records) == 1)
    assert [len(batch.routes) for batch in second.batches] == [2]
    await recorder.close()
    assert recorder.dropped == 0
    await second.stop()


async def test_an_observer_that_comes_late_is_found(tmp_path: Path) -> None:
    recorder = Recorder()
    await recorder.connect(str(tmp_path / "s"))
    recorder.record(ended(), 200, 0, Outcome.COMPLETE)
    listener = Listener(str(tmp_path / "s"))
    await listener.start()
    await until(lambda: len(listener.records) == 1)
    await recorder.close()
    await listener.stop()


@pytest.mark.interpreted
async def test_closing_the_moment_a_connection_stands_sends_what_waits_and_returns(tmp_path: Path) -> None:
    closings: list[asyncio.Task[None]] = []

    class ClosedAtOnce(Recorder):
        def linked(self, link: Any) -> None:
            super().linked(link)
            closings.append(asyncio.get_running_loop().create_task(self.close(5)))

    recorder = ClosedAtOnce()
    await recorder.connect(str(tmp_path / "s"))
    recorder.record(ended(), 200, 0, Outcome.COMPLETE)
    listener = Listener(str(tmp_path / "s"))
    await listener.start()
    await until(lambda: bool(closings))
    await asyncio.wait_for(closings[0], 5)
    await until(lambda: len(listener.records) == 1)
    assert recorder.dropped == 0
    await listener.stop()


async def test_a_later_connection_takes_over(tmp_path: Path) -> None:
    first, second = socket.socketpair(), socket.socketpair()
    recorder = Recorder()
    await recorder.attach(first[0])
    await recorder.attach(second[0])
    recorder.record(ended(), 200, 0, Outcome.COMPLETE)
    await recorder.close()
    assert first[1].recv(100) == b""
    ((batch, _),) = Frames().feed(second[1].recv(1 << 16))
    assert len(batch.records) == 1
    first[1].close()
    second[1].close()


async def test_closing_drains_what_the_observer_still_reads() -> None:
    ours, theirs = socket.socketpair()
    recorder = Recorder()
    await recorder.attach(ours)
    count, route = 6000, Route()
    for _ in range(count):
        recorder.record(ended(route, query="q" * 200), 200, 0, Outcome.COMPLETE)
    reader, writer = await asyncio.open_connection(sock=theirs)
    reading = asyncio.create_task(reader.read())
    await recorder.close(grace_seconds=5)
    assert recorder.dropped == 0
    assert sum(len(batch.records) for batch, _ in Frames().feed(await reading)) == count
    writer.close()


def test_closing_without_an_observer_counts_what_is_lost() -> None:
    recorder = Recorder()
    recorder.record(ended(), 200, 0, Outcome.COMPLETE)
    asyncio.run(recorder.close())
    assert recorder.dropped == 1
