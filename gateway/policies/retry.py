"""Tries again where that cannot apply a call twice."""

from __future__ import annotations

import json
from random import Random
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.enforcement.retry import Retry
from gateway.errors import Sent, UpstreamError
from gateway.exchange import Exchange, Response
from gateway.mistakes import Mistake
from gateway.policy import Policy, PolicyConfig
from gateway.retry_budget import Budget
from gateway.services import Services
from gateway.stream import Stream
from gateway.units import Duration, Percent, format_duration

Reason = Literal["unreachable", "invalid", "timeout", "temporary"]

_REASONS = {
    "UPSTREAM_UNREACHABLE": "unreachable",
    "UPSTREAM_INVALID": "invalid",
    "UPSTREAM_TIMEOUT": "timeout",
}
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""RFC 9110 §9.2.2, without TRACE, which no route takes."""


class Backoff(BaseModel):
    """How long to wait before a retry: a random time up to base, then 2 base, 4 base, ... at most max."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    base: Duration = 0.05
    max: Duration = 1.0

    def seconds(self, retries: int, random: Random) -> float:
        """Exponential back-off with full jitter; `retries` is how many there were before."""
        return random.uniform(0, min(self.max, self.base * 2**retries))


class TransactionId(BaseModel):
    """Where a call carries the id by which its receiver applies it once only: a header or a JSON field."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    header: str | None = Field(None, pattern=r"^[A-Za-z0-9-]+$")
    """A request header's name."""
    pointer: str | None = Field(None, alias="json", pattern=r"^(/[^/]+)+$")
    """A JSON pointer (RFC 6901) into the request body, like /transaction/id."""

    @model_validator(mode="after")
    def _one_place(self) -> TransactionId:
        if (self.header is None) == (self.pointer is None):
            raise Mistake(
                "a transaction id is in a header or in a JSON field",
                "write {header: NAME} or {json: /field}, one of them",
            )
        return self

    def given(self, exchange: Exchange) -> bool:
        """Does this call carry one? The body is read only where it is all there."""
        if self.header is not None:
            return bool(exchange.header(self.header.lower().encode()))
        assert self.pointer is not None
        if isinstance(exchange.body, Stream):
            return False
        try:
            value = json.loads(exchange.body)
            for token in self.pointer[1:].split("/"):
                token = token.replace("~1", "/").replace("~0", "~")  # noqa: PLW2901
                value = value[int(token)] if isinstance(value, list) else value[token]
        except (ValueError, LookupError, TypeError, RecursionError):
            return False
        return value != "" and isinstance(value, str | int) and not isinstance(value, bool)

    def __str__(self) -> str:
        return f"header {self.header}" if self.pointer is None else f"body field {self.pointer}"


class RetryConfig(PolicyConfig):
    """Tries again where that cannot apply a call twice, within a budget."""

    name: ClassVar[str] = "retry"
    forwards_again: ClassVar[bool] = True
    shadows_itself: ClassVar[bool] = True  # in shadow it must not forward again

    attempts: int = Field(2, ge=1, le=10)
    """Retries after the first try: 2 means at most three tries."""
    budget: Percent = 0.2
    """Retries as a share of calls to the upstream; 0% to 100%."""
    backoff: Backoff = Backoff()
    on: tuple[Reason, ...] = Field(("unreachable", "invalid", "timeout", "temporary"), min_length=1)
    """What is tried again: no connection, no valid answer, no answer in time, or an answer of "not now"."""
    retry_after_max: Duration = 2.0
    """The longest `Retry-After` of the upstream that is waited for; a longer one is passed to the caller."""
    transaction_id: TransactionId | None = None
    """What makes a POST or PATCH safe to repeat; without it they are retried only if nothing was sent."""

    def describe(self) -> str:
        safe = "idempotent calls"
        if self.transaction_id is not None:
            safe += f" and those with a transaction id in {self.transaction_id}"
        times = "once" if self.attempts == 1 else f"up to {self.attempts} times"
        return (
            f"retries {safe} {times} on {', '.join(self.on)}, "
            f"waiting up to {format_duration(self.backoff.max)}, within {self.budget * 100:g}% of the calls"
        )

    def build(self, services: Services) -> Policy:
        route = services.route
        budget = services.state.keep(
            ("retry_budget", route.upstream, self.budget), lambda: Budget(self.budget, services.clock.now())
        )
        return Retry(self, services, budget, shadow=self.mode == "shadow")

    async def foresee(self, exchange: Exchange, services: Services) -> str:
        del services
        if self._repeatable(exchange):
            return f"would retry a failure up to {self.attempts} times"
        return "would retry only where nothing was sent: the call carries no transaction id"

    def _repeatable(self, exchange: Exchange) -> bool:
        if exchange.method in _IDEMPOTENT:
            return True
        return self.transaction_id is not None and self.transaction_id.given(exchange)

    def reason_to_retry(
        self, exchange: Exchange, response: Response | None, error: UpstreamError | None
    ) -> str:
        """Why this outcome may be tried again; empty where it may not."""
        if error is not None:
            reason = _REASONS[error.code]
            safe = error.sent is Sent.NO or self._repeatable(exchange)
        else:
            assert response is not None
            if response.kind != "temporary":
                return ""
            reason = "temporary"
            safe = self._repeatable(exchange)
        return reason if safe and reason in self.on else ""

    def backoff_seconds(self, retries: int, random: Random) -> float:
        """How long to wait before the next retry; `retries` is how many there were before."""
        return self.backoff.seconds(retries, random)
