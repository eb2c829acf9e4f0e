"""The certificate that a caller showed to the proxy in front, as that proxy tells it.

What the proxy verified is believed: chain, purpose, and that the caller has the key. The three forms are
told apart by their first characters.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from urllib.parse import unquote_to_bytes

from gateway.errors import Refused
from gateway.exchange import Headers

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")
_PAIR = re.compile(rb'([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^",;]*)')
"""One of the pairs of X-Forwarded-Client-Cert, `Subject="CN=a,O=b"`."""


def told_certificate(name: bytes, told: Headers) -> bytes | None:
    """DER of the certificate in the header `name`, None where it tells none.

    Refused where it is malformed or there are two: one of them may be the caller's own invention.
    """
    values = [value for key, value in told if key == name]
    if len(values) > 1:
        raise Refused("BAD_REQUEST", f"the header {name.decode()} comes more than once")
    if not values or not values[0]:
        return None
    value = values[0]
    try:
        if value.startswith(b":"):
            return _structured(value)
        if value.startswith(b"-----BEGIN"):
            return _escaped(value)
        inside = _element(value)
        return _escaped(inside) if inside else None
    except ValueError as error:
        raise Refused("BAD_REQUEST", f"the header {name.decode()} is malformed: {error}") from None


def _structured(value: bytes) -> bytes:
    """`:MIIB…:`, a byte sequence (RFC 9440 §2.1, RFC 8941 §3.3.5)."""
    if len(value) < 2 or not value.endswith(b":"):
        raise ValueError("it is not one byte sequence")
    return _bytes(value[1:-1])


def _escaped(value: bytes) -> bytes:
    """Percent-encoded PEM, as nginx has it in `$ssl_client_escaped_cert`; of one certificate."""
    match = _PEM.fullmatch(unquote_to_bytes(value))
    if match is None:
        raise ValueError("it is not one percent-encoded certificate in PEM")
    return _bytes(b"".join(match[1].split()))


def _element(value: bytes) -> bytes:
    """What `Cert` is in Envoy's X-Forwarded-Client-Cert; empty without it.

    Of several elements all but the last are what Envoy's callers sent, so several are not believed.
    """
    at, found = 0, b""
    while at < len(value):
        match = _PAIR.match(value, at)
        if match is None:
            raise ValueError("it is neither a byte sequence nor PEM nor Envoy's pairs")
        if match[1].lower() == b"cert":
            if found:
                raise ValueError("it tells two certificates")
            found = match[2].strip(b'"')
        at = match.end()
        if at < len(value) and value[at : at + 1] != b";":
            raise ValueError("it has more than one element")
        at += 1
    return found


def _bytes(base64: bytes) -> bytes:
    try:
        der = a2b_base64(base64, strict_mode=True)
    except Base64Error:
        raise ValueError("its base64 is wrong") from None
    if not der:
        raise ValueError("it is empty")
    return der
