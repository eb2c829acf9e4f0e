"""Only callers from listed networks pass."""

from __future__ import annotations

from typing import ClassVar

from gateway.policy import PolicyConfig


class IpAllowListConfig(PolicyConfig):
    """Only callers from listed networks pass."""

    name: ClassVar[str] = "ip_allow_list"
