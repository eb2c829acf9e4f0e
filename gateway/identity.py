"""What tells callers apart where calls are counted per caller."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from ipaddress import IPv6Address

from gateway.exchange import Exchange

_LONGEST_KEY = 64


def identifier(by: str) -> Callable[[Exchange], str]:
    """A short text per exchange. `by`: consumer | client | route | upstream | header:NAME."""
    if by in ("route", "upstream"):
        return _nobody
    if by == "client":
        return _client
    if by == "consumer":
        return _consumer
    name = by.removeprefix("header:").lower().encode()

    def header(exchange: Exchange) -> str:
        value = exchange.header(name) or b""
        if len(value) > _LONGEST_KEY:
            return blake2b(value, digest_size=16).hexdigest()
        return value.decode("latin-1")

    return header


def _client(exchange: Exchange) -> str:
    client = exchange.client
    if ":" in client:  # one subscriber commands a whole /64, so a single IPv6 address is no identity
        return IPv6Address(client.partition("%")[0]).packed[:8].hex()
    return client


def _consumer(exchange: Exchange) -> str:
    consumer = exchange.consumer
    return "@" + _client(exchange) if consumer is None else consumer.name


def _nobody(exchange: Exchange) -> str:
    del exchange
    return ""
