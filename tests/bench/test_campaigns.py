"""From rounds to ratios, for each campaign; nothing is started here."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from bench import headline, ladder, latency, memory
from bench.campaign import Plan, Run
from bench.measure import Round
from bench.results import Ratio

ROUND = Round("", 30_000, 10_000.0, 80.0, 0.98, 6_000.0, 9_000.0, 12_000.0)


def run_of(**calls: list[float]) -> Run:
    """A run that was told rounds of subjects, each with its calls per second."""
    run = Run("headline", Plan(), None, Console(file=io.StringIO(), width=100))
    for name, values in calls.items():
        for value in values:
            run.take(replace(ROUND, subject=name, per_second=value, cpu_us=1e6 / value))
    return run


def named(ratios: list[Ratio | None], part: str) -> Ratio:
    return next(ratio for ratio in ratios if ratio is not None and part in ratio.name)


def test_the_headline_compares_round_by_round():
    rounds = {"gateway GET": [15_000, 16_000, 14_000], "envoy GET": [10_000, 8_000, 7_000]}
    ratios = headline.ratios(run_of(**rounds, **{"gateway, untraced GET": [20_000, 20_000, 20_000]}))
    envoy = named(ratios, "GET, against Envoy")
    assert (envoy.value, envoy.low, envoy.high, envoy.must, envoy.aim) == (2.0, 1.5, 2.0, 1.5, 2.0)
    tracing = named(ratios, "tracing every call costs, GET")
    assert (tracing.value, tracing.verdict, tracing.share) == (0.25, "short", True)
    assert not any("POST" in ratio.name or "nginx" in ratio.name for ratio in ratios if ratio)


def test_its_table_has_the_fastest_first_and_says_what_differs():
    rounds = {"gateway POST": [15_000], "nginx POST": [45_000], "gateway, untraced POST": [17_000]}
    table = headline.table(run_of(**rounds), "POST")
    assert [row[:2] for row in table.rows] == [
        ("nginx", 45_000), ("gateway, untraced", 17_000), ("Provider Gateway", 15_000),
    ]  # fmt: skip
    assert "log" in str(table.rows[0][-1])


def test_every_target_names_a_contender():
    assert headline.TARGETS.keys() | {headline.OURS} == headline.CONTENDERS.keys()


def test_rungs_are_compared_with_rungs_that_there_are():
    tables = ladder.rungs()
    subjects = {}
    for rung in (rung for rungs in tables.values() for rung in rungs):
        assert subjects.setdefault(rung.name, rung.subject) == rung.subject
    for rung in (rung for rungs in tables.values() for rung in rungs):
        assert rung.base is None or rung.base in subjects, rung
    assert tables.keys() == ladder.TITLES.keys()


def test_the_ladder_tells_differences_and_ratios():
    run = run_of(**{"10 routes": [10_000, 10_000], "10,000 routes": [8_000, 10_000]})
    found = ladder.table(run, "routes", ladder.rungs()["routes"])
    assert [row[:4] for row in found.rows] == [
        ("10 routes", 100.0, None, None), ("10,000 routes", 112.5, 12.5, "10 routes"),
    ]  # fmt: skip
    assert named(ladder.ratios(run), "10,000 routes").value == pytest.approx(0.9)


def test_added_is_what_the_origin_alone_does_not_take():
    half = latency.share_name(0.5)
    run = run_of()
    for name, through in (("gateway", 300.0), ("envoy", 500.0)):
        run.take(replace(ROUND, subject=latency.named(name, half), p50_us=through))
        run.take(replace(ROUND, subject=latency.directly(name, half), p50_us=100.0, p99_us=9_000.0))
    assert latency.added(run, "gateway", half, latency.p50) == [200.0]
    assert latency.added(run, "gateway", half, latency.p99) == [1.0]
    judged = named(latency.ratios(run), "added p50 at half of saturation")
    assert (judged.value, judged.verdict) == (0.5, "aim")
    table = latency.table(run, half)
    assert [row[2] for row in table.rows] == [200, 400]


def test_memory_is_told_by_role():
    class Held:
        def rss_bytes(self):
            return {
                1: ("python gateway serve", 60 << 20),
                2: ("python -m gateway.worker 5", 40 << 20),
                3: ("python -m gateway.worker 6", 70 << 20),
                4: ("python -m gateway.observer", 50 << 20),
            }

    held = memory.held(Held())
    assert held == {"worker": 70.0, "observer": 50.0, "supervisor": 60.0, "worker in reserve": 40.0}
    table = memory.table({"idle": [held, held]})
    assert table.rows == (("idle", 70.0, 50.0, 60.0, 40.0),)


def test_faults_and_notes_of_rounds_are_the_campaigns():
    run = run_of()
    run.take(replace(ROUND, subject="x", faults=("x: wrong",), notes=("x: slow", "x: slow")))

    def fails() -> None:
        raise OSError("gone")

    run.attempt("y", fails)
    result = run.result([None], [])
    assert result.faults == ("x: wrong", "y: gone")
    assert result.notes == ("x: slow",)
    assert result.ratios == ()
    assert result.rounds[0]["calls"] == 30_000
