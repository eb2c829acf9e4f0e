"""Bars as SVG: no dependencies, no fonts fetched, and readable on light and on dark pages.

A picture in a page cannot ask the page for its colours; it asks the reader's system instead
(`prefers-color-scheme`), and has no background of its own.
"""

from __future__ import annotations

from html import escape

from bench.results import Table, told

WIDTH = 820
ROW = 26
BAR = 16
LABELS = 250
"""Pixels that names get, left of the bars."""
FIGURES = 96
"""Pixels kept free right of the longest bar, for its figure."""
TOP = 48
OURS = "gateway"
"""Rows with this in their name are drawn in the colour that stands out."""

_SPACE = "http://www.w3.org/2000/svg"
_STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f; }
  .title { font-size: 15px; font-weight: 600; }
  .figure { font-variant-numeric: tabular-nums; fill: #57606a; }
  .axis { stroke: #8c959f; stroke-width: 1; }
  .bar { fill: #9fb3c8; }
  .ours { fill: #0b7a75; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .figure { fill: #9da7b3; }
    .axis { stroke: #6e7681; }
    .bar { fill: #51647a; }
    .ours { fill: #3ac2ba; }
  }
"""


def bars(table: Table) -> str:
    """The column `table.drawn` as one bar a row, in the table's order; rows without a figure are left out.

    Raises ValueError when the table names no column to draw, or one it does not have.
    """
    if table.drawn not in table.columns:
        raise ValueError(f"{table.title}: no column {table.drawn!r} to draw")
    column = table.columns.index(table.drawn)
    rows = [(str(row[0]), row[column]) for row in table.rows if isinstance(row[column], int | float)]
    longest = max([float(value or 0) for _, value in rows] + [0.0]) or 1.0
    height = TOP + ROW * len(rows) + 14
    title = f"{table.title}: {table.drawn}"
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    lines = [
        f'<svg xmlns="{_SPACE}" {size} role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="12" y="26">{escape(title)}</text>',
        f'<line class="axis" x1="{LABELS}" y1="{TOP - 6}" x2="{LABELS}" y2="{height - 10}"/>',
    ]
    for number, (name, value) in enumerate(rows):
        lines += _row(name, float(value or 0), longest, TOP + ROW * number)
    return "\n".join([*lines, "</svg>", ""])


def _row(name: str, value: float, longest: float, top: int) -> list[str]:
    length = max(0.0, value) / longest * (WIDTH - LABELS - FIGURES)
    middle = top + BAR - 3.5
    kind = "bar ours" if OURS in name.lower() else "bar"
    return [
        f'<text x="{LABELS - 10}" y="{middle}" text-anchor="end">{escape(name)}</text>',
        f'<rect class="{kind}" x="{LABELS}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2"/>',
        f'<text class="figure" x="{LABELS + length + 8:.1f}" y="{middle}">{escape(told(value))}</text>',
    ]
