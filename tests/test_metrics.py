"""Numbers are added up over workers and shown as Prometheus reads them."""

from __future__ import annotations

import marshal
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metrics import SECONDS, Metrics, merge, render

LINE = re.compile(r'[a-z_]+(\{[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"(,[a-z_]+="(?:[^"\\\n]|\\[\\"n])*")*\})? (\S+)')


def filled() -> Metrics:
    metrics = Metrics()
    metrics.counter("gateway_calls_total", "Calls", ("route",)).add(("games",), 2)
    metrics.gauge("gateway_open", "Open connections").set(3)
    metrics.histogram("gateway_seconds", "How long", ("route",)).observe(0.03, ("games",))
    return metrics


def test_one_name_is_one_metric() -> None:
    metrics = Metrics()
    assert metrics.counter("a_total", "A") is metrics.counter("a_total", "A")
    assert metrics.gauge("b", "B") is metrics.gauge("b", "B")
    assert metrics.histogram("c_seconds", "C") is metrics.histogram("c_seconds", "C")


def test_what_is_watched_is_read_when_asked() -> None:
    metrics, size = Metrics(), [1.0]
    gauge = metrics.gauge("gateway_size", "Size", ("of",))
    gauge.set(9, ("a",))
    gauge.watch(lambda: -1, ("a",))
    gauge.watch(lambda: size[0], ("a",))
    size[0] = 5
    assert render(metrics.snapshot()).endswith('gateway_size{of="a"} 5\n')


def test_the_text_is_pinned() -> None:
    text = render(filled().snapshot())
    assert text.startswith(
        "# HELP gateway_calls_total Calls\n# TYPE gateway_calls_total counter\n"
        'gateway_calls_total{route="games"} 2\n'
        "# HELP gateway_open Open connections\n# TYPE gateway_open gauge\ngateway_open 3\n"
        "# HELP gateway_seconds How long\n# TYPE gateway_seconds histogram\n"
        'gateway_seconds_bucket{route="games",le="0.001"} 0\n'
    )
    assert text.endswith(
        'gateway_seconds_bucket{route="games",le="+Inf"} 1\n'
        'gateway_seconds_sum{route="games"} 0.03\ngateway_seconds_count{route="games"} 1\n'
    )


@given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(0, 1e12))
def test_any_label_makes_a_line_that_prometheus_reads(label: str, amount: float) -> None:
    metrics = Metrics()
    metrics.counter("gateway_x_total", "X", ("a", "b")).add((label, label), amount)
    _, _, line, end = render(metrics.snapshot()).split("\n", 3)
    match = LINE.fullmatch(line)
    assert match
    assert float(match[3]) == pytest.approx(amount, rel=1e-5)
    assert end == ""


@given(st.lists(st.floats(0, 20)))
def test_buckets_are_cumulative_and_the_last_holds_everything(durations: list[float]) -> None:
    metrics = Metrics()
    histogram = metrics.histogram("gateway_x_seconds", "X")
    for duration in durations:
        histogram.observe(duration)
    lines = [line.rpartition(" ") for line in render(metrics.snapshot()).splitlines() if line[0] != "#"]
    counts = [int(value) for name, _, value in lines if "_bucket" in name]
    expected = [sum(duration <= bound for duration in durations) for bound in SECONDS]
    assert counts == ([*expected, len(durations)] if durations else [])


def test_a_value_on_the_bound_is_in_the_bucket() -> None:
    metrics = Metrics()
    metrics.histogram("gateway_x_seconds", "X").observe(0.001)
    assert 'le="0.001"} 1' in render(metrics.snapshot())


def test_workers_are_added_up() -> None:
    other = filled()
    other.counter("gateway_calls_total", "Calls", ("route",)).add(("wallet",))
    other.counter("gateway_else_total", "Only here").add()
    text = render(merge([filled().snapshot(), other.snapshot()]))
    assert 'gateway_calls_total{route="games"} 4' in text
    assert 'gateway_calls_total{route="wallet"} 1' in text
    assert "gateway_open 6" in text
    assert "gateway_else_total 1" in text
    assert 'gateway_seconds_count{route="games"} 2' in text
    assert 'gateway_seconds_sum{route="games"} 0.06' in text


def test_merging_leaves_the_snapshots_alone() -> None:
    first, second = filled().snapshot(), filled().snapshot()
    before = marshal.dumps(first)
    merge([first, second])
    merge([first, second])
    assert marshal.dumps(first) == before


def test_a_snapshot_can_be_marshalled_and_is_no_window_on_what_follows() -> None:
    metrics = filled()
    snapshot = metrics.snapshot()
    assert marshal.loads(marshal.dumps(snapshot)) == snapshot
    metrics.histogram("gateway_seconds", "How long", ("route",)).observe(0.03, ("games",))
    metrics.counter("gateway_calls_total", "Calls", ("route",)).add(("games",))
    assert render(snapshot) == render(filled().snapshot())


def test_large_numbers_keep_their_last_digit() -> None:
    metrics = Metrics()
    metrics.counter("gateway_bytes_total", "Bytes").add((), 12_345_678_901)
    assert render(metrics.snapshot()).endswith("gateway_bytes_total 12345678901\n")
