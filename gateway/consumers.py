"""Who calls: the platform, or a provider calling back."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Consumer:
    """A caller that the gateway knows."""

    name: str
    kind: str = "consumer"
    """consumer | provider."""
    networks: tuple[Network, ...] = ()
    """Where its calls may come from; empty for anywhere."""
    credentials: tuple[object, ...] = ()
    """`Credential` models, any of which proves the caller."""
