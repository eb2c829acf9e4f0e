"""How busy one core is, and which of them a process may use."""

from __future__ import annotations

import os
from pathlib import Path

from bench.processes import Process


def core_seconds(core: int) -> tuple[float, float]:
    """(busy, all) seconds of a core since the machine started. What the hypervisor took counts as busy."""
    with Path("/proc/stat").open() as stat:
        line = next(line for line in stat if line.startswith(f"cpu{core} "))
    ticks = [int(number) for number in line.split()[1:9]]
    per_second = os.sysconf("SC_CLK_TCK")
    return (sum(ticks) - ticks[3] - ticks[4]) / per_second, sum(ticks) / per_second


def share(before: tuple[float, float], after: tuple[float, float]) -> float:
    return round((after[0] - before[0]) / max(1e-9, after[1] - before[1]), 3)


def spread(process: Process, cores: frozenset[int]) -> None:
    """Let all its processes, and all their threads, use those cores."""
    for pid in process.rss_bytes():
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)
