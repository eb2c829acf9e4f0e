"""Shows our credentials to the upstream."""

from __future__ import annotations

from typing import ClassVar

from gateway.policy import PolicyConfig


class UpstreamAuthConfig(PolicyConfig):
    """Shows our credentials to the upstream."""

    name: ClassVar[str] = "upstream_auth"
