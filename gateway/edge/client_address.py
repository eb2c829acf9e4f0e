"""Who is really calling: forwarding headers count only where a trusted proxy wrote them.

Every proxy appends the address it saw, so the list is read from the right: the first address that is
no trusted proxy is the client, and whatever stands left of it is the client's own claim.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from gateway.errors import Refused

Network = IPv4Network | IPv6Network
_REMEMBERED = 4096
"""Addresses whose canonical form and trust are kept, so that they are worked out once."""


def canonical_address(text: str) -> str:
    """`203.0.113.7` of `203.0.113.7`, `203.0.113.7:80`, `::ffff:203.0.113.7`, `"[::1]:80"`.

    IPv6 zones are cut off. Raises ValueError where there is no address in it.
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket or (port and not (port[0] == ":" and port[1:].isdigit())):
            raise ValueError(f"{port!r} is no port")
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not port.isdigit():
            raise ValueError(f"{port!r} is no port")
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)


class ClientAddresses:
    """Finds true client addresses, given the networks of the proxies in front."""

    __slots__ = ("_known", "_networks")

    def __init__(self, trusted_proxies: Iterable[str | Network] = ()) -> None:
        self._networks = [ip_network(str(network), strict=False) for network in trusted_proxies]
        self._known: dict[str, tuple[str, bool]] = {}

    def look_up(self, text: str) -> tuple[str, bool]:
        """(canonical address, is it a trusted proxy?). Raises ValueError where `text` is no address."""
        known = self._known.get(text)
        if known is None:
            canonical = canonical_address(text)
            address = ip_address(canonical)
            known = canonical, any(address in network for network in self._networks)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[text] = known
        return known

    def of_peer(self, peername: object) -> tuple[str, bool]:
        """The same for a socket's `peername`; a Unix socket's other end is on this machine."""
        if not isinstance(peername, tuple):
            return "127.0.0.1", False
        return self.look_up(peername[0]) if self._networks else (canonical_address(peername[0]), False)

    def client(self, peer: str, forwarding: list[tuple[bytes, bytes]]) -> tuple[str, str]:
        """(client address, scheme or empty) told by a *trusted* peer's headers, names in lower case.

        Raises `Refused` where X-Forwarded-For and Forwarded name different clients: one of the two was
        not written by the proxy, and nothing says which.
        """
        listed = ",".join(v.decode("latin-1") for n, v in forwarding if n == b"x-forwarded-for")
        elements = [
            _element(e) for n, v in forwarding if n == b"forwarded" for e in v.decode("latin-1").split(",")
        ]
        client = self._rightmost_untrusted(peer, listed.split(",")) if listed else ""
        if elements:
            other = self._rightmost_untrusted(peer, [element.get("for", "") for element in elements])
            if client and client != other:
                raise Refused("BAD_REQUEST", "X-Forwarded-For and Forwarded disagree about the client")
            client = other
        protocols = [v.decode("latin-1") for n, v in forwarding if n == b"x-forwarded-proto"]
        scheme = (
            protocols[-1].rpartition(",")[2]
            if protocols
            else elements[-1].get("proto", "")
            if elements
            else ""
        )
        scheme = scheme.strip().strip('"').lower()
        return client or peer, scheme if scheme in ("http", "https") else ""

    def _rightmost_untrusted(self, peer: str, hops: list[str]) -> str:
        """Where a hop is no address (`unknown`, `_hidden`), the proxy that says so is all we know."""
        nearest = peer
        for hop in reversed(hops):
            try:
                nearest, trusted = self.look_up(hop)
            except ValueError:
                break
            if not trusted:
                break
        return nearest


def _element(text: str) -> dict[str, str]:
    """One RFC 7239 forwarded-element: `for=192.0.2.60;proto=http` → its pairs, names in lower case."""
    pairs = (pair.partition("=") for pair in text.split(";"))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
