"""A stored answer, and its form in bytes for a store that several workers share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import floor

from gateway.caching.freshness import Freshness, http_date
from gateway.exchange import Headers, Response
from gateway.stream import Stream

_VERSION = b"\x01"
_OVERHEAD_BYTES = 1024
"""What Python's objects around a stored answer take, roughly: measured 0.9 KiB with ten headers."""

_NOT_STORED = frozenset(
    {
        b"age",
        b"cache-status",
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-authenticate",
        b"set-cookie",
    }
    | {b"ratelimit", b"ratelimit-policy", b"retry-after", b"server-timing", b"trailer", b"transfer-encoding"}
    | {b"traceparent", b"tracestate", b"upgrade"}
)
"""Headers that are about one call or connection, not about the answer (RFC 9111 §3.1)."""
_KEPT_BY_304 = frozenset({b"content-encoding", b"content-range", b"content-type"})
"""What describes the stored body stays as it is when a 304 brings newer headers (§3.2)."""
_IN_A_304 = frozenset({b"cache-control", b"content-location", b"date", b"etag", b"expires", b"vary"})


class Answer:
    """A stored answer. Times are Unix seconds."""

    __slots__ = (
        "body", "etag", "fresh", "headers", "last_modified", "received", "retry_at", "route", "share", "size",
        "status", "tags",
    )  # fmt: skip

    def __init__(
        self,
        status: int,
        headers: Headers,
        body: bytes,
        *,
        received: float,
        fresh: Freshness,
        tags: Sequence[str],
    ) -> None:
        self.status = status
        self.headers: Headers = [item for item in headers if item[0] not in _NOT_STORED]
        self.body = body
        self.received = received
        self.fresh = fresh
        self.tags = tuple(tags)
        """What it can be purged by; the first one names its route."""
        self.retry_at = 0.0
        """No background refresh before then: the last one failed."""
        self.share: int | None = None
        """Most bytes all answers of its route may take."""
        self.etag = self.header(b"etag")
        self.last_modified = self.header(b"last-modified")
        self.size = len(body) + _OVERHEAD_BYTES + sum(len(n) + len(v) for n, v in self.headers)

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header; None without one."""
        return next((value for key, value in self.headers if key == name), None)

    def age(self, now: float) -> float:
        """Seconds since the origin made it (§4.2.3)."""
        return self.fresh.initial_age + max(0.0, now - self.received)

    def left(self, now: float) -> float:
        """Seconds it stays fresh; negative for how long it has been stale."""
        return self.fresh.lifetime - self.age(now)

    def is_fresh(self, now: float) -> bool:
        """May it be given without asking the origin?"""
        return not self.fresh.validate and self.left(now) > 0

    def may_be_stale(self, now: float, seconds: float) -> bool:
        """May it be given though it went stale, if that is not longer ago than `seconds`?"""
        return not self.fresh.strict and self.left(now) > -seconds

    def response(self, now: float, told: bytes) -> Response:
        """A `Response` of its own for one caller; `told` is our member of Cache-Status (RFC 9211)."""
        return Response(
            self.status, [*self.headers, (b"age", b"%d" % self.age(now)), (b"cache-status", told)], self.body
        )

    def told_hit(self, now: float) -> bytes:
        """Cache-Status of an answer from memory, fresh or not."""
        return b"gateway; hit; ttl=%d" % floor(self.left(now))

    def encode(self) -> bytes:
        """Version, length of the head, head as JSON, body."""
        head = json.dumps(
            {
                "status": self.status,
                "headers": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in self.headers],
                "received": self.received,
                "fresh": list(self.fresh),
                "tags": self.tags,
            },
            separators=(",", ":"),
        ).encode()
        return _VERSION + len(head).to_bytes(4, "big") + head + self.body

    @classmethod
    def decode(cls, data: bytes) -> Answer | None:
        """What `encode` wrote; None for anything else, such as another version's bytes."""
        if data[:1] != _VERSION:
            return None
        end = 5 + int.from_bytes(data[1:5], "big")
        try:
            head = json.loads(data[5:end])
            return cls(
                int(head["status"]),
                [(n.encode("latin-1"), v.encode("latin-1")) for n, v in head["headers"]],
                data[end:],
                received=float(head["received"]),
                fresh=Freshness(*head["fresh"]),
                tags=head["tags"],
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def __repr__(self) -> str:
        return f"<Answer {self.status}, {self.size} bytes, fresh for {self.fresh.lifetime:g}s>"


def merged(stored: Headers, newer: Headers) -> Headers:
    """Stored headers with those of a 304 in the place of their namesakes; the old date goes anyway (§3.2)."""
    news = [item for item in newer if item[0] not in _KEPT_BY_304]
    names = {b"date", *(name for name, _ in news)}
    return [item for item in stored if item[0] not in names] + news


def matches(if_none_match: bytes, etag: bytes | None) -> bool:
    """Weak comparison (RFC 9110 §8.8.3.2) with one of the listed tags, or `*`."""
    if if_none_match.strip() == b"*":
        return True
    if etag is None:
        return False
    opaque = etag.removeprefix(b"W/")
    return any(tag.strip().removeprefix(b"W/") == opaque for tag in if_none_match.split(b","))


def not_modified(response: Response, if_none_match: bytes | None, if_modified_since: bytes | None) -> bool:
    """Does the caller already have it (RFC 9110 §13.1.2, §13.1.3)? A tag, where given, decides alone."""
    if response.status != 200:
        return False
    if if_none_match is not None:
        return matches(if_none_match, response.header(b"etag"))
    since, modified = http_date(if_modified_since), http_date(response.header(b"last-modified"))
    return since is not None and modified is not None and modified <= since


def to_not_modified(response: Response) -> None:
    """Make the answer a 304 (RFC 9110 §15.4.5): the caller has the body."""
    if isinstance(response.body, Stream):
        response.body.close()
    kept = _IN_A_304 | {b"age", b"cache-status"}
    response.status, response.body = 304, b""
    response.headers = [item for item in response.headers if item[0] in kept]
