"""The terminal shows ratios first, and faults last."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from bench.report import failed, show
from tests.bench.test_results import RESULT


def shown(*results) -> str:
    console = Console(file=io.StringIO(), width=140)
    show(console, results)
    return console.file.getvalue()


def test_ratios_come_before_tables_and_faults_after():
    text = shown(RESULT)
    order = [text.index(part) for part in ("against Envoy", "GET, 64 connections", "note, headline", "FAULT")]
    assert order == sorted(order)


def test_a_ratio_stands_beside_what_is_demanded():
    lines = {line.split("│")[1].strip(): line for line in shown(RESULT).splitlines() if "│" in line}
    assert [cell.strip() for cell in lines["calls/s against Envoy"].split("│")[2:7]] == [
        "1.830", "1.700 … 1.900", "≥ 1.5", "≥ 2", "must",
    ]  # fmt: skip
    assert [cell.strip() for cell in lines["what tracing costs"].split("│")[2:7]] == [
        "8.0 %", "7.0 % … 11.0 %", "≤ 20 %", "≤ 10 %", "aim",
    ]  # fmt: skip
    assert lines["calls/s against nginx"].split("│")[6].strip() == "short"


def test_a_row_without_a_figure_has_a_dash():
    assert "–" in next(line for line in shown(RESULT).splitlines() if "15,300" in line)


def test_faults_fail_the_run():
    assert failed([RESULT])
    assert not failed([replace(RESULT, faults=())])
