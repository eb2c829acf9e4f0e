"""HTTPS only: a gateway that ends TLS itself with a plain port beside, and one whose TLS ends in front."""

from __future__ import annotations

import asyncio
import re
import ssl

import httpx
import trustme

from tests.scenarios.running import Gateway, gateway
from tests.upstream.origins import ok, origin

CONFIG = """
    version: 1
    consumers: {platform: {credentials: [{api_key: key-of-the-platform}]}}
    upstreams: {origin: {targets: [{url: {env: ORIGIN_URL}}]}}
    routes:
      - name: lobby
        match: {methods: [GET, POST], path: "/lobby/*"}
        upstream: origin
        require_tls: redirect
      - name: wallet
        match: {methods: [GET, POST], path: /wallet}
        upstream: origin
        require_tls: true
        policies: [{authentication: {accept: [api_key]}}]
      - {name: open, match: {methods: [GET], path: /open}, upstream: origin}
"""
KEY = {"x-api-key": "key-of-the-platform"}
HSTS = "strict-transport-security"


def certificates(authority: trustme.CA) -> dict[str, bytes]:
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    return {"tls/cert.pem": leaf.cert_chain_pems[0].bytes(), "tls/key.pem": leaf.private_key_pem.bytes()}


def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def plain_url(running: Gateway) -> str:
    """Where the second listener is, as the banner tells."""
    found = re.search(r" and (http://\S+) with ", running.wait_for_line("gateway serves"))
    assert found is not None
    return found[1]


def stripped(url: str) -> str:
    return url.partition("://")[2]


async def test_where_the_gateway_ends_tls() -> None:
    authority = trustme.CA()
    server = """
    server:
      drain: {delay: 0s}
      tls: {certificate: tls/cert.pem, key: tls/key.pem, plain_port: 0}
      https_port: 8443
      hsts: {max_age: 365d, include_subdomains: true}
    """
    files = certificates(authority)
    async with origin(ok(b"hello", b"strict-transport-security: max-age=1")) as place:
        with gateway(CONFIG + server, environ={"ORIGIN_URL": place.url}, files=files, workers=2) as running:
            plain = plain_url(running)
            async with httpx.AsyncClient(trust_env=False, verify=trust(authority), timeout=20) as client:
                answer = await client.get(
                    f"{plain}/lobby/./a%20b?seat=7", headers={"host": "games.example:80"}
                )
                assert answer.status_code == 308
                assert answer.headers["location"] == "https://games.example:8443/lobby/a%20b?seat=7"
                assert (answer.json()["code"], answer.json()["status"]) == ("HTTPS_REQUIRED", 308)
                assert (await client.head(f"{plain}/lobby/a")).status_code == 308
                for answer in (
                    await client.post(f"{plain}/lobby/a", content=b"a password, perhaps"),
                    await client.get(f"{plain}/wallet", headers=KEY),
                    await client.post(f"{plain}/wallet", headers=KEY, content=b"bet"),
                ):
                    assert (answer.status_code, answer.json()["code"]) == (403, "HTTPS_REQUIRED")
                    assert "location" not in answer.headers
                    assert HSTS not in answer.headers
                assert place.heads == [], "nothing of all that was forwarded"

                answer = await client.get(f"{plain}/open")
                assert answer.text == "hello"
                assert b"x-forwarded-proto: http\r\n" in place.heads[0]
                for path in ("/lobby/a", "/wallet"):
                    answer = await client.get(running.url + path, headers=KEY)
                    assert answer.text == "hello"
                    assert answer.headers.get_list(HSTS) == ["max-age=31536000; includeSubDomains"]
                refused = await client.get(f"{running.url}/wallet")
                assert (refused.status_code, HSTS in refused.headers) == (401, True)
                assert (await client.get(f"{running.url}/open")).headers[HSTS] == "max-age=1", "not our doing"
                assert HSTS not in (await client.get(f"{running.url}/nowhere")).headers

                # The address that a redirect names leads there, once the port is what callers see.
                port = str(running.port)
                text = (CONFIG + server).replace("8443", port)
                running.write(text)
                assert running.ask("/api/reload", json={}).status_code == 200
                followed = await client.get(f"{plain}/lobby/a?x=1", follow_redirects=True)
                assert (followed.text, str(followed.url)) == ("hello", f"{running.url}/lobby/a?x=1")
                assert [hop.status_code for hop in followed.history] == [308]


async def test_plain_and_secure_ports_close_together() -> None:
    authority = trustme.CA()
    server = (
        "server: {drain: {delay: 0s}, tls: {certificate: tls/cert.pem, key: tls/key.pem, plain_port: 0}}\n"
    )
    config = CONFIG + " " * 4 + server
    with gateway(
        config, environ={"ORIGIN_URL": "http://127.0.0.1:1"}, files=certificates(authority)
    ) as running:
        host, _, port = stripped(plain_url(running)).partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        running.stop()
        for closed in (int(port), running.port):
            try:
                await asyncio.open_connection("127.0.0.1", closed)
            except ConnectionRefusedError:
                continue
            raise AssertionError(f"port {closed} still listens")


async def test_where_tls_ends_in_front() -> None:
    """Only a trusted proxy says that a call came over HTTPS; whoever else says so is sent there."""
    server = """
    server: {drain: {delay: 0s}, trusted_proxies: [127.0.0.1], hsts: {max_age: 1h}}
    """
    async with origin(ok()) as place:
        with gateway(CONFIG + server, environ={"ORIGIN_URL": place.url}) as running:
            for address, proto, status in (
                ("127.0.0.1", "https", 200),
                ("127.0.0.1", "http", 308),
                ("127.0.0.1", "http, https", 200),
                ("127.0.0.1", "https, http", 308),
                ("127.0.0.1", "gopher", 308),
                ("127.0.0.2", "https", 308),
            ):
                transport = httpx.AsyncHTTPTransport(local_address=address, verify=False)
                async with httpx.AsyncClient(trust_env=False, transport=transport, timeout=20) as caller:
                    before = len(place.heads)
                    answer = await caller.get(
                        f"{running.url}/lobby/a", headers={"x-forwarded-proto": proto, "host": "a.example"}
                    )
                    assert answer.status_code == status, (address, proto)
                    assert (HSTS in answer.headers) == (status == 200)
                    assert len(place.heads) - before == (status == 200)
                    if status == 308:
                        assert answer.headers["location"] == "https://a.example/lobby/a"
