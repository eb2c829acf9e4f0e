"""Workers and the observer die under load, and are back before anybody has to wait for long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.scenarios.callers import Callers
from tests.scenarios.origin import Origin
from tests.scenarios.running import Gateway, children_of, eventually, gateway

CONFIG = """
    version: 1
    upstreams:
      origin: {{targets: [{{url: "{url}"}}]}}
    routes:
      - {{name: all, match: {{methods: [GET], path: "/*"}}, upstream: origin}}
"""


def connections(running: Gateway) -> dict[int, int]:
    """Open connections by worker process."""
    return {worker["pid"]: worker["connections"] for worker in running.ask("/api/status").json()["workers"]}


def wait_for_spare(running: Gateway) -> None:
    """Until the supervisor has a worker in reserve that has read all it needs, and waits."""

    def waiting() -> bool:
        used = {*running.worker_pids(), running.observer_pid()}
        spares = [pid for pid in children_of(running.process.pid) if pid not in used]
        return len(spares) == 1 and not cpu_seconds_change(spares[0])

    eventually(waiting, seconds=20)


def cpu_seconds_change(pid: int) -> bool:
    """Whether a process works; one that has hardly worked yet is still about to."""

    def ticks() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(0.2)
    return before < 10 or ticks() != before


def test_a_killed_worker_is_back_within_a_second_and_nobody_elses_calls_fail() -> None:
    with Origin() as origin, gateway(CONFIG.format(url=origin.url), workers=2) as running:
        wait_for_spare(running)
        with Callers(running.port, "/games", 6) as callers:
            eventually(lambda: callers.done > 100 and sum(connections(running).values()) == 6)
            held = connections(running)
            victim = max(held, key=lambda pid: held[pid])
            started = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            eventually(
                lambda: victim not in running.worker_pids() and running.ask("/readyz").status_code == 200
            )
            took = time.monotonic() - started
            done = callers.done
            eventually(lambda: callers.done > done + 100)
        assert all(failure.startswith("broken") for failure in callers.failures), callers.failures
        assert 1 <= len(callers.failures) <= held[victim], "only calls on the dead worker's connections break"
        assert took < 1, f"back after {took:.3f}s"
        assert running.metric("gateway_restarts_total", child="worker") == 1
        # What the dead worker counted until it was last asked is not lost, and never counted twice.
        assert running.metric("gateway_requests_total") <= callers.done + len(callers.failures)
        assert running.metric("gateway_requests_total") > done / 4


def seconds_to_start() -> float:
    """What starting a worker's process takes just now, beside everything else that runs."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", "import gateway.worker"], check=True, timeout=30)
    return time.monotonic() - started


def test_whoever_dies_before_the_next_reserve_is_there_waits_for_its_start_and_no_longer() -> None:
    """A second has room for the reserve to take over, and not always for a start as well."""
    with Origin() as origin, gateway(CONFIG.format(url=origin.url), workers=2) as running:
        wait_for_spare(running)
        with Callers(running.port, "/games", 6):
            starts, took = [seconds_to_start()], []
            for number in range(3):
                victim = running.worker_pids()[number % 2]
                killed = time.monotonic()
                os.kill(victim, signal.SIGKILL)
                eventually(
                    lambda dead=victim: (
                        dead not in running.worker_pids() and running.ask("/readyz").status_code == 200
                    ),
                    seconds=20,
                )
                took.append(time.monotonic() - killed)
            starts.append(seconds_to_start())
        assert max(took[1:]) < 1 + 2 * max(starts), f"back after {took}, where a start takes {starts}"
        assert running.metric("gateway_restarts_total", child="worker") == 3


def test_the_only_worker_may_die_as_often_as_it_likes() -> None:
    with Origin() as origin, gateway(CONFIG.format(url=origin.url)) as running:
        for _ in range(3):
            (victim,) = running.worker_pids()
            os.kill(victim, signal.SIGKILL)
            answer = httpx.get(running.url + "/games", timeout=20)  # waits in the listener's backlog
            assert answer.status_code == 200
        eventually(lambda: running.ask("/readyz").status_code == 200)
        assert running.metric("gateway_restarts_total", child="worker") == 3


def test_a_worker_that_dies_during_reloads_comes_back_with_what_serves() -> None:
    text = CONFIG.format(url="http://127.0.0.1:9")
    with gateway(text, workers=2) as running:
        for number in range(2, 8):
            if number % 2:
                os.kill(running.worker_pids()[0], signal.SIGKILL)
            running.write(text.replace("name: all", f"name: all-{number}"))
            assert running.ask("/api/reload", json={}).json()["error"] == ""
        eventually(lambda: running.ask("/readyz").status_code == 200, seconds=20)
        workers = running.ask("/api/status").json()["workers"]
        assert [worker["generation"] for worker in workers] == [7, 7]


def test_calls_go_on_without_the_observer_and_traces_come_back() -> None:
    with Origin() as origin, gateway(CONFIG.format(url=origin.url)) as running:
        observer = running.observer_pid()
        with Callers(running.port, "/games", 2) as callers:
            eventually(lambda: callers.done > 50)
            os.kill(observer, signal.SIGKILL)
            eventually(lambda: running.observer_pid() != observer)
            done = callers.done
            eventually(lambda: running.ask("/api/traces").status_code == 200, seconds=20)
            eventually(lambda: running.ask("/api/traces").json(), seconds=20)
            assert callers.done > done
        assert callers.failures == []
        assert running.metric("gateway_restarts_total", child="observer") == 1
        assert httpx.get(running.url + "/last").status_code == 200
        eventually(
            lambda: any("/last" in str(trace) for trace in running.ask("/api/traces").json()), seconds=10
        )
