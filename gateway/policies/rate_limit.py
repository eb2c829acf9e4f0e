"""So many calls in so much time."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from gateway.enforcement.rate_limit import LimitHead, SharedRule, rate_limit_policy
from gateway.exchange import Exchange
from gateway.identity import identifier
from gateway.mistakes import Mistake
from gateway.policy import Policy, PolicyConfig
from gateway.services import Services
from gateway.stores.counters import Limit, Strategy, local_counter
from gateway.units import RateText


def _names_a_header(by: object) -> object:
    """What begins like `header:NAME` was meant as such; all else is for the pattern to judge."""
    if isinstance(by, str) and by.lower().startswith("header") and not re.match("header:[A-Za-z0-9-]+$", by):
        raise Mistake(f"{by!r} names no header", "write header:NAME, like header:x-player")
    return by


By = Annotated[
    str,
    StringConstraints(pattern=r"^(consumer|client|route|upstream|header:[A-Za-z0-9-]+)$"),
    BeforeValidator(_names_a_header),
]


class RateLimitConfig(PolicyConfig):
    """So many calls in so much time."""

    name: ClassVar[str] = "rate_limit"
    shadows_itself: ClassVar[bool] = True  # in shadow the RateLimit headers must not show either

    rate: RateText
    """Calls per period, like 100/second or 5/10minute."""
    burst: int | None = Field(None, ge=1)
    """Token bucket only: calls that may come at once; the rate's amount where it is not given."""
    by: By = "consumer"
    """What is counted apart: consumer (by address where none is known), client (address; of IPv6 its /64),
    route, upstream (one count for every route to it that has the same rule) or header:NAME."""
    strategy: Strategy | None = None
    """fixed_window (default), sliding_window, or token_bucket (default where burst is given)."""
    on_store_error: Literal["allow", "deny", "local"] = "local"
    """While the shared store is away: let calls pass, refuse them, or count in this worker's memory."""
    scope: Literal["shared", "worker"] = "shared"
    """shared counts in the store that `state` names; worker in each worker's memory, whatever `state` is."""
    label: str | None = Field(None, pattern=r"^[ !#-\[\]-~]{1,64}$")
    """The policy's name in the RateLimit headers; the route's (or upstream's) name where it is not given."""

    @model_validator(mode="after")
    def _burst_needs_bucket(self) -> RateLimitConfig:
        if self.burst is not None and self.strategy not in (None, "token_bucket"):
            raise Mistake(f"burst needs strategy: token_bucket, not {self.strategy}", "leave one of them out")
        return self

    @property
    def limit(self) -> Limit:
        """What is counted, with every default made explicit."""
        strategy = self.strategy or ("fixed_window" if self.burst is None else "token_bucket")
        burst = self.rate.amount if self.burst is None else self.burst
        return Limit(self.rate, strategy, burst if strategy == "token_bucket" else 0)

    def describe(self) -> str:
        limit = self.limit
        burst = f", {limit.burst} at once" if limit.burst else ""
        whose = {"route": "on this route", "upstream": "to the upstream, all routes together"}
        return (
            f"limits calls to {limit.rate}{burst} {whose.get(self.by, f'per {self.by}')} ({limit.strategy})"
        )

    def build(self, services: Services) -> Policy:
        limit, route = self.limit, services.route
        # A provider's own quota holds across all routes to it; everything else is the route's.
        owner = f"upstream:{route.upstream}" if self.by == "upstream" else f"route:{route.name}"
        rule = f"{owner}/{self.by}/{limit}"
        counter = services.state.keep(("rate_limit", rule), lambda: local_counter(limit))
        label = _structured(self.label or (route.upstream if self.by == "upstream" else route.name))
        refused = services.metrics.counter(
            "gateway_rate_limited_total", "Calls over a rate limit.", ("route", "by", "mode")
        )
        remote = None
        if self.scope == "shared" and services.stores.counters.shared is not None:
            remote = SharedRule(services, limit, rule, counter, self.on_store_error)
        return rate_limit_policy(
            identify=identifier(self.by),
            counter=counter,
            remote=remote,
            head=LimitHead(label, limit),
            now=services.clock.now,
            refused=refused,
            labels=(route.name, self.by, self.mode),
            rate=limit.rate,
            by=self.by,
            shadow=self.mode == "shadow",
        )

    async def foresee(self, exchange: Exchange, services: Services) -> str:
        del services
        key = identifier(self.by)(exchange)
        if key and self.by.startswith("header:"):  # its value may be a credential
            key = f"its {self.by.removeprefix('header:')}"
        return f"counts this call{f' for {key}' if key else ''} towards {self.limit.rate}"


def _structured(label: str) -> bytes:
    """A name as the inside of a structured-field string (RFC 9651 §3.3.3)."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "_" for c in label).encode()
