"""A call encoded from what calls of its kind have in common decodes to what the SDK emits for its spans."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from gateway.observer import templates as templates_module
from gateway.observer.call import Call
from gateway.observer.masking import Masking, MaskSettings
from gateway.observer.otlp import Encoder
from gateway.observer.spans import SpanMaker
from gateway.observer.templates import Templates
from gateway.record import NO_ROUTE
from tests.observer.support import ANCHOR_NS, MS, ROUTE, make_attempt, make_call, make_record
from tests.observer.test_otlp import RESOURCE, as_sdk, identifier

few = st.sampled_from(["", "a", "b", "a@b.co"])
name = st.sampled_from(["a", "b", "ü"])
moment = st.integers(0, 10**12)
size = st.integers(0, 2**40)

attempts = st.builds(
    lambda **fields: tuple(make_attempt(**fields)),
    target=st.sampled_from(["http://127.0.0.1:9201", "https://b.example", "other:"]),
    span_id=identifier(64),
    started_ns=moment,
    connected_ns=st.just(0) | moment,
    head_ns=st.just(0) | moment,
    ended_ns=moment,
    status=st.sampled_from([0, 200, 404, 503]),
    error=st.sampled_from(["", "reset"]),
    sent=st.sampled_from(["no", "yes", "unknown"]),
    reused=st.booleans(),
    request_bytes=size,
    response_bytes=size,
)
calls = st.builds(
    lambda route, worker, **fields: Call(make_record(**fields), route, ANCHOR_NS, worker, 0),
    route=st.sampled_from(
        [
            ROUTE,
            ROUTE._replace(upstream="", secrets=("page",)),
            ROUTE._replace(template="/:token/:email"),
            NO_ROUTE,
        ]
    ),
    worker=st.integers(0, 2),
    received_ns=moment,
    ended_ns=moment,
    method=st.sampled_from(["GET", "POST", "BREW"]),
    path=st.sampled_from(["/", "/a", "/" + "long" * 500, "/a/b", "/p/a@b.co", "/4111111111111111"]),
    query=st.sampled_from(["", "page=1", "page=1&token=s3cret", "email=a&x=a%40b.co"]),
    target=st.sampled_from(["/v1", "/v2", "/a", "/b/a", "/v1?page=1&hash=s3cret", "/v1/a@b.co"]),
    scheme=st.sampled_from(["http", "https"]),
    authority=st.sampled_from(["", "a", "a:8080", "b:99999"]),
    http_version=st.sampled_from(["1.0", "1.1"]),
    client=name,
    peer=name,
    user_agent=few,
    trace_id=identifier(128),
    span_id=identifier(64),
    parent_id=st.just("") | identifier(64),
    tracestate=st.sampled_from(["", "congo=t61rcWkgMzE"]),
    status=st.sampled_from([0, 200, 404, 429, 502]),
    request_bytes=size,
    response_bytes=size,
    outcome=st.sampled_from(["complete", "cancelled", "failed"]),
    code=few,
    native_code=few,
    native_status=st.sampled_from([0, 400]),
    consumer=few,
    credential=few,
    cache=few,
    attempts=st.lists(attempts, max_size=3),
    marks=st.sampled_from([[], [0, 0], [0, 10_000, 1, 20_000], [0, 0, 1, 3 * MS]]),
    decisions=st.sampled_from(
        [[], [("cache", "hit", "")], [("retry", "retried", "503"), ("limit", "no", "")]]
    ),
    attributes=st.just({}) | st.sampled_from([{"gateway.background": True}, {"retry.count": 1}]),
)


def in_order(request: ExportTraceServiceRequest) -> list[WireSpan]:
    """The spans; their attributes, whose order means nothing, by name."""
    found = list(request.resource_spans[0].scope_spans[0].spans)
    for span in found:
        span.attributes.sort(key=lambda attribute: str(attribute.key))
    return found


def ours(templates: Templates, encoder: Encoder, call: Call) -> tuple[list[WireSpan], int]:
    place = templates.place(call.route, call.worker)
    encoded, count = templates.encode(tuple(call.record), place, call.anchor_ns)
    return in_order(ExportTraceServiceRequest.FromString(encoder.request([encoded]))), count


def make(masking: Masking | None = None) -> tuple[Templates, Encoder]:
    encoder = Encoder(RESOURCE, "provider-gateway", "1.0")
    return Templates(SpanMaker(masking), encoder), encoder


RULES = st.sampled_from([
    None, MaskSettings(attributes=("client.address", "user_agent.original")), MaskSettings(emails=False)
])  # fmt: skip


@given(st.lists(calls, min_size=1, max_size=6), RULES)
def test_every_call_decodes_to_what_the_sdk_emits(batch: list[Call], rules: MaskSettings | None) -> None:
    templates, encoder = make(Masking(rules))
    for call in [*batch, *batch]:  # from what is remembered, too
        spans = SpanMaker(Masking(rules)).spans(call)
        expected = in_order(encode_spans([as_sdk(span) for span in spans]))
        assert ours(templates, encoder, call) == (expected, len(expected))


def test_a_call_like_another_differs_in_what_is_its_own() -> None:
    templates, encoder = make()
    first, second = make_call(marks=[]), make_call(marks=[], trace_id="c" * 32, ended_ns=9 * MS, path="/x")
    for call in (first, second):
        (server, client), _ = ours(templates, encoder, call)
        assert server.trace_id.hex() == client.trace_id.hex() == call.record.trace_id
        assert server.end_time_unix_nano == ANCHOR_NS + call.record.ended_ns
        assert call.record.path in str(server.attributes)
    assert len(templates._servers) == len(templates._clients) == len(templates._callers) == 1


@pytest.mark.interpreted  # a compiled instance has no `__dict__`
def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates_module, "KINDS_LIMIT", 4)
    monkeypatch.setattr(templates_module, "TEXTS_LIMIT", 4)
    templates, encoder = make()
    for number in range(40):
        more: dict[str, Any] = {"path": f"/{number}", "target": f"/{number}", "client": f"c{number}"}
        call = make_call(ROUTE._replace(name=f"r{number % 7}"), response_bytes=number, status=number, **more)
        found, _ = ours(templates, encoder, call)
        assert found == in_order(encode_spans([as_sdk(span) for span in SpanMaker().spans(call)]))
    for known in vars(templates).values():
        assert not isinstance(known, dict) or len(known) <= 4


def test_ids_that_are_none_are_a_value_error() -> None:
    templates, encoder = make()
    with pytest.raises(ValueError, match="hexadecimal"):
        ours(templates, encoder, make_call(trace_id="no hex"))


def test_what_one_route_may_show_does_not_show_for_another() -> None:
    templates, encoder = make()
    open_route, masked = ROUTE._replace(template="/p/*"), ROUTE._replace(template="/p/:nickname")
    for route, shown in ((open_route, "/p/bob"), (masked, "/p/MASKED"), (open_route, "/p/bob")):
        (server, client), _ = ours(
            templates, encoder, make_call(route, path="/p/bob", target="/p/bob", marks=[])
        )
        assert f'"{shown}"' in str(server.attributes)
        assert f'9201{shown}"' in str(client.attributes)
