"""Answers from memory what may be: RFC 9111 as a shared cache, with RFC 5861's stale answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from gateway.caching.answer import Answer, not_modified, to_not_modified
from gateway.caching.landing import Landing, Live
from gateway.caching.origin import Fetch, Origin, Rules, tell, why_not_kept
from gateway.caching.request import BODY_BYTES, CONDITIONS, UNCACHED, Asked, aside, ask
from gateway.caching.shelf import Shelf
from gateway.errors import Refused, UpstreamError
from gateway.exchange import Exchange, Outcome, Response
from gateway.mistakes import Mistake
from gateway.policy import Forward, Policy, PolicyConfig
from gateway.stores.answers import AnswerMemory
from gateway.stream import Stream
from gateway.units import Duration, Size, format_duration, format_size

if TYPE_CHECKING:
    from gateway.services import Services

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_PAUSE_SECONDS = 1.0
"""After a failed background refresh, the next one waits so long."""
_RESULTS = ("hit", "stale", "miss", "revalidated", "bypass", "collapsed", "refreshed", "refresh_failed")


def _keyed(name: str) -> str:
    lower = name.lower()
    if lower.encode() in UNCACHED | CONDITIONS:
        raise Mistake(f"{name} cannot be keyed, because the cache acts on it itself", "leave it out")
    if lower == "host":
        raise Mistake("host is always keyed", "leave it out")
    return lower


class CacheKey(BaseModel):
    """What, besides method and target (and the body of a POST), makes two calls the same."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    headers: tuple[Annotated[str, AfterValidator(_keyed)], ...] | None = None
    """The request headers that are keyed, and so forwarded; left out, all of them but those that differ
    from call to call without meaning anything to the provider (`user-agent`, `x-request-id`, ...)."""
    consumer: bool = False
    """Keep the answers of each consumer apart."""


class CacheConfig(PolicyConfig):
    """Answers kept in memory and given again while they are fresh (RFC 9111, as a shared cache)."""

    name: ClassVar[str] = "cache"
    shadows_itself: ClassVar[bool] = True

    ttl: Duration = Field(default=60.0, ge=0)
    """How long an answer that says nothing about it stays fresh."""
    override: bool = False
    """`ttl` also replaces what the answer says of its freshness; not `no-store`, `private`, `no-cache`."""
    methods: tuple[Literal["GET", "POST"], ...] = Field(default=("GET",), min_length=1)
    """Methods whose answers are kept. POST is for lists that are asked for by POST: keyed by the body too."""
    tags: tuple[str, ...] = ()
    """Names under which the answers can be purged together."""
    stale_while_revalidate: Duration = Field(default=0.0, ge=0)
    """How long a stale answer is still given at once, while a newer one is fetched in the background."""
    stale_if_error: Duration = Field(default=0.0, ge=0)
    """How long a stale answer stands in for a failed call."""
    max_bytes: Size | None = Field(default=None, gt=0)
    """Most memory this route's answers take; left out, all that the worker's cache has."""
    max_entry: Size = Field(default=1 << 20, gt=0)
    """Largest answer kept; larger ones pass through. None is larger than `max_bytes`."""
    key: CacheKey = CacheKey()

    @model_validator(mode="after")
    def _largest_fits(self) -> CacheConfig:
        if (
            self.max_bytes is not None
            and "max_entry" in self.model_fields_set
            and self.max_entry > self.max_bytes
        ):
            entry, room = format_size(self.max_entry), format_size(self.max_bytes)
            raise Mistake(
                f"an answer of {entry} does not fit into {room}",
                "raise max_bytes, or lower max_entry",
                at=("max_entry",),
            )
        return self

    def describe(self) -> str:
        text = f"keeps answers to {' and '.join(self.methods)} for {format_duration(self.ttl)}"
        text += " whatever they say" if self.override else " unless they say how long"
        if self.stale_while_revalidate:
            span = format_duration(self.stale_while_revalidate)
            text += f", gives stale ones for {span} while it fetches newer ones"
        if self.stale_if_error:
            text += f", and for {format_duration(self.stale_if_error)} when the call fails"
        return text

    def build(self, services: Services) -> Policy:
        cache = _Cache(self, services)
        return cache.shadow if self.mode == "shadow" else cache.answer

    async def foresee(self, exchange: Exchange, services: Services) -> str:
        cache = _Cache(self, services)
        asked = await cache.read(exchange)
        if asked is None:
            return "passes it by: this call's answers are not kept"
        answer, now = services.stores.answers.peek(asked.key), services.clock.time()
        if answer is None:
            return "answers from memory what it holds by then, else passes it on and may keep the answer"
        if asked.accepts(answer, now):
            return f"would answer from memory: fresh for another {answer.left(now):.0f}s"
        return (
            f"holds a stale answer, {answer.age(now):.0f}s old, so asks the provider whether it still holds"
        )


class _Cache:
    """The cache of one route."""

    def __init__(self, config: CacheConfig, services: Services) -> None:
        route, stores = services.route, services.stores
        self.config, self.clock, self.background = config, services.clock, services.background
        self.random, self.record_background = services.random, services.record_background
        # Answers kept under another configuration are not this one's.
        self.owner = f"{route.name} {route.upstream} {config.model_dump_json()}"
        self.memory: AnswerMemory[Answer] = stores.answers
        self.shelf = Shelf(
            stores.answers,
            stores.bytes,
            services.clock.time,
            route=route.name,
            upstream=route.upstream,
            tags=config.tags,
            share=config.max_bytes,
        )
        live = services.state.keep(("cache", self.owner), Live)
        self.flights, self.uncacheable = live.flights, live.uncacheable
        # What streams must not be gathered first, so a streaming route keeps nothing.
        largest = -1 if route.stream else config.max_entry
        windows = (config.stale_while_revalidate, config.stale_if_error)
        rules = Rules(config.ttl, config.override, *windows, largest)
        self.origin = Origin(rules, self.shelf, live.uncacheable, services.clock.time)
        self.reads = frozenset(config.methods) | ({"HEAD"} if "GET" in config.methods else frozenset())
        headers = config.key.headers
        self.keyed = None if headers is None else frozenset(name.encode() for name in headers)
        self.counter = services.metrics.counter(
            "gateway_cache_total", "Calls by what the cache made of them", ("route", "result")
        )
        self.labels = {result: (route.name, result) for result in _RESULTS}
        services.metrics.gauge("gateway_cache_bytes", "Bytes of cached answers in memory").watch(
            lambda: stores.answers.bytes
        )

    async def answer(self, exchange: Exchange, forward: Forward) -> Response:
        """There are five cases: not ours, fresh, stale but good for now, not to be fetched, to be fetched."""
        if exchange.method not in self.reads:
            return await self.pass_unread(exchange, forward)
        asked = await self.read(exchange)
        if asked is None or asked.has("no-store"):
            return await self.pass_by(exchange, forward, "bypass")
        now = self.clock.time()
        held = self.memory.get(asked.key)
        if held is not None:
            if asked.accepts(held, now):
                return self.give(exchange, asked, held.response(now, held.told_hit(now)), "hit")
            if not asked.insists and held.may_be_stale(now, held.fresh.stale_while_revalidate):
                self.refresh_later(exchange, forward, asked, held, now)
                return self.give(exchange, asked, held.response(now, held.told_hit(now)), "stale")
        if asked.has("only-if-cached"):
            exchange.cache_status = "miss"
            raise Refused("UPSTREAM_TIMEOUT", "only-if-cached: no fresh answer is held")  # RFC 9111 §5.2.1.7
        if exchange.method == "HEAD":
            return await self.pass_by(exchange, forward, "method")
        if self.uncacheable.has(asked.key, now):
            return await self.pass_by(exchange, forward, "miss")
        return await self.fetched(exchange, forward, asked, held)

    async def shadow(self, exchange: Exchange, forward: Forward) -> Response:
        """Say what would have been answered from memory; keep heads alone, and leave the call as it is."""
        asked = await self.read(exchange)
        if asked is None or asked.has("no-store"):
            return await forward(exchange)
        requested = self.clock.time()
        held = self.memory.get(asked.key)
        if held is not None and asked.accepts(held, requested):
            exchange.decide("cache", "would_hit")
            return await forward(exchange)
        response = await forward(exchange)
        if exchange.method != "HEAD" and not why_not_kept(response, response.status, response.headers):
            answer = self.origin.made(response.status, response.headers, b"", requested)
            if answer.is_fresh(answer.received):
                self.shelf.put(asked.key, exchange.target, answer, stale_seconds=0.0)
        return response

    async def read(self, exchange: Exchange) -> Asked | None:
        """What the call asks for; None where it passes the cache by."""
        if exchange.upgrade or exchange.method not in self.reads:
            return None
        if exchange.method == "POST" and isinstance(exchange.body, Stream):
            await exchange.buffer_body(BODY_BYTES)
        return ask(exchange, self.owner, self.keyed, by_consumer=self.config.key.consumer)

    async def pass_by(self, exchange: Exchange, forward: Forward, why: str) -> Response:
        """Forward the call as it came; its answer is not kept."""
        exchange.cache_status = "bypass"
        self.counter.add(self.labels["bypass"])
        response = await forward(exchange)
        tell(response, b"gateway; fwd=" + why.encode())
        return response

    async def pass_unread(self, exchange: Exchange, forward: Forward) -> Response:
        """A method whose answers are not kept; but it may have changed what is kept."""
        response = await self.pass_by(exchange, forward, "method")
        if exchange.method not in _SAFE_METHODS and response.status < 400:
            self.shelf.changed(exchange.target)
        return response

    def give(self, exchange: Exchange, asked: Asked, response: Response, result: str) -> Response:
        """An answer on its way to this caller, as 304 where the caller has it already."""
        exchange.cache_status = result
        self.counter.add(self.labels[result])
        exchange.decide("cache", result)
        if asked.is_conditional and not_modified(response, asked.if_none_match, asked.if_modified_since):
            to_not_modified(response)
        return response

    async def fetched(
        self, exchange: Exchange, forward: Forward, asked: Asked, held: Answer | None
    ) -> Response:
        """An answer from the origin, fetched by this call or by one that asked for the same before it."""
        self.origin.offer(exchange, held)
        exchange.cache_status = "miss"

        async def fetch() -> Landing:
            return await self.origin.fetch(Fetch(exchange, asked, held), forward)

        if asked.insists:  # what somebody else is fetching already may be older than this caller wants it
            landing, led = await fetch(), True
        else:
            landing, led = await self.flights.run(asked.key, fetch)
        if led:
            if landing.own is None:
                assert landing.refusal is not None
                raise landing.refusal
            return self.give(exchange, asked, landing.own, landing.result)
        told = b"gateway; fwd=miss; collapsed"
        if landing.answer is not None:
            return self.give(exchange, asked, landing.answer.response(self.clock.time(), told), "collapsed")
        if landing.failure is not None:
            response = landing.failure.response(exchange)
            tell(response, told)
            return self.give(exchange, asked, response, "collapsed")
        return await self.pass_by(exchange, forward, "miss")

    def refresh_later(
        self, exchange: Exchange, forward: Forward, asked: Asked, held: Answer, now: float
    ) -> None:
        """Fetch a newer answer beside the call, unless somebody does already or has just failed to."""
        if asked.key in self.flights or now < held.retry_at:
            return
        held.retry_at = now + _PAUSE_SECONDS
        twin = aside(exchange, f"{self.random.getrandbits(64) or 1:016x}")
        self.background(self.refresh(twin, forward, asked, held))

    async def refresh(self, exchange: Exchange, forward: Forward, asked: Asked, held: Answer) -> None:
        """A fetch that no caller waits for."""

        async def fetch() -> Landing:
            return await self.origin.fetch(Fetch(exchange, asked, held), forward)

        try:
            landing, led = await self.flights.run(asked.key, fetch)
        except (UpstreamError, Refused):
            landing, led = None, True
        finally:
            if exchange.attempts:
                self.record_background(exchange)
        if led:
            done = landing is not None and landing.answer is not None and landing.answer is not held
            if not done:
                held.retry_at = self.clock.time() + _PAUSE_SECONDS
            self.counter.add(self.labels["refreshed" if done else "refresh_failed"])
        if led and landing is not None and landing.own is not None:
            if isinstance(landing.own.body, Stream):
                landing.own.discard()
            landing.own.finish(Outcome.COMPLETE)
