"""A call that nobody made, read by the same rules as one that arrives: `gateway explain` walks through it."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.edge.client_address import Network
from gateway.edge.intake import Intake
from gateway.edge.limits import EdgeLimits
from gateway.errors import Refused
from gateway.exchange import Exchange, Headers


def explainable(
    method: str,
    target: str,
    headers: Headers,
    *,
    client: str,
    https: bool = False,
    limits: EdgeLimits | None = None,
    trusted_proxies: Iterable[str | Network] = (),
    certificate_header: str = "",
) -> Exchange:
    """The exchange of a request with this head, its body empty; without a Host header it asks for localhost.

    It is written out and read by the edge's own reader: the path is canonical, the headers are those a policy
    would see. Raises `Refused` where the edge would refuse it, ValueError where `client` is no address.
    """
    intake = Intake(trusted_proxies, certificate_header=certificate_header)
    peer, trusted = intake.addresses.look_up(client)
    if not any(name.lower() == b"host" for name, _ in headers):
        _, absolute, rest = target.partition("://")
        headers = [(b"host", rest.partition("/")[0].encode() if absolute else b"localhost"), *headers]
    if any(b"\r" in value or b"\n" in value for _, value in headers):
        raise Refused("BAD_REQUEST", "a header has a line break")
    fields = b"".join(b"%b: %b\r\n" % field for field in headers)
    head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method.encode(), target.encode(), fields)
    return intake.exchange(head, limits or EdgeLimits(), peer, trusted, "https" if https else "http")
