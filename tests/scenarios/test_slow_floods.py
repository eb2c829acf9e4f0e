"""500 connections that send heads and bodies a byte at a time, or nothing, beside calls due at a rate.

How much slower the calls get, `make edge-flood` measures: a figure of a few percent wants more rounds than
a test may take, and a machine of its own. Here stands what does not depend on that.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.floods import Flood
from tests.scenarios.running import eventually, gateway
from tests.scenarios.scripted import ScriptedOrigin, answer

CONFIG = """
    version: 1
    upstreams: {{origin: {{targets: [{{url: "{url}"}}]}}}}
    routes:
      - {{name: games, match: {{methods: [GET, POST], path: /games}}, upstream: origin}}
    server:
      drain: {{delay: 0s, grace: 1s}}
      limits: {{head_timeout: 3s, body_timeout: 3s}}
"""
COUNT = 500
DEADLINE_SECONDS = 3.0
LATE_SECONDS = 2.5
"""A sweep comes 0.25 s late at most, and who is told of the end may be busy."""
COST_SECONDS = 0.5e-3
"""CPU time of the worker for each of them: measured 0.1 ms. A scan of all for each would take far more."""
RATE, SECONDS = 200, 2


def cpu_seconds(pid: int) -> float:
    """What a process has run so far, as the scheduler counts it."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def open_loop(port: int) -> dict[str, Any]:
    """Calls that are due at a rate, whatever becomes of those before: by a process of its own."""
    command = [sys.executable, "-m", "bench.open_loop", str(port), str(RATE), str(SECONDS), "16", "10"]
    request = b"GET /games HTTP/1.1\r\nHost: gateway\r\n\r\n"
    done = subprocess.run(command, input=request, capture_output=True, timeout=60, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


@pytest.mark.attack(19)
def test_five_hundred_slow_connections_beside_normal_calls() -> None:
    quiet, flooded = [], []
    with (
        ScriptedOrigin(lambda _: answer(200, b'{"games": []}')) as origin,
        gateway(CONFIG.format(url=origin.url)) as running,
    ):
        [worker] = running.worker_pids()

        def round_of_calls() -> float:
            """CPU seconds of the worker; every call is answered right."""
            before = cpu_seconds(worker)
            figures = open_loop(running.port)
            assert figures["calls"] == RATE * SECONDS
            assert figures["errors"] == 0
            return cpu_seconds(worker) - before

        round_of_calls()
        for _ in range(2):
            quiet.append(round_of_calls())
            with Flood(running.port, COUNT) as flood:
                eventually(lambda flood=flood: flood.opened == COUNT)  # type: ignore[misc]
                flooded.append(round_of_calls())
                eventually(lambda flood=flood: flood.open == 0)  # type: ignore[misc]
            assert len(flood.ended) == COUNT
            late = [
                each
                for each in flood.ended
                if not DEADLINE_SECONDS * 0.9 < each.seconds < DEADLINE_SECONDS + LATE_SECONDS
            ]
            assert late == []
            for each in flood.ended:
                assert each.said.startswith(b"HTTP/1.1 408 ") or (each.kind == "silence" and not each.said)
        eventually(lambda: running.metric("gateway_requests_in_flight") == 0)
    assert min(flooded) - min(quiet) < COUNT * COST_SECONDS
