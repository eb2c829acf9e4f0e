"""Ratios are judged, tables read, and what was saved comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.results import (
    Ratio,
    Result,
    Table,
    judged_first,
    load,
    median,
    ratio,
    ratio_of,
    told,
    told_bound,
    told_ratio,
)

RESULT = Result(
    campaign="headline",
    began="2026-01-02T03:04:05+00:00",
    plan={"rounds": 3, "seconds": 30.0, "connections": 64, "only": [], "quick": False},
    machine={
        "processor": "a processor",
        "cores": 2,
        "memory_gib": 4.0,
        "kernel": "6.1",
        "python": "3.11.7",
        "versions": {"gateway": "0.1.0", "nginx": "1.22.1"},
    },
    ratios=(
        Ratio("calls/s against Envoy", 1.83, 1.7, 1.9, 1.5, 2.0),
        Ratio("calls/s against nginx", 0.2, 0.19, 0.21, 0.25, 0.4),
        Ratio("what tracing costs", 0.08, 0.07, 0.11, 0.2, 0.1, at_most=True, share=True),
        Ratio("CPU of two workers", 1.02, 1.0, 1.1, at_most=True),
    ),
    tables=(
        Table(
            "GET, 64 connections",
            ("", "calls/s", "p99 µs", "what differs"),
            (("nginx", 45_400, 1912.0, "a log | no traces"), ("gateway", 15_300, None, "")),
            drawn="calls/s",
            note="One core each.",
        ),
    ),
    faults=("nginx GET: 3 of 90 calls failed",),
    notes=("nginx GET: not saturated",),
    rounds=({"subject": "nginx GET", "calls": 90},),
)


def test_what_was_saved_comes_back(tmp_path: Path):
    path = RESULT.save(tmp_path / "results")
    assert path.name == "headline.json"
    assert load(path) == RESULT


def test_ratios_are_paired_round_by_round():
    found = ratio("faster", [10, 30, 40], [10, 10, 20, 99], must=1.5)
    assert found == Ratio("faster", 2.0, 1.0, 3.0, must=1.5)
    assert ratio("never measured", [], [1.0]) is None
    assert ratio_of("nothing", []) is None


@pytest.mark.parametrize(
    ("value", "at_most", "verdict"),
    [
        (2.0, False, "aim"), (1.5, False, "must"), (1.49, False, "short"),
        (1.5, True, "aim"), (2.0, True, "must"), (2.1, True, "short"),
    ],
)  # fmt: skip
def test_verdicts(value: float, at_most: bool, verdict: str):
    must, aim = (2.0, 1.5) if at_most else (1.5, 2.0)
    assert Ratio("x", value, value, value, must, aim, at_most).verdict == verdict


def test_what_is_not_demanded_is_not_judged():
    assert Ratio("x", 0.1, 0.1, 0.1).verdict == ""


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "–"), ("nginx", "nginx"), (45_400, "45,400"),
        (1912.4, "1,912"), (101.25, "101.2"), (1.234, "1.23"),
    ],
)  # fmt: skip
def test_cells_for_people(cell: str | float | None, text: str):
    assert told(cell) == text


def test_shares_are_per_cent():
    assert told_ratio(0.083, share=True) == "8.3 %"
    assert told_ratio(0.083) == "0.083"
    assert told_ratio(61.23) == "61.2"
    assert told_bound(0.2, at_most=True, share=True) == "≤ 20 %"
    assert told_bound(1.5, at_most=False, share=False) == "≥ 1.5"
    assert told_bound(None, at_most=False, share=False) == ""


def test_what_is_demanded_stands_before_what_is_told():
    again = replace(RESULT, ratios=(Ratio("demanded, too", 1.0, 1.0, 1.0, 1.0, 2.0),))
    names = [ratio.name for ratio in judged_first([RESULT, again])]
    assert names[-2:] == ["demanded, too", "CPU of two workers"]


def test_a_median_of_nothing_is_nothing():
    assert median([]) is None
    assert median([3.0, 1.0, 2.04]) == 2.0
