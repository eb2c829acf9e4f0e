"""Networks: how they are written, and whether an address is in one of many at constant cost."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from gateway.mistakes import Mistake

AnyNetwork = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")
_MEMO_SIZE = 4096
"""Addresses remembered per set. Forgotten all at once when full, so that a flood costs memory once."""


def parse_network(text: object) -> AnyNetwork:
    """`10.0.0.0/8`, `2001:db8::/32`, or one address; IPv4 in IPv6 (`::ffff:10.0.0.0/104`) becomes IPv4.

    Bits behind the prefix are refused: `10.1.2.3/8` may be meant as one host or as sixteen million.
    """
    if isinstance(text, IPv4Network | IPv6Network):
        return text
    if not isinstance(text, str):
        raise Mistake(f"{text!r} is not a network", "write one like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7")
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise Mistake(
            f"{text!r} is not a network", "write one like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7"
        ) from None
    if ip_address(text.partition("/")[0]) != network.network_address:
        host = text.partition("/")[0]
        raise Mistake(
            f"{text!r} names a host and a network", f"write {network} for the network or {host} for the host"
        )
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


Network = Annotated[
    AnyNetwork,
    BeforeValidator(parse_network),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]}),
]
"""An IPv4 or IPv6 network; in YAML `10.0.0.0/8`, `2001:db8::/32`, or one address."""


class NetworkSet:
    """Is an address in any of these networks? One bisection over where they begin and end, then a memo."""

    __slots__ = ("_edges", "_memo", "count")

    def __init__(self, networks: Iterable[AnyNetwork]) -> None:
        given = list(networks)
        self.count = len(given)
        self._edges = {version: _edges(n for n in given if n.version == version) for version in (4, 6)}
        self._memo: dict[str, bool] = {}

    def __contains__(self, address: str) -> bool:
        known = self._memo.get(address)
        if known is None:
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.clear()
            known = self._memo[address] = self._look_up(address)
        return known

    def _look_up(self, text: str) -> bool:
        try:
            address: IPv4Address | IPv6Address = ip_address(text)
        except ValueError:  # a Unix socket's peer has no address, and none is in no network
            return False
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        return bisect_right(self._edges[address.version], int(address)) % 2 == 1

    def __repr__(self) -> str:
        return f"<NetworkSet of {self.count}, {len(self._memo)} addresses remembered>"


def _edges(networks: Iterable[Any]) -> list[int]:
    """Where networks begin and end, in order: an address behind an odd number of edges is in one of them."""
    edges: list[int] = []
    for network in collapse_addresses(networks):
        edges += (int(network.network_address), int(network.broadcast_address) + 1)
    # Numbers made in order lie next to each other in memory, where a bisection finds its last ones together.
    return [edge + 0 for edge in edges]
