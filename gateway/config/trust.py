"""Whom the gateway believes about others: networks so wide that callers themselves are in them, or nobody."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.document import Document
from gateway.config.findings import Finding
from gateway.config.server import ServerConfig

_NARROWEST = {4: 8, 6: 16}
"""IP version → the least prefix length that can be the network of one's own proxies, `10.0.0.0/8`."""


def check_trust(server: ServerConfig, document: Document) -> Iterator[Finding]:
    """A warning for each trusted network that is too wide to hold proxies only.

    And an error where a header is to tell certificates, and nobody may tell any.
    """
    if server.client_certificate_header is not None and not _trusts(server, document):
        yield Finding.at(
            document.place(("server", "client_certificate_header")),
            "server.client_certificate_header is believed from trusted_proxies only, and there are none",
            "list there the addresses of the proxies that end TLS",
        )
    forge = "its address" if server.client_certificate_header is None else "its address and its certificate"
    for index, network in enumerate(server.trusted_proxies):
        if network.prefixlen < _NARROWEST[network.version]:
            location = ("server", "trusted_proxies", index)
            shown = str(network) if document.reference(location) is None else "a network that wide"
            yield Finding.at(
                document.place(location),
                f"server.trusted_proxies trusts {shown}: every caller in it may forge {forge}",
                "list the addresses of your load balancers, like 10.0.0.7 or 10.0.0.0/24",
                severity="warning",
            )


def _trusts(server: ServerConfig, document: Document) -> bool:
    """Are there trusted proxies, be it some whose networks are wrong, which has been said?"""
    written = document.value.get("server") if isinstance(document.value, dict) else None
    return bool(server.trusted_proxies or (isinstance(written, dict) and written.get("trusted_proxies")))
