"""Records in; spans to the collector, lines to the access log, calls to the store; answers to questions."""

from __future__ import annotations

import importlib.metadata
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from gateway.metrics import Metrics
from gateway.observer.access_log import entry, json_line, text_line
from gateway.observer.call import Call, Calls, Intake
from gateway.observer.collector import Collector, CollectorSettings
from gateway.observer.export import BatchSettings, Exporter
from gateway.observer.lines import LineWriter
from gateway.observer.masking import Masking, MaskSettings
from gateway.observer.otlp import Encoder
from gateway.observer.spans import Span, SpanMaker
from gateway.observer.store import AmbiguousError, Store
from gateway.observer.templates import Place, Templates
from gateway.record import Batch, Record

log = logging.getLogger("gateway.observer")

SERVICE = "provider-gateway"
_ROUTE, _SAMPLED = Record._fields.index("route"), Record._fields.index("sampled")
_NONSENSE = "a record made no sense"
TRACE_CALLS_LIMIT = 50
"""Calls shown of one trace: a caller may put as many into it as it likes."""


@dataclass(frozen=True, slots=True)
class ObserverSettings:
    """`telemetry:` of the configuration, as far as the observer acts on it."""

    endpoint: str = ""
    """The collector's URL; empty leaves it to OTEL_*."""
    log_format: str = "json"
    """json | text | off: the access log's."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Of the export; they may be secret."""
    mask: MaskSettings = field(default_factory=MaskSettings)

    @classmethod
    def read(cls, telemetry: Mapping[str, Any]) -> ObserverSettings:
        """Settings from the `telemetry` section as JSON; sections and keys may be missing."""
        traces, logs = telemetry.get("traces") or {}, telemetry.get("logs") or {}
        form = logs.get("format") or "json"
        return cls(
            traces.get("endpoint") or "",
            form if logs.get("access", True) else "off",
            dict(traces.get("headers") or {}),
            MaskSettings.read(telemetry.get("mask")),
        )


def resource() -> dict[str, str | bool | int | float]:
    """Who emits the spans: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, as opentelemetry-sdk reads them."""
    attributes = Resource.create().attributes
    found = {key: value for key, value in attributes.items() if isinstance(value, str | bool | int | float)}
    if str(found.get(SERVICE_NAME, "")).startswith("unknown_service"):
        found[SERVICE_NAME] = SERVICE
    return found


class Observer:
    """Takes the calls of all workers. Runs in the observer's process, or in a test's or embedder's own."""

    def __init__(
        self,
        *,
        exporter: Exporter | None = None,
        encoder: Encoder | None = None,
        lines: LineWriter | None = None,
        settings: ObserverSettings | None = None,
        store: Store | None = None,
    ) -> None:
        self.metrics = Metrics()
        self.store = Store() if store is None else store
        self.masking = Masking(None if settings is None else settings.mask)
        """What anybody must ask who tells of a call."""
        self._spans = SpanMaker(self.masking)
        self._exporter = exporter
        self._templates = None if encoder is None else Templates(self._spans, encoder)
        self._lines = lines
        self._line = text_line if settings is not None and settings.log_format == "text" else json_line
        self._taken = self.metrics.counter("gateway_observer_records_total", "Records taken from workers")
        self._failed = self.metrics.counter(
            "gateway_observer_records_failed_total", "Records that made no sense"
        )
        self.metrics.gauge("gateway_traces_kept", "Calls kept for a look").watch(lambda: len(self.store))
        self._own = Intake()

    @classmethod
    def start(
        cls, settings: ObserverSettings, environment: Mapping[str, str], log_fd: int | None = None
    ) -> Observer:
        """An observer with all the settings ask for; it exports nothing where OTEL_* make no sense."""
        if log_fd is None:
            log_fd = sys.stdout.fileno()
        observer = cls(settings=settings)
        if settings.log_format != "off":
            observer._lines = LineWriter(log_fd, observer.metrics)
        try:
            collector = CollectorSettings.read(environment, settings.endpoint, settings.headers)
            batches = BatchSettings.read(environment)
        except ValueError as error:
            log.error("traces are not exported: %s", error)  # noqa: TRY400 - the message says it all
            return observer
        if collector is not None:
            encoder = Encoder(resource(), SERVICE, importlib.metadata.version(SERVICE))
            observer._templates = Templates(observer._spans, encoder)
            observer._exporter = Exporter(
                Collector(collector),
                encoder.request,
                batches,
                observer.metrics,
                try_seconds=collector.timeout_seconds,
            )
        return observer

    def sink(self, batch: Batch) -> None:
        """Take a batch from a recorder in this process."""
        self.take(self._own.take(batch))

    def take(self, calls: Calls | list[Call]) -> None:
        """Take calls: each is kept, logged, and exported where its trace is sampled."""
        for batch in [calls] if isinstance(calls, Calls) else map(Calls.of, calls):
            if self._lines is not None:
                self._log(batch, self._lines)
            if self._exporter is not None and self._templates is not None:
                self._export(batch, self._exporter, self._templates)
            self.store.extend(batch)
            self._taken.add((), batch.count)

    def _log(self, calls: Calls, lines: LineWriter) -> None:
        written = []
        for call in calls:
            try:
                if "gateway.background" not in call.record.attributes:
                    written.append(self._line(call, self.masking))
            except Exception:
                self._failed.add()
                log.exception(_NONSENSE)

        lines.write(*written)

    def _export(self, calls: Calls, exporter: Exporter, templates: Templates) -> None:
        routes, anchor_ns, worker = calls.routes, calls.anchor_ns, calls.worker
        limit = exporter.settings.max_batch_size
        places: dict[int, Place] = {}
        waiting: list[bytes] = []
        spans = 0
        for record in calls.records:
            if not record[_SAMPLED]:
                continue
            try:
                number = record[_ROUTE]
                place = places.get(number)
                if place is None:
                    place = places[number] = templates.place(routes[number], worker)
                encoded, count = templates.encode(record, place, anchor_ns)
            except Exception:
                self._failed.add()
                log.exception(_NONSENSE)
                continue
            if spans + count > limit and waiting:
                exporter.offer(b"".join(waiting), spans)
                waiting, spans = [], 0
            waiting.append(encoded)
            spans += count
        if waiting:
            exporter.offer(b"".join(waiting), spans)

    # Questions, and answers in JSON's types.

    def ask(self, question: Mapping[str, Any]) -> Any:
        """The answer to `{"op": …}`; `{"error": why}` for a question that makes no sense."""
        match question.get("op"):
            case "traces":
                return self._traces(question)
            case "trace":
                return self._trace(str(question.get("id", "")))
            case "metrics":
                return self.metrics.snapshot()
            case op:
                return {"error": f"the observer knows no {op!r}"}

    def _traces(self, question: Mapping[str, Any]) -> list[dict[str, Any]]:
        found = self.store.find(
            errors=bool(question.get("errors")),
            slow=bool(question.get("slow")),
            route=question.get("route"),
            limit=int(question.get("limit") or 20),
        )
        return [{**entry(call, self.masking), "attempts": len(call.record.attempts)} for call in found]

    def _trace(self, prefix: str) -> dict[str, Any]:
        try:
            calls = self.store.trace(prefix)
        except AmbiguousError as error:
            return {"error": str(error)}
        if not calls:
            return {"error": f"no trace kept begins with {prefix!r}"}
        return {
            "trace_id": calls[0].record.trace_id,
            "calls": [entry(call, self.masking) for call in calls[-TRACE_CALLS_LIMIT:]],
            "calls_left_out": max(0, len(calls) - TRACE_CALLS_LIMIT),
            "spans": [
                as_json(span) for call in calls[-TRACE_CALLS_LIMIT:] for span in self._spans.spans(call)
            ],
        }

    def close(self, grace_seconds: float = 5.0) -> None:
        """Hand on what waits, but no longer than `grace_seconds`. Blocks so long."""
        if self._exporter is not None:
            self._exporter.close(grace_seconds)
        if self._lines is not None:
            self._lines.close()


def as_json(span: Span) -> dict[str, Any]:
    """A span in JSON's types; its kind is a word."""
    return {**span._asdict(), "kind": span.kind.name.lower()}
