"""Sets, removes and renames headers."""

from __future__ import annotations

from typing import ClassVar

from gateway.policy import PolicyConfig


class HeadersConfig(PolicyConfig):
    """Sets, removes and renames headers."""

    name: ClassVar[str] = "headers"
