"""Stops calling an upstream that fails."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from gateway.policy import PolicyConfig
from gateway.units import Duration, Percent


class CircuitBreakerConfig(PolicyConfig):
    """Stops calling an upstream that fails, and probes it after a while."""

    name: ClassVar[str] = "circuit_breaker"

    failures: int | None = Field(5, ge=1)
    """Failures in a row, all within `window`, that open the circuit; null for none of this."""
    window: Duration = 10.0
    """How far back failures and the failure rate are counted."""
    failure_rate: Percent | None = None
    """Share of failed calls within `window` that opens the circuit."""
    minimum_calls: int = Field(20, ge=1)
    """Calls within `window` below which `failure_rate` says nothing."""
    slow_call: Duration | None = None
    """An answer whose head takes at least this long counts as a failure."""
    reset_after: Duration = 30.0
    """How long the circuit stays open before probes may pass."""
    probes: int = Field(1, ge=1)
    """Calls that may pass at once while half-open; so many successes in a row close the circuit."""
    per: Literal["upstream", "target"] = "upstream"
    """One circuit for the upstream, or one for each of its targets."""
    scope: Literal["shared", "worker"] = "shared"
    """Say worker where several workers run: each then judges for itself."""

    @field_validator("failure_rate", "slow_call", "window", "reset_after")
    @classmethod
    def _positive(cls, value: float | None) -> float | None:
        if value == 0:
            raise ValueError("must be more than zero")
        return value
