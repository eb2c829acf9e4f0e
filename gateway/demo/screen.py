"""How the tour looks: coloured on a terminal, plain elsewhere, compact on both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

WORTH_SHOWING = ("cache-status", "age", "retry-after", "ratelimit", "www-authenticate", "content-type")
PROBLEM = ("code", "native", "provider", "detail", "retryable", "trace_id")
"""Of an error (RFC 9457), what differs from one to the next."""
PLAIN_WIDTH = 110
"""Columns where there is no terminal to ask."""


class Screen:
    """Prints a tour."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = Console(highlight=False) if console is None else console
        if not self.console.is_terminal:
            self.console.width = PLAIN_WIDTH

    def title(self, number: int, count: int, title: str, explanation: str) -> None:
        """Begin a step."""
        self.console.print()
        self.console.print(Text(f"{number:>2}/{count}  {title}", "bold"))
        self.console.print(Padding(Text(explanation), (0, 0, 0, 7), expand=False))

    def request(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], *, who: str = "platform"
    ) -> None:
        """A call as it was sent."""
        line = Text.assemble(f"{who:>12} → ", (f"{method} {path}", "cyan"))
        line.append("".join(f"  {name}: {value}" for name, value in headers.items()), "dim")
        self._line(line)
        if body is not None:
            self._body(body)

    def answer(
        self, status: int, headers: Mapping[str, str], body: Any = None, milliseconds: float = 0
    ) -> None:
        """An answer as it came."""
        style = "green" if status < 400 else "yellow" if status < 500 else "red"
        line = Text.assemble(f"{'gateway':>12} ← ", (str(status), style))
        if milliseconds:
            line.append(f"  {milliseconds:.1f} ms")
        shown = [name for name in WORTH_SHOWING if name in headers and headers[name] != "application/json"]
        line.append("".join(f"  {name}: {headers[name]}" for name in shown), "dim")
        self._line(line)
        if body is not None:
            self._body(body)

    def piece(self, text: str) -> None:
        """Something that arrived on an open stream."""
        self._line(Text(f"{'':>12}   {text}"))

    def note(self, text: str) -> None:
        """What happens beside the calls."""
        self._line(Text(f"{'':>12} · {text}", "italic"))

    def good(self, text: str) -> None:
        """What the step has shown."""
        self._line(Text.assemble(f"{'':>12} ", ("✓", "bold green"), f" {text}"))

    def bad(self, text: str) -> None:
        """What went otherwise than told."""
        self.console.print(Text.assemble(f"{'':>12} ", ("✗", "bold red"), f" {text}"))

    def plain(self, text: str, style: str = "") -> None:
        """Text outside of any step."""
        self.console.print(Text(text, style))

    def _line(self, line: Text) -> None:
        line.truncate(self.console.width, overflow="ellipsis")
        self.console.print(line)

    def _body(self, body: Any) -> None:
        if isinstance(body, dict) and "code" in body and "type" in body:
            body = {name: body[name] for name in PROBLEM if name in body}
        text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        for part in wrap(
            text, self.console.width - 16, max_lines=2, break_on_hyphens=False, placeholder=" …"
        ):
            self.console.print(Text(f"{'':>15}{part}", "dim"))
