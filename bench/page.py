"""Published results: `docs/benchmarks.md` between its markers, the plots, and the JSON they were made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.plot import bars
from bench.results import Ratio, Result, Table, judged_first, told, told_bound, told_ratio

PAGE, FOLDER = "benchmarks.md", "benchmarks"
BEGIN, END = "<!-- results: written by `make bench ARGS=--publish` -->", "<!-- end of results -->"
_WORDS = {"aim": "aim reached", "must": "reached", "short": "**short**", "": ""}


def publish(results: Sequence[Result], docs: Path) -> None:
    """Write page, plots and JSON anew.

    Raises ValueError when the page has no markers, and for a `--quick` run: its figures are not to be quoted.
    """
    if hasty := [result.campaign for result in results if result.plan["quick"]]:
        raise ValueError(f"not published, as one quick round says nothing: {', '.join(hasty)}")
    page = docs / PAGE
    text = between(page.read_text(), written(results))
    folder = docs / FOLDER
    folder.mkdir(exist_ok=True)
    for result in results:
        result.save(folder)
        for table in result.tables:
            if table.drawn and table.rows:
                (folder / picture(result, table)).write_text(bars(table))
    page.write_text(text)


def between(page: str, text: str) -> str:
    """The page with `text` between its markers instead of what stood there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE} has lost its markers, {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def written(results: Sequence[Result]) -> str:
    """Ratios of all campaigns first, then machine, tables and plots, as Markdown."""
    parts = []
    ratios = judged_first(results)
    if ratios:
        parts += ["## Ratios", _ratios(ratios)]
    if results:
        parts += ["## Machine", _machine(results)]
    for result in results:
        parts.append(f"## {result.campaign.capitalize()}")
        parts.append(_plan(result))
        for table in result.tables:
            parts += [f"### {table.title[:1].upper()}{table.title[1:]}", _table(table)]
            if table.note:
                parts.append(table.note)
            if table.drawn and table.rows:
                parts.append(f"![{table.title}: {table.drawn}]({FOLDER}/{picture(result, table)})")
        if result.notes:
            parts.append("\n".join(["Notes:", "", *(f"- {note}" for note in result.notes)]))
        if result.faults:
            parts.append("\n".join(["**Faults of this run:**", "", *(f"- {one}" for one in result.faults)]))
    return "\n\n".join(parts) + "\n"


def picture(result: Result, table: Table) -> str:
    """A plot's file name: its table's title, as far as it is letters and figures."""
    return f"{result.campaign}-{re.sub(r'[^a-z0-9]+', '-', table.title.lower()).strip('-')}.svg"


def _ratios(ratios: Sequence[Ratio]) -> str:
    lines = ["| figure | ratio | lowest … highest round | must | aim | |", "|---|---:|---:|---:|---:|---|"]
    for ratio in ratios:
        must, aim = (told_bound(bound, ratio.at_most, ratio.share) for bound in (ratio.must, ratio.aim))
        low, high = told_ratio(ratio.low, ratio.share), told_ratio(ratio.high, ratio.share)
        value = told_ratio(ratio.value, ratio.share)
        lines.append(
            f"| {ratio.name} | **{value}** | {low} … {high} | {must} | {aim} | {_WORDS[ratio.verdict]} |"
        )
    return "\n".join(lines)


def _machine(results: Sequence[Result]) -> str:
    """What they ran on; more than one, should they come of several runs."""
    texts = []
    for result in results:
        at: dict[str, Any] = result.machine
        versions = ", ".join(f"{name} {version}" for name, version in at["versions"].items())
        texts.append(
            f"{at['processor']}, {at['cores']} cores, {at['memory_gib']} GiB; Linux {at['kernel']}, "
            f"Python {at['python']}; {versions}."
        )
    return "\n\n".join(dict.fromkeys(texts))


def _plan(result: Result) -> str:
    rounds, seconds = result.plan["rounds"], result.plan["seconds"]
    return f"{result.began}; rounds: {rounds}, of up to {seconds:g} s."


def _table(table: Table) -> str:
    words = [any(isinstance(row[n], str) for row in table.rows) for n in range(len(table.columns))]
    lines = [_row(table.columns), _row(["---" if is_words else "---:" for is_words in words])]
    return "\n".join(lines + [_row([told(cell) for cell in row]) for row in table.rows])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '·') for cell in cells)} |"
