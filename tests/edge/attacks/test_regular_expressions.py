"""No regular expression is taken from YAML, and ours take time in proportion to what callers send."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.caching.freshness import directives
from gateway.config.schema import json_schema, policies_schema
from gateway.edge.canonical import canonical_authority, canonical_path
from gateway.edge.trace_context import parse_traceparent
from gateway.errors import GatewayError
from gateway.observer.masking import Masking
from gateway.observer.printable import printable
from gateway.observer.redaction import redact_query

ROOT = Path(__file__).parents[3]
WORDS = ("regex", "regular expression", "regexp")
MADE = {"config/findings.py": "keys of our own models, escaped, that hold secrets"}
"""Modules that make a pattern of parts → what the parts are."""

pytestmark = pytest.mark.attack(33)


def walk(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        yield path, schema
        for name, inner in schema.items():
            yield from walk(inner, f"{path}/{name}")
    elif isinstance(schema, list):
        for inner in schema:
            yield from walk(inner, path)


@pytest.mark.parametrize("make", [json_schema, policies_schema])
def test_no_key_of_any_file_takes_one(make: Callable[[], dict[str, Any]]) -> None:
    """By format, by name, or by what its description says."""
    fields = 0
    for path, schema in walk(make()):
        assert schema.get("format") != "regex", path
        described = schema.get("description")
        assert not isinstance(described, str) or not any(word in described.lower() for word in WORDS), path
        properties = schema.get("properties")
        for name in properties if isinstance(properties, dict) else ():
            fields += 1
            assert not any(word.split()[0] in name.lower() for word in (*WORDS, "pattern")), f"{path}/{name}"
    assert fields > 100


CALLS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}


def patterns(path: Path) -> Iterator[ast.expr]:
    """The pattern of every call of `re`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr in CALLS
        ):
            yield node.args[0]


def is_constant(pattern: ast.expr) -> bool:
    """Text, or text with names of constants (in capitals) in it."""
    if isinstance(pattern, ast.JoinedStr):
        return all(is_constant(value) for value in pattern.values)
    if isinstance(pattern, ast.FormattedValue):
        return is_constant(pattern.value)
    return isinstance(pattern, ast.Constant) or (isinstance(pattern, ast.Name) and pattern.id.isupper())


def test_every_pattern_is_written_in_the_code() -> None:
    made = set()
    for path in (ROOT / "gateway").rglob("*.py"):
        if not all(map(is_constant, patterns(path))):
            made.add(str(path.relative_to(ROOT / "gateway")))
    assert made == MADE.keys(), "a pattern that is put together may hold what YAML says"


PIECES = ["a", "=", "a=", "&", "a&", ";", '"', 'a="', "\\", '\\"', ",", " ", "-", "0", ".", "a.", "/", "/.",
          "%2e", "%", ":", "@", "[", "\x00", "é"]  # fmt: skip
READERS: dict[str, Callable[[str], object]] = {
    "query in the log": lambda text: Masking().query(text),
    "query in the log, with names of secrets": lambda text: Masking().query(text, ("token",)),
    "path in the log": lambda text: Masking().path("/" + text, "/:token/*"),
    "message in the log": lambda text: Masking().prose(text),
    "query in a finding": redact_query,
    "path": lambda text: canonical_path(b"/" + text.encode()),
    "host": lambda text: canonical_authority(text.encode()),
    "Cache-Control": lambda text: directives([text.encode()]),
    "traceparent": lambda text: parse_traceparent(text.encode()),
    "text in the log": printable,
}


@pytest.mark.parametrize("reader", READERS)
def test_what_callers_send_is_read_in_time_that_grows_with_its_length(reader: str) -> None:
    """16 KiB of every piece: some milliseconds of CPU time. What were quadratic would take seconds."""
    read = READERS[reader]
    for piece in PIECES:
        long = (piece * 16384)[:16384]
        for text in (long, "a" + long[:-2] + "!", long + "&b=c", "b=c&" + long):
            began = time.process_time()
            with suppress(GatewayError):
                read(text)
            took = time.process_time() - began
            assert took < 0.4, f"{piece!r} again and again takes {took:.2f} s"
