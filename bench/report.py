"""Results on the terminal: ratios first, then the tables they were made of, and last what went wrong."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from bench.results import Ratio, Result, Table, judged_first, told, told_bound, told_ratio

_COLOURS = {"aim": "green", "must": "yellow", "short": "bold red", "": ""}


def show(console: Console, results: Sequence[Result]) -> None:
    """Print them all, ratios of every campaign before anything else."""
    ratios = judged_first(results)
    if ratios:
        console.print(ratios_grid(ratios))
    for result in results:
        for table in result.tables:
            console.print()
            console.print(_grid(table))
            if table.note:
                console.print(table.note, style="dim", highlight=False)
    for result in results:
        for note in result.notes:
            console.print(f"note, {result.campaign}: {note}", highlight=False, markup=False)
    for result in results:
        for fault in result.faults:
            console.print(
                f"FAULT, {result.campaign}: {fault}", style="bold red", highlight=False, markup=False
            )


def ratios_grid(ratios: Sequence[Ratio]) -> Grid:
    """Ratios beside what is demanded of them."""
    grid = Grid(title="ratios, measured in turns in one run", title_justify="left", title_style="bold")
    grid.add_column("figure")
    for name in ("ratio", "rounds", "must", "aim", ""):
        grid.add_column(name, justify="right")
    for ratio in ratios:
        bounds = [told_bound(bound, ratio.at_most, ratio.share) for bound in (ratio.must, ratio.aim)]
        grid.add_row(
            Text(ratio.name),
            Text(told_ratio(ratio.value, ratio.share), "bold"),
            f"{told_ratio(ratio.low, ratio.share)} … {told_ratio(ratio.high, ratio.share)}",
            *bounds,
            Text(ratio.verdict, _COLOURS[ratio.verdict]),
        )
    return grid


def _grid(table: Table) -> Grid:
    grid = Grid(title=Text(table.title), title_justify="left", title_style="bold")
    for number, name in enumerate(table.columns):
        words = any(isinstance(row[number], str) for row in table.rows)
        grid.add_column(name, justify="left" if words else "right", overflow="fold")
    for row in table.rows:
        grid.add_row(*(Text(told(cell)) for cell in row))
    return grid


def failed(results: Sequence[Result]) -> bool:
    """Something was answered wrongly, or traces are missing: the figures mean nothing."""
    return any(result.faults for result in results)
