"""Answers from memory what may be: RFC 9111 as a shared cache, with RFC 5861's stale answers."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.policy import PolicyConfig
from gateway.units import Duration, Size


class CacheKey(BaseModel):
    """What, besides method and target (and the body of a POST), makes two calls the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    headers: tuple[str, ...] | None = None
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
    """`ttl` also replaces what the answer says of its freshness; never `no-store`, `private` or `no-cache`."""
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
    """Largest answer kept, headers included; larger ones pass through."""
    key: CacheKey = CacheKey()
