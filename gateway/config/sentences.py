"""One pydantic error as two plain sentences: what is wrong, and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.config.document import Location
from gateway.config.scalars import LONGEST_NUMBER
from gateway.config.shapes import Shape
from gateway.mistakes import Mistake, suggest
from gateway.observer.redaction import redact_query

_QUOTE = "'"
_ALTERNATIVES = re.compile(r"\^?\(((?:[a-z_:]+(?:\[[^]]*\][+*]?)?\|?)+)\)\$?")
"""A pattern that only lists words, `^(client|header:[a-z]+)$`."""
_WANTED = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen_set": "a list",
    "dict": "a mapping",
    "model": "a mapping",
    "model_attributes": "a mapping",
    "mapping": "a mapping",
    "dataclass": "a mapping",
}
"""The first half of a pydantic error type (`int_parsing`, `list_type`) → what the setting takes."""
_MENDS = {
    "text": "write it in quotes",
    "a whole number": "write digits only",
    "a number": "write digits, with a point if need be",
    "true or false": "write true or false",
    "a list": "put it in brackets: [...]",
    "a mapping": "write key: value pairs, indented below it",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


_LONGEST_TEXT = 60
"""Characters of a value that a message repeats."""
_NUMBER = re.compile(r"[-+]?([0-9]+)|0x([0-9A-Fa-f]+)|0o([0-7]+)")
_USER_INFO = re.compile(r"(?<=://)[^/\s@]*@")
_AS_YAML = {"True": "true", "False": "false", "None": "null"}
"""Python's words for values that YAML spells otherwise."""


def sentence(
    kind: str, text: str, context: Mapping[str, Any], *, name: str, shape: Shape, value: Any
) -> tuple[str, str]:
    """A pydantic error about the value called `name`: (what is wrong, how to mend it)."""
    error = context.get("error")
    if isinstance(error, Mistake):
        return error.what, error.mend
    if isinstance(error, ValueError):  # of a library's own making
        return f"{name} is not valid: {error}", "write another value"
    if kind in ("literal_error", "enum"):
        return _choice(name, value, str(context.get("expected", "")))
    if kind == "no_branch":
        takes: list[str] = context["choices"]
        if isinstance(value, str) and any(choice.startswith("'") for choice in takes):
            return _choice(name, value, " ".join(takes))
        options = " or ".join(choice.strip(_QUOTE) for choice in takes)
        return f"{name} takes {options}, not {kind_of(value)}", f"write {options}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        bound = shape.bound(context[key])
        return f"{name} must be {words} {bound}", f"write a value of {words} {bound}"
    if kind in ("too_short", "string_too_short"):
        least = context.get("min_length", 1)
        return f"{name} is empty" if least == 1 else f"{name} is too short", f"give at least {least}"
    if kind in ("too_long", "string_too_long"):
        return f"{name} is too long", f"give at most {context.get('max_length')}"
    if kind == "string_pattern_mismatch":
        choices = _ALTERNATIVES.fullmatch(str(context.get("pattern", "")))
        if choices is not None:
            words = re.sub(r"\[[^]]*\][+*]?", "NAME", choices[1]).replace("|", "' '")
            return _choice(name, value, f"'{words}'")
        example = shape.example()
        return f"{name} cannot be {show(value)}", shape.rule if example == "…" else f"write it like {example}"
    takes_one = wanted(kind)
    if kind == "finite_number" or (takes_one == "a whole number" and _digits(value) > LONGEST_NUMBER):
        return f"{name} is too large a number", f"write one of at most {LONGEST_NUMBER} digits"
    if takes_one and value is None:
        return f"{name} is empty", f"give it a value, or remove it: {name} takes {takes_one}"
    if takes_one == "a list" and isinstance(value, dict):
        return f"{name} takes a list, not a mapping", "begin each entry with a dash"
    if takes_one:
        return f"{name} takes {takes_one}, not {kind_of(value)}", _MENDS[takes_one]
    told = text[:1].lower() + text[1:]
    return f"{name} is not valid: it should {told.removeprefix('input should ').removeprefix('value ')}", ""


def _choice(name: str, value: Any, expected: str) -> tuple[str, str]:
    choices = re.findall(r"'([^']*)'", expected)
    if not choices:
        expected = _AS_YAML.get(expected, expected)
        return f"{name} takes {expected}, not {kind_of(value)}", f"write {expected}"
    guess = suggest(value, choices) if isinstance(value, str) else ""
    mend = guess if guess.startswith("did") else f"write {' or '.join(choices)}"
    return f"{name} cannot be {show(value)}", mend


def wanted(kind: str) -> str:
    """What a setting takes, by the type of pydantic's error; empty where it is not about that."""
    for suffix in ("_type", "_parsing", "_parsing_size", "_from_float"):
        if kind.endswith(suffix):
            return _WANTED.get(kind.removesuffix(suffix), "")
    return ""


def name_of(location: Location) -> str:
    """`upstreams.aurora.timeout`, `match.path`, `cache.ttl`, `targets[1]`: the place tells of which route."""
    last = max((index for index, segment in enumerate(location[:-1]) if isinstance(segment, int)), default=-1)
    text = ""
    for segment in location[last + 1 :]:
        text += f"[{segment + 1}]" if isinstance(segment, int) else f".{segment}" if text else segment
    return text.removeprefix("[").removesuffix("]") if text.startswith("[") else text


def kind_of(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"a number of {digits} digits" if (digits := _digits(value)) > LONGEST_NUMBER else "text"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _digits(value: Any) -> int:
    """How many digits a text has that is a whole number; 0 for all else."""
    number = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    return 0 if number is None else len(number[number.lastindex or 1])


def show(value: Any) -> str:
    """A value as a message quotes it; what may be a password in a URL, or a token in a query, is left out."""
    return repr(_cut(_public(value))) if isinstance(value, str) else kind_of(value)


def _public(text: str) -> str:
    text = _USER_INFO.sub("…@", text)
    before, mark, query = text.partition("?")
    return text if redact_query(query) == query else f"{before}{mark}…"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 3] + "…"


def shorten(message: str, value: Any) -> str:
    """The message with as much of a long value as tells which one it is."""
    if not isinstance(value, str) or len(value) <= _LONGEST_TEXT:
        return message
    return message.replace(repr(value), show(value)).replace(value, _cut(value))


def hide(message: str, value: Any, source: str | None) -> str:
    """The message without the value, which is a secret or came from outside the file."""
    stand_in = f"the value of {source}" if source else "the value"
    if not isinstance(value, str) or not value:
        return message
    for form in (repr(value), show(value), value):
        message = message.replace(form, stand_in)
    return message
