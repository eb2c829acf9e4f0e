"""What is answered when the provider is down."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.policy import PolicyConfig
from gateway.units import Duration

When = Literal["unreachable", "timeout", "invalid", "circuit_open", "server_error", "busy"]


class Respond(BaseModel):
    """A static answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int = Field(default=200, ge=200, le=599)
    json_: Any = Field(default=None, alias="json")
    """The body as a JSON value."""
    text: str | None = None
    """The body as text."""
    headers: dict[str, str] = {}
    """More headers of the answer."""


class FallbackConfig(PolicyConfig):
    """What is answered when the provider is down: a stale answer, another upstream's, or a static one."""

    name: ClassVar[str] = "fallback"
    forwards_again: ClassVar[bool] = True
    shadows_itself: ClassVar[bool] = True

    when: tuple[When, ...] = Field(
        default=("unreachable", "timeout", "invalid", "circuit_open", "server_error"), min_length=1
    )
    """Which failures count."""
    stale: Duration | None = Field(default=None, gt=0)
    """First choice: the cached answer, if it went stale no longer ago than this."""
    upstream: str | None = None
    """Second choice: another upstream's answer to the same call."""
    respond: Respond | None = None
    """Last choice: this answer."""

    @model_validator(mode="after")
    def _has_an_answer(self) -> FallbackConfig:
        if self.stale is None and self.upstream is None and self.respond is None:
            raise ValueError("say what to fall back to: stale: 1d, upstream: NAME or respond: {status: 200, json: {}}")
        return self
