"""One deadline over the rest of the chain."""

from __future__ import annotations

from typing import ClassVar

from gateway.policy import PolicyConfig


class TimeoutConfig(PolicyConfig):
    """One deadline over the rest of the chain."""

    name: ClassVar[str] = "timeout"
