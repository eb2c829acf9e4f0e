"""So many calls in so much time."""

from __future__ import annotations

from typing import ClassVar

from gateway.policy import PolicyConfig


class RateLimitConfig(PolicyConfig):
    """So many calls in so much time."""

    name: ClassVar[str] = "rate_limit"
