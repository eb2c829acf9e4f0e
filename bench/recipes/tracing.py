"""OpenTelemetry as its documentation sets it up: SDK, batches, OTLP over HTTP."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NoOpTracer, Tracer


def tracer(service: str, endpoint: str) -> Tracer:
    """A tracer whose spans go to `endpoint`; one that does nothing where there is none.

    The queue is long enough to lose no span of a burst, and emptied every second.
    """
    if not endpoint:
        return NoOpTracer()
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(endpoint=endpoint)
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter, max_queue_size=65536, max_export_batch_size=2048, schedule_delay_millis=1000
        )
    )
    trace.set_tracer_provider(provider)
    return provider.get_tracer(service)
