"""Calls per second on one core, every policy on and every call traced, beside what others make of that work.

Every contender is started afresh in every round, and the order turns from round to round, so that whatever
else the machine does meets all of them.
"""

from __future__ import annotations

from functools import partial

from rich.console import Console

from bench.campaign import Plan, Run, cpu, p50, p99, per_second
from bench.contenders import CONTENDERS
from bench.measure import saturation, warm
from bench.results import Ratio, Result, Table, ratio, ratio_of
from bench.subject import BODY, Subject, World, running

CALLS = {"GET": b"", "POST": BODY}
OURS, UNTRACED = "gateway", "gateway, untraced"
TARGETS = {
    "envoy": (1.5, 2.0),
    "traefik": (2.0, 3.0),
    "caddy": (2.0, 3.0),
    "bare": (0.4, 0.6),
    "starlette-httpx": (40.0, 60.0),
    "nginx": (0.25, 0.4),
    "gateway-interpreted": (None, None),
    "haproxy": (None, None),
    "envoy-untraced": (None, None),
    "aiohttp": (None, None),
}
"""Contender → how many times its calls the gateway must, and aims to, forward."""


def headline(around: World, plan: Plan, console: Console) -> Result:
    """The campaign."""
    entered = [(name, name, True) for name in CONTENDERS if plan.wants(name)]
    if plan.wants(OURS):
        entered.insert(1, (UNTRACED, OURS, False))
    with Run("headline", plan, around, console) as run:
        run.expect(plan.rounds * len(entered) * len(CALLS))
        for number in range(plan.rounds):
            turn = number * max(1, len(entered) // 3) % max(1, len(entered))
            for name, contender, tracing in entered[turn:] + entered[:turn]:
                run.attempt(name, partial(_both, run, name, contender, tracing, number))
        return run.result(ratios(run), [table(run, method) for method in CALLS])


def _both(run: Run, name: str, contender: str, tracing: bool, number: int) -> None:
    """GET and POST of one start; who goes first changes."""
    subjects = [
        Subject(
            subject(name, method), contender, method, body=body, tracing=tracing,
            connections=run.plan.connections,
        )
        for method, body in CALLS.items()
    ]  # fmt: skip
    with running(run.around, subjects[0]) as proxy:
        for chosen in subjects[:: -1 if number % 2 else 1]:
            warm(run.around, chosen, proxy)
            run.take(saturation(run.around, chosen, proxy, run.plan.seconds))


def subject(name: str, method: str) -> str:
    return f"{name} {method}"


def ratios(run: Run) -> list[Ratio | None]:
    """Against each that took part, and what tracing costs."""
    found = []
    for method in CALLS:
        ours = run.of(subject(OURS, method), per_second)
        for name, (must, aim) in TARGETS.items():
            theirs = run.of(subject(name, method), per_second)
            found.append(
                ratio(f"calls/s, {method}, against {_title(name)}", ours, theirs, must=must, aim=aim)
            )
        for name in ("envoy", "nginx", "bare"):
            used, theirs = (run.of(subject(one, method), cpu) for one in (OURS, name))
            found.append(ratio(f"CPU per call, {method}, against {_title(name)}", used, theirs, at_most=True))
        untraced = run.of(subject(UNTRACED, method), per_second)
        costs = [1 - traced / other for traced, other in zip(ours, untraced, strict=False) if other]
        named = f"what tracing every call costs, {method}"
        found.append(ratio_of(named, costs, must=0.2, aim=0.1, at_most=True, share=True))
    return found


def table(run: Run, method: str) -> Table:
    """All contenders, the fastest first."""
    rows = []
    for name, contender in [(UNTRACED, OURS), *((name, name) for name in CONTENDERS)]:
        key = subject(name, method)
        calls = run.median(key, per_second, 0)
        if calls is None:
            continue
        note = "without tracing" if name == UNTRACED else CONTENDERS[contender].note
        title = UNTRACED if name == UNTRACED else _title(name)
        core = run.median(key, lambda found: found.utilisation * 100, 0)
        rows.append(
            (
                title,
                int(calls),
                run.median(key, cpu),
                core,
                run.median(key, p50, 0),
                run.median(key, p99, 0),
                note,
            )
        )
    rows.sort(key=lambda row: -row[1])
    return Table(
        title=f"{method} of 300 bytes, {run.plan.connections} connections" if method == "POST"
        else f"{method}, {run.plan.connections} connections",
        columns=("", "calls/s", "CPU µs/call", "core %", "p50 µs", "p99 µs", "what differs"),
        rows=tuple(rows),
        drawn="calls/s",
        note="One core for each and all its processes; where that was idle, load and origin were the limit.",
    )  # fmt: skip


def _title(name: str) -> str:
    return CONTENDERS[name].title if name in CONTENDERS else name
