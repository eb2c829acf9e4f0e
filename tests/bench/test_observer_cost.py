"""The benchmark of the observer runs, in a form too short for its figures to mean anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent.parent / "bench" / "observer_cost.py"


def test_every_call_reaches_the_collector_and_costs_something() -> None:
    short = ["--calls", "256", "--rounds", "2", "--logs", "--json"]
    done = subprocess.run([sys.executable, SCRIPT, *short], check=True, capture_output=True, timeout=60)
    said = json.loads(done.stdout)
    assert said["spans_per_call"] == 2
    assert said["microseconds_per_call"] > 0
    assert said["record_bytes_per_call"] > 100
