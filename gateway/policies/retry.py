"""Tries again where that cannot apply a call twice."""

from __future__ import annotations

from typing import ClassVar

from gateway.policy import PolicyConfig


class RetryConfig(PolicyConfig):
    """Tries again where that cannot apply a call twice."""

    name: ClassVar[str] = "retry"
