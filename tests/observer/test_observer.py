"""What workers recorded comes out as spans, lines and answers, each call exactly once."""

from __future__ import annotations

import json
import logging
import os
import random
from collections import Counter, defaultdict
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from gateway.errors import Sent
from gateway.exchange import Attempt, Exchange, Outcome
from gateway.observer.observer import TRACE_CALLS_LIMIT, Observer, ObserverSettings, resource
from gateway.recorder import Recorder
from tests.observer.support import MS, ROUTE, TRACE_ID, Receiver, make_attempt, make_call
from tests.support import make_exchange


class Route:
    entry = ROUTE


def quick(receiver: Receiver, **more: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": receiver.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "10", **more}


def values(observer: Observer, name: str) -> dict[Any, Any]:
    return {sample[0]: dict(sample[4]) for sample in observer.metrics.snapshot()}[name]


def random_call(chance: random.Random, route: Route) -> tuple[Exchange, int]:
    """A call with up to three attempts, some of which failed; sometimes refused before any."""
    exchange = make_exchange(
        path=f"/aurora/games/{chance.randrange(100)}", received_ns=chance.randrange(10**12)
    )
    exchange.route = route
    exchange.trace_id, exchange.span_id = f"{chance.getrandbits(128):032x}", f"{chance.getrandbits(64):016x}"
    at, status = exchange.received_ns, 429
    for number in range(chance.randrange(4)):
        attempt = Attempt("http://127.0.0.1:9201", f"{chance.getrandbits(64):016x}", at + MS)
        attempt.status = status = chance.choice([200, 503])
        attempt.ended_ns = at = at + 2 * MS
        if chance.random() < 0.1:
            attempt.status, attempt.error, attempt.sent, status = 0, "reset", Sent.UNKNOWN, 502
        exchange.attempts.append(attempt)
        if number:
            exchange.decide("retry", "retried", "503")
    exchange.marks += [3, exchange.received_ns + 1000]
    exchange.ended_ns = at + MS
    return exchange, status


def test_ten_thousand_calls_with_failures_and_retries_are_one_complete_trace_each() -> None:
    chance = random.Random(7)
    route = Route()
    expected: dict[bytes, tuple[int, int]] = {}
    outages = iter([True, False] * 5)
    with Receiver(
        lambda call: (503, {"Retry-After": "0"}, b"") if call < 10 and next(outages) else None
    ) as receiver:
        observer = Observer.start(ObserverSettings(log_format="off"), quick(receiver))
        recorder = Recorder(sink=observer.sink)
        for _ in range(10_000):
            exchange, status = random_call(chance, route)
            expected[bytes.fromhex(exchange.trace_id)] = (len(exchange.attempts), status)
            recorder.record(exchange, status, 270, Outcome.COMPLETE)
        recorder.flush()
        observer.close(20)
        traces: dict[bytes, list[WireSpan]] = defaultdict(list)
        for span in receiver.spans:
            traces[span.trace_id].append(span)
    assert len(expected) == 10_000
    assert traces.keys() == expected.keys()
    for trace_id, spans in traces.items():
        attempts, status = expected[trace_id]
        kinds = Counter(span.kind for span in spans)
        assert kinds[WireSpan.SPAN_KIND_SERVER] == 1
        assert kinds[WireSpan.SPAN_KIND_CLIENT] == attempts
        (server,) = [span for span in spans if span.kind == WireSpan.SPAN_KIND_SERVER]
        said = {attribute.key: attribute.value for attribute in server.attributes}
        assert said["http.response.status_code"].int_value == status
        assert not server.parent_span_id
        assert len({span.span_id for span in spans}) == len(spans)
        assert all(span.parent_span_id == server.span_id for span in spans if span is not server)
    assert values(observer, "gateway_spans_exported_total") == {(): len(receiver.spans)}
    assert values(observer, "gateway_spans_dropped_total") == {}


def test_what_is_not_sampled_is_kept_but_not_exported() -> None:
    with Receiver() as receiver:
        observer = Observer.start(ObserverSettings(log_format="off"), quick(receiver))
        observer.take([make_call(sampled=False), make_call(span_id="1" * 16)])
        observer.close()
        assert {span.span_id.hex() for span in receiver.spans if span.kind == 2} == {"1" * 16}
    assert len(observer.store) == 2


def test_the_resource_says_who_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    assert resource()["service.name"] == "provider-gateway"
    assert resource()["deployment.environment.name"] == "test"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "edge-7")
    with Receiver() as receiver:
        observer = Observer.start(ObserverSettings(log_format="off"), quick(receiver))
        observer.take([make_call()])
        observer.close()
        (resource_spans,) = receiver.requests[0].resource_spans
    said = {attribute.key: attribute.value.string_value for attribute in resource_spans.resource.attributes}
    assert said["service.name"] == "edge-7"
    assert resource_spans.scope_spans[0].scope.name == "provider-gateway"


def test_settings_that_make_no_sense_cost_the_export_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        observer = Observer.start(ObserverSettings("nonsense", "off"), {})
    assert "traces are not exported: OTEL_EXPORTER_OTLP_ENDPOINT is no collector" in caplog.text
    observer.take([make_call()])
    assert len(observer.store) == 1
    observer.close()


@pytest.mark.parametrize("form", ["json", "text"])
def test_every_call_is_a_line(form: str) -> None:
    read, write = os.pipe()
    observer = Observer.start(ObserverSettings(log_format=form), {}, log_fd=write)
    observer.take([make_call(), make_call(status=404)])
    observer.close()
    os.close(write)
    with os.fdopen(read) as log:
        lines = log.readlines()
    assert len(lines) == 2
    assert TRACE_ID in lines[0]
    if form == "json":
        assert [json.loads(line)["status"] for line in lines] == [200, 404]


def test_settings_are_the_telemetry_section() -> None:
    telemetry = {"traces": {"endpoint": "http://c/v1/traces", "sample": "100%"}, "logs": {"format": "text"}}
    assert ObserverSettings.read(telemetry) == ObserverSettings("http://c/v1/traces", "text")
    assert ObserverSettings.read({"traces": {"endpoint": None}, "logs": None}) == ObserverSettings()
    assert ObserverSettings.read({"logs": {"format": "text", "access": False}}).log_format == "off"


def test_a_record_that_makes_no_sense_does_not_stop_the_next(caplog: pytest.LogCaptureFixture) -> None:
    with Receiver() as receiver:
        observer = Observer.start(ObserverSettings(log_format="off"), quick(receiver))
        with caplog.at_level(logging.ERROR):
            observer.take([make_call(trace_id="no hex"), make_call()])
        observer.close()
        assert len(receiver.spans) == 3
    assert "a record made no sense" in caplog.text
    assert values(observer, "gateway_observer_records_failed_total") == {(): 1}
    assert values(observer, "gateway_observer_records_total") == {(): 2}


def test_questions_are_answered() -> None:
    observer = Observer()
    observer.take([make_call(), make_call(trace_id="f" * 32, status=500, ended_ns=90 * MS)])
    (newest, oldest) = observer.ask({"op": "traces"})
    assert (newest["status"], newest["attempts"], oldest["trace_id"]) == (500, 1, TRACE_ID)
    assert [found["trace_id"] for found in observer.ask({"op": "traces", "errors": True})] == ["f" * 32]
    assert [found["trace_id"] for found in observer.ask({"op": "traces", "slow": True, "limit": 1})] == [
        "f" * 32
    ]
    assert observer.ask({"op": "traces", "route": "none"}) == []
    trace = observer.ask({"op": "trace", "id": TRACE_ID[:6]})
    assert trace["trace_id"] == TRACE_ID
    assert [span["kind"] for span in trace["spans"]] == ["server", "internal", "client"]
    assert trace["calls_left_out"] == 0
    assert json.loads(json.dumps(trace)) == trace
    assert observer.ask({"op": "trace", "id": "abc"}) == {"error": "no trace kept begins with 'abc'"}
    assert observer.ask({"op": "brew"}) == {"error": "the observer knows no 'brew'"}
    assert "gateway_traces_kept" in [sample[0] for sample in observer.ask({"op": "metrics"})]


def test_an_id_that_begins_several_traces_is_told() -> None:
    observer = Observer()
    observer.take([make_call(trace_id="a1" * 16), make_call(trace_id="a2" * 16)])
    assert observer.ask({"op": "trace", "id": "a"}) == {
        "error": "2 traces begin with a: write more of the id"
    }


def test_a_trace_of_very_many_calls_is_cut() -> None:
    observer = Observer()
    observer.take([make_call(received_ns=number) for number in range(TRACE_CALLS_LIMIT + 7)])
    trace = observer.ask({"op": "trace", "id": TRACE_ID})
    assert (len(trace["calls"]), trace["calls_left_out"]) == (TRACE_CALLS_LIMIT, 7)


def test_no_secret_of_a_query_leaves_in_any_way() -> None:
    read, write = os.pipe()
    with Receiver() as receiver:
        observer = Observer.start(ObserverSettings(), quick(receiver), log_fd=write)
        observer.take(
            [make_call(query="hash=s3cret", target="/x?token=s3cret", attempts=[tuple(make_attempt())] * 2)]
        )
        said = json.dumps([observer.ask({"op": "trace", "id": TRACE_ID}), observer.ask({"op": "traces"})])
        observer.close()
        said += str(receiver.requests)
    os.close(write)
    with os.fdopen(read) as log:
        said += log.read()
    assert "REDACTED" in said
    assert "s3cret" not in said


def test_spans_are_offered_by_the_batch_but_no_more_than_a_collector_wants_at_once() -> None:
    with Receiver() as receiver:
        more = quick(receiver, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="5")
        observer = Observer.start(ObserverSettings(log_format="off"), more)
        recorder = Recorder(sink=observer.sink)
        chance = random.Random(3)
        for _ in range(200):
            exchange, status = random_call(chance, Route())
            recorder.record(exchange, status, 270, Outcome.COMPLETE)
        recorder.flush()
        observer.close()
        sizes = [len(request.resource_spans[0].scope_spans[0].spans) for request in receiver.requests]
        assert len({span.trace_id for span in receiver.spans}) == 200
    assert max(sizes) <= 7  # a call of three attempts and as many decisions is never torn
