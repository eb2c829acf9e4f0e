from __future__ import annotations

import pytest

from gateway.edge.fields import DROP, PASS, READ, classify


@pytest.mark.parametrize(
    ("name", "classified"),
    [
        (b"X-Api-Key", (b"x-api-key", PASS)),
        (b"HOST", (b"host", READ)),
        (b"Content-Length", (b"content-length", READ)),
        (b"X-Forwarded-For", (b"x-forwarded-for", READ)),
        (b"X-Forwarded-Whatever", (b"x-forwarded-whatever", DROP)),
        (b"X_Api_Key", (b"x_api_key", DROP)),
        (b"Proxy-Authorization", (b"proxy-authorization", DROP)),
        (b"X-Real-Ip", (b"x-real-ip", DROP)),
        (b"Client-Cert", (b"client-cert", DROP)),
        (b"Client-Cert-Chain", (b"client-cert-chain", DROP)),
        (b"X-Forwarded-Client-Cert", (b"x-forwarded-client-cert", DROP)),
    ],
)
def test_what_becomes_of_a_field(name: bytes, classified: tuple[bytes, int]) -> None:
    assert classify(name) == classified
