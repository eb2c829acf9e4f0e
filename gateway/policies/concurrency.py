"""So many calls at once."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gateway.policy import PolicyConfig
from gateway.units import Duration


class ConcurrencyConfig(PolicyConfig):
    """So many calls at once; a few more may wait for their turn."""

    name: ClassVar[str] = "concurrency"

    max: int = Field(ge=1)
    """Calls in flight, counted until the last byte of their answer."""
    queue: int = Field(0, ge=0)
    """Calls that may wait for a free slot, first come, first served."""
    wait: Duration = 0.5
    """How long one may wait."""
    by: Literal["route", "upstream", "consumer", "client"] = "route"
    """What is counted apart; upstream shares one count among all routes to it that have the same rule."""
    scope: Literal["shared", "worker"] = "shared"
    """Say worker where several workers run: each then counts for itself."""
