"""What is right about a file that is not: so that one mistake does not hide the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.config.document import Document, Location
from gateway.config.findings import Finding
from gateway.config.models import RouteConfig, RoutesFile
from gateway.config.shapes import Shape
from gateway.config.translate import translate

_NAMED = frozenset({"consumers", "providers", "upstreams"})
_STAND_IN = {"name": "x", "match": {"methods": ["GET"], "path": "/"}, "upstream": "x"}
"""What a route cannot do without. It keeps the indices, hence the places, of the routes behind it."""


@dataclass(slots=True)
class Broken:
    """What had to be left out of a file because it is wrong in itself."""

    names: dict[str, set[str]] = field(default_factory=dict)
    """Section → names of its entries that are wrong in part or as a whole: they count as there."""
    routes: dict[int, set[str]] = field(default_factory=dict)
    """Index of a route → its keys that nothing is known about."""
    sections: set[str] = field(default_factory=set)
    """Sections that are wrong as a whole, or seem to be there under a wrong name."""

    def of(self, section: str) -> set[str]:
        """The wrong entries of a section."""
        return self.names.get(section, set())

    def knows(self, index: int, *keys: str) -> bool:
        """May these keys of a route be judged?"""
        return self.routes.get(index, set()).isdisjoint(keys)

    @property
    def any(self) -> bool:
        """Is anything wrong that might refer to something else?"""
        return bool(self.routes or self.of("providers") or self.sections & {"routes", "providers"})

    def leave_out(self, value: dict[str, Any], locations: Iterable[Location]) -> None:
        """Take the smallest parts around some mistakes out of the file's `value`, and remember them."""
        gone: set[tuple[str, ...]] = set()
        for section, *inner in locations:
            entries = value.get(str(section))
            if section == "routes" and inner and isinstance(entries, list):
                self._leave_out_of_route(entries, int(inner[0]), inner[1:])
            elif inner and isinstance(entries, dict):
                name, *rest = map(str, inner)
                entry = entries.get(name)
                if section in _NAMED:
                    self.names.setdefault(str(section), set()).add(name)
                    if (str(section), name, *rest[:1]) in gone:
                        continue
                    gone.add((str(section), name, *rest[:1]))
                    if rest and isinstance(entry, dict) and rest[0] in entry:
                        del entry[rest[0]]
                        continue
                    entries.pop(name, None)
                elif name in entries:
                    gone.add((str(section), name))
                    del entries[name]
                elif (str(section), name) not in gone:  # without it the section is none
                    del value[str(section)]
                    self.sections.add(str(section))
            else:
                value.pop(str(section), None)
                meant = get_close_matches(str(section).lower(), list(RoutesFile.model_fields), 1)
                self.sections.update([str(section), *meant])

    def _leave_out_of_route(self, routes: list[Any], index: int, inner: list[str | int]) -> None:
        route = routes[index]
        if not inner or not isinstance(route, dict):
            routes[index] = dict(_STAND_IN)
            self.routes[index] = set(RouteConfig.model_fields)
            return
        key = str(inner[0])
        route.pop(key, None)
        if key in _STAND_IN:
            route[key] = _STAND_IN[key]
        meant = get_close_matches(key.lower(), list(RouteConfig.model_fields), 1)
        self.routes.setdefault(index, set()).update([key, *meant])


def salvage(
    document: Document, findings: list[Finding], *, context: dict[str, Path]
) -> tuple[RoutesFile, Broken]:
    """The file as far as it is right, and what is not. What is wrong is added to `findings`."""
    value, broken = document.value, Broken()
    while True:
        try:
            return RoutesFile.model_validate(value, context=context), broken
        except ValidationError as error:
            details = error.errors(include_url=False)
        if value is document.value:
            told = details
            value = {**value, **_copies(value)}
        else:  # what a rule over several keys says once the wrong ones are gone; a gap is our own doing
            told = [item for item in details if item["type"] == "value_error"]
        findings += translate(told, document, (), Shape.of(RoutesFile))
        broken.leave_out(value, (item["loc"] for item in details))
        value["version"] = 1


def _copies(value: dict[str, Any]) -> dict[str, Any]:
    """The sections, copied as deep as something may be left out of them."""
    copies: dict[str, Any] = {}
    for section, entries in value.items():
        if isinstance(entries, dict):
            copies[section] = {
                name: dict(entry) if isinstance(entry, dict) else entry for name, entry in entries.items()
            }
        elif isinstance(entries, list):
            copies[section] = [dict(entry) if isinstance(entry, dict) else entry for entry in entries]
    return copies
