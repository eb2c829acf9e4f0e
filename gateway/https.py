"""What a route that requires TLS answers: over plain HTTP a refusal or a redirect, over HTTPS with HSTS."""

from __future__ import annotations

from gateway.errors import Refused, UpstreamError
from gateway.exchange import Exchange, Response
from gateway.policy import Forward

_HSTS = b"strict-transport-security"


def https_only(exchange: Exchange, route: str, *, redirect: bool, port: int) -> Refused:
    """Why a call that came over plain HTTP is not forwarded; with `redirect`, where to make it instead.

    Only GET and HEAD are redirected: what another method sends would travel a second time, and the caller
    would never learn that the first was in the clear. Nor does any WebSocket client follow a redirect.
    308, so that nobody asks again in the clear (RFC 9110 §15.4.9).
    """
    told = f"route {route} takes HTTPS only"
    if not redirect or exchange.method not in ("GET", "HEAD") or exchange.upgrade or not exchange.authority:
        return Refused("HTTPS_REQUIRED", told)
    location = https_url(exchange, port).encode("latin-1", "replace")
    return Refused("HTTPS_REQUIRED", told, headers=((b"location", location),), status=308)


def https_url(exchange: Exchange, port: int) -> str:
    """The same host, canonical path and query over https; `port` is left out where it is 443."""
    host, colon, told = exchange.authority.rpartition(":")
    if not colon or told.endswith("]"):
        host = exchange.authority
    at = "" if port == 443 else f":{port}"
    query = f"?{exchange.query}" if exchange.query else ""
    return f"https://{host}{at}{exchange.path}{query}"


def hsts(max_age: float, *, include_subdomains: bool) -> bytes:
    """The value of Strict-Transport-Security (RFC 6797 §6.1); `max_age` in seconds."""
    return b"max-age=%d%b" % (int(max_age), b"; includeSubDomains" if include_subdomains else b"")


def with_hsts(forward: Forward, value: bytes) -> Forward:
    """`forward`, whose answers and refusals bear the header once, in place of an upstream's own.

    For chains that are reached over HTTPS only: in the clear it may not be sent (RFC 6797 §7.2).
    """
    field = (_HSTS, value)

    async def secured(exchange: Exchange) -> Response:
        try:
            response = await forward(exchange)
        except (Refused, UpstreamError) as error:  # of which several calls may be told, with one object
            error.headers = (*(item for item in error.headers if item[0] != _HSTS), field)
            raise
        response.set_header(*field)
        return response

    return secured
