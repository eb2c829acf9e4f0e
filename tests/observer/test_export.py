"""Batches reach the collector, come again where it asks for that, and never hold anybody up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.metrics import Metrics
from gateway.observer import export
from gateway.observer.collector import Verdict
from gateway.observer.export import BatchSettings, Exporter
from tests.observer.support import until

QUICK = BatchSettings(delay_seconds=0.01, timeout_seconds=5)


class Scripted:
    """A collector that answers from a list, then accepts."""

    def __init__(self, *verdicts: Verdict) -> None:
        self.verdicts = list(verdicts)
        self.requests: list[bytes] = []
        self.times: list[float] = []
        self.closed = False
        self.open = threading.Event()
        self.open.set()

    def post(self, request: bytes, timeout_seconds: float) -> Verdict:
        self.open.wait(10)
        self.requests.append(request)
        self.times.append(time.monotonic())
        return self.verdicts.pop(0) if self.verdicts else Verdict(200)

    def close(self) -> None:
        self.closed = True


def join(chunks: Sequence[bytes]) -> bytes:
    return b",".join(chunks)


def counts(metrics: Metrics) -> dict[str, Any]:
    return {name: dict(values) for name, _, _, _, values in metrics.snapshot()}


@pytest.fixture
def start() -> Any:
    exporters: list[Exporter] = []

    def make(
        collector: Scripted, settings: BatchSettings = QUICK
    ) -> tuple[Exporter, Callable[[], dict[str, Any]]]:
        metrics = Metrics()
        exporters.append(Exporter(collector, join, settings, metrics))
        return exporters[-1], lambda: counts(metrics)

    yield make
    for exporter in exporters:
        exporter.close(0)


def test_calls_are_batched_up_to_a_size_and_stay_whole(start: Any) -> None:
    collector = Scripted()
    collector.open.clear()
    exporter, seen = start(collector, BatchSettings(max_batch_size=5, delay_seconds=60))
    for number in range(4):
        exporter.offer(b"%d" % number, 2)
    until(lambda: exporter._in_flight > 0)
    assert "spans waiting" in repr(exporter)
    collector.open.set()
    exporter.close(5)
    assert collector.closed
    assert collector.requests == [b"0,1", b"2,3"]
    assert seen()["gateway_spans_exported_total"] == {(): 8}


def test_a_batch_that_is_not_full_goes_after_the_delay(start: Any) -> None:
    collector = Scripted()
    exporter, _ = start(collector)
    exporter.offer(b"a", 1)
    until(lambda: collector.requests == [b"a"])
    exporter.offer(b"b", 10_000)  # larger than a batch: a call is never torn
    until(lambda: collector.requests == [b"a", b"b"])


def test_a_batch_comes_again_when_the_collector_asks_for_that(start: Any) -> None:
    collector = Scripted(Verdict(503, retry_after=0.1), Verdict(429, retry_after=0.0))
    exporter, seen = start(collector)
    exporter.offer(b"a", 3)
    until(lambda: seen()["gateway_spans_exported_total"].get((), 0) == 3)
    assert collector.requests == [b"a"] * 3
    assert collector.times[1] - collector.times[0] >= 0.1
    assert seen()["gateway_span_export_retries_total"] == {(): 2}


def test_backoff_grows_with_jitter(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "FIRST_BACKOFF_SECONDS", 0.02)
    collector = Scripted(*[Verdict(0)] * 4)
    exporter, seen = start(collector)
    exporter.offer(b"a", 1)
    until(lambda: seen()["gateway_spans_exported_total"].get((), 0) == 1)
    gaps = [after - before for before, after in zip(collector.times, collector.times[1:], strict=False)]
    assert all(gap >= 0.01 * 2**number for number, gap in enumerate(gaps))


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [(Verdict(400, message="no"), "refused"), (Verdict(503, retry_after=600), "timeout")],
)
def test_what_cannot_be_delivered_is_counted_and_the_next_batch_goes_on(
    start: Any, verdict: Verdict, reason: str
) -> None:
    collector = Scripted(verdict)
    exporter, seen = start(collector)
    exporter.offer(b"a", 3)
    until(lambda: seen()["gateway_spans_dropped_total"] == {(reason,): 3})
    exporter.offer(b"b", 1)
    until(lambda: seen()["gateway_spans_exported_total"] == {(): 1})


def test_rejected_spans_of_a_partial_success_are_counted(start: Any) -> None:
    collector = Scripted(Verdict(200, rejected=2, message="too old"))
    exporter, seen = start(collector)
    exporter.offer(b"a", 3)
    until(lambda: seen()["gateway_spans_dropped_total"] == {("rejected",): 2})
    assert seen()["gateway_spans_exported_total"] == {(): 1}


def test_a_stuck_collector_never_holds_up_who_offers(start: Any) -> None:
    collector = Scripted()
    collector.open.clear()
    exporter, seen = start(collector, BatchSettings(max_queue_size=100, max_batch_size=10, delay_seconds=0))
    begin = time.perf_counter()
    for _ in range(5000):
        exporter.offer(b"x", 2)
    assert time.perf_counter() - begin < 2  # the collector would take ten seconds for the first batch alone
    assert seen()["gateway_spans_waiting"][()] <= 100
    dropped = seen()["gateway_spans_dropped_total"][("queue_full",)]
    exporter.close(0.01)
    assert seen()["gateway_spans_dropped_total"][("stopped",)] + dropped == 10_000
    collector.open.set()


def test_closing_sends_what_waits_within_its_grace(start: Any) -> None:
    collector = Scripted(Verdict(503, retry_after=0.05))
    exporter, seen = start(collector, BatchSettings(delay_seconds=60))
    exporter.offer(b"a", 1)
    exporter.close(5)
    assert seen()["gateway_spans_exported_total"] == {(): 1}
    exporter.offer(b"late", 1)
    assert seen()["gateway_spans_dropped_total"] == {("queue_full",): 1}


def test_closing_gives_up_where_the_collector_is_down(start: Any) -> None:
    collector = Scripted(*[Verdict(0)] * 1000)
    exporter, seen = start(collector, BatchSettings(delay_seconds=60))
    exporter.offer(b"a", 1)
    begin = time.monotonic()
    exporter.close(0.2)
    assert time.monotonic() - begin < 3
    until(lambda: sum(seen()["gateway_spans_dropped_total"].values()) >= 1)


def test_settings_come_from_the_environment() -> None:
    assert BatchSettings.read({}) == BatchSettings()
    assert BatchSettings.read(
        {
            "OTEL_BSP_MAX_QUEUE_SIZE": "100",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "512",
            "OTEL_BSP_SCHEDULE_DELAY": "250",
            "OTEL_BSP_EXPORT_TIMEOUT": "1500",
        }
    ) == BatchSettings(100, 100, 0.25, 1.5)
    with pytest.raises(ValueError, match="invalid literal"):
        BatchSettings.read({"OTEL_BSP_MAX_QUEUE_SIZE": "many"})
