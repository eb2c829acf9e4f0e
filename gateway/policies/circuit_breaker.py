"""Stops calling an upstream that fails."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from gateway.circuit import Circuits, CircuitSettings
from gateway.enforcement.circuit_breaker import PerTarget, PerUpstream
from gateway.exchange import Exchange
from gateway.mistakes import Mistake
from gateway.policy import Policy, PolicyConfig
from gateway.services import Services
from gateway.units import Duration, Percent, format_duration


class CircuitBreakerConfig(PolicyConfig):
    """Stops calling an upstream that fails, and probes it after a while."""

    name: ClassVar[str] = "circuit_breaker"
    shadows_itself: ClassVar[bool] = True  # in shadow no target may be vetoed either

    failures: int | None = Field(5, ge=1)
    """Failures in a row, all within `window`, that open the circuit; null for none of this."""
    window: Duration = Field(10.0, gt=0)
    """How far back failures and the failure rate are counted."""
    failure_rate: Percent | None = Field(None, gt=0)
    """Share of failed calls within `window` that opens the circuit."""
    minimum_calls: int = Field(20, ge=1)
    """Calls within `window` below which `failure_rate` says nothing."""
    slow_call: Duration | None = Field(None, gt=0)
    """An answer whose head takes at least this long counts as a failure."""
    reset_after: Duration = Field(30.0, gt=0)
    """How long the circuit stays open before probes may pass."""
    probes: int = Field(1, ge=1)
    """Calls that may pass at once while half-open; so many successes in a row close the circuit."""
    per: Literal["upstream", "target"] = "upstream"
    """One circuit for the upstream, or one for each of its targets."""
    scope: Literal["shared", "worker"] = "shared"
    """Each worker judges for itself either way; with several workers and no shared store, say worker."""

    @model_validator(mode="after")
    def _some_sign(self) -> CircuitBreakerConfig:
        if self.failures is None and self.failure_rate is None:
            raise Mistake("this circuit would never open", "give failures, failure_rate or both")
        return self

    def describe(self) -> str:
        window = format_duration(self.window)
        signs = [] if self.failures is None else [f"{self.failures} failures in a row within {window}"]
        if self.failure_rate is not None:
            signs.append(
                f"{self.failure_rate * 100:g}% of {self.minimum_calls} or more calls failed in {window}"
            )
        slow = (
            ""
            if self.slow_call is None
            else f", counting answers after {format_duration(self.slow_call)} as failures"
        )
        what = "the upstream" if self.per == "upstream" else "a target"
        return (
            f"stops calling {what} after {' or '.join(signs)}{slow}, "
            f"and probes it after {format_duration(self.reset_after)}"
        )

    def build(self, services: Services) -> Policy:
        settings = CircuitSettings(
            failures=self.failures,
            window=self.window,
            failure_rate=self.failure_rate,
            minimum_calls=self.minimum_calls,
            reset_after=self.reset_after,
            probes=self.probes,
        )
        upstream = services.route.upstream
        key = ("circuit_breaker", upstream, self.per, self.slow_call, self.mode == "shadow", settings)
        circuits = services.state.keep(key, lambda: Circuits(upstream, settings, services))
        policy = PerTarget if self.per == "target" else PerUpstream
        return policy(
            circuits,
            services.clock.now,
            self.slow_call,
            shadow=self.mode == "shadow",
            endless=services.route.stream,
        )

    async def foresee(self, exchange: Exchange, services: Services) -> str:
        del exchange, services
        return "passes it on while the circuit is closed"
