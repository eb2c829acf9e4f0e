"""From a head to an `Exchange`: the reader, the client's address and the trace context put together."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter_ns
from typing import TYPE_CHECKING

from gateway.edge.client_address import ClientAddresses, Network
from gateway.edge.head import HeadReader
from gateway.edge.sampling import Sampling
from gateway.edge.told_certificate import told_certificate
from gateway.edge.trace_context import TraceContext
from gateway.exchange import Exchange

if TYPE_CHECKING:
    from gateway.edge.limits import EdgeLimits


class Intake:
    """One per server. After `exchange`, `head` still says how the request is framed."""

    __slots__ = ("addresses", "certificate_header", "head", "traces")

    def __init__(
        self,
        trusted_proxies: Iterable[str | Network] = (),
        sampling: Sampling = Sampling(),  # noqa: B008 - a tuple is immutable
        certificate_header: str = "",
    ) -> None:
        self.certificate_header = certificate_header.encode()
        """In which trusted proxies tell their callers' certificates, in lower case; empty for none."""
        self.head = HeadReader(self.certificate_header)
        self.addresses = ClientAddresses(trusted_proxies)
        self.traces = TraceContext(sampling)

    def exchange(self, head: bytes, limits: EdgeLimits, peer: str, trusted: bool, scheme: str) -> Exchange:
        """The exchange a head begins, its body still empty. Raises `Refused`."""
        self.head.read(head, limits)
        return self.make(peer, trusted, scheme)

    def make(self, peer: str, trusted: bool, scheme: str) -> Exchange:
        """The exchange of what `head` has read. `trusted`: the peer's forwarding headers count.

        Raises `Refused` where those contradict each other, or tell no certificate that could be one.
        """
        head = self.head
        client = peer
        certificate: bytes | None = None
        if trusted and head.forwarding:
            client, told = self.addresses.client(peer, head.forwarding)
            scheme = told or scheme
            if self.certificate_header:
                certificate = told_certificate(self.certificate_header, head.forwarding)
        exchange = Exchange(  # by position: names would cost a call a third of a microsecond
            head.method, head.path, head.query, head.headers, b"", scheme,
            head.authority, head.http_version, client, peer, perf_counter_ns(),
        )  # fmt: skip
        exchange.upgrade = head.upgrade
        if certificate is not None:
            exchange.peer_certificate = certificate
        self.traces.assign(exchange, head.traceparent, head.tracestate)
        return exchange

    def broken(self, peer: str, scheme: str) -> Exchange:
        """A stand-in for a request too broken to become an exchange: has the ids its refusal is told with."""
        exchange = Exchange(method="GET", path="/", client=peer, peer=peer, scheme=scheme)
        self.traces.assign(exchange, None, None)
        return exchange
