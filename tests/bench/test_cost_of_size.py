"""The benchmark runs, in a form too short for its figures to mean anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.cost_of_size import table

SCRIPT = Path(__file__).parent.parent.parent / "bench" / "cost_of_size.py"
SHORT = ["--large", "30", "--calls", "100", "--whole", "20", "--rounds", "2", "--json"]


def test_it_measures_and_tells() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *SHORT], capture_output=True, text=True, timeout=55, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["small"], told["large"]) == (10, 30)
    assert len(told["found"]) == 4
    for figures in told["found"].values():
        assert all(figures[name] > 0 for name in ("small_us", "large_us", "ratio"))


def test_the_table() -> None:
    found = {"router": {"small_us": 0.651, "large_us": 0.662, "ratio": 1.017}}
    assert [line.split() for line in table(found, 10_000).splitlines()] == [
        ["microseconds", "a", "call", "among", "10", "among", "10000", "ratio"],
        ["router", "0.65", "0.66", "1.017"],
    ]
