"""Waterfalls and tables as they look, on paper: golden/*.txt. `GOLDEN=write` writes them anew."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gateway.observer.observer import Observer
from gateway.observer.waterfall import render_list, render_trace
from gateway.record import NO_ROUTE
from tests.observer.support import MS, ROUTE, TRACE_ID, make_attempt, make_call

GOLDEN = Path(__file__).parent / "golden"

RETRIED = make_call(
    status=502,
    ended_ns=12_400_000,
    code="UPSTREAM_UNREACHABLE",
    cache="miss",
    marks=[0, 10_000, 1, 20_000, 2, 200_000, 3, 210_000],
    attempts=[
        tuple(make_attempt(0.3, 5.2, 503)),
        tuple(
            make_attempt(
                8, 12.3, 0, error="reset", span_id="b7ad6b7169203332", target="http://127.0.0.1:9202"
            )
        ),
    ],
    decisions=[("cache", "miss", ""), ("retry", "retried", "503")],
)
CALLBACK = make_call(
    ROUTE._replace(name="wallet", template="/callbacks/aurora/*", upstream="platform"),
    trace_id=TRACE_ID,
    span_id="1111111111111111",
    parent_id="b7ad6b7169203331",
    method="POST",
    received_ns=1 * MS,
    ended_ns=3 * MS,
    marks=[],
    attempts=[tuple(make_attempt(1.2, 2.9, span_id="2222222222222222", target="http://127.0.0.1:9200"))],
)
LIMITED = make_call(
    trace_id="0af7651916cd43dd8448eb211c80319c",
    status=429,
    code="RATE_LIMITED",
    ended_ns=200_000,
    marks=[0, 10_000],
    attempts=[],
    decisions=[("rate_limit", "refused", "50/second")],
)
HOSTILE = make_call(
    NO_ROUTE,
    trace_id="0000000000000000000000000000000f",
    path="/\x1b[31m[bold]x",
    status=404,
    code="ROUTE_NOT_FOUND",
    client="\x1b]0;owned\x07",
    ended_ns=0,
    consumer="",
    attempts=[],
    marks=[],
)


def observer() -> Observer:
    made = Observer()
    made.take([RETRIED, CALLBACK, LIMITED, HOSTILE])
    return made


def drawn(question: dict[str, Any], width: int, **console: Any) -> str:
    answer = observer().ask(question)
    out = io.TextIOWrapper(io.BytesIO(), console.pop("encoding", "utf-8"))
    screen = Console(file=out, width=width, **console)
    return (render_list if isinstance(answer, list) else render_trace)(answer, screen) + "\n"


@pytest.mark.parametrize(
    ("name", "question", "width", "more"),
    [
        ("retried-wide", {"op": "trace", "id": TRACE_ID[:8]}, 120, {}),
        ("retried-narrow", {"op": "trace", "id": TRACE_ID}, 72, {}),
        ("retried-ascii", {"op": "trace", "id": TRACE_ID}, 100, {"encoding": "ascii"}),
        ("limited", {"op": "trace", "id": "0af7"}, 100, {}),
        ("hostile", {"op": "trace", "id": "00000"}, 100, {}),
        ("table", {"op": "traces"}, 110, {}),
        ("table-narrow", {"op": "traces"}, 80, {}),
    ],
)
def test_it_looks_like_this(name: str, question: dict[str, Any], width: int, more: dict[str, Any]) -> None:
    text = drawn(question, width, **more)
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()
    assert all(len(line) <= width for line in text.splitlines())
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [20, 40, 60, 200])
def test_it_fits_any_width(width: int) -> None:
    text = drawn({"op": "trace", "id": TRACE_ID}, width)
    assert all(len(line) <= width for line in text.splitlines())
    for name in ("GET /aurora/games"[:13], "policy cache"[:5], "route wallet"):
        assert name in text


def test_a_terminal_gets_colours() -> None:
    text = drawn({"op": "trace", "id": TRACE_ID}, 100, force_terminal=True, color_system="standard")
    assert "\x1b[31m" in text
    assert "\x1b[36m" in text


def test_without_a_console_it_is_drawn_for_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    answer = observer().ask({"op": "trace", "id": TRACE_ID})
    assert max(map(len, render_trace(answer).splitlines())) <= 72
    assert "wallet" in render_list(observer().ask({"op": "traces"}))
