"""What the tour looks like where there is no terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gateway.demo.screen import PLAIN_WIDTH, Screen


@pytest.fixture
def screen() -> Screen:
    return Screen(Console(file=io.StringIO(), highlight=False))


def lines(screen: Screen) -> list[str]:
    out = screen.console.file
    assert isinstance(out, io.StringIO)
    return out.getvalue().splitlines()


def test_a_call_and_its_answer(screen: Screen) -> None:
    screen.request("POST", "/bets", {"amount": 5}, {"x-api-key": "k"}, who="aurora")
    screen.answer(
        429, {"retry-after": "1", "content-type": "application/json", "x-else": "?"}, {"code": "X"}, 2.34
    )
    assert lines(screen) == [
        "      aurora → POST /bets  x-api-key: k",
        '               {"amount": 5}',
        "     gateway ← 429  2.3 ms  retry-after: 1",
        '               {"code": "X"}',
    ]


def test_a_long_body_takes_two_lines_and_no_more(screen: Screen) -> None:
    screen.answer(200, {}, {"games": ["northern spins"] * 100})
    head, *body = lines(screen)
    assert head == "     gateway ← 200"
    assert len(body) == 2
    assert all(len(line) <= PLAIN_WIDTH for line in lines(screen))
    assert body[1].endswith("…")


def test_markup_in_what_came_is_shown_as_it_is(screen: Screen) -> None:
    screen.answer(200, {}, "[bold]loud[/bold]")
    screen.bad("[red]angry")
    assert lines(screen)[1:] == ["               [bold]loud[/bold]", "             ✗ [red]angry"]


def test_a_step(screen: Screen) -> None:
    screen.title(3, 12, "Launching", "Why it matters.")
    screen.note("aside")
    screen.piece("data")
    screen.good("shown")
    assert lines(screen) == [
        "",
        " 3/12  Launching",
        "       Why it matters.",
        "             · aside",
        "               data",
        "             ✓ shown",
    ]
