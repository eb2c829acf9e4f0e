"""What all campaigns share: how many rounds of what, a bar while they run, and what they found on the way."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.load import LoadError
from bench.machine import machine
from bench.measure import Round
from bench.processes import StartError
from bench.results import Ratio, Result, Table, told
from bench.subject import World


@dataclass(frozen=True)
class Plan:
    """How much is measured. `only` names contenders, or rungs of the ladder; empty is all of them."""

    rounds: int = 3
    seconds: float = 30.0
    connections: int = 64
    only: frozenset[str] = frozenset()
    quick: bool = False

    def wants(self, *names: str) -> bool:
        return not self.only or bool(self.only & set(names))

    @property
    def shorter(self) -> float:
        """Seconds of a round where there are many of them."""
        return max(2.0, self.seconds / 3)


class Run:
    """One campaign on its way: a context manager with a bar. It is told every round, and makes the result."""

    def __init__(self, campaign: str, plan: Plan, around: World, console: Console) -> None:
        self.campaign = campaign
        self.plan = plan
        self.around = around
        self.rounds: list[Round] = []
        self.faults: list[str] = []
        self.notes: list[str] = []
        self._began = datetime.now(UTC).isoformat(timespec="seconds")
        self._console = console
        self._bar = Progress(
            TextColumn(f"[bold]{campaign}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None)

    def __repr__(self) -> str:
        return f"<Run of {self.campaign}: {len(self.rounds)} rounds, {len(self.faults)} faults>"

    def __enter__(self) -> Run:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def expect(self, rounds: int) -> None:
        """So many will be told."""
        self._bar.update(self._task, total=rounds)

    def attempt(self, name: str, work: Callable[[], None]) -> None:
        """Do it; what does not start, or stops answering, is a fault of the campaign, which goes on."""
        self._bar.update(self._task, description=name)
        try:
            work()
        except (StartError, LoadError, OSError) as error:
            self.fault(f"{name}: {error}")

    def take(self, found: Round) -> Round:
        """One more round."""
        self.rounds.append(found)
        self._bar.advance(self._task)
        self._console.print(
            f"{found.subject:34} {told(found.per_second):>9} /s {told(found.cpu_us):>9} µs CPU a call"
            f" {found.utilisation:>5.0%} {told(round(found.p99_us)):>8} µs p99",
            style="dim",
            highlight=False,
            markup=False,
        )
        for fault in found.faults:
            self.fault(fault)
        for note in found.notes:
            self.note(note)
        return found

    def fault(self, text: str) -> None:
        self.faults.append(text)
        self._console.print(f"FAULT: {text}", style="bold red", highlight=False, markup=False)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def of(self, subject: str, figure: Callable[[Round], float]) -> list[float]:
        """That figure of every round of a subject, in order."""
        return [figure(found) for found in self.rounds if found.subject == subject]

    def median(self, subject: str, figure: Callable[[Round], float], digits: int = 1) -> float | None:
        values = self.of(subject, figure)
        return round(statistics.median(values), digits) if values else None

    def result(self, ratios: Iterable[Ratio | None], tables: Sequence[Table]) -> Result:
        plan = asdict(self.plan) | {"only": sorted(self.plan.only)}
        return Result(
            campaign=self.campaign,
            began=self._began,
            plan=plan,
            machine=machine(),
            ratios=tuple(ratio for ratio in ratios if ratio is not None),
            tables=tuple(tables),
            faults=tuple(self.faults),
            notes=tuple(dict.fromkeys(self.notes)),
            rounds=tuple(asdict(found) for found in self.rounds),
        )


def per_second(found: Round) -> float:
    return found.per_second


def cpu(found: Round) -> float:
    """Microseconds of all its processes together, per call."""
    return found.cpu_us


def p50(found: Round) -> float:
    return found.p50_us


def p99(found: Round) -> float:
    return found.p99_us


def p999(found: Round) -> float:
    return found.p999_us
