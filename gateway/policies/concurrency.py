"""So many calls at once."""

from __future__ import annotations

from typing import ClassVar

from gateway.policy import PolicyConfig


class ConcurrencyConfig(PolicyConfig):
    """So many calls at once."""

    name: ClassVar[str] = "concurrency"
