"""What we write by hand decodes to exactly what the SDK's encoder makes of the same spans."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from gateway.observer import otlp
from gateway.observer.otlp import Encoder, key_value, number_attribute, text_attribute, varint
from gateway.observer.spans import Kind, Span, SpanMaker
from tests.observer.support import MS, SPAN_ID, TRACE_ID, make_attempt, make_call

KINDS = {Kind.INTERNAL: SpanKind.INTERNAL, Kind.SERVER: SpanKind.SERVER, Kind.CLIENT: SpanKind.CLIENT}
RESOURCE: dict[str, Any] = {"service.name": "provider-gateway", "n": 1, "up": True, "share": 0.5}

text = st.text(st.characters(exclude_categories=["Cs"]))
value = text | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
nanoseconds = st.integers(0, 2**64 - 1)


def identifier(bits: int) -> st.SearchStrategy[str]:
    return st.integers(1, 2**bits - 1).map(lambda number: f"{number:0{bits // 4}x}")


spans = st.builds(
    Span,
    trace_id=identifier(128),
    span_id=identifier(64),
    parent_id=st.just("") | identifier(64),
    name=text,
    kind=st.sampled_from(Kind),
    start_ns=nanoseconds,
    end_ns=nanoseconds,
    attributes=st.dictionaries(text.filter(bool), value, max_size=8),
    error=st.booleans(),
    message=text,
    tracestate=st.sampled_from(["", "congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"]),
    remote_parent=st.booleans(),
)


def as_sdk(span: Span) -> ReadableSpan:
    trace_id = int(span.trace_id, 16)
    state = TraceState.from_header([span.tracestate]) if span.tracestate else None

    def context(span_id: str, remote: bool) -> SpanContext:
        return SpanContext(trace_id, int(span_id, 16), remote, TraceFlags(TraceFlags.SAMPLED), state)

    return ReadableSpan(
        span.name,
        context(span.span_id, False),
        context(span.parent_id, span.remote_parent) if span.parent_id else None,
        Resource(RESOURCE),
        span.attributes,
        kind=KINDS[span.kind],
        status=Status(StatusCode.ERROR, span.message or None) if span.error else Status(),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=InstrumentationScope("provider-gateway", "1.0"),
    )


def ours(encoder: Encoder, batch: list[Span]) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(encoder.request([encoder.spans(batch)]))


@given(st.lists(spans, min_size=1, max_size=4))
def test_every_span_decodes_to_what_the_sdk_emits(batch: list[Span]) -> None:
    batch = [span if span.parent_id else span._replace(remote_parent=False) for span in batch]
    encoder = Encoder(RESOURCE, "provider-gateway", "1.0")
    expected = encode_spans([as_sdk(span) for span in batch])
    assert ours(encoder, batch) == expected
    assert ours(encoder, batch) == expected  # from what it remembers, too


def test_real_calls_decode_to_what_the_sdk_emits() -> None:
    call = make_call(
        parent_id="aaaaaaaaaaaaaaaa",
        tracestate="a=b",
        status=502,
        code="FINAL",
        native_code="E7",
        native_status=400,
        attempts=[tuple(make_attempt(1, 2, 503)), tuple(make_attempt(3, 4, 0, error="reset", head_ns=0))],
        decisions=[("retry", "retried", "503")],
    )
    batch = SpanMaker().spans(call)
    assert len(batch) == 4
    assert ours(Encoder(RESOURCE, "provider-gateway", "1.0"), batch) == encode_spans(map(as_sdk, batch))  # type: ignore[arg-type]


def test_true_one_and_one_point_nought_stay_apart() -> None:
    span = Span(TRACE_ID, SPAN_ID, "", "n", Kind.SERVER, 0, MS, {})
    encoder = Encoder({}, "s")
    for one in (1, True, 1.0, "1"):
        request = ours(encoder, [span._replace(attributes={"one": one})])
        (attribute,) = request.resource_spans[0].scope_spans[0].spans[0].attributes
        kind = attribute.value.WhichOneof("value")
        assert getattr(attribute.value, str(kind)) == one
        assert (
            kind
            == {int: "int_value", bool: "bool_value", float: "double_value", str: "string_value"}[type(one)]
        )


def test_what_is_no_unicode_is_replaced() -> None:
    span = Span(TRACE_ID, SPAN_ID, "", "n", Kind.SERVER, 0, MS, {"a": "x\udcff"})
    request = ours(Encoder({}, "s"), [span])
    assert request.resource_spans[0].scope_spans[0].spans[0].attributes[0].value.string_value == "x?"


def test_memory_of_values_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "MEMO_LIMIT", 4)
    encoder = Encoder({}, "s")
    for number in range(40):
        batch = [
            Span(TRACE_ID, SPAN_ID, "", f"n{number}", Kind.SERVER, 0, MS, {f"k{number}": "v", "n": number})
        ]
        batch.append(batch[0]._replace(attributes={"n": str(number), f"k{number}": number}))
        found = ours(encoder, batch).resource_spans[0].scope_spans[0].spans
        assert [span.name for span in found] == [f"n{number}"] * 2
    assert len(encoder._names) <= 4
    assert len(encoder._texts) <= 4
    assert all(len(known) <= 4 for known in encoder._texts.values())


@given(st.integers(-(2**63), 2**64 - 1))
def test_varints_are_base_128(number: int) -> None:
    groups = varint(number)
    assert sum((group & 127) << 7 * at for at, group in enumerate(groups)) == number % 2**64
    assert all(group & 128 for group in groups[:-1])
    assert not groups[-1] & 128


@given(st.text(st.characters()), st.integers(-(2**63), 2**63 - 1))
def test_attributes_of_a_known_key_are_encoded_the_same(value: str, number: int) -> None:
    for value_of_some_length in (value, value * 20):
        expected = key_value(b"\x4a", "url.path", value_of_some_length)
        assert text_attribute("url.path")(value_of_some_length) == expected
    expected = key_value(b"\x4a", "gateway.request.bytes", number)
    assert number_attribute("gateway.request.bytes")(number) == expected
