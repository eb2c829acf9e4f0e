"""One verified round, with the real gateway, the real sink and the real caller: only the load is a small one.

The origin answers as the benchmark's own does, without nginx; the load is a few hundred calls, one after the
other, so that neither wrk nor h2load is needed.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.caller import Verdict
from bench.core import core_seconds, share
from bench.load import Latency, Saturation
from bench.measure import OURS, Work, _limits, _traces, _wrong, answer_length, measured
from bench.origin import BODY, Echo, Origin
from bench.sink import Count, sink
from bench.subject import BODY as POSTED
from bench.subject import Running, Subject, World, running

TWO_CORES = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="proxy and load have a core each")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-origin: bench\r\ncontent-length: 270\r\n\r\n"


class SmallOrigin(Echo):
    """As nginx answers: /echo tells what it received, everything else is a game."""

    def on_message_complete(self) -> None:
        if self.target.startswith(b"/echo"):
            super().on_message_complete()
        else:
            self.transport.write(HEAD + BODY)


@pytest.fixture(name="world")
def between_origin_and_sink(tmp_path: Path) -> Iterator[World]:
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(SmallOrigin, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    origin = Origin(server.sockets[0].getsockname()[1], 0, tmp_path, cast("Any", None))
    try:
        with sink(tmp_path, core=min(os.sched_getaffinity(0))) as collector:
            yield World(tmp_path, origin, collector)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


def calling(subject: Subject, times: int, wrong_key: bool = False) -> Work:
    """So many calls, one after the other; measures their bytes as wrk does, heads included."""

    def work(url: str) -> Saturation:
        connection = http.client.HTTPConnection(url.split("/")[2], timeout=10)
        headers = dict(subject.headers) | ({"x-api-key": "wrong"} if wrong_key else {})
        errors = size = 0
        began = time.monotonic()
        for _ in range(times):
            connection.request(subject.method, subject.path, subject.body or None, headers)
            answer = connection.getresponse()
            head = sum(len(name) + len(value) + 4 for name, value in answer.getheaders())
            size += len(f"HTTP/1.1 {answer.status} {answer.reason}\r\n\r\n") + head + len(answer.read())
            errors += answer.status != 200
        connection.close()
        return Saturation(times, time.monotonic() - began, errors, size, 100.0, 200.0)

    return work


@TWO_CORES
def test_a_round_of_the_gateway_is_verified_and_its_traces_are_counted(world: World):
    subject = Subject("gateway POST", OURS, "POST", body=POSTED, path="/games")
    with running(world, subject) as proxy:
        found = measured(world, subject, proxy, calling(subject, 300))
        assert found.faults == ()
        assert found.calls == 300
        assert found.traces is not None
        assert 300 < found.traces <= 305 + found.verified + subject.connections
        assert found.cpu_us > 0
        assert found.per_second > 0
        refused = measured(world, subject, proxy, calling(subject, 50, wrong_key=True))
        assert any("50 of 50 calls failed" in fault for fault in refused.faults)


@TWO_CORES
def test_a_round_of_the_bare_protocols_has_no_traces(world: World):
    subject = Subject("bare GET", "bare", guarded=False)
    with running(world, subject) as proxy:
        found = measured(world, subject, proxy, calling(subject, 300))
        assert (found.faults, found.traces) == ((), None)
        assert len(set(answer_length(proxy.port, subject))) == 1


class Sinks:
    """A sink that has so many traces, and then so many more."""

    def __init__(self, *traces: int) -> None:
        self.traces = list(traces)

    def count(self) -> Count:
        return Count(self.traces.pop(0) if len(self.traces) > 1 else self.traces[0], 0, 0, 0.0)


@pytest.mark.parametrize(
    ("traces", "contender", "fault", "note"),
    [
        ((110,), OURS, "", ""),
        ((174,), OURS, "", ""),
        ((175,), OURS, "175 traces of at most 174", ""),
        ((90, 110), OURS, "18 of 108 traces had not come after 2 s, 0 never did", ""),
        ((90,), "envoy", "", "18 never did: it was measured doing that much less"),
    ],
)
def test_traces_are_as_many_as_calls(
    traces: tuple[int, ...], contender: str, fault: str, note: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bench.measure.LATE_SECONDS", 0.1)
    around = cast("World", SimpleNamespace(sink=Sinks(*traces)))
    verdict = Verdict(calls=10, refused=2)
    _, faults, notes = _traces(around, Subject("x", contender), 100, verdict, time.monotonic() - 2)
    assert bool(faults) == bool(fault)
    assert bool(notes) == bool(note)
    assert fault in "".join(faults)
    assert note in "".join(notes)


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (Saturation(1000, 1.0, 0, 500_500, 1, 2), ""),
        (Saturation(1000, 1.0, 0, 400_000, 1, 2), "400.0 bytes in the mean, single ones have 500 to 501"),
        (Saturation(1000, 1.0, 3, 500_000, 1, 2), "3 of 1000 calls failed"),
        (Saturation(0, 1.0, 0, 0, 1, 2), "no call was answered"),
        (Latency(1000, 2, 100.0, 1, 2, 3), "2 of 1000 calls failed"),
    ],
)
def test_what_is_wrong_with_a_load(found: Saturation | Latency, fault: str):
    told = "".join(_wrong(Subject("x", "bare"), found, [500, 501]))
    assert fault in told
    assert bool(fault) == bool(told)


def test_what_else_limited_it():
    subject = Subject("x", "bare")
    assert "not saturated" in _limits(subject, 0.7, 0.69)[0]
    assert "only 60% were its own" in _limits(subject, 0.95, 0.6)[0]
    assert _limits(subject, 0.95, 0.93) == []


def test_a_core_is_busy_for_a_share_of_the_time():
    before = core_seconds(0)
    time.sleep(0.05)
    assert 0.0 <= share(before, core_seconds(0)) <= 1.0
    assert share((1.0, 2.0), (1.5, 3.0)) == 0.5


def test_a_running_contender_has_urls():
    assert Running(8080, cast("Any", None)).url("/games") == "http://127.0.0.1:8080/games"
