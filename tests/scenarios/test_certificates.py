"""Renewed certificates and authorities hold without a restart, on either side; bad ones change nothing."""

from __future__ import annotations

import asyncio
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import trustme
from cryptography.x509 import load_pem_x509_certificate

from tests.scenarios.running import Gateway, gateway
from tests.upstream.origins import Visit, ok, origin

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

            now = datetime.now(UTC)
            expired = authority.issue_cert(
                "127.0.0.1", not_before=now - timedelta(days=9), not_after=now - timedelta(days=2)
            )
            write(running.folder, expired)
            running.ask("/api/reload", json={})
            told = running.ask("/api/status").json()["last_reload_error"]
            assert "the certificate in use stays" in told
            assert "cert.pem expired on" in told
            assert {shown(running) for _ in range(8)} == {number(second)}

            write(running.folder, first)  # no command: the files are watched
            until = time.monotonic() + 20
            while shown(running) != number(first):
                assert time.monotonic() < until, running.lines
                time.sleep(0.1)
            assert running.ask("/api/status").json()["last_reload_error"] == ""


async def eventually(running: Gateway, true: object) -> None:
    """Until the watched files are in use; no command is given."""
    until = time.monotonic() + 20
    while not await true():  # type: ignore[operator]
        assert time.monotonic() < until, running.lines
        await asyncio.sleep(0.05)


async def test_authorities_of_callers_are_replaced_under_way() -> None:
    authority, old, new = trustme.CA(), trustme.CA(), trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    files = {
        "tls/cert.pem": own.cert_chain_pems[0].bytes(),
        "tls/key.pem": own.private_key_pem.bytes(),
        "tls/clients.pem": old.cert_pem.bytes(),
    }
    config = CONFIG.replace("key: tls/key.pem", "key: tls/key.pem, client_ca: tls/clients.pem")
    callers = {}
    for issuer in (old, new):
        callers[issuer] = ssl.create_default_context()
        authority.configure_trust(callers[issuer])
        issuer.issue_cert("platform.example").configure_cert(callers[issuer])

    with gateway(config, files=files, workers=2) as running:

        async def passes(issuer: trustme.CA) -> bool:
            async with httpx.AsyncClient(trust_env=False, verify=callers[issuer], timeout=20) as client:
                try:
                    return (await client.get(running.url + "/nothing")).status_code == 404
                except httpx.TransportError:  # in TLS 1.3 a client learns of it when it reads
                    return False

        async def all_pass(issuer: trustme.CA) -> bool:
            return all(await asyncio.gather(*(passes(issuer) for _ in range(8))))

        assert await all_pass(old)
        assert not await passes(new)
        clients = running.folder / "tls" / "clients.pem"
        clients.write_text("no authority")
        assert running.ask("/api/reload", json={}).status_code == 422
        assert await all_pass(old)
        clients.write_bytes(old.cert_pem.bytes() + new.cert_pem.bytes())
        await eventually(running, lambda: all_pass(new))
        assert await all_pass(old)
        clients.write_bytes(new.cert_pem.bytes())
        assert running.ask("/api/reload", json={}).status_code == 200
        assert not any(await asyncio.gather(*(passes(old) for _ in range(8))))
        assert await all_pass(new)


async def test_what_an_upstream_is_shown_and_must_show_is_replaced_under_way() -> None:
    """Authority, certificate and key of an upstream: calls go on under the old files until new ones fit."""
    first, second = trustme.CA(), trustme.CA()
    subjects: list[str] = []

    async def look(visit: Visit) -> None:
        while True:
            await visit.request()
            subjects.append(visit.writer.get_extra_info("peercert")["subjectAltName"][0][1])
            await visit.say(ok())

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    first.configure_trust(context)
    first.issue_cert("127.0.0.1").configure_cert(context)
    shown = {name: first.issue_cert(f"{name}.gateway.example") for name in ("one", "two")}

    def pair(name: str) -> dict[str, bytes]:
        return {
            "tls/cert.pem": shown[name].cert_chain_pems[0].bytes(),
            "tls/key.pem": shown[name].private_key_pem.bytes(),
        }

    config = """
        version: 1
        upstreams:
          origin:
            targets: [{url: {env: ORIGIN_URL}}]
            tls: {ca: tls/ca.pem, certificate: tls/cert.pem, key: tls/key.pem}
        routes: [{name: games, match: {methods: [GET], path: /games}, upstream: origin, policies: []}]
    """
    async with origin(look, context=context) as place:
        files = {"tls/ca.pem": first.cert_pem.bytes(), **pair("one")}
        with gateway(config, environ={"ORIGIN_URL": place.url}, files=files, workers=2) as running:
            tls = running.folder / "tls"

            async def status() -> int:
                async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
                    return (await client.get(running.url + "/games")).status_code

            async def shows(name: str) -> bool:
                subjects.clear()
                assert set(await asyncio.gather(*(status() for _ in range(8)))) == {200}
                return set(subjects) == {f"{name}.gateway.example"}

            assert await shows("one")
            (tls / "key.pem").write_bytes(pair("two")["tls/key.pem"])  # its half alone
            assert running.ask("/api/reload", json={}).status_code == 422
            assert await shows("one")
            (tls / "cert.pem").write_bytes(pair("two")["tls/cert.pem"])
            await eventually(running, lambda: shows("two"))
            assert running.ask("/api/status").json()["last_reload_error"] == ""

            (tls / "ca.pem").write_bytes(second.cert_pem.bytes())
            assert running.ask("/api/reload", json={}).status_code == 200
            assert {await status() for _ in range(4)} == {502}
            (tls / "ca.pem").write_bytes(second.cert_pem.bytes() + first.cert_pem.bytes())
            assert running.ask("/api/reload", json={}).status_code == 200
            assert await shows("two")
