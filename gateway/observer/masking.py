"""Personal data: what a rule names, and what looks like an e-mail address or a card number, is masked.

Everything that leaves the observer passes here, and what `gateway explain` says too. A value whose name tells
of a secret becomes `REDACTED` (`gateway.observer.redaction`), one whose name tells of a person `MASKED`.
Most paths hold neither and no query, so what a call costs is to find that out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

from gateway.observer.card_numbers import FEWEST, has_many_digits, without_card_numbers
from gateway.observer.redaction import PARAMETER, REDACTED, is_secret

MASKED = "MASKED"
"""Stands for a person's data: the same for all of them, so that nobody can be told from another."""

_EXACT = frozenset({
    "birth", "cvc", "cvv", "dob", "mail", "mobile", "msisdn", "nick", "pan", "passport", "ssn", "street",
    "tel", "zip",
})  # fmt: skip
_ENDINGS = (
    "address", "addressline1", "addressline2", "birthdate", "birthday", "cardnumber", "dateofbirth",
    "displayname", "email", "familyname", "firstname", "fullname", "givenname", "iban", "lastname",
    "maidenname", "middlename", "mobilenumber", "nationalid", "nickname", "passportnumber", "personalid",
    "phone", "phonenumber", "playername", "postalcode", "postcode", "screenname", "surname", "telephone",
    "username", "zipcode",
)  # fmt: skip
"""So `customer_first_name` and `playerEmail` are meant too."""

_LOCAL = r"[^\s@<>\"(),:;\[\]\\/=?&]"
_EMAIL = re.compile(rf"(?<!{_LOCAL}){_LOCAL}++@[\w-]++(?:\.[\w-]++)+")
"""Possessive, and begun at the first character only: linear in whatever a caller sends."""
_SEPARATOR = re.compile("([&;])")
_DECODED_AGAIN = 2
"""Times: some values are encoded by whoever makes them, and once more on their way."""
REMEMBERED = 4096
"""Names, paths and route templates, of each; callers make up names."""
REMEMBERED_LENGTH = 256
"""Characters of a path; longer ones are looked through anew each time."""

_ASSIGNED = re.compile(r"(?<![\w%-])([\w%-]{1,64})=([^\s&;,\"')}\]]+)")
_SHOWN = re.compile(r"(?i)\b(bearer|basic|apikey)( +)(?:(?=\S*[0-9])[\w.~+/=-]{6,}|[\w.~+/=-]{20,})")
"""What a word like `credentials` is not."""
_CARRIED = re.compile(
    r"(?i)\b(authorization|proxy-authorization|cookie|set-cookie|x-api-key)(['\"]?\s*[:,]\s*(?:b?['\"])?)[^\n'\"]+"
)


@lru_cache(4096)
def bare(name: str) -> str:
    """A name as rules compare it: decoded, lower-case, letters and digits only."""
    return "".join(char for char in unquote_plus(name).lower() if char.isalnum())


def is_personal(name: str) -> bool:
    """Does a parameter of this name hold a person's data, going by the name alone?"""
    plain = bare(name)
    return plain in _EXACT or plain.endswith(_ENDINGS)


@dataclass(frozen=True, slots=True)
class MaskSettings:
    """`telemetry.mask` of the configuration."""

    parameters: tuple[str, ...] = ()
    """Names of query and path parameters, beside the well-known ones."""
    show: tuple[str, ...] = ()
    """Well-known names whose values are shown all the same."""
    attributes: tuple[str, ...] = ()
    """Span attributes masked as a whole."""
    emails: bool = True
    card_numbers: bool = True

    @classmethod
    def read(cls, section: Mapping[str, Any] | None) -> MaskSettings:
        """Settings from the section as JSON; keys may be missing."""
        section = section or {}
        named = {name: tuple(section.get(name) or ()) for name in ("parameters", "show", "attributes")}
        return cls(
            **named, emails=section.get("emails", True), card_numbers=section.get("card_numbers", True)
        )


class Masking:
    """The rules of one configuration, ready to apply."""

    __slots__ = (
        "_card_numbers", "_emails", "_marks", "_of_names", "_paths", "_personal", "_shown", "attributes",
    )  # fmt: skip

    def __init__(self, settings: MaskSettings | None = None) -> None:
        settings = MaskSettings() if settings is None else settings
        self.attributes = frozenset(settings.attributes)
        self._emails, self._card_numbers = settings.emails, settings.card_numbers
        self._personal = frozenset(map(bare, settings.parameters))
        self._shown = frozenset(map(bare, settings.show))
        self._of_names: dict[str, str] = {}
        self._marks: dict[str, tuple[tuple[int, str], ...]] = {}
        self._paths: dict[str, str] = {}

    def mark(self, name: str) -> str:
        """What stands for the value of a parameter of this name; empty where it may be shown."""
        mark = self._of_names.get(name)
        if mark is None:
            mark = REDACTED if is_secret(name) else MASKED if self._is_personal(name) else ""
            if len(self._of_names) >= REMEMBERED:
                self._of_names.clear()
            self._of_names[name] = mark
        return mark

    def _is_personal(self, name: str) -> bool:
        plain = bare(name)
        return plain in self._personal or (is_personal(name) and plain not in self._shown)

    def named(self, attribute: str, value: str) -> str:
        """The value of a span attribute that may be masked as a whole."""
        return MASKED if attribute in self.attributes else value

    # Text, by its form alone.

    def text(self, text: str) -> str:
        """Text without e-mail addresses and card numbers."""
        if self._emails and "@" in text:
            text = _EMAIL.sub(MASKED, text)
        if self._card_numbers and len(text) >= FEWEST and has_many_digits(text):
            text = without_card_numbers(text, MASKED)
        return text

    def _value(self, value: str, *, form: bool = False) -> str:
        """A percent-encoded value; where what it stands for has to be masked, it is encoded anew."""
        plain = unquote_plus(value) if form else unquote(value)
        for _ in range(_DECODED_AGAIN):
            if "%" not in plain:
                break
            plain = unquote(plain)
        masked = self.text(self._assigned(plain) if "=" in plain else plain)
        if masked == plain:
            return value
        return masked if plain == value else quote(masked, safe="@:!$'()*,;~")

    def _assigned(self, text: str) -> str:
        """Text in which names are given values, such as a URL within a parameter."""
        return _ASSIGNED.sub(lambda found: f"{found[1]}={self.mark(found[1]) or self.text(found[2])}", text)

    # Targets.

    def marks(self, template: str) -> tuple[tuple[int, str], ...]:
        """(number of a segment, what stands for it) of a route's `:name`s that are masked by their names."""
        marks = self._marks.get(template)
        if marks is None:
            segments = enumerate(template.split("/"))
            marks = tuple(
                (index, mark)
                for index, segment in segments
                if segment[:1] == ":" and (mark := self.mark(segment[1:]))
            )
            if len(self._marks) >= REMEMBERED:
                self._marks.clear()
            self._marks[template] = marks
        return marks

    def path(self, path: str, template: str = "") -> str:
        """A path, percent-encoded; `template` is that of the route it matched."""
        marks = self._marks.get(template)
        if marks is None:
            marks = self.marks(template)
        if marks:
            segments = path.split("/")
            for index, mark in marks:
                if index < len(segments):
                    segments[index] = mark
            path = "/".join(segments)
        shown = self._paths.get(path)
        return self._by_form(path) if shown is None else shown

    def _by_form(self, path: str) -> str:
        shown = "/".join(map(self._value, path.split("/"))) if "=" in path or _is_suspect(path) else path
        if len(path) <= REMEMBERED_LENGTH:
            if len(self._paths) >= REMEMBERED:
                self._paths.clear()
            self._paths[path] = shown
        return shown

    def query(self, query: str, secrets: Sequence[str] = ()) -> str:
        """A query; `secrets` are the names, decoded, of parameters that hold credentials in any case."""
        if _is_suspect(query):
            pieces = _SEPARATOR.split(query)
            return "".join(piece if piece in "&;" else self._parameter(piece, secrets) for piece in pieces)
        if "=" not in query:
            return query
        mark_of = self.mark

        def mask(parameter: re.Match[str]) -> str:
            name = parameter[1]
            if mark := mark_of(name):
                return f"{name}={mark}"
            return f"{name}={REDACTED}" if secrets and unquote_plus(name) in secrets else parameter[0]

        return PARAMETER.sub(mask, query)

    def _parameter(self, piece: str, secrets: Sequence[str]) -> str:
        name, equals, value = piece.partition("=")
        if not equals:
            return self._value(piece, form=True)
        mark = self.mark(name) or (REDACTED if unquote_plus(name) in secrets else "")
        return f"{self._value(name, form=True)}={mark or self._value(value, form=True)}"

    def target(self, target: str, path: str = "", template: str = "", secrets: Sequence[str] = ()) -> str:
        """Path and query as forwarded, of a call whose own `path` matched the route's `template`.

        A rewrite may have put the values of `:name`s anywhere: each segment that equals a masked one goes.
        """
        forwarded, question, query = target.partition("?")
        marks = self.marks(template)
        if marks:
            own = path.split("/")
            gone = {own[index]: mark for index, mark in marks if index < len(own) and own[index]}
            forwarded = "/".join(gone.get(segment, segment) for segment in forwarded.split("/"))
        masked = self.path(forwarded)
        return f"{masked}?{self.query(query, secrets)}" if question else masked

    def prose(self, text: str) -> str:
        """A message that may quote what somebody sent: `token=…`, `Bearer …` and `cookie: …` go as well."""

        def mask(found: re.Match[str]) -> str:
            return f"{found[1]}={self.mark(found[1]) or self._value(found[2], form=True)}"

        text = _CARRIED.sub(rf"\1\2{REDACTED}", text)
        return self.text(_ASSIGNED.sub(mask, _SHOWN.sub(rf"\1\2{REDACTED}", text)))


def _is_suspect(text: str) -> bool:
    """May there be something to mask by its form? A no is final, and takes a third of a microsecond."""
    return (
        "@" in text
        or "%" in text
        or text.count("=") > text.count("&") + 1  # a value that holds a name and a value of its own
        or (len(text) >= FEWEST and has_many_digits(text))
    )
