"""A renewed certificate is shown to new connections without a restart; a bad one changes nothing."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import httpx
import trustme
from cryptography.x509 import load_pem_x509_certificate

from tests.scenarios.running import Gateway, gateway

CONFIG = """
    version: 1
    upstreams: {nobody: {targets: [{url: "http://127.0.0.1:1"}]}}
    routes: [{name: games, match: {methods: [GET], path: /games}, upstream: nobody, policies: []}]
    server: {drain: {delay: 0s}, tls: {certificate: tls/cert.pem, key: tls/key.pem}}
"""


def shown(running: Gateway) -> int:
    """The serial number of the certificate that a new connection is shown."""
    certificate = ssl.get_server_certificate(("127.0.0.1", running.port), timeout=10)
    return load_pem_x509_certificate(certificate.encode()).serial_number


def number(leaf: trustme.LeafCert) -> int:
    return load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).serial_number


def write(folder: Path, leaf: trustme.LeafCert) -> None:
    (folder / "tls" / "key.pem").write_bytes(leaf.private_key_pem.bytes())
    (folder / "tls" / "cert.pem").write_bytes(leaf.cert_chain_pems[0].bytes())


def test_certificates_are_renewed_under_way() -> None:
    authority = trustme.CA()
    first, second = authority.issue_cert("127.0.0.1"), authority.issue_cert("127.0.0.1")
    files = {"tls/cert.pem": first.cert_chain_pems[0].bytes(), "tls/key.pem": first.private_key_pem.bytes()}
    with gateway(CONFIG, files=files, workers=2) as running:
        assert running.url.startswith("https:")
        assert shown(running) == number(first)
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        with httpx.Client(trust_env=False, verify=trust) as client:
            assert client.get(running.url + "/nothing").status_code == 404

            (running.folder / "tls" / "cert.pem").write_text("not a certificate")
            assert running.ask("/api/reload", json={}).status_code == 422
            assert (
                "not a certificate chain and its key"
                in running.ask("/api/status").json()["last_reload_error"]
            )
            assert shown(running) == number(first)

            write(running.folder, second)
            assert running.ask("/api/reload", json={}).status_code == 200
            assert {shown(running) for _ in range(8)} == {number(second)}
            assert client.get(running.url + "/nothing").status_code == 404  # the old connection goes on

            write(running.folder, first)  # no command: the files are watched
            until = time.monotonic() + 20
            while shown(running) != number(first):
                assert time.monotonic() < until, running.lines
                time.sleep(0.1)
