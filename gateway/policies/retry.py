"""Tries again where that cannot apply a call twice."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.policy import PolicyConfig
from gateway.units import Duration, Percent

Reason = Literal["unreachable", "invalid", "timeout", "temporary"]


class Backoff(BaseModel):
    """How long to wait before a retry: a random time up to base, then 2 base, 4 base, ... at most max."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: Duration = 0.05
    max: Duration = 1.0


class TransactionId(BaseModel):
    """Where a call carries the id by which its receiver applies it once only: a header or a JSON field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: str | None = Field(None, pattern=r"^[A-Za-z0-9-]+$")
    """A request header's name."""
    pointer: str | None = Field(None, alias="json", pattern=r"^(/[^/]+)+$")
    """A JSON pointer (RFC 6901) into the request body, like /transaction/id."""

    @model_validator(mode="after")
    def _one_place(self) -> TransactionId:
        if (self.header is None) == (self.pointer is None):
            raise ValueError("say where the transaction id is: {header: NAME} or {json: /field}, one of them")
        return self


class RetryConfig(PolicyConfig):
    """Tries again where that cannot apply a call twice, within a budget."""

    name: ClassVar[str] = "retry"
    forwards_again: ClassVar[bool] = True
    shadows_itself: ClassVar[bool] = True

    attempts: int = Field(2, ge=1, le=10)
    """Retries after the first try: 2 means at most three tries."""
    budget: Percent = 0.2
    """Retries as a share of calls to the upstream; 0% to 100%."""
    backoff: Backoff = Backoff()
    on: tuple[Reason, ...] = Field(("unreachable", "invalid", "timeout", "temporary"), min_length=1)
    """What is tried again: no connection, no valid answer, no answer in time, an answer that says "not now"."""
    retry_after_max: Duration = 2.0
    """The longest `Retry-After` of the upstream that is waited for; a longer one is passed to the caller."""
    transaction_id: TransactionId | None = None
    """What makes a POST or PATCH safe to repeat; without it they are retried only if nothing was sent."""
