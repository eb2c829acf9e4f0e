"""What every test gets: uvloop, as in production. And at the end, how many attacks there were."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import settings

from tests.edge.attacks.families import append, counted, table

settings.register_profile("machines are noisy", deadline=None)
settings.load_profile("machines are noisy")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Families travel in the reports, for xdist's workers and the process that counts are not the same."""
    for item in items:
        item.user_properties += [("attack", mark.args[0]) for mark in item.iter_markers("attack")]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """`ATTACKS=FILE` notes the cases there, for a table over several runs; without it, it is told at once."""
    cases = [
        (family, report.nodeid)
        for outcome, reports in terminalreporter.stats.items()
        for report in reports
        if outcome != "deselected"
        for key, family in getattr(report, "user_properties", ())
        if key == "attack"
    ]
    if not cases:
        return
    if path := os.environ.get("ATTACKS"):
        append(Path(path), cases)
    else:
        terminalreporter.section("attacks")
        terminalreporter.write_line(table(counted(cases)))
