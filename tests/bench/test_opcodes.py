"""The profile without a clock counts every part of a call, and counts the same twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parent.parent.parent / "bench" / "opcodes.py"


def profile(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, SCRIPT, "--calls", "64", "--json", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_every_part_of_a_call_is_counted_and_the_same_twice() -> None:
    first, second = profile("--method", "POST"), profile("--method", "POST")
    parts = ("edge/plain.py", "enforcement/authentication.py", "upstream/connection.py", "recorder.py")
    for part in parts:
        assert any(name.startswith(part) for name in first["functions"]), part
    assert first["opcodes_per_call"] > 1000
    chain = {name: count for name, count in first["functions"].items() if name.startswith("enforcement/")}
    assert chain == {name: second["functions"][name] for name in chain}
