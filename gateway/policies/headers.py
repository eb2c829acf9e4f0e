"""Headers set, added, removed and renamed on the way in and out."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from gateway.exchange import Exchange, Headers, Response
from gateway.mistakes import Mistake
from gateway.policy import Forward, Policy, PolicyConfig
from gateway.units import PrivateText

if TYPE_CHECKING:
    from gateway.services import Services

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 §5.6.2."""
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
    }
    | {"transfer-encoding", "upgrade"}
)
_FRAMING = frozenset({"content-length", "expect", "host"})
_FORWARDING = frozenset({"forwarded", "via", "x-real-ip", "traceparent", "tracestate"})

Value = Callable[[Exchange], bytes]

_VARIABLES: dict[str, Value] = {
    "trace_id": lambda exchange: exchange.trace_id.encode(),
    "consumer": lambda exchange: exchange.consumer.name.encode() if exchange.consumer else b"",
    "client": lambda exchange: exchange.client.encode(),
    "route": lambda exchange: exchange.route.name.encode() if exchange.route else b"",
}


def _header_name(name: str) -> str:
    lower = name.lower()
    if not _TOKEN.fullmatch(name):
        raise Mistake(f"{name!r} is not a header name", "use letters, digits and -")
    if lower in _HOP_BY_HOP:
        raise Mistake(f"{name} belongs to one connection and is never forwarded", "leave it out")
    if lower in _FRAMING:
        raise Mistake(
            f"{name} frames or addresses the message, which the gateway does itself", "leave it out"
        )
    if lower in _FORWARDING or lower.startswith("x-forwarded-"):
        raise Mistake(
            f"{name} is written by the gateway itself, last, so that it can be trusted", "leave it out"
        )
    return lower


def _header_value(text: str) -> str:
    if any((char < " " and char != "\t") or char == "\x7f" for char in text):
        raise Mistake("a header value holds no line breaks or control characters", "remove them")
    if any(char > "\xff" for char in text):
        raise Mistake("a header value holds Latin-1 characters only", "percent-encode the others")
    _pieces(text)
    return PrivateText(text.strip(" \t"))


def _pieces(text: str) -> list[bytes | Value]:
    """Constants and variables, in order."""
    pieces: list[bytes | Value] = []
    constant, end = "", 0
    for match in _PIECE.finditer(text):
        constant += text[end : match.start()]
        end = match.end()
        if match[0] in ("{{", "}}"):
            constant += match[0][0]
        elif match[1] in _VARIABLES:
            pieces += [constant.encode("latin-1"), _VARIABLES[match[1]]]
            constant = ""
        else:
            known = ", ".join(f"{{{name}}}" for name in _VARIABLES)
            raise Mistake(f"{match[0]} is not known", f"use {known}, or {{{{ and }}}} for braces")
    pieces.append((constant + text[end:]).encode("latin-1"))
    return [piece for piece in pieces if piece != b""]


def _value(text: str) -> bytes | Value:
    """The header's value where it is constant, else what computes it."""
    pieces = _pieces(text)
    if not pieces:
        return b""
    if len(pieces) == 1:
        return pieces[0]
    return lambda exchange: b"".join(
        piece if isinstance(piece, bytes) else piece(exchange) for piece in pieces
    )


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]


class HeaderEdits(BaseModel):
    """Edits of one message's headers, done in this order: remove, rename, set, add.

    Values may hold `{trace_id}`, `{consumer}`, `{client}` and `{route}`; `{{` and `}}` are braces.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    remove: tuple[HeaderName, ...] = ()
    rename: dict[HeaderName, HeaderName] = {}
    """Old name to new name; where the old one is there, it replaces the new one."""
    set: dict[HeaderName, HeaderValue] = {}
    """Leaves exactly this one value."""
    add: dict[HeaderName, HeaderValue] = {}
    """One value more, beside those that are there."""

    @model_validator(mode="after")
    def _is_one_plan(self) -> HeaderEdits:
        for name in self.remove:
            if name in self.set or name in self.add or name in self.rename:
                raise Mistake(f"{name} is removed and edited", "say one of the two")
        return self

    def clauses(self) -> list[str]:
        """What is done, by names alone: values may be secret."""
        renames = ", ".join(f"{old} to {new}" for old, new in self.rename.items())
        parts = (
            ("removes", ", ".join(self.remove)),
            ("renames", renames),
            ("sets", ", ".join(self.set)),
            ("adds", ", ".join(self.add)),
        )
        return [f"{verb} {names}" for verb, names in parts if names]


class _Edits:
    """Edits of one message, ready to apply."""

    __slots__ = ("dropped", "rename", "values")

    def __init__(self, edits: HeaderEdits) -> None:
        self.dropped = frozenset(name.encode() for name in (*edits.remove, *edits.set))
        self.rename = {old.encode(): new.encode() for old, new in edits.rename.items()}
        self.values = [
            (name.encode(), _value(text)) for name, text in (*edits.set.items(), *edits.add.items())
        ]

    def __bool__(self) -> bool:
        return bool(self.dropped or self.rename or self.values)

    def apply(self, headers: Headers, exchange: Exchange) -> Headers:
        dropped = self.dropped
        if self.rename:
            headers = self._renamed(headers)
        edited = [item for item in headers if item[0] not in dropped]
        for name, value in self.values:
            edited.append((name, value if isinstance(value, bytes) else value(exchange)))
        return edited

    def _renamed(self, headers: Headers) -> Headers:
        """A caller must not be able to send the new name beside the renamed one, so that one goes."""
        rename = self.rename
        replaced = {rename[name] for name, _ in headers if name in rename}
        return [
            (rename.get(name, name), value)
            for name, value in headers
            if name in rename or name not in replaced
        ]


class HeadersConfig(PolicyConfig):
    """Headers set, added, removed and renamed on the way in (`request`) and out (`response`)."""

    name: ClassVar[str] = "headers"
    shadows_itself: ClassVar[bool] = True

    request: HeaderEdits = HeaderEdits()
    response: HeaderEdits = HeaderEdits()

    @model_validator(mode="after")
    def _has_an_effect(self) -> HeadersConfig:
        if not self.request.clauses() and not self.response.clauses():
            mend = "remove, rename, set or add something on the request or the response"
            raise Mistake("headers edits nothing", mend)
        if "date" in self.response.remove:
            at = ("response", "remove", self.response.remove.index("date"))
            raise Mistake(
                "every answer has a Date: without the provider's, the gateway writes its own",
                "leave it out",
                at=at,
            )
        return self

    def describe(self) -> str:
        clauses = [f"{clause} on the request" for clause in self.request.clauses()]
        clauses += [f"{clause} on the answer" for clause in self.response.clauses()]
        return ", ".join(clauses)

    def build(self, services: Services) -> Policy:
        del services
        request, response_edits = _Edits(self.request), _Edits(self.response)

        def headers(exchange: Exchange, forward: Forward) -> Awaitable[Response]:
            if request:
                exchange.headers = request.apply(exchange.headers, exchange)
            return answered(exchange, forward) if response_edits else forward(exchange)

        async def answered(exchange: Exchange, forward: Forward) -> Response:
            response = await forward(exchange)
            response.headers = response_edits.apply(response.headers, exchange)
            return response

        async def shadow(exchange: Exchange, forward: Forward) -> Response:
            if request and request.apply(exchange.headers, exchange) != exchange.headers:
                exchange.decide("headers", "would_edit", "request")
            response = await forward(exchange)
            if response_edits and response_edits.apply(response.headers, exchange) != response.headers:
                exchange.decide("headers", "would_edit", "response")
            return response

        return shadow if self.mode == "shadow" else headers

    async def foresee(self, exchange: Exchange, services: Services) -> str:
        del services
        edits = _Edits(self.request)
        if self.mode == "enforce":
            exchange.headers = edits.apply(exchange.headers, exchange)
        return f"{self.describe()}, then passes it on"
