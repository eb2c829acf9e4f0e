"""What pydantic has against a document, in plain English, each thing at its place.

Pydantic tells locations that hold labels of union branches, and messages made for programmers. Here
each error becomes one sentence about what stands in the file, and one about how to mend it. A value
that is a secret, or came from a variable or file, is never repeated.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import ErrorDetails

from gateway.config.document import Document, Location
from gateway.config.findings import Finding
from gateway.config.sentences import hide, name_of, sentence, shorten, wanted
from gateway.config.shapes import Shape
from gateway.mistakes import Mistake, suggest

_SHAPE_ERRORS = re.compile(
    r"(\w+)_(type|parsing|from_float)|literal_error|enum|none_required|missing_argument"
)


def translate(
    details: list[ErrorDetails], document: Document, prefix: Location, shape: Shape
) -> list[Finding]:
    """One finding per thing that is wrong with the value at `prefix`, whose form is `shape`."""
    findings = []
    for item in _best_branches(details, document, prefix):
        finding = _translate(item, document, prefix, shape)
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
            (
                index
                for index, segment in enumerate(location)
                if index >= len(found) or str(found[index]) != str(segment)
            ),
            None,
        )
        if item["type"] in ("too_short", "too_long") and any(
            other["loc"][: len(location)] == location and len(other["loc"]) > len(location)
            for other in details
        ):
            continue  # entries that are wrong in themselves were not counted
        unknown_key = item["type"] == "extra_forbidden" and label == len(location) - 1
        if label is None or location[label] == "[key]" or unknown_key:
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
        [{**item, "loc": (*item["loc"][:label], *item["loc"][label + 1 :])} for item in branch],
        document,
        prefix,
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
            choices.append(wanted(item["type"]) or "another kind of value")
    merged = dict.fromkeys(choices)
    return {**items[0], "type": "no_branch", "loc": place, "ctx": {"choices": list(merged)}}


def _translate(item: ErrorDetails, document: Document, prefix: Location, shape: Shape) -> Finding | None:
    kind, location = item["type"], tuple(item["loc"])
    context: dict[str, Any] = item.get("ctx", {})
    if isinstance(context.get("error"), Mistake):
        location = (*location, *context["error"].at)
    whole = (*prefix, *location)
    found = document.follow(whole)
    if document.reference(found) == "":  # already said: the value itself could not be had
        return None
    here = shape.at(location if kind != "missing" else location[:-1])
    name = name_of(found)

    if kind == "extra_forbidden":
        if document.is_source(whole):
            return None  # goes when its aliases do, of which each is told
        message, mend = (
            f"unknown key {str(location[-1])!r}",
            suggest(str(location[-1]), shape.at(location[:-1]).keys),
        )
        return Finding.at(document.place(whole, key=True), message, mend)
    if kind == "missing":
        key = str(location[-1])
        parent = name_of(found)
        message = f"{key} is missing" + (f" from {parent}" if parent else "")
        return Finding.at(
            document.place(found, key=False),
            message,
            f"add {key}: {here.child(key).example()}",
        )

    known = document.value_at(found) if found else document.value
    if "[key]" in location and kind != "value_error":
        message = f"{str(location[-2])!r} is not a name"
        mend = "use letters, digits, dots, underscores and hyphens, beginning with a letter or digit"
        return Finding.at(document.place(found, key=True), message, mend)
    message, mend = sentence(kind, str(item["msg"]), context, name=name, shape=here, value=known)
    source = document.reference(found)
    if source or here.secret:
        message, mend = hide(message, known, source), hide(mend, known, source)
    else:
        message, mend = shorten(message, known), shorten(mend, known)
    return Finding.at(document.place(found), message, mend)
