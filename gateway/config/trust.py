"""Whom the gateway believes about others: networks so wide that callers themselves are in them."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.document import Document
from gateway.config.findings import Finding
from gateway.config.server import ServerConfig

_NARROWEST = {4: 8, 6: 16}
"""IP version → the least prefix length that can be the network of one's own proxies, `10.0.0.0/8`."""


def check_trust(server: ServerConfig, document: Document) -> Iterator[Finding]:
    """A warning for each trusted network that is too wide to hold proxies only."""
    for index, network in enumerate(server.trusted_proxies):
        if network.prefixlen < _NARROWEST[network.version]:
            location = ("server", "trusted_proxies", index)
            shown = str(network) if document.reference(location) is None else "a network that wide"
            yield Finding.at(
                document.place(location),
                f"server.trusted_proxies trusts {shown}: every caller in it may forge its address",
                "list the addresses of your load balancers, like 10.0.0.7 or 10.0.0.0/24",
                severity="warning",
            )
