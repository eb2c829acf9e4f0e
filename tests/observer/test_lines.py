"""Lines get out in order, and a reader that does not read stops nobody."""

from __future__ import annotations

import logging
import os

import pytest

from gateway.metrics import Metrics
from gateway.observer.lines import LineWriter
from tests.observer.support import until


def dropped(metrics: Metrics) -> float:
    return sum(
        value for sample in metrics.snapshot() for _, value in sample[4] if isinstance(value, float | int)
    )


def test_lines_come_out_whole_and_in_order() -> None:
    read, write = os.pipe()
    writer = LineWriter(write)
    lines = [f"line {number}\n" for number in range(3000)]
    for line in lines:
        writer.write(line)
    os.close(os.dup(read))
    data = b""
    while data.count(b"\n") < len(lines):
        data += os.read(read, 1 << 16)
    assert data.decode() == "".join(lines)
    writer.close()
    os.close(read)
    os.close(write)


def test_a_full_pipe_costs_lines_and_no_time() -> None:
    read, write = os.pipe()
    metrics = Metrics()
    writer = LineWriter(write, metrics, limit=100)
    for _ in range(1000):
        writer.write("x" * 1000 + "\n")
    assert dropped(metrics) > 0
    os.close(read)  # now the thread's write fails, and it ends
    writer.close(5)
    os.close(write)


def test_a_closed_pipe_ends_the_log_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    read, write = os.pipe()
    os.close(read)
    metrics = Metrics()
    writer = LineWriter(write, metrics)
    with caplog.at_level(logging.ERROR):
        writer.write("a\n")
        until(lambda: dropped(metrics) == 1)
    writer.write("b\n")
    assert dropped(metrics) == 2
    assert "the access log ends here" in caplog.text
    writer.close()
    os.close(write)


def test_of_lines_that_come_together_those_that_fit_are_written() -> None:
    read, write = os.pipe()
    metrics = Metrics()
    writer = LineWriter(write, metrics, limit=3)
    writer.write()
    writer.write("a\n", "b\n", "c\n", "d\n", "e\n")
    writer.close()
    os.close(write)
    with os.fdopen(read) as log:
        assert log.read() == "a\nb\nc\n"
    assert dropped(metrics) == 2
