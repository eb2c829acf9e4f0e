"""What is wrong with a configuration: where, what, and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from gateway.errors import GatewayError
from gateway.observer.redaction import redact_query

_LONGEST_LINE = 300
"""Characters of a source line that are shown."""

Severity = Literal["error", "warning", "note"]


class Place(NamedTuple):
    """Where in a file; line and column count from 1, columns in characters."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about a configuration.

    An error keeps it from serving, a warning does not; a note tells what may well be as it should.
    """

    file: str
    line: int
    column: int
    severity: Severity
    message: str
    """What is wrong, in a sentence without its full stop. Never holds a secret's value."""
    mend: str = ""
    """How to put it right."""
    excerpt: str = ""
    """The source line, secrets blotted out; empty where the file could not be read."""
    routes: tuple[str, ...] = ()
    """The routes that run without encryption, where it is about that."""

    @classmethod
    def at(
        cls,
        place: Place,
        message: str,
        mend: str = "",
        *,
        severity: Severity = "error",
        routes: tuple[str, ...] = (),
    ) -> Finding:
        """A finding at a place."""
        return cls(*place, severity, message, mend, routes=routes)

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place(self.file, self.line, self.column)

    def __str__(self) -> str:
        mend = f"; {self.mend}" if self.mend else ""
        return f"{self.place}: {self.severity}: {self.message}{mend}"


class ConfigError(GatewayError):
    """A configuration that cannot serve; holds everything that was found, warnings too.

    As text it is the errors alone, and how many warnings there are: logs are read from the top.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        lines = [str(finding) for finding in findings if finding.severity == "error"]
        if count := len(findings) - len(lines):
            lines.append(f"and {count} warning{'s'[: count != 1]}, which `gateway check` tells")
        super().__init__("\n".join(lines))
        self.findings = tuple(findings)

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Finding, ...]]]:
        return ConfigError, (self.findings,)


def sort(findings: Iterable[Finding], files: Iterable[str]) -> list[Finding]:
    """By file (in the order of `files`), line and column, each thing said once."""
    order = {file: index for index, file in enumerate(files)}
    return sorted(
        dict.fromkeys(findings),
        key=lambda finding: (order.get(finding.file, len(order)), finding.file, finding.line, finding.column),
    )


def show(
    findings: Iterable[Finding],
    sources: Mapping[str, Sequence[str]],
    secrets: frozenset[str],
    values: Iterable[str] = (),
) -> list[Finding]:
    """Each finding once, sorted, with the source line it is about.

    `secrets` are the keys that hold some; `values` are secrets known as such, which no line may show.
    """
    pieces = {piece for value in values for piece in (value, *_ESCAPED.split(value))}
    hidden = sorted((piece for piece in pieces if len(piece) >= _SHORTEST_SECRET), key=len, reverse=True)
    excerpts: dict[tuple[str, int], str] = {}  # a file may be one line, and every finding is about that

    def shown(finding: Finding) -> Finding:
        lines, place = sources.get(finding.file, ()), (finding.file, finding.line)
        if finding.line > len(lines):
            return finding
        if place not in excerpts:
            excerpts[place] = blot(_without(lines[finding.line - 1], hidden), secrets)
        return replace(finding, excerpt=excerpts[place])

    return [shown(finding) for finding in sort(findings, sources)]


def _window(line: str, column: int) -> tuple[str, int]:
    """What a terminal can show of a very long line around `column`, and where that is in it."""
    if len(line) <= _LONGEST_LINE:
        return line, column
    start = max(0, min(column - _LONGEST_LINE // 2, len(line) - _LONGEST_LINE))
    shown = line[start : start + _LONGEST_LINE]
    before, after = "…" if start else "", "…" if start + _LONGEST_LINE < len(line) else ""
    return f"{before}{shown}{after}", column - start + len(before)


def render_findings(findings: Iterable[Finding], *, color: bool = False) -> str:
    """For the terminal: each finding with its source line, a caret under the place, and how to mend it."""
    bold, reset = ("\x1b[1m", "\x1b[0m") if color else ("", "")
    tints = {"error": "\x1b[31m", "warning": "\x1b[33m", "note": "\x1b[36m"} if color else {}
    text = ""
    for finding in findings:
        tint = tints.get(finding.severity, "")
        text += f"{bold}{finding.place}{reset}: {tint}{finding.severity}{reset}: {finding.message}\n"
        if finding.excerpt.strip():
            gutter = f"{finding.line:>5} | "
            line, column = _window(finding.excerpt, min(finding.column - 1, len(finding.excerpt)))
            text += f"{gutter}{line}\n{' ' * (len(gutter) + column)}{tint}^{reset}\n"
        if finding.mend:
            text += f"      = {finding.mend}\n"
    return text


_USER_INFO = re.compile(r"(?<=://)[^/\s@\"']*@")
_QUERY = re.compile(r"(://[^\s\"'?]*\?)[^\s\"'},]+")
_PARAMETERS = re.compile(r"\?([\w%.-]+=[^\s\"'},]*)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


_ESCAPED = re.compile(r"""[\x00-\x1f\x7f-\x9f\u2028\u2029"'\\]+""")
"""What a file may write otherwise than it is, or on another line: a secret is blotted out around it."""
_SHORTEST_SECRET = 4
"""Shorter texts are in every other line by chance; keys that hold secrets are blotted out all the same."""


def _without(line: str, hidden: Sequence[str]) -> str:
    for value in hidden:
        line = line.replace(value, "…")
    return line


def _blot_query(found: re.Match[str]) -> str:
    """The query of a path, unless one of its parameters is secret by its name."""
    return found[0] if redact_query(found[1]) == found[1] else "?…"


def blot(line: str, secrets: frozenset[str]) -> str:
    """A source line fit to be shown: no secret values, no passwords in URLs, no terminal escapes.

    Columns before the first secret stay where they are, so a caret still points at its place. A value
    given as `{env: …}` or `{file: …}` is no secret: it only says where one is kept.
    """
    line = _CONTROL.sub(" ", line)
    line = _PARAMETERS.sub(_blot_query, _QUERY.sub(r"\1…", _USER_INFO.sub("…@", line)))
    if not secrets:
        return line
    names = "|".join(sorted(map(re.escape, secrets), key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w-])([\"']?(?:{names})[\"']?\s*:\s+)(?!\{{\s*file\b)(\S.*)")
    match = pattern.search(line)
    if match is None:
        return line
    value = match[2]
    if re.match(r"\{\s*env\b", value):  # a default is as secret as what it stands in for
        blotted = re.sub(r"(default\s*:\s*)[^,}\s][^,}]*", r"\1…", value, count=1)
        head, brace, tail = blotted.partition("}")
        return line[: match.start(2)] + head + brace + blot(tail, secrets)
    if value[:1] == "{":  # a mapping of its own: its inner keys speak for themselves
        return line[: match.start(2)] + value[0] + blot(value[1:], secrets)
    return line[: match.start(2)] + "…"
