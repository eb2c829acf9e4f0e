"""The promise about size, held in opcodes; and the benchmark, too short for its times to mean anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.cost_of_size import above, table

SCRIPT = Path(__file__).parent.parent.parent / "bench" / "cost_of_size.py"
SHORT = ("--large", "30", "--calls", "100", "--rounds", "2")
FOUND = {"router": {"small": 0.651, "large": 0.662, "ratio": 1.017}}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPT, "--json", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=55, check=False)


def test_among_ten_thousand_a_call_executes_what_it_executes_among_ten() -> None:
    done = run("--opcodes", "--calls", "500", "--whole", "50", "--rounds", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["small"], told["large"]) == (10, 10_000)
    assert list(told["found"]) == [
        "router",
        "ip_allow_list, few callers",
        "ip_allow_list, many callers",
        "whole calls",
    ]
    for name, figures in told["found"].items():
        assert figures["small"] > 20, name
        assert 0.9 < figures["ratio"] <= 1.1, (name, figures)
    assert told["found"]["whole calls"]["small"] > 1000, "a whole call is counted, not a part of it"


def test_it_measures_and_tells() -> None:
    done = run(*SHORT, "--whole", "20", "--most", "100")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["found"]
    assert len(found) == 4
    assert all(figures[of] > 0 for figures in found.values() for of in ("small", "large", "ratio"))


def test_it_fails_where_the_promise_is_broken() -> None:
    done = run(*SHORT, "--whole", "0", "--most", "0.001")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)["found"]
    assert len(found) == 3
    assert all(f"{name}: a call among 30 costs" in done.stderr for name in found)


def test_what_is_above_the_promise_is_said() -> None:
    assert above(FOUND, 10_000, 1.10) == ""
    assert above(FOUND, 10_000, 1.01) == (
        "router: a call among 10000 costs 1.017 times what it costs among 10,"
        " and at most 1.01 times is promised"
    )


def test_the_table() -> None:
    assert [line.split() for line in table(FOUND, 10_000, "microseconds").splitlines()] == [
        ["microseconds", "a", "call", "among", "10", "among", "10000", "ratio"],
        ["router", "0.65", "0.66", "1.017"],
    ]
