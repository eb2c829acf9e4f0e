"""A day of abuse in small: good, slow, broken and hostile traffic at once, and new configurations.

`make soak` (SECONDS=600) tells at the end what became of the good calls, and what the processes hold.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from socket import create_server
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.scenarios.floods import Flood
from tests.scenarios.running import Gateway, eventually, gateway
from tests.scenarios.scripted import ScriptedOrigin
from tests.soak.health import MIB, Health
from tests.soak.origins import script
from tests.soak.traffic import Traffic

CONFIG = """
    version: 1
    upstreams:
      origin: {{targets: [{{url: "{url}"}}], pool: {{idle_timeout: 2s}}}}
      faulty:
        targets: [{{url: "{url}"}}]
        pool: {{idle_timeout: 2s}}
        timeout: {{response: 1s, idle: 1s, total: 3s}}
      stalled:
        targets: [{{url: "http://127.0.0.1:{stalled}"}}]
        timeout: {{connect: 500ms, response: 500ms, total: 1s}}
    routes:
      - {{name: all, match: {{methods: [GET, POST], path: "/*"}}, upstream: origin, policies: [shown]}}
      - {{name: chunked, match: {{methods: [POST], path: /chunked}}, upstream: origin,
         policies: [shown, {{retry: {{attempts: 2}}}}]}}
      - {{name: lists, match: {{methods: [GET], path: "/lists/*"}}, upstream: origin,
         policies: [{{cache: {{ttl: 1s}}}}, shown]}}
      - {{name: faulty, match: {{methods: [GET], path: "/faulty/*"}}, upstream: faulty,
         policies: [{{retry: {{attempts: 2}}}}, {{error_codes: {{}}}}]}}
      - {{name: stalled, match: {{methods: [GET], path: /stalled}}, upstream: stalled}}
    server:
      drain: {{delay: 0s, grace: 2s}}
      limits: {{head_timeout: 2s, body_timeout: 2s, idle_timeout: 3s, write_timeout: 1s}}
"""
SHOWN = "- headers: {{response: {{set: {{x-shown: '{number}'}}}}}}\n"
SLOW = 60
RELOAD_SECONDS = 5.0
LOOKS = 200
SETTLE_SECONDS = 20.0


@dataclass
class Report:
    """What came of it."""

    seconds: float
    traffic: Traffic
    flood: Flood
    health: Health
    reloads: int
    faults: list[str] = field(default_factory=list)
    """Empty where all is as promised."""

    def table(self) -> Table:
        """Memory and descriptors of each process."""
        made = Table(
            "process", "at start", "warmed up", "at the end", "without traffic",
            title="resident MiB / descriptors",
        )  # fmt: skip
        health = self.health
        for name in health.pids:
            looks = health.start[name], health.warm(name), health.end(name), health.after[name]
            made.add_row(name, *(f"{look.resident / MIB:6.1f} / {look.descriptors:3}" for look in looks))
        return made


def soak(seconds: float, *, workers: int = 1, console: Console | None = None) -> Report:
    """Run for so many seconds; the first fifth warms up. Leaves nothing running."""
    console = console or Console(quiet=True)
    with ExitStack() as stack:
        origin = stack.enter_context(ScriptedOrigin(script))
        stalled = stack.enter_context(create_server(("127.0.0.1", 0), backlog=8)).getsockname()[1]
        config = CONFIG.format(url=origin.url, stalled=stalled)
        running = stack.enter_context(gateway(config, {"shown": SHOWN.format(number=0)}, workers=workers))
        health = Health(running)
        with Traffic(running.port) as traffic, Flood(running.port, SLOW, every=0.5, replace=True) as flood:
            reloads = _abuse(
                running, config, seconds, origin, health=health, traffic=traffic, console=console
            )
        report = Report(seconds, traffic, flood, health, reloads)
        eventually(lambda: running.metric("gateway_requests_in_flight") == 0, seconds=SETTLE_SECONDS)
        eventually(
            lambda: running.metric("gateway_upstream_connections", state="idle") == 0, seconds=SETTLE_SECONDS
        )
        health.rest()
        restarts = running.metric("gateway_restarts_total")
        generation = running.ask("/api/status").json()["generation"]
    # Much is kept up to a bound that a short run does not reach: traces, names of fields, cached answers.
    allowed = 8 * MIB if seconds >= 300 else 64 * MIB
    report.faults = [*traffic.failures[:20], *health.faults(allowed)]
    report.faults += [f"{name}: left hanging" for name in sorted(set(traffic.left_hanging))]
    if restarts:
        report.faults.append(f"{restarts:.0f} processes died")
    if generation != 1 + reloads:
        report.faults.append(f"generation {generation} serves after {reloads} good reloads")
    return report


def _abuse(
    running: Gateway,
    config: str,
    seconds: float,
    origin: ScriptedOrigin,
    *,
    health: Health,
    traffic: Traffic,
    console: Console,
) -> int:
    """Look and reload, now and then, until the time is over. Returns the good reloads."""
    began = time.monotonic()
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    looked, reloads, turns = seconds / 5, 0, 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("soaking", total=seconds)
        while (passed := time.monotonic() - began) < seconds:
            origin.seen.clear()
            failed = len(traffic.failures)
            progress.update(
                bar, completed=passed, description=f"{traffic.calls['good']} good calls, {failed} failed"
            )
            if passed > looked:
                health.look()
                looked = max(looked + 0.8 * seconds / LOOKS, passed)
            if passed > (turns + 1) * min(RELOAD_SECONDS, seconds / 4):
                turns += 1
                good = turns % 2 == 1
                text = SHOWN.format(number=turns) if good else "- headers: {respond: {}}\n"
                running.write(config, {"shown": text})
                status = running.ask("/api/reload", json={}).status_code
                assert status == (200 if good else 422), f"reload {turns} was answered {status}"
                reloads += good
            time.sleep(0.05)
    health.look()
    return reloads


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--workers", type=int, default=1)
    asked: Any = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 100)
    report = soak(asked.seconds, workers=asked.workers, console=console)
    console.print(report.table())
    calls = report.traffic.calls
    console.print(
        f"{calls['good']} good calls, {len(report.traffic.failures)} of them failed; beside them "
        + ", ".join(f"{number} {name}" for name, number in sorted(calls.items()) if name != "good")
        + f", {report.flood.opened} slow or silent; {report.reloads} good reloads, and as many bad ones",
        highlight=False,
    )
    for fault in report.faults:
        console.print(fault, style="bold red", markup=False, highlight=False)
    console.print("all as promised" if not report.faults else "NOT as promised")
    return int(bool(report.faults))


if __name__ == "__main__":
    sys.exit(main())
