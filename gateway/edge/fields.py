"""Which fields of a request's head pass, which the edge reads itself, and which stop here. RFC 9110."""

from __future__ import annotations

PASS, READ, DROP = range(3)

_READ_HERE = frozenset(
    b"host content-length transfer-encoding connection upgrade expect traceparent tracestate"
    b" forwarded x-forwarded-for x-forwarded-proto".split()
)
"""Fields the edge itself acts on. Only Content-Length goes on: it frames a body that streams through."""
_DROPPED = frozenset(
    # Hop-by-hop: RFC 9110 §7.6.1, and what old proxies made of it.
    b"keep-alive proxy-connection te trailer proxy-authenticate proxy-authorization http2-settings"
    # Would change what was matched and authorised.
    b" x-http-method-override x-http-method x-method-override"
    b" x-original-url x-rewrite-url x-original-host x-host"
    # Claims about the certificate that a caller showed, which only who ends its TLS may make (RFC 9440 §4).
    b" client-cert client-cert-chain"
    # Claims about the client's address; the upstream client writes its own.
    b" x-real-ip true-client-ip x-client-ip x-cluster-client-ip client-ip cf-connecting-ip".split()
)


def classify(name: bytes) -> tuple[bytes, int]:
    """(the name in lower case, `PASS`, `READ` or `DROP`)."""
    lower = name.lower()
    if lower in _READ_HERE:
        return lower, READ
    if lower in _DROPPED or b"_" in lower or lower.startswith(b"x-forwarded-"):
        return lower, DROP  # `_`: CGI-like origins read X_Api_Key as X-Api-Key
    return lower, PASS
