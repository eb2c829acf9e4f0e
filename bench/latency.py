"""What a proxy adds to a call's latency, open loop, at shares of its own saturation and at one rate for all.

Added is: the percentile through the proxy, minus the same percentile of the origin asked directly at the same
rate, just before. Saturations are measured in the same run, and every round starts every contender afresh.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial

from rich.console import Console

from bench.campaign import Plan, Run, p50, p99, p999, per_second
from bench.contenders import CONTENDERS
from bench.load import Latency, at_rate
from bench.measure import Round, measured, saturation, warm
from bench.results import Cell, Ratio, Result, Table, ratio, told
from bench.subject import Subject, World, running

SHARES = (0.25, 0.5, 0.75)
AT_SHARES = ("gateway", "nginx", "envoy")
"""Measured at shares of their own saturation; all others only at the one rate for all."""
SCALE = "envoy"
"""Whose half saturation is the one rate for all."""
COMMON = f"half of {SCALE}'s saturation"
REACHES = 0.9
"""A contender that saturates below the common rate by this share cannot be asked for it."""
KEPT = 0.97
"""Share of the calls that were to be sent, below which that is told."""
VERIFIED_PER_SECOND = 2.0
"""Fewer than beside saturation: each keeps the client's core for a moment, which p99 would show."""
PERCENTILES: dict[str, Callable[[Round], float]] = {"p50": p50, "p99": p99, "p99.9": p999}


def latency(around: World, plan: Plan, console: Console) -> Result:
    """The campaign."""
    names = [name for name in CONTENDERS if plan.wants(name)]
    with Run("latency", plan, around, console) as run:
        for name in names:
            run.attempt(name, partial(_saturation, run, name))
        rates = {name: _rates(run, name) for name in names}
        run.expect(len(run.rounds) + 2 * plan.rounds * sum(map(len, rates.values())))
        for number in range(plan.rounds):
            turn = number % max(1, len(names))
            for name in names[turn:] + names[:turn]:
                if rates[name]:
                    run.attempt(name, partial(_at_rates, run, name, rates[name]))
        return run.result(ratios(run), [*(table(run, at) for at in (*map(share_name, SHARES), COMMON))])


def share_name(share: float) -> str:
    return f"{share:.0%} of its saturation"


def named(name: str, at: str) -> str:
    return f"{name}, {at}"


def directly(name: str, at: str) -> str:
    return f"origin alone, as {named(name, at)}"


def _saturation(run: Run, name: str) -> None:
    chosen = Subject(named(name, "saturated"), name, connections=run.plan.connections)
    with running(run.around, chosen) as proxy:
        warm(run.around, chosen, proxy)
        run.take(saturation(run.around, chosen, proxy, run.plan.shorter))


def _rates(run: Run, name: str) -> dict[str, int]:
    """What of → calls per second; nothing for a contender that has no saturation."""
    own = run.median(named(name, "saturated"), per_second)
    scale = run.median(named(SCALE, "saturated"), per_second)
    rates: dict[str, int] = {}
    if own is None:
        return rates
    if name in AT_SHARES:
        rates = {share_name(share): int(own * share) for share in SHARES}
    if scale is not None and own * REACHES >= scale / 2:
        rates[COMMON] = int(scale / 2)
    elif scale is not None:
        run.note(f"{name} saturates at {told(round(own))} calls/s, and is not asked for {COMMON}")
    return rates


def _at_rates(run: Run, name: str, rates: dict[str, int]) -> None:
    plan, around = run.plan, run.around
    chosen = Subject(name, name, connections=plan.connections)
    with running(around, chosen) as proxy:
        warm(around, chosen, proxy)
        for at, rate in rates.items():

            def work(url: str, rate: int = rate) -> Latency:
                return at_rate(
                    url,
                    rate=rate,
                    seconds=max(2.0, plan.seconds / 2),
                    connections=plan.connections,
                    headers=dict(chosen.headers),
                )

            alone = work(f"http://127.0.0.1:{around.origin.port}{chosen.path}")
            run.take(_of_origin(directly(name, at), alone))
            asked = Subject(named(name, at), name, connections=plan.connections)
            found = run.take(measured(around, asked, proxy, work, VERIFIED_PER_SECOND))
            if found.per_second < rate * KEPT:
                run.note(f"{named(name, at)}: {found.per_second:,.0f} of {rate:,} calls a second were sent")


def _of_origin(name: str, found: Latency) -> Round:
    faults = (f"{name}: {found.errors} of {found.calls} calls failed",) if found.errors else ()
    return Round(
        name, found.calls, found.rate, 0.0, 0.0, found.p50_us, found.p99_us, found.p999_us, faults=faults
    )


def added(run: Run, name: str, at: str, percentile: Callable[[Round], float]) -> list[float]:
    """Microseconds that the proxy adds, round by round; at least one, as clocks are no finer than that."""
    through = run.of(named(name, at), percentile)
    alone = run.of(directly(name, at), percentile)
    return [max(1.0, ours - origin) for ours, origin in zip(through, alone, strict=False)]


def ratios(run: Run) -> list[Ratio | None]:
    """Against Envoy and nginx: at half of the own saturation, which is judged, and at the one rate."""
    found = []
    half = share_name(0.5)
    for percentile in ("p50", "p99"):
        figure = PERCENTILES[percentile]
        ours = added(run, "gateway", half, figure)
        theirs = added(run, "envoy", half, figure)
        found.append(
            ratio(
                f"added {percentile} at half of saturation, against Envoy",
                ours,
                theirs,
                must=1.0,
                aim=0.7,
                at_most=True,
            )
        )
    for name in ("envoy", "nginx"):
        for percentile in ("p50", "p99"):
            figure = PERCENTILES[percentile]
            ours, theirs = added(run, "gateway", COMMON, figure), added(run, name, COMMON, figure)
            title = CONTENDERS[name].title if name in CONTENDERS else name
            found.append(
                ratio(f"added {percentile} at {COMMON}, against {title}", ours, theirs, at_most=True)
            )
    return found


def table(run: Run, at: str) -> Table:
    """Who was asked at that rate, in order of the added p99."""
    rows: list[tuple[Cell, ...]] = []
    for name in CONTENDERS:
        through = run.of(named(name, at), per_second)
        if not through:
            continue
        middles = [round(statistics.median(added(run, name, at, figure))) for figure in PERCENTILES.values()]
        rows.append((CONTENDERS[name].title, round(statistics.median(through)), *middles))
    rows.sort(key=lambda row: float(row[3] or 0))
    return Table(
        title=f"added latency at {at}",
        columns=("", "calls/s", *(f"added {name} µs" for name in PERCENTILES)),
        rows=tuple(rows),
        drawn="added p99 µs",
    )
