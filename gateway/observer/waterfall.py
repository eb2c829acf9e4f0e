"""Traces for the terminal: one as a waterfall, several as a table, drawn from answers of `Observer.ask`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.observer.printable import printable, timestamp

NARROWEST_BAR = 12
"""Columns; on a narrower terminal lines are cut instead."""
WIDE_BAR = 32
"""Columns that notes leave to bars."""
GAPS = 15
"""Columns between and around: two spaces three times, and a duration of nine."""
TABLE_FIXED = 41
"""Columns of a table that do not give way: time, id, durations, tries, and what is between columns."""

_STYLES = {"server": "cyan", "client": "green", "internal": "yellow"}
_SHOWN = (
    ("gateway.route", "route"), ("gateway.consumer", "consumer"), ("gateway.upstream", "upstream"),
    ("gateway.cache", "cache"), ("gateway.breaker", "breaker"), ("gateway.retries", "retries"),
    ("gateway.error.code", "code"), ("gateway.native.code", "native code"), ("client.address", "client"),
)  # fmt: skip
"""What is written under the waterfall: attribute of the SERVER span, its short name."""


class _Glyphs(NamedTuple):
    bar: str
    branch: str
    last: str
    stem: str


_UNICODE = _Glyphs("━", "├─ ", "└─ ", "│  ")
_ASCII = _Glyphs("=", "|- ", "`- ", "|  ")
_TO_ASCII = {ord("·"): "-", ord("…"): "~"}


class _Row(NamedTuple):
    label: str
    note: str
    span: Mapping[str, Any]


def render_trace(trace: Mapping[str, Any], console: Console | None = None) -> str:
    """A trace, `{"trace_id", "spans": […]}`, as text: as wide and as colourful as the console is."""
    console = Console() if console is None else console
    with console.capture() as captured:
        console.print(waterfall(trace, console.width, ascii_only=console.options.ascii_only), soft_wrap=True)
    return captured.get().removesuffix("\n")


def render_list(calls: Sequence[Mapping[str, Any]], console: Console | None = None) -> str:
    """Calls, as `{"op": "traces"}` answers them, as text for the console."""
    console = Console() if console is None else console
    with console.capture() as captured:
        console.print(table(calls, console.width))
    return captured.get().removesuffix("\n")


def waterfall(trace: Mapping[str, Any], width: int, *, ascii_only: bool = False) -> RenderableType:
    """A trace as lines of at most `width` columns: name, duration, bar on a common scale, what came of it."""
    glyphs = _ASCII if ascii_only else _UNICODE
    spans: Sequence[Mapping[str, Any]] = trace["spans"]
    rows = list(_rows(spans, glyphs))
    begin = min(span["start_ns"] for span in spans)
    whole = max(1, max(span["end_ns"] for span in spans) - begin)
    label_width = min(max(len(row.label) for row in rows), max(16, width * 2 // 5))
    left = width - label_width - GAPS
    note_width = min(max(len(row.note) for row in rows), max(8, left - WIDE_BAR))
    bar_width = max(NARROWEST_BAR, left - note_width)

    lines = [_headline(trace, begin, whole)]
    scale = f"{_milliseconds(whole):>{bar_width}}"
    lines.append(Text(f"{'':{label_width}}  {'':>9}  0{scale[1:]}", "dim"))
    for row in rows:
        start = (row.span["start_ns"] - begin) * bar_width // whole
        start = min(start, bar_width - 1)
        length = max(1, round((row.span["end_ns"] - row.span["start_ns"]) * bar_width / whole))
        bar = " " * start + glyphs.bar * min(length, bar_width - start)
        style = "red" if row.span["error"] else _STYLES[row.span["kind"]]
        lines.append(
            Text.assemble(
                f"{_cut(row.label, label_width):{label_width}}  ",
                (f"{_milliseconds(row.span['end_ns'] - row.span['start_ns']):>9}  ", "dim"),
                (f"{bar:{bar_width}}", style),
                (f"  {_cut(row.note, note_width)}" if row.note else "", style),
            )
        )
    lines += _footer(spans, width)
    for line in lines:
        line.rstrip()
        line.truncate(width)
        if ascii_only:
            line.plain = line.plain.translate(_TO_ASCII).encode("ascii", "replace").decode()
    return Group(*lines)


def _headline(trace: Mapping[str, Any], begin: int, whole: int) -> Text:
    return Text.assemble(
        "trace ",
        (printable(trace["trace_id"]), "bold"),
        f"  {timestamp(begin)}  {_milliseconds(whole).strip()}",
    )


def _footer(spans: Sequence[Mapping[str, Any]], width: int) -> Iterator[Text]:
    for span in spans:
        if span["kind"] == "server":
            attributes = span["attributes"]
            said = [f"{name} {printable(str(attributes[key]))}" for key, name in _SHOWN if key in attributes]
            for line in textwrap.wrap(" · ".join(said), width, subsequent_indent="  "):
                yield Text(line, "dim")


def _rows(spans: Sequence[Mapping[str, Any]], glyphs: _Glyphs) -> Iterator[_Row]:
    known = {span["span_id"] for span in spans}
    children: dict[str, list[Mapping[str, Any]]] = {}
    for span in sorted(spans, key=lambda span: (span["start_ns"], span["kind"] == "client")):
        parent = span["parent_id"] if span["parent_id"] in known else ""
        children.setdefault(parent, []).append(span)

    def walk(parent: str, prefix: str) -> Iterator[_Row]:
        below = children.get(parent, [])
        for count, span in enumerate(below, 1):
            last = count == len(below)
            lead = "" if not parent else prefix + (glyphs.last if last else glyphs.branch)
            yield _Row(lead + _label(span), _note(span), span)
            stem = "" if not parent else prefix + ("   " if last else glyphs.stem)
            yield from walk(span["span_id"], stem)

    return walk("", "")


def _label(span: Mapping[str, Any]) -> str:
    target = span["attributes"].get("gateway.target") if span["kind"] == "client" else None
    return printable(f"{span['name']} {target}" if target else span["name"])


def _note(span: Mapping[str, Any]) -> str:
    attributes = span["attributes"]
    if span["kind"] == "internal":
        said = (attributes.get("gateway.decision"), attributes.get("gateway.detail"))
    else:
        status = attributes.get("http.response.status_code")
        error = attributes.get("error.type")
        said = (status, None if error == str(status) else error)
    return printable(" ".join(str(value) for value in said if value))


def _milliseconds(nanoseconds: int) -> str:
    milliseconds = nanoseconds / 1e6
    return f"{milliseconds:.2f} ms" if milliseconds < 100 else f"{milliseconds:.0f} ms"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def table(calls: Sequence[Mapping[str, Any]], width: int) -> Table:
    """Calls, one a row. What a narrow terminal has no room for is cut from routes, statuses and paths."""
    rows = [
        (
            printable(f"{call['method']} {call.get('path', '')}"),
            printable(call.get("route", "-")),
            printable(" ".join(str(call[key]) for key in ("status", "code", "cache") if call.get(key))),
        )
        for call in calls
    ]
    left = width - TABLE_FIXED
    routes = min(max([len(route) for _, route, _ in rows], default=0), left // 4)
    statuses = min(max([len(status) for *_, status in rows], default=0), left * 2 // 5)
    paths = max(8, left - routes - statuses)
    grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in ("time", "trace", "call", "route", "status"):
        grid.add_column(column, no_wrap=True)
    for column in ("ms", "upstream", "tries"):
        grid.add_column(column, justify="right", no_wrap=True)
    for call, (path, route, status) in zip(calls, rows, strict=True):
        grid.add_row(
            printable(call["time"][11:19]),
            printable(call["trace_id"][:8]),
            Text(_cut(path, paths)),
            Text(_cut(route, routes)),
            Text(
                _cut(status, statuses),
                "red" if call["status"] >= 500 else "yellow" if call["status"] >= 400 else "",
            ),
            f"{call['duration_ms']:.1f}",
            f"{call['upstream_ms']:.1f}",
            str(call["attempts"]),
        )
    return grid
