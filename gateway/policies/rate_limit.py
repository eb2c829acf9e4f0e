"""So many calls in so much time."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from gateway.policy import PolicyConfig
from gateway.units import RateText

Strategy = Literal["fixed_window", "sliding_window", "token_bucket"]
By = Annotated[str, StringConstraints(pattern=r"^(consumer|client|route|upstream|header:[A-Za-z0-9-]+)$")]


class RateLimitConfig(PolicyConfig):
    """So many calls in so much time."""

    name: ClassVar[str] = "rate_limit"

    rate: RateText
    """Calls per period, like 100/second or 5/10minute."""
    burst: int | None = Field(None, ge=1)
    """Token bucket only: calls that may come at once; the rate's amount where it is not given."""
    by: By = "consumer"
    """What is counted apart: consumer (by address where none is known), client (address; IPv6 by its /64), route,
    upstream (one count for every route to it that has the same rule) or header:NAME."""
    strategy: Strategy | None = None
    """fixed_window (default), sliding_window, or token_bucket (default where burst is given)."""
    on_store_error: Literal["allow", "deny", "local"] = "local"
    """While the shared store is away: let calls pass, refuse them, or count in this worker's memory."""
    scope: Literal["shared", "worker"] = "shared"
    """shared counts in the store named by `state`; worker counts in each worker's memory, whatever `state` says."""
    label: str | None = Field(None, pattern=r"^[ !#-\[\]-~]{1,64}$")
    """The policy's name in the RateLimit headers; the route's (or upstream's) name where it is not given."""

    @model_validator(mode="after")
    def _burst_needs_bucket(self) -> RateLimitConfig:
        if self.burst is not None and self.strategy not in (None, "token_bucket"):
            raise ValueError(f"burst needs strategy: token_bucket, not {self.strategy}; leave one of them out")
        return self
