"""What a campaign found, in one form for the terminal, the page, the plots and the JSON file.

Ratios come first: they compare things measured in turns in one run. Tables hold what they were made of.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Cell = str | int | float | None
"""What a table may hold; None is shown as a dash: not measured."""


@dataclass(frozen=True)
class Ratio:
    """One figure divided by another of the same round: the median over the rounds, and the ends.

    `must` and `aim` are the project's targets; with `at_most` they bound it from above. Without them it is
    told and not judged. `share` says that it is one to be read in per cent, as a cost.
    """

    name: str
    value: float
    low: float
    high: float
    must: float | None = None
    aim: float | None = None
    at_most: bool = False
    share: bool = False

    @property
    def verdict(self) -> str:
        """`aim`, `must` or `short`; empty where nothing is demanded."""
        for word, bound in (("aim", self.aim), ("must", self.must)):
            if bound is not None and (self.value <= bound if self.at_most else self.value >= bound):
                return word
        return "" if self.must is None else "short"


@dataclass(frozen=True)
class Table:
    """Figures with their names. The first column names the row; `drawn` is the column that the plot shows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    drawn: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Result:
    """All of one campaign.

    `faults` are what makes it worthless: wrong answers, refused calls, missing traces. `notes` are what a
    reader must know to read it right. `rounds` holds every single round, as `asdict` made it.
    """

    campaign: str
    began: str
    plan: dict[str, Any]
    machine: dict[str, Any]
    ratios: tuple[Ratio, ...] = ()
    tables: tuple[Table, ...] = ()
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    rounds: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    def save(self, folder: Path) -> Path:
        """Write `<campaign>.json` there; returns its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.campaign}.json"
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")
        return path


def load(path: Path) -> Result:
    """What `save` wrote. Raises ValueError or TypeError when it is something else."""
    told = json.loads(path.read_text())
    told["ratios"] = tuple(Ratio(**ratio) for ratio in told["ratios"])
    told["tables"] = tuple(
        Table(**{**table, "columns": tuple(table["columns"]), "rows": tuple(map(tuple, table["rows"]))})
        for table in told["tables"]
    )
    for name in ("faults", "notes", "rounds"):
        told[name] = tuple(told[name])
    return Result(**told)


def ratio(name: str, over: Sequence[float], under: Sequence[float], **targets: Any) -> Ratio | None:
    """Round by round `over` divided by `under`; None when either was never measured.

    Rounds are paired in their order, so that what the machine did besides meets both. `targets` are Ratio's.
    """
    pairs = [first / second for first, second in zip(over, under, strict=False) if second]
    return ratio_of(name, pairs, **targets)


def ratio_of(name: str, values: Sequence[float], **targets: Any) -> Ratio | None:
    """The same of ratios that are there already; None when there are none."""
    if not values:
        return None
    middle, low, high = statistics.median(values), min(values), max(values)
    return Ratio(name, round(middle, 4), round(low, 4), round(high, 4), **targets)


def judged_first(results: Sequence[Result]) -> list[Ratio]:
    """The ratios of them all, in their order: those of which something is demanded, then the others."""
    ratios = [ratio for result in results for ratio in result.ratios]
    return sorted(ratios, key=lambda ratio: ratio.must is None)


def median(values: Sequence[float], digits: int = 1) -> float | None:
    """Rounded; None for nothing at all."""
    return round(statistics.median(values), digits) if values else None


def told(cell: Cell) -> str:
    """A cell for people: 12,345, 1.23, or a dash."""
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 1000:
        return f"{cell:,.0f}"
    return f"{cell:,.1f}" if abs(cell) >= 100 else f"{cell:,.2f}"


def told_ratio(value: float, share: bool = False) -> str:
    """A ratio for people: 1.832, 61.2, or 12.4 % for a share."""
    if share:
        return f"{value * 100:.1f} %"
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def told_bound(bound: float | None, at_most: bool, share: bool) -> str:
    """A target for people: ≥ 1.5, or ≤ 20 % for a share; empty without one."""
    if bound is None:
        return ""
    sign = "≤" if at_most else "≥"
    return f"{sign} {bound * 100:g} %" if share else f"{sign} {bound:g}"
