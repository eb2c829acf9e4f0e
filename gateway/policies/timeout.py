"""One deadline over the rest of the chain."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from gateway.policy import PolicyConfig
from gateway.units import Duration


class TimeoutConfig(PolicyConfig):
    """One deadline over everything inside: waiting, attempts, and the body unless the route streams."""

    name: ClassVar[str] = "timeout"
    shadows_itself: ClassVar[bool] = True

    total: Duration = Field(default=10.0, gt=0)
    """Longest time from entering this policy to the last byte of the answer."""
