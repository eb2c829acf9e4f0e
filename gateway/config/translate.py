"""What pydantic has against a document, in plain English, each thing at its place.

Pydantic tells locations that hold labels of union branches, and messages made for programmers. Here
each error becomes one sentence about what stands in the file, and one about how to mend it. A value
that is a secret, or came from a variable or file, is never repeated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.document import Document, Location
from gateway.config.findings import Finding, Severity
from gateway.config.shapes import Shape

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
_SHAPE_ERRORS = re.compile(r"(\w+)_(type|parsing|from_float)|literal_error|enum|none_required|missing_argument")
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_SENTENCE = re.compile(r"((?:'[^']*'|\"[^\"]*\"|[^'\"])*?): (.+)", re.DOTALL)


def suggest(name: str, known: Sequence[str]) -> str:
    """` did you mean 'x'?`, or the list of what there is."""
    folded = {candidate.lower().replace("-", "_"): candidate for candidate in known}
    close = get_close_matches(name.lower().replace("-", "_"), folded, 1, 0.6)
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    if not known:
        return "there are none"
    return f"there {'is' if len(known) == 1 else 'are'} {', '.join(sorted(known)[:20])}{', …' if len(known) > 20 else ''}"


def split(message: str) -> tuple[str, str]:
    """A message as written in this project, `what is wrong: how to mend it`, as its two halves."""
    match = _SENTENCE.fullmatch(message)
    if match is None:
        what, _, mend = message.partition(": ")
        return what, mend
    return match[1], match[2]


def translate(
    error: ValidationError, document: Document, prefix: Location, shape: Shape, severity: Severity = "error"
) -> list[Finding]:
    """One finding per thing that is wrong with the value at `prefix`, whose form is `shape`."""
    details = error.errors(include_url=False)
    findings = []
    for item in _best_branches(details, document, prefix):
        finding = _translate(item, document, prefix, shape, severity)
        if finding is not None:
            findings.append(finding)
    return findings


def _best_branches(details: list[ErrorDetails], document: Document, prefix: Location) -> list[ErrorDetails]:
    """Of a union's branches, keep the one the author seems to have meant; its siblings' complaints go."""
    plain: list[ErrorDetails] = []
    unions: dict[Location, dict[str, list[ErrorDetails]]] = {}
    for item in details:
        location = item["loc"][:-1] if item["type"] == "missing" else item["loc"]
        found = document.follow((*prefix, *location))[len(prefix) :]
        label = next(
            (index for index, segment in enumerate(location) if index >= len(found) or str(found[index]) != str(segment)),
            None,
        )
        if label is None or location[label] == "[key]" or item["type"] == "extra_forbidden" and label == len(location) - 1:
            plain.append(item)
        else:
            unions.setdefault(location[:label], {}).setdefault(str(location[label]), []).append(item)
    for place, branches in unions.items():
        meant = [
            branch
            for branch in branches.values()
            if not any(_is_shape_error(item, document, prefix, place) for item in branch)
        ]
        if meant:
            plain += _best_branches_inside(min(meant, key=_badness), document, prefix, len(place))
        else:
            plain.append(_merge([item for branch in branches.values() for item in branch], place))
    return plain


def _best_branches_inside(
    branch: list[ErrorDetails], document: Document, prefix: Location, label: int
) -> list[ErrorDetails]:
    """A branch's errors without the branch's label, so that unions inside of it are seen too."""
    return _best_branches(
        [{**item, "loc": (*item["loc"][:label], *item["loc"][label + 1 :])} for item in branch], document, prefix
    )


def _is_shape_error(item: ErrorDetails, document: Document, prefix: Location, place: Location) -> bool:
    """Is this branch ruled out by the kind of value alone, text where it wants a mapping?"""
    if _SHAPE_ERRORS.fullmatch(item["type"]) is None:
        return False
    return len(document.follow((*prefix, *item["loc"]))) == len(prefix) + len(place)


def _badness(branch: list[ErrorDetails]) -> tuple[int, int]:
    wrong_keys = sum(item["type"] in ("extra_forbidden", "missing") for item in branch)
    return wrong_keys, len(branch)


def _merge(items: list[ErrorDetails], place: Location) -> ErrorDetails:
    """No branch takes this kind of value: say all that would be taken."""
    choices: list[str] = []
    for item in items:
        if item["type"] in ("literal_error", "enum"):
            choices += re.findall(r"'[^']*'", str(item.get("ctx", {}).get("expected", "")))
        else:
            choices.append(_wanted(item["type"]) or "another kind of value")
    merged = dict.fromkeys(choices)
    return {**items[0], "type": "no_branch", "loc": place, "ctx": {"choices": list(merged)}}


def _wanted(kind: str) -> str:
    for suffix in ("_type", "_parsing", "_parsing_size", "_from_float"):
        if kind.endswith(suffix):
            return _WANTED.get(kind.removesuffix(suffix), "")
    return ""


def _translate(
    item: ErrorDetails, document: Document, prefix: Location, shape: Shape, severity: Severity
) -> Finding | None:
    kind, location = item["type"], tuple(item["loc"])
    context: dict[str, Any] = item.get("ctx", {})
    whole = (*prefix, *location)
    found = document.follow(whole)
    if document.reference(found) == "":  # already said: the value itself could not be had
        return None
    here = shape.at(location if kind != "missing" else location[:-1])
    name = _name(found)

    if kind == "extra_forbidden":
        message, mend = f"unknown key {str(location[-1])!r}", suggest(str(location[-1]), shape.at(location[:-1]).keys)
        return Finding.at(document.place(whole, key=True), message, mend, severity=severity)
    if kind == "missing":
        key = str(location[-1])
        parent = _name(found)
        message = f"{key} is missing" + (f" from {parent}" if parent else "")
        return Finding.at(
            document.place(found, key=False), message, f"add {key}: {here.child(key).example()}", severity=severity
        )

    known = document.value_at(found) if found else document.value
    if "[key]" in location:
        message = f"{str(location[-2])!r} is not a name"
        mend = "use letters, digits, dots, underscores and hyphens, beginning with a letter or digit"
        return Finding.at(document.place(found, key=True), message, mend, severity=severity)
    message, mend = _sentence(kind, str(item["msg"]), context, name, here, known)
    source = document.reference(found)
    if source or here.secret:
        message = _hide(message, known, source)
    return Finding.at(document.place(found), message, mend, severity=severity)


def _sentence(
    kind: str, text: str, context: dict[str, Any], name: str, shape: Shape, value: Any
) -> tuple[str, str]:
    if kind == "value_error":
        return split(str(context.get("error", text)))
    if kind in ("literal_error", "enum"):
        choices = re.findall(r"'([^']*)'", str(context.get("expected", ""))) or [str(context.get("expected", ""))]
        mend = suggest(value, choices) if isinstance(value, str) else f"write {' or '.join(choices)}"
        if not mend.startswith("did"):
            mend = f"write {' or '.join(choices)}"
        return f"{name} cannot be {_show(value)}", mend
    if kind == "no_branch":
        choices = context["choices"]
        words = [choice.strip("'") for choice in choices if choice.startswith("'")]
        if isinstance(value, str) and words:
            mend = suggest(value, words)
            return f"{name} cannot be {_show(value)}", mend if mend.startswith("did") else f"write {' or '.join(words)}"
        return f"{name} takes {' or '.join(choice.strip(chr(39)) for choice in choices)}, not {_kind(value)}", ""
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        bound = shape.bound(context[key])
        return f"{name} must be {words} {bound}", f"write {words} {bound}"
    if kind in ("too_short", "string_too_short"):
        least = context.get("min_length", 1)
        return f"{name} is empty" if least == 1 else f"{name} is too short", f"give at least {least}"
    if kind in ("too_long", "string_too_long"):
        most = context.get("max_length")
        return f"{name} is too long", f"give at most {most}"
    if kind == "string_pattern_mismatch":
        return f"{name} {_show(value)} is not well formed", f"write it like {shape.example()}"
    wanted = _wanted(kind)
    if wanted:
        mend = _MENDS[wanted]
        if value is None:
            mend = f"give it a value, or remove it: {name} takes {wanted}"
            return f"{name} is empty", mend
        return f"{name} takes {wanted}, not {_kind(value)}", mend
    told = text[:1].lower() + text[1:]
    told = told.removeprefix("input should ").removeprefix("value ")
    return f"{name} is not valid: it should {told}", ""


def _name(location: Location) -> str:
    """`upstreams.aurora.timeout`, `routes[3].match`."""
    text = ""
    for segment in location:
        text += f"[{segment + 1}]" if isinstance(segment, int) else f".{segment}" if text else segment
    return text


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _show(value: Any) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "…")
    return _kind(value)


def _hide(message: str, value: Any, source: str | None) -> str:
    """The message without the value, which is a secret or came from outside the file."""
    stand_in = f"the value of {source}" if source else "the value"
    if not isinstance(value, str) or not value:
        return message
    for form in (repr(value), repr(value if len(value) <= 60 else value[:57] + "…"), value):
        message = message.replace(form, stand_in)
    return message
