"""Policy lists: the files in `policies/`, and what a route's own list of names and policies comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from gateway.config.configuration import PlacedPolicy
from gateway.config.document import Document, Location
from gateway.config.findings import Finding, Place
from gateway.config.shapes import Shape
from gateway.config.translate import translate
from gateway.files import read_file, why
from gateway.mistakes import suggest
from gateway.policies import LATER, POLICIES


@dataclass(frozen=True, slots=True)
class Entry:
    """One policy as written: enough to judge its order, and to say where it stands."""

    name: str
    settings: Mapping[str, Any]
    document: Document
    location: Location
    """Where its settings stand in the document."""
    placed: PlacedPolicy | None = None
    """None where its settings are wrong, which has been said."""

    @property
    def place(self) -> Place:
        """Where its name stands."""
        return self.document.place(self.location, key=True)

    def place_of(self, *inner: str | int) -> Place:
        """Where one of its settings stands."""
        return self.document.place((*self.location, *inner))

    @property
    def mode(self) -> str:
        """enforce, shadow or off."""
        return str(self.settings.get("mode", "enforce"))


class Resolved(NamedTuple):
    """What a route's list of names and policies comes to, outermost first."""

    entries: tuple[Entry, ...]
    complete: bool
    """False where something in it could not be read: what seems to be missing may be there."""


_UNREAD = Resolved((), complete=False)


class PolicyLists:
    """Reads each list once, however many routes use it."""

    def __init__(self, folder: Path, label: str, environ: Mapping[str, str], root: Path) -> None:
        self._folder, self._label, self._environ, self._root = folder, label, environ, root
        self._lists: dict[str, Resolved] = {}
        self._shapes: dict[str, Shape] = {}
        self.documents: list[Document] = []
        self.findings: list[Finding] = []
        self.files: list[Path] = []
        self.used: set[str] = set()
        self.names = sorted(path.stem for path in folder.glob("*.yaml")) if folder.is_dir() else []

    def read_all(self, *, complete: bool) -> None:
        """Read every list there is, so that mistakes in unused ones are found too.

        `complete` says that all routes could be read, so that a list none of them named is unused.
        """
        for name in self.names:
            read = self._list(name)
            known = read.complete or read.entries
            if known and complete and name not in self.used and name not in POLICIES and name not in LATER:
                self.findings.append(
                    Finding.at(
                        Place(self._file(name), 1, 1),
                        f"no route uses the policy list {name!r}",
                        "use it, or remove the file",
                        severity="warning",
                    )
                )

    def resolve(self, items: Sequence[Any], document: Document, location: Location) -> Resolved:
        """A route's list as policies, as far as it can be read."""
        entries: list[Entry] = []
        complete = True
        for index, item in enumerate(items):
            here = (*location, index)
            if isinstance(item, str):
                found = self._named(item, document.place(here))
                complete = complete and found.complete
                entries += found.entries
            else:
                entry = self._inline(item, document, here, "")
                complete = complete and entry is not None
                if entry is not None:
                    entries.append(entry)
        return Resolved(tuple(entries), complete)

    def _named(self, name: str, place: Place) -> Resolved:
        if name in POLICIES:
            message = f"{name!r} is a policy, and a bare name means a list"
            self.findings.append(Finding.at(place, message, f"write {{{name}: {{…}}}} for the policy"))
            return _UNREAD
        if name in LATER:
            self._later(name, place)
            return Resolved((), complete=True)
        if name not in self.names:
            message = f"there is no policy list {name!r}"
            mend = suggest(name, self.names)
            if not mend.startswith("did"):
                mend = f"write one in {self._file(name)}" + (f"; {mend}" if self.names else "")
            self.findings.append(Finding.at(place, message, mend))
            return _UNREAD
        self.used.add(name)
        return self._list(name)

    def _later(self, name: str, place: Place) -> None:
        message = f"the policy {name} arrives in a later version"
        self.findings.append(Finding.at(place, message, "remove it until then"))

    def _file(self, name: str) -> str:
        return f"{self._label}{name}.yaml"

    def _list(self, name: str) -> Resolved:
        if name not in self._lists:
            self._lists[name] = self._read(name)
        return self._lists[name]

    def _read(self, name: str) -> Resolved:
        path = self._folder / f"{name}.yaml"
        start = Place(self._file(name), 1, 1)
        if name in POLICIES or name in LATER:
            message = f"a policy list may not be called {name}, which is a policy's name"
            self.findings.append(Finding.at(start, message, "give the file another name"))
        self.files.append(path)
        try:
            data = read_file(path)
        except OSError as error:
            self.findings.append(
                Finding.at(start, f"the file cannot be read: {why(error)}", "mend its permissions")
            )
            return _UNREAD
        document = Document(self._file(name), data, self._environ, self._root)
        self.documents.append(document)
        self.files += document.files
        if not document.readable:
            return _UNREAD
        if not isinstance(document.value, list):
            message = (
                "this policy list is empty"
                if document.value is None
                else "this file is not a list of policies"
            )
            self.findings.append(
                Finding.at(
                    document.place(),
                    message,
                    "write one policy per line: `- cache: {ttl: 5m}`",
                )
            )
            return _UNREAD
        entries: list[Entry] = []
        complete = True
        for index, item in enumerate(document.value):
            if isinstance(item, str):
                place = document.place((index,))
                if item in LATER:
                    self._later(item, place)
                    continue
                if item in POLICIES:
                    mend = f"write `- {item}: {{}}` for its defaults"
                    message = f"{item!r} is a bare name, and a policy takes settings"
                else:
                    message = f"{item!r} is not a policy, and lists do not hold other lists"
                    mend = suggest(item, list(POLICIES))
                self.findings.append(Finding.at(place, message, mend))
                complete = False
                continue
            entry = self._inline(item, document, (index,), name)
            complete = complete and entry is not None
            if entry is not None:
                entries.append(entry)
        return Resolved(tuple(entries), complete)

    def _inline(self, item: Any, document: Document, location: Location, list_name: str) -> Entry | None:
        place = document.place(location)
        if not isinstance(item, dict) or len(item) != 1:
            if isinstance(item, dict) and len(item) > 1:
                message = f"one entry holds {len(item)} keys: {', '.join(item)}"
                first, *others = item
                mend = f"indent the settings of {first} below it"
                if any(name in POLICIES for name in others):
                    mend = "begin each policy with a dash of its own"
            else:
                message = "an entry is a list's name, or one policy with its settings"
                mend = "write `- metadata` or `- cache: {ttl: 5m}`"
            self.findings.append(Finding.at(place, message, mend))
            return None
        name, settings = next(iter(item.items()))
        config = POLICIES.get(name)
        place = document.place((*location, name), key=True)
        if name in LATER:
            self._later(name, place)
            return Entry(name, settings if isinstance(settings, dict) else {}, document, (*location, name))
        if config is None:
            self.findings.append(
                Finding.at(place, f"there is no policy {name!r}", suggest(name, list(POLICIES)))
            )
            return None
        if not isinstance(settings, dict):
            message = (
                f"{name} has no settings" if settings is None else f"the settings of {name} are not a mapping"
            )
            self.findings.append(Finding.at(place, message, f"write {{{name}: {{}}}} for its defaults"))
            return None
        here = (*location, name)
        try:
            checked = config.model_validate(settings, context={"folder": self._root})
            placed = PlacedPolicy(checked, self._where(place), place, list_name)
        except ValidationError as error:
            shape = self._shapes.setdefault(name, Shape.of(config))
            self.findings += translate(error.errors(include_url=False), document, here, shape)
            return Entry(name, settings, document, here)
        return Entry(name, settings, document, here, placed)

    def _where(self, place: Place) -> str:
        folder = self._label.removesuffix("policies/")
        return f"{place.file.removeprefix(folder)}:{place.line}"
