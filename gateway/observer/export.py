"""Encoded spans on their way to a collector: a bounded queue, and the thread that empties it.

Calls are queued whole, so what is dropped is whole traces. `offer` never waits, whatever the collector does.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.metrics import Metrics
from gateway.observer.collector import Verdict

log = logging.getLogger("gateway.observer")

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 10.0


class Sender(Protocol):
    """What a `Collector` does."""

    def post(self, request: bytes, timeout_seconds: float) -> Verdict: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How spans are batched: OTEL_BSP_* of the OpenTelemetry specification, with room for a busy gateway."""

    max_queue_size: int = 65_536
    """Spans that may wait."""
    max_batch_size: int = 2048
    delay_seconds: float = 1.0
    """How long a batch that is not full waits for more."""
    timeout_seconds: float = 30.0
    """For one batch with all its retries; the collector's own timeout bounds each try."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> BatchSettings:
        """Settings from the environment. ValueError for what is no number."""
        default = cls()

        def number(name: str, otherwise: float) -> float:
            return int(environment.get(f"OTEL_BSP_{name}") or otherwise)

        queue = int(number("MAX_QUEUE_SIZE", default.max_queue_size))
        return cls(
            queue,
            min(queue, int(number("MAX_EXPORT_BATCH_SIZE", default.max_batch_size))),
            number("SCHEDULE_DELAY", default.delay_seconds * 1000) / 1000,
            number("EXPORT_TIMEOUT", default.timeout_seconds * 1000) / 1000,
        )


class Exporter:
    """Queues the spans of calls and sends them in batches from a thread of its own."""

    def __init__(
        self,
        collector: Sender,
        request: Callable[[Sequence[bytes]], bytes],
        settings: BatchSettings | None = None,
        metrics: Metrics | None = None,
        *,
        try_seconds: float = 10.0,
    ) -> None:
        settings = BatchSettings() if settings is None else settings
        metrics = Metrics() if metrics is None else metrics
        self.settings = settings
        self._collector = collector
        self._request = request
        self._try_seconds = try_seconds
        self._queue: deque[tuple[bytes, int]] = deque()
        self._waiting = 0
        self._in_flight = 0
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._give_up_at = float("inf")
        self._random = random.SystemRandom()
        self._exported = metrics.counter("gateway_spans_exported_total", "Spans a collector took")
        self._dropped = metrics.counter(
            "gateway_spans_dropped_total", "Spans given up, by reason", ("reason",)
        )
        self._retried = metrics.counter("gateway_span_export_retries_total", "Batches sent again")
        metrics.gauge("gateway_spans_waiting", "Spans in the export queue").watch(lambda: self._waiting)
        self._thread = threading.Thread(target=self._run, name="span-export", daemon=True)
        self._thread.start()

    def offer(self, encoded: bytes, spans: int) -> None:
        """Queue the spans of one call, all or none. Never waits."""
        settings = self.settings
        with self._changed:
            if self._waiting + spans > settings.max_queue_size or self._stopping.is_set():
                self._dropped.add(("queue_full",), spans)
                return
            self._queue.append((encoded, spans))
            before = self._waiting
            self._waiting += spans
            # The thread needs to know of the first span (its delay begins) and of a full batch, no more.
            if before == 0 or before < settings.max_batch_size <= self._waiting:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping.is_set())
                self._changed.wait_for(
                    lambda: self._waiting >= self.settings.max_batch_size or self._stopping.is_set(),
                    self.settings.delay_seconds,
                )
                if not self._waiting:  # stopping, and all is sent
                    self._collector.close()
                    return
                encoded, spans = self._take()
            self._send(self._request(encoded), spans)
            with self._changed:
                self._in_flight = 0

    def _take(self) -> tuple[list[bytes], int]:
        encoded: list[bytes] = []
        spans = 0
        while self._queue and (not encoded or spans + self._queue[0][1] <= self.settings.max_batch_size):
            chunk, count = self._queue.popleft()
            encoded.append(chunk)
            spans += count
        self._waiting -= spans
        self._in_flight = spans
        return encoded, spans

    def _send(self, request: bytes, spans: int) -> None:
        deadline = time.monotonic() + self.settings.timeout_seconds
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            left = min(deadline, self._give_up_at) - time.monotonic()
            if left <= 0:
                self._dropped.add(("timeout",), spans)
                return
            verdict = self._collector.post(request, min(left, self._try_seconds))
            if verdict.accepted:
                self._exported.add((), spans - verdict.rejected)
                if verdict.rejected:
                    self._dropped.add(("rejected",), verdict.rejected)
                    log.warning("the collector rejected %d spans: %s", verdict.rejected, verdict.message)
                return
            if not verdict.temporary:
                self._dropped.add(("refused",), spans)
                log.error("the collector refused %d spans: %s %s", spans, verdict.status, verdict.message)
                return
            wait = (
                backoff * self._random.uniform(0.5, 1.0)
                if verdict.retry_after is None
                else verdict.retry_after
            )
            backoff = min(LONGEST_BACKOFF_SECONDS, backoff * 2)
            if time.monotonic() + wait >= deadline:
                self._dropped.add(("timeout",), spans)
                log.warning(
                    "gave up %d spans: the collector says %s %s", spans, verdict.status, verdict.message
                )
                return
            self._retried.add()
            self._stopping.wait(wait)  # stopping, each batch has what is left of the grace
            if self._stopping.is_set():
                time.sleep(min(wait, max(0.0, self._give_up_at - time.monotonic())))

    def close(self, grace_seconds: float = 5.0) -> None:
        """Send what waits, but no longer than `grace_seconds`; the rest is dropped. Blocks so long."""
        with self._changed:
            self._give_up_at = time.monotonic() + grace_seconds
            self._stopping.set()
            self._changed.notify_all()
        self._thread.join(grace_seconds)
        with self._changed:
            left = self._waiting + (self._in_flight if self._thread.is_alive() else 0)
            if left:
                self._dropped.add(("stopped",), left)
            self._queue.clear()
            self._waiting = 0

    def __repr__(self) -> str:
        return f"<Exporter {self._waiting} spans waiting, {self._in_flight} on their way>"
