"""What a request asks of a cache: under which key, with which headers forwarded, how fresh an answer."""

from __future__ import annotations

from collections.abc import Hashable
from hashlib import sha256
from time import perf_counter_ns

from gateway.caching.answer import Answer
from gateway.caching.freshness import delta, directives
from gateway.exchange import Exchange, Headers
from gateway.stream import Stream

BODY_BYTES = 64 * 1024
"""Largest request body that is keyed."""

UNCACHED = frozenset({b"authorization", b"if-match", b"if-range", b"if-unmodified-since", b"range"})
"""Requests with one of these pass by: their answers are one caller's, or a part of one."""
CONDITIONS = frozenset({b"cache-control", b"if-modified-since", b"if-none-match", b"pragma"})
"""Read by the cache itself and not forwarded: what is fetched has to serve all callers."""
NOISE = frozenset(
    {b"baggage", b"content-length", b"correlation-id", b"date", b"dnt", b"priority", b"purpose", b"referer"}
    | {b"request-id", b"traceparent", b"tracestate", b"user-agent", b"x-amzn-trace-id", b"x-b3-parentspanid"}
    | {b"x-b3-sampled", b"x-b3-spanid", b"x-b3-traceid", b"x-correlation-id", b"x-request-id"}
)
"""Different on every call and without meaning for the answer: neither keyed nor forwarded, unless named."""


class Asked:
    """One request, as the cache sees it."""

    __slots__ = ("control", "if_modified_since", "if_none_match", "kept", "key")

    def __init__(self) -> None:
        self.key: Hashable = None
        self.kept: Headers = []
        """What is forwarded: exactly what is keyed, so that nobody can poison others' answers."""
        self.if_none_match: bytes | None = None
        self.if_modified_since: bytes | None = None
        self.control: dict[str, str] | None = None
        """The request's Cache-Control, where there is one."""

    def accepts(self, answer: Answer, now: float) -> bool:
        """Is the answer fresh enough for this caller (RFC 9111 §5.2.1)?"""
        if not answer.is_fresh(now):
            return False
        control = self.control
        if control is None:
            return True
        if "no-cache" in control:
            return False
        if "max-age" in control and answer.age(now) > delta(control["max-age"]):
            return False
        return "min-fresh" not in control or answer.left(now) >= delta(control["min-fresh"])

    @property
    def insists(self) -> bool:
        """Does the caller say how fresh it wants the answer? Then no stale one will do."""
        control = self.control
        return control is not None and (
            "no-cache" in control or "max-age" in control or "min-fresh" in control
        )

    @property
    def is_conditional(self) -> bool:
        """Might a 304 be all that the caller needs?"""
        return self.if_none_match is not None or self.if_modified_since is not None

    def forwarded(self, held: Answer | None) -> Headers:
        """The headers of a fetch: what is keyed, and the validators of the answer held (RFC 9111 §4.3.1)."""
        headers = list(self.kept)
        if held is not None and held.etag is not None:
            headers.append((b"if-none-match", held.etag))
        if held is not None and held.last_modified is not None:
            headers.append((b"if-modified-since", held.last_modified))
        return headers

    def has(self, directive: str) -> bool:
        """Is this Cache-Control directive there?"""
        return self.control is not None and directive in self.control


def ask(exchange: Exchange, owner: str, keyed: frozenset[bytes] | None, *, by_consumer: bool) -> Asked | None:
    """Read a request (a POST with its body complete); None for one that must pass the cache by.

    `owner` tells routes and configurations apart. `keyed` holds the only headers that count, None for
    all but the noise.
    """
    asked = Asked()
    kept, lines, pragma = asked.kept, [], False
    for item in exchange.headers:
        name = item[0]
        if name in UNCACHED:
            return None
        if name in CONDITIONS:
            if name == b"cache-control":
                lines.append(item[1])
            elif name == b"pragma":
                pragma = pragma or b"no-cache" in item[1].lower()
            elif name == b"if-none-match":
                value = item[1]
                asked.if_none_match = (
                    value if asked.if_none_match is None else asked.if_none_match + b"," + value
                )
            else:
                asked.if_modified_since = item[1]
        elif (name not in NOISE) if keyed is None else (name in keyed):
            kept.append(item)
    if lines:
        asked.control = directives(lines)
    elif pragma:
        asked.control = {"no-cache": ""}
    body = exchange.body
    method = exchange.method
    digest = b""
    if body:
        if isinstance(body, Stream) or method != "POST":  # a GET with a body: origins differ in what it means
            return None
        digest = sha256(body).digest()
    consumer = exchange.consumer.name if by_consumer and exchange.consumer is not None else ""
    asked.key = (
        owner,
        "GET" if method == "HEAD" else method,
        exchange.target,
        exchange.scheme,
        exchange.authority,
        consumer,
        digest,
        *kept,
    )
    return asked


def aside(exchange: Exchange, span_id: str) -> Exchange:
    """The same call once more, for a fetch that outlives it, in a span of its own below the caller's."""
    twin = Exchange(
        method=exchange.method,
        path=exchange.path,
        query=exchange.query,
        headers=list(exchange.headers),
        body=exchange.body,
        scheme=exchange.scheme,
        authority=exchange.authority,
        http_version=exchange.http_version,
        client=exchange.client,
        peer=exchange.peer,
        received_ns=perf_counter_ns(),
    )
    for name in (
        "trace_id",
        "tracestate",
        "sampled",
        "route",
        "params",
        "consumer",
        "target",
    ):
        setattr(twin, name, getattr(exchange, name))
    twin.span_id, twin.parent_id = span_id, exchange.span_id
    return twin
