"""Fetching: asking the origin, and what its answer means for what is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.caching.answer import Answer, matches, merged
from gateway.caching.freshness import freshness, why_not_stored
from gateway.caching.landing import Failure, Landing, Uncacheable
from gateway.caching.request import Asked
from gateway.caching.shelf import Shelf
from gateway.errors import Refused, UpstreamError
from gateway.exchange import Exchange, Headers, Outcome, Response

FAILURES = frozenset({"CIRCUIT_OPEN", "BUSY"})
"""Refusals from further in that are about the upstream. All others are about one caller."""
FAILURE_BYTES = 64 * 1024
"""Largest failed answer that all who waited for it are given."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a route says about its answers; spans in seconds, sizes in bytes."""

    ttl: float
    override: bool
    stale_while_revalidate: float
    stale_if_error: float
    max_entry: int


class Fetch:
    """One question to the origin."""

    __slots__ = ("asked", "exchange", "held", "purges", "requested")

    def __init__(self, exchange: Exchange, asked: Asked, held: Answer | None) -> None:
        self.exchange, self.asked, self.held = exchange, asked, held
        self.requested = 0.0
        """Unix seconds."""
        self.purges = 0
        """How many there had been when it was asked."""

    def told(self) -> bytes:
        """Cache-Status, so far (RFC 9211 §2.2)."""
        if self.asked.insists:
            return b"gateway; fwd=request"
        return b"gateway; fwd=uri-miss" if self.held is None else b"gateway; fwd=stale"


class Origin:
    """What is behind the cache of one route."""

    def __init__(
        self, rules: Rules, shelf: Shelf, uncacheable: Uncacheable, time: Callable[[], float]
    ) -> None:
        self.rules, self.shelf, self.uncacheable, self.time = rules, shelf, uncacheable, time

    async def fetch(self, fetch: Fetch, forward: Callable[[Exchange], Awaitable[Response]]) -> Landing:
        """Ask, with validators where an answer is held; keep what may be kept."""
        exchange, asked = fetch.exchange, fetch.asked
        fetch.purges = self.shelf.purges()
        if fetch.held is None and self.shelf.store.shared and not asked.insists:
            held = fetch.held = await self.shelf.load(asked.key, exchange.target)
            if held is not None:
                now = self.time()
                if asked.accepts(held, now):
                    return Landing(held.response(now, held.told_hit(now)), "hit", answer=held)
                self.offer(exchange, held)
        headers, response = exchange.headers, None
        fetch.requested = self.time()
        exchange.headers = asked.forwarded(fetch.held)
        try:
            response = await forward(exchange)
            return await self.land(fetch, response)
        except (UpstreamError, Refused) as error:
            if response is not None:  # it broke off in the middle of the body
                response.finish(Outcome.FAILED)
            if isinstance(error, Refused) and error.code not in FAILURES:
                return Landing(None, "miss", refusal=error)  # such as the leader's own limit: nobody else's
            stale = self.instead(fetch, error.code)
            if stale is None:
                raise
            return stale
        except BaseException:
            if response is not None:
                response.discard()
            raise
        finally:
            exchange.headers = headers

    def offer(self, exchange: Exchange, held: Answer | None) -> None:
        """Hold a stale answer ready for a fallback outside, should this call fail."""
        now = self.time()
        if held is not None and exchange.stale_seconds and held.may_be_stale(now, exchange.stale_seconds):
            exchange.stale = held.response(now, held.told_hit(now))

    async def land(self, fetch: Fetch, response: Response) -> Landing:
        """What the answer means. There are four cases: still valid, failed, not to be kept, kept."""
        if response.status == 304 and fetch.held is not None:
            return self.revalidated(fetch, fetch.held, response)
        if response.kind == "temporary":
            stale = self.instead(fetch, str(response.status), response)
            if stale is not None:
                return stale
            tell(response, fetch.told())
            body = (
                None if why_not_stored(200, response.headers) else await response.buffer_body(FAILURE_BYTES)
            )
            failure = None if body is None else Failure(response, body, fetch.exchange.native)
            return Landing(response, "miss", failure=failure)
        body = None
        if not why_not_kept(response, response.status, response.headers) and not self.is_too_large(response):
            body = await response.buffer_body(self.rules.max_entry)
        if body is None:
            self.give_up(fetch)
            tell(response, fetch.told())
            return Landing(response, "miss")
        answer = self.made(response.status, response.headers, body, fetch.requested)
        response.headers = [item for item in response.headers if item[0] != b"content-length"]
        kept = self.keep(fetch, answer)
        tell(response, fetch.told() + b"; stored" if kept else fetch.told())
        return Landing(response, "miss", answer=answer if kept else None)

    def revalidated(self, fetch: Fetch, held: Answer, response: Response) -> Landing:
        """Still valid: it gets the newer headers, the 304 its status and body (RFC 9111 §4.3.4)."""
        headers = merged(held.headers, response.headers)
        answer = self.made(held.status, headers, held.body, fetch.requested)
        etag = response.header(b"etag")
        same = etag is None or matches(etag, held.etag)
        kept = same and not why_not_kept(response, held.status, headers) and self.keep(fetch, answer)
        if not kept:
            self.shelf.memory.drop(fetch.asked.key)
        told = b"gateway; fwd=stale; fwd-status=304" + (b"; stored" if kept else b"")
        given = answer.response(answer.received, told)
        response.status, response.headers, response.body = given.status, given.headers, given.body
        return Landing(response, "revalidated", answer=answer if kept else None)

    def instead(self, fetch: Fetch, reason: str, response: Response | None = None) -> Landing | None:
        """The stale answer that stands in for a failed call (RFC 5861 §4); None where none may."""
        held, now = fetch.held, self.time()
        if (
            held is None
            or not held.fresh.stale_if_error
            or not held.may_be_stale(now, held.fresh.stale_if_error)
        ):
            return None
        told = b"gateway; fwd=stale; detail=stale-if-error"
        if response is not None:
            told = b"gateway; fwd=stale; fwd-status=%d; detail=stale-if-error" % response.status
            response.discard()
        fetch.exchange.decide("cache", "stale_if_error", reason)
        fetch.exchange.code, fetch.exchange.native = "", None
        return Landing(held.response(now, told), "stale", answer=held)

    def made(self, status: int, headers: Headers, body: bytes, requested: float) -> Answer:
        """An answer received just now."""
        rules, received = self.rules, self.time()
        fresh = freshness(
            headers,
            requested=requested,
            received=received,
            ttl=rules.ttl,
            override=rules.override,
            stale_while_revalidate=rules.stale_while_revalidate,
            stale_if_error=rules.stale_if_error,
        )
        return Answer(status, headers, body, received=received, fresh=fresh, tags=self.shelf.tags)

    def keep(self, fetch: Fetch, answer: Answer) -> bool:
        """Keep an answer that can be of use, unless a purge came between."""
        fresh, stale_seconds = answer.fresh, fetch.exchange.stale_seconds
        longest = max(fresh.stale_while_revalidate, fresh.stale_if_error, stale_seconds)
        useful = answer.is_fresh(answer.received) or answer.may_be_stale(answer.received, longest)
        if not (useful or answer.etag or answer.last_modified):
            self.give_up(fetch)
            return False
        if self.shelf.purges() != fetch.purges:
            return False
        return self.shelf.put(fetch.asked.key, fetch.exchange.target, answer, stale_seconds=stale_seconds)

    def give_up(self, fetch: Fetch) -> None:
        """Nothing of this can be kept: for a while nobody need wait for it, or be given what it replaced."""
        self.shelf.memory.drop(fetch.asked.key)
        self.uncacheable.add(fetch.asked.key, self.time())

    def is_too_large(self, response: Response) -> bool:
        """Is it known from the head that the body cannot be kept? Event streams never end."""
        length = response.header(b"content-length") or b"0"
        if len(length) > 15 or int(length) > self.rules.max_entry:
            return True
        return (response.header(b"content-type") or b"").startswith(b"text/event-stream")


def tell(response: Response, told: bytes) -> None:
    """Add our member to Cache-Status (RFC 9211 §2), nearest to the caller last."""
    before = response.header(b"cache-status")
    response.set_header(b"cache-status", told if before is None else before + b", " + told)


def why_not_kept(response: Response, status: int, headers: Headers) -> str:
    """Why an answer with this status and these headers is not kept; empty where it may be."""
    if response.code or response.kind in ("business", "temporary") or response.tunnel is not None:
        return "error"
    return why_not_stored(status, headers)
