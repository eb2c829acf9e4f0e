"""Requests as bytes, one connection each, and what is answered: no HTTP library would send these."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

PATIENCE_SECONDS = 10.0


class Told(NamedTuple):
    """One answer, read to the end of its connection."""

    status: int
    fields: dict[str, str]
    body: bytes


def request(
    method: bytes, target: bytes, *fields: bytes, body: bytes = b"", host: bytes = b"gateway"
) -> bytes:
    """A request that ends its connection; a body gets its Content-Length unless a field frames it."""
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: " + host, b"Connection: close", *fields]
    if body and not any(field.lower().startswith(b"transfer-encoding") for field in fields):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def get(target: bytes, *fields: bytes, host: bytes = b"gateway") -> bytes:
    return request(b"GET", target, *fields, host=host)


def connect(
    port: int, patience: float = PATIENCE_SECONDS, context: ssl.SSLContext | None = None
) -> socket.socket:
    """A connection to the gateway, over TLS where there is a context."""
    plain = socket.create_connection(("127.0.0.1", port), patience)
    return plain if context is None else context.wrap_socket(plain, server_hostname="localhost")


def converse(
    port: int, sent: bytes, *, patience: float = PATIENCE_SECONDS, context: ssl.SSLContext | None = None
) -> bytes:
    """Send, and read all that comes until the gateway closes. Raises TimeoutError where it does not."""
    with connect(port, patience, context) as caller:
        with suppress(ConnectionError):  # refused before all of it was sent
            caller.sendall(sent)
        return read_all(caller, patience)


def read_all(caller: socket.socket, patience: float = PATIENCE_SECONDS) -> bytes:
    """All up to the end; a reset counts as one."""
    until, received = time.monotonic() + patience, b""
    while True:
        caller.settimeout(max(0.001, until - time.monotonic()))
        try:
            data = caller.recv(1 << 16)
        except ConnectionError:
            return received
        if not data:
            return received
        received += data


def told(port: int, sent: bytes, *, patience: float = PATIENCE_SECONDS) -> Told:
    """The one answer to a request that ends its connection."""
    return parse(converse(port, sent, patience=patience))


def parse(received: bytes) -> Told:
    head, _, body = received.partition(b"\r\n\r\n")
    line, *rest = head.decode("latin-1").split("\r\n")
    pairs = (field.partition(":") for field in rest)
    fields = {name.lower(): value.strip() for name, _, value in pairs}
    return Told(int(line.split()[1]), fields, unchunked(body) if "transfer-encoding" in fields else body)


def unchunked(body: bytes) -> bytes:
    """The data of chunks; what is missing at the end stays missing."""
    data = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        data += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return data


def outlast(
    port: int,
    first: bytes,
    then: Iterable[bytes] = (),
    *,
    every: float = 0.1,
    patience: float = PATIENCE_SECONDS,
    context: ssl.SSLContext | None = None,
) -> tuple[bytes, float]:
    """Send `first`, and every so many seconds a piece of `then`, until the gateway closes.

    Returns what it said, and after how many seconds it closed. Fails where it does not.
    """
    drops = iter(then)
    received = b""
    with connect(port, patience, context) as caller:
        began = time.monotonic()
        caller.settimeout(every)
        caller.sendall(first)
        while (took := time.monotonic() - began) < patience:
            try:
                data = caller.recv(1 << 16)
                if not data:
                    return received, took
                received += data
            except TimeoutError:
                try:
                    caller.sendall(next(drops, b""))
                except ConnectionError:
                    return received, took
            except ConnectionError:
                return received, took
    raise AssertionError(f"the connection was still open after {patience:g} s; it had said {received!r}")
