"""What the gateway's processes hold in memory: idle, with idle connections, after few and after many calls.

Resident bytes, as the kernel counts them: pages that processes share count in each.
"""

from __future__ import annotations

import statistics
import time
from functools import partial

from rich.console import Console

from bench.campaign import Plan, Run
from bench.load import idle_connections
from bench.measure import saturation, warm
from bench.processes import Process
from bench.results import Cell, Ratio, Result, Table, ratio
from bench.subject import Subject, World, running

CONNECTIONS, FEW, MANY = 10_000, 10_000, 1_000_000
QUICK_CONNECTIONS, QUICK_MANY = 500, 30_000
SETTLING_SECONDS = 3.0
ROLES = ("worker", "observer", "supervisor", "worker in reserve")
SUBJECT = Subject("gateway", "gateway")

Held = dict[str, float]
"""Role → MiB."""


def memory(around: World, plan: Plan, console: Console) -> Result:
    """The campaign."""
    connections, many = (QUICK_CONNECTIONS, QUICK_MANY) if plan.quick else (CONNECTIONS, MANY)
    moments: dict[str, list[Held]] = {}
    with Run("memory", plan, around, console) as run:
        for _ in range(plan.rounds):
            run.attempt("idle connections", partial(_idle, run, moments, connections))
            run.attempt(f"{many:,} calls", partial(_calls, run, moments, many))
        few, after = _moment(FEW), _moment(many)
        held = [[float(at["worker"]) for at in moments.get(moment, [])] for moment in (after, few)]
        named = f"worker's memory after {many:,} calls, against {FEW:,}"
        found: list[Ratio | None] = [ratio(named, *held, must=1.1, aim=1.0, at_most=True)]
        return run.result(found, [table(moments)])


def _moment(calls: int) -> str:
    return f"after {calls:,} calls"


def _idle(run: Run, moments: dict[str, list[Held]], connections: int) -> None:
    with running(run.around, SUBJECT) as proxy:
        time.sleep(SETTLING_SECONDS)
        moments.setdefault("idle", []).append(held(proxy.process))
        with idle_connections(proxy.port, connections, path=SUBJECT.path, headers=SUBJECT.headers) as kept:
            time.sleep(SETTLING_SECONDS)
            moments.setdefault(f"{connections:,} idle connections", []).append(held(proxy.process))
            if kept.open() < connections:
                run.fault(f"{connections - kept.open()} of {connections} idle connections were closed")
    run.around.sink.reset()


def _calls(run: Run, moments: dict[str, list[Held]], many: int) -> None:
    with running(run.around, SUBJECT) as proxy:
        warm(run.around, SUBJECT, proxy, 0.2)
        calls = 0
        for until in (FEW, many):
            while calls < until:
                seconds = 0.5 if until == FEW else max(2.0, run.plan.seconds)
                found = saturation(run.around, SUBJECT, proxy, seconds)
                run.take(found)
                if not found.calls:
                    return
                calls += found.calls + found.verified
            time.sleep(SETTLING_SECONDS)
            moments.setdefault(_moment(until), []).append(held(proxy.process))


def held(process: Process) -> Held:
    """Who holds how much now. Of several workers the largest is the one that works."""
    found = dict.fromkeys(ROLES, 0.0)
    for command, size in sorted(process.rss_bytes().values(), key=lambda member: -member[1]):
        role = next((role for role in ROLES[:2] if f"gateway.{role}" in command), "supervisor")
        if role == "worker" and found["worker"]:
            role = "worker in reserve"
        found[role] += size / 2**20
    return found


def table(moments: dict[str, list[Held]]) -> Table:
    """Moments and what was held at each, in MiB; medians over the rounds."""
    rows: list[tuple[Cell, ...]] = [
        (moment, *(round(statistics.median(at[role] for at in held_then), 1) for role in ROLES))
        for moment, held_then in moments.items()
    ]
    return Table("resident memory", ("", *(f"{role} MiB" for role in ROLES)), tuple(rows), "worker MiB")
