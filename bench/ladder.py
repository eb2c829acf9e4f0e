"""The ladder: what each rung of the gateway costs a call, in microseconds of processor time.

A rung is the gateway with one thing more than the rung it is compared with. Its cost is the difference of
what a call takes of all the gateway's processes together, worker and observer, in rounds that take turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Console

from bench.campaign import Plan, Run, cpu, p50, per_second
from bench.contenders.gateway import POLICIES, bearer
from bench.measure import saturation, warm
from bench.processes import LOAD_CORE, PROXY_CORE
from bench.results import Cell, Ratio, Result, Table, ratio
from bench.subject import BODY, Subject, World, running

ALL = "gateway, all policies, traced"
"""As the headline has it."""
BARE = "two bare protocols"
PLAIN_ROUTE, LISTED, POSTED = "route without policies, untraced", "+ allow-list", "POST of 0.3 KiB"
FEW_ROUTES, MANY_ROUTES = "10 routes", "10,000 routes"
OVER_TLS = "gateway, upstream over TLS"
HIT, NGINX_HIT = "gateway, cache hit", "nginx, cache hit"
BOTH_CORES = frozenset({PROXY_CORE, LOAD_CORE})

TITLES = {
    "rungs": "rung by rung",
    "connections": "connections",
    "bodies": "bodies",
    "routes": "routes",
    "workers": "workers",
    "tls": "upstream over TLS",
    "cache": "cache hits",
}
"""Table, as `--only` names it → its title."""


NOTES = {"workers": "On both cores, load and origin compete with the workers: what counts is CPU per call."}


@dataclass(frozen=True)
class Rung:
    """A subject, and the name of the one it is compared with."""

    subject: Subject
    base: str | None = None

    @property
    def name(self) -> str:
        return self.subject.name


def rungs(connections: int = 64) -> dict[str, list[Rung]]:
    """Table → its rungs in order. A subject that stands in several tables is measured once a round."""

    def ours(name: str, **settings: Any) -> Subject:
        return Subject(name, "gateway", **{"connections": connections, **settings})

    whole = ours(ALL)
    posted = ours(POSTED, method="POST", body=BODY)
    wallet = ours(
        "wallet callback, without journal",
        method="POST",
        path="/callbacks/games",
        body=BODY,
        options={"wallet": True},
    )
    return {
        "rungs": [
            Rung(Subject(BARE, "bare", connections=connections)),
            *_policies(connections),
            Rung(whole, "+ timeout"),
            Rung(ours("all of that, and an access log", options={"access_log": True}), ALL),
            Rung(posted, ALL),
            Rung(wallet, POSTED),
        ],
        "connections": [
            Rung(ours(f"gateway, {count} connections", connections=count), "gateway, 64 connections")
            for count in (1, 16, 64, 256)
        ],
        "bodies": [
            Rung(whole),
            Rung(ours("answer of 10 KiB", path="/size/10k"), ALL),
            Rung(ours("answer of 100 KiB", path="/size/100k"), ALL),
            Rung(posted, ALL),
            Rung(ours("POST of 10 KiB", method="POST", body=_body(10)), POSTED),
            Rung(ours("POST of 100 KiB", method="POST", body=_body(100)), POSTED),
        ],
        "routes": [
            Rung(ours(f"{count:,} routes", options={"routes": count}), None if count == 10 else FEW_ROUTES)
            for count in (10, 1000, 10_000)
        ],
        "workers": [
            Rung(ours("gateway, 1 worker, both cores", cores=BOTH_CORES)),
            Rung(
                ours("gateway, 2 workers, both cores", cores=BOTH_CORES, options={"workers": 2}),
                "gateway, 1 worker, both cores",
            ),
        ],
        "tls": [Rung(whole), Rung(ours(OVER_TLS, options={"upstream": "tls"}), ALL)],
        "cache": [
            Rung(whole),
            Rung(ours(HIT, path="/cached/games", options={"cache": True}), ALL),
            Rung(
                Subject(
                    NGINX_HIT, "nginx", path="/cached/games", options={"cache": True}, connections=connections
                )
            ),
        ],
    }  # fmt: skip


def _policies(connections: int) -> list[Rung]:
    """From a route without any to one that has them all, none of them traced."""
    short = {"ip_allow_list": "allow-list", "authentication": "API key"}
    found, chosen, base = list[Rung](), list[str](), BARE
    for name in ("", *POLICIES):
        chosen = [*chosen, name] if name else []
        title = f"+ {short.get(name, name.replace('_', ' '))}" if name else PLAIN_ROUTE
        guarded = "authentication" in chosen
        found.append(
            Rung(
                Subject(
                    title, "gateway", connections=connections, tracing=False, guarded=guarded,
                    options={"policies": chosen},
                ),
                base,
            )
        )  # fmt: skip
        base = title
        if name == "authentication":
            by_token = Subject(
                "JWT in place of the API key", "gateway", connections=connections, tracing=False,
                verified=False, headers={"authorization": bearer()},
                options={"policies": chosen, "jwt": True},
            )  # fmt: skip
            found.append(Rung(by_token, LISTED))
    return found


def _body(kibibytes: int) -> bytes:
    return b'{"filling":"' + b"7" * (kibibytes * 1024 - 14) + b'"}'


def ladder(around: World, plan: Plan, console: Console) -> Result:
    """The campaign."""
    tables = {name: found for name, found in rungs(plan.connections).items() if plan.wants(name)}
    subjects = {rung.name: rung.subject for found in tables.values() for rung in found}
    with Run("ladder", plan, around, console) as run:
        run.expect(plan.rounds * len(subjects))
        for number in range(plan.rounds):
            for name in list(subjects)[:: -1 if number % 2 else 1]:  # who goes first changes
                run.attempt(name, partial(_round, run, subjects[name]))
        return run.result(ratios(run), [table(run, name, found) for name, found in tables.items()])


def _round(run: Run, subject: Subject) -> None:
    with running(run.around, subject) as proxy:
        warm(run.around, subject, proxy)
        run.take(saturation(run.around, subject, proxy, run.plan.shorter))


def ratios(run: Run) -> list[Ratio | None]:
    """Those that are demanded, and what a second worker costs."""
    few, many = run.of(FEW_ROUTES, per_second), run.of(MANY_ROUTES, per_second)
    hits, nginx_hits = run.of(HIT, per_second), run.of(NGINX_HIT, per_second)
    tls, plain = run.of(OVER_TLS, per_second), run.of(ALL, per_second)
    one, two = (run.of(f"gateway, {workers}, both cores", cpu) for workers in ("1 worker", "2 workers"))
    return [
        ratio("calls/s, 10,000 routes against 10", many, few, must=0.9, aim=1.0),
        ratio("calls/s, upstream over TLS against plain", tls, plain, must=0.7, aim=0.9),
        ratio("calls/s, cache hit against nginx's", hits, nginx_hits, must=0.25, aim=0.5),
        ratio("CPU per call, 2 workers against 1", two, one, at_most=True),
    ]  # fmt: skip


def table(run: Run, name: str, found: Sequence[Rung]) -> Table:
    """The rungs that were measured, with the difference to what each is compared with."""
    rows: list[tuple[Cell, ...]] = []
    for rung in found:
        calls, own = run.median(rung.name, per_second, 0), run.median(rung.name, cpu)
        base = run.median(rung.base, cpu) if rung.base and rung.base != rung.name else None
        if calls is None or own is None:
            continue
        more = round(own - base, 1) if base is not None else None
        against = rung.base if base is not None else None
        rows.append((rung.name, own, more, against, int(calls), run.median(rung.name, p50, 0)))
    return Table(
        title=TITLES[name],
        columns=("", "CPU µs/call", "more µs", "than", "calls/s", "p50 µs"),
        rows=tuple(rows),
        drawn="CPU µs/call",
        note=NOTES.get(name, ""),
    )  # fmt: skip
