"""Stops calling an upstream that fails."""

from __future__ import annotations

from typing import ClassVar

from gateway.policy import PolicyConfig


class CircuitBreakerConfig(PolicyConfig):
    """Stops calling an upstream that fails."""

    name: ClassVar[str] = "circuit_breaker"
