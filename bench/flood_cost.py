"""How much slower calls get while 500 connections send a head or a body a byte at a time, or nothing.

    python -m bench.flood_cost [--rounds 11] [--seconds 3] [--rate 500] [--json]

Rounds without and with them take turns, and the medians of both are compared: whatever else the machine
does meets both alike. Who is cut at its deadline is replaced at once. Exit status 1 where the 99th
percentile of the calls grows by 20 % or more, or a call fails.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import track

from bench.load import Latency, at_rate
from bench.processes import LOAD_CORE, PROXY_CORE, SOURCES, free_port, pinned, start
from tests.scenarios.floods import Flood
from tests.scenarios.running import Gateway, gateway

CONFIG = """
    version: 1
    upstreams: {{origin: {{targets: [{{url: "{url}"}}]}}}}
    routes:
      - {{name: games, match: {{methods: [GET, POST], path: /games}}, upstream: origin}}
    telemetry: {{logs: {{access: false}}}}
    server: {{drain: {{delay: 0s, grace: 1s}}}}
"""
COUNT = 500
ALLOWED = 1.2


@contextmanager
def flood(running: Gateway) -> Iterator[None]:
    """All of them open, and as many cut and replaced in a second as will be in the next."""
    with pinned(LOAD_CORE), Flood(running.port, COUNT, replace=True) as made:
        while made.open < COUNT:
            time.sleep(0.05)
        yield


def measure(
    running: Gateway, rounds: int, rate: float, seconds: float
) -> tuple[list[Latency], list[Latency]]:
    """Rounds without and with, in turns."""
    quiet, flooded = [], []
    console = Console(stderr=True)
    for number in track(range(2 * rounds), "rounds", console=console, disable=not console.is_terminal):
        with ExitStack() as stack:
            if number % 2:
                stack.enter_context(flood(running))
            found = at_rate(running.url + "/games", rate=rate, seconds=seconds)
            (flooded if number % 2 else quiet).append(found)
    return quiet, flooded


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--json", action="store_true")
    asked: Any = parser.parse_args(arguments)
    port = free_port()
    echo = [sys.executable, "-m", "bench.origin", "--echo", str(port)]
    with (
        tempfile.TemporaryDirectory() as folder,
        start(echo, core=LOAD_CORE, directory=Path(folder), env=SOURCES, ready=port),
        gateway(CONFIG.format(url=f"http://127.0.0.1:{port}")) as running,
    ):
        for pid in (running.process.pid, running.observer_pid(), *running.worker_pids()):
            os.sched_setaffinity(pid, {PROXY_CORE})
        at_rate(running.url + "/games", rate=asked.rate, seconds=1)
        quiet, flooded = measure(running, asked.rounds, asked.rate, asked.seconds)
    errors = sum(found.errors for found in (*quiet, *flooded))
    told: dict[str, Any] = {
        "rounds": asked.rounds,
        "rate": asked.rate,
        "connections": COUNT,
        "errors": errors,
    }
    for name in ("p50_us", "p99_us"):
        without, with_them = (median(getattr(f, name) for f in found) for found in (quiet, flooded))
        told[name] = {"without": without, "with": with_them, "ratio": with_them / without}
    good = not errors and told["p99_us"]["ratio"] < ALLOWED
    if asked.json:
        print(json.dumps(told))
    else:
        for name in ("p50_us", "p99_us"):
            figures = told[name]
            print(
                f"{name[:3]}  {figures['without']:8.0f} µs without, {figures['with']:8.0f} µs with "
                f"{COUNT} slow connections: ratio {figures['ratio']:.3f}"
            )
        print(
            f"{errors} of the calls failed; {'' if good else 'NOT '}as promised: none, and a ratio below 1.2"
        )
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
