"""One verified round: a contender is loaded, and its answers and traces are looked at while it works.

A round that was answered wrongly is worth nothing, however fast it was. So beside the load a caller compares
whole answers, the load counts what was not 200, the bytes of all answers must come to what single ones have,
and the sink must have as many traces as there were calls, two seconds after the last of them.

The load's own count leaves out calls that were on their way when it stopped, at most one a connection: they
are traced all the same, and that many traces more than calls are right.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.answers import answer_length
from bench.caller import Verdict, Verifier
from bench.contenders import CONTENDERS, KEY
from bench.core import core_seconds, share
from bench.load import Latency, Saturation, saturate
from bench.processes import PROXY_CORE
from bench.sink import Count
from bench.subject import Running, Subject, World

SETTLED_SECONDS = 2.0
"""By then every trace must have come."""
LATE_SECONDS = 8.0
"""So long is waited to tell traces that are late from traces that are lost."""
SATURATED = 0.9
"""Share of its core below which something else was the limit: the load, or the origin."""
BYTES_OFF = 0.02
"""How far the mean length of answers may be from that of single ones: counters in headers grow."""
LAG_US = 1000.0
"""How late calls of a fixed rate may be sent, at p99, before that is told."""
OURS = "gateway"

Work = Callable[[str], Saturation | Latency]
"""Loads the URL it is given, and tells what came of it."""


@dataclass(frozen=True)
class Round:
    """What one round showed. Times in microseconds; `cpu_us` is what a call took of all its processes.

    `faults` make the round worthless, `notes` say how to read it.
    """

    subject: str
    calls: int
    per_second: float
    cpu_us: float
    utilisation: float
    p50_us: float
    p99_us: float
    p999_us: float = 0.0
    traces: int | None = None
    spans: int | None = None
    verified: int = 0
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def warm(around: World, subject: Subject, proxy: Running, seconds: float = 1.5) -> None:
    """Some load that is not counted; returns when its traces have come, and the sink is empty again."""
    _saturate(subject, seconds)(proxy.url(subject.path))
    if subject.traced:
        time.sleep(SETTLED_SECONDS)
    around.sink.reset()


def saturation(around: World, subject: Subject, proxy: Running, seconds: float) -> Round:
    """A round as fast as it goes."""
    return measured(around, subject, proxy, _saturate(subject, seconds))


def measured(
    around: World, subject: Subject, proxy: Running, work: Work, verified_per_second: float = 20
) -> Round:
    """A round of `work`, with everything verified: the traces, and so many whole answers a second."""
    around.sink.reset()
    length = answer_length(proxy.port, subject)
    verifier = _verifier(around, subject, proxy, verified_per_second) if subject.verified else None
    if verifier is not None:
        verifier.start()
    try:
        cpu, core, began = proxy.process.cpu_seconds(), core_seconds(PROXY_CORE), time.monotonic()
        found = work(proxy.url(subject.path))
        ended, busy = time.monotonic(), share(core, core_seconds(PROXY_CORE))
        own = (proxy.process.cpu_seconds() - cpu) / (ended - began)
    finally:
        verdict = verifier.stop() if verifier is not None else Verdict(0, [])
    count, faults, notes = _traces(around, subject, found.calls + len(length), verdict, ended)
    faults += _wrong(subject, found, length) + [f"{subject.name}: {fault}" for fault in verdict.faults]
    if isinstance(found, Saturation):
        notes += _limits(subject, busy, own)
    elif found.lag_us > LAG_US:
        notes.append(f"{subject.name}: the client itself was {found.lag_us:,.0f} µs late at p99")
    spent = proxy.process.cpu_seconds() - cpu
    return Round(
        subject=subject.name,
        calls=found.calls,
        per_second=found.calls / found.seconds if isinstance(found, Saturation) else found.rate,
        cpu_us=spent / max(1, found.calls + verdict.calls) * 1e6,
        utilisation=busy,
        p50_us=found.p50_us,
        p99_us=found.p99_us,
        p999_us=found.p999_us if isinstance(found, Latency) else 0.0,
        traces=count.traces if count else None,
        spans=count.spans if count else None,
        verified=verdict.calls,
        faults=tuple(faults),
        notes=tuple(notes),
    )


def _saturate(subject: Subject, seconds: float) -> Work:
    def work(url: str) -> Saturation:
        return saturate(
            url,
            seconds=seconds,
            connections=subject.connections,
            method=subject.method,
            body=subject.body,
            headers=dict(subject.headers),
        )

    return work


def _verifier(around: World, subject: Subject, proxy: Running, rate: float) -> Verifier:
    contender = CONTENDERS[subject.contender]
    return Verifier(
        proxy.port,
        KEY,
        around.origin.port,
        rate=rate,
        additions=contender.additions,
        traced=subject.traced,
        guarded=subject.guarded and contender.guards,
    )


def _traces(
    around: World, subject: Subject, calls: int, verdict: Verdict, ended: float
) -> tuple[Count | None, list[str], list[str]]:
    """What the sink has two seconds after the load ended, and what is wrong with that."""
    if not subject.traced:
        return None, [], []
    time.sleep(max(0.0, ended + SETTLED_SECONDS - time.monotonic()))
    count = around.sink.count()
    most = calls + verdict.calls + subject.connections
    calls += verdict.calls - verdict.refused
    if calls <= count.traces <= most:
        return count, [], []
    if count.traces > most:
        return count, [f"{subject.name}: {count.traces} traces of at most {most} calls"], []
    until, later = time.monotonic() + LATE_SECONDS, count
    while later.traces < calls and time.monotonic() < until:
        time.sleep(1)
        later = around.sink.count()
    lost = max(0, calls - later.traces)
    said = (
        f"{subject.name}: {calls - count.traces} of {calls} traces had not come after {SETTLED_SECONDS:g} s, "
        f"{lost} never did"
    )
    if subject.contender == OURS:
        return count, [said], []
    return count, [], [said + ": it was measured doing that much less"]


def _wrong(subject: Subject, found: Saturation | Latency, lengths: list[int]) -> list[str]:
    faults = []
    if not found.calls:
        return [f"{subject.name}: no call was answered"]
    if found.errors:
        faults.append(f"{subject.name}: {found.errors} of {found.calls} calls failed")
    if isinstance(found, Saturation) and not found.errors:
        mean = found.bytes_read / found.calls
        spare = (
            subject.connections * max(lengths) / found.calls
        )  # parts of answers that did not count any more
        if not min(lengths) * (1 - BYTES_OFF) <= mean <= max(lengths) * (1 + BYTES_OFF) + spare:
            faults.append(
                f"{subject.name}: answers of {mean:.1f} bytes in the mean, single ones have "
                f"{min(lengths)} to {max(lengths)}"
            )
    return faults


def _limits(subject: Subject, busy: float, own: float) -> list[str]:
    """What kept the round from being all the contender's."""
    if subject.cores != {PROXY_CORE}:
        return []
    if busy < SATURATED:
        return [
            f"{subject.name}: not saturated, its core was busy {busy:.0%}: load and origin were the limit"
        ]
    if busy - own > 1 - SATURATED:
        return [f"{subject.name}: its core was busy {busy:.0%}, and only {own:.0%} were its own"]
    return []
