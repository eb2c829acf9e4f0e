"""Only known consumers pass."""

from __future__ import annotations

from typing import ClassVar

from gateway.policy import PolicyConfig


class AuthenticationConfig(PolicyConfig):
    """Only known consumers pass."""

    name: ClassVar[str] = "authentication"
