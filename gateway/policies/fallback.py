"""What is answered when the provider is down."""

from __future__ import annotations

from typing import ClassVar

from gateway.policy import PolicyConfig


class FallbackConfig(PolicyConfig):
    """What is answered when the provider is down."""

    name: ClassVar[str] = "fallback"
