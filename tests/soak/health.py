"""What a gateway's processes hold, over the time of a soak, and whether that is flat."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.scenarios.running import Gateway, resident_bytes

MIB = 1 << 20


class Sample(NamedTuple):
    """One look at one process."""

    resident: int
    """Bytes."""
    descriptors: int


def look(pid: int) -> Sample:
    return Sample(resident_bytes(pid), len(list(Path(f"/proc/{pid}/fd").iterdir())))


class Health:
    """Looks at supervisor, observer and workers, by name."""

    def __init__(self, running: Gateway) -> None:
        workers = {f"worker {number}": pid for number, pid in enumerate(running.worker_pids())}
        self.pids = {"supervisor": running.process.pid, "observer": running.observer_pid(), **workers}
        self.start = {name: look(pid) for name, pid in self.pids.items()}
        self.looks: dict[str, list[Sample]] = {name: [] for name in self.pids}
        """Under traffic, evenly spaced, from the end of the warm-up on."""
        self.after: dict[str, Sample] = {}
        """Without traffic again."""

    def look(self) -> None:
        for name, pid in self.pids.items():
            self.looks[name].append(look(pid))

    def rest(self) -> None:
        self.after = {name: look(pid) for name, pid in self.pids.items()}

    def warm(self, name: str) -> Sample:
        """The median of the first tenth of the looks: one alone may catch a peak."""
        return _middle(self.looks[name][: _tenth(self.looks[name])])

    def end(self, name: str) -> Sample:
        """Of the last tenth."""
        return _middle(self.looks[name][-_tenth(self.looks[name]) :])

    def faults(self, allowed: int) -> list[str]:
        """What is not flat. `allowed`: bytes of resident memory that may come between warm-up and end.

        Of descriptors none may stay: without traffic there are as many as before it, but for a few that
        are opened once.
        """
        found = []
        for name in self.pids:
            grown = self.end(name).resident - self.warm(name).resident
            if grown > allowed:
                found.append(f"{name} grew by {grown / MIB:.1f} MiB, and {allowed / MIB:.1f} are allowed")
            kept = self.after[name].descriptors - self.start[name].descriptors
            if kept > 4:
                found.append(f"{name} has {kept} descriptors more than before, and no traffic")
        return found


def _tenth(looks: list[Sample]) -> int:
    return max(1, len(looks) // 10)


def _middle(looks: list[Sample]) -> Sample:
    return Sample(*(int(median(column)) for column in zip(*looks, strict=True)))
