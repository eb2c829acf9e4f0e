"""The parts of docs/ that the code knows best. `python -m tests.docs.generate` writes them anew.

A generated part stands between `<!-- NAME -->` and `<!-- /NAME -->`; what is around it is written by hand.
"""

from __future__ import annotations

import argparse
import ast
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from gateway.cli import make_parser
from gateway.config.reference import fields, reference
from gateway.errors import CODES
from gateway.policies import POLICIES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OWN = list(CODES).index("OK")
"""Codes before this one are the gateway's own."""


class Metric(NamedTuple):
    """One metric, as the code that makes it says."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


def pages() -> Iterator[tuple[Path, str]]:
    """Every page with something generated in it, and what it should hold."""
    yield DOCS / "configuration.md", reference()
    for name, config in POLICIES.items():
        yield _filled(DOCS / "policies" / f"{name}.md", fields=fields(config))
    yield _filled(DOCS / "policies" / "README.md", policies=_policies())
    codes = list(CODES.items())
    yield _filled(DOCS / "errors.md", own=_codes(dict(codes[:OWN])), providers=_codes(dict(codes[OWN:])))
    yield _filled(DOCS / "command-line.md", commands=_commands())
    yield _filled(DOCS / "telemetry.md", metrics=_metrics())


def _filled(path: Path, **parts: str) -> tuple[Path, str]:
    text = path.read_text()
    for name, content in parts.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = text.partition(begin)
        if not found or end not in rest:
            raise ValueError(f"{path.name} has no place for {name}")
        text = f"{before}{begin}{content.rstrip()}\n{end}{rest.partition(end)[2]}"
    return path, text


def summary(name: str) -> str:
    """The first paragraph of a policy's page."""
    return (DOCS / "policies" / f"{name}.md").read_text().split("\n\n")[1].replace("\n", " ")


def _policies() -> str:
    rows = [f"| [`{name}`]({name}.md) | {summary(name)} |" for name in POLICIES]
    return "\n".join(["| policy | what it is for |", "|---|---|", *rows])


def _codes(codes: dict[str, object]) -> str:
    rows = []
    for name in codes:
        code = CODES[name]
        rows.append(f"| `{name}` | {code.status} | {code.title} | {'yes' if code.temporary else ''} |")
    return "\n".join(["| code | status | meaning | temporary |", "|---|---|---|---|", *rows])


def commands() -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """`sandbox provider` → (what it is for, its parser); those with commands of their own are left out."""
    with patch.dict(os.environ):
        for name in ("GATEWAY_CONFIG", "GATEWAY_ADMIN"):
            os.environ.pop(name, None)
        return dict(_below("", make_parser()))


def _below(
    prefix: str, parser: argparse.ArgumentParser
) -> Iterator[tuple[str, tuple[str, argparse.ArgumentParser]]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            told = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, inner in action.choices.items():
                below = dict(_below(f"{prefix}{name} ", inner))
                yield from below.items() if below else [(f"{prefix}{name}", (told[name], inner))]


def _commands() -> str:
    lines: list[str] = []
    for name, (purpose, parser) in commands().items():
        lines += [f"## `gateway {name}`", "", f"{purpose[:1].upper()}{purpose[1:]}.", ""]
        rows = [_argument(action) for action in parser._actions if action.dest != "help"]
        lines += ["| argument | meaning |", "|---|---|", *rows, ""] if rows else []
    return "\n".join(lines)


def _argument(action: argparse.Action) -> str:
    value = str(action.metavar or action.dest.upper().replace("_", "-")) if action.nargs != 0 else ""
    if action.choices:
        value = "\\|".join(action.choices)
    spelled = [f"`{option} {value}`".replace(" `", "`") for option in action.option_strings] or [f"`{value}`"]
    told = (action.help or "") % vars(action)
    if action.option_strings and action.default not in (None, False, []) and "default" not in told:
        told = f"{told} (default: {action.default})".strip()
    return f"| {', '.join(spelled)} | {told[:1].upper()}{told[1:]} |"


def metrics() -> list[Metric]:
    """Every metric that any module asks for, read from its source."""
    found: dict[str, Metric] = {}
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        tree = ast.parse(path.read_text())
        tuples = {
            node.targets[0].id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="counter" | "gauge" | "histogram" as kind),
                    args=[ast.Constant(value=str(name)), ast.Constant(value=str(told)), *rest],
                ):
                    labels = rest[0] if rest else ast.Tuple([])
                    labels = tuples[labels.id] if isinstance(labels, ast.Name) else labels
                    found[name] = Metric(name, kind, tuple(ast.literal_eval(labels)), told)
    return sorted(found.values())


def _metrics() -> str:
    rows = []
    for metric in metrics():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help.rstrip('.')} |")
    return "\n".join(["| metric | kind | labels | what it counts |", "|---|---|---|---|", *rows])


def main() -> None:
    """Write what differs."""
    for path, text in pages():
        if path.read_text() != text:
            path.write_text(text)
            print(f"{path.relative_to(ROOT)} is written anew")


if __name__ == "__main__":
    main()
