from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.edge.sampling import Sampling
from gateway.edge.trace_context import TraceContext, parse_traceparent, parse_tracestate
from tests.support import make_exchange

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01".encode()


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        (GOOD, (TRACE, SPAN, True)),
        (GOOD[:-1] + b"0", (TRACE, SPAN, False)),
        (GOOD[:-2] + b"ff", (TRACE, SPAN, True)),
        (b"cc" + GOOD[2:], (TRACE, SPAN, True)),
        (b"cc" + GOOD[2:] + b"-what-the-future-brings", (TRACE, SPAN, True)),
        (b"cc" + GOOD[2:] + b".what", None),
        (GOOD + b"-", None),
        (b"ff" + GOOD[2:], None),
        (GOOD.upper(), None),
        (GOOD[:-1], None),
        (b"", None),
        (GOOD.replace(b"-", b"_"), None),
        (GOOD.replace(b"4bf9", b"4bg9"), None),
        (b"00-" + b"0" * 32 + GOOD[35:], None),
        (GOOD[:36] + b"0" * 16 + b"-01", None),
    ],
)
def test_traceparent(value: bytes, parsed: object):
    assert parse_traceparent(value) == parsed


@pytest.mark.parametrize(
    ("values", "parsed"),
    [
        ([b"a=1"], "a=1"),
        ([b"a=1, b=2\t", b"tenant@sys=x y"], "a=1,b=2,tenant@sys=x y"),
        ([b"a=1,,b=2", b""], "a=1,b=2"),
        ([b"a=1,a=2"], ""),
        ([b"A=1"], ""),
        ([b"a"], ""),
        ([b"a="], ""),
        ([b"a=b=c"], ""),
        ([",".join(f"k{i}=v" for i in range(33)).encode()], ""),
    ],
)
def test_tracestate(values: list[bytes], parsed: str):
    assert parse_tracestate(values) == parsed


@given(st.binary(max_size=60) | st.text("0123456789abcdef-", min_size=55, max_size=60).map(str.encode))
def test_we_accept_nothing_that_opentelemetry_refuses(value: bytes):
    parsed = parse_traceparent(value)
    if parsed is None:
        return
    context = TraceContextTextMapPropagator().extract({"traceparent": value.decode()})
    span = get_current_span(context).get_span_context()
    assert (f"{span.trace_id:032x}", f"{span.span_id:016x}") == parsed[:2]


@given(st.integers(1, (1 << 128) - 1), st.integers(1, (1 << 64) - 1), st.integers(0, 255))
def test_what_opentelemetry_sends_is_continued(trace: int, span: int, flags: int):
    exchange = make_exchange()
    header = f"00-{trace:032x}-{span:016x}-{flags:02x}".encode()
    TraceContext().assign(exchange, [header], [b"a=1", b"b=2"])
    assert (exchange.trace_id, exchange.parent_id) == (f"{trace:032x}", f"{span:016x}")
    assert exchange.sampled is bool(flags & 1)
    assert exchange.tracestate == "a=1,b=2"
    assert exchange.span_id != exchange.parent_id


@pytest.mark.parametrize("values", [None, [b"nonsense"], [GOOD, GOOD]])
def test_without_one_good_traceparent_a_trace_begins(values: list[bytes] | None):
    exchange = make_exchange()
    TraceContext().assign(exchange, values, [b"a=1"])
    assert len(exchange.trace_id) == 32
    assert len(exchange.span_id) == 16
    assert exchange.trace_id != TRACE
    assert (exchange.parent_id, exchange.tracestate, exchange.sampled) == ("", "", True)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_sampling_decides_as_the_sdk_does(ratio: float):
    context, sdk = TraceContext(Sampling(ratio)), TraceIdRatioBased(ratio)
    for _ in range(200):
        exchange = make_exchange()
        context.assign(exchange, None, None)
        decided = sdk.should_sample(None, int(exchange.trace_id, 16), "call").decision
        assert exchange.sampled is (decided is Decision.RECORD_AND_SAMPLE)
